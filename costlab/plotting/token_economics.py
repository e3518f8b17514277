"""Figures of an API's bill: prompt caches, waiting, agents and tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, SMALL, in_style, line_styles, new_axes, plain_numbers
from costlab.token_economics import CacheRates, batch_saving_fraction, expected_hit_fraction
from costlab.units import SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_prompt_cache(
    lifetimes: Mapping[float, CacheRates],
    counted: Mapping[float, Mapping[float, float]] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """What a cached prefix costs a call, over sending it plain, by the mean time between two calls of it.

    Parameters
    ----------
    lifetimes : mapping of float to CacheRates
        Lifetime in seconds to what writing and reading cost; calls arrive as a Poisson process, and hits renew.
    counted : mapping, optional
        For some of the lifetimes, the same counted on bursts: minutes between two calls to the relative cost.
    """
    if not lifetimes:
        raise InvalidValueError("lifetimes", "not empty", lifetimes)
    ax = new_axes(ax)
    minutes = [0.5 * 480 ** (k / 80) for k in range(81)]
    styled = zip(line_styles(len(lifetimes)), lifetimes.items(), strict=True)
    for place, ((color, dash), (lifetime_s, rates)) in enumerate(styled):
        costs = [
            rates.relative_cost(expected_hit_fraction(1 / (SECONDS_PER_MINUTE * one), lifetime_s)) for one in minutes
        ]
        name = f"kept for {lifetime_s / SECONDS_PER_MINUTE:g} minutes"
        ax.semilogx(minutes, costs, color=color, linestyle=dash, label=name)
        dots = (counted or {}).get(lifetime_s, {})
        if dots:
            # Every other lifetime's are rings: those of two lifetimes may lie on each other.
            size, fill = (5, "full") if place % 2 else (9, "none")
            ax.plot(
                list(dots), list(dots.values()), "o", color=color, markersize=size, fillstyle=fill,
                label="the same, in bursts",
            )  # fmt: skip
    ax.axhline(1, color=COLORS["grey"], linewidth=1)
    ax.annotate("not cached", (minutes[0], 1), xytext=(0, -12), textcoords="offset points", fontsize=SMALL)
    plain_numbers(ax.xaxis)
    ax.set_xlabel("minutes between two calls, on average")
    ax.set_ylabel("price of the prefix (1: not cached)")
    ax.set_ylim(0)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return ax


@in_style
def plot_batch_saving(
    prices: Mapping[str, tuple[ApiPrice, ApiPrice]],
    *,
    input_tokens: float,
    output_tokens: float,
    ax: Axes | None = None,
) -> Axes:
    """What a batch saves, by the share of the input that the standard tier reads from its cache.

    Parameters
    ----------
    prices : mapping of str to (ApiPrice, ApiPrice)
        Names to prices of the standard tier and of the batch. Each has two lines: the batch reads as much from the
        cache, and it reads nothing.
    input_tokens, output_tokens : float
        Of a request.
    """
    if not prices:
        raise InvalidValueError("prices", "not empty", prices)
    ax = new_axes(ax)
    shares = [k / 40 for k in range(41)]
    for color, (name, (standard, batch)) in zip(COLORS.values(), prices.items(), strict=False):
        for later, dash, note in ((None, "-", "batch cached as well"), (0.0, ":", "batch not cached")):
            saved = [
                100
                * batch_saving_fraction(
                    standard,
                    batch,
                    input_tokens=input_tokens,
                    output_tokens=output_tokens,
                    cached_fraction=share,
                    cached_while_waiting_fraction=later,
                )
                for share in shares
            ]
            ax.plot([100 * share for share in shares], saved, dash, color=color, label=f"{name}, {note}")
    ax.axhline(0, color=COLORS["grey"], linewidth=1)
    ax.set_xlabel("input read from the cache in the standard tier (%)")
    ax.set_ylabel("saved by the batch (%)")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_conversation(bills: Mapping[str, Mapping[int, float]], *, ax: Axes | None = None) -> Axes:
    """Bills of a conversation by its number of turns, each line named at its end.

    Parameters
    ----------
    bills : mapping of str to mapping of int to float
        How the history is sent, to turns and USD.
    """
    if not bills:
        raise InvalidValueError("bills", "not empty", bills)
    ax = new_axes(ax)
    ends = []
    for (color, dash), (name, usd) in zip(line_styles(len(bills)), bills.items(), strict=True):
        ax.plot(list(usd), list(usd.values()), dash, color=color)
        last = list(usd)[-1]
        ends.append((usd[last], last, name, color))
    # Names of lines that end close to each other are moved up, a line of text each; the axis is about 190 points high.
    per_usd, free = 190 / (max(end[0] for end in ends) or 1.0), 0.0
    for end, last, name, color in sorted(ends):
        height = max(per_usd * end, free)
        free = height + SMALL + 3
        ax.annotate(name, (last, end), xytext=(4, height - per_usd * end), textcoords="offset points", color=color,
                    fontsize=SMALL, va="center")  # fmt: skip
    ax.set_xlim(0, max(max(usd) for usd in bills.values()) * 1.28)
    ax.set_ylim(0)
    ax.set_xlabel("turns")
    ax.set_ylabel("USD, all turns together")
    return ax


@in_style
def plot_tokens(counts: Mapping[str, Mapping[str, int]], base: str, *, ax: Axes | None = None) -> Axes:
    """Tokens of texts of the same content, over those of one of them, by tokenizer.

    Parameters
    ----------
    counts : mapping of str to mapping of str to int
        Text to tokenizer to tokens.
    base : str
        The text that counts as 1.
    """
    if base not in counts:
        raise InvalidValueError("base", "one of the texts", base)
    names: Sequence[str] = list(counts[base])
    ax = new_axes(ax, height=4.0)
    texts = sorted(counts, key=lambda text: max(counts[text].values()))
    marks = "osD^vPX"
    for number, name in enumerate(names):
        ratios = [counts[text][name] / counts[base][name] for text in texts]
        color = list(COLORS.values())[number % len(COLORS)]
        ax.plot(
            ratios, range(len(texts)), marks[number % len(marks)], color=color, label=name, markersize=6, alpha=0.85
        )
    ax.set_yticks(range(len(texts)), texts)
    ax.grid(axis="x", alpha=0.25)
    ax.set_xlim(0)
    ax.set_xlabel(f"tokens, over those in {base}")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax
