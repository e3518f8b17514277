"""OpenTelemetry spans of generative AI, as JSON: from a collector's file exporter or an SDK's console exporter."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from costlab._internal.extras import extra
from costlab.errors import LogError
from costlab.events import COLUMNS, arrow_schema, micro_usd
from costlab.events.request import Value
from costlab.monitoring.importers.protocol import LogFormat, LogRows

if TYPE_CHECKING:
    from costlab.monitoring.importers.log_files import LogFiles

#: A span, or a part of one, as JSON has it.
Span = Mapping[str, Any]

#: Operations that ask a model for something. Spans of agents, tools and workflows enclose such spans and repeat their
#: tokens.
INFERENCE: Final = ("chat", "text_completion", "generate_content", "embeddings")

#: Names of the conventions, the present one first; then those of older instrumentations.
INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
CACHED: Final = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
COST: Final = ("costlab.cost_usd", "gen_ai.usage.cost")
MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model")


def looks_like_spans(files: LogFiles) -> bool:
    """Whether files are JSON that mentions the conventions near its beginning."""
    return files.kind == "json" and ("gen_ai." in files.head or "resourceSpans" in files.head)


def read_spans(files: LogFiles) -> LogRows:
    """The requests in files of spans, and notes on what was left out.

    Raises
    ------
    LogError
        If a file is no JSON, or none holds a span of a model.
    """
    with extra("usage"):
        import pyarrow
    try:
        spans = [span for path in files.paths for document in _documents(path) for span in _spans(document)]
        rows = list(span_rows(spans, cached_apart=files.options.cached_apart))
    except LogError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Any part of a foreign file may be of another kind than the conventions say.
        raise LogError(f"{files.name} is not written as OpenTelemetry does: {error}") from error
    if not rows:
        raise LogError(f"{files.name} has {len(spans)} spans, none of which asks a model (gen_ai.operation.name)")
    mute = sum(row["input_tokens"] == 0 and row["outcome"] == "ok" for row in rows)
    notes = [f"{len(spans) - len(rows):,} of {len(spans):,} spans ask no model, or enclose one that does"]
    if mute:
        notes.append(f"{mute:,} answered spans tell no tokens; they cannot be priced")
    return LogRows(files.connection.from_arrow(pyarrow.Table.from_pylist(rows, schema=arrow_schema())), tuple(notes))


def span_rows(spans: Iterable[Span], *, cached_apart: bool = False) -> Iterator[dict[str, Value]]:
    """A row, with the fields of :class:`costlab.events.RequestEvent`, for each span that asks a model.

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
    ``costlab.cost_usd`` or ``gen_ai.usage.cost``, in USD, where there is one.

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
    known = {span_key(span): (span, _attributes(span)) for span in spans}
    parents = {key: (key[0], str(_first(span, "parentSpanId", "parent_id") or "")) for key, (span, _) in known.items()}
    models = {key for key, (_, attributes) in known.items() if _asks_model(attributes)}
    enclosing: set[tuple[str, str]] = set()
    for key in models:
        parent = parents[key]
        while parent in parents and parent not in enclosing:
            enclosing.add(parent)
            parent = parents[parent]
    for key, (span, attributes) in known.items():
        if key in models and key not in enclosing:
            yield _row(key, span, attributes, cached_apart)


def span_key(span: Span) -> tuple[str, str]:
    """Trace and span, which name a span together."""
    context = span.get("context") or span
    return str(_first(context, "traceId", "trace_id") or ""), str(_first(context, "spanId", "span_id") or "")


def _asks_model(attributes: Span) -> bool:
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return operation in INFERENCE
    return any(name in attributes for name in INPUT)  # older than the attribute


def _row(key: tuple[str, str], span: Span, attributes: Span, apart: bool) -> dict[str, Value]:
    model = _first(attributes, *MODEL)
    if model is None:
        raise LogError(f"span {key[1]} of trace {key[0]} names no model (gen_ai.request.model)")
    start, end = (_time(span, name) for name in ("start", "end"))
    tokens_in, tokens_out, cached = (_count(key, attributes, names) for names in (INPUT, OUTPUT, CACHED))
    status = span.get("status") or {}
    failed = status.get("code") in (2, "STATUS_CODE_ERROR") or status.get("status_code") == "ERROR"
    cost = _first(attributes, *COST)
    return {
        **{name: column.default for name, column in COLUMNS.items() if not column.required},
        "request_id": "-".join(key),
        "time_s": end,
        "tier": str(attributes.get("costlab.tier", model)),
        "model": str(model),
        "input_tokens": tokens_in + (cached if apart else 0),
        "cached_input_tokens": cached,
        "output_tokens": tokens_out,
        "cost_micro_usd": None if cost is None else micro_usd("cost_usd", float(cost)),
        "latency_s": max(0.0, end - start),
        "outcome": "error" if failed or "error.type" in attributes else "ok",
        "tenant": str(_first(attributes, "costlab.tenant", "service.name") or ""),
    }


def _count(key: tuple[str, str], attributes: Span, names: tuple[str, ...]) -> int:
    value = _first(attributes, *names)
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        raise LogError(f"span {key[1]}: {names[0]} must be a whole number, got {value!r}") from None


def _time(span: Span, end: str) -> float:
    nanoseconds = _first(span, f"{end}TimeUnixNano", f"{end}_time_unix_nano")
    try:
        if nanoseconds is not None:
            return int(nanoseconds) / 1e9
        return datetime.fromisoformat(span[f"{end}_time"]).timestamp()
    except (KeyError, TypeError, ValueError):
        raise LogError(f"span {span_key(span)[1]} has no {end} time") from None


def _attributes(span: Span) -> Span:
    """Attributes as a plain mapping, those of the resource below them."""
    attributes: dict[str, object] = {}
    for holder in (span.get("resource") or {}, span):
        own = holder.get("attributes") or {}
        pairs = own.items() if isinstance(own, Mapping) else ((pair["key"], _value(pair["value"])) for pair in own)
        attributes.update(pairs)
    return attributes


def _value(value: Span) -> object:
    """OTLP writes a value with its kind: {"intValue": "123"}."""
    kind, plain = next(iter(value.items()), ("", None))
    return int(str(plain)) if kind == "intValue" else plain


def _first(values: Span, *names: str) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _documents(path: Path) -> Iterator[object]:
    """One JSON document, or one a line."""
    try:
        with _open(path) as file:
            head = file.readline()
            try:
                yield json.loads(head)
            except json.JSONDecodeError:
                yield json.loads(head + file.read())
                return
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LogError(f"{path.name} is no JSON: {error}") from error
    except RecursionError:
        raise LogError(f"{path.name} is nested too deeply") from None


def _open(path: Path, errors: str = "strict") -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors=errors)
    return path.open(encoding="utf-8-sig", errors=errors)


def _spans(document: object) -> Iterator[Span]:
    if isinstance(document, list):
        for part in document:
            yield from _spans(part)
    elif isinstance(document, dict) and "resourceSpans" in document:
        for group in document["resourceSpans"]:
            for scope in group.get("scopeSpans", ()):
                for span in scope.get("spans", ()):
                    yield {**span, "resource": group.get("resource")}
    elif isinstance(document, dict):
        yield document


OTEL_FORMAT: Final = LogFormat("otel", "OpenTelemetry spans of generative AI, as JSON", looks_like_spans, read_spans)
