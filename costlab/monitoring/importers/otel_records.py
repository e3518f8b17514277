"""Spans and log records as rows: one each, with what it says of a call of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from costlab._internal.extras import extra
from costlab.catalog.model_ids import is_own_server
from costlab.errors import InvalidValueError
from costlab.monitoring.importers.otel_usage import (
    CALL,
    KNOWN,
    OTHER,
    SUM,
    Attribute,
    cost_of,
    family,
    is_plain,
    kind_of,
    plain_tokens,
    server_of,
    service_tier_of,
    tokens_of,
)
from costlab.monitoring.importers.protocol import BadRow

if TYPE_CHECKING:
    import pyarrow

    from costlab.monitoring.importers.otlp_json import Document, Group, KeyValue, Span

#: The columns of a row and their types: where a record stands in the log; which span it is, and which encloses it; what
#: it is; and, of calls and of what sums them up, what it says. `pair` is what the two records of a call by Logfire have
#: in common, `half` which of them it is.
COLUMNS: Final = {
    "seq": "int64",
    "trace": "string",
    "span": "string",
    "parent": "string",
    "kind": "int8",
    "producer": "string",
    "start_ns": "int64",
    "end_ns": "int64",
    "outcome": "string",
    "model": "string",
    "family": "string",
    "provider": "string",
    "response_id": "string",
    "input": "int64",
    "output": "int64",
    "cached": "int64",
    "written": "int64",
    "written_1h": "int64",
    "audio": "int64",
    "cached_audio": "int64",
    "image": "int64",
    "reasoning": "int64",
    "audio_output": "int64",
    "image_output": "int64",
    "searches": "int64",
    "beside": "bool",
    "service_tier": "string",
    "cost": "float64",
    "tenant": "string",
    "tier": "string",
    "half": "string",
    "pair": "string",
}

Row = tuple[object, ...]
Found = dict[str, Attribute]

#: What a row of no interest has in place of what a call says.
_NOTHING: Final = (None,) * (len(COLUMNS) - 5)

#: Rows that become an Arrow batch together.
_BATCH_ROWS: Final = 8192


@dataclass(slots=True)
class Records:
    """What became of the spans and log records so far, and how the next are read."""

    cached_apart: bool = False
    spans: int = 0
    logs: int = 0
    unknown_events: int = 0
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    _plans: dict[tuple[str, ...], _Plan] = field(default_factory=dict)

    def refuse(self, where: str, why: str, shown: int = 5) -> None:
        """Count a record that cannot be read."""
        self.bad_rows += 1
        if len(self.bad) < shown:
            self.bad.append(BadRow(where, why))

    def batches(self, rows: Iterable[Row]) -> Iterator[pyarrow.RecordBatch]:
        """Rows as Arrow batches."""
        collected: list[Row] = []
        for row in rows:
            collected.append(row)
            if len(collected) == _BATCH_ROWS:
                yield _batch(collected)
                collected.clear()
        if collected:
            yield _batch(collected)

    def rows(self, document: Document, where: str) -> Iterator[Row]:
        """A row for each span and each log record that tells of a call."""
        if document.resourceSpans is not None:
            for group in document.resourceSpans:
                yield from self._group(group, where)
        if document.resourceLogs is not None:
            for group in document.resourceLogs:
                yield from self._logs(group, where)
        if document.context is not None:
            yield self._sdk_span(document, where)
        elif document.traceId and document.spanId:
            from costlab.monitoring.importers.otlp_json import Span

            attributes = document.attributes
            span = Span(
                document.traceId, document.spanId, document.parentSpanId, document.name, document.startTimeUnixNano,
                document.endTimeUnixNano, attributes if isinstance(attributes, list) else None, None,
            )  # fmt: skip
            yield self._otlp_span(span, "", {}, where)
        elif document.timestamp is not None or document.observed_timestamp is not None:
            yield from self._sdk_log(document, where)

    def _group(self, group: Group, where: str) -> Iterator[Row]:
        base = _of_pairs(group.resource.attributes if group.resource else None)
        for scoped in group.scopeSpans:
            producer = (scoped.scope.name if scoped.scope else None) or ""
            for span in scoped.spans:
                yield self._otlp_span(span, producer, base, where)

    def _otlp_span(self, span: Span, producer: str, base: Found, where: str) -> Row:
        self.spans += 1
        seq = self.spans + self.logs
        attributes = span.attributes
        kind, found, plain = OTHER, None, False
        if attributes:
            # A library names few sets of attributes, and a set says where in it to look.
            names = (producer, *[pair.key for pair in attributes])
            plan = self._plans.get(names)
            if plan is None:
                plan = self._plans[names] = _Plan.of(names)
            if plan.picks:
                found, plain = plan.found(attributes), plan.plain
                kind = kind_of(found)
        place = (seq, span.traceId, span.spanId, span.parentSpanId or "", kind)
        if found is None or (kind != CALL and not (kind == SUM and ("input" in found or "usage_text" in found))):
            return place + _NOTHING
        try:
            start, end = span.startTimeUnixNano, span.endTimeUnixNano
            if start is None or end is None:
                raise ValueError(f"it has no {'start' if start is None else 'end'} time")
            failed = span.status is not None and span.status.code in (2, "2", "STATUS_CODE_ERROR")
            return place + self._call(found, base, producer or span.name, start, end, failed=failed, plain=plain)
        except (InvalidValueError, ValueError) as error:
            self.refuse(where, f"span {span.spanId}: {error}")
            return (*place[:4], OTHER, *_NOTHING)

    def _sdk_span(self, span: Document, where: str) -> Row:
        self.spans += 1
        context = span.context
        assert context is not None
        attributes = span.attributes if isinstance(span.attributes, dict) else {}
        found = _of_mapping(attributes)
        kind = kind_of(found) if found else OTHER
        place = (self.spans + self.logs, context.trace_id, context.span_id, span.parent_id or "", kind)
        if kind != CALL and not (kind == SUM and ("input" in found or "usage_text" in found)):
            return place + _NOTHING
        try:
            start, end = _iso_nanoseconds(span.start_time, "start"), _iso_nanoseconds(span.end_time, "end")
            failed = span.status is not None and span.status.status_code == "ERROR"
            resource = (span.resource.attributes if span.resource else None) or {}
            # The console exporter leaves the library out; the first word of a span's name stands for it.
            producer = "claude_code" if span.name.startswith("claude_code") else span.name.partition(" ")[0]
            return place + self._call(found, _of_mapping(resource), producer, start, end, failed=failed)
        except (InvalidValueError, ValueError) as error:
            self.refuse(where, f"span {context.span_id}: {error}")
            return (*place[:4], OTHER, *_NOTHING)

    def _logs(self, group: Group, where: str) -> Iterator[Row]:
        base = _of_pairs(group.resource.attributes if group.resource else None)
        for scoped in group.scopeLogs:
            producer = (scoped.scope.name if scoped.scope else None) or ""
            for record in scoped.logRecords:
                body = record.body.stringValue if record.body else None
                found = _of_pairs(record.attributes)
                times = (record.timeUnixNano, record.observedTimeUnixNano)
                end = next((time for time in times if time), None)
                name = str(found.get("event") or record.eventName or body or "")
                yield from self._event(
                    name, base, found, producer, end, (record.traceId or "", record.spanId or ""), where
                )

    def _sdk_log(self, record: Document, where: str) -> Iterator[Row]:
        attributes = record.attributes if isinstance(record.attributes, dict) else {}
        found = _of_mapping(attributes)
        name = str(found.get("event") or record.event_name or record.body or "")
        try:
            end = _iso_nanoseconds(record.timestamp or record.observed_timestamp, "end")
        except ValueError as error:
            self.refuse(where, f"a log record: {error}")
            return
        resource = (record.resource.attributes if record.resource else None) or {}
        yield from self._event(
            name, _of_mapping(resource), found, "", end, (record.trace_id or "", record.span_id or ""), where
        )

    def _event(
        self, name: str, base: Found, found: Found, producer: str, end: int | None, ids: tuple[str, str], where: str
    ) -> Iterator[Row]:
        """The row of a log record that tells of a call: of a coding agent, or as the conventions have it."""
        self.logs += 1
        seq = self.spans + self.logs
        short = name.rpartition(".")[2]
        failed = short == "api_error"
        service = str(base.get("tenant", ""))
        told = "input" in found or "output" in found
        if name.startswith("codex."):
            # Its "tool tokens" are the sum of all.
            told = told and found.get("event_kind") == "response.completed"
            found.pop("tool_input", None)
        elif name == "gen_ai.client.inference.operation.details" and service in ("gemini-cli", "qwen-code"):
            told = False  # says once more what <agent>.api_response says
        if not told and not (failed and "model" in found):
            self.unknown_events += 1
            return
        try:
            if end is None:
                end = _iso_nanoseconds(str(found.get("event_time")), "end")
            milliseconds = found.get("duration_ms")
            start = end - int(float(milliseconds) * 1e6) if milliseconds is not None else end
            if short == "api_request":
                producer, found["provider"] = "com.anthropic.claude_code", found.get("provider", "anthropic")
            elif "provider" not in found:
                found["provider"] = (
                    "google" if "api_response" in name else "openai" if name.startswith("codex.") else ""
                )
            trace, span = ids
            session, sequence = (found.get(one) for one in ("session", "sequence"))
            if session is not None and sequence is not None:
                trace, span = str(session), f"event-{sequence}"
            elif not trace or not span or not name.startswith("gen_ai."):
                trace, span = trace or "log", f"record-{seq}"
            row = self._call(found, base, producer or name, start, end, failed=failed)
        except (InvalidValueError, ValueError, TypeError) as error:
            self.refuse(where, f"{name or 'a log record'}: {error}")
            return
        yield (seq, trace, span, "", CALL, *row)

    def _call(
        self, found: Found, base: Found, producer: str, start: int, end: int, *, failed: bool, plain: bool = False
    ) -> Row:
        get = found.get
        model = str(get("model", "unknown"))
        provider = server_of(str(get("provider", "")), str(get("address", "")), model)
        tokens = plain_tokens(found) if plain and not self.cached_apart else None
        if tokens is None:
            tokens = tokens_of(found, producer, provider, apart=self.cached_apart)
        cost = cost_of(found) if "cost" in found or "cost_text" in found else None
        if failed or "error" in found or get("success") in (False, "false"):
            outcome = "error"
        else:
            outcome = "cached" if get("cache_hit") in (True, "True", "true") else "ok"
            if cost == 0 and tokens[0] and outcome == "ok" and not is_own_server(provider):
                cost = None  # as gateways write it that have no price
        half = pair = None
        if "logfire_type" in found:
            half = str(found["logfire_type"])
            pair = f"{base.get('instance', '')} {get('logfire_request', '')}"
            if half == "log" and "duration_s" in found:
                start = end - int(float(found["duration_s"]) * 1e9)  # type: ignore[arg-type]
        tier = get("tier", base.get("tier"))
        tenant = get("tenant", base.get("tenant"))
        response_id = get("response_id")
        return (
            producer, start, end if end > start else start, outcome, model, family(model), provider,
            None if response_id is None else str(response_id), *tokens, service_tier_of(found), cost,
            "" if tenant is None else str(tenant), model if tier is None else str(tier), half, pair,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where in attributes of certain names the known ones stand, and whether they are plain."""

    picks: tuple[tuple[str, int], ...]
    plain: bool

    @classmethod
    def of(cls, names: tuple[str, ...]) -> _Plan:
        best: dict[str, tuple[int, int]] = {}
        for place, name in enumerate(names[1:]):
            hit = KNOWN.get(name)
            if hit is not None and best.get(hit[0], (99, 0))[0] > hit[1]:
                best[hit[0]] = (hit[1], place)
        return cls(tuple((what, place) for what, (_, place) in best.items()), is_plain(best, names[0]))

    def found(self, attributes: list[KeyValue]) -> Found:
        found: Found = {}
        for what, place in self.picks:
            value = attributes[place].value
            one: Attribute = value.stringValue
            if one is None:
                one = value.intValue
                if one is None:
                    one = value.doubleValue if value.doubleValue is not None else value.boolValue
                    if one is None:
                        continue
            elif not one:
                continue
            found[what] = one
        return found


def _of_pairs(attributes: list[KeyValue] | None) -> Found:
    """The values of OTLP's attributes by what they tell."""
    if not attributes:
        return {}
    return _Plan.of(("", *[pair.key for pair in attributes])).found(attributes)


def _of_mapping(attributes: Mapping[str, object]) -> Found:
    """The values of attributes by what they tell."""
    found: Found = {}
    ranks: dict[str, int] = {}
    for name, value in attributes.items():
        hit = KNOWN.get(name)
        if hit is not None and value is not None and value != "" and ranks.get(hit[0], 99) > hit[1]:
            if isinstance(value, str | int | float | bool):
                found[hit[0]] = value
                ranks[hit[0]] = hit[1]
    return found


def _iso_nanoseconds(value: str | None, what: str) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1e6) * 1000  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"it has no {what} time") from None


def _batch(rows: list[Row]) -> pyarrow.RecordBatch:
    with extra("usage"):
        import pyarrow
    schema = arrow_schema()
    columns = zip(*rows, strict=True)
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(column, one.type) for column, one in zip(columns, schema, strict=True)], schema=schema
    )


def arrow_schema() -> pyarrow.Schema:
    """The columns of the rows."""
    with extra("usage"):
        import pyarrow
    types = {
        "int8": pyarrow.int8(), "int64": pyarrow.int64(), "float64": pyarrow.float64(), "string": pyarrow.string(),
        "bool": pyarrow.bool_(),
    }  # fmt: skip
    return pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
