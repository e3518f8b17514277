"""The files of a log as tables: CSV, JSON and Parquet. What has no types of its own is read as text."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from costlab.errors import LogError
from costlab.monitoring.importers.conversion import (
    BAD,
    FILE,
    ROW,
    Kind,
    convert,
    duckdb_reason,
    sql_files,
    sql_identifier,
    sql_text,
)
from costlab.monitoring.importers.parquet_bound import require_bounded
from costlab.monitoring.importers.paths import (
    MAX_LINE_BYTES,
    compression_of,
    csv_layout,
    head_of,
    is_plain,
    json_layout,
    kind_of,
    open_bytes,
    require_lines,
)

if TYPE_CHECKING:
    import duckdb

#: Where pages of an API have their rows.
WRAPPER: Final = "data"

#: The fields of this many JSON objects are looked at to tell what a log is. Those that are read are asked for by name.
KEYS_OF: Final = 100

#: No row is longer than that.
MAX_ROW_BYTES: Final = 2**30


class RowTooLongError(LogError):
    """A row does not fit into the room that was made for one."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a log is to be read, as :func:`costlab.monitoring.open_log` takes it.

    Attributes
    ----------
    columns : mapping of str to str
        The file's names of our fields; empty without a mapping.
    cached_apart : bool
        Whether input tokens leave out those that were read from the prompt cache, or written to it.
    max_bad_rows : int
        How many rows may be left out because they cannot be read.
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
    numbered : bool
        Whether rows carry their number in their file, from 0, in a hidden column: slower, and asked for to say where a
        row stands that cannot be read.
    """

    name: str
    paths: tuple[Path, ...]
    connection: duckdb.DuckDBPyConnection
    scratch: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    row_bytes: int = 4 * 2**20
    numbered: bool = False

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
        rows = self.objects()
        if self.wraps_rows:
            rows = rows.project(f"unnest(json->'$.{WRAPPER}[*]') AS json")
        keys = rows.filter("json_type(json) = 'OBJECT'").project("json_keys(json)").limit(KEYS_OF)
        found = self.fetch(keys)  # none where the file holds something else, an empty list or a text
        return tuple(dict.fromkeys(name for (names,) in found for name in names))

    @cached_property
    def wraps_rows(self) -> bool:
        """Whether the first JSON object holds rows in a list called `data`, as pages of an API do."""
        if self.kind != "json":
            return False
        first = self.objects().filter("json IS NOT NULL").limit(1)
        return self.fetch(first.project(f"coalesce(json_type(json, '$.{WRAPPER}'), '')")) == [("ARRAY",)]

    def fetch(self, rows: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
        """The rows of a relation; raises `LogError` where the files cannot be read."""
        import duckdb

        try:
            return rows.fetchall()
        except duckdb.Error as error:
            raise self.error(error) from error

    def error(self, error: duckdb.Error) -> LogError:
        """What DuckDB complained of, with the log's name."""
        longer = "maximum_object_size" in str(error) and self.row_bytes < self.max_row_bytes
        kind = RowTooLongError if longer else LogError
        return kind(f"{self.name} cannot be read: {duckdb_reason(error)}")

    @cached_property
    def max_row_bytes(self) -> int:
        """The longest row that is read; documents of JSON, as an API's pages, are long, if not compressed."""
        if self.kind == "csv":
            return MAX_LINE_BYTES
        packed = self.kind != "parquet" and any(compression_of(path) != "none" for path in self.paths)
        return MAX_LINE_BYTES if packed else MAX_ROW_BYTES

    def with_longer_rows(self) -> LogFiles:
        """The same, to be read with room for longer rows."""
        return replace(self, row_bytes=min(self.row_bytes * 8, self.max_row_bytes))

    def open(self, path: Path) -> IO[bytes]:
        """One of the files as UTF-8 without a mark at its beginning, whatever its compression and encoding."""
        return open_bytes(path)

    def table(self, kinds: Mapping[str, Kind]) -> duckdb.DuckDBPyRelation:
        """Columns of the files by name, strictly converted to the kinds named; null where a file lacks one.

        Of JSON, the fields of the objects, or of the rows that they hold in a list called `data`. Rows with a value
        that does not convert carry the reason in a hidden column, which :func:`select` passes on: they are counted
        afterwards, and left out or refused.

        Parameters
        ----------
        kinds : mapping of str to str
            For each column that is wanted: `text`, `count` (a whole number >= 0), `whole` (any whole number), `number`,
            `time` (seconds since 1970 UTC, from a number, a time stamp or a text), or `json` (null where it is none).

        Raises
        ------
        LogError
            If the files cannot be read, or text has two columns of a name that is asked for.
        """
        if self.kind == "csv" and (twice := [name for name in kinds if f"{name} (2)" in self.column_names]):
            raise LogError(f"{self.name} has the column {twice[0]!r} twice; rename the one that does not count")
        return self.convert(self._raw(list(kinds)), kinds)

    def convert(self, rows: duckdb.DuckDBPyRelation, kinds: Mapping[str, Kind]) -> duckdb.DuckDBPyRelation:
        """As :meth:`table`, of a relation: of columns that were taken out of :meth:`objects`, say."""
        return convert(rows, kinds, self.options.decimal, self.options.day_first)

    def objects(self) -> duckdb.DuckDBPyRelation:
        """The documents of JSON files in the column `json`, lines or members of an array, and the hidden columns.

        A line that is no JSON is null there, and a bad row.
        """
        parts = []
        for layout, paths in self._json_groups.items():
            lines = layout == "newline_delimited"
            bad = "CASE WHEN json IS NULL THEN 'no JSON' END" if lines else "CAST(NULL AS VARCHAR)"
            parts.append(
                f"SELECT json, filename AS {FILE}, {bad} AS {BAD} FROM read_json_objects({sql_files(paths)}, "
                f"format='{layout}', compression='none', ignore_errors={lines}, "
                f"maximum_object_size={self.row_bytes}, hive_partitioning=false)"
            )
        return self._numbered(self._query(" UNION ALL ".join(parts)))

    def lines(self, path: Path, records: Collection[int]) -> dict[int, int]:
        """The line, from 1, on which each of the records of a text file begins; empty where records are no lines.

        Records are counted from 0: rows of CSV after the heading, and lines of JSON that are not empty.
        """
        found: dict[int, int] = {}
        with io.TextIOWrapper(self.open(path), encoding="utf-8", errors="replace", newline="") as file:
            for record, line in enumerate(self._begins(path, file)):
                if record in records:
                    found[record] = line
                if len(found) == len(records):
                    break
        return found

    def _begins(self, path: Path, file: IO[str]) -> Iterator[int]:
        """Where the records of a text file begin."""
        if self.kind == "csv":
            csv.field_size_limit(2**31 - 1)
            separator, _, skip = csv_layout(path)
            rows = csv.reader(file, delimiter=separator)
            for _ in range(skip + 1):
                next(rows, None)
            begins = rows.line_num + 1
            for row in rows:
                if row:
                    yield begins
                begins = rows.line_num + 1
        elif json_layout(head_of(path)) == "newline_delimited" and not self.wraps_rows:
            yield from (number for number, line in enumerate(file, 1) if line.strip())

    def _query(self, sql: str) -> duckdb.DuckDBPyRelation:
        import duckdb

        try:
            return self.connection.sql(sql)
        except duckdb.Error as error:
            raise self.error(error) from error

    def _raw(self, wanted: Sequence[str]) -> duckdb.DuckDBPyRelation:
        """The wanted columns as the files have them, those of text as text, and the name of each row's file."""
        if self.kind == "parquet":
            return self._numbered(self._query(f"SELECT *, filename AS {FILE} FROM {self._parquet()}"))
        if self.kind == "csv":
            return self._numbered(self._raw_csv())
        return self._raw_wrapped(wanted) if self.wraps_rows else self._numbered(self._raw_json(wanted))

    def _numbered(self, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        return rows.project(f"*, row_number() OVER () - 1 AS {ROW}") if self.numbered else rows

    def _parquet(self) -> str:
        for path in self.paths:
            require_bounded(path)
        # A folder named cost_usd=5 must not stand for a column of its files.
        return f"read_parquet({sql_files(self.paths)}, hive_partitioning=false, union_by_name=true)"

    def _raw_csv(self) -> duckdb.DuckDBPyRelation:
        groups: dict[tuple[str, tuple[str, ...], int], list[Path]] = {}
        for path in map(self._plain, self.paths):
            require_lines(path)
            groups.setdefault(csv_layout(path), []).append(path)
        parts = [
            f"SELECT *, filename AS {FILE} FROM read_csv({sql_files(paths)}, auto_detect=false, header=true, "
            f"skip={skip}, delim={sql_text(separator)}, quote='\"', escape='\"', columns={_struct(names)}, "
            f"compression='none', max_line_size={self.row_bytes}, store_rejects=true, ignore_errors=true, "
            "hive_partitioning=false)"
            for (separator, names, skip), paths in groups.items()
        ]
        return self._query(" UNION ALL BY NAME ".join(parts))

    def _raw_json(self, wanted: Sequence[str]) -> duckdb.DuckDBPyRelation:
        parts = []
        for layout, paths in self._json_groups.items():
            lines = layout == "newline_delimited"
            columns = ", ".join(map(sql_identifier, wanted))
            bad = f"CASE WHEN coalesce({columns}) IS NULL THEN 'no JSON, or without any of the columns' END"
            parts.append(
                f"SELECT *, filename AS {FILE}, {bad} AS {BAD} FROM read_json({sql_files(paths)}, format='{layout}', "
                f"compression='none', columns={_struct(wanted)}, records=true, ignore_errors={lines}, "
                f"maximum_object_size={self.row_bytes}, hive_partitioning=false)"
            )
        return self._query(" UNION ALL ".join(parts))

    def _raw_wrapped(self, wanted: Sequence[str]) -> duckdb.DuckDBPyRelation:
        shape = json.dumps({WRAPPER: [dict.fromkeys(wanted, "VARCHAR")]})
        rows = f"unnest(json_transform(json, {sql_text(shape)}).{WRAPPER})"
        return self.objects().project(f"{rows} AS wrapped, * EXCLUDE (json)").project("wrapped.*, * EXCLUDE (wrapped)")

    @cached_property
    def _json_groups(self) -> dict[str, list[Path]]:
        """Files by how their documents are laid out."""
        groups: dict[str, list[Path]] = {}
        for path in map(self._plain, self.paths):
            groups.setdefault(json_layout(head_of(path)), []).append(path)
        return groups

    def _plain(self, path: Path) -> Path:
        """The file, or a copy of one that is compressed or in another encoding than UTF-8."""
        if is_plain(path):
            return path
        copy = self.scratch / "utf-8" / str(self.paths.index(path)) / path.name  # by its name it is known in messages
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            begun = copy.with_name("begun")
            with self._refusing(path), open_bytes(path) as source, begun.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            begun.replace(copy)
        return copy

    @contextmanager
    def _refusing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, UnicodeError) as error:
            raise LogError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error
        except OSError as error:
            if error.filename is not None or error.errno is not None:
                raise  # no one may read it, or the disk is full
            raise LogError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _struct(names: Iterable[str]) -> str:
    return "{" + ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in names) + "}"
