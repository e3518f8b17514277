"""The source lesson's alerts (S8) as data: evaluated in process on figures from logs, and exported for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import gt, lt
from typing import TYPE_CHECKING, Final, Literal

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.monitoring.gpu_hours import gpu_usage
from costlab.monitoring.usage import aggregate
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

State = Literal["inactive", "pending", "firing"]

MINUTE: Final = 60.0
HOUR: Final = float(SECONDS_PER_HOUR)

#: Rules are evaluated, and metrics scraped, once a minute.
STEP: Final = 60

#: Seconds for which Prometheus lets a sample hold where no later one came (its ``--query.lookback-delta``).
LOOKBACK_S: Final = 5 * MINUTE

#: Priced requests in a window below which there is no mean: a single expensive one is no average.
FEWEST_PRICED: Final = 2

# Names of the figures; the last part is the time over which they are taken.
COST_PER_REQUEST: Final = "costlab:cost_usd_per_request:1h"
TIER_SHARE: Final = "costlab:tier_requests_fraction:1h"
TIER_COST: Final = "costlab:tier_cost_usd:1h"
UNPRICED: Final = "costlab:unpriced_fraction:1h"
COST_OF_REVENUE: Final = "costlab:cost_of_revenue_fraction:1d"
UTILIZATION: Final = "costlab:gpu_utilization:now"
UTILIZATION_EACH: Final = "costlab:gpu_utilization_each:now"
GPU_SPEND: Final = "costlab:gpu_spend_of_budget:1d"
WINDOWS_S: Final = {"now": 0.0, "1h": HOUR, "1d": float(SECONDS_PER_DAY)}


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A figure that is computed from the exporter's metrics all the time, under a name of its own.

    Attributes
    ----------
    name : str
        ``costlab:…``, the last part being the time over which it is taken.
    promql, description : str
        How Prometheus computes it, and what it is.
    by : str
        Label by which it is split, or empty.
    """

    name: str
    promql: str
    description: str
    by: str = ""

    @property
    def window_s(self) -> float:
        """The time over which it is taken, in seconds; 0 for the present."""
        return WINDOWS_S[self.name.rpartition(":")[2]]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alarm: a figure that stays beyond a threshold.

    Parameters
    ----------
    name : str
        In words without spaces, as Prometheus wants it.
    figure : str
        Name of the figure.
    comparison, threshold : {'>', '<'} and float
        Which side of which value, in the figure's unit, is wrong; the threshold itself is right.
    for_s : float
        Seconds that it must last, >= 0.
    severity, action : {'page', 'ticket'} and str
        Whether someone must look now, and what to do.
    only : str
        Value of the label `by` of the figure that counts; empty for each of them.

    Raises
    ------
    InvalidValueError, UnknownNameError
        If a value is outside its domain.
    """

    name: str
    figure: str
    comparison: Literal[">", "<"]
    threshold: float
    for_s: float
    severity: Literal["page", "ticket"]
    action: str
    only: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InvalidValueError("name", "one word of letters and digits", self.name)
        checks.one_of("comparison", self.comparison, (">", "<"))
        checks.finite("threshold", self.threshold)
        checks.non_negative("for_s", self.for_s)
        checks.one_of("severity", self.severity, ("page", "ticket"))

    def watches(self, timeline: Timeline) -> bool:
        """Whether the timeline is one of those that this alarm is about."""
        return timeline.figure == self.figure and self.only in ("", timeline.label)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One figure over time, at the moments at which rules are evaluated, or those of them at which a sample came.

    Parameters
    ----------
    figure, label : str
        Name of the figure, and whose it is where it is split: the tier, or the GPU; otherwise empty.
    times_s : tuple of float
        Seconds, rising.
    values : tuple of float or None
        The figure at each of them; None where there is none (nothing was served, no GPU answered).

    Raises
    ------
    InvalidValueError
        If times do not rise or are not as many as the values.
    """

    figure: str
    label: str
    times_s: tuple[float, ...]
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.values):
            raise InvalidValueError("values", f"{len(self.times_s)}, one for each time", len(self.values))
        if any(later <= earlier for earlier, later in pairwise(self.times_s)):
            raise InvalidValueError("times_s", "rising", self.times_s)


@dataclass(frozen=True, slots=True)
class Incident:
    """An alarm that was raised.

    Attributes
    ----------
    rule : AlertRule
        Which alarm.
    label : str
        The tier or GPU, where the figure is split.
    since_s, fired_s : float
        When the figure went beyond the threshold, and when the alarm was raised: the rule's `for_s` later.
    until_s : float or None
        When it was over; None where it still lasts at the end of the timeline.
    worst : float
        The figure at its furthest from the threshold.
    """

    rule: AlertRule
    label: str
    since_s: float
    fired_s: float
    until_s: float | None
    worst: float


def recording_rules() -> tuple[RecordingRule, ...]:
    """The figures that alerts and dashboards look at.

    Notes
    -----
    A day is the last 24 hours, not the calendar's: PromQL knows no midnight. Counters of Prometheus are extrapolated
    to the ends of a window; as numerator and denominator are extrapolated alike, ratios are right, and a sum such as
    the spending of a day is up to one scrape interval too high where metrics began within the window.

    A ratio has no value where its window holds nothing to divide by; the mean cost of a request has none where it
    holds fewer than two requests with a price.
    """
    costs, requests = "costlab_cost_usd_total", "costlab_requests_total"
    unpriced, value = "costlab_unpriced_requests_total", "costlab_conversion_value_usd_total"
    return (
        RecordingRule(
            COST_PER_REQUEST,
            f"sum(increase({costs}[1h])) / "
            f"(sum(increase({requests}[1h])) - sum(increase({unpriced}[1h])) >= {FEWEST_PRICED})",
            "mean cost of a priced request of the last hour",
        ),
        RecordingRule(
            TIER_SHARE,
            f"sum by (tier) (increase({requests}[1h])) / on () group_left () (sum(increase({requests}[1h])) > 0)",
            "share of the requests that a tier serves",
            by="tier",
        ),
        RecordingRule(TIER_COST, f"sum by (tier) (increase({costs}[1h]))", "cost of a tier in an hour", by="tier"),
        RecordingRule(
            UNPRICED,
            f"sum(increase({unpriced}[1h])) / (sum(increase({requests}[1h])) > 0)",
            "share of the requests without a known cost",
        ),
        RecordingRule(
            COST_OF_REVENUE,
            f"sum(increase({costs}[1d])) / (sum(increase({value}[1d])) > 0)",
            "cost as a share of what conversions earned",
        ),
        RecordingRule(UTILIZATION, "avg(costlab_gpu_utilization_ratio)", "mean utilization"),
        RecordingRule(
            UTILIZATION_EACH, "max by (gpu) (costlab_gpu_utilization_ratio)", "utilization of each GPU", by="gpu"
        ),
        RecordingRule(
            GPU_SPEND,
            "sum(increase(costlab_gpu_cost_usd_total[1d])) / max(costlab_gpu_budget_usd_per_day)",
            "spending on GPUs of the last 24 hours over the daily budget",
        ),
    )


def alert_rules(most_expensive_tier: str = "large") -> tuple[AlertRule, ...]:
    """The alerts of S8, and one more for requests without a price.

    Parameters
    ----------
    most_expensive_tier : str
        Name of the tier that S8 calls tier 4.

    Notes
    -----
    S8 leaves some words open; they are read as follows. "Average > $0.05 for 1 hour": the mean of the last hour, of at
    least two requests with a price. Means of short windows that must be above it throughout an hour would miss
    expensive requests that are rare: a window without any has no mean, and the hour starts again. "Tier 4 > 15 % of
    requests": of those of the last hour. "< 5 % of revenue per conversion": cost over earnings of the last 24 hours;
    without any earnings there is no share. "Any GPU idle (> 10 % of the time) for 2+ hours": one GPU below 10 %
    utilization, S8's own limit for an idle hour, for two hours without a break. The last rule is ours: an alert on cost
    never fires for requests whose cost is unknown.

    So expensive requests raise the alert where two are less than an hour apart; a single one in an hour does not. A
    duration, as for GPUs, goes on across gaps as in Prometheus: a sample stands for five minutes, so that with one a
    minute five missing ones are harmless and with the sixth it starts again (one fewer where samples are not taken at
    the very moment of evaluation, and with Prometheus 3, to which five minutes are too old). At once it does so where
    Prometheus *knows* that a series ended: the scrape failed, or the exporter left the GPU out, whose utilization
    cannot be read.

    Examples
    --------
    For how long may GPUs be 90 % busy before more are wanted?

    >>> [rule.for_s / 60 for rule in alert_rules() if rule.name == "GpusOverloaded"]
    [10.0]
    """
    if not most_expensive_tier:
        raise InvalidValueError("most_expensive_tier", "the name of a tier", most_expensive_tier)
    grew = "see which tier and tenant grew, and put a budget on it"
    quality = "check the router's thresholds and the quality of the cheaper tiers"
    compare = "compare cost per conversion by tenant and feature"
    unseen = "give the model a price; until then no alert on cost sees these requests"
    find = "stop what can wait, and find what was started"
    return (
        AlertRule("RequestsExpensive", COST_PER_REQUEST, ">", 0.05, 0.0, "page", grew),
        AlertRule("GpusUnderused", UTILIZATION, "<", 0.40, 30 * MINUTE, "ticket", "scale down"),
        AlertRule("GpusOverloaded", UTILIZATION, ">", 0.90, 10 * MINUTE, "page", "scale up"),
        AlertRule("GpuSpendOverBudget", GPU_SPEND, ">", 1.20, 0.0, "page", find),
        AlertRule("ExpensiveTierBusy", TIER_SHARE, ">", 0.15, 0.0, "ticket", quality, only=most_expensive_tier),
        AlertRule("ConversionsExpensive", COST_OF_REVENUE, ">", 0.05, 0.0, "ticket", compare),
        AlertRule("GpuIdle", UTILIZATION_EACH, "<", 0.10, 2 * HOUR, "ticket", "switch the GPU off"),
        AlertRule("RequestsUnpriced", UNPRICED, ">", 0.01, 0.0, "ticket", unseen),
    )


def states(rule: AlertRule, timeline: Timeline) -> tuple[State, ...]:
    """The state of an alarm at each moment of a timeline, as the state machine of Prometheus has it.

    An alarm is *pending* from the first moment beyond the threshold, and *firing* once it has been so for `for_s`
    seconds. A moment on the right side of the threshold, or without a value, ends it at once. So do moments that are
    missing, where a rule that is evaluated once a minute would have found no sample of the last five minutes: from six
    missing ones on.

    Raises
    ------
    InvalidValueError
        If the timeline is that of another figure.

    Examples
    --------
    GPUs must be above 90 % for ten minutes. Is a look after nine enough?

    >>> (rule,) = [rule for rule in alert_rules() if rule.name == "GpusOverloaded"]
    >>> times_s = (0.0, 240.0, 540.0, 600.0)
    >>> states(rule, Timeline("costlab:gpu_utilization:now", "", times_s, (0.95,) * 4))
    ('pending', 'pending', 'pending', 'firing')
    """
    if timeline.figure != rule.figure:
        raise InvalidValueError("timeline", f"one of {rule.figure}", timeline.figure)
    moments = zip(timeline.times_s, _beyond_since(rule, timeline), strict=True)
    return tuple(
        "inactive" if since_s is None else "firing" if time_s - since_s >= rule.for_s else "pending"
        for time_s, since_s in moments
    )


def _beyond_since(rule: AlertRule, timeline: Timeline) -> Iterator[float | None]:
    """Since when the figure has been beyond the threshold, at each moment; None where it is not."""
    since_s: float | None = None
    previous_s = -math.inf
    beyond = gt if rule.comparison == ">" else lt  # NaN is beyond nothing
    for time_s, value in zip(timeline.times_s, timeline.values, strict=True):
        if time_s - previous_s > LOOKBACK_S + STEP:  # a rule was evaluated in between, when the last sample was too old
            since_s = None
        previous_s = time_s
        if value is None or not beyond(value, rule.threshold):
            since_s = None
        elif since_s is None:
            since_s = time_s
        yield since_s


def incidents(rules: Iterable[AlertRule], timelines: Sequence[Timeline]) -> tuple[Incident, ...]:
    """All alarms that were raised, in the order in which they were.

    The figures are as :func:`request_timelines` and :func:`gpu_timelines` give them; a rule whose figure is not among
    them finds nothing.
    """
    raised = [
        incident
        for rule in rules
        for timeline in timelines
        if rule.watches(timeline)
        for incident in _incidents(rule, timeline)
    ]
    return tuple(sorted(raised, key=lambda incident: (incident.fired_s, incident.rule.name, incident.label)))


def _incidents(rule: AlertRule, timeline: Timeline) -> Iterable[Incident]:
    since = _beyond_since(rule, timeline)
    moments = zip(timeline.times_s, timeline.values, since, states(rule, timeline), strict=True)
    runs = [list(run) for _, run in groupby(moments, key=lambda moment: moment[2])]
    ends: list[float | None] = [min(after[0][0], run[-1][0] + LOOKBACK_S + STEP) for run, after in pairwise(runs)]
    worst = max if rule.comparison == ">" else min
    for run, until_s in zip(runs, [*ends, None], strict=True):
        fired = [time_s for time_s, _, _, state in run if state == "firing"]
        if fired:
            values = [checks.finite("value", value) for _, value, _, _ in run]
            yield Incident(rule, timeline.label, run[0][0], fired[0], until_s, worst(values))


def request_timelines(frame: IntoFrame) -> tuple[Timeline, ...]:
    """The figures of requests from a log, at the end of each minute: what Prometheus computes from the metrics.

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`costlab.monitoring.aggregate`; of a ledger,
        ``event_frame(ledger.events())``.

    Returns
    -------
    tuple of Timeline
        Cost per request, unpriced fraction, cost of revenue, and for each tier its share and its cost. A window that
        begins before the log holds what there is. A minute has no value where its window holds no request (no two
        with a price, for the cost per request), and the cost of revenue none without revenue.

    Raises
    ------
    LogError, MissingExtraError
        As :func:`costlab.monitoring.aggregate`.
    """
    cells = aggregate(frame, by=["minute", "tier"])
    if not cells:
        return ()
    first, last = cells[0].key[0], max(cell.key[0] for cell in cells)
    ends = tuple(float(minute + STEP) for minute in range(first, last + STEP, STEP))

    def sums(name: str, count: str, tier: str | None = None) -> list[float]:
        """Sums over the window that ends with each minute."""
        per_minute = [0] * len(ends)
        for cell in cells:
            minute, cell_tier = cell.key
            if tier in (None, cell_tier):
                per_minute[(minute - first) // STEP] += getattr(cell, count)
        return _window_sums(name, per_minute)

    def ratio(
        name: str, above: list[float], below: list[float], *, unit: int = 1, fewest: int = 1, label: str = ""
    ) -> Timeline:
        values = (a / (b * unit) if b >= fewest else None for a, b in zip(above, below, strict=True))
        return Timeline(name, label, ends, tuple(values))

    requests, cost = "requests", "cost_micro_usd"
    all_requests = sums(TIER_SHARE, requests)
    revenue = sums(COST_OF_REVENUE, "conversion_value_micro_usd")
    timelines = [
        ratio(
            COST_PER_REQUEST,
            sums(COST_PER_REQUEST, cost),
            sums(COST_PER_REQUEST, "priced_requests"),
            unit=MICRO_USD_PER_USD,
            fewest=FEWEST_PRICED,
        ),
        ratio(UNPRICED, sums(UNPRICED, "unpriced_requests"), all_requests),
        ratio(COST_OF_REVENUE, sums(COST_OF_REVENUE, cost), revenue),
    ]
    for tier in sorted({cell.key[1] for cell in cells}):
        timelines.append(ratio(TIER_SHARE, sums(TIER_SHARE, requests, tier), all_requests, label=tier))
        usd = tuple(micro_usd / MICRO_USD_PER_USD for micro_usd in sums(TIER_COST, cost, tier))
        timelines.append(Timeline(TIER_COST, tier, ends, usd))
    return tuple(timelines)


def gpu_timelines(frame: IntoFrame, budget_usd_per_day: float | None = None) -> tuple[Timeline, ...]:
    """The figures of GPUs from a log of GPU hours, at the end of each minute.

    Parameters
    ----------
    frame : data frame
        A log of GPU hours, as for :func:`costlab.monitoring.gpu_usage`. Rows of up to an hour are spread evenly
        over their minutes; a utilization is then the mean of its row. Where a GPU's rows leave minutes out, its last
        utilization stands for five of them, as in Prometheus; a row without one ends it at once.
    budget_usd_per_day : float, optional
        What the GPUs may cost a day; without it there is no figure of spending.

    Returns
    -------
    tuple of Timeline
        The mean utilization, each GPU's, and spending over budget.

    Raises
    ------
    LogError, MissingExtraError
        As :func:`costlab.monitoring.gpu_usage`.
    InvalidValueError
        If `budget_usd_per_day` is not above zero.
    """
    rows = gpu_usage(frame, by=["minute", "gpu"])
    if not rows:
        return ()
    counts = [max(1, round(row.hours * SECONDS_PER_HOUR / STEP)) for row in rows]
    start = rows[0].key[0]
    end = max(row.key[0] + count * STEP for row, count in zip(rows, counts, strict=True))
    ends = tuple(float(minute + STEP) for minute in range(start, end, STEP))
    samples: dict[str, dict[int, float | None]] = {gpu: {} for gpu in sorted({row.key[1] for row in rows})}
    cost = [0.0] * len(ends)
    for row, count in zip(rows, counts, strict=True):
        minute, gpu = row.key
        first = (minute - start) // STEP
        for place in range(first, first + count):
            samples[gpu][place] = row.utilization_fraction
            cost[place] += row.cost_usd / count
    shares = {gpu: _standing(own, len(ends)) for gpu, own in samples.items()}
    known = [[share for share in moment if share is not None] for moment in zip(*shares.values(), strict=True)]
    mean = tuple(sum(moment) / len(moment) if moment else None for moment in known)
    timelines = [Timeline(UTILIZATION, "", ends, mean)]
    timelines += [Timeline(UTILIZATION_EACH, gpu, ends, tuple(share)) for gpu, share in shares.items()]
    if budget_usd_per_day is not None:
        budget = checks.positive("budget_usd_per_day", budget_usd_per_day)
        timelines.append(Timeline(GPU_SPEND, "", ends, tuple(usd / budget for usd in _window_sums(GPU_SPEND, cost))))
    return tuple(timelines)


def _standing(samples: Mapping[int, float | None], minutes: int) -> list[float | None]:
    """The sample that holds in each minute: the last one, until it is too old."""
    last, standing = -math.inf, list[float | None]()
    for minute in range(minutes):
        last = minute if minute in samples else last
        standing.append(samples[int(last)] if (minute - last) * STEP <= LOOKBACK_S else None)
    return standing


def _window_sums(name: str, values: Sequence[float]) -> list[float]:
    """The sum over the window of a figure, at each minute."""
    minutes = round(WINDOWS_S[name.rpartition(":")[2]] / STEP)
    total = [0, *accumulate(values)]
    return [total[end] - total[max(0, end - minutes)] for end in range(1, len(total))]
