"""What requests add up to, and the figures that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from costlab.units import MICRO_USD_PER_USD

__all__ = ["SUMS", "Usage", "roll_up"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group of requests adds up to.

    Attributes
    ----------
    key : tuple
        What the group has in common, in the order of `by`: names, or the second at which an hour begins.
    requests : int
        All requests.
    unpriced_requests : int
        Those without a known cost. They are in no figure in dollars.
    cached_requests, failed_requests, refused_requests : int
        Those answered from a response cache, those that ended in an error, a timeout or a cancellation, and those that
        were not admitted.
    input_tokens, cached_input_tokens, output_tokens : int
        Tokens of all requests. Cached input tokens are a part of the input tokens.
    priced_tokens : int
        Input and output tokens of the requests with a known cost.
    cost_micro_usd, failed_cost_micro_usd : int
        Cost of the priced requests, and of those of them that failed, in micro-dollars.
    conversions, conversion_value_micro_usd : int
        Requests that led to a conversion, and what they earned, in micro-dollars.
    latency_us : int
        Sum of the latencies that are known, in microseconds.
    timed_requests : int
        Requests with a known latency.
    first_s, last_s : float
        Times of the first and of the last request, in seconds since 1970-01-01 UTC.
    """

    key: tuple[Any, ...]
    requests: int
    unpriced_requests: int
    cached_requests: int
    failed_requests: int
    refused_requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    priced_tokens: int
    cost_micro_usd: int
    failed_cost_micro_usd: int
    conversions: int
    conversion_value_micro_usd: int
    latency_us: int
    timed_requests: int
    first_s: float
    last_s: float

    @property
    def cost_usd(self) -> float:
        """Cost of the priced requests in USD."""
        return self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def priced_requests(self) -> int:
        """Requests with a known cost."""
        return self.requests - self.unpriced_requests

    @property
    def unpriced_fraction(self) -> float:
        """Share of the requests without a known cost; 0 of none."""
        return self.unpriced_requests / self.requests if self.requests else 0.0

    @property
    def usd_per_request(self) -> float | None:
        """Mean cost of a priced request in USD; None where there is none."""
        return self.cost_usd / self.priced_requests if self.priced_requests else None

    @property
    def usd_per_1k_tokens(self) -> float | None:
        """USD per thousand tokens of priced requests, input and output together; None where there are none."""
        return 1000 * self.cost_usd / self.priced_tokens if self.priced_tokens else None

    @property
    def usd_per_conversion(self) -> float | None:
        """Cost of *all* priced requests over the conversions, in USD; None without conversions or without prices."""
        return self.cost_usd / self.conversions if self.conversions and self.priced_requests else None

    @property
    def revenue_usd(self) -> float:
        """What the conversions earned, in USD."""
        return self.conversion_value_micro_usd / MICRO_USD_PER_USD

    @property
    def revenue_usd_per_conversion(self) -> float | None:
        """USD earned by a conversion, on average; None where there is none."""
        return self.revenue_usd / self.conversions if self.conversions else None

    @property
    def cost_of_revenue_fraction(self) -> float | None:
        """Cost as a share of what the conversions earned, above 1 where it exceeds it; None if nothing was earned."""
        priced = self.conversion_value_micro_usd and self.priced_requests
        return self.cost_micro_usd / self.conversion_value_micro_usd if priced else None

    @property
    def cached_input_fraction(self) -> float:
        """Share of the input tokens that were read from the provider's prompt cache; 0 of none."""
        return self.cached_input_tokens / self.input_tokens if self.input_tokens else 0.0

    @property
    def mean_latency_s(self) -> float | None:
        """Mean of the known latencies in seconds; None where none is known."""
        return self.latency_us / 1e6 / self.timed_requests if self.timed_requests else None


#: The fields that are sums.
SUMS: Final = tuple(name for name in Usage.__dataclass_fields__ if name not in ("key", "first_s", "last_s"))


def roll_up(cells: Iterable[Usage], *positions: int) -> tuple[Usage, ...]:
    """Groups added up to fewer: those that agree in the parts of the key at `positions`.

    Examples
    --------
    From tier and model to the tier alone?

    >>> import pandas
    >>> from costlab.monitoring.usage import usage
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 60.0], "tier": ["large", "large"], "model": ["gpt-4o", "gpt-4.1"],
    ...     "input_tokens": [400, 400], "output_tokens": [200, 200], "cost_micro_usd": [3000, 2400],
    ... })
    >>> [(one.key, one.cost_micro_usd) for one in roll_up(usage(log, by=["tier", "model"]), 0)]
    [(('large',), 5400)]
    """
    groups: dict[tuple[Any, ...], list[Usage]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell.key[position] for position in positions), []).append(cell)
    return tuple(
        Usage(
            key=key,
            **{name: sum(getattr(one, name) for one in groups[key]) for name in SUMS},
            first_s=min(one.first_s for one in groups[key]),
            last_s=max(one.last_s for one in groups[key]),
        )
        for key in sorted(groups)
    )
