"""What all figures share: colours, axes, and how numbers are written on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from costlab._internal.extras import extra
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.backend_bases import RendererBase

#: Okabe and Ito's palette, told apart with any common form of colour blindness; the green a shade darker, for letters.
COLORS: Final = {"blue": "#0072B2", "orange": "#D55E00", "green": "#008A64", "sky": "#56B4E9", "grey": "#6B6B6B"}

#: Letters, axes and ticks: a grey that keeps its distance from white and, brightened by the site, from a dark page.
INK: Final = "#757575"
#: Nothing but the page lies behind a figure.
_STYLE: Final = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.labelcolor": INK,
    "legend.facecolor": "none",
}

#: The smallest letters in a figure, in points: still legible when a phone shows it at two thirds of its size.
SMALL: Final = 9


P = ParamSpec("P")
T = TypeVar("T")


def in_style(plot: Callable[P, T]) -> Callable[P, T]:
    """The function, drawing on a transparent ground in `INK`; global settings are as before once it returns."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with extra("plots"):
            from matplotlib import rcParams
        # No rc_context: it would undo what a notebook's backend sets on its first figure, and no other would be shown.
        settings: Any = rcParams
        before = {name: settings[name] for name in _STYLE}
        settings.update(_STYLE)
        try:
            return plot(*args, **kwargs)
        finally:
            settings.update(before)

    return drawn


def line_styles(count: int) -> list[tuple[str, str]]:
    """A colour and a dash for each of `count` lines, every pair once."""
    colors, dashes = list(COLORS.values()), ["-", "--", "-.", ":"]
    if count > len(colors) * len(dashes):
        raise InvalidValueError("lines", f"at most {len(colors) * len(dashes)}", count)
    return [(colors[i % len(colors)], dashes[(i + i // len(colors)) % len(dashes)]) for i in range(count)]


def new_axes(ax: Axes | None, width: float = 5.4, height: float = 3.5) -> Axes:
    """`ax` in the book's style, or axes of their own, `width` by `height` inches."""
    if ax is None:
        with extra("plots"):
            from matplotlib import pyplot
        _, ax = pyplot.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)
    _stop_grid_at_legend(ax)
    return ax


def _stop_grid_at_legend(ax: Axes) -> None:
    """Keep the grid out of the legend: no ground behind its letters would suit both a light and a dark page."""
    from matplotlib.artist import Artist
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    class Gap(Artist):
        """Drawn before the grid, once the layout has given the legend its place."""

        def draw(self, renderer: RendererBase) -> None:
            legend = ax.get_legend()
            if legend is None:
                return
            frame, hole = ax.bbox, legend.get_window_extent(renderer)
            outer = [(frame.x0, frame.y0), (frame.x1, frame.y0), (frame.x1, frame.y1), (frame.x0, frame.y1)]
            inner = [(hole.x0, hole.y0), (hole.x0, hole.y1), (hole.x1, hole.y1), (hole.x1, hole.y0)]  # the other way
            around = Path.make_compound_path(Path(outer, closed=False), Path(inner, closed=False))
            for line in [*ax.xaxis.get_gridlines(), *ax.yaxis.get_gridlines()]:
                line.set_clip_path(around, IdentityTransform())

    gap = Gap()
    gap.set_zorder(-1)
    gap.set_in_layout(False)
    ax.add_artist(gap)


def headline(ax: Axes, finding: str) -> None:
    """Write what a figure shows above it, as a sentence.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the figure, any of them.
    finding : str
        The sentence; it is broken to the width of the figure, into lines of about the same length.
    """
    from textwrap import wrap

    figure = ax.get_figure(root=True)
    if figure is None:
        raise InvalidValueError("ax", "part of a figure", ax)
    # At this size 11 letters of bold text take about an inch.
    widths = range(1, int(11 * figure.get_figwidth()) + 1)
    lines = wrap(finding, widths[-1], break_long_words=False)
    narrowest = next(width for width in widths if len(wrap(finding, width, break_long_words=False)) <= len(lines))
    shown = "\n".join(wrap(finding, narrowest, break_long_words=False))
    figure.suptitle(shown, x=0.01, ha="left", fontsize=SMALL + 1.5, fontweight="bold", color=INK)


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis 0.1, 1, 10, 100K, 1M instead of with powers of ten."""
    from matplotlib import ticker

    short_numbers(axis)
    axis.set_minor_formatter(ticker.NullFormatter())


def short_numbers(axis: Axis) -> None:
    """Label an axis 20K, 1.5M instead of 20000, 1500000."""
    from matplotlib import ticker

    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: short(value)))


def short(value: float, digits: int = 3) -> str:
    """A number as an axis shows it: 250, 20K, 1.5M."""
    rounded = float(f"{value:.{digits}g}")
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(rounded) >= size:
            return f"{rounded / size:g}{letter}"
    return f"{rounded:g}"
