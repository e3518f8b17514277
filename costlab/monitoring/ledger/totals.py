"""Sums over a ledger."""

from dataclasses import dataclass

from costlab.units import MICRO_USD_PER_USD

__all__ = ["LedgerTotals"]


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What the requests of a ledger, or of a stretch of time in it, add up to. Integers, hence exact.

    Attributes
    ----------
    requests : int
        All requests, however they ended.
    unpriced_requests : int
        Those among them for which no price was known: they are in no sum of money.
    cost_micro_usd : int
        Cost of the priced requests in micro-dollars.
    input_tokens, cached_input_tokens, output_tokens : int
        Tokens; the cached ones are a part of the input tokens.
    conversions : int
        Requests that led to a conversion.
    conversion_value_micro_usd : int
        What the conversions earned, in micro-dollars.
    first_time_s, last_time_s : float or None
        Least and greatest time, in seconds since 1970-01-01 UTC; None without requests.
    """

    requests: int
    unpriced_requests: int
    cost_micro_usd: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    conversions: int
    conversion_value_micro_usd: int
    first_time_s: float | None
    last_time_s: float | None

    @property
    def cost_usd(self) -> float:
        """Cost of the priced requests in USD."""
        return self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def unpriced_fraction(self) -> float:
        """Share of the requests without a price, in 0..1; 0 without requests."""
        return self.unpriced_requests / self.requests if self.requests else 0.0
