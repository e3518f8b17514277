"""Usage logs that people already have, read into the columns of :class:`costlab.events.RequestEvent`.

CSV, Parquet and JSON with a mapping of columns, spend logs of LiteLLM, and OpenTelemetry spans of generative AI. DuckDB
reads the files, so that a log need not fit into memory. A further format is one more entry of :data:`READERS`, and the
function that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import LogError
from costlab.events import COLUMNS, micro_usd_column
from costlab.monitoring.gpu_hours import GPU_COLUMNS
from costlab.monitoring.otel_spans import looks_like_spans, read_spans
from costlab.monitoring.usage import require_columns

if TYPE_CHECKING:
    import duckdb

#: Amounts in USD that a file may have for ours in micro-dollars.
IN_USD: Final = {name.replace("_micro_usd", "_usd"): name for name in COLUMNS if name.endswith("_micro_usd")}

#: What a file may call its columns: the fields of an event, and what stands in for one of them.
FIELDS: Final = (*COLUMNS, *IN_USD, "latency_ms")

#: What every version of LiteLLM's table has.
LITELLM_COLUMNS: Final = ("request_id", "spend", "prompt_tokens", "completion_tokens", "startTime", "model")

#: Where versions keep the tokens that the provider read from its prompt cache. They repeat one another, so the first
#: that is there counts; adding them up would count the tokens twice.
LITELLM_CACHED: Final = (
    "$.usage_object.prompt_tokens_details.cached_tokens",
    "$.usage_object.cache_read_input_tokens",
    "$.additional_usage_values.prompt_tokens_details.cached_tokens",
    "$.additional_usage_values.cache_read_input_tokens",
)


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

    frame: duckdb.DuckDBPyRelation
    format: str
    notes: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection


@dataclass(frozen=True)  # without slots, which would leave no place for what is cached
class LogFile:
    """A file that a reader of :data:`READERS` reads.

    Attributes
    ----------
    path : Path
        The file.
    connection : duckdb.DuckDBPyConnection
        What its rows are to belong to.
    columns, cached_apart
        As in :func:`open_log`; the mapping is empty where there is none.
    """

    path: Path
    connection: duckdb.DuckDBPyConnection
    columns: Mapping[str, str]
    cached_apart: bool

    @cached_property
    def table(self) -> duckdb.DuckDBPyRelation:
        """The file as DuckDB reads it."""
        return _read(self.connection, self.path)

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB's types of its columns, by name."""
        return dict(zip(self.table.columns, map(str, self.table.types), strict=True))

    def select(self, sql: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
        """The table with other columns: name and expression of each."""
        return self.table.project(", ".join(f"{expression} AS {name}" for name, expression in sql.items()))


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

    Raises
    ------
    LogError
        If the file is of no known kind, cannot be parsed, or lacks a column; the message names the columns.
    UnknownNameError
        If `format` or a field in `columns` is none of ours.
    OSError
        If there is no such file.
    """
    if format is not None:
        checks.one_of("format", format, READERS)
    for field in columns or ():
        checks.one_of("field", field, FIELDS)
    file = LogFile(Path(path), _connect(), columns or {}, cached_apart)
    name = format or (_looks_like(file) if columns is None else "columns")
    relation, notes = READERS[name](file)
    return UsageLog(_in_micro_usd(relation), name, notes, file.connection)


def _looks_like(file: LogFile) -> str:
    """The format of a file for which neither a format nor columns were named."""
    if looks_like_spans(file.path):
        return "otel"
    return "litellm" if {"spend", "startTime"} <= file.types.keys() else "columns"


def open_gpu_hours(path: Path | str) -> duckdb.DuckDBPyRelation:
    """A log of GPU hours from a file, as a DuckDB relation.

    Parameters
    ----------
    path : path
        A file of a kind that :func:`open_log` takes, with the columns of ``costlab.monitoring.GPU_COLUMNS``.

    Raises
    ------
    LogError
        If it cannot be read or lacks a column.
    OSError
        If there is no such file.
    """
    path = Path(path)
    raw = _read(_connect(), path)
    require_columns(path.name, raw.columns, GPU_COLUMNS)
    time = seconds_sql('"time_s"', str(raw.types[raw.columns.index("time_s")]))
    numbers = ", ".join(f'CAST("{name}" AS DOUBLE) AS {name}' for name in GPU_COLUMNS[2:])
    return raw.project(f"{time} AS time_s, CAST(gpu AS VARCHAR) AS gpu, {numbers}")


def _connect() -> duckdb.DuckDBPyConnection:
    with extra("usage"):
        import duckdb
    # Nothing is fetched: neither extensions nor settings from the user's home.
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """The file as it is. DuckDB's own readers take patterns; a file is meant here, so it must be there."""
    import duckdb

    if path.is_dir():
        raise LogError(f"{path} is a folder, not a log")
    if not path.stat().st_size and path.is_file():
        raise LogError(f"{path.name} is empty")
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    readers: dict[str, Callable[[str], duckdb.DuckDBPyRelation]] = {
        ".csv": connection.read_csv,
        ".tsv": connection.read_csv,
        ".parquet": connection.read_parquet,
        ".json": connection.read_json,
        ".jsonl": connection.read_json,
        ".ndjson": connection.read_json,
    }
    reader = readers.get(kinds[-1] if kinds else "")
    if reader is None:
        raise LogError(f"{path.name} is of no known kind; known: {', '.join(readers)}")
    try:
        return reader(str(path))
    except duckdb.Error as error:
        raise LogError(f"{path.name} cannot be read: {duckdb_reason(error)}") from error


def duckdb_reason(error: Exception) -> str:
    """What DuckDB complains of, in one line: it quotes the query and gives advice in further ones."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines[1:] if "onvert" in line or "unicode" in line]
    return "; ".join([lines[0], *reasons[:1]]) if lines else type(error).__name__


def _in_micro_usd(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With the amounts in USD as whole micro-dollars."""
    with extra("usage"):
        import narwhals as nw
    amounts = {exact: name for name, exact in IN_USD.items() if name in relation.columns}
    if not amounts:
        return relation
    exact = {name: micro_usd_column(nw.col(usd)) for name, usd in amounts.items()}
    return nw.from_native(relation).with_columns(**exact).drop(*amounts.values()).to_native()


def sql_identifier(name: str) -> str:
    """A column's name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def seconds_sql(column: str, kind: str) -> str:
    """SQL for a time in seconds since 1970 UTC, from a number, a time stamp or a text."""
    numbers = ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "UINTEGER", "UBIGINT", "HUGEINT")
    if kind in numbers or kind.startswith("DECIMAL"):
        return f"CAST({column} AS DOUBLE)"
    return f"epoch(CAST({column} AS TIMESTAMPTZ))"


def standard_sql(
    file: str, types: Mapping[str, str], columns: Mapping[str, str], *, cached_apart: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The SQL of each standard column, or of the amount in USD that stands for it, and notes on what was assumed."""
    require_columns(file, list(types), tuple(columns.values()))
    # A column counts under its own name unless another was named for the field, or it was named for another.
    names = {field: field for field in FIELDS if field in types and field not in columns.values()} | dict(columns)
    hint = "map columns with --column" if not columns else "map more columns with --column"
    require_columns(file, [*types, *columns], ("time_s", "model", "input_tokens", "output_tokens"), hint)
    sql: dict[str, str] = {}
    for field, name in names.items():
        column, kind = sql_identifier(name), types[name]
        if field == "time_s":
            sql[field] = seconds_sql(column, kind)
        elif field == "latency_ms":
            sql["latency_s"] = f"CAST({column} AS DOUBLE) / 1000"
        elif field in IN_USD:
            if IN_USD[field] not in names:
                sql[field] = f"CAST({column} AS DOUBLE)"
        elif COLUMNS[field].type is str:
            sql[field] = f"CAST({column} AS VARCHAR)"
        elif COLUMNS[field].type is float:
            sql[field] = f"CAST({column} AS DOUBLE)"
        else:
            sql[field] = column if "INT" in kind or kind in ("DOUBLE", "FLOAT") else f"CAST({column} AS BIGINT)"
    notes = []
    if not sql.keys() & {"cost_micro_usd", "cost_usd"}:
        sql["cost_micro_usd"] = "CAST(NULL AS BIGINT)"
        notes.append("the file has no costs")
    if "tier" not in sql:
        sql["tier"] = sql["model"]
        notes.append("the file names no tiers; the model stands for the tier")
    if cached_apart and "cached_input_tokens" in sql:
        sql["input_tokens"] = f"({sql['input_tokens']} + coalesce({sql['cached_input_tokens']}, 0))"
        notes.append("cached input tokens were counted apart and are added to the input tokens")
    if "cached_input_tokens" in sql:
        sql["cached_input_tokens"] = f"coalesce({sql['cached_input_tokens']}, 0)"
    if "outcome" in sql:
        sql["outcome"] = f"coalesce({sql['outcome']}, 'ok')"
    return sql, tuple(notes)


def litellm_sql(types: Mapping[str, str], *, cached_apart: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """As :func:`standard_sql`, for a spend log of LiteLLM's proxy: LiteLLM_SpendLogs, as CSV, Parquet or JSON.

    Notes
    -----
    LiteLLM writes a spend of 0 for a model that it has no price for. A spend of 0 for an answer with tokens that did
    not come from its cache is therefore no cost at all: unknown, to be priced from the catalogue or reported as
    unpriced. `cache_hit` speaks of LiteLLM's own response cache, not of the provider's prompt cache.
    """

    def has(name: str) -> bool:
        return name in types

    def text(name: str) -> str:
        return f"nullif(CAST(\"{name}\" AS VARCHAR), '')" if has(name) else "NULL"

    cached = "0"
    if has("metadata"):
        meta = "TRY_CAST(metadata AS JSON)"
        reads = [f"TRY_CAST({meta}->>'{path}' AS BIGINT)" for path in LITELLM_CACHED]
        # A zero in one place may stand beside the count in another.
        cached = f"greatest({', '.join(reads)}, 0)"
    spend, tokens_in, tokens_out = (
        f"coalesce(CAST({name} AS {kind}), 0)"
        for name, kind in (("spend", "DOUBLE"), ("prompt_tokens", "BIGINT"), ("completion_tokens", "BIGINT"))
    )
    hit = f"lower(coalesce({text('cache_hit')}, '')) = 'true'"
    failed = f"coalesce({text('status')}, 'success') = 'failure'"
    start = seconds_sql('"startTime"', types["startTime"])
    end = start
    if has("endTime"):
        end = "coalesce({}, {})".format(seconds_sql('"endTime"', types["endTime"]), start)
    model = "coalesce(nullif(CAST(model AS VARCHAR), ''), 'unknown')"
    if has("custom_llm_provider"):
        # "azure/gpt-4o" at azure is gpt-4o.
        prefix = f"{text('custom_llm_provider')} || '/'"
        model = f"CASE WHEN starts_with({model}, {prefix}) THEN substr({model}, length({prefix}) + 1) ELSE {model} END"
    all_input = f"{tokens_in} + {cached}" if cached_apart else tokens_in
    columns = {
        "request_id": "CAST(request_id AS VARCHAR)",
        "time_s": end,
        "tier": f"coalesce({text('model_group')}, {model})",
        "model": model,
        "input_tokens": all_input,
        "cached_input_tokens": cached,
        "output_tokens": tokens_out,
        "cost_usd": (
            f"CASE WHEN {spend} = 0 AND {tokens_in} + {tokens_out} > 0 AND NOT {hit} AND NOT {failed} THEN NULL "
            f"ELSE {spend} END"
        ),
        "latency_s": f"greatest(0, {end} - {start})" if has("endTime") else "CAST(NULL AS DOUBLE)",
        "outcome": f"CASE WHEN {hit} THEN 'cached' WHEN {failed} THEN 'error' ELSE 'ok' END",
        "tenant": f"coalesce({text('team_id')}, {text('end_user')}, {text('user')}, '')",
    }
    return columns, ("a spend of 0 for an answer that was not in LiteLLM's cache counts as unknown, not as free",)


def _read_columns(file: LogFile) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]:
    sql, notes = standard_sql(file.path.name, file.types, file.columns, cached_apart=file.cached_apart)
    return file.select(sql), notes


def _read_litellm(file: LogFile) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]:
    require_columns(file.path.name, list(file.types), LITELLM_COLUMNS)
    sql, notes = litellm_sql(file.types, cached_apart=file.cached_apart)
    return file.select(sql), notes


def _read_otel(file: LogFile) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]:
    table, notes = read_spans(file.path, cached_apart=file.cached_apart)
    return file.connection.from_arrow(table), notes


#: Each format, and what reads it: `columns` are the package's own names, or others with a mapping; `litellm` is the
#: table LiteLLM_SpendLogs; `otel` are spans as JSON. A reader gives the rows, and notes on what was understood or left
#: out. Of the columns of :class:`costlab.events.RequestEvent` it must give `time_s`, `tier`, `model`, `input_tokens`,
#: `output_tokens`, and `cost_micro_usd` or `cost_usd` (null where unknown); what else it knows of, under those names.
#: A format that is to be found without ``--format`` has its mark in :func:`_looks_like`.
READERS: Final[Mapping[str, Callable[[LogFile], tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]]]] = {
    "columns": _read_columns,
    "litellm": _read_litellm,
    "otel": _read_otel,
}
FORMATS: Final = tuple(READERS)
