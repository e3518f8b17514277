"""Figures of response caching: hits against size, likeness against meaning, and what is left of the saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab.cache.economics import NetSaving, ZipfTraffic, lru_cache
from costlab.cache.semantic import ThresholdReport
from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, INK, SMALL, in_style, line_styles, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_cache_size(
    traffic: ZipfTraffic, measured: Mapping[int, float], *, requests: int, ax: Axes | None = None
) -> Axes:
    """Hit rate of an LRU cache against its size: Che's approximation as a line, measured rates as dots.

    Parameters
    ----------
    traffic : ZipfTraffic
        What is asked, and how often.
    measured : mapping of int to float
        Share of hits for sizes in answers.
    requests : int
        Requests served from an empty cache, in the formula and in the measurement.
    """
    if not measured:
        raise InvalidValueError("measured", "not empty", measured)
    ax = new_axes(ax)
    low, high = min(measured), max(measured)
    sizes = [low * (high / low) ** (k / 60) for k in range(61)]
    rates = [lru_cache(traffic, size, requests).first_hit_rate_fraction or 0.0 for size in sizes]
    ax.semilogx(sizes, [100 * rate for rate in rates], color=COLORS["blue"], label="Che's approximation")
    dots = [100 * rate for rate in measured.values()]
    ax.plot(list(measured), dots, "o", color=COLORS["orange"], label="measured")
    plain_numbers(ax.xaxis)
    ax.set_xlabel("size of the cache (answers)")
    ax.set_ylabel(f"hits (% of {requests:,} requests)")
    ax.set_ylim(0)
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_similarities(
    similarities: Mapping[str, Sequence[float]], *, marks: Sequence[float] = (), ax: Axes | None = None
) -> Axes:
    """How alike the texts of pairs are, for several kinds of pairs: the share of pairs at each similarity.

    Parameters
    ----------
    similarities : mapping of str to sequence of float
        Cosine similarities of the pairs of each kind.
    marks : sequence of float
        Thresholds, drawn as vertical lines.
    """
    ax = new_axes(ax)
    edges = [k / 20 for k in range(21)]
    for (name, values), (color, dash) in zip(similarities.items(), line_styles(len(similarities)), strict=True):
        # Equal texts may be a rounding error above 1, and a few pairs point away from each other.
        bins = [min(19, max(0, int(20 * value))) for value in values]
        shares = [100 * bins.count(k) / len(values) for k in range(20)]
        ax.stairs(shares, edges, color=color, linestyle=dash, linewidth=2, label=name)
        ax.stairs(shares, edges, color=color, fill=True, alpha=0.15)
    for mark in marks:
        ax.axvline(mark, color=COLORS["grey"], linestyle=":", label=f"threshold {mark:g}")
    ax.set_xlim(0, 1)
    ax.set_xlabel("cosine similarity of the two texts")
    ax.set_ylabel("share of the pairs (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return ax


@in_style
def plot_threshold(
    curves: Mapping[str, Sequence[ThresholdReport]],
    *,
    named: Sequence[float] = (),
    max_error_fraction: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """What a moving threshold brings and costs: share of hits over the share of wrong ones among them.

    Parameters
    ----------
    curves : mapping of str to sequence of ThresholdReport
        For each line the reports of its thresholds, in order.
    named : sequence of float
        Thresholds whose points carry their number.
    max_error_fraction : float, optional
        The share of wrong hits that is allowed, drawn as a vertical line.
    """
    ax = new_axes(ax)
    # The numbers of the first line stand below it and those of a second one above, where neither hides the other.
    places = [(5, -11), (-26, 5)]
    for k, ((name, reports), (color, dash)) in enumerate(zip(curves.items(), line_styles(len(curves)), strict=True)):
        points = [
            (100 * r.false_hit_fraction, 100 * r.hit_rate_fraction, r.threshold)
            for r in reports
            if r.false_hit_fraction is not None
        ]
        ax.plot([x for x, _, _ in points], [y for _, y, _ in points], color=color, linestyle=dash, label=name)
        for x, y, threshold in points:
            if threshold in named:
                ax.plot(x, y, "o", color=color)
                ax.annotate(f"{threshold:.2f}", (x, y), places[k % 2], textcoords="offset points", fontsize=SMALL)
    if max_error_fraction is not None:
        limit = 100 * max_error_fraction
        ax.axvline(limit, color=COLORS["grey"], linestyle=":", label=f"{limit:g} % wrong")
    ax.set_xlim(-0.05 * ax.get_xlim()[1])
    ax.set_ylim(0)
    ax.set_xlabel("wrong answers (% of the hits)")
    ax.set_ylabel("hits (% of the look-ups)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax


@in_style
def plot_net_saving(savings: Mapping[str, NetSaving], *, ax: Axes | None = None) -> Axes:
    """Calls avoided by several caches, what of it their costs take back, and the net saving.

    Parameters
    ----------
    savings : mapping of str to NetSaving
        Savings over one period, by name.
    """
    ax = new_axes(ax, height=1.7 + 0.62 * len(savings))
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    for row, saving in enumerate(savings.values()):
        first = row == 0
        avoided, wrong = saving.calls_avoided_usd, saving.wrong_answers_usd
        rest = avoided - wrong - saving.net_usd
        label = "calls avoided" if first else None
        ax.barh(row - 0.2, avoided, 0.36, color=COLORS["blue"], label=label)
        ax.barh(row + 0.2, -rest, 0.36, left=avoided, color=COLORS["grey"], label="the cache's cost" if first else None)
        label = "wrong answers" if first else None
        ax.barh(row + 0.2, -wrong, 0.36, left=avoided - rest, color=COLORS["orange"], hatch="//", label=label)
        ax.plot(saving.net_usd, row + 0.2, "D", color=COLORS["green"], ms=7, label="net" if first else None)
        ax.annotate(
            f"{saving.net_usd:,.2f}", (saving.net_usd, row + 0.2), (0, -17), ha="center", textcoords="offset points",
            fontsize=SMALL,
        )  # fmt: skip
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.margins(x=0.08)
    ax.set_yticks(range(len(savings)), list(savings), fontsize=SMALL)
    ax.set_ylim(len(savings) - 0.3, -0.6)
    ax.set_xlabel("USD a day")
    ax.legend(frameon=False, fontsize=SMALL, ncols=2, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return ax
