"""Figures of routers: how sure tiers should be, quality against cost, guarantees, and traffic that gets harder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from costlab._internal.extras import extra
from costlab.plotting.style import COLORS, SMALL, in_style, line_styles, new_axes, plain_numbers
from costlab.router import Baselines, Point, ReliabilityBin, Simulated, hull, quality_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_reliability(models: Mapping[str, Sequence[ReliabilityBin]], *, ax: Axes | None = None) -> Axes:
    """How often answers are right against how sure the model was; a model that knows itself lies on the diagonal.

    Parameters
    ----------
    models : mapping of str to sequence of ReliabilityBin
        For each line the bins of :func:`costlab.router.reliability`.
    """
    ax = new_axes(ax, 4.6, 4.0)
    ax.plot([0, 100], [0, 100], color=COLORS["grey"], linestyle=":", label="as sure as right")
    ax.annotate(
        "as sure as right", (5, 5), (9, -4), textcoords="offset points", fontsize=SMALL, color=COLORS["grey"],
        va="center",
    )  # fmt: skip
    for (name, bins), (color, dash) in zip(models.items(), line_styles(len(models)), strict=True):
        sure, right = [100 * b.confidence for b in bins], [100 * b.accuracy for b in bins]
        ax.plot(sure, right, color=color, linestyle=dash, marker="o", linewidth=2, label=name)
        # Each name is on the side of the diagonal to which its line goes further: above it, or below it in the left
        # part, where there is room for letters.
        gaps = [y - x for x, y in zip(sure, right, strict=True)]
        above = max(gaps) >= -min(gaps)
        place = gaps.index(max(gaps)) if above else min(range(len(gaps)), key=lambda i: (sure[i] > 60, gaps[i]))
        shift, side = ((-7, 5), "right") if above else ((9, -9), "left" if sure[place] <= 60 else "right")
        ax.annotate(
            name, (sure[place], right[place]), shift, textcoords="offset points", fontsize=SMALL, color=color, ha=side
        )
    ax.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence (%)", ylabel="right answers (%)")
    return ax


@in_style
def plot_cost_quality(
    cascade: Sequence[Point], alone: Baselines, *, chosen: Mapping[str, Point] | None = None, ax: Axes | None = None
) -> Axes:
    """Quality against cost: the cascade's hull, every tier alone, the best fixed mix of them, and the oracle.

    Parameters
    ----------
    cascade : sequence of Point
        Policies of the cascade; the line is their hull.
    alone : Baselines
        From :func:`costlab.router.baselines`.
    chosen : mapping of str to Point, optional
        Further policies to mark, by name.
    """
    ax = new_axes(ax, 5.6, 3.9)
    # Each name is on the side of its line that is away from the other, a share of the way along it.
    lines = {
        "cascade": (cascade, "blue", "-", 80, (0, 8), "center"),
        "best fixed mix": (alone.best_fixed_mix, "grey", "--", 20, (8, -9), "left"),
    }
    for name, (points, color, dash, place, shift, side) in lines.items():
        # Mixtures lie on straight lines, which a logarithmic axis bends.
        first, last = hull(points)[0].usd_per_request, alone.all_large.usd_per_request
        usd = [first * (last / first) ** (step / 100) for step in range(101)]
        right = [100 * quality_at(points, cost) for cost in usd]
        ax.plot([100 * cost for cost in usd], right, color=COLORS[color], linestyle=dash, linewidth=2, label=name)
        ax.annotate(
            name, (100 * usd[place], right[place]), shift, textcoords="offset points", fontsize=SMALL,
            color=COLORS[color], ha=side,
        )  # fmt: skip
    for point in alone.singles:
        # Below the mix, which rises towards a tier and is flat after it; the last name stays on the axes.
        shift = (-40, -21) if point.usd_per_request == alone.all_large.usd_per_request else (4, -15)
        _mark(ax, point, point.label, "grey", "o", shift)
    _mark(ax, alone.oracle, "oracle", "green", "*", (8, -3))
    for name, point in (chosen or {}).items():
        _mark(ax, point, name, "orange", "D", (0, 9))
    ax.set(xlabel="cost of a request (US cents)", ylabel="right answers (%)", xscale="log")
    with extra("plots"):
        from matplotlib.ticker import LogLocator
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    plain_numbers(ax.xaxis)
    ax.margins(x=0.08, y=0.12)
    return ax


def _mark(ax: Axes, point: Point, name: str, color: str, marker: str, shift: tuple[int, int]) -> None:
    place = (100 * point.usd_per_request, 100 * point.quality_fraction)
    ax.plot(*place, marker=marker, markersize=11 if marker == "*" else 7, color=COLORS[color], linestyle="none")
    ax.annotate(name, place, shift, textcoords="offset points", fontsize=SMALL, color=COLORS[color])


@in_style
def plot_guarantees(
    tried: Mapping[str, Sequence[Mapping[str, Any]]], floor_fraction: float, *, ax: Axes | None = None
) -> Axes:
    """What thresholds fitted on a half of the queries did on the other half, one dot for each division.

    Parameters
    ----------
    tried : mapping of str to sequence of mapping
        For each kind of guarantee the rows of :func:`costlab.experiments.guarantees`.
    floor_fraction : float
        What was guaranteed.
    """
    ax = new_axes(ax, 5.4, 1.2 + 0.75 * len(tried))
    for place, rows in enumerate(tried.values()):
        # Dots are moved apart up and down so that equal ones can be counted.
        given = [row for row in rows if row["found"]]
        height = [place + 0.5 * (i / max(1, len(given) - 1) - 0.5) for i in range(len(given))]
        colors = [COLORS["blue"] if row["kept"] else COLORS["orange"] for row in given]
        ax.scatter([100 * row["quality_fraction"] for row in given], height, c=colors, s=36)
    ax.axvline(100 * floor_fraction, color=COLORS["grey"], linestyle="--", linewidth=1.6)
    ax.annotate(
        f"promised {100 * floor_fraction:g} %", (100 * floor_fraction, len(tried) - 0.55), (4, 0),
        textcoords="offset points", fontsize=SMALL,
    )  # fmt: skip
    ax.set_yticks(range(len(tried)), list(tried))
    ax.set_ylim(-0.6, len(tried) - 0.35)
    ax.set_xlabel("right answers on the other half (%)")
    return ax


@in_style
def plot_drift(
    hard_fractions: Sequence[float], simulated: Sequence[Simulated], floor_fraction: float, *, ax: Axes | None = None
) -> Axes:
    """A cascade with fixed thresholds while the traffic gets harder: quality, with the cost written beside it.

    Parameters
    ----------
    hard_fractions : sequence of float
        Share of hard queries in the traffic.
    simulated : sequence of Simulated
        What the cascade then does.
    floor_fraction : float
        What was guaranteed.
    """
    ax = new_axes(ax)
    hard, right = [100 * x for x in hard_fractions], [100 * day.quality_fraction for day in simulated]
    ax.plot(hard, right, color=COLORS["blue"], marker="o", linewidth=2)
    for x, y, day in zip(hard, right, simulated, strict=True):
        cents = f"{100 * day.usd_per_request:.2f} ¢"
        # On the side of the curve that is away from the line of the promise.
        above = y > 100 * floor_fraction
        shift, side = ((5, 6), "left") if above else ((-4, -15), "right")
        ax.annotate(cents, (x, y), shift, textcoords="offset points", fontsize=SMALL, ha=side)
    ax.axhline(100 * floor_fraction, color=COLORS["grey"], linestyle="--", linewidth=1.6)
    ax.annotate(
        f"promised {100 * floor_fraction:g} %", (hard[-1], 100 * floor_fraction), (0, 4),
        textcoords="offset points", fontsize=SMALL, ha="right",
    )  # fmt: skip
    ax.set(xlabel="hard queries in the traffic (%)", ylabel="right answers (%)", ylim=(0, 100))
    return ax
