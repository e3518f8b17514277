"""Figures of compressed models: what quality costs, what teaching gains, and what zeros save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from costlab._internal.extras import extra
from costlab._internal.pareto import pareto_front
from costlab.compression import spread
from costlab.errors import InvalidValueError
from costlab.plotting.style import COLORS, SMALL, in_style, line_styles, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costlab.compression import BenchmarkResult
    from costlab.experiments import DecodeResult, DistillationResult


@in_style
def plot_quality_cost(
    dots: Mapping[str, tuple[float, float]],
    *,
    metric: str,
    unit: str = "USD per million tokens",
    less_is_better: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """A dot for each variant, cost to the right and what is better upwards; those that another beats are grey.

    Parameters
    ----------
    dots : mapping of str to (float, float)
        Cost, > 0, and quality of each variant.
    metric, unit : str
        What quality and cost are.
    less_is_better : bool
        Whether a lower value of the metric is the better one; the axis is then logarithmic.
    """
    if not dots:
        raise InvalidValueError("dots", "not empty", dots)
    ax = new_axes(ax, height=4.0)
    front = pareto_front(dots, less_is_better=less_is_better)
    ax.set_xlim(0, 1.35 * max(cost for cost, _ in dots.values()))
    if less_is_better:
        ax.set_yscale("log")
        with extra("plots"):
            from matplotlib.ticker import LogLocator
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        plain_numbers(ax.yaxis)
    for name, (cost, quality) in dots.items():
        ax.plot(cost, quality, "o", color=COLORS["blue"] if name in front else COLORS["grey"], ms=7)
    ax.margins(y=0.2)
    if less_is_better:
        ax.invert_yaxis()
    ax.set_xlabel(unit)
    ax.set_ylabel(f"{metric} ({'less' if less_is_better else 'more'} is better)")
    figure = ax.get_figure(root=True)
    if figure is not None:
        figure.draw_without_rendering()  # matplotlib sets limits late, and the names' places follow from them
    for name, (place, near) in _places(ax, dots).items():
        color = COLORS["blue"] if name in front else COLORS["grey"]
        line = None if near else {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        ax.annotate(
            name, dots[name], xytext=place, textcoords="offset points", fontsize=SMALL, color=color,
            ha="left", va="bottom", arrowprops=line, clip_on=False,
        )  # fmt: skip
    return ax


def _places(ax: Axes, dots: Mapping[str, tuple[float, float]]) -> dict[str, tuple[tuple[float, float], bool]]:
    """Where each name begins, in points from its dot, so that it covers nothing; and whether it touches its dot.

    A name goes beside its dot: right, left, above or below. Where all four are taken it goes further away, and a line
    leads to the dot.
    """
    per_point = ax.figure.dpi / 72
    at = {name: [value / per_point for value in ax.transData.transform(dot)] for name, dot in dots.items()}
    left_end = ax.transAxes.transform((0, 0))[0] / per_point
    taken = [(x - 4, x + 4, y - 4, y + 4) for x, y in at.values()]  # begin, stop, bottom and top of dots and names
    places = {}
    for name, (x, y) in sorted(at.items(), key=lambda place: place[1], reverse=True):
        width, height = 0.64 * SMALL * len(name), SMALL + 4
        beside = [(6.0, -height / 2), (-6 - width, -height / 2), (-width / 2, 5.0), (-width / 2, -5 - height)]
        away = [(12.0, sign * (6 + step * height)) for step in range(1, 9) for sign in (1, -1)]
        for place in [*beside, *away]:
            box = x + place[0], x + place[0] + width, y + place[1], y + place[1] + height
            if box[0] > left_end and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        places[name] = (place, place in beside)
    return places


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes, each given by begin, stop, bottom and top, share any ground."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


@in_style
def plot_benchmark(result: BenchmarkResult, *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """Quality against dollars, one dot for each variant of a model, by default of the first, that was measured.

    Parameters
    ----------
    result : costlab.compression.BenchmarkResult
        Of a benchmark or a study.
    model : str, optional
        By default its first.
    """
    dots = result.dots(model)
    first = result.row(next(iter(dots)), model)
    unit, scale = first.usd_unit, 1.0
    if first.unit == "request":  # one costs too little for an axis
        unit, scale = "USD per million requests", 1e6
    scaled = {name: (scale * usd, quality) for name, (usd, quality) in dots.items()}
    return plot_quality_cost(scaled, metric=first.metric, unit=unit, less_is_better=first.less_is_better, ax=ax)


@in_style
def plot_speed_bits(promised: Mapping[str, float], measured: Mapping[str, float], *, ax: Axes | None = None) -> Axes:
    """For each variant how much faster its bytes alone would make it, and how much faster it is.

    Parameters
    ----------
    promised, measured : mapping of str to float
        Times as fast as the baseline, > 0: by bytes, and as measured. The same names in both.
    """
    if set(promised) != set(measured) or not promised:
        raise InvalidValueError("measured", f"for {', '.join(promised) or 'some variant'}", sorted(measured))
    ax = new_axes(ax, height=1.0 + 0.5 * len(promised))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    for row, name in enumerate(promised):
        labels = ("by its bytes", "measured") if row == 0 else (None, None)
        ax.plot([promised[name], measured[name]], [row, row], color=COLORS["grey"], linewidth=1, zorder=1)
        ax.plot(promised[name], row, "o", mfc="white", mec=COLORS["grey"], ms=8, label=labels[0])
        ax.plot(measured[name], row, "o", color=COLORS["blue"], ms=8, label=labels[1])
    ax.axvline(1, color=COLORS["orange"], linewidth=1)
    ax.set_yticks(range(len(promised)), list(promised), fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.1 * max(*promised.values(), *measured.values()))
    ax.set_xlabel("times as fast as the baseline")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


@in_style
def plot_arms(
    accuracies: Mapping[str, Sequence[float]],
    *,
    live: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """For each way to train the accuracy of every seed as a small dot, and the mean with its 95 % interval.

    Parameters
    ----------
    accuracies : mapping of str to sequence of float
        Accuracies under at least two seeds, in [0, 1], of each way, drawn from the top down.
    live : mapping of str to sequence of float, optional
        Accuracies measured just now, of some of the ways, drawn as rings around the dots they should meet.
    """
    if not accuracies or min(map(len, accuracies.values())) < 2:
        raise InvalidValueError("accuracies", "those of at least two seeds for each arm", dict(accuracies))
    ax = new_axes(ax, height=0.9 + 0.45 * len(accuracies))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    for row, values in enumerate(accuracies.values()):
        percent = [100 * value for value in values]
        own = spread(percent)
        mean, margin = own.mean, own.high - own.mean
        ax.plot(percent, [row] * len(percent), "o", color=COLORS["sky"], ms=4, alpha=0.6, zorder=1)
        ax.errorbar(mean, row, xerr=margin, fmt="o", color=COLORS["blue"], ms=7, capsize=4, linewidth=2, zorder=2)
        ax.annotate(f"{mean:.1f}", (mean, row), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=SMALL)
    for name, values in (live or {}).items():
        if name not in accuracies:
            raise InvalidValueError("live", f"of {', '.join(accuracies)}", name)
        row = list(accuracies).index(name)
        ax.plot([100 * value for value in values], [row] * len(values), "o", mfc="none", mec=COLORS["orange"], ms=9)
    ax.set_yticks(range(len(accuracies)), list(accuracies), fontsize=SMALL)
    ax.set_ylim(len(accuracies) - 0.5, -0.7)
    ax.set_xlabel("accuracy (%)")
    return ax


@in_style
def plot_distillation(result: DistillationResult, *, task: str | None = None, ax: Axes | None = None) -> Axes:
    """Each arm of a task, by default of the last, with its seeds and the interval of their mean."""
    wanted = result.tasks[-1] if task is None else result.cost(task).task
    return plot_arms({row.arm: row.accuracies for row in result.rows if row.task == wanted}, ax=ax)


@in_style
def plot_floors(lines: Mapping[str, Sequence[tuple[int, float, float]]], *, ax: Axes | None = None) -> Axes:
    """Time of a step against the batch size, a line for each scheme, and dashed what the device allows at best.

    Parameters
    ----------
    lines : mapping of str to sequence of (int, float, float)
        For each scheme its batch sizes with the time and its floor, in milliseconds, > 0.
    """
    if not lines:
        raise InvalidValueError("lines", "not empty", dict(lines))
    with extra("plots"):
        from matplotlib.ticker import FixedLocator
    ax = new_axes(ax)
    for number, (name, points) in enumerate(lines.items()):
        color = list(COLORS.values())[number % len(COLORS)]
        batches, times, floors = zip(*points, strict=True)
        ax.plot(batches, times, "o-", color=color, label=name)
        ax.plot(batches, floors, "--", color=color, linewidth=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    plain_numbers(ax.yaxis)
    ax.xaxis.set_major_locator(FixedLocator(sorted({point[0] for line in lines.values() for point in line})))
    plain_numbers(ax.xaxis)
    ax.set_xlabel("sequences at once")
    ax.set_ylabel("ms for a step (dashed: the floor)")
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


@in_style
def plot_decode(result: DecodeResult, *, phase: str = "decode", ax: Axes | None = None) -> Axes:
    """Time of a step against the batch size for each scheme, with the floor of each dashed."""
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for row in result.rows:
        if row.phase == phase and row.median is not None:
            floor = max(row.memory_floor_ms, row.arithmetic_floor_ms)
            lines.setdefault(row.scheme, []).append((row.batch, row.median, floor))
    return plot_floors(lines, ax=ax)


@in_style
def plot_soft_targets(probabilities: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None) -> Axes:
    """What a teacher says of one example: for each class a row, for each temperature a bar in it.

    Parameters
    ----------
    probabilities : mapping of str to (mapping of str to float)
        For each temperature, as the legend names it, the probability of some classes; the same classes in each, drawn
        from the top down.
    """
    classes = list(next(iter(probabilities.values()), {}))
    if not classes or any(list(shares) != classes for shares in probabilities.values()):
        raise InvalidValueError("probabilities", "of the same classes at each temperature", dict(probabilities))
    ax = new_axes(ax, height=0.9 + 0.5 * len(classes))
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", alpha=0.25)
    thick, colors = 0.8 / len(probabilities), line_styles(len(probabilities))
    for k, ((name, shares), (color, _)) in enumerate(zip(probabilities.items(), colors, strict=True)):
        rows = [row + (k - (len(probabilities) - 1) / 2) * thick for row in range(len(classes))]
        ax.barh(rows, [100 * shares[label] for label in classes], height=0.9 * thick, color=color, label=name)
    ax.set_yticks(range(len(classes)), classes, fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlabel("probability (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax


@in_style
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
    """
    if not accuracies or not all(accuracies.values()):
        raise InvalidValueError("accuracies", "at some number of labels for each model", dict(accuracies))
    ax = new_axes(ax)
    colors = [COLORS["grey"], COLORS["blue"], COLORS["green"]]
    for (name, curve), color in zip(accuracies.items(), colors, strict=False):
        ax.plot(list(curve), [100 * value for value in curve.values()], "o-", color=color, ms=5, label=name)
    for name, value in marks.items():
        ax.axhline(100 * value, color=COLORS["orange"], linestyle="--", linewidth=1.5, label=name)
    ax.set_xscale("log")
    ticks = sorted({count for curve in accuracies.values() for count in curve})
    ax.set_xticks(ticks, [f"{count:,}" for count in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("labelled queries")
    ax.set_ylabel("accuracy (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return ax


@in_style
def plot_bill(
    options: Mapping[str, tuple[float, float]], *, most_requests: float, least_requests: float, ax: Axes | None = None
) -> Axes:
    """What each option has cost in all after a number of requests, both axes logarithmic.

    Parameters
    ----------
    options : mapping of str to (float, float)
        USD before the first request, >= 0, and USD for each request, > 0.
    most_requests, least_requests : float
        How far to draw, and from where, > 0.
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


Curves = Mapping[str, Sequence[tuple[float, float]]]


@in_style
def plot_pruning(curves: Curves, *, metric: str, ax: Axes | None = None) -> Axes:
    """Quality against the share of zeros: a colour for each pattern, dashed as pruned, solid after fine-tuning.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        For each pattern pairs of share of zeros, in [0, 1], and quality; names that end in ``, tuned`` are solid.
    metric : str
        What quality is.
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


@in_style
def plot_pruned_bytes(curves: Curves, *, ax: Axes | None = None) -> Axes:
    """Size against the share of zeros, a line for each way to store them.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        For each way pairs of share of zeros, in [0, 1], and bytes.
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
