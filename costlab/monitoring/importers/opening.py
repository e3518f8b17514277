"""A log opened: its files found, its format told, its rows counted, and what is no request left out."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.text import counted
from costlab.catalog import is_own_server
from costlab.errors import InvalidValueError
from costlab.monitoring.gpu_hours import GPU_COLUMNS
from costlab.monitoring.importers.columns import COLUMNS_FORMAT, FIELDS
from costlab.monitoring.importers.conversion import (
    OF_PYTHON,
    OWN_SERVER,
    Kind,
    json_of_python,
    sql_identifier,
    sql_text,
)
from costlab.monitoring.importers.counting import SAME_REQUEST, counted_rows, with_defaults
from costlab.monitoring.importers.formats import LOG_FORMATS
from costlab.monitoring.importers.log_files import LogFiles, ReadOptions, RowTooLongError
from costlab.monitoring.importers.paths import FileState, copies, find_files, kind_of, passed_over, signature
from costlab.monitoring.importers.protocol import LogFormat, LogRows, ReadCounts
from costlab.monitoring.usage import LOG_COLUMNS, require_columns

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class UsageLog:
    """A log that was opened.

    Attributes
    ----------
    frame : duckdb.DuckDBPyRelation
        Its rows, with the columns of :class:`costlab.events.RequestEvent`; where costs are told in USD also with
        `cost_rounded_up_pico_usd`, as of :func:`fill_costs`.
    format : str
        Its format; of several paths that differ, all of them, with commas between.
    notes : tuple of str
        What was understood or left out, for the reader of the figures.
    connection : duckdb.DuckDBPyConnection
        What the relation belongs to; it tells the progress of a query.
    read : ReadCounts
        What became of the rows of the files.
    files : tuple of FileState
        The files as they were before they were read.
    """

    frame: duckdb.DuckDBPyRelation
    format: str
    notes: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection
    read: ReadCounts
    files: tuple[FileState, ...] = ()

    def require_unchanged(self) -> None:
        """Raise `LogError` where a file is another than when it was opened, so that its figures would not agree.

        What was only written on does not matter: the rows of a text were taken over when it was opened.
        """
        for state in self.files:
            state.grown()


#: Shorter ids are someone's own numbers and letters, and may be of something else in another log.
LEAST_ID: Final = 8


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
        as text or time stamps, those without a zone in UTC. Without a tier the model is taken for it.
    cached_apart : bool
        Whether the file's count of input tokens leaves out those that were read from the prompt cache and those that
        were written to it, as Anthropic's API counts. They are then added, once.
    max_bad_rows : int
        How many rows that cannot be read may be left out; they are counted.
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
    options = ReadOptions(columns or {}, cached_apart, checks.integer("max_bad_rows", max_bad_rows), decimal, day_first)
    connection, scratch = connect()
    chosen = format or (None if columns is None else COLUMNS_FORMAT.name)
    logs, notes = _logs(path, LogFiles("", (), connection, scratch, options), chosen)
    states = tuple(FileState.of(path) for _, files in logs for path in files.paths)
    opened = [counted_rows(files, LOG_FORMATS[name].read, f"log_{place}") for place, (name, files) in enumerate(logs)]
    formats = [LOG_FORMATS[name] for name, _ in logs]
    frames, repeated = _each_once([one.name for one in formats], [frame for frame, _, _ in opened])
    frames, of_others, about_others = _each_format_once(connection, formats, frames)
    counts = reduce(add, (counts for _, _, counts in opened))
    grown = _grown(states)  # before any file is looked at again
    return UsageLog(
        _together(connection, frames),
        ", ".join(dict.fromkeys(name for name, _ in logs)),
        (
            *notes,
            *dict.fromkeys(note for _, told, _ in opened for note in told),
            *about_others,
            *_copies(logs, [frame for frame, _, _ in opened]),
            *grown,
        ),
        connection,
        replace(counts, repeated=counts.repeated + repeated + of_others),
        states,
    )


def _copies(logs: Sequence[tuple[str, LogFiles]], frames: Sequence[duckdb.DuckDBPyRelation]) -> list[str]:
    """A note on files that are the same under another name, where rows have no ids by which they would count once."""
    found = []
    for (_, files), frame in zip(logs, frames, strict=True):
        twice = list(copies(files.paths))
        if not twice:
            continue
        without = "coalesce(request_id, '') = ''" if "request_id" in frame.columns else "true"
        if frame.filter(without).limit(1).fetchall():
            found += twice
    if not found:
        return []
    named = ", ".join(f"{other.name} as {one.name}" for one, other in found[:3])
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    return [f"files of the same content, whose rows count twice as they have no request ids: {named}{more}"]


def _grown(states: Sequence[FileState]) -> list[str]:
    """A note on the files that were written on while they were read, each of which was read once."""
    names = [state.path.name for state in states if state.grown()]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    told = f"{', '.join(names[:3])}{more} grew while the log was read: what came meanwhile is not, or in part, counted"
    return [told] if names else []


def _each_once(
    formats: Sequence[str], frames: Sequence[duckdb.DuckDBPyRelation]
) -> tuple[list[duckdb.DuckDBPyRelation], int]:
    """Logs without the requests that an earlier one of their format has, in CSV rather than JSON, say; and how many."""
    kept: list[duckdb.DuckDBPyRelation] = []
    repeated = 0
    for place, frame in enumerate(frames):
        earlier = [
            kept[other]
            for other in range(place)
            if formats[other] == formats[place] and "request_id" in kept[other].columns
        ]
        if earlier and "request_id" in frame.columns:
            same = ", ".join(SAME_REQUEST)
            told = " UNION ALL ".join(f"(SELECT {same} FROM ({one.sql_query()}) AS earlier)" for one in earlier)
            again = f"request_id <> '' AND ({same}) IN ({told})"
            ((number,),) = frame.filter(again).aggregate("count(*)").fetchall()
            if number:
                frame, repeated = frame.filter(f"NOT coalesce({again}, false)"), repeated + number
        kept.append(frame)
    return kept, repeated


def _each_format_once(
    connection: duckdb.DuckDBPyConnection, formats: Sequence[LogFormat], frames: Sequence[duckdb.DuckDBPyRelation]
) -> tuple[list[duckdb.DuckDBPyRelation], int, tuple[str, ...]]:
    """Logs without the requests of which one of another format tells more, how many these are, and notes.

    Two rows tell of one request if the provider's id of the answer is the same. An id that several rows have of a
    log, as servers of tests and some gateways give it, names none.
    """
    each = list(zip(formats, frames, strict=True))
    ids = [[name for name in one.answer_ids if name in frame.columns] for one, frame in each]
    beside = [[name for name in columns if name not in LOG_COLUMNS] for columns in ids]
    plain = [
        frame.project(f"* EXCLUDE ({', '.join(columns)})") if columns else frame
        for columns, frame in zip(beside, frames, strict=True)
    ]
    names = list(dict.fromkeys(one.name for one in formats))
    if len(names) == 1:
        return plain, 0, ()
    told = "4 * (cost_micro_usd IS NOT NULL)::INT + 2 * (input_tokens > 0)::INT + (output_tokens > 0)::INT"
    connection.execute("CREATE OR REPLACE TEMP TABLE answers (place INT, format VARCHAR, id VARCHAR, told INT)")
    for place, (one, columns, frame) in enumerate(zip(formats, ids, frames, strict=True)):
        for name in columns:
            connection.execute(
                f"INSERT INTO answers SELECT {place}, {sql_text(one.name)}, {name}, any_value({told}) "
                f"FROM ({frame.sql_query()}) WHERE length({name}) >= {LEAST_ID} "
                f"AND coalesce(cost_micro_usd >= 0, true) GROUP BY {name} HAVING count(*) = 1"
            )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE told_best AS SELECT id, arg_max(place, 1000 * told - place) AS place "
        "FROM answers GROUP BY id HAVING count(DISTINCT format) > 1"
    )
    with_ids = {name for (name,) in connection.execute("SELECT DISTINCT format FROM answers").fetchall()}
    kept, repeated, notes = [], 0, []
    for place, (columns, frame, shown) in enumerate(zip(ids, frames, plain, strict=True)):
        again = " OR ".join(
            f"coalesce({name} IN (SELECT id FROM told_best WHERE place <> {place}), false)" for name in columns
        )
        number = frame.filter(again).aggregate("count(*)").fetchall()[0][0] if columns else 0
        repeated += number
        kept.append(
            frame.filter(f"NOT ({again})").project(", ".join(map(sql_identifier, shown.columns))) if number else shown
        )
    if repeated:
        single, many = "request is told in two formats and counts", "requests are told in two formats and count"
        both = counted(repeated, single, many)
        notes.append(f"{both} once: the provider's id of the answer is the same")
    if without := [name for name in names if name not in with_ids]:
        notes.append(
            f"no ids that a provider gave its answers in the format {' or '.join(without)}: a request that is in a "
            "log of another format as well counts twice"
        )
    return kept, repeated, tuple(notes)


def _together(
    connection: duckdb.DuckDBPyConnection, frames: Sequence[duckdb.DuckDBPyRelation]
) -> duckdb.DuckDBPyRelation:
    """The rows of several formats; what one of them does not know is assumed."""
    if len(frames) == 1:
        return frames[0]
    return with_defaults(connection.sql(" UNION ALL BY NAME ".join(f"({frame.sql_query()})" for frame in frames)))


def _logs(
    path: Path | str | Sequence[Path | str], none: LogFiles, chosen: str | None
) -> tuple[list[tuple[str, LogFiles]], tuple[str, ...]]:
    """What is read together: files of a format and a kind, in the order in which they were named, and notes."""
    found: dict[tuple[str, str], dict[Path, None]] = {}
    names: dict[tuple[str, str], str] = {}
    strange: list[LogFiles] = []
    strange_files: list[Path] = []
    for named in [path] if isinstance(path, str | Path) else path:
        if not str(named):
            raise InvalidValueError("path", "the name of a file or folder", named)
        whole = Path(named)
        strange_files += passed_over(whole) if whole.is_dir() else ()
        for files in _alike(whole, none):
            told = chosen or looks_like(files)
            if told is None and whole.is_dir():
                strange.append(files)
                continue
            key = told or COLUMNS_FORMAT.name, files.kind
            found.setdefault(key, {}).update(dict.fromkeys(files.paths))
            if whole.name not in names.setdefault(key, whole.name).split(", "):
                names[key] += f", {whole.name}"
    if not found and strange:
        # Nothing looks like a log; the reader of columns says what is missing.
        found = {(COLUMNS_FORMAT.name, files.kind): dict.fromkeys(files.paths) for files in strange[:1]}
        names, strange = dict.fromkeys(found, strange[0].name), []
    if not found:
        raise InvalidValueError("path", "at least one file or folder", path)
    left_out = [file for files in strange for file in files.paths]
    notes = [f"files of no known format were left out: {len(left_out):,}, as {left_out[0].name}"] if left_out else []
    if strange_files:
        notes.append(f"no regular files, left out: {len(strange_files):,}, as {strange_files[0].name}")
    logs = [(key[0], replace(none, name=names[key], paths=tuple(paths))) for key, paths in found.items()]
    return logs, tuple(notes)


def _alike(path: Path, none: LogFiles) -> list[LogFiles]:
    """The files that a path means, in groups that begin alike, so that one of each tells the format of all."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in find_files(path):
        groups.setdefault((kind_of(file), *signature(file)), []).append(file)
    return [replace(none, name=path.name, paths=tuple(files)) for files in groups.values()]


def looks_like(files: LogFiles) -> str | None:
    """The format of files for which neither a format nor columns were named; None if they look like none."""
    while True:
        try:
            return next((name for name, one in LOG_FORMATS.items() if one.looks_like(files)), None)
        except RowTooLongError:
            files = files.with_longer_rows()


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
    kinds: dict[str, Kind] = {"time_s": "time", "gpu": "text", **dict.fromkeys(GPU_COLUMNS[2:], "number")}
    states = [FileState.of(file) for file in files.paths]
    hours = counted_rows(files, lambda files: LogRows(files.table(kinds)), "gpu_hours", of_requests=False)[0]
    for state in states:
        state.grown()
    return hours


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
    connection.create_function(OF_PYTHON, json_of_python, ["VARCHAR"], "VARCHAR")
    connection.create_function(OWN_SERVER, lru_cache(2**12)(is_own_server), ["VARCHAR"] * 3, "BOOLEAN")
    return connection, Path(scratch.name)
