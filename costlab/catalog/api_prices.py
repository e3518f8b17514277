"""What APIs ask for their tokens, from the snapshot in the library ``genai-prices``; the price of a request."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, cast, overload

from costlab._internal import checks
from costlab._internal.arrays import numpy_of
from costlab.catalog.model_ids import find_model, one_provider, providers
from costlab.catalog.price_snapshot import ApiSnapshot, api_snapshot
from costlab.catalog.prices import parse_day
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.units import HOURS_PER_DAY, TOKENS_PER_MTOK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from genai_prices.types import ModelInfo, TieredPrices

    from costlab._internal.arrays import Array, FloatArray, NumberOrArray

    ListedPrice: TypeAlias = Decimal | TieredPrices


class Arithmetic(Protocol):
    """An expression of a data frame, a column, an array: whatever a price can be computed of, row by row."""

    def __add__(self, other: object, /) -> Self: ...
    def __sub__(self, other: object, /) -> Self: ...
    def __mul__(self, other: object, /) -> Self: ...
    def __gt__(self, other: object, /) -> Self: ...


#: USD per input, output and cached input token.
Rates: TypeAlias = tuple[float, float | None, float]

Column = TypeVar("Column", bound=Arithmetic)
Amount = TypeVar("Amount", float, Arithmetic)


@dataclass(frozen=True, slots=True)
class ApiTier:
    """Rates for requests longer than `above_tokens` input tokens; otherwise as in :class:`ApiPrice`."""

    above_tokens: int
    input_usd_per_mtok: float
    output_usd_per_mtok: float | None
    cached_input_usd_per_mtok: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrice:
    """What an API asks for its tokens.

    Attributes
    ----------
    model, provider : str
        As the snapshot calls them.
    input_usd_per_mtok, output_usd_per_mtok, cached_input_usd_per_mtok : float or None
        USD per million input tokens, output tokens, and input tokens read from the provider's prompt cache. None where
        the model has no output to bill, such as an embedding model, or where cached tokens are billed like others.
    usd_per_request : float
        USD for every request on top of its tokens; 0 for most models.
    tiers : tuple of ApiTier
        Prices of longer requests, shortest first: a request with more input tokens than a tier's `above_tokens` pays
        that tier's rates for *all* its tokens.
    as_of, snapshot, source_url
        The day on which the price holds, where it was read, and the provider's page as the snapshot names it.
    note : str
        What else to know: other charges, or a price that changes with the hour.
    """

    model: str
    provider: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float | None
    cached_input_usd_per_mtok: float | None = None
    usd_per_request: float = 0.0
    tiers: tuple[ApiTier, ...] = ()
    as_of: date
    snapshot: ApiSnapshot
    source_url: str
    note: str = ""
    _rates: Rates = field(init=False, repr=False, compare=False)
    _first_tier: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok", "usd_per_request"):
            if getattr(self, name) is not None:
                checks.non_negative(name, getattr(self, name))
        rates = _per_token(self.input_usd_per_mtok, self.output_usd_per_mtok, self.cached_input_usd_per_mtok)
        object.__setattr__(self, "_rates", rates)
        object.__setattr__(self, "_first_tier", self.tiers[0].above_tokens if self.tiers else math.inf)

    @overload
    def usd(self, input_tokens: float, output_tokens: float = 0.0, cached_input_tokens: float = 0.0) -> float: ...

    @overload
    def usd(
        self, input_tokens: Array, output_tokens: NumberOrArray = 0.0, cached_input_tokens: NumberOrArray = 0.0
    ) -> FloatArray: ...

    def usd(self, input_tokens: Any, output_tokens: Any = 0.0, cached_input_tokens: Any = 0.0) -> float | FloatArray:
        r"""The price in USD of one request, or of each of many.

        .. math:: \text{usd} = (n_\text{in} - n_\text{cached})\, p_\text{in} + n_\text{cached}\, p_\text{cached}
                  + n_\text{out}\, p_\text{out} + p_\text{request}

        Parameters
        ----------
        input_tokens : float or numpy.ndarray
            All input tokens of the request, cached ones included, >= 0. An array prices many requests; the other two
            may then be arrays that broadcast against it.
        output_tokens : float or numpy.ndarray
            Tokens of the answer, >= 0.
        cached_input_tokens : float or numpy.ndarray
            How many of the input tokens were read from the prompt cache: at most `input_tokens`.

        Raises
        ------
        InvalidValueError
            If a number is outside its domain, or there are output tokens and the model has no price for them.
        """
        if numpy := numpy_of(input_tokens, output_tokens, cached_input_tokens):
            return self._usd_of_arrays(numpy, input_tokens, output_tokens, cached_input_tokens)
        if not (0 <= cached_input_tokens <= input_tokens < math.inf and 0 <= output_tokens < math.inf):
            _refuse_tokens(input_tokens, output_tokens, cached_input_tokens)
        rates = self._rates if input_tokens <= self._first_tier else self.rates_per_token(input_tokens)
        if output_tokens and rates[1] is None:
            raise self._no_output_price(output_tokens)
        usd: float = _usd(rates, self.usd_per_request, input_tokens, output_tokens, cached_input_tokens)
        return usd

    def _usd_of_arrays(self, numpy: ModuleType, *tokens: NumberOrArray) -> FloatArray:
        tokens_in, tokens_out, cached = (numpy.asarray(value, float) for value in tokens)
        valid = (cached >= 0).all() and (cached <= tokens_in).all() and (tokens_out >= 0).all()
        if not (valid and tokens_in.max(initial=0) < math.inf and tokens_out.max(initial=0) < math.inf):
            raise InvalidValueError(
                "tokens", "numbers >= 0, the cached ones among the input tokens", "a row that is not"
            )
        usd: FloatArray = self.usd_of_columns(
            tokens_in,
            tokens_out,
            cached,
            lambda condition, value, other: numpy.where(condition, math.nan if value is None else value, other),
        )
        if numpy.isnan(usd).any():
            raise self._no_output_price("a row that is not")
        return usd

    def usd_of_columns(
        self,
        input_tokens: Column,
        output_tokens: Column,
        cached_input_tokens: Column,
        where: Callable[[Column, Column | None, Column], Column],
    ) -> Column:
        """The formula of :meth:`usd`, unchecked, on whatever has arithmetic: expressions of a data frame or of a query.

        Parameters
        ----------
        input_tokens, output_tokens, cached_input_tokens : expression
            As for :meth:`usd`.
        where : callable
            ``where(condition, value, other)`` is the expression that chooses row by row: `value` where the condition
            holds and `other` elsewhere. A value of None stands for a row that has no price.
        """
        tokens = (input_tokens, output_tokens, cached_input_tokens)

        def at(rates: Rates) -> Column:
            usd = cast("Column", _usd(rates, self.usd_per_request, *tokens))
            return where(output_tokens > 0, None, usd) if rates[1] is None else usd

        usd = at(self._rates)
        for tier in self.tiers:
            usd = where(input_tokens > tier.above_tokens, at(self.rates_per_token(tier.above_tokens + 1)), usd)
        return usd

    def rates_per_token(self, input_tokens: float) -> Rates:
        """USD per input, output and cached input token of a request of this length; None where output has no price."""
        rates = self._rates
        for tier in self.tiers:
            if input_tokens > tier.above_tokens:
                rates = _per_token(tier.input_usd_per_mtok, tier.output_usd_per_mtok, tier.cached_input_usd_per_mtok)
        return rates

    def _no_output_price(self, output_tokens: object) -> InvalidValueError:
        return InvalidValueError("output_tokens", f"0, as {self.model} has no output price", output_tokens)


def _usd(rates: Rates, fee_usd: float, input_tokens: Amount, output_tokens: Amount, cached: Amount) -> Amount:
    plain, output, reread = rates
    return (input_tokens - cached) * plain + cached * reread + fee_usd + output_tokens * (output or 0.0)


def _per_token(plain: float, output: float | None, cached: float | None) -> Rates:
    reread = plain if cached is None else cached
    return plain / TOKENS_PER_MTOK, None if output is None else output / TOKENS_PER_MTOK, reread / TOKENS_PER_MTOK


def _refuse_tokens(input_tokens: float, output_tokens: float, cached_input_tokens: float) -> None:
    if not 0 <= input_tokens < math.inf:
        raise InvalidValueError("input_tokens", "a number >= 0", input_tokens)
    if not 0 <= output_tokens < math.inf:
        raise InvalidValueError("output_tokens", "a number >= 0", output_tokens)
    raise InvalidValueError(
        "cached_input_tokens", f"between 0 and the {input_tokens:g} input tokens", cached_input_tokens
    )


def api_models(provider: str | None = None) -> tuple[str, ...]:
    """Names of all models in the snapshot, of one provider or of all, in alphabetical order."""
    chosen = providers().values() if provider is None else (one_provider(provider),)
    return tuple(sorted({model.id for seller in chosen for model in seller.models}))


def api_price(model: str, provider: str | None = None, as_of: date | str | None = None) -> ApiPrice:
    """What an API asks for a model's tokens.

    Parameters
    ----------
    model : str
        Name of the model as in the API, with or without the date of its release: ``gpt-4o-2024-08-06``.
    provider : str, optional
        Who serves it: ``openai``, ``azure``, ... Without it, the model's maker where the name tells who that is.
    as_of : datetime.date or ISO date string, optional
        The price as it was on that day; by default on the snapshot's own day.

    Raises
    ------
    UnknownNameError
        If no such model or provider is known; the message suggests the nearest.
    PriceNotFoundError
        If the snapshot knows the model but has no price for its tokens, or the day is after the snapshot's.
    AmbiguousPriceError
        If several providers serve it, none of which is known to be its maker.

    Notes
    -----
    A price that depends on the time of day is the mean of its 24 hours, and says so in its note. Prices per search, per
    page, per second of audio and for writing to a prompt cache are left out; the note names those a model has. Before
    the first change of a price that the snapshot knows, the price before that change is taken.

    Examples
    --------
    How many times as much as a fresh input token does an output token of gpt-4o cost, and a cached input token?

    >>> price = api_price("gpt-4o")
    >>> price.output_usd_per_mtok / price.input_usd_per_mtok
    4.0
    >>> price.cached_input_usd_per_mtok / price.input_usd_per_mtok
    0.5
    """
    snapshot, day = api_snapshot(), parse_day("as_of", as_of)
    if day is not None and day > snapshot.date and snapshot.dated:
        raise PriceNotFoundError(f"no API prices after {snapshot.date}, the day of genai-prices {snapshot.version}")
    if not isinstance(model, str) or not model:
        raise UnknownNameError("model", model, ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"))
    return _api_price(model, provider, day or snapshot.date)


@cache
def _api_price(name: str, provider_name: str | None, day: date) -> ApiPrice:
    found = find_model(name, provider_name)
    provider, model, owner = found.provider, found.model, found.owner
    prices, changes = _prices_on(model, day)
    plain, output, cached = (prices.pop(f"{kind}_mtok", None) for kind in ("input", "output", "cache_read"))
    if plain is None:
        what = f"only {', '.join(prices)}" if prices else "no price at all"
        raise PriceNotFoundError(f"no price per input token for {model.id!r} at {provider.id}; there is {what}")
    per_request = prices.pop("requests_kcount", None)
    starts = sorted({tier.start for price in (plain, output, cached) for tier in getattr(price, "tiers", ())})
    notes = [f"not counted: {', '.join(sorted(prices))}"] if prices else []
    notes += ["the price changes with the hour; this is the mean over a day"] if changes else []
    notes += [f"price as at {owner.id}"] if owner is not provider else []
    notes += ["listed as free"] if plain == 0 else []
    return ApiPrice(
        model=model.id,
        provider=provider.id,
        input_usd_per_mtok=_at(plain, 0) or 0.0,
        output_usd_per_mtok=_at(output, 0),
        cached_input_usd_per_mtok=_at(cached, 0),
        usd_per_request=(_at(per_request, 0) or 0.0) / 1000,
        tiers=tuple(ApiTier(s, _at(plain, s + 1) or 0.0, _at(output, s + 1), _at(cached, s + 1)) for s in starts),
        as_of=day,
        snapshot=api_snapshot(),
        source_url=(owner.pricing_urls or [""])[0],
        note="; ".join(notes),
    )


def _prices_on(model: ModelInfo, day: date) -> tuple[dict[str, ListedPrice], bool]:
    """A model's prices on a day, and whether they change with the hour; then each is the mean of the 24 hours."""
    hours: list[dict[str, ListedPrice]] = [
        {key: price for key, price in vars(model.get_prices(moment)).items() if price is not None}
        for moment in (datetime(day.year, day.month, day.day, hour, 45, tzinfo=UTC) for hour in range(HOURS_PER_DAY))
    ]
    if all(hour == hours[0] for hour in hours):
        return hours[0], False
    return {key: sum((_base(hour[key]) for hour in hours), Decimal()) / HOURS_PER_DAY for key in hours[0]}, True


def _at(price: ListedPrice | None, input_tokens: int) -> float | None:
    """A price, or the rate of a tiered one for a request of this length."""
    if price is None:
        return None
    rate = _base(price)
    for tier in getattr(price, "tiers", ()):
        rate = tier.price if input_tokens > tier.start else rate
    return float(rate)


def _base(price: ListedPrice) -> Decimal:
    return price if isinstance(price, Decimal) else price.base
