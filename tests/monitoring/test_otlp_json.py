"""Documents of telemetry, however they are laid out in a file."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import LogError
from costlab.monitoring import aggregate, fill_costs, open_log
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb", "msgspec"):
    needs.extra(module, "usage")

from costlab.monitoring.importers import otlp_json  # noqa: E402


def request(first: int, spans: int) -> dict[str, Any]:
    """A request of OTLP with brackets, quotes and line breaks where they might be taken for others."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "a}]{["}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": 'x"\\\n}'},
                        "spans": [
                            {
                                "traceId": f"{number:032x}",
                                "spanId": f"{number:016x}",
                                "name": "\n}\n{",
                                "attributes": [
                                    {"key": "b", "value": {"arrayValue": {"values": [{"stringValue": '"}]'}]}}}
                                ],
                            }
                            for number in range(first, first + spans)
                        ],
                    }
                ],
            }
        ]
    }


TWO = [request(0, 30), request(30, 20)]
LAYOUTS = {
    "one a line": "\n".join(map(json.dumps, TWO)),
    "lines between": "\n\n".join(map(json.dumps, TWO)) + "\n\n",
    "over several lines": "\n".join(json.dumps(one, indent=4) for one in TWO),
    "with carriage returns": "\r\n".join(json.dumps(one, indent=1).replace("\n", "\r\n") for one in TWO),
    "one after the other": "".join(map(json.dumps, TWO)),
    "an array": json.dumps(TWO),
    "an array over several lines": json.dumps(TWO, indent=2),
    "one document": json.dumps({"resourceSpans": [group for one in TWO for group in one["resourceSpans"]]}, indent=2),
}


@pytest.mark.parametrize("chunk", [7, 1000, otlp_json.CHUNK_BYTES])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_spans(layout: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a document is longer than what is held of a file."""
    monkeypatch.setattr(otlp_json, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(otlp_json, "WHOLE_BYTES", 10 * chunk)
    found = [
        (span.spanId, scoped.scope and scoped.scope.name)
        for _, piece in otlp_json.pieces(io.BytesIO(LAYOUTS[layout].encode()))
        for document in otlp_json.decode(piece)
        for group in document.resourceSpans or ()
        for scoped in group.scopeSpans
        for span in scoped.spans
    ]
    assert found == [(f"{number:016x}", 'x"\\\n}') for number in range(50)]


def test_documents_say_in_which_line_they_begin() -> None:
    text = b'\n{"name": "a"}\n\n{\n "name": "b"\n}\n{"name": "c"}\n'
    assert [(line, otlp_json.decode(piece)[0].name) for line, piece in otlp_json.pieces(io.BytesIO(text))] == [
        (2, "a"), (4, "b"), (7, "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ['{"a": ', '{"a": "x', "[1, 2"])
def test_a_document_that_does_not_end_is_told(text: str) -> None:
    with pytest.raises(LogError, match="line 1 does not end"):
        list(otlp_json.pieces(io.BytesIO(text.encode())))


def test_a_long_document_whose_service_comes_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (group,) = request(0, 50)["resourceSpans"]
    monkeypatch.setattr(otlp_json, "CHUNK_BYTES", 100)
    monkeypatch.setattr(otlp_json, "WHOLE_BYTES", 1000)
    text = json.dumps({"resourceSpans": [dict(reversed(group.items()))]})
    with pytest.raises(LogError, match="must name its resource before its parts"):
        list(otlp_json.pieces(io.BytesIO(text.encode())))


def log_record(name: str, **attributes: Any) -> dict[str, Any]:
    """A log record as a collector writes it."""

    def value(plain: Any) -> dict[str, Any]:
        if isinstance(plain, str):
            return {"stringValue": plain}
        return {"intValue": str(plain)} if isinstance(plain, int) else {"doubleValue": plain}

    pairs = [{"key": key.replace("__", "."), "value": value(plain)} for key, plain in attributes.items()]
    return {"timeUnixNano": "1790000001000000000", "body": {"stringValue": name}, "attributes": pairs}


def logs(service: str, *records: dict[str, Any]) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": list(records)}]}]})


def test_codex_tells_its_use_when_an_answer_is_complete(tmp_path: Path) -> None:
    """Events as in codex-rs/otel/src/events/session_telemetry.rs: counts are texts, the tools' is the sum of all."""
    used = {
        "event__name": "codex.sse_event", "event__kind": "response.completed", "model": "gpt-5-mini",
        "conversation__id": "c-1", "input_token_count": "2000", "output_token_count": "300",
        "cached_token_count": 1536, "reasoning_token_count": 256, "tool_token_count": "2300",
    }  # fmt: skip
    other = {"event__name": "codex.sse_event", "event__kind": "response.created", "model": "gpt-5-mini"}
    (tmp_path / "codex.jsonl").write_text(logs("codex_cli_rs", log_record("", **other), log_record("", **used)))
    opened = open_log(tmp_path / "codex.jsonl")
    (found,) = aggregate(fill_costs(opened.frame).frame, by=["provider"])
    assert (found.key, found.requests, found.cost_micro_usd) == (("openai",), 1, 754)
    assert opened.read.dropped == {"asks no model": 1}


def test_gemini_cli_tells_an_answer_twice_and_thoughts_beside_it(tmp_path: Path) -> None:
    """Events as in docs/cli/telemetry.md of Gemini CLI; it writes one by the conventions for each of its own."""
    own = {
        "event__name": "gemini_cli.api_response", "model": "gemini-2.5-flash", "duration_ms": 1200,
        "input_token_count": 2000, "cached_content_token_count": 1500, "output_token_count": 44,
        "thoughts_token_count": 256, "tool_token_count": 0, "total_token_count": 2300,
    }  # fmt: skip
    conventions = {
        "event__name": "gen_ai.client.inference.operation.details", "gen_ai__request__model": "gemini-2.5-flash",
        "gen_ai__usage__input_tokens": 2000, "gen_ai__usage__output_tokens": 44,
    }  # fmt: skip
    failed = {"event__name": "gemini_cli.api_error", "model": "gemini-2.5-flash", "status_code": 429}
    records = [log_record("", **one) for one in (own, conventions, failed)]
    (tmp_path / "gemini.jsonl").write_text(logs("gemini-cli", *records))
    (found,) = aggregate(fill_costs(open_log(tmp_path / "gemini.jsonl").frame).frame)
    assert (found.requests, found.failed_requests, found.unpriced_requests) == (2, 1, 0)
    assert (found.input_tokens, found.output_tokens, found.cost_micro_usd) == (2000, 300, 945)


def test_an_event_of_claude_code_and_its_span_are_one_call(tmp_path: Path) -> None:
    """Attributes as Claude Code 2.1.224 writes them, with its tracing switched on."""
    used = {"input_tokens": 12, "output_tokens": 200, "cache_read_tokens": 5000, "cache_creation_tokens": 3000}
    event = {
        "event__name": "api_request", "model": "claude-sonnet-4-5-20250929", "session__id": "s", "event__sequence": 4,
        "request_id": "req_1", "duration_ms": 900, "cost_usd": 0.015786, **used,
    }  # fmt: skip
    attributes = [
        {"key": "span.type", "value": {"stringValue": "llm_request"}},
        {"key": "model", "value": {"stringValue": "claude-sonnet-4-5-20250929"}},
        {"key": "gen_ai.system", "value": {"stringValue": "anthropic"}},
        {"key": "request_id", "value": {"stringValue": "req_1"}},
        *({"key": key, "value": {"intValue": str(count)}} for key, count in used.items()),
    ]
    span = {
        "traceId": "a", "spanId": "b", "name": "claude_code.llm_request", "attributes": attributes,
        "startTimeUnixNano": "1790000000100000000", "endTimeUnixNano": "1790000001000000000",
    }  # fmt: skip
    scope = {"scope": {"name": "com.anthropic.claude_code.tracing"}, "spans": [span]}
    (tmp_path / "traces.jsonl").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [scope]}]}))
    (tmp_path / "logs.jsonl").write_text(logs("claude-code", log_record("claude_code.api_request", **event)))
    (found,) = aggregate(fill_costs(open_log(tmp_path).frame).frame)
    assert (found.requests, found.input_tokens, found.cost_micro_usd) == (1, 8012, 15_786)


def metrics(service: str, name: str, unit: str, *points: tuple[int, str, float], delta: bool = True) -> str:
    """Points of a counter by minute, type and amount, as an OTLP exporter writes them."""
    found = [
        {
            "attributes": [
                {"key": "model", "value": {"stringValue": "claude-sonnet-4-5-20250929"}},
                *([{"key": "type", "value": {"stringValue": kind}}] if kind else []),
            ],
            "startTimeUnixNano": "1790000000000000000",
            "timeUnixNano": str(1_790_000_000_000_000_000 + minute * 60_000_000_000),
            **({"asDouble": amount} if unit == "USD" else {"asInt": str(amount)}),
        }
        for minute, kind, amount in points
    ]
    total = {"dataPoints": found, "aggregationTemporality": 1 if delta else 2, "isMonotonic": True}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    scoped = [{"metrics": [{"name": name, "unit": unit, "sum": total}]}]
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": scoped}]}) + "\n"


@pytest.mark.parametrize("delta", [True, False])
def test_metrics_of_a_coding_agent_add_up_whether_they_count_anew_or_on(delta: bool, tmp_path: Path) -> None:
    """Claude Code's documented metrics: input tokens without the cached ones, and the cost."""
    once = {"input": 12, "output": 200, "cacheRead": 5000, "cacheCreation": 3000}
    second = 1 if delta else 2
    points = [(1, kind, count) for kind, count in once.items()]
    points += [(2, kind, second * count) for kind, count in once.items()]
    lines = [
        metrics("claude-code", "claude_code.token.usage", "tokens", *points, delta=delta),
        metrics("claude-code", "claude_code.cost.usage", "USD", (1, "", 0.02), (2, "", second * 0.02), delta=delta),
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + lines[0])  # the last one delivered twice
    opened = open_log(tmp_path / "metrics.jsonl")
    (found,) = aggregate(opened.frame, by=["provider", "tenant"])
    assert found.key == ("anthropic", "claude-code")
    assert (found.input_tokens, found.cached_input_tokens, found.cache_write_tokens) == (16_024, 10_000, 6000)
    assert (found.output_tokens, found.cost_micro_usd) == (400, 40_000)
    assert any(" what metrics add up to" in note for note in opened.notes)


def test_a_metric_that_counts_below_zero_cannot_be_read(tmp_path: Path) -> None:
    counted = metrics("a", "claude_code.token.usage", "tokens", (1, "input", 12), (1, "output", 2), (2, "input", -5))
    (tmp_path / "metrics.jsonl").write_text(counted)
    with pytest.raises(LogError, match=r"line 1: a point of claude_code\.token\.usage of -5, which is no count"):
        open_log(tmp_path / "metrics.jsonl")
    opened = open_log(tmp_path / "metrics.jsonl", max_bad_rows=1)
    (found,) = aggregate(opened.frame)
    assert (found.input_tokens, found.output_tokens, opened.read.bad_rows, opened.read.rows) == (12, 2, 1, 3)


def test_metrics_do_not_count_again_what_events_tell(tmp_path: Path) -> None:
    event = {
        "event__name": "api_request",
        "model": "claude-sonnet-4-5-20250929",
        "input_tokens": 12,
        "output_tokens": 2,
    }
    (tmp_path / "logs.jsonl").write_text(logs("claude-code", log_record("claude_code.api_request", **event)))
    (tmp_path / "metrics.jsonl").write_text(
        metrics("claude-code", "claude_code.token.usage", "tokens", (1, "input", 12), (1, "output", 2))
    )
    opened = open_log(tmp_path)
    (found,) = aggregate(opened.frame)
    assert (found.requests, found.input_tokens, found.output_tokens) == (1, 12, 2)
    assert (opened.read.rows, opened.read.dropped) == (3, {"points of metrics of known requests": 2})
