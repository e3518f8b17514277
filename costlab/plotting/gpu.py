"""Figures of GPU prices, commitments and spot jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import extra
from costlab.calculator import Commitment, best_commitment, spot_job, usd_per_useful_hour
from costlab.catalog import GpuPrice
from costlab.plotting.style import COLORS, SMALL, in_style, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_price_comparison(prices: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None) -> Axes:
    """Bars of several price lists side by side.

    Parameters
    ----------
    prices : mapping of str to mapping of str to float
        For each list (the legend) the USD per GPU-hour of each GPU (the groups); a GPU may be missing from a list.
    """
    with extra("plots"):
        from matplotlib.patches import Patch

    ax = new_axes(ax)
    gpus = list(dict.fromkeys(gpu for listed in prices.values() for gpu in listed))
    width = 0.9 / len(prices)
    for group, gpu in enumerate(gpus):
        pairs = zip(COLORS.values(), prices.values(), strict=False)
        have = [(color, listed[gpu]) for color, listed in pairs if gpu in listed]
        for position, (color, usd) in enumerate(have):
            bar = ax.bar(group + (position - (len(have) - 1) / 2) * width, usd, width * 0.92, color=color)
            ax.bar_label(bar, fmt="%.2f", fontsize=7, padding=1)
    handles = [Patch(color=c) for c in list(COLORS.values())[: len(prices)]]
    ax.legend(handles, prices, frameon=False)
    ax.set_xticks(range(len(gpus)), [gpu.replace(" ", "\n") for gpu in gpus])
    ax.set_ylabel("USD per GPU-hour")
    return ax


@in_style
def plot_price_spread(prices: Sequence[GpuPrice], *, ax: Axes | None = None) -> Axes:
    """One dot per price of the same GPU, by place, the most expensive on top.

    Parameters
    ----------
    prices : sequence of GpuPrice
        Prices of one GPU.
    """
    ax = new_axes(ax, height=0.9 + 0.27 * len(prices))
    ordered = sorted(prices, key=lambda price: (price.usd_per_hour, price.place))
    for row, price in enumerate(ordered):
        color = COLORS["orange"] if price.pricing == "on_demand" else COLORS["blue"]
        ax.plot(price.usd_per_hour, row, "s" if price.pricing == "on_demand" else "o", color=color, markersize=7)
        ax.annotate(
            f"{price.usd_per_hour:.2f}", (price.usd_per_hour, row), (8, -3), textcoords="offset points", fontsize=SMALL
        )
    ax.set_yticks(
        range(len(ordered)), [f"{p.pricing.replace('_', '-')} {p.zone or p.region}" for p in ordered], fontsize=SMALL
    )
    ax.set_xlim(0, 1.15 * ordered[-1].usd_per_hour)
    ax.grid(axis="x", alpha=0.25)
    ax.set_xlabel(f"USD per {ordered[0].gpu} GPU-hour")
    return ax


@in_style
def plot_useful_hour(usd_per_hour: float, *, marks: Mapping[str, float] | None = None, ax: Axes | None = None) -> Axes:
    """The price of a useful hour against utilization.

    Parameters
    ----------
    usd_per_hour : float
        Price of a paid hour in USD.
    marks : mapping of str to float, optional
        Utilization fractions to mark, with their names.
    """
    ax = new_axes(ax)
    shares = [share / 200 for share in range(20, 201)]
    ax.plot([100 * s for s in shares], [usd_per_useful_hour(usd_per_hour, s) for s in shares], color=COLORS["blue"])
    ax.axhline(usd_per_hour, color=COLORS["grey"], linestyle="--", linewidth=1)
    ax.annotate("the price on the list", (12, usd_per_hour), (0, -11), textcoords="offset points", fontsize=SMALL)
    for name, share in (marks or {}).items():
        usd = usd_per_useful_hour(usd_per_hour, share)
        ax.plot(100 * share, usd, "o", color=COLORS["orange"])
        ax.annotate(f"{name}: {usd:.2f}", (100 * share, usd), (7, 7), textcoords="offset points", fontsize=SMALL)
    ax.set_xlabel("utilization (% of paid hours)")
    ax.set_ylabel("USD per useful GPU-hour")
    ax.set_ylim(0)
    ax.set_xlim(0, 102)
    return ax


@in_style
def plot_demand(demand_gpus: Sequence[float], commitment: Commitment | None = None, *, ax: Axes | None = None) -> Axes:
    """An hourly demand profile and, where given, the level committed to.

    Parameters
    ----------
    demand_gpus : sequence of float
        GPUs wanted in each hour.
    commitment : Commitment, optional
        Drawn as a line with what lies below it.
    """
    ax = new_axes(ax)
    edges = range(len(demand_gpus) + 1)
    ax.stairs(demand_gpus, edges, color=COLORS["blue"], linewidth=2, label="demand")
    if commitment is not None:
        level = commitment.gpus
        inside = [min(wanted, level) for wanted in demand_gpus]
        ax.stairs(inside, edges, fill=True, color=COLORS["sky"], alpha=0.5, label="committed and used")
        ax.stairs(
            [level] * len(inside),
            edges,
            baseline=inside,
            fill=True,
            hatch="///",
            facecolor="none",
            edgecolor=COLORS["orange"],
            label="committed, not used",
        )
        ax.axhline(level, color=COLORS["orange"], linewidth=1)
    ax.set_xticks(range(0, len(demand_gpus) + 1, max(1, len(demand_gpus) // 8)))
    ax.set_xlabel("hour")
    ax.set_ylabel("GPUs")
    ax.set_ylim(0, 1.3 * max(demand_gpus))
    ax.legend(frameon=False, loc="upper left", fontsize=SMALL)
    return ax


@in_style
def plot_commitment(
    demand_gpus: Sequence[float],
    on_demand_usd_per_hour: float,
    committed_usd_per_hour: float,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The bill of a demand profile against the number of committed GPUs, the best level marked.

    Parameters
    ----------
    demand_gpus : sequence of float
        GPUs wanted in each hour.
    on_demand_usd_per_hour, committed_usd_per_hour : float
        Prices of a GPU-hour in USD.
    """
    ax = new_axes(ax)
    levels = range(int(max(demand_gpus)) + 2)
    prices = (on_demand_usd_per_hour, committed_usd_per_hour)
    ax.plot(
        levels, [best_commitment(demand_gpus, *prices, gpus=k).usd for k in levels], "o-", color=COLORS["blue"], ms=4
    )
    best = best_commitment(demand_gpus, *prices)
    ax.plot(best.gpus, best.usd, "o", color=COLORS["orange"], ms=9)
    ax.annotate(
        f"best: {best.gpus} GPUs, {best.saving_fraction:.1%} saved",
        (best.gpus, best.usd),
        (0, -16),
        textcoords="offset points",
        ha="center",
        fontsize=SMALL,
    )
    ax.axhline(best.on_demand_usd, color=COLORS["grey"], linestyle="--", linewidth=1)
    ax.annotate(
        "all on demand",
        (levels[-1] / 2, best.on_demand_usd),  # in the middle, where the bill lies below the line
        (0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=SMALL,
    )
    ax.set_xlabel("committed GPUs")
    ax.set_ylabel(f"USD per {len(demand_gpus)} hours")
    ax.set_ylim(0)
    return ax


@in_style
def plot_interval(
    expected_hours: Mapping[float, float], work_hours: float, marks: Mapping[str, float], *, ax: Axes | None = None
) -> Axes:
    """Overhead of a checkpointed job against its checkpoint interval, on a logarithmic axis.

    Parameters
    ----------
    expected_hours : mapping of float to float
        Expected hours of the job for each interval in seconds.
    work_hours : float
        The work alone, in hours.
    marks : mapping of str to float
        Named intervals in seconds, drawn as vertical lines.
    """
    ax = new_axes(ax)
    overhead = [100 * (hours / work_hours - 1) for hours in expected_hours.values()]
    ax.semilogx([seconds / 60 for seconds in expected_hours], overhead, color=COLORS["blue"])
    styles = zip(marks.items(), ("-", "--", ":"), ("orange", "green", "grey"), strict=False)
    for (name, seconds), style, color in styles:
        ax.axvline(seconds / 60, color=COLORS[color], linestyle=style, label=f"{name}: {seconds / 60:.1f} min")
    plain_numbers(ax.xaxis)
    ax.set_xlabel("minutes of computing between checkpoints")
    ax.set_ylabel("overhead (% of the work)")
    ax.set_ylim(0)
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_spot(
    job: Mapping[str, float], simulated: Mapping[float, float] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Expected spot bill against the mean time between interruptions, with the on-demand bill beside it.

    Parameters
    ----------
    job : mapping of str to float
        Keyword arguments of :func:`costlab.calculator.spot_job`, without ``mtbf_hours``.
    simulated : mapping of float to float, optional
        Simulated mean bills in USD, for each mean time between interruptions in hours.
    """
    ax = new_axes(ax)
    mtbfs = [10 ** (exponent / 40 - 1.5) for exponent in range(141)]
    results = [spot_job(mtbf_hours=mtbf, **job) for mtbf in mtbfs]
    on_demand = results[0].on_demand_usd
    ax.semilogx(mtbfs, [result.expected_usd for result in results], color=COLORS["blue"], label="spot, formula")
    if simulated:
        ax.plot(list(simulated), list(simulated.values()), "o", color=COLORS["green"], ms=5, label="spot, simulated")
    ax.axhline(on_demand, color=COLORS["orange"], linestyle="--", label="on demand")
    limit = results[0].break_even_mtbf_hours
    if limit < mtbfs[-1]:
        ax.axvline(limit, color=COLORS["grey"], linewidth=1)
        ax.annotate(
            f"break-even\n{limit:.2g} h", (limit, 1.45 * on_demand), (4, 0), textcoords="offset points", fontsize=SMALL
        )
    ax.set_ylim(0, 1.7 * on_demand)
    ax.set_xlim(mtbfs[0], mtbfs[-1])
    plain_numbers(ax.xaxis)
    ax.set_xlabel("mean time between interruptions (hours)")
    ax.set_ylabel("expected bill (USD)")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax
