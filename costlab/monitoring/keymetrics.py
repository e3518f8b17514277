"""The six metrics of the source lesson (S8), from a log of requests and one of GPU hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from costlab.monitoring.gpu_hours import GpuUsage, gpu_usage
from costlab.monitoring.usage import UsageTotals, aggregate, roll_up

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame


@dataclass(frozen=True, slots=True)
class KeyMetrics:
    """The six metrics over the whole of a log.

    Attributes
    ----------
    cost_per_request_usd : float or None
        Mean cost of a priced request; with the GPU bill on top where that was asked for. None where nothing is priced.
    gpu_cost_per_request_usd : float or None
        The GPU bill over the requests served (answered by a model or from a cache): S8's own formula. None without
        a log of GPU hours, or without requests.
    gpu_utilization_fraction : float or None
        Share of the GPU-hours in which GPUs computed. None where it is not known.
    daily_gpu_spend_usd : mapping of int to float
        USD of each day (UTC), by the second at which the day begins.
    cost_by_tier_usd, requests_by_tier_fraction : mapping of str to float
        USD of each tier, and its share of the requests.
    cost_per_conversion_usd : float or None
        All costs over the conversions.
    cost_of_revenue_fraction : float or None
        The same as a share of the revenue per conversion; the target is below 0.05.
    idle_gpu_hours : float or None
        GPU-hours below 10 % utilization. None without a log of GPU hours.
    unpriced_requests : int
        Requests in no figure in dollars, since no one knows what they cost.
    unpriced_fraction : float
        Their share of all requests.
    """

    cost_per_request_usd: float | None
    gpu_cost_per_request_usd: float | None
    gpu_utilization_fraction: float | None
    daily_gpu_spend_usd: Mapping[int, float]
    cost_by_tier_usd: Mapping[str, float]
    requests_by_tier_fraction: Mapping[str, float]
    cost_per_conversion_usd: float | None
    cost_of_revenue_fraction: float | None
    idle_gpu_hours: float | None
    unpriced_requests: int
    unpriced_fraction: float

    @classmethod
    def from_groups(
        cls, tiers: Sequence[UsageTotals], days: Sequence[GpuUsage] | None, *, gpu_bill_apart: bool
    ) -> Self:
        """From the requests by tier and the GPU hours by day, None where there is no log of them."""
        total = next(iter(roll_up(tiers)), None)
        with_gpus, days = days is not None, days or ()
        bill = sum(day.cost_usd for day in days)
        known, busy = sum(day.known_hours for day in days), sum(day.busy_hours for day in days)
        cost = (0.0 if total is None else total.cost_usd) + (bill if gpu_bill_apart else 0.0)
        priced = bool(total and total.priced_requests)
        served = 0 if total is None else total.requests - total.failed_requests - total.refused_requests
        conversions = total.conversions if total and priced else 0
        revenue = total.revenue_usd if total and priced else 0.0
        return cls(
            cost_per_request_usd=cost / total.priced_requests if total and priced else None,
            gpu_cost_per_request_usd=bill / served if with_gpus and served else None,
            gpu_utilization_fraction=busy / known if known else None,
            daily_gpu_spend_usd={day.key[0]: day.cost_usd for day in days},
            cost_by_tier_usd={tier.key[0]: tier.cost_usd for tier in tiers},
            requests_by_tier_fraction={tier.key[0]: tier.requests / total.requests for tier in tiers}
            if total and total.requests
            else {},
            cost_per_conversion_usd=cost / conversions if conversions else None,
            cost_of_revenue_fraction=cost / revenue if revenue else None,
            idle_gpu_hours=sum(day.idle_hours for day in days) if with_gpus else None,
            unpriced_requests=0 if total is None else total.unpriced_requests,
            unpriced_fraction=0.0 if total is None else total.unpriced_fraction,
        )


def key_metrics(frame: IntoFrame, gpu_hours: IntoFrame | None = None, *, gpu_bill_apart: bool = False) -> KeyMetrics:
    r"""The six metrics of S8.

    .. math:: \text{cost per request} = \frac{\text{cost of the requests} + \text{GPU bill, if apart}}{\text{requests}}

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`aggregate`.
    gpu_hours : data frame, optional
        A log of GPU hours, as for :func:`gpu_usage`.
    gpu_bill_apart : bool
        Whether the costs of the requests leave the GPUs out, so that the GPU bill is to be added. By default it is
        not: a request served by one's own GPUs commonly carries its share of their bill as its cost already, and adding
        the bill would count it twice.

    Raises
    ------
    LogError, MissingExtraError
        As :func:`aggregate` and :func:`gpu_usage`.

    Examples
    --------
    One GPU at 1 dollar an hour serves 2,000 requests in that hour. What does a request cost by S8's formula?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": range(2000), "tier": "small", "model": "in-house", "input_tokens": 100, "output_tokens": 10,
    ...     "cost_micro_usd": 0,
    ... })
    >>> hours = pandas.DataFrame({
    ...     "time_s": [0.0], "gpu": ["a"], "hours": [1.0], "usd_per_hour": [1.0], "utilization_fraction": [0.5],
    ... })
    >>> key_metrics(log, hours).gpu_cost_per_request_usd
    0.0005
    """
    days = None if gpu_hours is None else gpu_usage(gpu_hours, by=["day"])
    return KeyMetrics.from_groups(aggregate(frame, by=["tier"]), days, gpu_bill_apart=gpu_bill_apart)
