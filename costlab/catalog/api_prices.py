"""What an API asks for its tokens, and the price of a request that follows."""

import math
from dataclasses import dataclass, field
from datetime import date

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import TOKENS_PER_MTOK

__all__ = ["ApiPrice", "ApiSnapshot", "ApiTier"]


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

    def usd(self, input_tokens: float, output_tokens: float = 0.0, cached_input_tokens: float = 0.0) -> float:
        r"""The price of one request in USD.

        .. math:: \text{usd} = (n_\text{in} - n_\text{cached})\, p_\text{in} + n_\text{cached}\, p_\text{cached}
                  + n_\text{out}\, p_\text{out} + p_\text{request}

        Parameters
        ----------
        input_tokens : float
            All input tokens of the request, cached ones included, >= 0.
        output_tokens : float
            Tokens of the answer, >= 0.
        cached_input_tokens : float
            How many of the input tokens were read from the prompt cache: at most `input_tokens`.

        Raises
        ------
        InvalidValueError
            If a number is outside its domain, or there are output tokens and the model has no price for them.
        """
        if not (0 <= cached_input_tokens <= input_tokens < math.inf and 0 <= output_tokens < math.inf):
            _refuse_tokens(input_tokens, output_tokens, cached_input_tokens)
        plain, output, cached = self._rates if input_tokens <= self._first_tier else self.rates_per_token(input_tokens)
        if output_tokens:
            if output != output:  # NaN marks the price that does not exist
                raise InvalidValueError("output_tokens", f"0, as {self.model} has no output price", output_tokens)
            fresh = (input_tokens - cached_input_tokens) * plain
            return fresh + cached_input_tokens * cached + output_tokens * output + self.usd_per_request
        return (input_tokens - cached_input_tokens) * plain + cached_input_tokens * cached + self.usd_per_request

    def rates_per_token(self, input_tokens: float) -> tuple[float, float, float]:
        """USD per input, output and cached input token of a request of this length; NaN for an output without price."""
        rates = self._rates
        for tier in self.tiers:
            if input_tokens > tier.above_tokens:
                rates = _per_token(tier.input_usd_per_mtok, tier.output_usd_per_mtok, tier.cached_input_usd_per_mtok)
        return rates


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
