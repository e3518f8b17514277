"""The report of a log, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final

from costlab.errors import LogError
from costlab.monitoring.gpu_hours import GpuUsage, gpu_usage
from costlab.monitoring.importers.protocol import ReadCounts
from costlab.monitoring.keymetrics import KeyMetrics
from costlab.monitoring.pricing import Pricing
from costlab.monitoring.report.savings import Saving, savings
from costlab.monitoring.usage import REQUIRED, SPANS, LogFrame, UsageTotals, aggregate, count_groups, roll_up
from costlab.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

#: The numbers by which a log may give a spreadsheet's days, or dates written in one, of 2015 to 2099; what they are.
DAYS_AS_NUMBERS: Final = ((42_005, 73_050, "days of a spreadsheet"), (20_150_101, 20_991_231, "dates"))

#: How often the log is read, for a progress bar.
STEPS: Final = 2

#: This many tenants, the most expensive, are looked at hour by hour.
MAX_TENANTS: Final = 100

#: The log is read once where its finest groups are few: at most this many, and this many a row of its beginning.
MAX_GROUPS: Final = 2**19
MAX_GROUPS_A_ROW: Final = 0.02
SAMPLE_ROWS: Final = 100_000

#: Logs that cover more than this are shown day by day.
HOURLY_UP_TO_S: Final = 3 * SPANS["day"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a log says.

    Attributes
    ----------
    total : UsageTotals
        All requests.
    tiers, models, tenants : tuple of UsageTotals
        Groups of them, the most expensive first.
    trend : tuple of UsageTotals
        The same by hour or by day, in the order of time.
    trend_unit : {'hour', 'day'}
        Which of both: hours where the log covers at most three days.
    metrics : KeyMetrics
        The six metrics of the source lesson.
    gpus : tuple of GpuUsage
        GPU hours by GPU, the most expensive first; empty without a log of them.
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
    pricing : Pricing or None
        What the catalogue priced, and on which assumptions.
    read : ReadCounts or None
        What became of the rows of the files; None for a log that was in memory.
    """

    total: UsageTotals
    tiers: tuple[UsageTotals, ...]
    models: tuple[UsageTotals, ...]
    tenants: tuple[UsageTotals, ...]
    trend: tuple[UsageTotals, ...]
    trend_unit: str
    metrics: KeyMetrics
    gpus: tuple[GpuUsage, ...]
    idle_usd: float
    covered_hours: float
    savings: tuple[Saving, ...]
    notes: tuple[str, ...] = ()
    unpriced_models: Mapping[str, str] = field(default_factory=dict)
    pricing: Pricing | None = None
    read: ReadCounts | None = None

    @property
    def assumed_usd(self) -> float:
        """How much of the cost rests on what was assumed, in USD, at most."""
        assumed = sum(one.usd for one in self.pricing.assumptions) if self.pricing else 0.0
        return min(max(self.total.cost_usd, 0.0), assumed)  # credits may outweigh all costs

    @property
    def usd_per_month(self) -> float | None:
        """Cost over a month of 730 hours at the log's rate; None where it covers less than a day."""
        return self.total.cost_usd * HOURS_PER_MONTH / self.covered_hours if self.covered_hours >= 24 else None

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON, the figures that follow from sums included."""
        plain = _with_figures(self)
        for name in ("tiers", "models", "tenants", "trend", "gpus"):
            plain[name] = [_with_figures(group) for group in getattr(self, name)]
        if self.read is not None:
            plain["read"] = _with_figures(self.read)
        return plain | {"total": _with_figures(self.total)}


def _with_figures(group: Report | UsageTotals | GpuUsage | ReadCounts) -> dict[str, object]:
    """Fields and properties."""
    figures = [name for name, member in vars(type(group)).items() if isinstance(member, property)]
    return asdict(group) | {name: getattr(group, name) for name in figures}


def build_report(
    frame: IntoFrame,
    gpu_hours: IntoFrame | None = None,
    *,
    gpu_bill_apart: bool = False,
    notes: Sequence[str] = (),
    unpriced_models: Mapping[str, str] | None = None,
    pricing: Pricing | None = None,
    read: ReadCounts | None = None,
    step: Callable[[], object] = lambda: None,
) -> Report:
    """The report of a log of requests and, where there is one, of a log of GPU hours.

    Parameters
    ----------
    frame, gpu_hours : data frame
        As for :func:`costlab.monitoring.aggregate` and :func:`costlab.monitoring.gpu_usage`.
    gpu_bill_apart : bool
        As for :func:`costlab.monitoring.key_metrics`.
    notes : sequence of str
        Passed on.
    unpriced_models : mapping of str to str, optional
        Passed on; by default those of `pricing`.
    pricing : Pricing, optional
        Passed on; ``PricedLog.pricing``.
    read : ReadCounts, optional
        Passed on; ``UsageLog.read``.
    step : callable
        Called after each of the two readings of the log.

    Raises
    ------
    LogError
        If the log is empty, or as :func:`costlab.monitoring.aggregate`.

    Notes
    -----
    The log is read once, by tier, model, tenant and hour. Where there are too many of these to be held it is read
    twice, by tier, model and tenant, and by tenant and hour; of more than a hundred tenants the most expensive ones are
    looked at hour by hour, and a third reading gives the trend.

    Examples
    --------
    >>> import numpy as np
    >>> from costlab.synthetic import sample_log
    >>> report = build_report(sample_log(np.random.default_rng(0), 20_000, runaway=True))
    >>> report.savings[0].name, report.trend_unit, len(report.trend)
    ('runaway', 'day', 7)
    """
    cells, hours, every_hour = _counted(frame, step)
    if not cells:
        raise LogError("the log is empty")
    (total,) = roll_up(cells)
    tenants = _by_cost(roll_up(cells, 2))
    covered_hours = (every_hour[-1].key[0] - every_hour[0].key[0]) / SECONDS_PER_HOUR + 1
    unit = "hour" if covered_hours * SECONDS_PER_HOUR <= HOURLY_UP_TO_S else "day"
    tiers = roll_up(cells, 0)
    gpus = () if gpu_hours is None else gpu_usage(gpu_hours, by=["gpu"])
    days = None if gpu_hours is None else gpu_usage(gpu_hours, by=["day"])
    return Report(
        total=total,
        tiers=_by_cost(tiers),
        models=_by_cost(roll_up(cells, 1)),
        tenants=tenants,
        trend=every_hour if unit == "hour" else _by_day(every_hour),
        trend_unit=unit,
        metrics=KeyMetrics.from_groups(tiers, days, gpu_bill_apart=gpu_bill_apart),
        gpus=tuple(sorted(gpus, key=lambda gpu: -gpu.cost_micro_usd)),
        idle_usd=sum(gpu.idle_cost_usd for gpu in gpus),
        covered_hours=covered_hours,
        savings=savings(cells, hours, gpus, covered_hours)[:3],
        notes=(*notes, *_about_times(total), *_about_gpu_bill(total, gpus, gpu_bill_apart)),
        unpriced_models=dict(unpriced_models or (pricing.unknown if pricing else {})),
        pricing=pricing,
        read=read,
    )


def _counted(
    frame: IntoFrame, step: Callable[[], object]
) -> tuple[tuple[UsageTotals, ...], tuple[UsageTotals, ...], tuple[UsageTotals, ...]]:
    """The log by tier, model and tenant, by tenant and hour, and by hour."""
    by = ("tier", "model", "tenant")
    log = LogFrame("the log", frame, REQUIRED)
    found = count_groups(frame, [*by, "hour"], MAX_GROUPS) if _has_few_groups(log, [*by, "hour"]) else None
    step()
    if found is not None:
        cells, hours, every_hour = (found.totals(some) for some in (by, ["tenant", "hour"], ["hour"]))
        step()
        return cells, hours, every_hour
    cells = aggregate(frame, by)
    tenants = _by_cost(roll_up(cells, 2))
    if len(tenants) <= MAX_TENANTS:
        hours = aggregate(frame, ["tenant", "hour"])
        every_hour = roll_up(hours, 1)
    else:
        import narwhals as nw

        chosen = log.lazy.filter(nw.col("tenant").is_in([tenant.key[0] for tenant in tenants[:MAX_TENANTS]]))
        hours, every_hour = aggregate(chosen.to_native(), ["tenant", "hour"]), aggregate(frame, ["hour"])
    step()
    return cells, hours, every_hour


def _has_few_groups(log: LogFrame, by: Sequence[str]) -> bool:
    """Whether the beginning of a log has so few groups that the whole can be held by the finest of them."""
    groups = log.lazy.head(SAMPLE_ROWS).select(**{f"key_{name}": log.key(name) for name in by}).unique()
    return len(groups.collect()) <= MAX_GROUPS_A_ROW * SAMPLE_ROWS


def _about_times(total: UsageTotals) -> Iterator[str]:
    """Numbers that are seconds since 1970 to us, and look like days to others."""
    for least, most, what in DAYS_AS_NUMBERS:
        if least <= total.first_s and total.last_s <= most:
            yield (
                f"all times are numbers from {total.first_s:.10g} to {total.last_s:.10g}, read as seconds since 1970; "
                f"they look like {what}: if they are, save them as 2026-01-31, or all is priced as in 1970"
            )


def _about_gpu_bill(total: UsageTotals, gpus: Sequence[GpuUsage], apart: bool) -> Iterator[str]:
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


def _by_cost(groups: Sequence[UsageTotals]) -> tuple[UsageTotals, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.cost_micro_usd, -group.requests, group.key)))


def _by_day(hours: Sequence[UsageTotals]) -> tuple[UsageTotals, ...]:
    day = SPANS["day"]
    return roll_up([replace(hour, key=(hour.key[0] // day * day,)) for hour in hours], 0)
