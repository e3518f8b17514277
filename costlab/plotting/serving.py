"""Figures of what a GPU can serve, and of predictions beside measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import extra
from costlab.plotting.style import COLORS, SMALL, in_style, line_styles, new_axes, plain_numbers
from costlab.serving import Roofline, capacity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v")


@in_style
def plot_predictions(
    groups: Mapping[str, Sequence[tuple[float, float]]], *, unit: str = "tokens per second", ax: Axes | None = None
) -> Axes:
    """Predicted against measured values on logarithmic axes, with the diagonal and a band of 20 % around it.

    Parameters
    ----------
    groups : mapping of str to sequence of (float, float)
        For each group (the legend) pairs of a measured and a predicted value, all > 0.
    unit : str
        Unit of both.
    """
    ax = new_axes(ax, height=4.2)
    ax.grid(axis="both", alpha=0.25)
    for position, (name, pairs) in enumerate(groups.items()):
        color = line_styles(len(groups))[position][0]
        # When the colours begin again, the markers are others.
        marker = MARKERS[(position + position // len(MARKERS)) % len(MARKERS)]
        ax.loglog([m for m, _ in pairs], [p for _, p in pairs], marker, color=color, label=name, ms=6, alpha=0.85)
    values = [value for pairs in groups.values() for pair in pairs for value in pair]
    ends = [min(values) / 1.4, max(values) * 1.4]
    ax.plot(ends, ends, color=COLORS["grey"], linewidth=1)
    ax.fill_between(
        ends, [0.8 * e for e in ends], [1.2 * e for e in ends], color=COLORS["grey"], alpha=0.12, linewidth=0
    )
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    for axis in (ax.xaxis, ax.yaxis):
        plain_numbers(axis)
    ax.set_xlabel(f"measured {unit}")
    ax.set_ylabel(f"predicted {unit}")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_capacity(
    rooflines: Mapping[str, Roofline],
    input_tokens: float,
    output_tokens: float,
    limits_ms: Sequence[float],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Requests per second of a replica against the longest time allowed between two tokens.

    Parameters
    ----------
    rooflines : mapping of str to Roofline
        For each line (the legend) a model on its GPUs.
    input_tokens, output_tokens : float
        Length of prompt and answer.
    limits_ms : sequence of float
        Limits on the mean inter-token latency in milliseconds, > 0, in rising order. A line begins where the model is
        fast enough at all.
    """
    ax = new_axes(ax)
    for (name, on), (color, line) in zip(rooflines.items(), line_styles(len(rooflines)), strict=True):
        rates = [
            capacity(on, input_tokens, output_tokens, max_inter_token_s=ms / 1000).requests_per_s for ms in limits_ms
        ]
        kept = [(ms, rate) for ms, rate in zip(limits_ms, rates, strict=True) if rate is not None]
        ax.plot([ms for ms, _ in kept], [rate for _, rate in kept], color=color, linestyle=line, label=name)
    ax.set_xlim(0, max(limits_ms))
    ax.set_ylim(0)
    ax.set_xlabel("longest time allowed between two tokens (ms)")
    ax.set_ylabel("requests per second and replica")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_ranges(
    ranges: Mapping[str, tuple[float, float, float]],
    claimed: Mapping[str, float] | None = None,
    *,
    unit: str = "USD a month",
    ax: Axes | None = None,
) -> Axes:
    """For each name a line from a low to a high value, a dot at the middle, and a cross where something was claimed.

    Parameters
    ----------
    ranges : mapping of str to (float, float, float)
        Low, middle and high, for each row.
    claimed : mapping of str to float, optional
        A claimed value for some of the rows.
    unit : str
        Unit of all values.
    """
    with extra("plots"):
        from matplotlib.ticker import FixedLocator

    ax = new_axes(ax, height=0.9 + 0.38 * len(ranges))
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    for row, (name, (low, middle, high)) in enumerate(ranges.items()):
        spread, dot, cross = ("low to high", "middle", "claimed") if row == 0 else (None, None, None)
        ax.plot([low, high], [row, row], color=COLORS["blue"], linewidth=2.5, alpha=0.6, label=spread)
        ax.plot(middle, row, "o", color=COLORS["blue"], ms=7, label=dot)
        if claimed and name in claimed:
            ax.plot(claimed[name], row, "X", color=COLORS["orange"], ms=8, label=cross)
    ax.set_yticks(range(len(ranges)), list(ranges), fontsize=SMALL)
    ax.set_ylim(len(ranges) - 0.5, -0.5)
    ends = [value for spread in ranges.values() for value in spread] + list((claimed or {}).values())
    ax.set_xscale("symlog", linthresh=1000, linscale=0.5)
    ax.set_xlim(min(ends) * (1.6 if min(ends) < 0 else 0.6), max(ends) * (1.6 if max(ends) > 0 else 0.6))
    powers = [10.0**power for power in range(3, 10)]
    ax.xaxis.set_major_locator(FixedLocator([-power for power in powers] + [0.0, *powers]))
    plain_numbers(ax.xaxis)
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    ax.axvline(0, color=COLORS["grey"], linewidth=1)
    ax.set_xlabel(unit)
    return ax
