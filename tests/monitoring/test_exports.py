"""Logs of clouds, gateways and tools of observability, after their documentation; and that each is found as itself.

Bedrock: docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html, and the log of a call that somebody
published (github.com/dheerajoruganty/aws-bedrock-logs-mcp-server, setup.md). OpenRouter: its API's reference
(openrouter.ai/docs, generation and activity) and the columns of its activity page's CSV. Langfuse: "Blob storage export
field reference" (langfuse.com/docs), and ObservationV2 of langfuse 5.0.4; its buckets do not overlap ("Token & cost
tracking"). Helicone: examples/export/typescript and jawn's stores/request of github.com/Helicone/helicone. All read on
2026-11-30.
"""

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.monitoring import UsageTotals, aggregate, build_report, fill_costs, open_log
from costlab.monitoring.importers import FORMATS
from costlab.monitoring.report.render import reading
from costlab.monitoring.usage import LOG_COLUMNS, ROUNDED_UP
from tests import needs
from tests.monitoring.sessions import claude_line, claude_usage, codex_meta, codex_tokens, codex_turn
from tests.monitoring.test_importers import SPEND, TIMES
from tests.monitoring.test_provider_reports import COMPLETIONS, COST, MESSAGES, anthropic_page, openai_page

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

INVOCATION: dict[str, Any] = {
    "schemaType": "ModelInvocationLog",
    "schemaVersion": "1.0",
    "timestamp": "2026-11-03T10:00:02Z",
    "accountId": "123456789012",
    "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/shop-api/i-0abc"},
    "region": "us-east-1",
    "requestId": "ff4b6c63-5561-4431-93b8-06a817275900",
    "operation": "ConverseStream",
    "modelId": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "inferenceRegion": "us-west-2",
    "input": {
        "inputContentType": "application/json",
        "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
        "inputTokenCount": 12,
        "cacheReadInputTokenCount": 5000,
        "cacheWriteInputTokenCount": 3000,
    },
    "output": {
        "outputContentType": "application/json",
        "outputBodyJson": {"stopReason": "end_turn", "metrics": {"latencyMs": 302}, "usage": {"inputTokens": 12}},
        "outputTokenCount": 200,
    },
}

ACTIVITY = {
    "generation_id": "gen-1793700000-a",
    "created_at": "2026-11-03 10:00:00.250",
    "cost_total": "0.0123",
    "cost_web_search": "0",
    "cost_cache": "-0.001",
    "cost_file_processing": "0",
    "byok_usage_inference": "0",
    "tokens_prompt": "10389",
    "tokens_completion": "137",
    "tokens_reasoning": "100",
    "tokens_cached": "10000",
    "model_permaslug": "openai/gpt-oss-120b",
    "provider_name": "Groq",
    "variant": "standard",
    "cancelled": "false",
    "streamed": "true",
    "user": "",
    "finish_reason_raw": "stop",
    "finish_reason_normalized": "stop",
    "generation_time_ms": "1500",
    "time_to_first_token_ms": "200",
    "api_key_disabled": "false",
    "api_key_name": "prod",
    "app_name": "shop",
}
GENERATION: dict[str, Any] = {
    "id": "gen-3bhGkxlo4XFrqiabUM7NDtwDzWwG",
    "created_at": "2026-11-03T10:00:00.000+00:00",
    "model": "sao10k/l3-stheno-8b",
    "app_id": 12345,
    "streamed": True,
    "cancelled": False,
    "provider_name": "Infermatic",
    "latency": 1250,
    "generation_time": 1200,
    "tokens_prompt": 10,
    "tokens_completion": 25,
    "native_tokens_prompt": 12,
    "native_tokens_completion": 24,
    "native_tokens_reasoning": 5,
    "native_tokens_cached": 8,
    "is_byok": False,
    "upstream_inference_cost": 0.0012,
    "total_cost": 0.0015,
    "external_user": "ada",
}
ACTIVITY_DAY = {
    "date": "2026-11-03",
    "model": "openai/gpt-4.1",
    "model_permaslug": "openai/gpt-4.1-2025-04-14",
    "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
    "provider_name": "OpenAI",
    "usage": 0.015,
    "byok_usage_inference": 0.012,
    "requests": 5,
    "prompt_tokens": 50,
    "completion_tokens": 125,
    "reasoning_tokens": 25,
}

OBSERVATION: dict[str, Any] = {
    "id": "obs-1",
    "traceId": "trace-1",
    "projectId": "proj",
    "type": "GENERATION",
    "name": "answer",
    "level": "DEFAULT",
    "startTime": "2026-11-03T10:00:00.000Z",
    "endTime": "2026-11-03T10:00:01.500Z",
    "providedModelName": "gpt-5-mini-2025-08-07",
    "usageDetails": {"input": 464, "input_cached_tokens": 1536, "output": 44, "output_reasoning_tokens": 256,
                     "total": 2300},
    "costDetails": {"input": 0.0001, "total": 0.0007544},
    "totalCost": 0.0007544,
    "userId": "ada",
}  # fmt: skip

HELICONE: dict[str, Any] = {
    "response_id": "b2",
    "response_created_at": "2026-11-03T10:00:01.000Z",
    "response_status": 200,
    "request_id": "a1",
    "request_created_at": "2026-11-03T10:00:00.000Z",
    "request_user_id": "ada",
    "request_properties": {"team": "search"},
    "provider": "ANTHROPIC",
    "request_model": "claude-sonnet-4-5-20250929",
    "delay_ms": 900,
    "total_tokens": 212,
    "prompt_tokens": 12,
    "completion_tokens": 200,
    "prompt_cache_read_tokens": 5000,
    "prompt_cache_write_tokens": 3000,
    "cache_reference_id": "00000000-0000-0000-0000-000000000000",
    "cache_enabled": False,
    "cost": 0.015786,
}

#: An example of each format, as the name of a file and its text.
SPAN = {
    "name": "chat gpt-4o",
    "context": {"trace_id": "0x01", "span_id": "0x02"},
    "parent_id": None,
    "start_time": "2026-11-03T10:00:00Z",
    "end_time": "2026-11-03T10:00:01Z",
    "attributes": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 400,
        "gen_ai.usage.output_tokens": 20,
    },
}


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n"


def table(*rows: Mapping[str, object]) -> str:
    from io import StringIO

    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


EXAMPLES: Sequence[tuple[str, str, str]] = (
    ("claude-code", "session.jsonl", lines(claude_line(1, "a", "a", claude_usage()))),
    ("codex", "rollout.jsonl", lines(codex_meta("/a"), codex_turn(1, "gpt-5"), codex_tokens(2, (9, 0, 1, 0)))),
    ("bedrock", "bedrock.json", lines(INVOCATION)),
    ("otel", "spans.jsonl", lines(SPAN)),
    ("openai-usage", "usage.json", json.dumps(openai_page(COMPLETIONS), indent=2)),
    ("openai-usage", "costs.json", json.dumps(openai_page(COST))),
    ("anthropic-usage", "report.json", json.dumps(anthropic_page(MESSAGES), indent=2)),
    ("litellm", "spend.jsonl", lines(SPEND[0] | TIMES)),
    ("langfuse", "langfuse.json", json.dumps([OBSERVATION])),
    ("langfuse", "langfuse.csv", table({key: json.dumps(value) if isinstance(value, dict) else value
                                        for key, value in OBSERVATION.items()})),
    ("openrouter", "activity.csv", table(ACTIVITY)),
    ("openrouter", "generation.json", json.dumps({"data": GENERATION})),
    ("openrouter", "days.json", json.dumps({"data": [ACTIVITY_DAY]})),
    ("helicone", "helicone.jsonl", lines(HELICONE)),
    ("focus", "bill.csv", "BilledCost,ChargePeriodStart,ChargeCategory,ServiceName\n1,2026-11-03T00:00:00Z,Usage,x\n"),
    ("columns", "own.csv", "time_s,model,input_tokens,output_tokens\n1793700000,gpt-4o,10,5\n"),
)  # fmt: skip


def total(path: Path) -> UsageTotals:
    (found,) = aggregate(fill_costs(open_log(path).frame).frame)
    return found


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(("name", "file", "text"), EXAMPLES, ids=[file for _, file, _ in EXAMPLES])
def test_each_format_is_found_as_itself(tmp_path: Path, name: str, file: str, text: str) -> None:
    log = open_log(written(tmp_path, file, text))
    assert (log.format, log.read.kept) == (name, 1)
    filled = fill_costs(log.frame)
    report = build_report(filled.frame, pricing=filled.pricing, read=log.read)
    assert report.total.has_cost or report.total.unpriced_requests


def test_all_formats_of_a_folder_are_one_log(tmp_path: Path) -> None:
    assert {name for name, _, _ in EXAMPLES} == set(FORMATS)
    for _, file, text in EXAMPLES:
        written(tmp_path, file, text)
    log = open_log(tmp_path)
    assert set(log.format.split(", ")) == set(FORMATS)
    # The observation is told in two forms and counts once; the days of the usage are others in each file.
    assert (log.read.rows, log.read.repeated, log.read.bad_rows) == (len(EXAMPLES), 1, 0)


def test_bedrock_counts_the_cache_beside_the_input(tmp_path: Path) -> None:
    log = tmp_path / "20261103T100000000Z_0abc.json.gz"
    failed = INVOCATION | {"requestId": "b", "errorCode": "ThrottlingException", "output": {}, "input": {}}
    image = INVOCATION | {"requestId": "c", "modelId": "amazon.titan-image-generator-v2:0", "input": {}, "output": {}}
    tagged = INVOCATION | {"requestId": "d", "requestMetadata": {"tenant": "acme"}}
    log.write_bytes(gzip.compress(lines(INVOCATION, failed, image, tagged).encode()))
    filled = fill_costs(open_log(log).frame)
    found = {one.key: one for one in aggregate(filled.frame, by=["tenant", "outcome"])}
    usd = api_price("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws").usd(8012, 200, 5000, cache_write_tokens=3000)
    answered = found["assumed-role/shop-api", "ok"]
    assert (answered.input_tokens, answered.cached_input_tokens, answered.cache_write_tokens) == (8012, 5000, 3000)
    assert answered.cost_micro_usd == round(1e6 * usd)
    # An image has no tokens; it is unpriced and no less a request.
    assert (answered.requests, answered.unpriced_requests) == (2, 1)
    assert answered.mean_latency_s == pytest.approx(0.302)
    assert found["assumed-role/shop-api", "error"].cost_micro_usd == 0
    assert found["acme", "ok"].requests == 1
    assert any("five minutes" in one.text for one in filled.pricing.assumptions)


@pytest.mark.parametrize(
    "usage",
    [
        {"cacheDetails": [{"ttl": "5m", "inputTokens": 1000}, {"ttl": "1h", "inputTokens": 2000}]},
        {"cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000}},
    ],
)
def test_bedrock_tells_lifetimes_in_the_answer(tmp_path: Path, usage: object) -> None:
    output = INVOCATION["output"] | {"outputBodyJson": {"usage": usage}}
    path = written(tmp_path, "b.json", lines(INVOCATION | {"output": output}))
    price = api_price("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws")
    usd = price.usd(8012, 200, 5000, cache_write_tokens=3000, cache_write_1h_tokens=2000)
    assert total(path).cost_micro_usd == round(1e6 * usd)


def test_openrouter_is_who_asks_the_money(tmp_path: Path) -> None:
    own_key = ACTIVITY | {"generation_id": "gen-b", "cost_total": "0.001", "byok_usage_inference": "0.02"}
    stopped = ACTIVITY | {"generation_id": "gen-c", "cost_total": "0", "cancelled": "true", "app_name": ""}
    path = written(tmp_path, "activity.csv", table(ACTIVITY, own_key, stopped))
    found = {one.key[0]: one for one in aggregate(open_log(path).frame, by=["tenant"])}
    assert (found["shop"].requests, found["shop"].cost_micro_usd) == (2, 12_300 + 21_000)
    assert (found["shop"].cached_input_tokens, found["shop"].reasoning_tokens) == (20_000, 200)
    assert (found["prod"].failed_requests, found["prod"].cost_micro_usd) == (1, 0)
    assert found["shop"].mean_latency_s == 1.5
    # Tokens of the model's own tokenizer are those that are billed.
    one = total(written(tmp_path, "g.json", json.dumps({"data": GENERATION})))
    assert (one.input_tokens, one.output_tokens, one.cached_input_tokens, one.cost_micro_usd) == (12, 24, 8, 1500)
    one = total(written(tmp_path, "g.json", json.dumps({"data": GENERATION | {"is_byok": True}})))
    assert one.cost_micro_usd == 2700
    day = total(written(tmp_path, "days.json", json.dumps({"data": [ACTIVITY_DAY]})))
    assert (day.requests, day.input_tokens, day.output_tokens, day.cost_micro_usd) == (5, 50, 125, 27_000)


def test_langfuse_keeps_kinds_of_tokens_apart(tmp_path: Path) -> None:
    """The answer O of the made-up bill: 2,000 of which 1,536 cached, 300 of which 256 reasoning."""
    unknown = OBSERVATION | {"id": "obs-2", "totalCost": 0, "costDetails": {}}
    nothing: dict[str, Any] = {"providedModelName": None, "usageDetails": {}, "totalCost": None, "costDetails": {}}
    span = OBSERVATION | {"id": "obs-3", "type": "SPAN"} | nothing
    log = open_log(written(tmp_path, "o.jsonl", lines(OBSERVATION, unknown, span)))
    assert dict(log.read.dropped) == {"observations that used no model": 1}
    (found,) = aggregate(log.frame)
    assert (found.requests, found.cost_micro_usd, found.unpriced_requests) == (2, 754, 1)
    assert (found.input_tokens, found.cached_input_tokens) == (4000, 3072)
    assert (found.output_tokens, found.reasoning_tokens) == (600, 512)
    assert found.mean_latency_s == 1.5
    (found,) = aggregate(fill_costs(log.frame).frame)
    assert found.cost_micro_usd == round(2 * 754.4)


def test_langfuse_prices_answers_out_of_langchains_cache_and_we_do_not(tmp_path: Path) -> None:
    replayed = _with(OBSERVATION, id="b", usageDetails__total_cost=0)
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, (OBSERVATION, replayed))))
    once = aggregate(open_log(tmp_path / "log.jsonl").frame)[0]
    (tmp_path / "log.jsonl").write_text(json.dumps(OBSERVATION))
    alone = aggregate(open_log(tmp_path / "log.jsonl").frame)[0]
    assert (once.requests, once.cached_requests, once.unpriced_requests) == (2, 1, 0)
    assert once.cost_micro_usd == alone.cost_micro_usd > 0


def test_langfuse_writes_the_same_to_blob_storage(tmp_path: Path) -> None:
    usage = {"input": 12, "input_cached_tokens": 5000, "input_cache_creation": 3000, "output": 200, "total": 8212}
    row = {
        "id": "obs-1",
        "trace_id": "t",
        "type": "GENERATION",
        "level": "ERROR",
        "start_time": "2026-11-03 10:00:00.000000",
        "end_time": "",
        "provided_model_name": "claude-sonnet-4-5-20250929",
        "usage_details": json.dumps(usage),
        "cost_details": "{}",
        "total_cost": "",
        "user_id": "ada",
    }
    log = open_log(written(tmp_path, "observations.csv", table(row)))
    filled = fill_costs(log.frame, provider="anthropic")
    (found,) = aggregate(filled.frame, by=["tenant"])
    assert (found.key[0], found.failed_requests, found.cost_micro_usd) == ("ada", 1, 15_786)
    assert (found.input_tokens, found.cache_write_tokens) == (8012, 3000)


def test_helicone_counts_the_cache_beside_the_prompt(tmp_path: Path) -> None:
    unknown = HELICONE | {"request_id": "a2", "cost": 0}
    hit = HELICONE | {
        "request_id": "a3",
        "cost": 0.015786,
        "cache_reference_id": "11111111-0000-0000-0000-000000000000",
    }
    failed = HELICONE | {"request_id": "a4", "response_status": 529, "prompt_tokens": None, "completion_tokens": None,
                         "prompt_cache_read_tokens": 0, "prompt_cache_write_tokens": 0, "cost": 0}  # fmt: skip
    log = open_log(written(tmp_path, "h.jsonl", lines(HELICONE, unknown, hit, failed)))
    found = {one.key: one for one in aggregate(fill_costs(log.frame).frame, by=["outcome", "tenant", "provider"])}
    answered = found["ok", "search", "anthropic"]
    assert (answered.requests, answered.input_tokens, answered.cost_micro_usd) == (2, 2 * 8012, 2 * 15_786)
    assert answered.mean_latency_s == 0.9
    assert found["cached", "search", "anthropic"].cost_micro_usd == 0
    assert found["error", "search", "anthropic"].cost_micro_usd == 0


def test_helicones_table_has_fewer_columns(tmp_path: Path) -> None:
    """What ``npx @helicone/export --format csv`` writes."""
    names = (
        "response_id", "response_created_at", "response_status", "request_created_at", "request_body",
        "request_properties", "request_user_id", "model", "prompt_tokens", "completion_tokens", "latency", "cost",
    )  # fmt: skip
    own = {"model": "gpt-4o", "latency": 900, "request_properties": "{}"}
    row = {name: HELICONE.get(name, "") for name in names} | own
    log = open_log(written(tmp_path, "h.csv", table(row)))
    (found,) = aggregate(log.frame)
    assert (log.format, found.cost_micro_usd, found.input_tokens) == ("helicone", 15_786, 12)
    assert any("leaves out tokens of the prompt cache" in note for note in log.notes)


def _with(row: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    """A row with other values; a name of two parts (``input__count``) is a field of a field."""
    changed: dict[str, Any] = json.loads(json.dumps(row))
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        if inner:
            changed[outer][inner] = value
        else:
            changed[outer] = value
    return changed


LITELLM_ROW: dict[str, Any] = SPEND[0] | TIMES | {"metadata": {"usage_object": {"cache_read_input_tokens": 100}}}

#: A row of each format, and counts of it below zero, all of which a sum or a maximum would hide.
BELOW_ZERO: Sequence[tuple[str, str, dict[str, Any], dict[str, Any]]] = (
    ("claude-code", "jsonl", claude_line(1, "msg_a", "req_a", claude_usage(fresh=50)),
     claude_line(2, "msg_b", "req_b", claude_usage(fresh=50, read=-5))),
    ("claude-code", "jsonl", claude_line(1, "msg_a", "req_a", claude_usage(fresh=50)),
     claude_line(2, "msg_b", "req_b", claude_usage(fresh=50, written_5m=-5))),
    ("codex", "jsonl", codex_tokens(2, (9, 0, 1, 0)), codex_tokens(3, (19, -5, 2, 0))),
    ("bedrock", "jsonl", INVOCATION, _with(INVOCATION, requestId="b", input__inputTokenCount=-12)),
    ("bedrock", "jsonl", INVOCATION, _with(INVOCATION, requestId="b", input__cacheReadInputTokenCount=-1)),
    ("langfuse", "jsonl", OBSERVATION, _with(OBSERVATION, id="b", usageDetails__input=-4)),
    ("langfuse", "jsonl", OBSERVATION, _with(OBSERVATION, id="b", usageDetails__input_cached_tokens="many")),
    ("helicone", "jsonl", HELICONE, _with(HELICONE, request_id="b", prompt_tokens=-12)),
    ("openrouter", "csv", ACTIVITY, _with(ACTIVITY, generation_id="b", tokens_cached="-1")),
    ("litellm", "jsonl", LITELLM_ROW, _with(LITELLM_ROW, request_id="b", prompt_tokens=-5)),
    ("litellm", "jsonl", LITELLM_ROW, _with(LITELLM_ROW, request_id="b", metadata__usage_object={
        "cache_read_input_tokens": 0, "prompt_tokens_details": {"cached_tokens": -7}})),
    ("litellm", "parquet", LITELLM_ROW | {"metadata": None}, LITELLM_ROW | {
        "request_id": "b", "metadata": None, "completion_tokens": -5}),
    ("columns", "csv", {"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1, "cached_input_tokens": 9},
     {"time_s": 2, "model": "m", "input_tokens": -1, "output_tokens": 1, "cached_input_tokens": 9}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "good", "bad"), BELOW_ZERO, ids=[f"{one[0]}-{place}" for place, one in enumerate(BELOW_ZERO)]
)
def test_a_count_below_zero_is_a_row_that_cannot_be_read(
    tmp_path: Path, name: str, kind: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([good, bad]), path)
    else:
        path.write_text(table(good, bad) if kind == "csv" else lines(good, bad))
    apart = name == "columns"
    with pytest.raises(LogError, match=r"log\.\w+ (line|row) \d: ") as caught:
        open_log(path, format=name, cached_apart=apart)
    assert "--max-bad-rows 1 leaves it out" in str(caught.value)
    opened = open_log(path, format=name, cached_apart=apart, max_bad_rows=1)
    assert (opened.read.rows, opened.read.bad_rows, opened.read.kept) == (2, 1, 1)
    assert opened.read.bad[0].where in ("log.jsonl line 2", "log.csv line 3", "log.parquet row 2")
    (found,) = aggregate(opened.frame)
    assert found.requests == 1


def test_a_tier_of_service_is_passed_on_as_the_log_tells_it(tmp_path: Path) -> None:
    """What the catalogue does not know of it is for the report to say."""
    attributes = SPAN["attributes"] | {"openai.response.service_tier": "Scale"}  # type: ignore[operator]
    metadata = {"usage_object": {"service_tier": "scale"}}
    answered = _with(INVOCATION, output__outputBodyJson={"serviceTier": {"type": "reserved"}})
    (tmp_path / "a.jsonl").write_text(lines(SPAN | {"attributes": attributes}))
    (tmp_path / "b.jsonl").write_text(lines(LITELLM_ROW | {"metadata": metadata}))
    (tmp_path / "c.jsonl").write_text(lines(answered))
    opened = open_log([tmp_path / f"{name}.jsonl" for name in "abc"])
    assert opened.frame.project("service_tier").order("1").fetchall() == [("reserved",), ("scale",), ("scale",)]
    filled = fill_costs(opened.frame, reprice=True)
    words = dict(reading(build_report(filled.frame, pricing=filled.pricing)))
    assert words["tiers of service"] == (
        "2 requests of scale, 1 request of reserved, which the catalogue does not know: priced as standard"
    )
    standard = "the catalogue has no tier of service 'reserved': its requests are priced as standard"
    assert standard in {one.text for one in filled.pricing.assumptions}


def test_a_request_in_two_formats_counts_once_where_its_answer_has_one_id(tmp_path: Path) -> None:
    """A gateway's row and the client's span; an agent's session and its telemetry; Bedrock's log and a client's."""
    span = _with(SPAN, attributes=SPAN["attributes"] | {"gen_ai.response.id": "chatcmpl-1"})  # type: ignore[operator]
    other = _with(span, context={"trace_id": "0x01", "span_id": "0x03"})
    other["attributes"]["gen_ai.response.id"] = "chatcmpl-2"
    (tmp_path / "spans.jsonl").write_text(lines(span, other, SPAN | {"context": {"trace_id": "0x1", "span_id": "0x4"}}))
    rows = [LITELLM_ROW | {"request_id": "chatcmpl-1", "spend": 0.5}, LITELLM_ROW | {"request_id": "chatcmpl-9"}]
    (tmp_path / "spend.jsonl").write_text(lines(*rows))
    for names in (("spans", "spend"), ("spend", "spans")):
        opened = open_log([tmp_path / f"{name}.jsonl" for name in names])
        (found,) = aggregate(opened.frame)
        assert (found.requests, opened.read.rows, opened.read.repeated) == (4, 5, 1)
        assert found.cost_usd == pytest.approx(0.5 + LITELLM_ROW["spend"])  # the row counts that tells the cost
        assert "1 request is told in two formats and counts once: the provider's id of the answer is the same" in (
            opened.notes
        )
        assert set(opened.frame.columns) <= {*LOG_COLUMNS, ROUNDED_UP}
    (tmp_path / "session.jsonl").write_text(
        lines(claude_line(1, "msg_a", "req_a", claude_usage()), claude_line(2, "msg_b", "req_0b7e", claude_usage()))
    )
    event = {"event.name": "api_request", "model": "claude-haiku-4-5", "input_tokens": 3, "output_tokens": 10}
    told = event | {"request_id": "req_0b7e"}
    pairs = [{"key": key, "value": {"stringValue": str(value)}} for key, value in told.items()]
    record = {"timeUnixNano": "1793700000000000000", "attributes": pairs}
    logged = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    (tmp_path / "events.jsonl").write_text(lines(logged))
    opened = open_log([tmp_path / "session.jsonl", tmp_path / "events.jsonl"])
    assert (aggregate(opened.frame)[0].requests, opened.read.repeated) == (2, 1)
    attributes = SPAN["attributes"] | {"aws.request_id": INVOCATION["requestId"]}  # type: ignore[operator]
    watched = _with(span, attributes=attributes)
    (tmp_path / "aws.jsonl").write_text(lines(watched))
    (tmp_path / "bedrock.jsonl").write_text(lines(INVOCATION))
    opened = open_log([tmp_path / "aws.jsonl", tmp_path / "bedrock.jsonl"])
    assert (aggregate(opened.frame)[0].requests, opened.read.repeated) == (1, 1)


def test_an_id_at_several_rows_of_a_log_names_no_answer(tmp_path: Path) -> None:
    """A server of tests gives all its answers one id: which of them another log tells is not to be known."""
    spans = [
        _with(
            SPAN,
            context={"trace_id": f"0x{place}", "span_id": "0x3"},
            attributes=SPAN["attributes"]
            | {  # type: ignore[operator]
                "gen_ai.response.id": "chatcmpl-stub"
            },
        )
        for place in (1, 2)
    ]
    (tmp_path / "spans.jsonl").write_text(lines(*spans))
    (tmp_path / "spend.jsonl").write_text(lines(LITELLM_ROW | {"request_id": "chatcmpl-stub"}))
    opened = open_log([tmp_path / "spans.jsonl", tmp_path / "spend.jsonl"])
    assert (aggregate(opened.frame)[0].requests, opened.read.repeated) == (3, 0)


def test_formats_that_tell_no_ids_of_answers_are_named(tmp_path: Path) -> None:
    (tmp_path / "spend.jsonl").write_text(lines(LITELLM_ROW | {"request_id": "chatcmpl-1"}))
    (tmp_path / "rollout.jsonl").write_text(
        lines(codex_meta("/a"), codex_turn(1, "gpt-5"), codex_tokens(2, (9, 0, 1, 0)))
    )
    opened = open_log([tmp_path / "spend.jsonl", tmp_path / "rollout.jsonl"])
    assert opened.notes[-1] == (
        "no ids that a provider gave its answers in the format codex: a request that is in a log of another format as "
        "well counts twice"
    )
    assert not any("counts twice" in note for note in open_log(tmp_path / "rollout.jsonl").notes)


def test_a_credit_may_be_below_zero(tmp_path: Path) -> None:
    """Money that comes back; its tokens, if any, are those of the request."""
    back = LITELLM_ROW | {"request_id": "credit", "spend": -0.5}
    (tmp_path / "log.jsonl").write_text(lines(LITELLM_ROW, back))
    (found,) = aggregate(open_log(tmp_path / "log.jsonl").frame)
    assert (found.requests, found.credits, found.credit_micro_usd) == (1, 1, 500_000)
