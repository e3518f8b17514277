"""Logs that people have, with the mistakes they have in them."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.catalog import api_price
from costlab.errors import LogError, UnknownNameError
from costlab.events import micro_usd
from costlab.monitoring import FORMATS, UsageTotals, aggregate, fill_costs, gpu_usage, open_gpu_hours, open_log
from costlab.monitoring.importers import LogFiles, LogFormat, LogRows, formats, select
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow.csv  # noqa: E402
import pyarrow.parquet  # noqa: E402


def total(log: Any) -> UsageTotals:
    (found,) = aggregate(log.frame)
    return found


def text(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content)
    return path


def test_csv_parquet_and_memory_give_the_same_numbers(tmp_path: Path) -> None:
    log = sample_log(np.random.default_rng(3), 3_000)
    pyarrow.csv.write_csv(log, tmp_path / "log.csv")
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress((tmp_path / "log.csv").read_bytes()))
    wanted = aggregate(log, by=["tier", "model", "tenant"])
    for name in ("log.csv", "log.parquet", "log.csv.gz"):
        opened = open_log(tmp_path / name)
        assert (opened.format, opened.notes) == ("columns", ())
        assert aggregate(opened.frame, by=["tier", "model", "tenant"]) == wanted
    hours = sample_gpu_hours(np.random.default_rng(3))
    pyarrow.csv.write_csv(hours, tmp_path / "gpus.csv")
    assert gpu_usage(open_gpu_hours(tmp_path / "gpus.csv"), by=["gpu"]) == gpu_usage(hours, by=["gpu"])


MAPPED = """when,prompt,answer,llm,usd,ms,who
2026-01-05T10:00:00+02:00,1000,100,gpt-4o,0.0035,250,acme
2026-01-05T08:00:01Z,1000,100,gpt-4o,,500,acme
"""
MAPPING = {
    "time_s": "when",
    "input_tokens": "prompt",
    "output_tokens": "answer",
    "model": "llm",
    "cost_usd": "usd",
    "latency_ms": "ms",
    "tenant": "who",
}


def test_columns_of_other_names_and_units(tmp_path: Path) -> None:
    opened = open_log(text(tmp_path, "mine.csv", MAPPED), columns=MAPPING)
    found = total(opened)
    assert (found.first_s, found.last_s) == (1767600000.0, 1767600001.0)  # both are 08:00 UTC
    assert (found.cost_micro_usd, found.unpriced_requests) == (3500, 1)
    assert found.mean_latency_s == 0.375
    assert opened.notes == ("the file names no tiers; the model stands for the tier",)
    assert [one.key for one in aggregate(opened.frame, by=["tier", "tenant"])] == [("gpt-4o", "acme")]
    (filled,) = aggregate(fill_costs(opened.frame).frame)
    assert filled.cost_micro_usd == 3500 + round(1e6 * api_price("gpt-4o").usd(1000, 100))


def test_a_file_without_any_cost_is_unpriced_and_not_free(tmp_path: Path) -> None:
    rows = "time_s,model,input_tokens,output_tokens\n0,in-house,10,5\n"
    opened = open_log(text(tmp_path, "a.csv", rows))
    assert "the file has no costs" in opened.notes
    assert total(opened).unpriced_fraction == 1.0
    # A column of costs in which nothing stands is the same.
    empty = "time_s,model,input_tokens,output_tokens,cost_micro_usd\n0,in-house,10,5,\n"
    assert total(open_log(text(tmp_path, "b.csv", empty))).unpriced_fraction == 1.0


def test_cached_tokens_counted_apart_are_added_once(tmp_path: Path) -> None:
    rows = "time_s,tier,model,input_tokens,cached_input_tokens,output_tokens,cost_micro_usd\n0,a,m,200,1000,5,\n"
    path = text(tmp_path, "a.csv", rows)
    found = total(open_log(path, cached_apart=True))
    assert (found.input_tokens, found.cached_input_tokens) == (1200, 1000)
    with pytest.raises(LogError, match=r"a.csv line 2: without cached_input_tokens between 0 and input_tokens"):
        total(open_log(path))


def test_amounts_in_usd_are_rounded_once_they_are_added_up(tmp_path: Path) -> None:
    """As the spend of LiteLLM for embeddings of 30 tokens: 0.6 micro-dollars each, and one that cost 1.4."""
    rows = ["0,m,30,0,6e-7\n"] * 1000 + ["0,m,70,0,0.0000014\n", "1,m,100,0,-0.0005\n"]
    path = text(tmp_path, "a.csv", "time_s,model,input_tokens,output_tokens,cost_usd\n" + "".join(rows))
    found = total(open_log(path))
    assert (found.cost_micro_usd, found.credit_micro_usd, found.requests) == (101, 500, 1001)
    assert found.cost_rest_pico_usd == 400_000


def test_a_credit_below_a_micro_dollar_is_one(tmp_path: Path) -> None:
    rows = ["0,m,30,0,6e-7\n"] * 3 + ["1,m,30,0,-6e-7\n"] * 2
    path = text(tmp_path, "a.csv", "time_s,model,input_tokens,output_tokens,cost_usd\n" + "".join(rows))
    found = total(open_log(path))
    assert (found.requests, found.credits, found.input_tokens) == (3, 2, 90)
    assert (found.cost_micro_usd, found.cost_rest_pico_usd) == (1, -400_000)  # 0.6 micro-dollars


@pytest.mark.parametrize("usd", [0.1 + 0.2, 1e-9, 0.000153, 12.5, 0.0])
def test_amounts_are_rounded_as_events_round_them(tmp_path: Path, usd: float) -> None:
    path = text(tmp_path, "a.csv", f"time_s,model,input_tokens,output_tokens,cost_usd\n0,m,1,1,{usd!r}\n")
    assert total(open_log(path)).cost_micro_usd == micro_usd("usd", usd)


SPEND: list[dict[str, Any]] = [
    {"request_id": "a", "model": "gpt-4o", "spend": 0.0035, "prompt_tokens": 1000, "completion_tokens": 100},
    # Repeated in two places: counted once.
    {
        "request_id": "b",
        "model": "gpt-4o",
        "spend": 0.00225,
        "prompt_tokens": 1000,
        "completion_tokens": 0,
        "metadata": {
            "usage_object": {"prompt_tokens_details": {"cached_tokens": 200}, "cache_read_input_tokens": 200},
            "additional_usage_values": {"cache_read_input_tokens": 200},
        },
    },
    # A model that LiteLLM has no price for.
    {"request_id": "c", "model": "in-house", "spend": 0.0, "prompt_tokens": 10, "completion_tokens": 5},
    {"request_id": "d", "model": "gpt-4o", "spend": 0.0, "prompt_tokens": 9, "completion_tokens": 9,
     "cache_hit": "True"},
    {"request_id": "e", "model": "gpt-4o", "spend": 0.0, "prompt_tokens": 0, "completion_tokens": 0,
     "status": "failure"},
    {"request_id": "f", "model": "azure/gpt-4o-mini", "custom_llm_provider": "azure", "spend": 0.0,
     "prompt_tokens": 1000, "completion_tokens": 100, "team_id": "red"},
]  # fmt: skip
TIMES = {"startTime": "2026-01-05 10:00:00.250", "endTime": "2026-01-05 10:00:01.000"}


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_litellm_spend_logs(tmp_path: Path, kind: str) -> None:
    names = list(dict.fromkeys(name for row in SPEND for name in row)) + list(TIMES)
    rows = [{name: (row | TIMES).get(name) for name in names} for row in SPEND]
    if kind == "csv":
        for row in rows:
            row["metadata"] = json.dumps(row["metadata"] or {})
        columns = {name: [None if row[name] is None else str(row[name]) for row in rows] for name in names}
        path = tmp_path / "spend.csv"
        pyarrow.csv.write_csv(pyarrow.table(columns), path)
    elif kind == "json":
        path = text(tmp_path, "spend.json", json.dumps(rows))
    else:
        path = text(tmp_path, "spend.jsonl", "\n".join(json.dumps(row) for row in rows))
    opened = open_log(path)
    assert opened.format == "litellm"
    found = {one.key[0]: one for one in aggregate(opened.frame, by=["outcome"])}
    assert (found["ok"].requests, found["cached"].requests, found["error"].requests) == (4, 1, 1)
    assert (found["ok"].cost_micro_usd, found["ok"].unpriced_requests) == (3500 + 2250, 2)
    assert (found["cached"].cost_micro_usd, found["cached"].unpriced_requests) == (0, 0)
    assert found["ok"].input_tokens == 1000 + 1000 + 10 + 1000
    assert found["ok"].cached_input_tokens == 200
    assert found["ok"].mean_latency_s == 0.75
    assert found["ok"].last_s == 1767607201.0
    # The provider's prefix is gone, so the catalogue knows the model; in-house stays unpriced.
    filled = fill_costs(opened.frame)
    assert (list(filled.unknown), [price.model for price in filled.prices]) == (["in-house"], ["gpt-4o-mini"])
    (after,) = aggregate(filled.frame)
    assert after.unpriced_requests == 1
    assert after.cost_micro_usd == 5750 + round(1e6 * api_price("gpt-4o-mini").usd(1000, 100))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "time,model\n1,m\n", "a.csv has no column 'time_s', 'input_tokens', 'output_tokens'; it has time"),
        ("a.csv", "timestamp,model,input_tokens,output_tokens\n", "map columns with --column time_s=timestamp"),
        (
            "a.csv",
            "timestamp,model,input_token,output_tokens\n",
            "map columns with --column time_s=timestamp --column input_tokens=input_token",
        ),
        ("a.txt", "x", "a.txt is of no known kind; known: .csv, .tsv, .parquet"),
        ("a.parquet", "no parquet", "a.parquet cannot be read"),
        ("a.json", '{"x": ', "a.json cannot be read"),
        ("a.json", '{"gen_ai.x": ', "a.json is no JSON"),
        ("a.jsonl", '{"name": "gen_ai.", "attributes": {}}\n', "a.jsonl has 1 span, none of which asks a model"),
    ],
)  # fmt: skip
def test_mistakes_are_named_in_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(LogError) as caught:
        open_log(text(tmp_path, name, content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_format_is_an_entry_and_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(files: LogFiles) -> LogRows:
        rows = files.table({"m": "text", "usd": "number"})
        names = {"time_s": "0.0", "model": "m", "input_tokens": "1", "output_tokens": "1", "cost_usd": "usd"}
        return LogRows(select(rows, names), ("read",))

    mine = LogFormat("mine", "a test's", lambda files: "usd" in files.column_names, read)
    monkeypatch.setitem(formats.LOG_FORMATS, "mine", mine)
    opened = open_log(text(tmp_path, "a.csv", "m,usd\nx,0.5\n"))
    assert (opened.format, opened.notes, total(opened).cost_micro_usd) == ("mine", ("read",), 500_000)


def test_every_format_has_an_entry_on_its_page() -> None:
    page = Path("book/log-formats.md").read_text()
    assert [name for name in FORMATS if f"\n`{name}`\n: " not in page] == []


def test_mappings_must_name_fields_and_columns(tmp_path: Path) -> None:
    path = text(tmp_path, "mine.csv", MAPPED)
    with pytest.raises(UnknownNameError, match="unknown field 'input_token'; did you mean 'input_tokens'"):
        open_log(path, columns={"input_token": "prompt"})
    with pytest.raises(LogError, match=r"mine.csv has no column 'promt'; it has when, prompt"):
        open_log(path, columns={"input_tokens": "promt"})
    with pytest.raises(LogError, match=r"mine.csv has no column 'request_id', 'spend', .*; it has when"):
        open_log(path, format="litellm")
    with pytest.raises(UnknownNameError, match="unknown format 'lite'"):
        open_log(path, format="lite")
    with pytest.raises(FileNotFoundError):
        open_log(tmp_path / "absent.csv")
    with pytest.raises(LogError, match=r"mine.csv has no column 'gpu', 'hours'") as caught:
        open_gpu_hours(text(tmp_path, "mine.csv", "time_s,usd_per_hour,utilization_fraction\n"))
    assert "\n" not in str(caught.value)
