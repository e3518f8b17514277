"""Figures of compressed models: what quality costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import require
from costlab._internal.pareto import pareto_front
from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, SMALL, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_arms", "plot_floors", "plot_quality_cost", "plot_speed_bits"]


def plot_quality_cost(
    dots: Mapping[str, tuple[float, float]],
    *,
    metric: str,
    unit: str = "USD per million tokens",
    less_is_better: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """A dot for each variant, cost to the right and what is better upwards; those that another beats are grey.

    Parameters
    ----------
    dots : mapping of str to (float, float)
        Cost, > 0, and quality of each variant.
    metric, unit : str
        What quality and cost are.
    less_is_better : bool
        Whether a lower value of the metric is the better one; the axis is then logarithmic.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not dots:
        raise InvalidValueError("dots", "not empty", dots)
    ax = new_axes(ax, height=4.0)
    front = pareto_front(dots, less_is_better=less_is_better)
    ax.set_xlim(0, 1.35 * max(cost for cost, _ in dots.values()))
    if less_is_better:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(require("matplotlib.ticker", "plots").LogLocator(subs=(1, 2, 3, 5)))
        plain_numbers(ax.yaxis)
    for name, (cost, quality) in dots.items():
        ax.plot(cost, quality, "o", color=COLORS["blue"] if name in front else COLORS["grey"], ms=7)
    ax.margins(y=0.2)
    if less_is_better:
        ax.invert_yaxis()
    ax.autoscale_view()  # matplotlib sets limits late, and the names' places follow from them
    for name, lift in _lifts(ax, dots).items():
        color = COLORS["blue"] if name in front else COLORS["grey"]
        ax.annotate(
            name, dots[name], xytext=(6, lift), textcoords="offset points", fontsize=SMALL, color=color, clip_on=False
        )
    ax.set_xlabel(unit)
    ax.set_ylabel(f"{metric} ({'less' if less_is_better else 'more'} is better)")
    return ax


def _lifts(ax: Axes, dots: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Points by which each name is lifted over its dot so that it covers no other name or dot."""
    per_point = ax.figure.dpi / 72
    places = {name: [value / per_point for value in ax.transData.transform(dot)] for name, dot in dots.items()}
    # Begin, stop, bottom and top of dots and names; a name may touch a dot from below.
    taken = [(x - 4, x + 4, y - 1, y + 5) for x, y in places.values()]
    lifts = {}
    for name, (x, y) in sorted(places.items(), key=lambda place: place[1][1]):
        begin, end, height = x + 6, x + 6 + 0.6 * SMALL * len(name), y + 4
        for start, stop, bottom, top in sorted(taken, key=lambda other: other[2]):
            if start < end and begin < stop and bottom - SMALL < height < top:
                height = top
        taken.append((x, end, height - 2, height + SMALL + 2))
        lifts[name] = height - y
    return lifts


def plot_speed_bits(promised: Mapping[str, float], measured: Mapping[str, float], *, ax: Axes | None = None) -> Axes:
    """For each variant how much faster its bytes alone would make it, and how much faster it is.

    Parameters
    ----------
    promised, measured : mapping of str to float
        Times as fast as the baseline, > 0: by bytes, and as measured. The same names in both.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if set(promised) != set(measured) or not promised:
        raise InvalidValueError("measured", f"for {', '.join(promised) or 'some variant'}", sorted(measured))
    ax = new_axes(ax, height=1.0 + 0.5 * len(promised))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    for row, name in enumerate(promised):
        labels = ("by its bytes", "measured") if row == 0 else (None, None)
        ax.plot([promised[name], measured[name]], [row, row], color=COLORS["grey"], linewidth=1, zorder=1)
        ax.plot(promised[name], row, "o", mfc="white", mec=COLORS["grey"], ms=8, label=labels[0])
        ax.plot(measured[name], row, "o", color=COLORS["blue"], ms=8, label=labels[1])
    ax.axvline(1, color=COLORS["orange"], linewidth=1)
    ax.set_yticks(range(len(promised)), list(promised), fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.1 * max(*promised.values(), *measured.values()))
    ax.set_xlabel("times as fast as the baseline")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


def plot_arms(
    accuracies: Mapping[str, Sequence[float]],
    *,
    live: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """For each way to train the accuracy of every seed as a small dot, and the mean with its 95 % interval.

    Parameters
    ----------
    accuracies : mapping of str to sequence of float
        Accuracies under at least two seeds, in [0, 1], of each way, drawn from the top down.
    live : mapping of str to sequence of float, optional
        Accuracies measured just now, of some of the ways, drawn as rings around the dots they should meet.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not accuracies or min(map(len, accuracies.values())) < 2:
        raise InvalidValueError("accuracies", "those of at least two seeds for each arm", dict(accuracies))
    stats = require("scipy.stats", "compression")
    ax = new_axes(ax, height=0.9 + 0.45 * len(accuracies))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    for row, values in enumerate(accuracies.values()):
        percent = [100 * value for value in values]
        mean = statistics.fmean(percent)
        margin = stats.t.ppf(0.975, len(percent) - 1) * statistics.stdev(percent) / math.sqrt(len(percent))
        ax.plot(percent, [row] * len(percent), "o", color=COLORS["sky"], ms=4, alpha=0.6, zorder=1)
        ax.errorbar(mean, row, xerr=margin, fmt="o", color=COLORS["blue"], ms=7, capsize=4, linewidth=2, zorder=2)
        ax.annotate(f"{mean:.1f}", (mean, row), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=SMALL)
    for name, values in (live or {}).items():
        if name not in accuracies:
            raise InvalidValueError("live", f"of {', '.join(accuracies)}", name)
        row = list(accuracies).index(name)
        ax.plot([100 * value for value in values], [row] * len(values), "o", mfc="none", mec=COLORS["orange"], ms=9)
    ax.set_yticks(range(len(accuracies)), list(accuracies), fontsize=SMALL)
    ax.set_ylim(len(accuracies) - 0.5, -0.7)
    ax.set_xlabel("accuracy (%)")
    return ax


def plot_floors(lines: Mapping[str, Sequence[tuple[int, float, float]]], *, ax: Axes | None = None) -> Axes:
    """Time of a step against the batch size, a line for each scheme, and dashed what the device allows at best.

    Parameters
    ----------
    lines : mapping of str to sequence of (int, float, float)
        For each scheme its batch sizes with the time and its floor, in milliseconds, > 0.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not lines:
        raise InvalidValueError("lines", "not empty", dict(lines))
    ticker = require("matplotlib.ticker", "plots")
    ax = new_axes(ax)
    for number, (name, points) in enumerate(lines.items()):
        color = list(COLORS.values())[number % len(COLORS)]
        batches, times, floors = zip(*points, strict=True)
        ax.plot(batches, times, "o-", color=color, label=name)
        ax.plot(batches, floors, "--", color=color, linewidth=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    plain_numbers(ax.yaxis)
    ax.xaxis.set_major_locator(ticker.FixedLocator(sorted({point[0] for line in lines.values() for point in line})))
    plain_numbers(ax.xaxis)
    ax.set_xlabel("sequences at once")
    ax.set_ylabel("ms for a step (dashed: the floor)")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax
