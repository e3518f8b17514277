"""The report of a log, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from costlab._internal.extras import require
from costlab.monitoring.report.savings import Saving, savings
from costlab.monitoring.usage import GpuUsage, KeyMetrics, Usage, UsageError, gpu_usage, roll_up, usage
from costlab.monitoring.usage.count import SPANS, lazy_frame
from costlab.monitoring.usage.six import from_groups
from costlab.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

__all__ = ["STEPS", "Report", "as_dict", "build_report"]

#: How often the log is read, for a progress bar.
STEPS: Final = 2

#: So many tenants are looked at hour by hour, the dearest.
MAX_TENANTS: Final = 100

#: Logs that cover more than this are shown day by day.
HOURLY_UP_TO_S: Final = 3 * SPANS["day"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a log says.

    Attributes
    ----------
    total : Usage
        All requests.
    tiers, models, tenants : tuple of Usage
        Groups of them, the dearest first.
    trend : tuple of Usage
        The same by hour or by day, in the order of time.
    trend_unit : {'hour', 'day'}
        Which of both: hours where the log covers at most three days.
    metrics : KeyMetrics
        The six metrics of the source lesson.
    gpus : tuple of GpuUsage
        GPU hours by GPU, the dearest first; empty without a log of them.
    idle_usd : float
        What GPUs below 10 % utilization cost.
    covered_hours : float
        From the first hour with a request to the last, both included.
    savings : tuple of Saving
        The three largest. They overlap: the same dollar may be in two of them.
    notes : tuple of str
        What was assumed on the way.
    unpriced_models : mapping of str to str
        Models of requests without a cost, and why the catalogue could not help.
    """

    total: Usage
    tiers: tuple[Usage, ...]
    models: tuple[Usage, ...]
    tenants: tuple[Usage, ...]
    trend: tuple[Usage, ...]
    trend_unit: str
    metrics: KeyMetrics
    gpus: tuple[GpuUsage, ...]
    idle_usd: float
    covered_hours: float
    savings: tuple[Saving, ...]
    notes: tuple[str, ...] = ()
    unpriced_models: Mapping[str, str] = field(default_factory=dict)

    @property
    def usd_per_month(self) -> float | None:
        """Cost over a month of 730 hours at the log's rate; None where it covers less than a day."""
        return self.total.cost_usd * HOURS_PER_MONTH / self.covered_hours if self.covered_hours >= 24 else None


def build_report(
    frame: Any,
    gpu_hours: Any = None,
    *,
    gpu_bill_apart: bool = False,
    notes: Sequence[str] = (),
    unpriced_models: Mapping[str, str] | None = None,
    step: Callable[[], object] = lambda: None,
) -> Report:
    """The report of a log of requests and, where there is one, of a log of GPU hours.

    Parameters
    ----------
    frame, gpu_hours : data frame
        As for :func:`costlab.monitoring.usage.usage` and :func:`costlab.monitoring.usage.gpu_usage`.
    gpu_bill_apart : bool
        As for :func:`costlab.monitoring.usage.key_metrics`.
    notes : sequence of str
        Passed on.
    unpriced_models : mapping of str to str, optional
        Passed on; ``PricedLog.unknown``.
    step : callable
        Called after each of the two readings of the log.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If the log is empty, or as :func:`costlab.monitoring.usage.usage`.

    Notes
    -----
    The log is read twice: by tier, model and tenant, and by tenant and hour. Logs with many thousands of tenants are
    grouped in memory; of those, the hundred dearest are looked at hour by hour and a third reading gives the trend.

    Examples
    --------
    >>> import numpy as np
    >>> from costlab.synthetic import sample_log
    >>> report = build_report(sample_log(np.random.default_rng(0), 20_000, runaway=True))
    >>> report.savings[0].name, report.trend_unit, len(report.trend)
    ('runaway', 'day', 7)
    """
    cells = usage(frame, by=["tier", "model", "tenant"])
    step()
    if not cells:
        raise UsageError("the log is empty")
    (total,) = roll_up(cells)
    tenants = _dearest_first(roll_up(cells, 2))
    if len(tenants) <= MAX_TENANTS:
        hours = usage(frame, by=["tenant", "hour"])
        every_hour = roll_up(hours, 1)
    else:
        chosen = [one.key[0] for one in tenants[:MAX_TENANTS]]
        nw = require("narwhals", "usage")
        hours = usage(lazy_frame(frame).filter(nw.col("tenant").is_in(chosen)).to_native(), by=["tenant", "hour"])
        every_hour = usage(frame, by=["hour"])
    step()
    covered_hours = (every_hour[-1].key[0] - every_hour[0].key[0]) / SECONDS_PER_HOUR + 1
    unit = "hour" if covered_hours * SECONDS_PER_HOUR <= HOURLY_UP_TO_S else "day"
    tiers = roll_up(cells, 0)
    gpus = () if gpu_hours is None else gpu_usage(gpu_hours, by=["gpu"])
    days = () if gpu_hours is None else gpu_usage(gpu_hours, by=["day"])
    return Report(
        total=total,
        tiers=_dearest_first(tiers),
        models=_dearest_first(roll_up(cells, 1)),
        tenants=tenants,
        trend=every_hour if unit == "hour" else _by_day(every_hour),
        trend_unit=unit,
        metrics=from_groups(tiers, days, gpu_bill_apart=gpu_bill_apart, with_gpus=gpu_hours is not None),
        gpus=tuple(sorted(gpus, key=lambda one: -one.cost_micro_usd)),
        idle_usd=sum(gpu.idle_cost_usd for gpu in gpus),
        covered_hours=covered_hours,
        savings=savings(cells, hours, gpus, covered_hours)[:3],
        notes=(*notes, *_about_gpu_bill(total, gpus, gpu_bill_apart)),
        unpriced_models=dict(unpriced_models or {}),
    )


def _about_gpu_bill(total: Usage, gpus: Sequence[GpuUsage], apart: bool) -> Iterator[str]:
    """Whether the costs of the requests contain the GPUs, which a reader has to know and cannot see."""
    bill = sum(gpu.cost_micro_usd for gpu in gpus)
    if not gpus:
        return
    if apart:
        yield "the cost per request and per conversion contains the GPU bill, which came on top of the requests' costs"
    elif bill > total.cost_micro_usd:
        yield (
            "the GPU bill is larger than the cost of all requests, so those can hardly contain it: "
            "--gpu-bill-apart adds it to the cost per request"
        )
    else:
        yield "the requests' costs are taken to contain the GPU bill; where they do not, --gpu-bill-apart adds it"


def _dearest_first(groups: Sequence[Usage]) -> tuple[Usage, ...]:
    return tuple(sorted(groups, key=lambda one: (-one.cost_micro_usd, -one.requests, one.key)))


def _by_day(hours: Sequence[Usage]) -> tuple[Usage, ...]:
    day = SPANS["day"]
    return roll_up([replace(one, key=(one.key[0] // day * day,)) for one in hours], 0)


#: Figures that follow from a group's sums, which JSON should have too.
DERIVED: Final = (
    *("cost_usd", "priced_requests", "unpriced_fraction", "usd_per_request", "usd_per_1k_tokens", "usd_per_conversion"),
    *("revenue_usd", "revenue_usd_per_conversion", "cost_of_revenue_fraction", "cached_input_fraction"),
    "mean_latency_s",
)


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain values for JSON, the figures that follow from sums included."""

    def group(one: Usage) -> dict[str, Any]:
        return asdict(one) | {name: getattr(one, name) for name in DERIVED}

    plain = asdict(report) | {"total": group(report.total), "usd_per_month": report.usd_per_month}
    for name in ("tiers", "models", "tenants", "trend"):
        plain[name] = [group(one) for one in getattr(report, name)]
    gpu_figures = ("cost_usd", "idle_cost_usd", "utilization_fraction")
    plain["gpus"] = [asdict(gpu) | {name: getattr(gpu, name) for name in gpu_figures} for gpu in report.gpus]
    return plain
