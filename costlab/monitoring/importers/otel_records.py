"""Spans and log records as rows: one each, with what it says of a call of a model."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from costlab._internal.extras import extra
from costlab.catalog import is_own_server
from costlab.errors import InvalidValueError
from costlab.events import micro_usd
from costlab.monitoring.importers.otel_metrics import Metrics
from costlab.monitoring.importers.otel_usage import (
    CALL,
    KNOWN,
    OTHER,
    SUM,
    Attribute,
    cost_of,
    family,
    is_plain,
    is_replayed,
    kind_of,
    server_of,
    service_tier_of,
    thinks_beside,
    tokens_of,
)
from costlab.monitoring.importers.otlp_json import AnyValue, Document, KeyValue, ResourceGroup, SdkContext, Span, Status
from costlab.monitoring.importers.protocol import BadRow

if TYPE_CHECKING:
    import pyarrow

#: What a row has: where in the log the record is; which span it is, and which encloses it; what it is; and, of
#: calls and of what sums them up, what it says.
_ROW: Final = {
    "seq": "int64",
    "trace": "string",
    "span": "string",
    "parent": "string",
    "kind": "int8",
    "start_ns": "int64",
    "end_ns": "int64",
    "response_id": "string",
    "input": "int64",
    "output": "int64",
    "cached": "int64",
    "written": "int64",
    "reasoning": "int64",
}

#: What many rows have in common.
_COMMON: Final = ("producer", "outcome", "model", "family", "provider", "service_tier", "tenant", "tier")

#: What few rows say. `pair` is what the two records of a call by Logfire have in common, `half` which of them it is.
_RARE: Final = {
    "written_1h": "int64",
    "audio": "int64",
    "cached_audio": "int64",
    "image": "int64",
    "audio_output": "int64",
    "image_output": "int64",
    "searches": "int64",
    "beside": "int8",
    "cost": "float64",
    "calls": "int64",
    "half": "string",
    "pair": "string",
}

#: All columns of the rows.
COLUMNS: Final = (*_ROW, *_COMMON, *_RARE)

#: What decides what a span is, what a plain call tells, and what is known of it and makes no difference.
_DECIDERS: Final = ("operation", "kind", "ai_operation", "request_type", "workflow_kind")
_PLAIN: Final = (
    "model", "provider", "address", "response_id", "service_tier", "input", "output", "cached", "written", "reasoning",
)  # fmt: skip
_UNUSED: Final = ("session", "sequence", "instance", "event", "event_time", "event_kind", "duration_s", "duration_ms")
_MAX_KINDS: Final = 256
_ABSENT: Final = AnyValue()

Row = tuple[object, ...]
Found = dict[str, Attribute]

#: What a row of no interest has in place of what a call says: the place of what it has in common with others, its own
#: columns, and what is rare.
_NOTHING: Final = (0, 0, 0, "", -1, -1, -1, -1, -1, None)

#: Where, among what a call says, the id of its answer is.
_RESPONSE: Final = 3

#: What many rows have in common where there is nothing of it.
_NOTHING_COMMON: Final = ("",) * len(_COMMON)


@dataclass(slots=True)
class Records:
    """What became of the spans and log records so far, and how the next are read."""

    cached_apart: bool = False
    spans: int = 0
    logs: int = 0
    sums: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    _plans: dict[tuple[str, ...], _Plan] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)
    _services: set[str] = field(default_factory=set)
    _common: dict[tuple[str, ...], int] = field(default_factory=lambda: {_NOTHING_COMMON: 0})
    _served: dict[tuple[str | None, ...], int] = field(default_factory=dict)

    def refuse(self, where: str, why: str, shown: int = 5) -> None:
        """Count a record that cannot be read."""
        self.bad_rows += 1
        if len(self.bad) < shown:
            self.bad.append(BadRow(where, why))

    def add(self, document: Document, where: str) -> None:
        """Take the spans and the log records of a document."""
        if document.resourceSpans is not None:
            for group in document.resourceSpans:
                self._add_spans(group, where)
        if document.resourceLogs is not None:
            for group in document.resourceLogs:
                self._add_logs(group, where)
        if document.resourceMetrics is not None:
            for group in document.resourceMetrics:
                self.metrics.add(group, partial(self.refuse, where))
        if document.context is not None:
            self._add_sdk_span(document, document.context, where)
        elif document.traceId or document.spanId or document.startTimeUnixNano is not None:
            attributes = document.attributes
            span = Span(
                document.traceId, document.spanId, document.parentSpanId, document.name, document.startTimeUnixNano,
                document.endTimeUnixNano, attributes if isinstance(attributes, list) else None,
                None if document.status is None else Status(document.status.code),
            )  # fmt: skip
            self._served.clear()
            self._add_span(span, "", {}, where)
        elif document.timestamp is not None or document.observed_timestamp is not None:
            self._add_sdk_log(document, where)
        elif document.name:
            self._add_sdk_span(document, SdkContext(), where)

    def add_metrics(self) -> None:
        """Take what metrics add up to, of services no call of which was seen; at the end, once."""
        for one in self.metrics.sums(set(self._services)):
            self.sums += 1
            tokens = {what: round(amount) for what, amount in one.tokens.items()}
            provider = server_of(one.provider, "", one.model)
            common = self._in_common(one.metric, "ok", one.model, provider, None, one.service, one.model)
            told = [tokens.get(what, -1) for what in ("cached", "written")]
            cost = _amount(one.cost)
            rare = (*(None,) * 8, cost, max(1, round(one.requests)), None, None)
            self._rows.append((
                self.spans + self.logs + self.sums, "metrics", f"sum-{self.sums}", "", CALL, common, one.end_ns,
                one.end_ns, "", tokens.get("input", 0), tokens.get("output", 0), *told, tokens.get("reasoning", 0),
                rare,
            ))  # fmt: skip

    def batch(self, least: int = 1) -> pyarrow.RecordBatch | None:
        """The rows taken since the last batch; None if there are fewer than `least`."""
        if len(self._rows) < least:
            return None
        batch = _batch(self._rows, list(self._common))
        self._rows.clear()
        self._common = {_NOTHING_COMMON: 0}
        self._served.clear()
        return batch

    def _add_spans(self, group: ResourceGroup, where: str) -> None:
        base = _of_pairs(group.resource.attributes if group.resource else None)
        self._served.clear()  # what it holds is of the resource before
        for scoped in group.scopeSpans:
            producer = (scoped.scope.name if scoped.scope else None) or ""
            for span in scoped.spans:
                self._add_span(span, producer, base, where)

    def _add_span(self, span: Span, producer: str, base: Found, where: str) -> None:
        self.spans += 1
        seq = self.spans + self.logs
        attributes = span.attributes
        if not attributes:
            self._rows.append((seq, span.traceId, span.spanId, span.parentSpanId or "", OTHER, *_NOTHING))
            return
        # A library names few sets of attributes, and a set says where in it to look.
        names = (producer, *[pair.key for pair in attributes])
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = _Plan.of(names)
        kind = plan.kind(attributes)
        if kind != CALL and not (kind == SUM and plan.told):
            self._rows.append((seq, span.traceId, span.spanId, span.parentSpanId or "", kind, *_NOTHING))
            return
        try:
            start, end = span.startTimeUnixNano, span.endTimeUnixNano
            if start is None or end is None:
                raise ValueError(f"no {'start' if start is None else 'end'} time")
            failed = span.status is not None and span.status.code in (2, "2", "STATUS_CODE_ERROR")
            call = None
            if plan.plain and not failed:
                call = self._plain_call(plan, attributes, base, producer or span.name, start, end)
            if call is None:
                call = self._call(plan.found(attributes), base, producer or span.name, start, end, failed=failed)
            span_id = span.spanId if _is_id(span.spanId) else _own_id(seq, call)
            self._rows.append((seq, span.traceId, span_id, span.parentSpanId or "", kind, *call))
        except (InvalidValueError, ValueError) as error:
            self.refuse(where, f"span {span.spanId}: {error}")
            self._rows.append((seq, span.traceId, span.spanId, span.parentSpanId or "", OTHER, *_NOTHING))

    def _plain_call(
        self, plan: _Plan, attributes: list[KeyValue], base: Found, producer: str, start: int, end: int
    ) -> Row | None:
        """As :meth:`_call`, fast, for a call by the present conventions alone; None where its numbers do not agree."""
        model, provider, address, response_id, service_tier, told_in, told_out, told_cached, told_written, reason = [
            _ABSENT if place < 0 else attributes[place].value for place in plan.places
        ]
        tokens_in, tokens_out, cached = told_in.intValue, told_out.intValue or 0, told_cached.intValue
        written, reasoning = told_written.intValue, reason.intValue or 0
        if self.cached_apart or not (
            type(tokens_in) is int
            and 0 <= (cached or 0) + (written or 0) <= tokens_in
            and 0 <= reasoning <= tokens_out
            and (cached or 0) >= 0 <= (written or 0)
        ):
            return None
        served = (producer, model.stringValue, provider.stringValue, address.stringValue, service_tier.stringValue)
        common = self._served.get(served)
        if common is None:
            name = model.stringValue or "unknown"
            server = server_of(provider.stringValue or "", address.stringValue or "", name)
            tier = service_tier.stringValue
            common = self._served[served] = self._in_common(
                producer, "ok", name, server, None if tier is None else service_tier_of({"service_tier": tier}),
                str(base.get("tenant", "")), str(base.get("tier", name)),
            )  # fmt: skip
        return (
            common, start, end if end > start else start, response_id.stringValue or "", tokens_in, tokens_out,
            -1 if cached is None else cached, -1 if written is None else written, reasoning, None,
        )  # fmt: skip

    def _in_common(
        self, producer: str, outcome: str, model: str, provider: str, service_tier: str | None, tenant: str, tier: str
    ) -> int:
        """The place of what a row has in common with others of its batch."""
        self._services.add(tenant)
        if tenant.startswith("unknown_service"):
            tenant = ""  # what an SDK says that was told no name
        common = (producer, outcome, model, family(model), provider, service_tier or "", tenant, tier)
        return self._common.setdefault(common, len(self._common))

    def _add_sdk_span(self, span: Document, context: SdkContext, where: str) -> None:
        self.spans += 1
        attributes = span.attributes if isinstance(span.attributes, dict) else {}
        found = _of_mapping(attributes)
        kind = kind_of(found) if found else OTHER
        place = (self.spans + self.logs, context.trace_id, context.span_id, span.parent_id or "", kind)
        if kind != CALL and not (kind == SUM and ("input" in found or "usage_text" in found)):
            self._rows.append(place + _NOTHING)
            return
        try:
            start, end = _iso_nanoseconds(span.start_time, "start"), _iso_nanoseconds(span.end_time, "end")
            failed = span.status is not None and span.status.status_code == "ERROR"
            resource = (span.resource.attributes if span.resource else None) or {}
            # The console exporter leaves the library out; the first word of a span's name stands for it.
            producer = "claude_code" if span.name.startswith("claude_code") else span.name.partition(" ")[0]
            call = self._call(found, _of_mapping(resource), producer, start, end, failed=failed)
        except (InvalidValueError, ValueError) as error:
            self.refuse(where, f"span {context.span_id}: {error}")
            place, call = (*place[:4], OTHER), _NOTHING
        if not _is_id(context.span_id):
            place = (place[0], place[1], _own_id(place[0], call), *place[3:])
        self._rows.append(place + call)

    def _add_logs(self, group: ResourceGroup, where: str) -> None:
        base = _of_pairs(group.resource.attributes if group.resource else None)
        for scoped in group.scopeLogs:
            producer = (scoped.scope.name if scoped.scope else None) or ""
            for record in scoped.logRecords:
                body = record.body.stringValue if record.body else None
                found = _of_pairs(record.attributes)
                times = (record.timeUnixNano, record.observedTimeUnixNano)
                end = next((time for time in times if time), None)
                name = str(found.get("event") or record.eventName or body or "")
                self._add_event(name, base, found, producer, end, (record.traceId or "", record.spanId or ""), where)

    def _add_sdk_log(self, record: Document, where: str) -> None:
        attributes = record.attributes if isinstance(record.attributes, dict) else {}
        found = _of_mapping(attributes)
        name = str(found.get("event") or record.event_name or record.body or "")
        try:
            end = _iso_nanoseconds(record.timestamp or record.observed_timestamp, "end")
        except ValueError as error:
            self.refuse(where, f"a log record: {error}")
            return
        resource = (record.resource.attributes if record.resource else None) or {}
        self._add_event(
            name, _of_mapping(resource), found, "", end, (record.trace_id or "", record.span_id or ""), where
        )

    def _add_event(
        self, name: str, base: Found, found: Found, producer: str, end: int | None, ids: tuple[str, str], where: str
    ) -> None:
        """Take a log record that tells of a call: of a coding agent, or as the conventions have it."""
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
            # A record that was written while a span ran is within it.
            trace, parent = ids if all(ids) else ("", "")
            session, sequence = (found.get(one) for one in ("session", "sequence"))
            own = f"record-{seq}" if session is None or sequence is None else f"{session}-{sequence}"
            row = self._call(found, base, producer or name, start, end, failed=failed)
        except (InvalidValueError, ValueError, TypeError) as error:
            self.refuse(where, f"{name or 'a log record'}: {error}")
            return
        self._rows.append((seq, trace or "log", own, parent, CALL, *row))

    def _call(self, found: Found, base: Found, producer: str, start: int, end: int, *, failed: bool) -> Row:
        get = found.get
        model = str(get("model", "unknown")).strip('"')  # MLflow's names are JSON
        provider = server_of(str(get("provider", "")), str(get("address", "")), model)
        (
            tokens_in, tokens_out, cached, written, hour, audio, cached_audio, image, reasoning, audio_output,
            image_output, searches, beside,
        ) = tokens_of(found, producer, provider, apart=self.cached_apart)  # fmt: skip
        cost = None
        if ("cost" in found or "cost_text" in found) and not (reasoning and thinks_beside(producer, provider)):
            cost = _amount(cost_of(found))
        if failed or "error" in found or get("success") in (False, "false"):
            outcome = "error"
        else:
            outcome = "cached" if get("cache_hit") in (True, "True", "true") or is_replayed(found) else "ok"
            if cost == 0 and tokens_in and outcome == "ok" and not is_own_server(provider):
                cost = None  # as gateways write it that have no price
        half = pair = None
        if "logfire_type" in found:
            half = str(found["logfire_type"])
            pair = f"{base.get('instance', '')} {get('logfire_request', '')}"
            if half == "log" and "duration_s" in found:
                start = end - int(float(found["duration_s"]) * 1e9)  # type: ignore[arg-type]
        common = self._in_common(
            producer, outcome, model, provider, service_tier_of(found), str(get("tenant", base.get("tenant", ""))),
            str(get("tier", base.get("tier", model))),
        )  # fmt: skip
        rare = (hour, audio, cached_audio, image, audio_output, image_output, searches, beside, cost, None, half, pair)
        told = [-1 if one is None else one for one in (tokens_in, tokens_out, cached, written)]
        return (
            common, start, end if end > start else start, str(get("response_id", "")), *told, reasoning,
            rare if any(rare) or cost is not None or hour is not None else None,
        )  # fmt: skip


def _amount(usd: float | None) -> float | None:
    """An amount in USD, refused where it is none; it is rounded when it is added up."""
    if usd is not None:
        micro_usd("cost", usd)
    return usd


@dataclass(slots=True)
class _Plan:
    """Where in attributes of certain names the known ones are.

    Attributes
    ----------
    picks : tuple
        What is told, and its place.
    places : tuple of int
        The places of what a plain call tells, -1 for what it does not.
    plain : bool
        Whether nothing else is told.
    told : bool
        Whether use is told.
    deciders : tuple of int
        The places of what decides what the span is.
    kinds : dict
        What it is, by the values there.
    """

    picks: tuple[tuple[str, int], ...]
    places: tuple[int, ...]
    plain: bool
    told: bool
    deciders: tuple[int, ...]
    kinds: dict[object, int] = field(default_factory=dict)

    @classmethod
    def of(cls, names: tuple[str, ...]) -> _Plan:
        """The plan for attributes of a producer."""
        best: dict[str, tuple[int, int]] = {}
        for place, name in enumerate(names[1:]):
            hit = KNOWN.get(name)
            if hit is not None and best.get(hit[0], (99, 0))[0] > hit[1]:
                best[hit[0]] = (hit[1], place)
        places = {what: place for what, (_, place) in best.items()}
        return cls(
            tuple(places.items()),
            tuple(places.get(what, -1) for what in _PLAIN),
            "input" in places and is_plain(places, names[0]) and places.keys() <= {*_PLAIN, *_DECIDERS, *_UNUSED},
            "input" in places or "usage_text" in places,
            tuple(places[what] for what in _DECIDERS if what in places),
        )

    def kind(self, attributes: list[KeyValue]) -> int:
        """What a span is."""
        deciders = self.deciders
        values: object
        if len(deciders) == 1:
            values = attributes[deciders[0]].value.stringValue
        else:
            values = tuple([attributes[place].value.stringValue for place in deciders])
        kind = self.kinds.get(values)
        if kind is None:
            kind = kind_of(self.found(attributes))
            if len(self.kinds) < _MAX_KINDS:
                self.kinds[values] = kind
        return kind

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


def _is_id(span_id: str) -> bool:
    """Whether a span has an id: none, or one of zeros alone, names nothing."""
    return span_id.strip("0x") != ""


def _own_id(seq: int, call: Row) -> str:
    """What stands for the id of a span without one: that of its answer, or what no other span has."""
    return str(call[_RESPONSE]) or f"span-{seq}"


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
        if hit is None or value == "" or not isinstance(value, str | int | float | bool):
            continue
        what, rank = hit
        if ranks.get(what, 99) > rank:
            found[what], ranks[what] = value, rank
    return found


def _iso_nanoseconds(value: str | None, what: str) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1e6) * 1000  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"no {what} time") from None


def _batch(rows: list[Row], commons: list[tuple[str, ...]]) -> pyarrow.RecordBatch:
    import pyarrow

    seq, trace, span, parent, kind, common, *told, rare = zip(*rows, strict=True)
    arrays = [
        _array(values, kind_of_it)
        for values, kind_of_it in zip((seq, trace, span, parent, kind, *told), _ROW.values(), strict=True)
    ]
    places = _array(common, "int32")
    arrays += [
        pyarrow.DictionaryArray.from_arrays(places, _array([one[place] for one in commons], "string"))
        for place in range(len(_COMMON))
    ]
    some = any(rare)
    for place, kind_of_it in enumerate(_RARE.values()):
        if some:
            nothing = _ABSENCE[kind_of_it]
            values = [nothing if one is None or one[place] is None else one[place] for one in rare]
            arrays.append(_array(values, kind_of_it))
        else:
            arrays.append(pyarrow.nulls(len(rows), _arrow(kind_of_it)))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=arrow_schema())


#: What stands for a value that there is not, and the code of a kind of numbers.
_ABSENCE: Final[Mapping[str, float | str]] = {"int8": -1, "int32": -1, "int64": -1, "float64": -1.0, "string": ""}
_CODES: Final = {"int8": "b", "int32": "i", "int64": "q", "float64": "d"}


def _array(values: Sequence[Any], kind: str) -> pyarrow.Array:
    """Values of one kind, none of them null. PyArrow's own way from lists loads pandas, 40 MB of it."""
    import pyarrow

    if kind != "string":
        numbers = pyarrow.py_buffer(array(_CODES[kind], values))
        return pyarrow.Array.from_buffers(_arrow(kind), len(values), [None, numbers])
    text = "".join(values)
    data = text.encode(errors="replace")
    lengths = map(len, values) if len(data) == len(text) else (len(one.encode(errors="replace")) for one in values)
    offsets = array("i", accumulate(lengths, initial=0))
    return pyarrow.StringArray.from_buffers(len(values), pyarrow.py_buffer(offsets), pyarrow.py_buffer(data))


def _arrow(kind: str) -> pyarrow.DataType:
    import pyarrow

    return pyarrow.type_for_alias(kind)


def arrow_schema() -> pyarrow.Schema:
    """The columns of the rows."""
    with extra("usage"):
        import pyarrow
    common = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = _ROW | _RARE
    return pyarrow.schema([(name, _arrow(kinds[name]) if name in kinds else common) for name in COLUMNS])


def sql_columns() -> str:
    """The columns of the rows in SQL, null where there is no value, but for the ids of spans."""
    sql = []
    for name in COLUMNS[5:]:
        kind = (_ROW | _RARE).get(name)
        absence = "''" if kind in (None, "string") else "-1"
        sql.append(
            name if name in ("start_ns", "end_ns", "tenant", "provider") else f"nullif({name}, {absence}) AS {name}"
        )
    return ", ".join(sql)
