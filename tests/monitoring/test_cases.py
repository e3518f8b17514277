"""Bills that users of such tools reported as wrong, each a small log with its right amount.

The inputs stand in ``data/cases``; what is right was computed from the prices of genai-prices 0.2.3.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run

__all__ = ["run"]

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

CASES = Path(__file__).parent / "data" / "cases"


def reported(run: Run, *arguments: object) -> dict[str, Any]:
    """What ``costlab report`` says."""
    status, out, err = run("report", *map(str, arguments), "--json")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize(
    ("name", "usd", "wanted"),
    [
        # One answer is written as four lines with one id and one usage.
        ("repeated-ids.jsonl", 0.105, {"requests": 10, "rows": 40, "repeated": 30}),
        # A refund is a negative row.
        ("credits.csv", 15.00, {"requests": 2, "credits": 1, "credit_micro_usd": 5_000_000}),
        # Pages of LiteLLM's API wrap the rows in `data`.
        ("litellm-spend-logs-v2.json", 0.010, {"requests": 5, "cached_input_tokens": 500}),
        # A spreadsheet of most of Europe: semicolons, decimal commas, a mark at its beginning.
        ("excel-decimal-comma.csv", 4.50, {"requests": 10, "input_tokens": 10_000}),
        # A failed request has no tokens.
        ("failed-without-tokens.csv", 0.45, {"requests": 2, "failed_requests": 1, "unpriced_requests": 0}),
        # A name is no pattern: bill1.csv stands beside it.
        ("brackets/bill[1].csv", 100.00, {"requests": 1}),
    ],
)
def test_a_log_costs_what_its_provider_bills(run: Run, name: str, usd: float, wanted: dict[str, int]) -> None:
    found = reported(run, CASES / name)
    assert found["total"]["cost_usd"] == pytest.approx(usd, rel=1e-9)
    told = found["read"] | found["total"]
    assert {key: told[key] for key in wanted} == wanted


def test_types_are_not_guessed_from_a_beginning(run: Run, tmp_path: Path) -> None:
    """Spends of 0 for 25,000 rows and then 0.45, tenants 0012 and 12 and then a name: DuckDB looks at 20,480."""
    head = (
        "request_id,call_type,spend,prompt_tokens,completion_tokens,startTime,endTime,model,end_user,cache_hit,status"
    )
    with (tmp_path / "late-decimals.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(head.split(","))
        for i in range(26_000):
            spend, hit = ("0", "True") if i < 25_000 else ("0.45", "False")
            tenant = "shop" if i > 25_500 else "12" if i % 2 else "0012"
            time = f"2026-10-01 {10 + i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
            rows.writerow((f"r{i}", "acompletion", spend, 900, 90, time, time, "gpt-4o", tenant, hit, "success"))
    found = reported(run, tmp_path / "late-decimals.csv")
    assert found["total"]["cost_usd"] == 450.0
    assert {tenant["key"][0] for tenant in found["tenants"]} == {"0012", "12", "shop"}


def test_the_report_begins_with_what_was_read(run: Run) -> None:
    status, out, _ = run("report", str(CASES / "repeated-ids.jsonl"), str(CASES / "credits.csv"))
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("repeated-ids.jsonl, credits.csv: 12 requests, 2026-09-21 14:13 to ")
    assert lines[1:5] == [
        "  read: 43 rows in 2 files; 30 tell a request again and are left out",
        "  credits: a credit of $5.00, taken off",
        "  priced: 2 by the log, 10 from the catalogue, of 12 requests",
        "  cost of the requests: $15.11",
    ]
