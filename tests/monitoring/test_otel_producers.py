"""One call, one bill, whoever watched it: what libraries really write, read to the micro-dollar.

The files of `data/cases/spans` and `data/spans` were written by the libraries named, watching real clients that asked a
server on the same machine. It gave two answers, as the vendors document them:

- O, `gpt-5-mini-2025-08-07`: 2,000 tokens, of which 1,536 were cached, and 300 of answer, of which 256 were reasoning:
  0.0007544 USD;
- A, `claude-sonnet-4-5-20250929`: 12 tokens, 3,000 written to the cache, 2,000 of these for 1 h, 5,000 read from it,
  and 200 of answer: 0.020286 USD; 0.015786 where nobody says for how long they were written.
"""

import json
from pathlib import Path

import pytest

from costlab.monitoring import aggregate, fill_costs, open_log
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb", "msgspec"):
    needs.extra(module, "usage")

DATA = Path(__file__).parent / "data"

#: What a call to each costs in micro-dollars; A's with its writes for five minutes and for an hour.
CALL_O, PLAIN_A, TOLD_A, BEDROCK = 754.4, 15_786, 20_286, 17_364.6

#: 8 tokens at 0.02 dollars a million.
EMBEDDED = 0.16

#: File, requests, micro-dollars, all input tokens, of them read from and written to the cache, answer, unpriced.
CASES = [
    # opentelemetry-instrumentation-genai-openai 1.3b0
    ("cases/spans/openai-official.jsonl", 1, CALL_O, 2000, 1536, 0, 300, 0),
    # opentelemetry-instrumentation-openai-v2 2.4b0 never tells cached tokens
    ("cases/spans/openai-official-older.jsonl", 1, 1100, 2000, 0, 0, 300, 0),
    # opentelemetry-instrumentation-genai-anthropic 1.3b0
    ("cases/spans/anthropic-official.jsonl", 1, PLAIN_A, 8012, 5000, 3000, 200, 0),
    # opentelemetry-instrumentation-anthropic 0.62.4 (Traceloop); streamed, it counts the first token twice
    ("cases/spans/anthropic-traceloop.jsonl", 1, PLAIN_A, 8012, 5000, 3000, 200, 0),
    ("cases/spans/anthropic-traceloop-streamed.jsonl", 1, PLAIN_A + 15, 8012, 5000, 3000, 201, 0),
    # openinference-instrumentation-anthropic 3.1.0
    ("cases/spans/anthropic-openinference.jsonl", 1, PLAIN_A, 8012, 5000, 3000, 200, 0),
    # opentelemetry-instrumentation-langchain 0.62.4 and -anthropic 0.62.4; what was written is lost in LangChain
    ("cases/spans/langchain-and-client-traceloop.jsonl", 1, 13_536, 8012, 5000, 0, 200, 0),
    # litellm 1.110.2
    ("cases/spans/litellm-callback.jsonl", 1, TOLD_A, 8012, 5000, 3000, 200, 0),
    # pydantic-ai-slim 2.68.0
    ("cases/spans/pydantic-ai-agent.jsonl", 2, 2 * TOLD_A, 16_024, 10_000, 6000, 400, 0),
    # logfire 5.4.0
    ("cases/spans/logfire-streamed.jsonl", 1, CALL_O, 2000, 1536, 0, 300, 0),
    # langfuse 5.0.4
    ("cases/spans/langfuse-streamed.jsonl", 1, CALL_O, 2000, 1536, 0, 300, 0),
    # ai 7.0.173 with @ai-sdk/otel 1.0.173
    ("cases/spans/vercel-ai-agent.json", 2, 2 * PLAIN_A, 16_024, 10_000, 6000, 400, 0),
    # Older names, in which what was written is a part of the input tokens, and beside them.
    ("cases/cache-write-included.json", 10, 3_030_600, 800_200, 0, 800_000, 2000, 0),
    ("cases/cache-write-apart.json", 10, 3_030_600, 800_200, 0, 800_000, 2000, 0),
    ("cases/openinference.json", 1, 153, 1200, 1000, 0, 80, 0),
    # Claude Code's documented events
    ("cases/coding-agent-otlp-logs.jsonl", 2, 72_120, 128_040, 120_000, 8000, 400, 0),
    # ConsoleSpanExporter of opentelemetry-sdk 1.45.2
    ("cases/console-exporter.json", 2, 420, 2000, 0, 0, 200, 0),
    ("cases/provider-decides.json", 6, 7_290_000, 6_000_000, 0, 0, 0, 0),
]

#: Each client with openai 3.57.0, anthropic 2.14.0 (which writes spans of its own), boto3 1.44.8, google-genai 3.6.1.
SIBLINGS = [
    # -genai-openai 1.3b0: chat, streamed with and without use, Responses API, that streamed, an embedding, flex tier
    ("spans/genai-openai.json", 7, 4 * CALL_O + EMBEDDED + CALL_O / 2, 10_008, 7680, 0, 1500, 1),
    # opentelemetry-instrumentation-openai 0.62.4 and 0.40.14 (Traceloop)
    ("spans/tl-openai.json", 5, 3 * CALL_O + EMBEDDED, 6008, 4608, 0, 900, 1),
    ("spans/old-tl-openai.json", 3, CALL_O + EMBEDDED, 2008, 1536, 0, 300, 1),
    # openinference-instrumentation-openai 0.1.66
    ("spans/oi-openai.json", 4, 3 * CALL_O + EMBEDDED, 6008, 4608, 0, 900, 0),
    # openinference-instrumentation-openai 0.1.66 with openai 2.54.0: as above without the embedding, asked for the flex
    # tier, at half the price. It tells that among the request's parameters alone
    ("spans/oi-openai-flex.json", 4, 4 * CALL_O / 2, 8000, 6144, 0, 1200, 0),
    # -genai-anthropic 1.3b0, Traceloop's 0.62.4 and 0.40.14, openinference 3.1.0, around or beside the client's own
    ("spans/genai-anthropic.json", 2, 2 * TOLD_A, 16_024, 10_000, 6000, 400, 0),
    ("spans/tl-anthropic.json", 1, TOLD_A, 8012, 5000, 3000, 200, 0),
    ("spans/oi-anthropic.json", 2, 2 * TOLD_A, 16_024, 10_000, 6000, 400, 0),
    ("spans/old-tl-anthropic.json", 2, PLAIN_A, 8012, 5000, 3000, 200, 1),
    # Amazon Bedrock, 10 % dearer where the region is named: Converse, that streamed, InvokeModel. Of these
    # -genai-bedrock 1.3b0, -botocore 0.66b2 and Traceloop's 0.62.4 leave cached tokens out of the input tokens,
    # openinference 0.1.61 does not; botocore does not tell them of InvokeModel
    ("spans/genai-bedrock.json", 3, 3 * BEDROCK, 24_036, 15_000, 9000, 600, 0),
    ("spans/botocore.json", 3, 2 * BEDROCK + 3340, 16_036, 10_000, 6000, 600, 0),
    ("spans/tl-bedrock.json", 3, 3 * BEDROCK, 24_036, 15_000, 9000, 600, 0),
    ("spans/oi-bedrock.json", 3, 3 * BEDROCK, 24_036, 15_000, 9000, 600, 0),
    # Gemini's answer: 2,000 tokens, 1,500 of them cached, 44 said, 256 thought, 2,300 in all. -google-genai 1.3b0,
    # Traceloop's 0.62.4, whose answer leaves the thoughts out, openinference 1.4.14; at once and streamed
    ("spans/google-genai.json", 2, 2 * 945, 4000, 3000, 0, 600, 0),
    ("spans/tl-google.json", 2, 2 * 945, 4000, 3000, 0, 600, 0),
    ("spans/oi-google.json", 2, 2 * 945, 4000, 3000, 0, 600, 0),
    # LangChain 1.5.2 and its client watched, as child, as sibling and in traces of their own: -genai-langchain 1.3b0,
    # Traceloop's 0.62.4, openinference 0.1.80; a call and a stream that does not tell its use
    ("spans/genai-langchain.json", 2, CALL_O, 2000, 1536, 0, 300, 1),
    ("spans/genai-langchain-a.json", 1, TOLD_A, 8012, 5000, 3000, 200, 0),
    ("spans/tl-langchain-genai-openai.json", 2, CALL_O, 2000, 1536, 0, 300, 1),
    ("spans/oi-langchain.json", 2, CALL_O, 2000, 1536, 0, 300, 1),
    ("spans/oi-langchain-genai.json", 1, TOLD_A, 8012, 5000, 3000, 200, 0),
    # LangChain 1.8.3 asked twice, the second time answered from its own cache: openinference 0.1.80 and langfuse 5.2.0
    # hand on the mark that it was, Traceloop's 0.62.4 and -genai-langchain 1.3b0 tell it as another call
    ("spans/oi-langchain-replayed.jsonl", 2, CALL_O, 4000, 3072, 0, 600, 0),
    ("spans/langfuse-langchain-replayed.jsonl", 2, CALL_O, 4000, 3072, 0, 600, 0),
    ("spans/oi-tl-langchain-replayed.jsonl", 2, CALL_O, 4000, 3072, 0, 600, 0),
    ("spans/tl-langchain-replayed.jsonl", 2, 2 * CALL_O, 4000, 3072, 0, 600, 0),
    ("spans/genai-langchain-replayed.jsonl", 2, 2 * CALL_O, 4000, 3072, 0, 600, 0),
    # agent-framework-core 1.23.0 with agent-framework-openai 1.17.0, which write the whole URL as server.address: O's
    # tokens of deepseek-chat at DeepSeek, at 15:15 UTC, and of gpt-oss-120b at Groq
    ("spans/agent-framework.json", 2, 562.8 + 364.8, 4000, 3072, 0, 600, 0),
    # openai-agents 0.24.0 by -genai-openai-agents 1.3b0; litellm 1.110.2 by openinference 0.1.51, with its cost
    ("spans/genai-agents.json", 1, CALL_O, 2000, 1536, 0, 300, 0),
    ("spans/oi-litellm.json", 2, CALL_O + TOLD_A, 10_012, 6536, 3000, 500, 0),
    ("spans/tl-and-oi-openai.json", 1, CALL_O, 2000, 1536, 0, 300, 0),
    # langfuse 5.0.4: OpenAI's client, a stream without use, LangChain with Anthropic, and one told by hand
    ("spans/langfuse.json", 4, CALL_O + 2 * TOLD_A, 18_024, 11_536, 6000, 700, 1),
    # logfire 5.4.0: chat, Responses API, an embedding; streams with, with and without use; one broken off; Anthropic
    ("spans/logfire.json", 3, 2 * CALL_O + EMBEDDED, 4008, 3072, 0, 600, 0),
    ("spans/logfire-streams.json", 3, 2 * CALL_O, 4000, 3072, 0, 600, 1),
    ("spans/logfire-broken.json", 1, 0, 0, 0, 0, 0, 1),
    ("spans/logfire-anthropic.json", 2, 2 * TOLD_A, 16_024, 10_000, 6000, 400, 0),
    # mlflow-tracing 3.17.2, whose texts are JSON: an agent that asks openai 2.54.0 and anthropic 0.125.0, and a stream
    ("spans/mlflow.json", 3, 2 * CALL_O + TOLD_A, 12_012, 8072, 3000, 800, 0),
    # openlit 1.45.0 with prices of cached tokens: openai 2.54.0 (chat and Responses API), anthropic 0.125.0 and
    # google-genai 3.6.1, each at once and streamed. It tells costs, of Gemini's answers without the thoughts
    ("spans/openlit.json", 8, 4 * CALL_O + 2 * PLAIN_A + 2 * 945, 28_024, 19_144, 6000, 2200, 0),
    # pydantic-ai-slim 2.68.0 around -genai-openai 1.3b0: two turns with a tool
    ("spans/pydantic-ai-and-client.json", 2, 2 * CALL_O, 4000, 3072, 0, 600, 0),
    # ai 4.3.19, 5.0.277, 6.0.326: OpenAI, Anthropic, that streamed, an embedding. Until 6 the input of Anthropic's
    # models leaves cached tokens out; 5 does not tell those of OpenAI's
    ("spans/vercel-v4.json", 4, CALL_O + 2 * PLAIN_A + EMBEDDED, 18_032, 11_536, 6000, 700, 0),
    ("spans/vercel-v5.json", 4, 1100 + 2 * TOLD_A + EMBEDDED, 18_032, 10_000, 6000, 700, 0),
    ("spans/vercel-v6.json", 4, CALL_O + 2 * PLAIN_A + EMBEDDED, 18_032, 11_536, 6000, 700, 0),
    # and 6.0.326 with @ai-sdk/openai 3.0.141, asked for the flex tier: chat and Responses API, both also streamed;
    # only the latter says how it was served
    ("spans/vercel-v6-flex.json", 4, 2 * CALL_O + 2 * CALL_O / 2, 8000, 6144, 0, 1200, 0),
]


@pytest.mark.parametrize(
    ("name", "requests", "micro_usd", "input_tokens", "cached", "written", "output_tokens", "unpriced"),
    CASES + SIBLINGS,
    ids=[Path(case[0]).stem for case in CASES + SIBLINGS],
)
def test_one_call_has_one_bill_whoever_watched_it(
    name: str, requests: int, micro_usd: float, input_tokens: int, cached: int, written: int, output_tokens: int,
    unpriced: int,
) -> None:  # fmt: skip
    opened = open_log(DATA / name)
    assert opened.format == "otel"
    (found,) = aggregate(fill_costs(opened.frame).frame)
    assert (found.requests, found.cost_micro_usd, found.unpriced_requests) == (requests, round(micro_usd), unpriced)
    used = (found.input_tokens, found.cached_input_tokens, found.cache_write_tokens, found.output_tokens)
    assert used == (input_tokens, cached, written, output_tokens)
    # All other producers tell what was written, or nothing of the cache, or watch models that ask no more for it.
    unknown = any(note.startswith("writes unknown") for note in opened.notes)
    assert unknown == (name == "cases/spans/langchain-and-client-traceloop.jsonl")


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (
            "cases/spans/openai-official-older.jsonl",
            "chat tells nothing of the provider's prompt cache: 1 request to openai is priced as if it had not been "
            "used",
        ),
        # langchain-anthropic writes a 0 where 3,000 were written: 0.0135 for a bill of 0.0203
        (
            "cases/spans/langchain-and-client-traceloop.jsonl",
            "writes unknown: ChatAnthropic.chat does not tell what 1 request to anthropic wrote to the provider's "
            "prompt cache; that is priced as other input, which costs less",
        ),
        ("cases/spans/litellm-callback.jsonl", "1 request tells its cost, 0.020286 USD, which was taken as told"),
        (
            "spans/tl-bedrock.json",
            "3 requests have the tokens of the prompt cache beside the input tokens, to which those were added: "
            "opentelemetry.instrumentation.bedrock",
        ),
        # LangChain's answer out of its cache: 300 tokens in 0.4 ms
        (
            "spans/tl-langchain-replayed.jsonl",
            "1 request was answered at more than 100,000 tokens a second, as no model does: out of the application's "
            "own cache, which costs nothing, or its span was made afterwards; it is priced as a call",
        ),
    ],
)
def test_what_was_understood_is_said(name: str, note: str) -> None:
    assert note in open_log(DATA / name).notes


@pytest.mark.parametrize("watched_by", ["oi", "langfuse", "oi-tl"])
def test_an_answer_out_of_the_applications_cache_was_no_call(watched_by: str) -> None:
    opened = open_log(DATA / f"spans/{watched_by}-langchain-replayed.jsonl")
    (found,) = aggregate(opened.frame)
    assert (found.requests, found.cached_requests, found.unpriced_requests, found.cost_micro_usd) == (2, 1, 1, 0)
    assert not any("tells its cost" in note for note in opened.notes)


def _answered(message: dict[str, object]) -> dict[str, object]:
    """A span of OpenInference's with an answer of LangChain's."""
    answer = {"generations": [[{"text": "", "message": {"lc": 1, "kwargs": message}}]], "llm_output": None}
    return {
        "name": "ChatOpenAI",
        "context": {"trace_id": "0x1", "span_id": "0x2"},
        "parent_id": None,
        "start_time": "2026-11-05T10:00:00Z",
        "end_time": "2026-11-05T10:00:02Z",
        "attributes": {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 2000,
            "llm.token_count.completion": 300,
            "output.value": json.dumps(answer),
        },
    }


@pytest.mark.parametrize(
    ("message", "cached"),
    [
        ({"content": "Hello", "usage_metadata": {"input_tokens": 2000, "total_cost": 0}}, 1),
        ({"content": "Hello", "usage_metadata": {"input_tokens": 2000, "total_cost": 0.008}}, 0),
        ({"content": 'Write "total_cost": 0 there.', "usage_metadata": {"input_tokens": 2000}}, 0),
        ({"content": '"usage_metadata": {"total_cost": 0}'}, 0),
        ({"content": "", "tool_calls": [{"name": "bill", "args": {"usage_metadata": {"total_cost": 0}}}]}, 0),
    ],
)
def test_no_text_of_a_models_makes_its_answer_free(message: dict[str, object], cached: int, tmp_path: Path) -> None:
    (tmp_path / "spans.jsonl").write_text(json.dumps(_answered(message)))
    (found,) = aggregate(open_log(tmp_path / "spans.jsonl").frame)
    assert (found.requests, found.cached_requests) == (1, cached)


def test_a_span_around_a_replayed_call_says_that_it_was_one(tmp_path: Path) -> None:
    outer = _answered({"usage_metadata": {"total_cost": 0}})
    inner = {
        "name": "chat gpt-4o",
        "context": {"trace_id": "0x1", "span_id": "0x3"},
        "parent_id": "0x2",
        "start_time": "2026-11-05T10:00:00.5Z",
        "end_time": "2026-11-05T10:00:01Z",
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 2000,
            "gen_ai.usage.output_tokens": 300,
        },
    }
    (tmp_path / "spans.jsonl").write_text(f"{json.dumps(outer)}\n{json.dumps(inner)}\n")
    (found,) = aggregate(fill_costs(open_log(tmp_path / "spans.jsonl").frame).frame)
    assert (found.requests, found.cached_requests, found.cost_micro_usd) == (1, 1, 0)


def test_who_served_and_how_goes_to_the_record() -> None:
    frame = open_log(DATA / "spans/genai-openai.json").frame
    assert set(frame.project("provider, service_tier").distinct().fetchall()) == {
        ("openai", "standard"), ("openai", "flex"),
    }  # fmt: skip
    frame = open_log(DATA / "spans/agent-framework.json").frame
    assert set(frame.project("provider").distinct().fetchall()) == {("deepseek",), ("groq",)}
    frame = open_log(DATA / "spans/genai-bedrock.json").frame
    assert frame.project("provider").distinct().fetchall() == [("aws",)]


def test_a_folder_of_spans_has_the_requests_of_its_files(tmp_path: Path) -> None:
    """Ids of answers that servers give again, as stubs do, make no two calls one: they are apart in time."""
    names = [case for case in CASES if case[0].startswith("cases/spans")]
    for name, *_ in names:
        (tmp_path / Path(name).name).write_bytes((DATA / name).read_bytes())
    (found,) = aggregate(fill_costs(open_log(tmp_path, format="otel").frame).frame)
    requests, micro_usd = sum(case[1] for case in names), round(sum(case[2] for case in names))
    assert (found.requests, found.cost_micro_usd) == (requests, micro_usd)


def test_what_is_delivered_twice_counts_once(tmp_path: Path) -> None:
    line = json.dumps(json.loads((DATA / "cases/provider-decides.json").read_text()))
    (tmp_path / "twice.jsonl").write_text(f"{line}\n{line}\n")
    opened = open_log(tmp_path / "twice.jsonl")
    assert (opened.read.rows, opened.read.kept, opened.read.repeated) == (12, 6, 6)
