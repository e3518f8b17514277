"""Figures of distillation: what a teacher says, what labels would do instead, and when the work is paid back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, SMALL, line_styles, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_bill", "plot_label_curve", "plot_soft_targets"]


def plot_soft_targets(probabilities: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None) -> Axes:
    """What a teacher says of one example: for each class a row, for each temperature a bar in it.

    Parameters
    ----------
    probabilities : mapping of str to (mapping of str to float)
        For each temperature, as the legend names it, the probability of some classes; the same classes in each, drawn
        from the top down.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    classes = list(next(iter(probabilities.values()), {}))
    if not classes or any(list(said) != classes for said in probabilities.values()):
        raise InvalidValueError("probabilities", "of the same classes at each temperature", dict(probabilities))
    ax = new_axes(ax, height=0.9 + 0.5 * len(classes))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    thick, colors = 0.8 / len(probabilities), line_styles(len(probabilities))
    for k, ((name, said), (color, _)) in enumerate(zip(probabilities.items(), colors, strict=True)):
        rows = [row + (k - (len(probabilities) - 1) / 2) * thick for row in range(len(classes))]
        ax.barh(rows, [100 * said[each] for each in classes], height=0.9 * thick, color=color, label=name)
    ax.set_yticks(range(len(classes)), classes, fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlabel("probability (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax


def plot_label_curve(
    accuracies: Mapping[str, Mapping[int, float]], marks: Mapping[str, float], *, ax: Axes | None = None
) -> Axes:
    """Accuracy against the number of labels, a line for each model; what needs no more labels is a dashed level.

    Parameters
    ----------
    accuracies : mapping of str to (mapping of int to float)
        For each model its accuracy in [0, 1] at some numbers of labels, > 0.
    marks : mapping of str to float
        Accuracies to compare with, and what they are.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not accuracies or not all(accuracies.values()):
        raise InvalidValueError("accuracies", "at some number of labels for each model", dict(accuracies))
    ax = new_axes(ax)
    colors = [COLORS["grey"], COLORS["blue"], COLORS["green"]]
    for (name, found), color in zip(accuracies.items(), colors, strict=False):
        ax.plot(list(found), [100 * value for value in found.values()], "o-", color=color, ms=5, label=name)
    for name, value in marks.items():
        ax.axhline(100 * value, color=COLORS["orange"], linestyle="--", linewidth=1.5, label=name)
    ax.set_xscale("log")
    ticks = sorted({count for found in accuracies.values() for count in found})
    ax.set_xticks(ticks, [f"{count:,}" for count in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("labelled queries")
    ax.set_ylabel("accuracy (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax


def plot_bill(
    options: Mapping[str, tuple[float, float]], *, most_requests: float, least_requests: float, ax: Axes | None = None
) -> Axes:
    """What each option has cost in all after so many requests, both axes logarithmic.

    Parameters
    ----------
    options : mapping of str to (float, float)
        USD before the first request, >= 0, and USD for each request, > 0.
    most_requests, least_requests : float
        How far to draw, and from where, > 0.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not 0 < least_requests < most_requests:
        raise InvalidValueError("least_requests", f"between 0 and {most_requests:g}", least_requests)
    if not options:
        raise InvalidValueError("options", "not empty", dict(options))
    ax = new_axes(ax)
    steps = 200
    counts = [least_requests * (most_requests / least_requests) ** (k / steps) for k in range(steps + 1)]
    for (name, (upfront, each)), (color, line) in zip(options.items(), line_styles(len(options)), strict=True):
        ax.plot(counts, [upfront + each * count for count in counts], color=color, linestyle=line, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    ax.set_xlim(least_requests, most_requests)
    ax.set_xlabel("requests answered")
    ax.set_ylabel("USD in all")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return ax
