"""The company's logs as the report and the command line see them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from costlab.capstone import TODAY, gpu_table, request_log, request_table, score
from tests import needs
from tests.commands import command_line

needs.extra("pyarrow", "usage")
needs.extra("duckdb", "usage")


def test_the_ledger_holds_what_the_score_counts() -> None:
    log = request_log(requests=20_000)
    table, found = request_table(log), score(TODAY, log)
    usd = sum(table["cost_micro_usd"].to_pylist()) / 1e6
    calls = {name: value for name, value in found.parts_usd.items() if name not in ("gpus", "people", "runaway")}
    assert usd == pytest.approx(sum(calls.values()) / 30 + found.parts_usd["runaway"], rel=0.001)
    assert table.num_rows == len(log)
    gpus = gpu_table(log)
    assert sum(a * b for a, b in zip(*(gpus[c].to_pylist() for c in ("hours", "usd_per_hour")), strict=True)) == (
        pytest.approx(found.parts_usd["gpus"] / 30)
    )


def test_the_report_of_the_companys_day_shows_the_runaway_and_the_idle_gpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = command_line(capsys)
    log, gpus = tmp_path / "day.parquet", tmp_path / "gpus.parquet"
    words = ("sample-log", str(log), "--capstone", "--requests", "20000", "--gpu-hours", str(gpus))
    assert run(*words) == (0, "", f"wrote {log}\nwrote {gpus}\n")
    status, out, err = run("report", str(log), "--gpu-hours", str(gpus), "--gpu-bill-apart", "--json")
    assert (status, err) == (0, "")
    report: Mapping[str, object] = json.loads(out)
    assert "nightly-agent" in json.dumps(report)
    again = tmp_path / "again.parquet"
    assert run("sample-log", str(again), "--capstone", "--requests", "20000")[0] == 0
    assert again.read_bytes() == log.read_bytes()


@pytest.mark.parametrize("option", ["--days", "--tenants", "--gpus"])
def test_the_companys_day_has_its_own_story(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = command_line(capsys)("sample-log", str(tmp_path / "a.csv"), "--capstone", option, "3")
    assert (status, out) == (2, "")
    assert f"--capstone must be given without {option}" in err
    assert not (tmp_path / "a.csv").exists()
