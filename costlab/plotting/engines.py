"""Figures of serving engines: batching, patience, speculation, fleets that scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import extra
from costlab.plotting.style import COLORS, SMALL, in_style, line_styles, new_axes, plain_numbers
from costlab.serving import Roofline, capacity, speculation_speedup, usd_per_mtok

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_batching(gains: Mapping[str, Mapping[int, float]], *, ax: Axes | None = None) -> Axes:
    """Tokens a second over those of a lone request, by requests in flight, on logarithmic axes.

    Parameters
    ----------
    gains : mapping of str to mapping of int to float
        For each line the gain, > 0, by requests in flight, ascending.
    """
    ax = new_axes(ax)
    for (name, gain), (color, line) in zip(gains.items(), line_styles(len(gains)), strict=True):
        ax.plot(list(gain), list(gain.values()), color=color, linestyle=line, marker="o", ms=4)
        at = max(gain)
        ax.annotate(name, (at, gain[at]), (6, 0), textcoords="offset points", color=color, fontsize=SMALL, va="center")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    for axis in (ax.xaxis, ax.yaxis):
        plain_numbers(axis)
    ends = [at for gain in gains.values() for at in gain]
    ax.set_xlim(min(ends) / 1.1, max(ends) * 4.5)
    ax.set_xlabel("requests in flight")
    ax.set_ylabel("tokens a second, over those of one")
    return ax


@in_style
def plot_patience(
    rooflines: Mapping[str, tuple[Roofline, float]],
    input_tokens: float,
    output_tokens: float,
    limits_ms: Sequence[float],
    *,
    ax: Axes | None = None,
) -> Axes:
    """What a million written tokens cost against the longest time allowed between two of them.

    Parameters
    ----------
    rooflines : mapping of str to (Roofline, float)
        For each line a model on its GPUs, and their price in USD an hour.
    input_tokens, output_tokens : float
        Length of prompt and answer, the latter >= 1.
    limits_ms : sequence of float
        Limits in milliseconds, > 0, ascending. A line begins where the model is fast enough at all.
    """
    with extra("plots"):
        from matplotlib.ticker import LogLocator

    ax = new_axes(ax)
    for (name, (on, hourly)), (color, line) in zip(rooflines.items(), line_styles(len(rooflines)), strict=True):
        found = [(ms, capacity(on, input_tokens, output_tokens, max_inter_token_s=ms / 1000)) for ms in limits_ms]
        prices = [(ms, usd_per_mtok(hourly, one.output_tokens_per_s)) for ms, one in found if one.output_tokens_per_s]
        ax.plot([ms for ms, _ in prices], [usd for _, usd in prices], color=color, linestyle=line)
        ax.annotate(name, prices[0], (5, 3), textcoords="offset points", color=color, fontsize=SMALL, va="bottom")
    ax.set_yscale("log")
    ax.set_xlim(0, max(limits_ms))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    plain_numbers(ax.yaxis)
    ax.set_xlabel("longest time allowed between two tokens (ms)")
    ax.set_ylabel("USD for a million tokens written")
    return ax


@in_style
def plot_speculation(
    on: Roofline,
    context_tokens: float,
    draft_tokens: int,
    acceptance_fractions: Sequence[float],
    batches: Sequence[int],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Speed with guesses over speed without, by sequences in the batch; below the line at 1 guessing loses.

    Parameters
    ----------
    on, context_tokens, draft_tokens
        As for :func:`costlab.serving.speculation_speedup`.
    acceptance_fractions : sequence of float
        A line for each chance that a guess is right.
    batches : sequence of int
        Sequences in the batch, ascending.
    """
    ax = new_axes(ax)
    for chance, (color, line) in zip(acceptance_fractions, line_styles(len(acceptance_fractions)), strict=True):
        speeds = [speculation_speedup(on, batch, context_tokens, chance, draft_tokens) for batch in batches]
        ax.plot(batches, speeds, color=color, linestyle=line)
        ax.annotate(
            f"{chance:.0%} right", (batches[0], speeds[0]), (4, 4), textcoords="offset points", color=color,
            fontsize=SMALL,
        )  # fmt: skip
    ax.axhline(1, color=COLORS["grey"], linewidth=1)
    ax.set_xscale("log", base=2)
    plain_numbers(ax.xaxis)
    ax.set_ylim(0)
    ax.set_xlabel("sequences in the batch")
    ax.set_ylabel("speed with guesses over speed without")
    return ax


@in_style
def plot_fleets(fleets: Mapping[str, tuple[float, float]], *, ax: Axes | None = None) -> Axes:
    """What fleets cost a day, and which share of the requests waits too long; a dot for each.

    Parameters
    ----------
    fleets : mapping of str to (float, float)
        For each fleet USD a day and the share of the requests beyond the limit, in 0..1.
    """
    ax = new_axes(ax, height=3.8)
    most = 1.5 * max(usd for usd, _ in fleets.values())
    highest = max(100 * share for _, share in fleets.values())
    per_point = most / 310  # USD; the axis is about 310 points wide
    # Every other label is below its dot: two fleets may be as good as the same. It is left of its dot where it would
    # reach another.
    for place, (name, (usd, share)) in enumerate(sorted(fleets.items(), key=lambda fleet: fleet[1])):
        ax.plot(usd, 100 * share, "o", color=COLORS["blue"], ms=7)
        reach = per_point * (7 + 0.64 * SMALL * len(name))
        meets = any(
            7 * per_point < other_usd - usd < reach and abs(other - share) < 0.001 * highest
            for other_usd, other in fleets.values()
        )
        shift = (-7 if meets else 7, 4 if place % 2 == 0 else -11)
        ax.annotate(
            name, (usd, 100 * share), shift, textcoords="offset points", fontsize=SMALL,
            ha="right" if meets else "left",
        )  # fmt: skip
    ax.set_xlim(0, most)
    ax.set_ylim(-0.12 * highest - 0.01, 1.12 * highest + 0.01)
    ax.set_xlabel("USD a day")
    ax.set_ylabel("requests that wait too long (%)")
    return ax
