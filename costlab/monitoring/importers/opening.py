"""A log opened: its files found, its format told, its rows counted, and what is no request left out."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError, LogError
from costlab.events import COLUMNS, micro_usd_column
from costlab.monitoring.gpu_hours import GPU_COLUMNS
from costlab.monitoring.importers.columns import FIELDS
from costlab.monitoring.importers.conversion import BAD, FILE, duckdb_reason, sql_identifier, sql_text
from costlab.monitoring.importers.formats import LOG_FORMATS
from costlab.monitoring.importers.log_files import LogFiles, ReadOptions
from costlab.monitoring.importers.paths import find_files, kind_of
from costlab.monitoring.importers.protocol import IN_USD, BadRow, LogRows, ReadCounts
from costlab.monitoring.usage import FAILED, require_columns

if TYPE_CHECKING:
    import duckdb

#: So many rows that cannot be read are shown.
MAX_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class UsageLog:
    """A log that was opened.

    Attributes
    ----------
    frame : duckdb.DuckDBPyRelation
        Its rows, with the columns of :class:`costlab.events.RequestEvent`.
    format : str
        Its format; of several paths that differ, all of them, with commas between.
    notes : tuple of str
        What was understood or left out, for the reader of the figures.
    connection : duckdb.DuckDBPyConnection
        What the relation belongs to; it tells the progress of a query.
    read : ReadCounts
        What became of the rows of the files.
    """

    frame: duckdb.DuckDBPyRelation
    format: str
    notes: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection
    read: ReadCounts


def open_log(
    path: Path | str | Sequence[Path | str],
    *,
    format: str | None = None,  # noqa: A002 - the word that users of other tools know
    columns: Mapping[str, str] | None = None,
    cached_apart: bool = False,
    max_bad_rows: int = 0,
    decimal: str | None = None,
    day_first: bool | None = None,
) -> UsageLog:
    """A usage log from a file, several, or a folder.

    Parameters
    ----------
    path : path, or sequence of paths
        Files that end in ``.csv``, ``.tsv``, ``.parquet``, ``.json``, ``.jsonl`` or ``.ndjson``, text also compressed
        (``.csv.gz``, ``.jsonl.zst``); or folders, of which all such files are read, also those in folders below. Names
        are taken as they are: no character is a pattern, and no folder called ``day=2026-07-01`` a column.
    format : str, optional
        One of ``costlab.monitoring.FORMATS``; by default what each path looks like.
    columns : mapping of str to str, optional
        For the format `columns`: for each field of :class:`costlab.events.RequestEvent` that has another name in the
        file, that name. Also taken: `cost_usd` and `conversion_value_usd` for amounts in USD, `latency_ms`; and times
        as text or time stamps, those without a zone in UTC. Without a tier the model stands for it.
    cached_apart : bool
        Whether the file's count of input tokens leaves out those that were read from the prompt cache, as Anthropic's
        API counts. They are then added, once.
    max_bad_rows : int
        So many rows that cannot be read may be left out, and are counted.
    decimal : {'.', ','}, optional
        The decimal separator of numbers that are text; by default what they show.
    day_first : bool, optional
        Whether 01/10/2026 is 1 October rather than 10 January; by default what the dates show.

    Raises
    ------
    LogError
        If a file is of no known kind, cannot be parsed, lacks a column, or has more rows than `max_bad_rows` that
        cannot be read; the message names the columns or the rows.
    UnknownNameError
        If `format` or a field in `columns` is none of ours.
    InvalidValueError
        If another option is none of those above.
    OSError
        If there is no such file.

    Notes
    -----
    Rows with one id are one request: that with the most output counts, of equal ones the last. A row with a negative
    cost is a credit. A row that failed may lack tokens, and a cost.
    """
    if format is not None:
        checks.one_of("format", format, LOG_FORMATS)
    for field in columns or ():
        checks.one_of("field", field, FIELDS)
    if decimal not in (None, ".", ","):
        raise InvalidValueError("decimal", "a point or a comma", decimal)
    options = ReadOptions(
        columns or {}, cached_apart, checks.integer("max_bad_rows", max_bad_rows, at_least=0), decimal, day_first
    )
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    connection, scratch = connect()
    # Paths of a format and a kind are read together.
    logs: dict[tuple[str, str], LogFiles] = {}
    for one in paths:
        found = find_files(one)
        for kind in dict.fromkeys(map(kind_of, found)):
            files = LogFiles(
                one.name, tuple(file for file in found if kind_of(file) == kind), connection, scratch, options
            )
            name = format or ("columns" if columns is not None else looks_like(files))
            other = logs.get((name, kind))
            if other is not None:
                files = replace(other, name=f"{other.name}, {one.name}", paths=(*other.paths, *files.paths))
            logs[name, kind] = files
    parts = [(name, files, LOG_FORMATS[name].read(files)) for (name, _), files in logs.items()]
    opened = [_opened(place, files, rows) for place, (_, files, rows) in enumerate(parts)]
    frame = (
        opened[0][0]
        if len(opened) == 1
        else connection.sql(" UNION ALL BY NAME ".join(f"({frame.sql_query()})" for frame, _ in opened))
    )
    return UsageLog(
        frame,
        ", ".join(dict.fromkeys(name for name, _, _ in parts)),
        tuple(dict.fromkeys(note for _, _, rows in parts for note in rows.notes)),
        connection,
        _sum([counts for _, counts in opened]),
    )


def looks_like(files: LogFiles) -> str:
    """The format of files for which neither a format nor columns were named."""
    return next(name for name, one in LOG_FORMATS.items() if one.looks_like(files))


def open_gpu_hours(path: Path | str) -> duckdb.DuckDBPyRelation:
    """A log of GPU hours from a file, as a DuckDB relation.

    Parameters
    ----------
    path : path
        A file or folder of a kind that :func:`open_log` takes, with the columns of ``costlab.monitoring.GPU_COLUMNS``.

    Raises
    ------
    LogError
        If it cannot be read or lacks a column.
    OSError
        If there is no such file.
    """
    path = Path(path)
    connection, scratch = connect()
    files = LogFiles(path.name, find_files(path), connection, scratch)
    require_columns(path.name, files.column_names, GPU_COLUMNS)
    rows = files.table({"time_s": "time", "gpu": "text", **dict.fromkeys(GPU_COLUMNS[2:], "number")})
    return _readable(files, rows, "gpu_hours")[0]


def connect() -> tuple[duckdb.DuckDBPyConnection, Path]:
    """A connection, and a folder for what does not fit into memory; it goes when the connection does."""
    with extra("usage"):
        import duckdb
    # Nothing is fetched: neither extensions nor settings from the user's home.
    scratch = tempfile.TemporaryDirectory(prefix="costlab-", ignore_cleanup_errors=True)
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": False,
            "temp_directory": f"{scratch.name}/spilled",
        }
    )
    weakref.finalize(connection, scratch.cleanup)
    connection.execute("SET TimeZone = 'UTC'")
    return connection, Path(scratch.name)


def _opened(place: int, files: LogFiles, rows: LogRows) -> tuple[duckdb.DuckDBPyRelation, ReadCounts]:
    """The rows of one format that count, and what became of the others."""
    relation = _in_micro_usd(_complete(rows.relation))
    relation, counts = _readable(files, relation, f"log_{place}")
    return relation, replace(
        counts, dropped=rows.read.dropped, repeated=rows.read.repeated + counts.repeated,
        bad_rows=rows.read.bad_rows + counts.bad_rows, bad=(rows.read.bad + counts.bad)[:MAX_SHOWN],
        rows=counts.rows + rows.read.repeated + rows.read.bad_rows + sum(rows.read.dropped.values()),
    )  # fmt: skip


def _complete(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With what may be null or left out, as far as no figure can do without it."""
    sql = {name: sql_identifier(name) for name in rows.columns}
    for name, column in COLUMNS.items():
        if name in sql and column.default is not None:
            default = sql_text(column.default) if isinstance(column.default, str) else str(column.default)
            sql[name] = f"coalesce({sql[name]}, {default})"
    sql["tier"] = f"coalesce({sql['tier']}, model)" if "tier" in sql else "model"
    cost = [sql.get(name, "NULL") for name in ("cost_usd", "cost_micro_usd")]
    # A row that failed may lack tokens, and then its cost is told or nothing; a credit is about no tokens.
    without = f"({sql['outcome']} IN {FAILED})" if "outcome" in sql else "false"
    credit = f"coalesce({cost[0]} < 0 OR {cost[1]} < 0, false)" if any(one != "NULL" for one in cost) else "false"
    if "cost_usd" not in sql:
        sql["cost_usd" if "cost_micro_usd" not in sql else "cost_micro_usd"] = sql.get(
            "cost_micro_usd", "CAST(NULL AS DOUBLE)"
        )
    for name in ("cost_usd", "cost_micro_usd"):
        if name in sql:
            sql[name] = f"coalesce({sql[name]}, CASE WHEN input_tokens IS NULL AND {without} THEN 0 END)"
            break
    for name in ("input_tokens", "output_tokens"):
        sql[name] = f"coalesce({sql[name]}, CASE WHEN {without} OR {credit} THEN 0 END)"
    return rows.project(", ".join(f"{value} AS {sql_identifier(name)}" for name, value in sql.items()))


def _in_micro_usd(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With the amounts in USD as whole micro-dollars."""
    with extra("usage"):
        import narwhals as nw
    amounts = {exact: name for name, exact in IN_USD.items() if name in relation.columns}
    if not amounts:
        return relation
    exact = {}
    for name, usd in amounts.items():
        told = micro_usd_column(nw.col(usd))
        exact[name] = nw.coalesce(nw.col(name).cast(nw.Float64), told) if name in relation.columns else told
    return nw.from_native(relation).with_columns(**exact).drop(*amounts.values()).to_native()


def _readable(files: LogFiles, rows: duckdb.DuckDBPyRelation, name: str) -> tuple[duckdb.DuckDBPyRelation, ReadCounts]:
    """The rows that can be read and tell a request the first time, and how many do not."""
    import duckdb

    try:
        if BAD in rows.columns:
            # Text is converted once; what counts it later reads the result.
            rows = _stored(files, rows, name)
        ((all_rows,),) = rows.aggregate("count(*)").fetchall()
        rows, bad = _without_bad(files, rows, name)
        rows, repeated = _without_repeated(files, rows, name)
    except duckdb.Error as error:
        raise LogError(f"{files.name} cannot be read: {duckdb_reason(error)}") from error
    kept = [sql_identifier(one) for one in rows.columns if one not in (BAD, FILE)]
    left = all_rows - bad.bad_rows - repeated
    counts = replace(bad, rows=all_rows, requests=left, repeated=repeated, files=len(files.paths))
    return rows.project(", ".join(kept)), counts


def _stored(files: LogFiles, rows: duckdb.DuckDBPyRelation, name: str) -> duckdb.DuckDBPyRelation:
    """The rows as a table, in the order of the files, so that a row's number tells where it stands."""
    files.connection.execute("SET preserve_insertion_order = true")
    rows.create(name)
    files.connection.execute("SET preserve_insertion_order = false")
    return files.connection.table(name)


def _without_bad(
    files: LogFiles, rows: duckdb.DuckDBPyRelation, name: str
) -> tuple[duckdb.DuckDBPyRelation, ReadCounts]:
    """The rows that could be read, and which could not; raises `LogError` if there are more of them than may be."""
    if BAD not in rows.columns:
        return rows, ReadCounts()
    ((bad_rows,),) = rows.aggregate(f"count({BAD})").fetchall()
    if not bad_rows:
        return rows, ReadCounts()
    place = f"rowid + 1, {FILE}" if FILE in rows.columns else "rowid + 1, NULL"
    shown = files.connection.sql(
        f"SELECT {place}, {BAD} FROM {name} WHERE {BAD} IS NOT NULL ORDER BY rowid LIMIT {MAX_SHOWN}"
    )
    bad = tuple(
        BadRow(f"{Path(file).name if file else files.name} row {row}", why) for row, file, why in shown.fetchall()
    )
    if bad_rows > files.options.max_bad_rows:
        more = f"; and {bad_rows - len(bad):,} more" if bad_rows > len(bad) else ""
        told = "; ".join(f"{one.where}: {one.why}" for one in bad)
        raise LogError(
            f"{files.name} has {bad_rows:,} rows that cannot be read ({told}{more}); --max-bad-rows leaves them out"
        )
    files.connection.execute(f"DELETE FROM {name} WHERE {BAD} IS NOT NULL")
    return rows, ReadCounts(bad_rows=bad_rows, bad=bad)


def _without_repeated(files: LogFiles, rows: duckdb.DuckDBPyRelation, name: str) -> tuple[duckdb.DuckDBPyRelation, int]:
    """The rows of which each tells another request, and how many told one again."""
    if "request_id" not in rows.columns:
        return rows, 0
    named = rows.filter("request_id <> ''").aggregate("count(*), count(DISTINCT hash(request_id))")
    ((all_named, distinct),) = named.fetchall()
    if all_named == distinct:
        return rows, 0
    if BAD not in rows.columns:
        rows = _stored(files, rows, name)
    best = ", ".join(f"{one} DESC NULLS LAST" for one in ("output_tokens", "input_tokens", "cost_micro_usd"))
    deleted = files.connection.execute(
        f"DELETE FROM {name} WHERE rowid IN (SELECT row FROM (SELECT rowid AS row, row_number() OVER "
        f"(PARTITION BY request_id, coalesce(cost_micro_usd < 0, false) ORDER BY {best}, rowid DESC) AS place "
        f"FROM {name} WHERE request_id <> '') WHERE place > 1)"
    )
    ((repeated,),) = deleted.fetchall()
    return rows, repeated


def _sum(counts: Sequence[ReadCounts]) -> ReadCounts:
    dropped: dict[str, int] = {}
    for one in counts:
        for reason, number in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
    return ReadCounts(
        rows=sum(one.rows for one in counts),
        requests=sum(one.requests for one in counts),
        repeated=sum(one.repeated for one in counts),
        dropped=dropped,
        bad_rows=sum(one.bad_rows for one in counts),
        bad=tuple(bad for one in counts for bad in one.bad)[:MAX_SHOWN],
        files=sum(one.files for one in counts),
    )
