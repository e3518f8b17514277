"""Spend logs of LiteLLM, as its own row builder writes them (1.110.2, run by ``data/litellm/make_spend_logs.py``).

Two answers are behind the rows of vendors. One of gpt-5-mini: 2,000 tokens in, 1,536 of them cached, 300 out, 256 of
them reasoning. One of claude-sonnet-4-5: 12 tokens in beside 3,000 written to the prompt cache, 2,000 of them for an
hour, and 5,000 read from it; 200 out.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.monitoring import UsageTotals, aggregate, fill_costs, open_log
from costlab.monitoring.importers.paths import MAX_LINE_BYTES
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

MADE = Path(__file__).parent / "data" / "litellm" / "spend-logs.jsonl"


def made() -> list[dict[str, Any]]:
    return [json.loads(line) for line in MADE.read_text().splitlines()]


def as_objects(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As ``/spend/logs`` answers: metadata is no text there."""
    return [row | {"metadata": json.loads(row["metadata"])} for row in rows]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"spend.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys())
            table.writeheader()
            table.writerows(rows)
    elif kind == "parquet":
        names = [name for name in rows[0] if name not in ("messages", "response", "proxy_server_request")]
        pyarrow.parquet.write_table(pyarrow.table({name: [row[name] for row in rows] for name in names}), path)
    elif kind == "json":
        path.write_text(json.dumps({"data": as_objects(rows), "total": len(rows), "page": 1}, indent=1))
    else:
        # Files that grew together: metadata as an object, and as a text.
        mixed = [row if place % 2 else as_objects([row])[0] for place, row in enumerate(rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in mixed))
    return path


def by_model(frame: Any) -> dict[str, UsageTotals]:
    return {" ".join(filter(None, one.key)): one for one in aggregate(frame, by=["model", "service_tier"])}


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_one_call_is_one_bill_however_the_log_was_exported(tmp_path: Path, kind: str) -> None:
    opened = open_log(write(tmp_path, kind, made()))
    assert (opened.format, opened.read.rows, opened.read.kept) == ("litellm", 9, 9)
    found = by_model(opened.frame)
    mini = found["gpt-5-mini standard"]
    assert (mini.input_tokens, mini.cached_input_tokens, mini.output_tokens, mini.reasoning_tokens) == (
        2000, 1536, 300, 256,
    )  # fmt: skip
    assert (mini.cost_micro_usd, found["gpt-5-mini flex"].cost_micro_usd) == (754, 377)  # 0.0007544 and a half of it
    assert found["gpt-5-mini priority"].cost_micro_usd == 1358  # 1.8 times
    claude = found["claude-sonnet-4-5-20250929 standard"]
    assert (claude.input_tokens, claude.cached_input_tokens, claude.cache_write_tokens) == (8012, 5000, 3000)
    assert claude.cost_micro_usd == 20_286
    outcomes = {one.key[0]: one.requests for one in aggregate(opened.frame, by=["outcome"])}
    assert outcomes == {"ok": 7, "cached": 1, "error": 1}
    # No price where it was served by ourselves, nor for an Azure deployment of an unknown model.
    assert {one.unpriced_requests for one in (found["our-llama standard"], mini)} == {1, 0}
    filled = fill_costs(opened.frame, deployments={"gpt-4o-mini-deployment": "gpt-4o-mini"})
    assert (filled.pricing.requests_priced, filled.pricing.requests_own_server) == (1, 1)
    assert filled.pricing.unpriced == ()


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_the_parts_of_the_tokens_are_enough_to_price_a_call_again(tmp_path: Path, kind: str) -> None:
    """What LiteLLM says that a call cost, from its tokens alone: writes for an hour, tiers of service."""
    rows = [row | {"spend": None} for row in made() if row["model"] in ("gpt-5-mini", "claude-sonnet-4-5-20250929")]
    filled = fill_costs(open_log(write(tmp_path, kind, rows)).frame)
    found = {key: one.cost_micro_usd for key, one in by_model(filled.frame).items()}
    assert found == {
        "gpt-5-mini standard": 754,
        "gpt-5-mini flex": 377,
        "gpt-5-mini priority": 1358,
        "claude-sonnet-4-5-20250929 standard": 20_286,
    }
    # The lifetimes are told; what is assumed is that prices held on after the catalogue's day.
    assert [one.text.split(",")[0] for one in filled.pricing.assumptions] == [
        "prices have not changed since 2026-11-09"
    ]


def test_metadata_that_pandas_wrote_as_python_is_read_too(tmp_path: Path) -> None:
    rows = [row | {"metadata": repr(row["metadata"])} for row in as_objects(made())]
    assert "'usage_object': {'completion_tokens': 300" in rows[0]["metadata"]
    (total,) = aggregate(open_log(write(tmp_path, "csv", rows)).frame)
    assert total.cache_write_tokens == 3000
    rows[2]["metadata"] = "{'usage_object': cut off"
    with pytest.raises(LogError, match=r"spend\.csv line \d+: metadata '\{'usage_object': cut off' is no JSON"):
        open_log(write(tmp_path, "csv", rows))


def spend(**changes: Any) -> dict[str, Any]:
    plain = {
        "request_id": "a", "call_type": "acompletion", "model": "gpt-4o", "spend": 0.0, "prompt_tokens": 1000,
        "completion_tokens": 100, "total_tokens": 1100, "startTime": "2026-10-01T10:00:00Z",
        "endTime": "2026-10-01T10:00:01Z", "custom_llm_provider": "openai", "api_base": "", "metadata": "{}",
    }  # fmt: skip
    return plain | changes


def opened_rows(tmp_path: Path, *rows: dict[str, Any]) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_log(path)


@pytest.mark.parametrize(
    "row",
    [
        {"custom_llm_provider": "hosted_vllm"},
        {"custom_llm_provider": "ollama", "model": "ollama/llama3"},
        {"custom_llm_provider": "openai", "model": "qwen3-32b", "api_base": "http://10.0.0.7:8000/v1"},
    ],
)
def test_own_servers_have_no_bill_whatever_their_models_are_called(tmp_path: Path, row: dict[str, Any]) -> None:
    filled = fill_costs(opened_rows(tmp_path, spend(**row)).frame)
    (total,) = aggregate(filled.frame)
    assert (filled.pricing.requests_own_server, total.cost_micro_usd, total.unpriced_requests) == (1, 0, 0)


def test_a_known_model_behind_a_gateway_of_ones_own_has_a_bill(tmp_path: Path) -> None:
    filled = fill_costs(opened_rows(tmp_path, spend(api_base="http://localhost:4000")).frame)
    (total,) = aggregate(filled.frame)
    assert total.cost_micro_usd == 1000 * 2.5 + 100 * 10


def test_parts_larger_than_the_prompt_were_counted_apart(tmp_path: Path) -> None:
    usage = {"cache_read_input_tokens": 5000, "cache_creation_input_tokens": 3000}
    row = spend(prompt_tokens=12, metadata=json.dumps({"usage_object": usage}))
    (total,) = aggregate(opened_rows(tmp_path, row).frame)
    assert (total.input_tokens, total.cached_input_tokens, total.cache_write_tokens) == (8012, 5000, 3000)


def test_writes_of_an_untold_lifetime_are_an_assumption(tmp_path: Path) -> None:
    usage = {"cache_creation_input_tokens": 3000}
    row = spend(model="claude-sonnet-4-5", custom_llm_provider="anthropic", prompt_tokens=3012)
    filled = fill_costs(opened_rows(tmp_path, row | {"metadata": json.dumps({"usage_object": usage})}).frame)
    (assumed,) = filled.pricing.assumptions
    assert "for five minutes" in assumed.text


def test_reasoning_beside_the_answer_is_proved_by_the_total(tmp_path: Path) -> None:
    metadata = json.dumps({"usage_object": {"completion_tokens_details": {"reasoning_tokens": 1400}}})
    beside = spend(prompt_tokens=900, completion_tokens=60, total_tokens=2360, metadata=metadata)
    within = spend(request_id="b", prompt_tokens=900, completion_tokens=1460, total_tokens=2360, metadata=metadata)
    (total,) = aggregate(opened_rows(tmp_path, beside, within).frame)
    assert (total.output_tokens, total.reasoning_tokens) == (2 * 1460, 2 * 1400)


def test_rows_without_an_id_are_not_one_request_and_management_is_none(tmp_path: Path) -> None:
    nameless = spend(request_id="None", spend=0.5)
    upload = spend(request_id="f", call_type="acreate_file", prompt_tokens=0, completion_tokens=0, total_tokens=0)
    # An answer without usage is not free: it stays unpriced.
    mute = spend(request_id="m", prompt_tokens=0, completion_tokens=0, total_tokens=0)
    opened = opened_rows(tmp_path, nameless, nameless, upload, mute)
    (total,) = aggregate(fill_costs(opened.frame).frame)
    assert (total.requests, total.cost_usd, total.unpriced_requests) == (3, 1.0, 1)
    assert opened.read.dropped == {"calls that ask no model": 1}


def test_a_summary_by_day_is_no_log(tmp_path: Path) -> None:
    """What ``/spend/logs`` with two dates answers by default: summarize is true there."""
    path = tmp_path / "summary.json"
    day = {"startTime": "2026-10-01", "spend": 1.5, "users": {"u": 1.5}, "models": {"gpt-4o": 1.5}}
    path.write_text(json.dumps([day]))
    with pytest.raises(LogError, match="summary by day, which tells no requests: ask /spend/logs with summarize=false"):
        open_log(path)


def test_rows_of_many_megabytes_are_read(tmp_path: Path) -> None:
    for kind, size in (("csv", MAX_LINE_BYTES - 2**12), ("jsonl", 40_000_000), ("json", 40_000_000)):
        rows = [spend(spend=0.5, response="x" * 2_500_000), spend(request_id="b", spend=0.5, response="y" * size)]
        (total,) = aggregate(open_log(write(tmp_path, kind, rows)).frame)
        assert (total.requests, total.cost_usd) == (2, 1.0)


def test_the_row_of_a_batch_stands_for_its_requests(tmp_path: Path) -> None:
    """As docs.litellm.ai/docs/proxy/managed_batches shows it (read on 2026-11-30): one row, which sums up all lines."""
    row = made()[0] | {
        "request_id": "batch_bGl0_batch_cost",
        "call_type": "aretrieve_batch",
        "model": "gemini-2.5-flash",
        "custom_llm_provider": "gemini",
        "spend": 0.0003221,
        "prompt_tokens": 14,
        "completion_tokens": 256,
        "total_tokens": 270,
    }
    counts = {"batch_models": ["gemini-2.5-flash"], "batch_successful_requests": 2, "batch_failed_requests": 1}
    lost = row | {"request_id": "batch_c_batch_cost", "spend": 0.0, "prompt_tokens": 0, "completion_tokens": 0}
    none = {"batch_successful_requests": 0, "batch_failed_requests": 3}
    asked = lost | {"request_id": "batch_bGl0", "call_type": "acreate_batch"}
    rows = [(row, counts), (lost, none), (asked, {})]
    opened = open_log(write(tmp_path, "csv", [one | {"metadata": json.dumps(metadata)} for one, metadata in rows]))
    found = {one.key: one for one in aggregate(opened.frame, by=["service_tier", "outcome"])}
    assert {key: one.requests for key, one in found.items()} == {("batch", "ok"): 2, ("batch", "error"): 3}
    assert (found["batch", "ok"].cost_micro_usd, found["batch", "error"].unpriced_requests) == (322, 0)
    assert opened.read.dropped == {"calls that ask no model": 1}
    # Without a spend, what its requests cost at the provider's price for batches.
    free = open_log(write(tmp_path, "parquet", [row | {"spend": 0.0, "metadata": json.dumps(counts)}]))
    (priced,) = aggregate(fill_costs(free.frame).frame)
    assert priced.cost_micro_usd == round(1e6 * api_price("gemini-2.5-flash", service_tier="batch").usd(14, 256))
