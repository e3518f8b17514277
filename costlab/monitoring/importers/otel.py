"""OpenTelemetry of generative AI as JSON: spans, log records and metrics, from a collector's file exporter or an SDK.

`otlp_json` reads the files, `otel_usage` knows what libraries mean by what they write, `otel_records` makes a row of
each span and log record, and `otel_calls` finds the calls that they tell of.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from costlab._internal.extras import extra
from costlab._internal.text import counted
from costlab.errors import LogError
from costlab.events import COLUMNS
from costlab.events.request import Value
from costlab.monitoring.importers.conversion import sql_text
from costlab.monitoring.importers.protocol import LogFormat, LogRows, ReadCounts

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pyarrow

    from costlab.monitoring.importers.log_files import LogFiles
    from costlab.monitoring.importers.otel_calls import Calls
    from costlab.monitoring.importers.otel_records import Records

#: A span, or a part of one, as JSON has it.
Span = Mapping[str, Any]

#: What DuckDB may take of memory while the calls are found, in MB; the rest is on disk.
LIMIT_MB: Final = 64

#: Each reading has a database of its own.
_NUMBERS: Final = count()

#: Rows that DuckDB holds together before it writes them.
ROW_GROUP_SIZE: Final = 30_720

#: How a request is made of a call.
_REQUEST: Final = {
    "request_id": "request_id",
    "time_s": "end_ns / 1e9",
    "tier": "tier",
    "model": "model",
    "input_tokens": "CASE WHEN outcome = 'error' THEN input ELSE coalesce(input, 0) END",
    "cached_input_tokens": "coalesce(cached, 0)",
    "output_tokens": "CASE WHEN outcome = 'error' THEN output ELSE coalesce(output, 0) END",
    "cost_usd": "CASE WHEN outcome = 'cached' THEN coalesce(cost, 0) ELSE cost END",
    "latency_s": "(end_ns - start_ns) / 1e9",
    "outcome": "outcome",
    "tenant": "tenant",
    "provider": "provider",
    "cache_write_tokens": "coalesce(written, 0)",
    "cache_write_1h_tokens": "CASE WHEN written > 0 THEN written_1h ELSE 0 END",  # null is not told
    "audio_input_tokens": "coalesce(audio, 0)",
    "cached_audio_input_tokens": "coalesce(cached_audio, 0)",
    "image_input_tokens": "coalesce(image, 0)",
    "reasoning_tokens": "coalesce(reasoning, 0)",
    "audio_output_tokens": "coalesce(audio_output, 0)",
    "image_output_tokens": "coalesce(image_output, 0)",
    "searches": "coalesce(searches, 0)",
    "service_tier": "coalesce(service_tier, 'standard')",
    "requests": "requests",
}


def looks_like_telemetry(files: LogFiles) -> bool:
    """Whether files are JSON that mentions the conventions near its beginning."""
    head = files.head if files.kind == "json" else ""
    marks = ("gen_ai.", "resourceSpans", "resourceLogs", "resourceMetrics", "openinference.", "langfuse.observation")
    # The first spans of a log need not be those of calls.
    return any(mark in head for mark in marks) or all(mark in head for mark in ('"trace_id"', '"span_id"', '"context"'))


def read_telemetry(files: LogFiles) -> LogRows:
    """The requests that spans, log records and metrics tell of, and notes on what was understood.

    Raises
    ------
    LogError
        If a file is no JSON, more than `max_bad_rows` records cannot be read, or none tells of a call.
    """
    from costlab.monitoring.importers.otel_records import Records

    records = Records(files.options.cached_apart)

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for path in files.paths:
            yield from _batches_of(files, path, records)
        records.add_metrics()
        batch = records.batch()
        if batch is not None:
            yield batch

    database = f"telemetry_{next(_NUMBERS)}"
    file = sql_text(str(files.scratch / database))
    with _apart(files.scratch) as apart:
        apart.execute(f"ATTACH {file} AS {database} (ROW_GROUP_SIZE {ROW_GROUP_SIZE}); USE {database}")
        calls = _calls(apart, batches(), records)
        notes = _notes(apart)
        if records.sums:
            notes += (
                f"{counted(records.sums, 'row is', 'rows are')} what metrics add up to in an hour, by service and "
                "model; where those do not count requests, a row stands for one",
            )
        ((found,),) = apart.execute("SELECT count(*) FROM calls").fetchall()
    connection = files.connection
    connection.execute(f"ATTACH {file} AS {database} (READ_ONLY)")
    if not found:
        first = records.bad[0] if records.bad else None
        raise LogError(f"{first.where}: {first.why}" if first else _nothing(files.name, records))
    columns = ", ".join(f"{sql} AS {name}" for name, sql in _REQUEST.items())
    relation = connection.sql(f"SELECT {columns}, response_id FROM {database}.calls")
    all_records = records.spans + records.logs + records.metrics.points
    summed = records.metrics.points - records.metrics.refused - records.sums
    dropped = {
        "asks no model": all_records
        - records.bad_rows
        - found
        - summed
        - calls.repeated
        - calls.delivered_twice
        - calls.sums,
        "encloses or sums up requests that are counted": calls.sums,
        "points of metrics, which were added up" if records.sums else "points of metrics of known requests": summed,
    }
    read = ReadCounts(
        rows=all_records - found,
        repeated=calls.repeated + calls.delivered_twice,
        dropped={why: number for why, number in dropped.items() if number},
        bad_rows=records.bad_rows,
        bad=tuple(records.bad),
    )
    return LogRows(relation, notes, read)


OTEL_FORMAT: Final = LogFormat(
    "otel",
    "OpenTelemetry of generative AI as JSON: spans, log records and metrics, of a collector or an SDK",
    looks_like_telemetry,
    read_telemetry,
    answer_ids=("response_id",),
)


def span_rows(spans: Iterable[Span], *, cached_apart: bool = False) -> Iterator[dict[str, Value]]:
    """A row, with the fields of :class:`costlab.events.RequestEvent`, for each request that spans tell of.

    Parameters
    ----------
    spans : iterable of mapping
        Spans of whole traces, as OTLP's JSON or an SDK's ``to_json`` has them.
    cached_apart : bool
        Whether their input tokens leave out those read from the prompt cache. The conventions say that they do not.

    Notes
    -----
    Where instrumentations of a framework and of a client both report a request, the inner span counts. The tier is the
    attribute ``costlab.tier``, or the model; the tenant is ``costlab.tenant``, or the service's name; the cost is
    ``costlab.cost_usd``, or what the library tells of it, in USD. The tier of service is as told, in lower case; an
    event takes only those that the catalogue knows.

    Examples
    --------
    An agent's span repeats the tokens of the chat inside it. How many tokens were used?

    >>> chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 400}
    >>> agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 400}
    >>> times = {"start_time": "2026-01-05T10:00:00Z", "end_time": "2026-01-05T10:00:02Z"}
    >>> spans = [
    ...     {"context": {"trace_id": "t", "span_id": "a"}, "parent_id": None, "attributes": agent, **times},
    ...     {"context": {"trace_id": "t", "span_id": "b"}, "parent_id": "a", "attributes": chat, **times},
    ... ]
    >>> [(row["input_tokens"], row["latency_s"]) for row in span_rows(spans)]
    [(400, 2.0)]
    """
    with extra("usage"):
        import duckdb
        import msgspec
    from costlab.monitoring.importers.otel_records import Records
    from costlab.monitoring.importers.otlp_json import Document

    records = Records(cached_apart)
    for span in spans:
        records.add(msgspec.convert(span, Document, strict=False), "spans")
    if records.bad:
        raise LogError(records.bad[0].why)
    connection = duckdb.connect()
    batch = records.batch()
    _calls(connection, iter(() if batch is None else (batch,)), records)
    absent = {name: column.default for name, column in COLUMNS.items() if not column.required}
    found = connection.execute(
        f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in _REQUEST.items())} FROM calls ORDER BY seq"
    )
    names = [one[0] for one in found.description]
    for values in found.fetchall():
        row = dict(zip(names, values, strict=True))
        del row["requests"]
        row["input_tokens"], row["output_tokens"] = row["input_tokens"] or 0, row["output_tokens"] or 0
        row["cache_write_1h_tokens"] = row["cache_write_1h_tokens"] or 0
        yield absent | row


def _batches_of(files: LogFiles, path: Path, records: Records) -> Iterator[pyarrow.RecordBatch]:
    from costlab.monitoring.importers.otlp_json import decode, pieces

    try:
        with files.open(path) as file:
            for line, piece in pieces(file):
                where = f"{path.name} line {line}"
                try:
                    for document in decode(piece):
                        records.add(document, where)
                except LogError as error:
                    records.refuse(where, str(error))
                batch = records.batch(_BATCH_ROWS)
                if batch is not None:
                    yield batch
            batch = records.batch()
            if batch is not None:
                yield batch
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise LogError(f"{path.name} cannot be read: {error}") from error
    except LogError as error:
        raise LogError(f"{path.name} is no JSON: {error}") from error
    except OverflowError as error:
        raise LogError(
            f"{path.name} has a time in nanoseconds, or a count, beyond {2**63 - 1}: times are read until the year 2262"
        ) from error


#: Rows that go to DuckDB together.
_BATCH_ROWS: Final = 4096


def _calls(connection: duckdb.DuckDBPyConnection, batches: Iterator[pyarrow.RecordBatch], records: Records) -> Calls:
    """Make the tables `records` and `calls`."""
    with extra("usage"):
        import duckdb
        import pyarrow
    from costlab.monitoring.importers.otel_calls import find_calls
    from costlab.monitoring.importers.otel_records import arrow_schema, sql_columns

    failure: list[Exception] = []

    def careful() -> Iterator[pyarrow.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            # DuckDB would hand on its text alone.
            failure.append(error)
            raise

    connection.register("incoming", pyarrow.RecordBatchReader.from_batches(arrow_schema(), careful()))
    with _no_garbage():
        try:
            connection.execute(
                f"""CREATE TABLE records AS
                SELECT seq, hash(trace) AS trace, hash(span) AS span,
                    CASE WHEN parent <> '' THEN hash(parent) END AS parent, kind, {sql_columns()},
                    CASE WHEN kind >= 2 THEN trace || '-' || span END AS request_id
                FROM incoming"""
            )
        except (duckdb.Error, pyarrow.ArrowException):
            if failure:
                raise failure[0] from None
            raise
    return find_calls(connection, LIMIT_MB)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Without the collection of reference cycles: there are none, and to look for them takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _apart(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, with little memory, all of which is given back at the end."""
    with extra("usage"):
        import duckdb
    # Rows are made by one thread, and each thread of DuckDB's would keep some of its own.
    config = {"memory_limit": f"{LIMIT_MB}MB", "threads": "1", "temp_directory": str(scratch / "spilled-telemetry")}
    connection = duckdb.connect(config={"preserve_insertion_order": "false", **config})
    try:
        yield connection
    finally:
        connection.close()


def _nothing(name: str, records: Records) -> str:
    parts = [
        counted(number, *what)
        for what, number in (
            (("span",), records.spans),
            (("log record",), records.logs),
            (("point of metrics", "points of metrics"), records.metrics.points),
        )
        if number
    ]
    if not parts:
        return f"{name} has no spans, logs or metrics"
    return f"{name} has {' and '.join(parts)}, none of which asks a model (gen_ai.operation.name)"


def _notes(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """What was understood of the calls, and what they leave open."""
    ((mute, unnamed, told, told_usd, instant, beside),) = connection.execute(
        f"""SELECT count(*) FILTER (input IS NULL AND outcome = 'ok'), count(*) FILTER (model = 'unknown'),
            count(cost), sum(cost),
            count(*) FILTER (outcome = 'ok' AND cost IS NULL AND end_ns > start_ns
                AND output * 1e9 > {IMPOSSIBLE_TOKENS_PER_S} * (end_ns - start_ns)),
            count(*) FILTER (beside = 1)
        FROM calls"""
    ).fetchall()
    notes = []
    if mute:
        notes.append(
            f"{counted(mute, 'answered request tells', 'answered requests tell')} no tokens (a stream that was "
            f"not asked to, say) and {'is' if mute == 1 else 'are'} unpriced"
        )
    if unnamed:
        notes.append(f"{counted(unnamed, 'request names', 'requests name')} no model")
    if told:
        requests = counted(told, "request tells its cost", "requests tell their cost")
        notes.append(f"{requests}, {told_usd:,.6f} USD, which was taken as told")
    if instant:
        so_priced = "it is priced as a call" if instant == 1 else "they are priced as calls"
        notes.append(
            f"{counted(instant, 'request was', 'requests were')} answered at more than {IMPOSSIBLE_TOKENS_PER_S:,} "
            "tokens a second, as no model does: out of the application's own cache, which costs nothing, or its span "
            f"was made afterwards; {so_priced}"
        )
    if beside:
        names = _producers(connection, "beside = 1")
        notes.append(
            f"{counted(beside, 'request has', 'requests have')} the tokens of the prompt cache beside the input "
            f"tokens, to which those were added: {names}"
        )
    # Who never tells cached tokens, of models that may have read some: no one caches short prompts.
    silent = connection.execute(
        f"""SELECT producer, provider, count(*) FROM calls
        WHERE input IS NOT NULL AND cost IS NULL AND outcome = 'ok'
        GROUP BY producer, provider
        HAVING max(input) >= {MIN_CACHED_TOKENS} AND count(cached) = 0 AND count(written) = 0 ORDER BY ALL"""
    ).fetchall()
    for producer, provider, requests in silent:
        to = f" to {provider}" if provider else ""
        notes.append(
            f"{producer or 'a library that is not named'} tells nothing of the provider's prompt cache: "
            f"{counted(requests, f'request{to} is', f'requests{to} are')} priced as if it had not been used"
        )
    # Who tells what was read from the cache and never what was written to it, of models that ask more for that.
    # LangChain may tell it of some calls, and a zero of others.
    written = connection.execute(
        """SELECT producer, provider, count(*) FILTER (cached IS NOT NULL AND written IS NULL) AS unknown FROM calls
        WHERE input IS NOT NULL AND cost IS NULL AND outcome = 'ok' AND contains(lower(model), 'claude')
        GROUP BY producer, provider
        HAVING unknown > 0 AND (count(written) = 0 OR contains(producer, 'langchain')) ORDER BY ALL"""
    ).fetchall()
    for producer, provider, requests in written:
        to = f" to {provider}" if provider else ""
        notes.append(
            f"writes unknown: {producer or 'a library that is not named'} does not tell what "
            f"{counted(requests, f'request{to}', f'requests{to}')} wrote to the provider's prompt cache; that is "
            "priced as other input, which costs less"
        )
    return tuple(notes)


#: Beyond any model: the fastest of 2026 is said to write 17,000 tokens a second to one reader (Taalas, of its HC1).
IMPOSSIBLE_TOKENS_PER_S: Final = 100_000

#: Providers cache no shorter prompts: OpenAI's documentation of prompt caching, and Anthropic's for most models.
MIN_CACHED_TOKENS: Final = 1024


def _producers(connection: duckdb.DuckDBPyConnection, where: str, most: int = 3) -> str:
    """The libraries of some calls, in words."""
    names = [
        name or "a library that is not named"
        for (name,) in connection.execute(
            f"SELECT producer FROM calls WHERE {where} GROUP BY producer ORDER BY count(*) DESC, producer"
        ).fetchall()
    ]
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)
