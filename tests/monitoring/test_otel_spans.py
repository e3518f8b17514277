"""Spans of generative AI: each request once, whoever reported it."""

import json
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import LogError
from costlab.monitoring import aggregate, fill_costs, open_log, span_rows
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

#: What benchmarks/telemetry.py makes and measures.
BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "telemetry.py"))

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 80,
}


def sdk(span: str, parent: str | None, attributes: dict[str, Any], status: str = "UNSET") -> dict[str, Any]:
    """A span as the Python SDK's ConsoleSpanExporter writes it."""
    return {
        "name": "x",
        "context": {"trace_id": "0xt", "span_id": span, "trace_state": "[]"},
        "parent_id": parent,
        "start_time": "2026-01-05T10:00:00.000000Z",
        "end_time": "2026-01-05T10:00:01.500000Z",
        "status": {"status_code": status},
        "attributes": attributes,
        "resource": {"attributes": {"service.name": "shop"}},
    }


def otlp(span: str, parent: str, attributes: dict[str, Any], code: int = 0) -> dict[str, Any]:
    """A span as a collector's file exporter writes it: 64-bit numbers are texts, attributes carry their kind."""

    def value(plain: Any) -> dict[str, Any]:
        return {"intValue": str(plain)} if isinstance(plain, int) else {"stringValue": plain}

    return {
        "traceId": "t",
        "spanId": span,
        "parentSpanId": parent,
        "startTimeUnixNano": "1767607200000000000",
        "endTimeUnixNano": "1767607201500000000",
        "status": {"code": code},
        "attributes": [{"key": name, "value": value(plain)} for name, plain in attributes.items()],
    }


def test_both_ways_of_writing_spans_give_the_same_row(tmp_path: Path) -> None:
    (tmp_path / "sdk.jsonl").write_text(json.dumps(sdk("a", None, CHAT)) + "\n")
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [otlp("a", "", CHAT)]}]}]}
    (tmp_path / "otlp.json").write_text(json.dumps(request, indent=1))
    found = []
    for name in ("sdk.jsonl", "otlp.json"):
        opened = open_log(tmp_path / name)
        assert opened.format == "otel"
        found.append(aggregate(opened.frame, by=["tier", "model", "tenant", "outcome"]))
    assert found[0] == found[1]
    ((one,),) = found[:1]
    assert one.key == ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "shop", "ok")
    assert (one.input_tokens, one.cached_input_tokens, one.output_tokens) == (1200, 1000, 80)
    assert (one.mean_latency_s, one.last_s, one.unpriced_requests) == (1.5, 1767607201.5, 1)
    # The release date in the name is no obstacle: 200 full, 1,000 cached, 80 out.
    (priced,) = aggregate(fill_costs(opened.frame).frame)
    assert priced.cost_micro_usd == 200 * 2.5 + 1000 * 1.25 + 80 * 10


def test_spans_that_enclose_a_request_do_not_count_it_again() -> None:
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1200,
    }
    spans = [
        sdk("agent", None, agent),
        sdk("framework", "agent", CHAT),
        sdk("http", "framework", {}),
        sdk("client", "http", CHAT),
        sdk("second", "agent", CHAT),
    ]
    assert [row["request_id"] for row in span_rows(spans)] == ["0xt-client", "0xt-second"]
    assert [row["request_id"] for row in span_rows(reversed(spans))] == ["0xt-second", "0xt-client"]


def test_spans_that_name_each_other_as_parents_end() -> None:
    assert list(span_rows([sdk("a", "b", CHAT), sdk("b", "a", CHAT)])) == []


def test_older_names_costs_tiers_and_errors() -> None:
    old = {"gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5}
    ours = {"costlab.tier": "small", "costlab.tenant": "acme", "costlab.cost_usd": 0.0005}
    (row,) = span_rows([sdk("a", None, old | ours, status="ERROR")])
    assert (row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (10, 5, 0.0005)
    assert (row["tier"], row["tenant"], row["outcome"]) == ("small", "acme", "error")
    (row,) = span_rows([otlp("a", "", old, code=2)])
    assert (row["outcome"], row["cost_usd"]) == ("error", None)
    (row,) = span_rows([sdk("a", None, CHAT | {"gen_ai.usage.input_tokens": 200})], cached_apart=True)
    assert (row["input_tokens"], row["cached_input_tokens"]) == (1200, 1000)


def test_answers_without_tokens_are_not_free(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps(sdk("a", None, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}))
    )
    opened = open_log(tmp_path / "a.jsonl")
    assert "1 answered request tells no tokens (a stream that was not asked to, say) and is unpriced" in opened.notes
    (found,) = aggregate(fill_costs(opened.frame).frame)
    assert found.unpriced_requests == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_time": "soon"}, "span a: no end time"),
        ({"start_time": None}, "span a: no start time"),
        ({"attributes": CHAT | {"gen_ai.usage.input_tokens": "many"}}, "span a: input tokens must be a whole number"),
        ({"attributes": CHAT | {"gen_ai.usage.input_tokens": -1}}, "span a: input tokens must be a whole number"),
        ({"attributes": CHAT | {"gen_ai.usage.cost": "dear"}}, "span a: cost must be an amount in USD"),
    ],
)  # fmt: skip
def test_spans_that_cannot_be_read_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LogError, match=message):
        list(span_rows([sdk("a", None, CHAT) | change]))


def test_a_request_without_a_model_is_counted_and_unpriced(tmp_path: Path) -> None:
    lines = [json.dumps(sdk("a", None, {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 9}))]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    opened = open_log(tmp_path / "a.jsonl")
    assert "1 request names no model" in opened.notes
    (found,) = aggregate(fill_costs(opened.frame).frame, by=["model"])
    assert (found.key, found.unpriced_requests) == (("unknown",), 1)


def test_reading_spans_takes_a_few_times_what_decoding_them_does(tmp_path: Path) -> None:
    """Of 20,000 spans, in turn; the version before took some thirty times as long (benchmarks/telemetry.py)."""
    import msgspec

    from costlab.monitoring.importers.otlp_json import Document

    BENCHMARK["write"](tmp_path / "spans.jsonl", 20_000)
    decoder = msgspec.json.Decoder(Document, strict=False)

    def decode() -> None:
        with (tmp_path / "spans.jsonl").open("rb") as file:
            for line in file:
                decoder.decode(line)

    def read() -> None:
        assert open_log(tmp_path / "spans.jsonl").read.kept == 8000

    read()  # what is loaded first does not count here
    ratios = []
    for _ in range(3):
        started = time.process_time()
        decode()
        between = time.process_time()
        read()
        ratios.append((time.process_time() - between) / (between - started))
    assert min(ratios) < 15


def test_memory_does_not_grow_with_the_spans(tmp_path: Path) -> None:
    peaks = []
    for spans in (20_000, 120_000):
        BENCHMARK["write"](tmp_path / f"{spans}.jsonl", spans)
        _, peak, found = BENCHMARK["measured"](BENCHMARK["READ"], tmp_path / f"{spans}.jsonl")
        assert found == spans * 2 // 5
        peaks.append(peak)
    # 6.2 KB a span would be 590 MiB more; what DuckDB may take is 64 MB, and it takes it as it comes to need it.
    assert peaks[1] - peaks[0] < 100


def test_a_trace_of_very_many_spans_within_one_another_is_read(tmp_path: Path) -> None:
    spans = [sdk("0", None, {})] + [sdk(str(depth), str(depth - 1), {}) for depth in range(1, 300)]
    spans.append(sdk("300", "299", CHAT))
    (tmp_path / "deep.jsonl").write_text("\n".join(map(json.dumps, spans)))
    assert open_log(tmp_path / "deep.jsonl").read.kept == 1


def _without_ids(form: str, answer: str | None) -> dict[str, Any]:
    attributes = CHAT if answer is None else CHAT | {"gen_ai.response.id": answer}
    if form.startswith("sdk"):
        span = sdk("", None, attributes)
        span["context"] |= {"trace_id": "0x00", "span_id": "0x00"}
        return {name: value for name, value in span.items() if form == "sdk" or name != "context"}
    span = otlp("", "", attributes)
    if form != "otlp":
        span = {name: value for name, value in span.items() if not name.endswith("Id")}
    return span if form == "bare" else {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


@pytest.mark.parametrize("form", ["otlp", "absent", "bare", "sdk", "sdk-absent"])
def test_only_equal_ids_make_two_spans_one(tmp_path: Path, form: str) -> None:
    """Spans that lost their ids, in a log store, say, are calls all the same; an answer's id still tells which."""
    answers = (None, None, "resp_1", "resp_1", "resp_2")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(_without_ids(form, one)) + "\n" for one in answers))
    opened = open_log(tmp_path / "a.jsonl", format="otel")
    (found,) = aggregate(opened.frame)
    assert (found.requests, found.input_tokens) == (4, 4 * 1200)
    assert (opened.read.rows, opened.read.repeated, opened.read.kept) == (5, 1, 4)
