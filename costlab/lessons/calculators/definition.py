"""What a calculator is: inputs with units and ranges, and a function from them to rows, a chart and sources.

The page shows a calculator as it is defined here, the browser runs its function, and the tests run both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from costlab._internal import checks
from costlab.errors import UnknownNameError

#: What a function is called with: a number, or the value of a choice.
Value: TypeAlias = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberInput:
    """A number that the reader sets, with a slider over sane values; a field beside it takes any other.

    Attributes
    ----------
    name, label, unit : str
        The parameter of the calculator's function, and of the core where it is passed on as it is; what a reader calls
        it; its unit, empty for a count or a share.
    default : float
        Where it begins.
    stops : sequence of float
        The values of the slider, rising, `default` among them.
    whole : bool
        Whether it counts something, and so is an ``int``.
    """

    name: str
    label: str
    unit: str
    default: float
    stops: Sequence[float]
    whole: bool = False

    def read(self, text: str) -> Value:
        """The number that a text says; an :class:`~costlab.errors.InvalidValueError` where it says none."""
        try:
            return int(text) if self.whole else checks.finite(self.name, float(text))
        except ValueError:
            pass
        try:
            return checks.finite(self.name, float(text))  # 2.5 machines: the core says that there are none
        except ValueError:
            return checks.finite(self.name, text)

    @property
    def text(self) -> str:
        """The default as the field shows it."""
        return plain(self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceInput:
    """One of several values, with the words that the reader sees for each."""

    name: str
    label: str
    default: str
    words: Mapping[str, str]

    def read(self, text: str) -> Value:
        """The value, if it is one of the choices; otherwise the error suggests the nearest."""
        if text not in self.words:
            raise UnknownNameError(self.name, text, tuple(self.words))
        return text

    @property
    def text(self) -> str:
        """The default."""
        return self.default


Input: TypeAlias = NumberInput | ChoiceInput


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One figure of a result: what it is, the number itself, and the text that is shown."""

    label: str
    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """A line of a chart, with its name beside it; `kind` is ``first``, ``second``, ``third`` or ``level``."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing of lines, and of one point: the reader's own.

    Attributes
    ----------
    title : str
        What it shows, as a sentence.
    x_label, y_label : str
        Names of the axes, with units.
    lines : sequence of ChartLine
        What is drawn. Points that are not finite interrupt a line.
    point, point_name : (float, float), str
        Where the reader's inputs are, and what to call it.
    x_log, y_log : bool
        Whether an axis is logarithmic.
    y_most : float, optional
        Where the axis ends, if not at the largest value.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[ChartLine]
    point: tuple[float, float] | None = None
    point_name: str = ""
    x_log: bool = False
    y_log: bool = False
    y_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculatorResult:
    """What a calculator answers: one sentence, the figures behind it, a chart, and where its prices are from.

    `sources` are pairs of a text and an address, which may be empty.
    """

    answer: str
    rows: Sequence[ResultRow]
    chart: Chart
    sources: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculator:
    """A calculator of the book: a question, its inputs, and the function that answers.

    Attributes
    ----------
    name, title, question : str
        Its identifier, its heading, and what it is for.
    inputs : sequence of Input
        In the order of the page.
    answer : callable
        Takes the inputs by name; raises a :class:`~costlab.errors.CostlabError` where the core does.
    lesson : str
        File of the lesson that it belongs to.
    """

    name: str
    title: str
    question: str
    lesson: str
    inputs: Sequence[Input]
    answer: Callable[..., CalculatorResult]


def evenly(first: float, last: float, step: float) -> tuple[float, ...]:
    """Numbers from `first` to `last` in equal steps, clean of binary dust.

    Examples
    --------
    >>> evenly(0.05, 0.2, 0.05)
    (0.05, 0.1, 0.15, 0.2)
    """
    return tuple(float(f"{first + step * k:.10g}") for k in range(round((last - first) / step) + 1))


def share_input(name: str, label: str, default: float, first: float = 0.0) -> NumberInput:
    """An input of a share, in 0..1, whose slider begins at `first` and goes in hundredths."""
    return NumberInput(name=name, label=label, unit="0 to 1", default=default, stops=evenly(first, 1, 0.01))


#: Steps of a decade: each is 1.1 to 1.3 times the one before.
DECADE: Final = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)


def by_ratio(first: float, last: float, *others: float) -> tuple[float, ...]:
    """Round numbers from `first` to `last`, both included, that grow by about a fifth; and `others` among them.

    Examples
    --------
    >>> by_ratio(1, 10)
    (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    """
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    rounds = (float(f"{step * 10.0**decade:.10g}") for decade in decades for step in DECADE)
    return tuple(sorted({float(first), float(last), *others, *(stop for stop in rounds if first < stop < last)}))


def plain(number: float) -> str:
    """A number as a field shows it: no exponent, no trailing zero.

    Examples
    --------
    >>> plain(1e6), plain(0.00002), plain(2.5)
    ('1000000', '0.00002', '2.5')
    """
    if float(number).is_integer():
        return str(int(number))
    return f"{number:.12f}".rstrip("0")


#: Beyond it a number is no longer written out: no reader has a use for its digits.
MOST: Final = 1e13


def usd(amount: float) -> str:
    """Dollars as people read them: cents, or as many digits as a small amount needs.

    Examples
    --------
    >>> usd(5817.6), usd(0.0021), usd(-12.5), usd(float("inf"))
    ('$5,817.60', '$0.0021', '-$12.50', 'over $10 trillion')
    """
    if not -MOST < amount < MOST:
        return f"{'below -' if amount < 0 else 'over '}$10 trillion"
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if 0.0 < size < 0.1:
        return f"{sign}${size:.{min(12, 1 - math.floor(math.log10(size)))}f}"
    return f"{sign}${size:,.2f}"


def percent(fraction: float) -> str:
    r"""A share in percent, to a tenth.

    Examples
    --------
    >>> percent(0.376), percent(-0.05), percent(float("inf"))
    ('37.6\xa0%', '-5.0\xa0%', 'over 1,000,000\xa0%')
    """
    if not -1e4 <= fraction <= 1e4:
        return f"{'below -' if fraction < 0 else 'over '}1,000,000\N{NO-BREAK SPACE}%"
    return f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def money_row(label: str, amount: float) -> ResultRow:
    """A row of dollars."""
    return ResultRow(label, amount, usd(amount))


def share_row(label: str, fraction: float) -> ResultRow:
    """A row of a share, in percent."""
    return ResultRow(label, fraction, percent(fraction))


def number_row(label: str, number: float, unit: str = "", digits: int = 0) -> ResultRow:
    """A row of a number with its unit; infinity is said in words."""
    if math.isfinite(number):
        text = f"{number:,.{digits}f} {unit}".rstrip() if abs(number) < MOST else "over 10 trillion"
    else:
        text = "never"
    return ResultRow(label, number, text)
