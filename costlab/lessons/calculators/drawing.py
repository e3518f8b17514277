"""Charts of the calculators as SVG: the same when the page is built and when the reader moves a slider."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, TypeAlias

from costlab.lessons.calculators.definition import Chart, ChartLine

WIDTH: Final = 360
HEIGHT: Final = 250
#: Margins; the right one has room for half of the last number below the axis.
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 26, 44
#: What a letter of a name takes at the most, on average, and the height of a name.
LETTER: Final = 7.3
LINE: Final = 12.5
#: A place on the paper: left, top, right, bottom.
Box: TypeAlias = tuple[float, float, float, float]


def svg(chart: Chart) -> str:
    """A chart as an SVG element without a size of its own: its colours are classes, which the page defines."""
    points = [point for line in chart.lines for point in line.points if _finite(point, chart)]
    if chart.point is not None and _finite(chart.point, chart):
        points.append(chart.point)
    if not points:
        points = [(1.0, 1.0)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    top = max(ys) if chart.y_most is None else chart.y_most
    x_ticks, to_x = _axis(min(xs), max(xs), chart.x_log, LEFT, WIDTH - RIGHT)
    y_ticks, to_y = _axis(min(ys), top, chart.y_log, HEIGHT - BOTTOM, TOP, zero=True)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description(chart))}">']
    for tick in y_ticks:
        y = to_y(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_ticks:
        x = to_x(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {HEIGHT - BOTTOM}v4"/>')
        below = f'x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text class="tick" {below} text-anchor="middle">{_short(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="name" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    parts.append(f'<text class="name" x="4" y="13">{escape(chart.y_label)}</text>')
    inner = (LEFT, TOP, WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP)
    # An inner drawing cuts off what leaves it.
    parts.append('<svg x="{0}" y="{1}" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">'.format(*inner))
    parts += [_path(line, chart, to_x, to_y) for line in chart.lines]
    parts.append("</svg>")
    traces = [_trace([(to_x(x), to_y(y)) for x, y in line.points if _finite((x, y), chart)]) for line in chart.lines]
    taken: list[Box] = []
    if chart.point is not None and _drawn(chart.point, chart, top):
        x, y = to_x(chart.point[0]), to_y(chart.point[1])
        taken.append((x - 6, y - 6, x + 6, y + 6))
        place = _best(_around(x, y, chart.point_name), traces, taken)
        taken.append(place)
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(_text("you", place, chart.point_name))
    for line, trace in zip(chart.lines, traces, strict=True):
        if line.name and (places := _along(trace, line, [other for other in traces if other is not trace])):
            place = _best(places, traces, taken)
            taken.append(place)
            parts.append(_text(f"label {line.kind}", place, line.name))
    return "".join([*parts, "</svg>"])


def description(chart: Chart) -> str:
    """What a chart shows, for those who do not see it."""
    said = f"{chart.title} {chart.y_label} over {chart.x_label}."
    for line in chart.lines:
        shown = [point for point in line.points if _finite(point, chart)]
        if line.name and shown:
            said += f" {line.name}: {_short(shown[0][1])} at {_short(shown[0][0])}"
            said += f", {_short(shown[-1][1])} at {_short(shown[-1][0])}." if len(shown) > 1 else "."
    if chart.point is not None and _finite(chart.point, chart):
        said += f" {chart.point_name}: {_short(chart.point[1])} at {_short(chart.point[0])}."
    return said


def _finite(point: tuple[float, float], chart: Chart) -> bool:
    x, y = point
    return math.isfinite(x) and math.isfinite(y) and (x > 0 or not chart.x_log) and (y > 0 or not chart.y_log)


def _drawn(point: tuple[float, float], chart: Chart, top: float) -> bool:
    return _finite(point, chart) and point[1] <= top * (1 + 1e-9)


def _axis(
    low: float, high: float, log: bool, begin: float, end: float, zero: bool = False
) -> tuple[list[float], Callable[[float], float]]:
    """Ticks of an axis, and where on the paper a number lies between `begin` and `end`."""
    if log:
        first, last = math.log10(low), math.log10(high)
        if zero or last - first < 0.5:  # a vertical one ends at whole decades
            first, last = math.floor(first), math.ceil(last)
        if last - first < 0.5:
            first, last = first - 1, last + 1
        every = max(1, round((last - first) / 6))
        decades = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, every)
        return [
            10.0**decade for decade in decades
        ], lambda v: begin + (end - begin) * (math.log10(v) - first) / (last - first)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low <= 0.0:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / 5)
    if zero:
        high = step * math.ceil(high / step - 1e-9)
        low = step * math.floor(low / step + 1e-9)
    first_tick, last_tick = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [tick * step for tick in range(first_tick, last_tick + 1)]
    return ticks, lambda v: begin + (end - begin) * (v - low) / (high - low)


def _round_step(wanted: float) -> float:
    decade = 10.0 ** math.floor(math.log10(wanted))
    return next(step * decade for step in (1, 2, 2.5, 5, 10) if step * decade >= wanted * (1 - 1e-9))


def _short(number: float) -> str:
    """A number of an axis: 1200 is 1.2k, 3,000,000 is 3M."""
    size = abs(number)
    if size >= 1e15:
        return f"{number:.0e}".replace("e+", "e")
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit * (1 - 1e-9):
            return f"{number / limit:.4g}{letter}"
    if 0.0 < size < 1e-4:
        return f"{number:.0e}".replace("e-0", "e-")
    return f"{number:.4g}"


def _path(line: ChartLine, chart: Chart, to_x: Callable[[float], float], to_y: Callable[[float], float]) -> str:
    """A line, in pieces where a point is not finite."""
    pieces, pen = [], "M"
    for point in line.points:
        if _finite(point, chart):
            pieces.append(f"{pen}{to_x(point[0]):.1f} {max(to_y(point[1]), -10.0 * HEIGHT):.1f}")
            pen = "L"
        else:
            pen = "M"
    return f'<path class="line {line.kind}" d="{"".join(pieces)}"/>'


def _trace(points: Sequence[tuple[float, float]]) -> dict[int, float]:
    """Where a line is on the paper: its height at every second unit of width, within the frame."""
    heights: dict[int, float] = {}
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for x in range(math.ceil(x0 / 2) * 2, math.floor(x1) + 1, 2):
            y = y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
            if TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
                heights[x] = y
    return heights


def _around(x: float, y: float, name: str) -> list[tuple[float, Box]]:
    """Places for the name of the reader's own point, each with what speaks against it."""
    width = LETTER * len(name)
    sides = [(x + 9, x + 9 + width), (x - 9 - width, x - 9), (x - width / 2, x + width / 2)]
    if x >= WIDTH / 2:
        sides[:2] = sides[1::-1]
    rows = [y - 20, y + 7, y - 34, y + 20, y - 6.5, y - 48, y + 34]
    return [(8 * i + 3 * j, (a, row, b, row + LINE)) for i, row in enumerate(rows) for j, (a, b) in enumerate(sides)]


def _along(trace: dict[int, float], line: ChartLine, others: Sequence[dict[int, float]]) -> list[tuple[float, Box]]:
    """Places for a line's name, above, below and beside it: near its end, of a level near its beginning.

    Where another line runs along, a name could be that of either.
    """
    if not trace:
        return []
    width, first, last = LETTER * len(line.name), min(trace), max(trace)
    places = []

    def against(at: int, left: float) -> float:
        far = left - first if line.kind == "level" else last - left - width
        near = sum(abs(other.get(at, math.inf) - trace[at]) < 7 for other in others)
        return abs(far) / 12 + 25 * near

    for step in range(25):
        left = LEFT + 2 + (WIDTH - RIGHT - LEFT - 4 - width) * step / 24
        beside = [trace[x] for x in range(math.ceil(left / 2) * 2, math.floor(left + width) + 1, 2) if x in trace]
        if not beside:
            continue
        at = min(max(round((left + width / 2) / 2) * 2, first), last)
        # Where the line is steep, one end of the name is far from it.
        bad = against(at, left) + (max(beside) - min(beside)) / 2 if at in trace else math.inf
        places += [
            (bad + more, (left, y, left + width, y + LINE))
            for more, y in ((0.0, min(beside) - LINE - 2), (5.0, max(beside) + 4))
        ]
    for at in sorted(trace)[:: max(1, len(trace) // 30)]:
        y = trace[at] - LINE / 2
        places += [(against(at, left) + 6, (left, y, left + width, y + LINE)) for left in (at - 9 - width, at + 9)]
    return places


def _best(places: Sequence[tuple[float, Box]], traces: Sequence[dict[int, float]], taken: Sequence[Box]) -> Box:
    """The place that hides the least: of lines, of other names, and of itself beyond the frame."""

    def against(place: tuple[float, Box]) -> float:
        found, (left, top, right, bottom) = place
        for trace in traces:
            found += 8 * sum(
                top - 1 < trace.get(x, -1.0) < bottom + 1
                for x in range(math.ceil(left / 2) * 2, math.floor(right) + 1, 2)
            )
        for a, b, c, d in taken:
            if left < c + 3 and a < right + 3 and top < d and b < bottom:
                found += 400
        beyond = max(LEFT - left, 0) + max(right - WIDTH + 2, 0)
        beyond += max(TOP - 8 - top, 0) + max(bottom - HEIGHT + BOTTOM, 0)
        return found + 50 * beyond

    return min(places, key=against)[1]


def _text(kind: str, box: Box, words: str) -> str:
    left, _, right, bottom = box
    place = f'x="{(left + right) / 2:.1f}" y="{bottom - 2.5:.1f}"'
    return f'<text class="{kind}" {place} text-anchor="middle">{escape(words)}</text>'
