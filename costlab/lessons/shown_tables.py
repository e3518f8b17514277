"""Tables as a reader should see them: whole texts, formatted numbers, one header row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from typing import TYPE_CHECKING

from costlab._internal import checks

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table of finished texts; a notebook shows it as HTML, and a terminal as plain text.

    Attributes
    ----------
    header : tuple of str
        Names of the columns.
    rows : tuple of tuple of str
        Cells, row by row.
    numeric : tuple of bool
        Which columns hold numbers, and so are aligned on the right.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def __repr__(self) -> str:
        """Columns side by side, numbers on the right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.header))]
        sized = zip(widths, self.numeric, strict=True)
        aligned = [f"{'>' if number else '<'}{width}" for width, number in sized]
        return "\n".join("  ".join(map(format, line, aligned)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        align = [f' style="text-align: {"right" if number else "left"}"' for number in self.numeric]

        def row(tag: str, cells: Sequence[str]) -> str:
            inner = (f"<{tag}{how}>{escape(cell)}</{tag}>" for cell, how in zip(cells, align, strict=True))
            return f"<tr>{''.join(inner)}</tr>"

        body = "\n".join(row("td", cells) for cells in self.rows)
        head = row("th", self.header)
        return f'<table class="dataframe">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def table(
    frame: DataFrame, formats: str | Mapping[str, str] = "", *, index: str | None = "", missing: str = "-"
) -> ShownTable:
    """A data frame as readers should see it: no text is cut, numbers are formatted, the index has one header.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table; its column names are the header.
    formats : str or mapping of str to str
        How to write numbers, as for ``format``: ``"{:,.0f}"``. One for all columns, or by column; whole numbers that
        are given none have their thousands separated.
    index : str or None
        Header of the index; None leaves the index out.
    missing : str
        What a cell without a value shows.

    Raises
    ------
    UnknownNameError
        If `formats` names a column that there is not.

    Examples
    --------
    >>> import pandas as pd
    >>> bills = pd.DataFrame({"USD a month": [29614.0, None]}, ["one guard", "none"])
    >>> table(bills, "{:,.0f}", index="budget")
    budget     USD a month
    one guard       29,614
    none                 -
    """
    names = [str(name) for name in frame.columns]
    by_column = dict.fromkeys(names, formats) if isinstance(formats, str) else dict(formats)
    for name in by_column:
        checks.one_of("column", name, names)

    def absent(value: object) -> bool:
        return value is None or (isinstance(value, float) and value != value)

    def is_number(value: object) -> bool:
        return not isinstance(value, bool) and isinstance(value, Real) and not absent(value)

    def text(value: object, how: str) -> str:
        if absent(value):
            return missing
        if is_number(value):
            return how.format(value) if how else f"{value:,}"
        return str(value)

    columns = [[text(value, by_column.get(name, "")) for value in frame.iloc[:, at]] for at, name in enumerate(names)]
    numeric = [any(map(is_number, frame.iloc[:, at])) for at in range(len(names))]
    if index is not None:
        names, numeric = [index, *names], [False, *numeric]
        columns = [[" · ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in frame.index], *columns]
    return ShownTable(tuple(names), tuple(zip(*columns, strict=True)), tuple(numeric))
