"""Telemetry as JSON, from files of any size: what a collector's file exporter writes, and an SDK's console exporters.

A file is a sequence of documents: one a line, several over many lines, a single one, or an array of them. A document is
a request of OTLP (``resourceSpans``, ``resourceLogs``, ``resourceMetrics``) or a span or log record as the Python SDK's
``to_json`` writes it. No more of a file is in memory than a few megabytes, however long a document is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, Final

from costlab._internal.extras import extra
from costlab.errors import LogError

with extra("usage"):
    import msgspec

#: So much of a file is read at once, and so long may a document be that is decoded as a whole.
CHUNK_BYTES: Final = 1 << 17
WHOLE_BYTES: Final = 8 << 20

#: So long may a single span be.
MAX_BYTES: Final = 32 << 20


class AnyValue(msgspec.Struct, gc=False):
    """A value with its kind, as OTLP writes it: ``{"intValue": "123"}``."""

    stringValue: str | None = None  # noqa: N815 - OTLP's names
    intValue: int | float | None = None  # noqa: N815
    doubleValue: float | None = None  # noqa: N815
    boolValue: bool | None = None  # noqa: N815


class KeyValue(msgspec.Struct, gc=False):
    """An attribute."""

    key: str
    value: AnyValue = msgspec.field(default_factory=AnyValue)


class Status(msgspec.Struct, gc=False):
    """How a span ended: by number, or by name."""

    code: int | str | None = None


class Span(msgspec.Struct, gc=False):
    """A span of OTLP, as far as it matters here."""

    traceId: str = ""  # noqa: N815
    spanId: str = ""  # noqa: N815
    parentSpanId: str | None = None  # noqa: N815
    name: str = ""
    startTimeUnixNano: int | None = None  # noqa: N815
    endTimeUnixNano: int | None = None  # noqa: N815
    attributes: list[KeyValue] | None = None
    status: Status | None = None


class LogRecord(msgspec.Struct, gc=False):
    """A log record of OTLP."""

    traceId: str | None = None  # noqa: N815
    spanId: str | None = None  # noqa: N815
    timeUnixNano: int | None = None  # noqa: N815
    observedTimeUnixNano: int | None = None  # noqa: N815
    eventName: str | None = None  # noqa: N815
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None


class DataPoint(msgspec.Struct, gc=False):
    """A data point of a sum, a gauge or a histogram."""

    startTimeUnixNano: int | None = None  # noqa: N815
    timeUnixNano: int | None = None  # noqa: N815
    asInt: int | float | None = None  # noqa: N815
    asDouble: float | None = None  # noqa: N815
    sum: float | None = None
    count: int | None = None
    attributes: list[KeyValue] | None = None


class Points(msgspec.Struct, gc=False):
    """The data points of a metric, and whether each starts again (1) or goes on (2)."""

    dataPoints: list[DataPoint] = []  # noqa: N815
    aggregationTemporality: int | str | None = None  # noqa: N815


class Metric(msgspec.Struct, gc=False):
    """A metric of OTLP."""

    name: str = ""
    sum: Points | None = None
    histogram: Points | None = None


class Scope(msgspec.Struct, gc=False):
    """What wrote a span: the library and its version."""

    name: str | None = None
    version: str | None = None


class Scoped(msgspec.Struct, gc=False):
    """What one library wrote."""

    scope: Scope | None = None
    spans: list[Span] = []
    logRecords: list[LogRecord] = []  # noqa: N815
    metrics: list[Metric] = []


class Resource(msgspec.Struct, gc=False):
    """What ran: a service."""

    attributes: list[KeyValue] | None = None


class ResourceGroup(msgspec.Struct, gc=False):
    """What one service wrote."""

    resource: Resource | None = None
    scopeSpans: list[Scoped] = []  # noqa: N815
    scopeLogs: list[Scoped] = []  # noqa: N815
    scopeMetrics: list[Scoped] = []  # noqa: N815


class SdkContext(msgspec.Struct, gc=False):
    """Which span it is, as an SDK writes it."""

    trace_id: str = ""
    span_id: str = ""


class SdkStatus(msgspec.Struct, gc=False):
    """How a span ended, as an SDK writes it."""

    status_code: str | None = None
    code: int | str | None = None  # of a span of OTLP


class SdkResource(msgspec.Struct, gc=False):
    """What ran, as an SDK writes it."""

    attributes: dict[str, object] | None = None


class Document(msgspec.Struct, gc=False):
    """A document: a request of OTLP, or a span or log record of an SDK."""

    resourceSpans: list[ResourceGroup] | None = None  # noqa: N815
    resourceLogs: list[ResourceGroup] | None = None  # noqa: N815
    resourceMetrics: list[ResourceGroup] | None = None  # noqa: N815
    # An SDK's span, or its log record.
    name: str = ""
    context: SdkContext | None = None
    parent_id: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    status: SdkStatus | None = None
    attributes: dict[str, object] | list[KeyValue] | None = None
    resource: SdkResource | None = None
    body: object = None
    timestamp: str | None = None
    observed_timestamp: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    # A span of OTLP by itself.
    traceId: str = ""  # noqa: N815
    spanId: str = ""  # noqa: N815
    parentSpanId: str | None = None  # noqa: N815
    startTimeUnixNano: int | None = None  # noqa: N815
    endTimeUnixNano: int | None = None  # noqa: N815


#: Whole numbers of 64 bits are texts in OTLP's JSON, so what looks like a number may be one.
_DECODER: Final = msgspec.json.Decoder(Document | list[Document], strict=False)


def decode(document: bytes) -> list[Document]:
    """The documents in a piece of a file: one, or an array of them.

    Raises
    ------
    LogError
        If it is no JSON, or not written as OpenTelemetry does.
    """
    try:
        found = _DECODER.decode(document)
    except msgspec.ValidationError as error:
        raise LogError(f"not written as OpenTelemetry does: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "trailing characters" in str(error):  # several in one line
            return [one for _, part in _parts_of(document) for one in decode(part)]
        raise LogError(f"no JSON: {error}") from error
    except RecursionError:
        raise LogError("nested too deeply") from None
    return found if isinstance(found, list) else [found]


#: What tells where documents begin and end: strings, which may hold brackets; small objects, skipped at once; brackets;
#: and a string that does not end before the buffer does.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'\{[^{}\[\]"]*+(?:%b[^{}\[\]"]*+)*+\}' % _STRING
_SMALL: Final = rb'\{[^{}\[\]"]*+(?:(?:%b|%b)[^{}\[\]"]*+)*+\}' % (_STRING, _FLAT)
_TOKEN: Final = re.compile(rb'%b|%b|[{}\[\]"]' % (_STRING, _SMALL), re.DOTALL)


def _nested(levels: int) -> bytes:
    inside = _STRING
    for _ in range(levels):
        inside = rb'%b|[{\[][^{}\[\]"]*+(?:(?:%b)[^{}\[\]"]*+)*+[}\]]' % (_STRING, inside)
    return inside


#: A value whole, however its brackets are nested, up to what a span's events need.
_VALUE: Final = re.compile(_nested(14), re.DOTALL)

#: How a document over several lines ends where its first line is a bracket alone.
_LAST_LINE: Final = re.compile(rb"\n\}[ \t\r]*(?:\n|\Z)")

#: The arrays that a request of OTLP is made of, from the outside to the inside.
_LEVELS: Final = {
    b"resourceSpans": (b"scopeSpans", b"spans"),
    b"resourceLogs": (b"scopeLogs", b"logRecords"),
    b"resourceMetrics": (b"scopeMetrics", b"metrics"),
}

#: So much of a long document is given at once.
_BATCH_BYTES: Final = 1 << 18


class _Buffer:
    """What was read of a file and not yet used."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.data, self.line, self.ended = file, b"", 1, False

    def more(self, least: int = 0) -> bool:
        """Read on; False at the end of the file."""
        chunk = self.file.read(max(least, CHUNK_BYTES))
        self.ended = not chunk
        self.data = self.data + chunk if self.data else chunk
        return not self.ended

    def drop(self, end: int) -> None:
        """Forget what is before `end`."""
        self.line += self.data.count(b"\n", 0, end)
        self.data = self.data[end:]


def pieces(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The documents of a file, each with the line in which it begins; long ones in parts that are documents themselves.

    Raises
    ------
    LogError
        If a document does not end, or is written in an order in which it cannot be read in parts.
    """
    buffer = _Buffer(file)
    while True:
        # One document a line is by far the most frequent way.
        while not buffer.data:
            line = file.readline(WHOLE_BYTES)
            if not line:
                return
            text = line.strip()
            if line[-1:] == b"\n" and _is_whole(text):
                if text:
                    yield buffer.line, text
                buffer.line += 1
            else:
                buffer.data = line
        buffer.drop(len(buffer.data) - len(buffer.data.lstrip()))
        if not buffer.data:
            continue
        whole = _whole(buffer)
        if whole:
            start, document = buffer.line, buffer.data[:whole]
            buffer.drop(whole)
            yield start, document
        else:
            yield from _parts(buffer)


def _is_whole(text: bytes) -> bool:
    """Whether a line that begins a document ends it, too."""
    return text[:1] not in (b"{", b"[") or (text[:1], text[-1:]) in ((b"{", b"}"), (b"[", b"]"))


def _whole(buffer: _Buffer) -> int:
    """Where the document at the beginning of the buffer ends; 0 if it is long, or that cannot be told from lines."""
    searched = 0
    while True:
        newline = buffer.data.find(b"\n")
        if newline >= 0 or buffer.ended:
            first = buffer.data[: newline if newline >= 0 else None].strip()
            if _is_whole(first):
                return newline + 1 or len(buffer.data)
            if first != b"{":
                return 0
            # Pretty-printed: a bracket in the first column ends it, since no line begins inside a string.
            last = _LAST_LINE.search(buffer.data, max(0, searched - 16))
            if last and (last.group().endswith(b"\n") or buffer.ended):
                return last.end()
            searched = len(buffer.data)
        if buffer.ended or len(buffer.data) > WHOLE_BYTES:
            return 0
        buffer.more(len(buffer.data))


def _parts_of(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The documents in a text, which need no line break between them."""
    buffer = _Buffer(io.BytesIO(text))
    while buffer.data.strip() or buffer.more():
        buffer.drop(len(buffer.data) - len(buffer.data.lstrip()))
        if buffer.data:
            yield from _parts(buffer)


class _Tokens:
    """The brackets, strings and small objects of a document, with where they are in the file."""

    def __init__(self, buffer: _Buffer) -> None:
        self.buffer, self.line = buffer, buffer.line
        self.base = self.position = 0
        #: From where on the file must stay in memory; None where nothing of it is needed any more.
        self.hold: int | None = 0

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        return self

    def __next__(self) -> tuple[bytes, int, int]:
        while True:
            token = _TOKEN.search(self.buffer.data, self.position - self.base)
            if token is not None and token.group() != b'"':
                self.position = self.base + token.end()
                return token.group(), self.base + token.start(), self.position
            # Nothing more that is whole.
            self.position = self.base + (len(self.buffer.data) if token is None else token.start())
            kept = self.position if self.hold is None else self.hold
            self.buffer.drop(kept - self.base)
            self.base = kept
            if len(self.buffer.data) > MAX_BYTES:
                raise LogError(f"what begins in line {self.buffer.line} is longer than {MAX_BYTES >> 20} MiB")
            if not self.buffer.more():
                raise LogError(f"the document of line {self.line} does not end")

    def value(self, token: tuple[bytes, int, int], *, wanted: bool) -> bytes:
        """The value that a token begins, read to its end; empty where it is not wanted."""
        text, start, end = token
        if wanted:
            self.hold = start
        depth = int(text in (b"{", b"["))
        if depth and (whole := _VALUE.match(self.buffer.data, start - self.base)):
            self.position = end = self.base + whole.end()
            depth = 0
        while depth:
            text, _, end = next(self)
            depth += (text in (b"{", b"[")) - (text in (b"}", b"]"))
        if not wanted:
            return b""
        self.hold = None
        return self.buffer.data[start - self.base : end - self.base]

    def fields(self) -> Iterator[tuple[bytes, tuple[bytes, int, int]]]:
        """Name and beginning of each object or array in the object that was begun; who takes it reads it to its end."""
        key = b""
        for token in self:
            if token[0] == b"}":
                return
            if token[0][:1] == b'"':
                key = token[0][1:-1]
            else:
                yield key, token

    def members(self) -> Iterator[tuple[bytes, int, int]]:
        """The beginning of each object or array in the array that was begun."""
        for token in self:
            if token[0] == b"]":
                return
            if token[0][:1] != b'"':
                yield token


def _parts(buffer: _Buffer) -> Iterator[tuple[int, bytes]]:
    """The document at the beginning of the buffer, in parts where it is a request of OTLP or an array."""
    tokens, line = _Tokens(buffer), buffer.line
    first = next(tokens)
    if first[0] == b"[":
        tokens.hold = None
        for batch in _batches(tokens.value(token, wanted=True) for token in tokens.members()):
            yield line, b"[%b]" % batch
    elif first[0] == b"{":
        in_parts = False
        for name, token in tokens.fields():
            if name in _LEVELS and token[0] == b"[":
                in_parts, tokens.hold = True, None
                for part in _groups(tokens, name):
                    yield line, part
            else:
                tokens.value(token, wanted=False)
        if not in_parts:
            yield line, buffer.data[first[1] - tokens.base : tokens.position - tokens.base]
    else:
        yield line, first[0]
    buffer.drop(tokens.position - tokens.base)


def _groups(tokens: _Tokens, outer: bytes) -> Iterator[bytes]:
    """The members of a request of OTLP, as requests of bounded length."""
    middle, inner = _LEVELS[outer]
    for group in tokens.members():
        resource, given = b"{}", False
        for name, token in tokens.fields() if group[0] == b"{" else ():
            if name == b"resource":
                _demand(not given, name)
                resource = tokens.value(token, wanted=True)
            elif name != middle or token[0] != b"[":
                tokens.value(token, wanted=False)
            else:
                for scoped in tokens.members():
                    scope, here = b"{}", False
                    for part, value in tokens.fields() if scoped[0] == b"{" else ():
                        if part == b"scope":
                            _demand(not here, part)
                            scope = tokens.value(value, wanted=True)
                        elif part != inner or value[0] != b"[":
                            tokens.value(value, wanted=False)
                        else:
                            for batch in _batches(tokens.value(one, wanted=True) for one in tokens.members()):
                                given = here = True
                                yield b'{"%b":[{"resource":%b,"%b":[{"scope":%b,"%b":[%b]}]}]}' % (
                                    outer, resource, middle, scope, inner, batch,
                                )  # fmt: skip


def _demand(met: bool, name: bytes) -> None:
    if not met:
        raise LogError(
            f"a document of more than {WHOLE_BYTES >> 20} MiB must name its {name.decode()} before its parts"
        )


def _batches(values: Iterator[bytes]) -> Iterator[bytes]:
    """Values with commas between, several at once."""
    batch: list[bytes] = []
    size = 0
    for value in values:
        batch.append(value)
        size += len(value)
        if size > _BATCH_BYTES:
            yield b",".join(batch)
            batch, size = [], 0
    if batch:
        yield b",".join(batch)
