"""What an API asks for its tokens, and the price of a request that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast, overload

from costlab._internal import checks
from costlab._internal.arrays import numpy_of
from costlab.errors import InvalidValueError
from costlab.units import TOKENS_PER_MTOK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from costlab._internal.arrays import Array, FloatArray, NumberOrArray

__all__ = ["ApiPrice", "ApiSnapshot", "ApiTier"]


class Arithmetic(Protocol):
    """An expression of a data frame, a column, an array: whatever a price can be computed of, row by row."""

    def __add__(self, other: object, /) -> Self: ...
    def __sub__(self, other: object, /) -> Self: ...
    def __mul__(self, other: object, /) -> Self: ...
    def __gt__(self, other: object, /) -> Self: ...


Column = TypeVar("Column", bound=Arithmetic)
Amount = TypeVar("Amount", float, Arithmetic)


@dataclass(frozen=True, slots=True)
class ApiSnapshot:
    """The collection of API prices in use.

    Attributes
    ----------
    version : str
        Release of ``genai-prices``.
    date : datetime.date
        The day for which its prices hold.
    dated : bool
        False for a release whose day we do not know: its prices are at least as new as `date`.
    """

    version: str
    date: date
    dated: bool = True


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
    input_usd_per_mtok : float
        USD per million input tokens.
    output_usd_per_mtok : float or None
        USD per million output tokens; None where the model has no output to bill, such as an embedding model.
    cached_input_usd_per_mtok : float or None
        USD per million input tokens read from the provider's prompt cache; None where it has no such price, and such
        tokens are billed like others.
    usd_per_request : float
        USD for every request on top of its tokens; 0 for most models.
    tiers : tuple of ApiTier
        Prices of longer requests, shortest first: a request with more input tokens than a tier's `above_tokens` pays
        that tier's rates for *all* its tokens.
    as_of : datetime.date
        The day on which the price holds.
    snapshot : ApiSnapshot
        Where it was read.
    source_url : str
        The provider's page, as the snapshot names it.
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
    _rates: tuple[float, float, float] = field(init=False, repr=False, compare=False)
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
        if rates[1] != rates[1]:
            if output_tokens:
                raise self._no_output_price(output_tokens)
            rates = (rates[0], 0.0, rates[2])
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
        """The formula of :meth:`usd` on whatever can be computed with: expressions of a data frame or of a query.

        Parameters
        ----------
        input_tokens, output_tokens, cached_input_tokens : expression
            As for :meth:`usd`. Nothing is checked.
        where : callable
            ``where(condition, value, other)`` is the expression that chooses row by row: `value` where the condition
            holds and `other` elsewhere. A value of None stands for a row that has no price.

        Returns
        -------
        expression
            USD of each row.
        """
        tokens = (input_tokens, output_tokens, cached_input_tokens)

        def at(rates: tuple[float, float, float]) -> Column:
            if rates[1] == rates[1]:
                return cast("Column", _usd(rates, self.usd_per_request, *tokens))
            without = cast("Column", _usd((rates[0], 0.0, rates[2]), self.usd_per_request, *tokens))
            return where(output_tokens > 0, None, without)

        usd = at(self._rates)
        for tier in self.tiers:
            usd = where(input_tokens > tier.above_tokens, at(self.rates_per_token(tier.above_tokens + 1)), usd)
        return usd

    def _no_output_price(self, output_tokens: object) -> InvalidValueError:
        return InvalidValueError("output_tokens", f"0, as {self.model} has no output price", output_tokens)

    def rates_per_token(self, input_tokens: float) -> tuple[float, float, float]:
        """USD per input, output and cached input token of a request of this length; NaN for an output without price."""
        rates = self._rates
        for tier in self.tiers:
            if input_tokens > tier.above_tokens:
                rates = _per_token(tier.input_usd_per_mtok, tier.output_usd_per_mtok, tier.cached_input_usd_per_mtok)
        return rates


def _usd(
    rates: tuple[float, float, float], fee_usd: float, input_tokens: Amount, output_tokens: Amount, cached: Amount
) -> Amount:
    plain, output, reread = rates
    return (input_tokens - cached) * plain + cached * reread + fee_usd + output_tokens * output


def _per_token(plain: float, output: float | None, cached: float | None) -> tuple[float, float, float]:
    rates = (plain, math.nan if output is None else output, plain if cached is None else cached)
    return (rates[0] / TOKENS_PER_MTOK, rates[1] / TOKENS_PER_MTOK, rates[2] / TOKENS_PER_MTOK)


def _refuse_tokens(input_tokens: float, output_tokens: float, cached_input_tokens: float) -> None:
    if not 0 <= input_tokens < math.inf:
        raise InvalidValueError("input_tokens", "a number >= 0", input_tokens)
    if not 0 <= output_tokens < math.inf:
        raise InvalidValueError("output_tokens", "a number >= 0", output_tokens)
    raise InvalidValueError(
        "cached_input_tokens", f"between 0 and the {input_tokens:g} input tokens", cached_input_tokens
    )
