"""The tables of rows that the package ships as TOML files beside its modules, and what is found in them by name."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Protocol, TypeVar

from costlab.errors import UnknownNameError


class Named(Protocol):
    """A row with a name, and other spellings of it."""

    @property
    def name(self) -> str:
        """The one to show."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The others."""


Row = TypeVar("Row", bound=Named)


def by_spelling(rows: Iterable[Row]) -> dict[str, Row]:
    """The rows by each of their spellings, in lower case."""
    return {spelling.casefold(): row for row in rows for spelling in (row.name, *row.aliases)}


def named(kind: str, name: str, rows: Mapping[str, Row]) -> Row:
    """The row with that name, of those that :func:`by_spelling` gives; otherwise the error suggests the nearest."""
    row = rows.get(name.casefold()) if isinstance(name, str) else None
    if row is None:
        raise UnknownNameError(kind, name, {spelling: row.name for spelling, row in rows.items()})
    return row


def shipped_rows(package: str, file: str, table: str) -> tuple[dict[str, Any], ...]:
    """The rows of one table of a TOML file in a package, as they were written."""
    return tuple(tomllib.loads((files(package) / file).read_text(encoding="utf-8"))[table])
