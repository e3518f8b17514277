"""Figures of monitoring: spend against limits, who serves and who waits, and the panels of the exported dashboard.

Each draws on `ax`, or on a new figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from costlab.errors import InvalidValueError
from costlab.monitoring import GpuUsage, Panel, Timeline, UsageTotals
from costlab.plotting.style import COLORS, INK, SMALL, in_style, line_styles, new_axes
from costlab.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: How a value of Grafana's unit is written, and what an axis says of it.
UNITS: Final = {
    "currencyUSD": ("${:,.3g}", 1.0, "USD"),
    "percentunit": ("{:.1f} %", 100.0, "%"),
    "none": ("{:g}", 1.0, "GPUs"),
}


@in_style
def plot_spend(
    spent: Mapping[str, Sequence[UsageTotals]], limits: Mapping[str, float], *, ax: Axes | None = None
) -> Axes:
    """What a day has cost up to each minute, in several variants, against its limits.

    Parameters
    ----------
    spent : mapping of str to sequence of UsageTotals
        For each line its requests by minute, ``aggregate(log, by=["minute"])``.
    limits : mapping of str to float
        Amounts in USD, drawn as horizontal lines.
    """
    ax = new_axes(ax)
    ends: list[tuple[float, float, str, str]] = []
    for (name, minutes), (color, dash) in zip(spent.items(), line_styles(len(spent)), strict=True):
        hours = [_hour(minute.key[0]) + 1 / 60 for minute in minutes]
        totals = list(accumulate(minute.cost_usd for minute in minutes))
        ax.plot(hours, totals, color=color, linestyle=dash, linewidth=2, label=name)
        ends.append((totals[-1], hours[-1], name, color))
    # A line that rises leaves room above its end; the lowest has the others above it.
    for place, (total, hour, name, color) in enumerate(sorted(ends)):
        shift = (-3, -21) if place == 0 and len(ends) > 1 else (-9, 5)
        ax.annotate(name, (hour, total), shift, textcoords="offset points", fontsize=SMALL, color=color, ha="right")
    for place, (name, usd) in enumerate(limits.items()):
        ax.axhline(usd, color=COLORS["grey"], linestyle=("--", ":", "-.")[place % 3], linewidth=1.2)
        # The first stands below its line and the others above theirs: limits tend to be near each other.
        shift = (0, 3 if place else -11)
        ax.annotate(f"{name} {usd:,.0f}", (0.2, usd), shift, textcoords="offset points", fontsize=SMALL)
    _hours(ax)
    ax.set_ylim(0)
    ax.set_ylabel("spent since midnight (USD)")
    return ax


@in_style
def plot_tier_shares(
    groups: Sequence[UsageTotals], *, limit_fraction: float | None = None, ax: Axes | None = None
) -> Axes:
    """Which tier serves which share of the requests, hour by hour; the first tier is at the bottom.

    Parameters
    ----------
    groups : sequence of UsageTotals
        Requests by hour and tier, ``aggregate(log, by=["hour", "tier"])``, of one day.
    limit_fraction : float, optional
        The share that the most expensive tier should not pass, drawn as a horizontal line. The tier with the highest
        cost per request is at the bottom, so that it is read against this line.
    """
    ax = new_axes(ax)
    requests = {group.key: group.requests for group in groups}
    hours = sorted({hour for hour, _ in requests})
    total = {hour: sum(count for key, count in requests.items() if key[0] == hour) for hour in hours}
    costs = {tier: max(g.usd_per_request or 0.0 for g in groups if g.key[1] == tier) for _, tier in requests}
    below = [0.0] * len(hours)
    tiers = sorted(costs, key=lambda tier: -costs[tier])
    colors = [COLORS[name] for name in ("orange", "sky", "green", "blue", "grey")]
    hatches = ("", "//", "..", "\\\\", "")
    for place, tier in enumerate(tiers):
        share = [100 * requests.get((hour, tier), 0) / total[hour] for hour in hours]
        color, hatch = colors[place % 5], hatches[place % 5]
        middles = [_hour(hour) + 0.5 for hour in hours]
        ax.bar(middles, share, 0.9, below, label=tier, color=color, hatch=hatch, edgecolor="white", linewidth=0.3)
        below = [low + more for low, more in zip(below, share, strict=True)]
    if limit_fraction is not None:
        ax.axhline(100 * limit_fraction, color=INK, linestyle="--", label=f"limit {100 * limit_fraction:g} %")
    _hours(ax)
    ax.set_ylim(0, 100)
    ax.set_ylabel("requests of the hour (%)")
    ax.legend(frameon=False, fontsize=SMALL, ncols=3, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    return ax


@in_style
def plot_utilization(timelines: Sequence[Timeline], limits: Mapping[str, float], *, ax: Axes | None = None) -> Axes:
    """How busy each GPU is over a day.

    Parameters
    ----------
    timelines : sequence of Timeline
        Utilization as a share, a line each, named by its label.
    limits : mapping of str to float
        Shares in 0..1 at which something is to be done, drawn as horizontal lines.
    """
    ax = new_axes(ax)
    for line, (color, dash) in zip(timelines, line_styles(len(timelines)), strict=True):
        hours, values = _points(line, 100.0)
        ax.plot(hours, values, color=color, linestyle=dash, linewidth=1.2, label=line.label or "mean")
    for name, share in limits.items():
        ax.axhline(100 * share, color=COLORS["grey"], linestyle="--", linewidth=1)
        ax.annotate(f"{name} {100 * share:g} %", (0.2, 100 * share), (0, 3), textcoords="offset points", fontsize=SMALL)
    _hours(ax)
    ax.set_ylim(0, 100)
    ax.set_ylabel("utilization (%)")
    ax.legend(frameon=False, fontsize=SMALL, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


@in_style
def plot_idle(gpus: Sequence[GpuUsage], *, ax: Axes | None = None) -> Axes:
    """Where the paid GPU-hours went: busy, underused, idle, with what the idle ones cost.

    Parameters
    ----------
    gpus : sequence of GpuUsage
        Hours by GPU, ``gpu_usage(log, by=["gpu"])``.
    """
    ax = new_axes(ax, height=1.5 + 0.55 * len(gpus))
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    for row, gpu in enumerate(gpus):
        parts = (
            ("40 % and more", gpu.known_hours - gpu.underused_hours - gpu.idle_hours, "blue", ""),
            ("10 to 40 %", gpu.underused_hours, "sky", "//"),
            ("idle, below 10 %", gpu.idle_hours, "orange", ".."),
        )
        left = 0.0
        for name, hours, color, hatch in parts:
            label = name if row == 0 else None
            ax.barh(row, hours, 0.55, left, label=label, color=COLORS[color], hatch=hatch, edgecolor="white")
            left += hours
        ax.annotate(f" idle: {gpu.idle_cost_usd:,.2f} USD", (left, row), va="center", fontsize=SMALL)
    ax.set_yticks(range(len(gpus)), [str(gpu.key[0]) for gpu in gpus], fontsize=SMALL)
    ax.set_ylim(len(gpus) - 0.5, -0.5)
    most = max(gpu.known_hours for gpu in gpus)
    ax.set_xlim(0, 1.4 * most)
    ax.set_xticks([most * part / 4 for part in range(5)])
    ax.set_xlabel("GPU-hours paid, by utilization")
    ax.legend(frameon=False, fontsize=SMALL, ncols=3, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    return ax


@in_style
def plot_overshoot(spent: Mapping[str, Mapping[int, float]], limit_usd: float, *, ax: Axes | None = None) -> Axes:
    """What was spent by calls that come at once, for several ways to admit them, against the limit.

    Parameters
    ----------
    spent : mapping of str to mapping of int to float
        For each way the USD spent, by the number of calls at once.
    limit_usd : float
        The limit in USD, drawn as a horizontal line.
    """
    ax = new_axes(ax)
    for (name, points), (color, dash) in zip(spent.items(), line_styles(len(spent)), strict=True):
        ax.plot(list(points), list(points.values()), color=color, linestyle=dash, marker="o", label=name)
    ax.axhline(limit_usd, color=COLORS["grey"], linestyle=":", label=f"limit {limit_usd:g} USD")
    ax.set_xlabel("calls at once")
    ax.set_ylabel("spent (USD)")
    ax.set_ylim(0)
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_panel(panel: Panel, timelines: Sequence[Timeline], *, ax: Axes | None = None) -> Axes:
    """A panel of the exported Grafana dashboard, drawn from recorded figures.

    Parameters
    ----------
    panel : Panel
        One of ``costlab.monitoring.panels()`` whose queries name recorded figures.
    timelines : sequence of Timeline
        Figures of one day; those that the panel asks for are drawn.

    Raises
    ------
    InvalidValueError
        If a query of the panel is none of the figures given, or its unit is not known here.
    """
    if panel.unit not in UNITS:
        raise InvalidValueError("panel", f"one with a unit of {', '.join(UNITS)}", panel.unit)
    drawn = [line for query, _ in panel.queries for line in timelines if line.figure == query]
    if len({line.figure for line in drawn}) < len(panel.queries):
        raise InvalidValueError("timelines", f"given for {panel.queries[0][0]}", sorted(t.figure for t in timelines))
    ax = new_axes(ax)
    number, factor, unit = UNITS[panel.unit]
    stat = panel.kind == "stat"
    for line, (color, dash) in zip(drawn, line_styles(len(drawn)), strict=True):
        hours, values = _points(line, factor)
        ax.plot(hours, values, color=color, linestyle=dash, label=line.label)
        if stat:
            ax.fill_between(hours, values, color=color, alpha=0.15)
            last = number.format(values[-1]) if values else "no data"
            beyond = panel.threshold is not None and bool(values) and values[-1] > factor * panel.threshold
            color = COLORS["orange"] if beyond else COLORS["green"]
            ax.text(0.04, 0.93, last, transform=ax.transAxes, fontsize=17, color=color, va="top", weight="bold")
    if panel.threshold is not None:
        ax.axhline(factor * panel.threshold, color=COLORS["orange"], linestyle=":", linewidth=1.5)
    _hours(ax)
    ax.set_ylim(0, ax.get_ylim()[1] * (1.7 if stat else 1.4))  # room for the number, or for the legend
    ax.set_ylabel(unit)
    ax.set_title(panel.title, fontsize=SMALL + 1, loc="left")
    if not stat:
        ax.legend(frameon=False, fontsize=SMALL, ncols=2, loc="upper left")
    return ax


def _hour(second: float) -> float:
    """Hours since midnight (UTC)."""
    return second % SECONDS_PER_DAY / SECONDS_PER_HOUR


def _points(line: Timeline, factor: float) -> tuple[list[float], list[float]]:
    """Hours after midnight of the line's last day, and its values there."""
    end = line.times_s[-1] if line.times_s else 0.0
    midnight = (end - 1) // SECONDS_PER_DAY * SECONDS_PER_DAY
    both = [
        ((time_s - midnight) / SECONDS_PER_HOUR, factor * value)
        for time_s, value in zip(line.times_s, line.values, strict=True)
        if value is not None and time_s > midnight
    ]
    return [hour for hour, _ in both], [value for _, value in both]


def _hours(ax: Axes) -> None:
    ax.set_xlim(0, HOURS_PER_DAY)
    ax.set_xticks(range(0, HOURS_PER_DAY + 1, 6))
    ax.set_xlabel("hour of the day (UTC)")
