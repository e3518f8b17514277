"""Figures of pruned models: what zeros cost in quality, and what they save in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, SMALL, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_pruned_bytes", "plot_pruning"]

Curves = Mapping[str, Sequence[tuple[float, float]]]


def plot_pruning(curves: Curves, *, metric: str, ax: Axes | None = None) -> Axes:
    """Quality against the share of zeros: a colour for each pattern, dashed as pruned, solid after fine-tuning.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        For each pattern pairs of share of zeros, in [0, 1], and quality; names that end in ``, tuned`` are solid.
    metric : str
        What quality is.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not curves:
        raise InvalidValueError("curves", "not empty", dict(curves))
    ax = new_axes(ax, height=4.2)
    patterns = list(dict.fromkeys(name.removesuffix(", tuned") for name in curves))
    for name, points in curves.items():
        color = list(COLORS.values())[patterns.index(name.removesuffix(", tuned")) % len(COLORS)]
        zeros, quality = zip(*points, strict=True)
        style = "o-" if name.endswith(", tuned") else "o--"
        ax.plot([100 * share for share in zeros], quality, style, color=color, label=name, ms=5)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("zeros among the weights of linear layers (%)")
    ax.set_ylabel(metric)
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


def plot_pruned_bytes(curves: Curves, *, ax: Axes | None = None) -> Axes:
    """Size against the share of zeros, a line for each way to store them.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        For each way pairs of share of zeros, in [0, 1], and bytes.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    """
    if not curves:
        raise InvalidValueError("curves", "not empty", dict(curves))
    ax = new_axes(ax)
    for color, (name, points) in zip(COLORS.values(), curves.items(), strict=False):
        zeros, sizes = zip(*points, strict=True)
        ax.plot([100 * share for share in zeros], [size / 1e6 for size in sizes], "o-", color=color, label=name, ms=5)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("zeros among the weights of linear layers (%)")
    ax.set_ylabel("MB")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax
