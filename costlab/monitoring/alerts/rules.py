"""What is watched, and when to raise an alarm: the thresholds and durations of the source lesson (S8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import HOURS_PER_DAY, SECONDS_PER_HOUR

__all__ = ["AlertRule", "Recording", "alert_rules", "recordings"]

MINUTE: Final = 60.0
HOUR: Final = float(SECONDS_PER_HOUR)
DAY: Final = HOUR * HOURS_PER_DAY


@dataclass(frozen=True, slots=True)
class Recording:
    """A figure that is computed from the exporter's metrics all the time, under a name of its own.

    Attributes
    ----------
    name : str
        ``costlab:…``, the last part being the time over which it is taken.
    promql : str
        How Prometheus computes it.
    window_s : float
        The time over which it is taken, in seconds; 0 for the present.
    by : str
        Label by which it is split, or empty.
    words : str
        What it is.
    """

    name: str
    promql: str
    window_s: float
    by: str
    words: str


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alarm: a figure that stays beyond a threshold.

    Parameters
    ----------
    name : str
        In words without spaces, as Prometheus wants it.
    recording : str
        Name of the figure.
    comparison : {'>', '<'}
        Which side of the threshold is wrong; the threshold itself is right.
    threshold : float
        In the figure's unit.
    for_s : float
        Seconds that it must last, >= 0.
    severity : {'page', 'ticket'}
        Whether somebody must look now.
    action : str
        What to do.
    only : str
        Value of the label `by` of the figure that counts; empty for each of them.

    Raises
    ------
    InvalidValueError, UnknownNameError
        If a value is outside its domain.
    """

    name: str
    recording: str
    comparison: Literal[">", "<"]
    threshold: float
    for_s: float
    severity: Literal["page", "ticket"]
    action: str
    only: str = field(default="")

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InvalidValueError("name", "one word of letters and digits", self.name)
        checks.one_of("comparison", self.comparison, (">", "<"))
        checks.finite("threshold", self.threshold)
        checks.non_negative("for_s", self.for_s)
        checks.one_of("severity", self.severity, ("page", "ticket"))


def recordings() -> tuple[Recording, ...]:
    """The figures that alerts and dashboards look at.

    Notes
    -----
    A day is the last 24 hours, not the calendar's: PromQL knows no midnight. Counters of Prometheus are extrapolated
    to the ends of a window; as numerator and denominator are extrapolated alike, ratios are right, and a sum such as
    the spending of a day is up to one scrape interval too high where metrics began within the window.
    """
    costs, requests = "costlab_cost_usd_total", "costlab_requests_total"
    unpriced, value = "costlab_unpriced_requests_total", "costlab_conversion_value_usd_total"
    return (
        Recording(
            "costlab:cost_usd_per_request:5m",
            f"sum(increase({costs}[5m])) / (sum(increase({requests}[5m])) - sum(increase({unpriced}[5m])))",
            5 * MINUTE,
            "",
            "mean cost of a priced request",
        ),
        Recording(
            "costlab:tier_requests_fraction:1h",
            f"sum by (tier) (increase({requests}[1h])) / on () group_left () sum(increase({requests}[1h]))",
            HOUR,
            "tier",
            "share of the requests that a tier serves",
        ),
        Recording(
            "costlab:tier_cost_usd:1h",
            f"sum by (tier) (increase({costs}[1h]))",
            HOUR,
            "tier",
            "cost of a tier in an hour",
        ),
        Recording(
            "costlab:unpriced_fraction:1h",
            f"sum(increase({unpriced}[1h])) / sum(increase({requests}[1h]))",
            HOUR,
            "",
            "share of the requests without a known cost",
        ),
        Recording(
            "costlab:cost_of_revenue_fraction:1d",
            f"sum(increase({costs}[1d])) / sum(increase({value}[1d]))",
            DAY,
            "",
            "cost as a share of what conversions earned",
        ),
        Recording("costlab:gpu_utilization:now", "avg(costlab_gpu_utilization_ratio)", 0.0, "", "mean utilization"),
        Recording(
            "costlab:gpu_utilization_each:now",
            "max by (gpu) (costlab_gpu_utilization_ratio)",
            0.0,
            "gpu",
            "utilization of each GPU",
        ),
        Recording(
            "costlab:gpu_spend_of_budget:1d",
            "sum(increase(costlab_gpu_cost_usd_total[1d])) / max(costlab_gpu_budget_usd_per_day)",
            DAY,
            "",
            "spending on GPUs of the last 24 hours over the daily budget",
        ),
    )


def alert_rules(dearest_tier: str = "large") -> tuple[AlertRule, ...]:
    """The alerts of S8, and one more for requests without a price.

    Parameters
    ----------
    dearest_tier : str
        Name of the tier that S8 calls tier 4.

    Notes
    -----
    S8 leaves some words open; they are read as follows. "Average > $0.05 for 1 hour": the mean of five minutes, above
    it throughout an hour. "Tier 4 > 15 % of requests": of those of the last hour. "< 5 % of revenue per conversion":
    cost over earnings of the last 24 hours. "Any GPU idle (> 10 % of the time) for 2+ hours": one GPU below 10 %
    utilization, S8's own limit for an idle hour, for two hours without a break. The last rule is ours: an alert on
    cost never fires for requests of which nobody knows the cost.

    Examples
    --------
    For how long may GPUs be 90 % busy before more are wanted?

    >>> [rule.for_s / 60 for rule in alert_rules() if rule.name == "GpusOverloaded"]
    [10.0]
    """
    if not dearest_tier:
        raise InvalidValueError("dearest_tier", "the name of a tier", dearest_tier)
    return (
        AlertRule(
            "RequestsDear",
            "costlab:cost_usd_per_request:5m",
            ">",
            0.05,
            HOUR,
            "page",
            "see which tier and tenant grew, and put a budget on it",
        ),
        AlertRule("GpusUnderused", "costlab:gpu_utilization:now", "<", 0.40, 30 * MINUTE, "ticket", "scale down"),
        AlertRule("GpusOverloaded", "costlab:gpu_utilization:now", ">", 0.90, 10 * MINUTE, "page", "scale up"),
        AlertRule(
            "GpuSpendOverBudget",
            "costlab:gpu_spend_of_budget:1d",
            ">",
            1.20,
            0.0,
            "page",
            "stop what can wait, and find what was started",
        ),
        AlertRule(
            "DearestTierBusy",
            "costlab:tier_requests_fraction:1h",
            ">",
            0.15,
            0.0,
            "ticket",
            "check the router's thresholds and the quality of the cheaper tiers",
            dearest_tier,
        ),
        AlertRule(
            "ConversionsDear",
            "costlab:cost_of_revenue_fraction:1d",
            ">",
            0.05,
            0.0,
            "ticket",
            "compare cost per conversion by tenant and feature",
        ),
        AlertRule("GpuIdle", "costlab:gpu_utilization_each:now", "<", 0.10, 2 * HOUR, "ticket", "switch the GPU off"),
        AlertRule(
            "RequestsUnpriced",
            "costlab:unpriced_fraction:1h",
            ">",
            0.01,
            0.0,
            "ticket",
            "give the model a price; until then no alert on cost sees these requests",
        ),
    )
