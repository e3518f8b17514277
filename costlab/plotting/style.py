"""What all figures share: colours, axes, and how numbers are written on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab._internal.extras import extra
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

#: Okabe and Ito's palette, told apart with any common form of colour blindness.
COLORS: Final = {"blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "sky": "#56B4E9", "grey": "#6B6B6B"}

#: The smallest letters in a figure, in points: still legible when a phone shows it at two thirds of its size.
SMALL: Final = 9


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
        _, ax = pyplot.subplots(figsize=(width, height), layout="constrained", facecolor="white")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)
    return ax


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
