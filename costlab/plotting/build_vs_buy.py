"""Figures of the decision between an API and one's own GPUs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import extra
from costlab.build_vs_buy import CostCurve, MigrationPlan, payback
from costlab.compare import Tornado
from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, INK, SMALL, in_style, line_styles, new_axes, short, short_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_style
def plot_cost_curve(curve: CostCurve, *, ax: Axes | None = None) -> Axes:
    """Both monthly bills over the volume; the volumes at which self-hosting wins are shaded.

    Parameters
    ----------
    curve : CostCurve
        The bills, at volumes close enough together to draw the steps.
    """
    ax = new_axes(ax)
    volumes = [point.requests_per_day for point in curve.points]
    ax.plot(volumes, [p.api_usd_per_month for p in curve.points], color=COLORS["orange"], label="API")
    own = [p.self_hosted_usd_per_month for p in curve.points]
    ax.plot(volumes, own, color=COLORS["blue"], label="self-hosted")
    for index, interval in enumerate(curve.self_hosting_wins):
        label = "self-hosting wins" if index == 0 else None
        ax.axvspan(interval.low, interval.high, color=COLORS["sky"], alpha=0.18, linewidth=0, label=label)
    for axis in (ax.xaxis, ax.yaxis):
        short_numbers(axis)
    ax.set_xlim(min(volumes), max(volumes))
    ax.set_ylim(0)
    ax.set_xlabel("requests a day")
    ax.set_ylabel("USD a month")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_break_even_map(
    requests_per_day: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    ax: Axes | None = None,
) -> Axes:
    """A table of break-even volumes, darker where they are smaller; cells without one say so.

    Parameters
    ----------
    requests_per_day : sequence of sequences of float, shape (rows, columns)
        Break-even volumes; ``inf`` where there is none.
    rows, columns : sequence of str
        What is written beside each row and under each column.
    row_label, column_label : str
        What the rows and the columns are, with unit.
    """
    ax = new_axes(ax, height=0.9 + 0.5 * len(rows))
    ax.grid(visible=False)
    finite = [math.log10(value) for line in requests_per_day for value in line if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    shades = [
        [
            1.0 - (math.log10(value) - low) / ((high - low) or 1.0) if math.isfinite(value) else math.nan
            for value in line
        ]
        for line in requests_per_day
    ]
    # Black letters on every shade: a dark page brightens the cells, and white ones would be lost there.
    ax.imshow(shades, cmap="Blues", vmin=-0.5, vmax=1.9, aspect="auto")
    for y, line in enumerate(requests_per_day):
        for x, value in enumerate(line):
            text = short(value, 2) if math.isfinite(value) else "never"
            color = "black" if math.isfinite(value) else INK
            ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=color)
    ax.set_xticks(range(len(columns)), list(columns), fontsize=SMALL)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(column_label)
    ax.set_ylabel(row_label)
    return ax


@in_style
def plot_tornado(
    tornado: Tornado, names: Mapping[str, str] | None = None, *, unit: str = "USD a month", ax: Axes | None = None
) -> Axes:
    """One bar per input, from the result at its low end to that at its high end, the longest on top.

    Parameters
    ----------
    tornado : Tornado
        The bars.
    names : mapping of str to str, optional
        How to call the inputs.
    unit : str
        Unit of the result.
    """
    with extra("plots"):
        from matplotlib.patches import Patch
        from matplotlib.ticker import MaxNLocator

    ends = [end for bar in tornado.bars for end in (bar.at_low, bar.at_high)]
    if not all(math.isfinite(end) for end in (tornado.likely, *ends)):
        raise InvalidValueError("tornado", "one whose results are all finite", tornado)
    ax = new_axes(ax, height=0.9 + 0.42 * len(tornado.bars))
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    for row, bar in enumerate(reversed(tornado.bars)):
        for end, color in ((bar.at_low, COLORS["sky"]), (bar.at_high, COLORS["blue"])):
            ax.barh(row, end - tornado.likely, left=tornado.likely, color=color, height=0.6)
    labels = [
        f"{(names or {}).get(bar.name, bar.name)}\n{short(bar.low)} to {short(bar.high)}"
        for bar in reversed(tornado.bars)
    ]
    ax.set_yticks(range(len(labels)), labels, fontsize=SMALL)
    ax.axvline(tornado.likely, color=COLORS["grey"], linewidth=1)
    if min(ends) < 0 < max(ends):
        ax.axvline(0, color=COLORS["orange"], linestyle="--", linewidth=1.2)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    short_numbers(ax.xaxis)
    handles = [Patch(color=COLORS[color]) for color in ("sky", "blue")]
    ax.legend(handles, ["input low", "input high"], frameon=False, fontsize=SMALL, loc="lower right")
    ax.set_xlabel(unit)
    return ax


@in_style
def plot_payback(
    upfront_usd: float,
    savings_usd_per_month: Mapping[str, float],
    *,
    months: int = 36,
    delay_months: float = 0.0,
    discount_per_year_fraction: float = 0.0,
    ax: Axes | None = None,
) -> Axes:
    """The net value of an investment over time, a line per monthly saving.

    Parameters
    ----------
    upfront_usd : float
        Spent on the first day.
    savings_usd_per_month : mapping of str to float
        For each line (the legend) what is saved a month.
    months : int
        How far to draw.
    delay_months, discount_per_year_fraction
        As for :func:`costlab.build_vs_buy.payback`.
    """
    ax = new_axes(ax)
    styles = zip(savings_usd_per_month.items(), line_styles(len(savings_usd_per_month)), strict=True)
    days = [month / 4 for month in range(1, 4 * months + 1)]
    for (name, saving), (color, line) in styles:
        net = [payback(upfront_usd, saving, t, discount_per_year_fraction, delay_months).net_usd for t in days]
        ax.plot([0, *days], [-upfront_usd, *net], color=color, linestyle=line, label=name)
    ax.axhline(0, color=COLORS["grey"], linewidth=1)
    short_numbers(ax.yaxis)
    ax.set_xlim(0, months)
    ax.set_xlabel("months after the money is spent")
    ax.set_ylabel("net USD so far")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return ax


@in_style
def plot_migration(plan: MigrationPlan, *, ax: Axes | None = None) -> Axes:
    """The bill after each endpoint moved, from everything at the API on; the lowest is marked.

    Parameters
    ----------
    plan : MigrationPlan
        The steps.
    """
    ax = new_axes(ax, height=0.9 + 0.5 * (len(plan.steps) + 1))
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    bills = [plan.api_usd_per_month, *(step.usd_per_month for step in plan.steps)]
    names = ["all at the API", *(f"+ {step.endpoint}\n{step.gpus} GPU{'s' * (step.gpus > 1)}" for step in plan.steps)]
    for row, bill in enumerate(bills):
        color = COLORS["blue"] if row == plan.stop_after else COLORS["sky"]
        bar = ax.barh(row, bill, color=color, height=0.6)
        ax.bar_label(bar, labels=[short(bill)], fontsize=SMALL, padding=3)
    ax.set_yticks(range(len(names)), names, fontsize=SMALL)
    ax.invert_yaxis()
    short_numbers(ax.xaxis)
    ax.set_xlim(0, 1.12 * max(bills))
    ax.set_xlabel("USD a month, the lowest bill dark")
    return ax
