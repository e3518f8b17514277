"""The capstone's figure: where a month's money goes, under several plans."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from costlab.plotting.style import COLORS, INK, SMALL, in_style, line_styles, new_axes, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costlab.capstone import Score

#: A part below this share of the most expensive plan is too thin to be told apart, and is drawn with the others.
THIN: Final = 0.02

#: Letters that fit into an inch, and the share of the figure's width that the bars have.
LETTERS_PER_INCH: Final = 13
BARS_FRACTION: Final = 0.8


@in_style
def plot_plans(scores: Mapping[str, Score], *, ax: Axes | None = None) -> Axes:
    """A bar for each plan, made of the parts of its monthly bill, and the budget as a line.

    Parameters
    ----------
    scores : mapping of str to Score
        By the name that each bar gets; the first is on top.
    """
    ax = new_axes(ax, 5.4, 0.95 + 0.95 * len(scores))
    most = max(score.usd_per_month for score in scores.values())
    order = list(next(iter(scores.values())).parts_usd)
    shown = [name for name in order if any(score.parts_usd[name] >= THIN * most for score in scores.values())]
    rest = [name for name in order if name not in shown]
    colors = dict(zip([*shown, "other"], [color for color, _ in line_styles(len(shown) + 1)], strict=True))
    reach = 1.14 * most
    figure = ax.get_figure(root=True)
    width_inches = figure.get_figwidth() if figure is not None else 5.4
    letter_usd = reach / (LETTERS_PER_INCH * BARS_FRACTION * width_inches)
    places = list(range(len(scores)))[::-1]
    for place, score in zip(places, scores.values(), strict=True):
        widths = [score.parts_usd[name] for name in shown] + [sum(score.parts_usd[name] for name in rest)]
        begins = [0.0, *accumulate(widths)]
        for name, begin, width in zip(colors, begins, widths, strict=False):
            ax.barh(place, width, left=begin, color=colors[name], edgecolor="white", label=name, height=0.42)
            middle, label = begin + width / 2, "GPUs" if name == "gpus" else name
            if width > letter_usd * (len(label) + 1):
                letters = "black" if colors[name] == COLORS["sky"] else "white"
                ax.text(middle, place, label, color=letters, fontsize=SMALL, ha="center", va="center")
            elif width >= THIN * most:
                ax.text(middle, place + 0.23, label, fontsize=SMALL, rotation=60, rotation_mode="anchor", va="bottom")
        end = (begins[-1], place)
        ax.annotate(f"{score.usd_per_month:,.0f}", end, (4, 0), textcoords="offset points", va="center", fontsize=SMALL)
    budget = next(iter(scores.values())).budget_usd_per_month
    ax.axvline(budget, color=INK, linestyle=":", linewidth=1.5)
    ax.annotate(
        f"budget {short(budget)}",
        (budget, 0),
        (3, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=SMALL,
    )
    ax.set_yticks(places, list(scores))
    ax.set(xlabel="USD a month", xlim=(0, reach), ylim=(-0.62, len(scores) - 0.2))
    ax.xaxis.set_major_formatter(lambda value, _: short(value))
    ax.grid(axis="y", visible=False)
    return ax
