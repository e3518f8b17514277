"""What APIs ask for their tokens, from the snapshot in the library ``genai-prices``; the price of a request."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from costlab._internal import checks
from costlab._internal.arrays import numpy_of
from costlab.catalog.model_ids import FoundModel, find_model
from costlab.catalog.price_snapshot import ApiSnapshot, api_snapshot
from costlab.catalog.prices import parse_day
from costlab.catalog.provider_ids import one_provider, providers
from costlab.catalog.service_tiers import prices_at, tier_known_from, tier_start
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.events.request import PARTS
from costlab.units import SECONDS_PER_DAY, TOKENS_PER_MTOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from genai_prices.types import TieredPrices

    from costlab._internal.arrays import Array, FloatArray, NumberOrArray

    ListedPrice: TypeAlias = Decimal | TieredPrices

#: The kinds of tokens that may have a price of their own: what the snapshot calls it, and the kind that they are a part
#: of and otherwise cost the same as. The one table from which fields, formula and checks follow.
_KINDS: Final = {
    "input": ("input_mtok", ""),
    "output": ("output_mtok", ""),
    "cached_input": ("cache_read_mtok", "input"),
    "cache_write": ("cache_write_mtok", "input"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write"),
    "audio_input": ("input_audio_mtok", "input"),
    "cached_audio_input": ("cache_audio_read_mtok", "cached_input"),
    "image_input": ("input_image_mtok", "input"),
    "reasoning": ("output_reasoning_mtok", "output"),
    "audio_output": ("output_audio_mtok", "output"),
    "image_output": ("output_image_mtok", "output"),
}
#: Those of them that a request rarely has, as their counts are called.
_PARTS: Final = tuple(f"{kind}_tokens" for kind in list(_KINDS)[3:])


class RequestParts(TypedDict, total=False):
    """What else a request may have used; each a number or an array, with the meaning of `RequestEvent`'s fields."""

    cache_write_tokens: NumberOrArray
    cache_write_1h_tokens: NumberOrArray
    audio_input_tokens: NumberOrArray
    cached_audio_input_tokens: NumberOrArray
    image_input_tokens: NumberOrArray
    reasoning_tokens: NumberOrArray
    audio_output_tokens: NumberOrArray
    image_output_tokens: NumberOrArray
    searches: NumberOrArray
    request_fee_usd: NumberOrArray
    requests: NumberOrArray


class Arithmetic(Protocol):
    """An expression of a data frame, a column, an array: whatever a price can be computed of, row by row."""

    def __add__(self, other: object, /) -> Self: ...
    def __sub__(self, other: object, /) -> Self: ...
    def __mul__(self, other: object, /) -> Self: ...
    def __gt__(self, other: object, /) -> Self: ...


#: USD per token of each kind of :data:`_KINDS`, above what the whole costs that it is a part of.
Steps: TypeAlias = tuple[float, ...]
#: USD per input, output and cached input token.
Rates: TypeAlias = tuple[float, float | None, float]

Column = TypeVar("Column", bound=Arithmetic)


@dataclass(frozen=True, slots=True)
class ApiTier:
    """Rates for requests longer than `above_tokens` input tokens; otherwise as in :class:`ApiPrice`."""

    above_tokens: int
    input_usd_per_mtok: float
    output_usd_per_mtok: float | None
    cached_input_usd_per_mtok: float | None
    cache_write_usd_per_mtok: float | None = None
    cache_write_1h_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    cached_audio_input_usd_per_mtok: float | None = None
    image_input_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    image_output_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrice:
    """What an API asks for its tokens.

    Attributes
    ----------
    model, provider : str
        As the snapshot calls them.
    input_usd_per_mtok, output_usd_per_mtok : float, float or None
        USD per million input tokens and output tokens. None where no one says what output costs: a request with output
        is then refused.
    cached_input_usd_per_mtok, cache_write_usd_per_mtok, cache_write_1h_usd_per_mtok : float or None
        USD per million input tokens that were read from the provider's prompt cache, written to it for a short time
        (five minutes at Anthropic), or for an hour. None where they cost what others cost: fresh input, or the shorter
        writing.
    audio_input_usd_per_mtok, cached_audio_input_usd_per_mtok, image_input_usd_per_mtok : float or None
        The same of input that is audio, audio from the cache, or images. None where it costs what other input costs.
    reasoning_usd_per_mtok, audio_output_usd_per_mtok, image_output_usd_per_mtok : float or None
        The same of output. None where it costs what other output costs.
    usd_per_request : float
        USD for every request on top of its tokens; 0 for most models.
    usd_per_search : float or None
        USD for a search that the provider makes for an answer. None where the snapshot knows no such price: a request
        with searches is then refused.
    tiers : tuple of ApiTier
        Prices of longer requests, shortest first: a request with more input tokens than a tier's `above_tokens`, cached
        and written ones included, pays that tier's rates for *all* its tokens.
    service_tier : {'standard', 'batch', 'flex', 'priority'}
        For which of the provider's tiers of service the price holds.
    discount_fraction : float
        What was taken off the list price, in 0..1.
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
    cache_write_usd_per_mtok: float | None = None
    cache_write_1h_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    cached_audio_input_usd_per_mtok: float | None = None
    image_input_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    image_output_usd_per_mtok: float | None = None
    usd_per_request: float = 0.0
    usd_per_search: float | None = None
    tiers: tuple[ApiTier, ...] = ()
    service_tier: str = "standard"
    discount_fraction: float = 0.0
    as_of: date
    snapshot: ApiSnapshot
    source_url: str
    note: str = ""
    _steps: Steps = field(init=False, repr=False, compare=False)
    _tier_steps: tuple[tuple[float, Steps], ...] = field(init=False, repr=False, compare=False)
    _first_tier: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in (*(f"{kind}_usd_per_mtok" for kind in _KINDS), "usd_per_request", "usd_per_search"):
            if getattr(self, name) is not None:
                checks.non_negative(name, getattr(self, name))
        object.__setattr__(self, "_steps", _steps(self))
        tiers = tuple((tier.above_tokens, _steps(tier)) for tier in self.tiers)
        object.__setattr__(self, "_tier_steps", tiers)
        object.__setattr__(self, "_first_tier", tiers[0][0] if tiers else math.inf)

    @overload
    def usd(self, input_tokens: float, output_tokens: float = 0.0, cached_input_tokens: float = 0.0) -> float: ...

    @overload
    def usd(
        self,
        input_tokens: Array,
        output_tokens: NumberOrArray = 0.0,
        cached_input_tokens: NumberOrArray = 0.0,
        **parts: Unpack[RequestParts],
    ) -> FloatArray: ...

    @overload
    def usd(
        self, input_tokens: float, output_tokens: float = 0.0, cached_input_tokens: float = 0.0, **parts: float
    ) -> float: ...

    def usd(
        self, input_tokens: Any, output_tokens: Any = 0.0, cached_input_tokens: Any = 0.0, **parts: Any
    ) -> float | FloatArray:
        r"""The price in USD of one request, or of each of many.

        .. math:: \text{usd} = \sum_k n_k\, p_k + n_\text{searches}\, p_\text{search} + p_\text{request}

        over the kinds of tokens :math:`k` into which input and output fall apart: fresh input is what is left of
        `input_tokens` after those kinds of it that have a price of their own.

        Parameters
        ----------
        input_tokens : float or numpy.ndarray
            All input tokens of the request, >= 0: cached, written, audio and image tokens included. An array prices
            many requests; the others may then be arrays that broadcast against it.
        output_tokens : float or numpy.ndarray
            All tokens of the answer, >= 0, those of reasoning, audio and images included.
        cached_input_tokens : float or numpy.ndarray
            How many of the input tokens were read from the prompt cache: at most `input_tokens`.
        cache_write_tokens, cache_write_1h_tokens : float or numpy.ndarray, optional
            How many of the input tokens were written to the prompt cache, and how many of these for an hour.
        audio_input_tokens, cached_audio_input_tokens, image_input_tokens : float or numpy.ndarray, optional
            How many of the input tokens are audio, how many of these were read from the cache, and how many are images.
        reasoning_tokens, audio_output_tokens, image_output_tokens : float or numpy.ndarray, optional
            How many of the output tokens are reasoning, audio, or images.
        searches : float or numpy.ndarray, optional
            Searches that the provider made for the answer.
        request_fee_usd : float or numpy.ndarray, optional
            The fee for the request where it is known; otherwise it is `usd_per_request`.
        requests : float or numpy.ndarray, optional
            Of how many requests, equally long, the counts are the sum, > 0; by default 1.

        Raises
        ------
        InvalidValueError
            If a number is outside its domain, parts are more than their whole, or there are output tokens or searches
            and no price for them.

        Examples
        --------
        What does a question of 100,000 tokens to Claude cost that writes 80,000 of them to the cache, and what the
        next one, which finds them there?

        >>> claude = api_price("claude-sonnet-4-5")
        >>> first, next_one = claude.usd(100_000, cache_write_tokens=80_000), claude.usd(100_000, 0, 80_000)
        >>> round(first, 3), round(next_one, 3)
        (0.36, 0.084)
        """
        numpy = numpy_of(input_tokens, output_tokens, cached_input_tokens) or (parts and numpy_of(*parts.values()))
        if numpy:
            return self._usd_of_arrays(numpy, input_tokens, output_tokens, cached_input_tokens, **parts)
        if not (0 <= cached_input_tokens <= input_tokens < math.inf and 0 <= output_tokens < math.inf):
            _refuse_tokens(input_tokens, output_tokens, cached_input_tokens)
        if parts:
            return self._usd_of_parts(input_tokens, output_tokens, cached_input_tokens, parts)
        steps = self._steps if input_tokens <= self._first_tier else self._steps_at(input_tokens)
        if output_tokens and self.output_usd_per_mtok is None:
            self._check_priced(output_tokens, 0)
        usd: float = input_tokens * steps[0] + output_tokens * steps[1] + cached_input_tokens * steps[2]
        return usd + self.usd_per_request

    def _usd_of_parts(self, tokens_in: float, tokens_out: float, cached: float, parts: dict[str, float]) -> float:
        _check_parts(bool, tokens_in, tokens_out, cached, parts)
        self._check_priced(tokens_out, parts.get("searches", 0))
        steps = self._steps_at(tokens_in / parts.get("requests", 1))
        usd: float = tokens_in * steps[0] + tokens_out * steps[1] + cached * steps[2]
        usd += sum(parts.get(name, 0) * step for name, step in zip(_PARTS, steps[3:], strict=True))
        usd += self._usd_beside(parts)
        return usd

    def _usd_of_arrays(self, numpy: ModuleType, *tokens: NumberOrArray, **parts: NumberOrArray) -> FloatArray:
        tokens_in, tokens_out, cached = (numpy.asarray(value, float) for value in tokens)
        valid = (cached >= 0).all() and (cached <= tokens_in).all() and (tokens_out >= 0).all()
        if not (valid and tokens_in.max(initial=0) < math.inf and tokens_out.max(initial=0) < math.inf):
            raise InvalidValueError(
                "tokens", "numbers >= 0, the cached ones among the input tokens", "a row that is not"
            )
        arrays = {name: numpy.asarray(value, float) for name, value in parts.items()}
        if arrays:
            _check_parts(numpy.all, tokens_in, tokens_out, cached, arrays)
        searches = arrays["searches"].max(initial=0) if "searches" in arrays else 0
        self._check_priced(tokens_out.max(initial=0), searches)
        usd: FloatArray = self.usd_of_columns(
            tokens_in,
            tokens_out,
            cached,
            lambda condition, value, other: numpy.where(condition, math.nan if value is None else value, other),
            **arrays,
        )
        return usd

    def usd_of_columns(
        self,
        input_tokens: Column,
        output_tokens: Column,
        cached_input_tokens: Column,
        where: Callable[[Column, Column | None, Column], Column],
        **parts: Column,
    ) -> Column:
        """The formula of :meth:`usd`, unchecked, on whatever has arithmetic: expressions of a data frame or of a query.

        Parameters
        ----------
        input_tokens, output_tokens, cached_input_tokens : expression
            As for :meth:`usd`.
        where : callable
            ``where(condition, value, other)`` is the expression that chooses row by row: `value` where the condition
            holds and `other` elsewhere. A value of None means a row that has no price.
        **parts : expression
            What else :meth:`usd` takes. What is not given is not in the expression.
        """
        given = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cached_input_tokens": cached_input_tokens,
        }
        counts = [{**given, **parts}.get(f"{kind}_tokens") for kind in _KINDS]

        def at(steps: Steps) -> Column:
            # What costs no more than the whole that it is a part of needs no term.
            terms: list[Any] = [n * step for n, step in zip(counts, steps, strict=True) if n is not None and step]
            return sum(terms[1:], terms[0] if terms else input_tokens * 0.0)

        usd = at(self._steps)
        for above, steps in self._tier_steps:
            limit: Any = parts["requests"] * above if "requests" in parts else above
            usd = where(input_tokens > limit, at(steps), usd)
        beside = self._usd_beside(parts)
        if not isinstance(beside, float) or beside:
            usd = usd + beside
        if self.output_usd_per_mtok is None:
            usd = where(output_tokens > 0, None, usd)
        if self.usd_per_search is None and "searches" in parts:
            usd = where(parts["searches"] > 0, None, usd)
        return usd

    def _usd_beside(self, parts: Mapping[str, Any]) -> Any:
        """What a request costs beside its tokens, for numbers, arrays and expressions."""
        usd = parts.get("request_fee_usd")
        if usd is None:
            usd = parts["requests"] * self.usd_per_request if "requests" in parts else self.usd_per_request
        return usd + parts["searches"] * self.usd_per_search if "searches" in parts and self.usd_per_search else usd

    def rates_per_token(self, input_tokens: float) -> Rates:
        """USD per input, output and cached input token of a request of this length; None where output has no price."""
        plain, output, cached, *_ = self._steps_at(input_tokens)
        return plain, None if self.output_usd_per_mtok is None else output, plain + cached

    def usd_per_token(self, kind: str, input_tokens: float = 0.0) -> float:
        """USD per token of a kind (``cache_write``, ``reasoning``, ...) in a request of this length.

        Examples
        --------
        How many times as much as fresh input is what Claude writes to its cache for an hour?

        >>> claude = api_price("claude-sonnet-4-5")
        >>> round(claude.usd_per_token("cache_write_1h") / claude.usd_per_token("input"), 6)
        2.0
        """
        steps = dict(zip(_KINDS, self._steps_at(input_tokens), strict=True))
        usd, whole = 0.0, checks.one_of("kind of tokens", kind, _KINDS)
        while whole:
            usd, whole = usd + steps[whole], _KINDS[whole][1]
        return usd + (steps["audio_input"] if kind == "cached_audio_input" else 0.0)

    def discounted(self, fraction: float) -> ApiPrice:
        """The price with a negotiated share of it taken off, in 0..1."""
        left = 1 - checks.fraction("fraction", fraction)
        if left == 1:
            return self

        def less(price: ApiPrice | ApiTier) -> dict[str, Any]:
            amounts = {name: getattr(price, name) for name in _AMOUNTS if hasattr(price, name)}
            return {name: amount * left for name, amount in amounts.items() if amount is not None}

        tiers = tuple(replace(tier, **less(tier)) for tier in self.tiers)
        off = 1 - left * (1 - self.discount_fraction)
        return replace(self, **less(self), tiers=tiers, discount_fraction=off)

    def _steps_at(self, input_tokens: float) -> Steps:
        found = self._steps
        for above, steps in self._tier_steps:
            found = steps if input_tokens > above else found
        return found

    def _check_priced(self, output_tokens: float, searches: float) -> None:
        if output_tokens and self.output_usd_per_mtok is None:
            raise InvalidValueError("output_tokens", f"0, as {self.model} has no output price", output_tokens)
        if searches and self.usd_per_search is None:
            raise InvalidValueError("searches", f"0, as {self.model} has no price per search", searches)


#: The fields of a price that are amounts.
_AMOUNTS: Final = (*(f"{kind}_usd_per_mtok" for kind in _KINDS), "usd_per_request", "usd_per_search")


def _steps(price: ApiPrice | ApiTier) -> Steps:
    """USD per token of each kind above what it costs as a part of its whole."""
    rates: dict[str, float] = {"": 0.0}
    for kind, (_, whole) in _KINDS.items():
        own = getattr(price, f"{kind}_usd_per_mtok")
        rates[kind] = rates[whole] if own is None else own / TOKENS_PER_MTOK
    if price.cached_input_usd_per_mtok is price.cached_audio_input_usd_per_mtok is None:
        rates["cached_audio_input"] = rates["audio_input"]  # nothing is known of the cache
    steps = {kind: rates[kind] - rates[whole] for kind, (_, whole) in _KINDS.items()}
    # Audio from the cache is audio too, and has paid for that already.
    steps["cached_audio_input"] -= steps["audio_input"]
    return tuple(steps.values())


def _check_parts(all_of: Callable[[Any], Any], input_: Any, output: Any, cached: Any, parts: Mapping[str, Any]) -> None:
    """Raise where a count is none, or parts are more than their whole; `all_of` sums up what holds of an array."""
    counts = {"input_tokens": input_, "output_tokens": output, "cached_input_tokens": cached, **parts}
    for name in parts:
        if name not in RequestParts.__annotations__:
            raise TypeError(f"usd() got an unexpected keyword argument {name!r}")
        if not all_of((counts[name] >= 0) & (counts[name] < math.inf)):
            raise InvalidValueError(name, "a number >= 0", counts[name] if all_of is bool else "a row that is not")
    for whole, names in PARTS:
        present = [name for name in names if name in counts]
        # Shares of a mean request add up to it within rounding.
        if present and not all_of(sum(counts[name] for name in present) <= counts.get(whole, 0.0) * (1 + 1e-12)):
            got = sum(counts[name] for name in present) if all_of is bool else "a row with more"
            raise InvalidValueError(" and ".join(present), f"at most {whole}, of which they are a part", got)


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


def api_price(
    model: str, provider: str | None = None, as_of: date | str | None = None, service_tier: str = "standard"
) -> ApiPrice:
    """What an API asks for a model's tokens.

    Parameters
    ----------
    model : str
        Name of the model as in the API or in a log, with or without the date of its release: ``gpt-4o-2024-08-06``,
        ``bedrock/us.amazon.nova-pro-v1:0``, ... (see :func:`resolve_model`).
    provider : str, optional
        Who serves it: ``openai``, ``azure``, ..., or what a log calls them (see :func:`provider_id`). Without it, the
        model's maker where the name tells who that is.
    as_of : datetime.date, datetime.datetime or ISO date string, optional
        The price as it was on that day, or at that moment (in UTC where it names no zone); by default on the snapshot's
        own day.
    service_tier : {'standard', 'batch', 'flex', 'priority'}
        For which of the provider's tiers of service.

    Raises
    ------
    UnknownNameError
        If no such model, provider or tier of service is known; the message suggests the nearest.
    PriceNotFoundError
        If the snapshot knows the model but has no price for its tokens, or none of that tier of service, or the day is
        after the snapshot's.
    AmbiguousPriceError
        If several providers serve it at different prices, none of which is known to be its maker.

    Notes
    -----
    A price that depends on the time of day is, for a day, the mean over it, and says so in its note. Prices per page,
    per second of audio and the like are left out; the note names those a model has. Before the first change of a price
    that the snapshot knows, the price before that change is taken. Where the snapshot has a price for input alone, as
    for an embedding model, output is not billed.

    Examples
    --------
    How many times as much as a fresh input token does an output token of gpt-4o cost, and a cached input token?

    >>> price = api_price("gpt-4o")
    >>> price.output_usd_per_mtok / price.input_usd_per_mtok
    4.0
    >>> price.cached_input_usd_per_mtok / price.input_usd_per_mtok
    0.5
    """
    snapshot = api_snapshot()
    moment = as_of if isinstance(as_of, datetime) else None
    if moment is not None:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    day = parse_day("as_of", as_of) if moment is None else moment.date()
    if day is not None and day > snapshot.date and snapshot.dated:
        raise PriceNotFoundError(f"no API prices after {snapshot.date}, the day of genai-prices {snapshot.version}")
    if not isinstance(model, str) or not model:
        raise UnknownNameError("model", model, ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"))
    if moment is not None:
        return _price_at(model, provider, moment, service_tier)
    return _price_on(model, provider, day or snapshot.date, service_tier)


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """A price, and when it holds.

    Attributes
    ----------
    from_s, until_s : float
        From when and until before when, in seconds since 1970-01-01 UTC; infinite where the snapshot knows no change.
    of_day_from_s, of_day_until_s : int
        From which second of the day (UTC) and until before which: 0 and 86,400 for a price that holds all day.
    price : ApiPrice
        The price.
    known_from : datetime.date
        The first day for which a price of the model and the tier is known; before it, the first one is taken.
    """

    from_s: float
    until_s: float
    of_day_from_s: int
    of_day_until_s: int
    price: ApiPrice
    known_from: date


@cache
def price_periods(model: str, provider: str | None = None, service_tier: str = "standard") -> tuple[PricePeriod, ...]:
    """All prices of a model, one after the other; those that change with the hour also within the day.

    Parameters
    ----------
    model, provider, service_tier : str
        As for :func:`api_price`.

    Raises
    ------
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        As :func:`api_price`.

    Notes
    -----
    Prices that are announced are among them. There is no period for a time for which the snapshot has no price. It does
    not say since when it knows the first price of a model. That is the latest of the days on which its history begins,
    on which the model was released, if its name says so, and on which someone first looked up the tier.

    Examples
    --------
    When did OpenAI change the price of o3, and from what to what, in USD per million input tokens?

    >>> from datetime import datetime, timezone
    >>> before, after = price_periods("o3")
    >>> print(datetime.fromtimestamp(after.from_s, timezone.utc).date(), before.price.input_usd_per_mtok,
    ...       after.price.input_usd_per_mtok)
    2025-06-10 10.0 2.0
    """
    found = find_model(model, provider)
    began = tier_start(found, service_tier)
    days = {constraint.start_date for constraint in _constraints(found, "start_date")}
    changes = sorted(days if began is None else days | {began})
    first = changes[0] - timedelta(days=1) if changes else api_snapshot().date
    known_from = _known_from(found, service_tier)
    periods: list[PricePeriod] = []
    refused: PriceNotFoundError | None = None
    for day, until in zip([first, *changes], [*changes, None], strict=True):
        from_s = -math.inf if day is first else _midnight(day).timestamp()
        until_s = math.inf if until is None else _midnight(until).timestamp()
        for of_day in _day_parts(found):
            try:
                price = _price_at(model, provider, _midnight(day) + timedelta(seconds=of_day[0]), service_tier)
            except PriceNotFoundError as error:
                refused = error
            else:
                periods.append(PricePeriod(from_s, until_s, *of_day, price, known_from))
    if not periods and refused is not None:
        raise refused
    return _merged(periods)


@cache
def _history_begins() -> date:
    """The first change of a price that the snapshot dates: of the time before, it holds no more than one price each."""
    models = (model for seller in providers().values() for model in seller.models)
    prices = (price for model in models if isinstance(model.prices, list) for price in model.prices)
    days = [getattr(price.constraint, "start_date", None) for price in prices]
    return min((day for day in days if day is not None), default=date.min)


def _known_from(found: FoundModel, service_tier: str) -> date:
    days = [_history_begins()]
    prices = found.model.prices if isinstance(found.model.prices, list) else []
    if prices and (first := getattr(prices[0].constraint, "start_date", None)) is not None:
        days.append(first)
    days += [day for name in (found.id.name, found.model.id) if (day := _release_day(name)) is not None]
    if service_tier != "standard":
        days += [day for day in [tier_known_from(found, service_tier)] if day is not None]
    return max(days)


def _release_day(name: str) -> date | None:
    """The day in a model's name: ``gpt-4o-2024-08-06``, ``claude-sonnet-4-5-20250929``; None where there is none."""
    for found in re.finditer(r"(?<!\d)(20\d\d)(-?)(\d\d)\2(\d\d)(?!\d)", name):
        try:
            day = date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:
            continue
        if day <= api_snapshot().date:
            return day
    return None


def _merged(periods: list[PricePeriod]) -> tuple[PricePeriod, ...]:
    """With neighbours of the same price as one: within the day, and then from day to day."""
    merged: list[PricePeriod] = []
    for period in sorted(periods, key=lambda period: (period.from_s, period.of_day_from_s)):
        last = merged[-1] if merged else None
        if last and _same_price(last, period) and last.from_s == period.from_s:
            merged[-1] = replace(last, of_day_until_s=period.of_day_until_s)
        else:
            merged.append(period)
    whole: list[PricePeriod] = []
    for period in merged:
        for place, before in enumerate(whole):
            hours = (before.of_day_from_s, before.of_day_until_s) == (period.of_day_from_s, period.of_day_until_s)
            if before.until_s == period.from_s and hours and _same_price(before, period):
                whole[place] = replace(before, until_s=period.until_s)
                break
        else:
            whole.append(period)
    return tuple(whole)


def _same_price(one: PricePeriod, other: PricePeriod) -> bool:
    return replace(one.price, as_of=other.price.as_of) == other.price


@cache
def _price_at(model: str, provider: str | None, moment: datetime, service_tier: str) -> ApiPrice:
    found = find_model(model, provider)
    return _price(found, prices_at(found, moment, service_tier), moment.date(), service_tier)


@cache
def _price_on(model: str, provider: str | None, day: date, service_tier: str) -> ApiPrice:
    """The price of a day: where it changes with the hour, the mean over it."""
    found = find_model(model, provider)
    parts = _day_parts(found)
    prices = [prices_at(found, _midnight(day) + timedelta(seconds=start), service_tier) for start, _ in parts]
    known_from = _known_from(found, service_tier)
    early = f"no price is known before {known_from}; this is the first" if day < known_from else ""
    if all(price == prices[0] for price in prices):
        return _price(found, prices[0], day, service_tier, early)
    mean: dict[str, ListedPrice] = {}
    for key in prices[0]:
        usd = sum(_base(price[key]) * (end - start) for price, (start, end) in zip(prices, parts, strict=True))
        mean[key] = Decimal(usd) / SECONDS_PER_DAY
    of_day = "the price changes with the hour; this is the mean over a day"
    return _price(found, mean, day, service_tier, "; ".join(filter(None, (of_day, early))))


def _price(
    found: FoundModel, listed: Mapping[str, ListedPrice], day: date, service_tier: str, note: str = ""
) -> ApiPrice:
    """A price from what the snapshot lists at a moment."""
    prices = dict(listed)
    kinds = {kind: prices.pop(key) for kind, (key, _) in _KINDS.items() if key in prices}
    if "input" not in kinds:
        what = f"only {', '.join(listed)}" if listed else "no price at all"
        raise PriceNotFoundError(
            f"no price per input token for {found.model.id!r} at {found.provider.id}; there is {what}"
        )
    per_request, per_search = (prices.pop(f"{name}_kcount", None) for name in ("requests", "web_searches"))
    starts = sorted({tier.start for price in kinds.values() for tier in getattr(price, "tiers", ())})
    notes = [f"not counted: {', '.join(sorted(prices))}"] if prices else []
    notes += [note] if note else []
    notes += [] if "output" in kinds else ["output is not billed"]
    notes += [f"price as at {found.owner.id}"] if found.owner is not found.provider else []
    notes += [f"called in {found.id.region}"] if found.id.region else []
    notes += [found.id.assumption] if found.id.assumption else []
    notes += ["listed as free"] if kinds["input"] == 0 else []

    def rates(input_tokens: int) -> dict[str, Any]:
        named = {f"{kind}_usd_per_mtok": _at(price, input_tokens) for kind, price in kinds.items()}
        return (
            dict.fromkeys(("output_usd_per_mtok", "cached_input_usd_per_mtok")) | {"output_usd_per_mtok": 0.0} | named
        )

    return ApiPrice(
        model=found.model.id,
        provider=found.provider.id,
        **rates(0),
        usd_per_request=0.0 if per_request is None else _at(per_request, 0) / 1000,
        usd_per_search=None if per_search is None else _at(per_search, 0) / 1000,
        tiers=tuple(ApiTier(start, **rates(start + 1)) for start in starts),
        service_tier=service_tier,
        as_of=day,
        snapshot=api_snapshot(),
        source_url=found.source_url,
        note="; ".join(notes),
    )


def _constraints(found: FoundModel, kind: str) -> Iterator[Any]:
    """The conditions in time on a model's prices: ``start_date`` or ``start_time``."""
    prices: Any = found.model.prices
    for price in (*(prices if isinstance(prices, list) else ()), *(found.model.price_variants or ())):
        if hasattr(price.constraint, kind):
            yield price.constraint


def _day_parts(found: FoundModel) -> tuple[tuple[int, int], ...]:
    """Seconds of the day (UTC) from which and until which prices stay the same."""
    times = [
        t for constraint in _constraints(found, "start_time") for t in (constraint.start_time, constraint.end_time)
    ]
    bounds = sorted({0, *(_second_of_day(moment) for moment in times)})
    return tuple(zip(bounds, [*bounds[1:], int(SECONDS_PER_DAY)], strict=True))


def _second_of_day(moment: time) -> int:
    at = datetime.combine(date(2000, 1, 1), moment)
    at = at.astimezone(UTC) if at.tzinfo else at
    return at.hour * 3600 + at.minute * 60 + at.second


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _at(price: ListedPrice, input_tokens: int) -> float:
    """A price, or the rate of a tiered one for a request of this length."""
    rate = _base(price)
    for tier in getattr(price, "tiers", ()):
        rate = tier.price if input_tokens > tier.start else rate
    return float(rate)


def _base(price: ListedPrice) -> Decimal:
    return price if isinstance(price, Decimal) else price.base
