"""Rows with a date, of which a later one supersedes an earlier one."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Protocol, TypeVar

from costlab.errors import InvalidValueError

__all__ = ["Dated", "newest_rows", "parse_day"]


class Dated(Protocol):
    """A row of a catalogue that a later one may supersede."""

    @property
    def checked(self) -> date:
        """The day for which it holds."""

    @property
    def series(self) -> tuple[str, ...]:
        """What must be equal for two rows to be the same price at two dates."""


Row = TypeVar("Row", bound=Dated)


def newest_rows(rows: Iterable[Row], as_of: date | None) -> tuple[Row, ...]:
    """The newest row of every series at the end of a day, in the order in which the series begin."""
    newest: dict[tuple[str, ...], Row] = {}
    for price in rows:
        if as_of is not None and price.checked > as_of:
            continue
        seen = newest.get(price.series)
        if seen is None or price.checked >= seen.checked:
            newest[price.series] = price
    return tuple(newest.values())


def parse_day(name: str, value: date | str | None) -> date | None:
    """`value` as a date, whether it is one, an ISO string, or None.

    Raises
    ------
    InvalidValueError
        If it is a text that is no ISO date; `name` is the parameter to name.
    """
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidValueError(name, "a date such as 2026-01-31", value) from None
