"""Charts of the calculators as SVG: the same when the page is built and when the reader moves a slider."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from costlab.lessons.calculators.definition import Chart, ChartLine

WIDTH: Final = 360
HEIGHT: Final = 250
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 44


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
        number = _short(tick)
        place = min(x, WIDTH - 4 * len(number))  # a letter is less than 8 wide, and the last number is on the drawing
        parts.append(
            f'<text class="tick" x="{place:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="name" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    parts.append(f'<text class="name" x="4" y="13">{escape(chart.y_label)}</text>')
    names: list[tuple[float, float, str, str]] = []
    inner = (LEFT, TOP, WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP)
    # An inner drawing cuts off what leaves it.
    parts.append('<svg x="{0}" y="{1}" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">'.format(*inner))
    for line in chart.lines:
        parts.append(_path(line, chart, to_x, to_y))
        # A level is named where it begins, so that it does not cover the names of lines that end near it.
        ends = line.points if line.kind == "level" else list(reversed(line.points))
        last = next((point for point in ends if _drawn(point, chart, top)), None)
        if last is not None and line.name:
            names.append((to_x(last[0]), to_y(last[1]), line.kind, line.name))
    parts.append("</svg>")
    parts += _names(names)
    if chart.point is not None and _drawn(chart.point, chart, top):
        x, y = to_x(chart.point[0]), to_y(chart.point[1])
        anchor = "start" if x < middle else "end"
        shift = 9 if x < middle else -9
        below = y < TOP + 24
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(
            f'<text class="you" x="{x + shift:.1f}" y="{y + (18 if below else -9):.1f}" text-anchor="{anchor}">'
            f"{escape(chart.point_name)}</text>"
        )
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


def _names(names: Sequence[tuple[float, float, str, str]]) -> list[str]:
    """The names of the lines at their last points, moved apart where they would cover each other."""
    parts = []
    taken: list[float] = []
    for x, y, kind, name in sorted(names, key=lambda one: one[1]):
        place = max(y - 7, TOP + 4)
        while any(abs(place - other) < 14 for other in taken):
            place += 2
        taken.append(place)
        parts.append(
            f'<text class="label {kind}" x="{min(x, WIDTH - RIGHT):.1f}" y="{place:.1f}" '
            f'text-anchor="{"start" if kind == "level" else "end"}">'
            f"{escape(name)}</text>"
        )
    return parts
