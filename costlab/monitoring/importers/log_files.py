"""The files of a log as tables: CSV, JSON and Parquet. What has no types of its own is read as text."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from costlab.errors import LogError
from costlab.monitoring.importers.conversion import FILE, Kind, convert, duckdb_reason, sql_files, sql_text
from costlab.monitoring.importers.paths import (
    compression_of,
    csv_layout,
    head_of,
    is_plain,
    json_layout,
    kind_of,
    open_bytes,
)

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a log is to be read, as :func:`costlab.monitoring.open_log` takes it.

    Attributes
    ----------
    columns : mapping of str to str
        The file's names of our fields; empty without a mapping.
    cached_apart : bool
        Whether input tokens leave out the cached ones.
    max_bad_rows : int
        So many rows may be left out because they cannot be read.
    decimal : {'.', ','} or None
        The decimal separator of numbers that are text; None where they must show it.
    day_first : bool or None
        Whether 01/10/2026 is 1 October; None where the dates must show it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    cached_apart: bool = False
    max_bad_rows: int = 0
    decimal: str | None = None
    day_first: bool | None = None


@dataclass(frozen=True)  # without slots, which would leave no place for what is cached
class LogFiles:
    """Files that are read as one log.

    Attributes
    ----------
    name : str
        What the user named, for messages.
    paths : tuple of Path
        The files, in the order of their names; all of one kind, none empty.
    connection : duckdb.DuckDBPyConnection
        What the rows are to belong to.
    scratch : Path
        A folder for what is written on the way; it goes when the log does.
    options : ReadOptions
        What the user said about them.
    row_bytes : int
        The longest row that the readers of text are prepared for.
    """

    name: str
    paths: tuple[Path, ...]
    connection: duckdb.DuckDBPyConnection
    scratch: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    row_bytes: int = 16 * 2**20

    @cached_property
    def kind(self) -> Literal["csv", "json", "parquet"]:
        """What the files are written as, by their endings; tables of text are all `csv`."""
        return kind_of(self.paths[0])

    @cached_property
    def head(self) -> str:
        """The beginning of the first file as text; empty of Parquet files."""
        if self.kind == "parquet":
            return ""
        try:
            return head_of(self.paths[0])
        except (OSError, EOFError, ValueError):
            return ""  # whoever reads it says what is wrong

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, or of the fields of the first JSON objects, or of the rows that those wrap."""
        if self.kind == "csv":
            return tuple(dict.fromkeys(name for path in self.paths for name in csv_layout(path)[1]))
        if self.kind == "parquet":
            return tuple(self._query(f"FROM {self._parquet()}").columns)
        import duckdb

        keys = self.objects().project("json_keys(json)").limit(1000)
        try:
            return tuple(dict.fromkeys(name for (names,) in keys.fetchall() for name in names or ()))
        except duckdb.Error as error:
            raise LogError(f"{self.name} cannot be read: {duckdb_reason(error)}") from error

    def open(self, path: Path) -> IO[bytes]:
        """One of the files as UTF-8 without a mark at its beginning, whatever its compression and encoding."""
        return open_bytes(path)

    def table(self, kinds: Mapping[str, Kind]) -> duckdb.DuckDBPyRelation:
        """Columns of the files by name, strictly converted to the kinds named; null where a file lacks one.

        Rows with a value that does not convert carry the reason in a hidden column, which :func:`select` passes on:
        they are counted afterwards, and left out or refused.

        Parameters
        ----------
        kinds : mapping of str to str
            For each column that is wanted: `text`, `whole` (a whole number), `number`, `time` (seconds since 1970 UTC,
            from a number, a time stamp or a text), or `json` (null where it is empty).

        Raises
        ------
        LogError
            If the files cannot be read.
        """
        return convert(self._raw(list(kinds)), kinds)

    def objects(self) -> duckdb.DuckDBPyRelation:
        """The documents of JSON files in the single column `json`: lines, or members of an array."""
        parts = [
            f"SELECT json FROM read_json_objects({sql_files(paths)}, format='{layout}', compression='{compression}', "
            f"maximum_object_size={self.row_bytes}, hive_partitioning=false)"
            for (layout, compression), paths in self._json_groups().items()
        ]
        return self._query(" UNION ALL ".join(parts))

    def _query(self, sql: str) -> duckdb.DuckDBPyRelation:
        """A relation; raises `LogError` where the files cannot be read."""
        import duckdb

        try:
            return self.connection.sql(sql)
        except duckdb.Error as error:
            raise LogError(f"{self.name} cannot be read: {duckdb_reason(error)}") from error

    def _raw(self, wanted: Sequence[str]) -> duckdb.DuckDBPyRelation:
        """The wanted columns as the files have them, those of text as text, and the name of each row's file."""
        if self.kind == "parquet":
            return self._query(f"SELECT *, filename AS {FILE} FROM {self._parquet()}")
        if self.kind == "csv":
            return self._raw_csv()
        return self._raw_json(wanted)

    def _parquet(self) -> str:
        # A folder named cost_usd=5 must not stand for a column of its files.
        return f"read_parquet({sql_files(self.paths)}, hive_partitioning=false, union_by_name=true)"

    def _raw_csv(self) -> duckdb.DuckDBPyRelation:
        groups: dict[tuple[str, tuple[str, ...], str], list[Path]] = {}
        for path in map(self._plain, self.paths):
            groups.setdefault((*csv_layout(path), compression_of(path)), []).append(path)
        parts = [
            f"SELECT *, filename AS {FILE} FROM read_csv({sql_files(paths)}, auto_detect=false, header=true, "
            f"delim={sql_text(separator)}, quote='\"', escape='\"', columns={_struct(names)}, "
            f"compression='{compression}', max_line_size={self.row_bytes}, hive_partitioning=false)"
            for (separator, names, compression), paths in groups.items()
        ]
        return self._query(" UNION ALL BY NAME ".join(parts))

    def _raw_json(self, wanted: Sequence[str]) -> duckdb.DuckDBPyRelation:
        parts = [
            f"SELECT *, filename AS {FILE} FROM read_json({sql_files(paths)}, format='{layout}', "
            f"compression='{compression}', columns={_struct(wanted)}, records=true, "
            f"maximum_object_size={self.row_bytes}, hive_partitioning=false)"
            for (layout, compression), paths in self._json_groups().items()
        ]
        return self._query(" UNION ALL ".join(parts))

    def _json_groups(self) -> dict[tuple[str, str], list[Path]]:
        """Files by how their documents stand in them, and by their compression."""
        groups: dict[tuple[str, str], list[Path]] = {}
        for path in map(self._plain, self.paths):
            groups.setdefault((json_layout(head_of(path)), compression_of(path)), []).append(path)
        return groups

    def _plain(self, path: Path) -> Path:
        """The file, or a copy in UTF-8 of one that is written otherwise."""
        if is_plain(path):
            return path
        copies = self.scratch / "utf-8"
        copies.mkdir(exist_ok=True)
        copy = copies / f"{self.paths.index(path)}-{path.name.removesuffix('.gz').removesuffix('.zst')}"
        if not copy.exists():
            with open_bytes(path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        return copy


def _struct(names: Iterable[str]) -> str:
    return "{" + ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in names) + "}"
