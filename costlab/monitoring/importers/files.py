"""Opening a log: which format it has, and its rows as a DuckDB relation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.monitoring.importers.columns import STANDARD, standard_sql
from costlab.monitoring.importers.litellm import LITELLM_COLUMNS, litellm_sql
from costlab.monitoring.importers.spans import looks_like_spans, read_spans
from costlab.monitoring.usage import GPU_COLUMNS, UsageError
from costlab.monitoring.usage.columns import require_columns

__all__ = ["FORMATS", "UsageLog", "open_gpu_hours", "open_log"]

#: `columns` are the package's own names, or others with a mapping; `litellm` is the table LiteLLM_SpendLogs;
#: `otel` are spans as JSON.
FORMATS: Final = ("columns", "litellm", "otel")


@dataclass(frozen=True, slots=True)
class UsageLog:
    """A log that was opened.

    Attributes
    ----------
    frame : duckdb.DuckDBPyRelation
        Its rows, with the columns of :class:`costlab.events.RequestEvent`; read when it is counted.
    format : str
        `columns`, `litellm` or `otel`.
    notes : tuple of str
        What was understood or left out, for the reader of the figures.
    connection : duckdb.DuckDBPyConnection
        What the relation belongs to; it tells the progress of a query.
    """

    frame: Any
    format: str
    notes: tuple[str, ...]
    connection: Any


def open_log(
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002 - the word that users of other tools know
    columns: Mapping[str, str] | None = None,
    cached_apart: bool = False,
) -> UsageLog:
    """A usage log from a file.

    Parameters
    ----------
    path : path
        A file that ends in ``.csv``, ``.tsv``, ``.parquet``, ``.json``, ``.jsonl`` or ``.ndjson``; text may be
        compressed (``.csv.gz``).
    format : {'columns', 'litellm', 'otel'}, optional
        By default what the columns look like.
    columns : mapping of str to str, optional
        For the format `columns`: for each field of :class:`costlab.events.RequestEvent` that has another name in the
        file, that name. Also taken: `cost_usd` and `conversion_value_usd` for amounts in USD, `latency_ms`; and times
        as text or time stamps, those without a zone in UTC. Without a tier the model stands for it.
    cached_apart : bool
        Whether the file's count of input tokens leaves out those that were read from the prompt cache, as Anthropic's
        API counts. They are then added, once.

    Returns
    -------
    UsageLog

    Raises
    ------
    UsageError
        If the file is of no known kind, cannot be parsed, or lacks a column; the message names the columns.
    UnknownNameError
        If `format` or a field in `columns` is none of ours.
    OSError
        If there is no such file.
    MissingExtraError
        If ``duckdb`` is not installed.
    """
    if format is not None:
        checks.one_of("format", format, FORMATS)
    for field in columns or ():
        checks.one_of("field", field, STANDARD)
    path = Path(path)
    connection, duckdb = _connect()
    if format == "otel" or (format is None and columns is None and looks_like_spans(path)):
        table, notes = read_spans(path, cached_apart=cached_apart)
        return UsageLog(connection.from_arrow(table), "otel", notes, connection)
    raw = _read(connection, duckdb, path)
    if format is None:
        format = "litellm" if columns is None and {"spend", "startTime"} <= set(raw.columns) else "columns"  # noqa: A001
    types = dict(zip(raw.columns, (str(kind) for kind in raw.types), strict=True))
    if format == "litellm":
        require_columns(path.name, raw.columns, LITELLM_COLUMNS)
        sql, notes = litellm_sql(types, cached_apart=cached_apart)
    else:
        sql, notes = standard_sql(path.name, types, columns or {}, cached_apart=cached_apart)
    return UsageLog(raw.project(sql), format, notes, connection)


def open_gpu_hours(path: Path | str) -> Any:
    """A log of GPU hours from a file, as a DuckDB relation.

    Parameters
    ----------
    path : path
        A file of a kind that :func:`open_log` takes, with the columns of ``costlab.monitoring.usage.GPU_COLUMNS``.

    Raises
    ------
    UsageError
        If it cannot be read or lacks a column.
    OSError
        If there is no such file.
    MissingExtraError
        If ``duckdb`` is not installed.
    """
    path = Path(path)
    connection, duckdb = _connect()
    raw = _read(connection, duckdb, path)
    require_columns(path.name, raw.columns, GPU_COLUMNS)
    numbers = ", ".join(
        f'CAST("{name}" AS DOUBLE) AS {name}' for name in ("hours", "usd_per_hour", "utilization_fraction")
    )
    kind = str(raw.types[raw.columns.index("time_s")])
    time = "time_s" if kind in ("DOUBLE", "BIGINT", "INTEGER") else "epoch(CAST(time_s AS TIMESTAMPTZ))"
    return raw.project(f"{time} AS time_s, CAST(gpu AS VARCHAR) AS gpu, {numbers}")


def _connect() -> tuple[Any, Any]:
    duckdb = require("duckdb", "usage")
    # Nothing is fetched: neither extensions nor settings from the user's home.
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection, duckdb


def _read(connection: Any, duckdb: Any, path: Path) -> Any:
    """The file as it is. DuckDB's own readers take patterns; a file is meant here, so it must be there."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a log")
    if not path.stat().st_size and path.is_file():
        raise UsageError(f"{path.name} is empty")
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    readers = {
        ".csv": connection.read_csv,
        ".tsv": connection.read_csv,
        ".parquet": connection.read_parquet,
        ".json": connection.read_json,
        ".jsonl": connection.read_json,
        ".ndjson": connection.read_json,
    }
    reader = readers.get(kinds[-1] if kinds else "")
    if reader is None:
        raise UsageError(f"{path.name} is of no known kind; known: {', '.join(readers)}")
    try:
        return reader(str(path))
    except duckdb.Error as error:
        raise UsageError(f"{path.name} cannot be read: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What DuckDB complains of, in one line: it quotes the query and gives advice in further ones."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines[1:] if "onvert" in line or "unicode" in line]
    return "; ".join([lines[0], *reasons[:1]]) if lines else type(error).__name__
