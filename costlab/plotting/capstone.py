"""The capstone's figure: where a month's money goes, under several plans."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from costlab.plotting.style import SMALL, line_styles, new_axes, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costlab.capstone import Score

#: A part below this share of the most expensive plan is too thin to be told apart, and is drawn with the others.
THIN: Final = 0.02

#: So that a line behind a number does not cross it out.
WHITE: Final = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def plot_plans(scores: Mapping[str, Score], *, ax: Axes | None = None) -> Axes:
    """A bar for each plan, made of the parts of its monthly bill, and the budget as a line.

    Parameters
    ----------
    scores : mapping of str to Score
        By the name that each bar gets; the first stands on top.
    """
    ax = new_axes(ax, 5.0, 1.3 + 0.5 * len(scores))
    most = max(score.usd_per_month for score in scores.values())
    order = list(next(iter(scores.values())).parts_usd)
    shown = [name for name in order if any(score.parts_usd[name] >= THIN * most for score in scores.values())]
    rest = [name for name in order if name not in shown]
    styles = dict(zip([*shown, "other"], line_styles(len(shown) + 1), strict=True))
    places = list(range(len(scores)))[::-1]
    for place, score in zip(places, scores.values(), strict=True):
        widths = [score.parts_usd[name] for name in shown] + [sum(score.parts_usd[name] for name in rest)]
        begins = [0.0, *accumulate(widths)]
        for name, begin, width in zip(styles, begins, widths, strict=False):
            color, dash = styles[name]
            hatch = {"-": "", "--": "///", "-.": "...", ":": "xxx"}[dash]
            label = name if place == places[0] else None
            ax.barh(place, width, left=begin, color=color, hatch=hatch, edgecolor="white", label=label, height=0.7)
        text, end = f"{score.usd_per_month:,.0f}", (begins[-1], place)
        ax.annotate(text, end, (4, 0), textcoords="offset points", va="center", fontsize=SMALL, bbox=WHITE)
    budget = next(iter(scores.values())).budget_usd_per_month
    ax.axvline(budget, color="black", linestyle=":", linewidth=1.5, label=f"budget {short(budget)}")
    ax.set_yticks(places, list(scores))
    ax.set(xlabel="USD a month", xlim=(0, 1.14 * most))
    ax.xaxis.set_major_formatter(lambda value, _: short(value))
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False, fontsize=SMALL, ncols=3, loc="lower left", bbox_to_anchor=(-0.05, 1.0))
    return ax
