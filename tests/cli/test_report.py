"""``costlab sample-log`` and ``costlab report`` as a user meets them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

__all__ = ["run"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    command = [sys.executable, "-m", "costlab", "sample-log", "log.parquet", "--requests", "20000", "--runaway"]
    subprocess.run([*command, "--gpu-hours", "gpus.csv"], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_sample_log_is_reported_with_something_to_act_on(run: Run, logs: Path) -> None:
    status, out, err = run("report", str(logs / "log.parquet"), "--gpu-hours", str(logs / "gpus.csv"))
    assert (status, err) == (0, "")
    for text in (
        "log.parquet: 20,571 requests, 2026-01-05 00:00 to 2026-01-11 23:",
        "requests (0.2%) of in-house-llm, not in the catalogue: in no figure in dollars",
        "idle GPUs: $",
        "by tier",
        "team-03",
        "put a budget on tenant team-03",
        "switch GPUs off while they wait, a10g-3 first",
        "they overlap",
    ):
        assert text in out


def test_long_lines_are_broken_between_words_where_the_terminal_ends(
    run: Run, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = run("report", str(logs / "log.parquet"), "--gpu-hours", str(logs / "gpus.csv"))
    told = out[out.index("largest savings") :].splitlines()
    assert max(len(line) for line in told) <= 60
    assert told[-1].startswith("      ")  # the note goes on under itself
    assert "--gpu-bill-apart" in told[-1] + told[-2]


def test_json_is_one_object_and_html_one_file(run: Run, logs: Path, tmp_path: Path) -> None:
    status, out, err = run("report", str(logs / "log.parquet"), "--json", "--html", str(tmp_path / "r.html"))
    assert (status, err) == (0, f"wrote {tmp_path / 'r.html'}\n")
    found = json.loads(out)
    assert found["total"]["requests"] == 20_571
    assert found["format"] == "columns"
    assert {one["name"] for one in found["savings"]} >= {"runaway"}
    assert "team-03" in (tmp_path / "r.html").read_text()


def test_csv_and_parquet_say_the_same(run: Run, tmp_path: Path) -> None:
    told = []
    for name in ("log.csv", "log.parquet"):
        assert run("sample-log", str(tmp_path / name), "--requests", "3000", "--seed", "7") == (
            0,
            "",
            f"wrote {tmp_path / name}\n",
        )
        told.append(run("report", str(tmp_path / name))[1].replace(name, "log"))
    assert told[0] == told[1]


def test_costs_are_taken_from_the_catalogue_and_that_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,llm,in,out\n2026-01-05 10:00,gpt-4o,1000,100\n2026-01-05 11:00,gpt-4oo,9,9\n")
    columns = [f"--column={pair}" for pair in ("time_s=when", "model=llm", "input_tokens=in", "output_tokens=out")]
    status, out, _ = run("report", str(tmp_path / "a.csv"), *columns)
    assert status == 0
    assert "priced from the catalogue (genai-prices 0.2.3, each at its own time): gpt-4o" in out
    assert "no price for 1 request of gpt-4oo: unknown model 'gpt-4oo'" in out
    assert "unpriced: 1 request (50.0%) of gpt-4oo (near gpt-4o): in no figure" in out
    assert "by model" in out
    assert "by tier" not in out  # the log tells none


def test_what_has_no_known_cost_is_not_shown_as_free(run: Run, tmp_path: Path) -> None:
    rows = "2026-01-05 10:00,gpt-4o,9,9,0.02\n2026-01-05 11:00,gpt-4oo,9,9,\n2026-01-05 12:00,gpt-4oo,9,9,0\n"
    (tmp_path / "a.csv").write_text("time_s,model,input_tokens,output_tokens,cost_usd\n" + rows)
    page = tmp_path / "a.html"
    _, out, _ = run("report", str(tmp_path / "a.csv"), "--html", str(page))
    hours = [line.split()[1:5] for line in out.splitlines() if line.startswith("  2026-01-05 ")]
    assert hours == [[f"{hour}:00", "1", "request", usd] for hour, usd in ((10, "$0.02"), (11, "-"), (12, "$0"))]
    assert "2026-01-05 11:00: -, 1 request" in page.read_text()


def report_of(run: Run, path: Path, *options: str) -> tuple[float, list[str]]:
    """The dollars of a report, and its notes."""
    found = json.loads(run("report", str(path), *options, "--json")[1])
    return found["total"]["cost_usd"], found["notes"]


def test_the_price_is_that_of_who_served_it_how_and_when(run: Run, tmp_path: Path) -> None:
    # OpenAI cut gpt-5.6-luna on 30 July 2026: 100 requests a day from the 1st to the 30th.
    rows = "".join(f"2026-07-{day:02} 12:00,gpt-5.6-luna,20000,1000\n" * 100 for day in range(1, 31))
    luna = tmp_path / "luna.csv"
    luna.write_text("time_s,model,input_tokens,output_tokens\n" + rows)
    usd, notes = report_of(run, luna)
    assert usd == pytest.approx(75.92)
    assert "1 price changed within the log: gpt-5.6-luna on 2026-07-30" in notes
    assert report_of(run, luna, "--as-of", "2026-07-30")[0] == pytest.approx(15.60)
    assert report_of(run, luna, "--tier", "batch")[0] == pytest.approx(75.92 / 2, abs=0.01)
    usd, notes = report_of(run, luna, "--discount", "0.12")
    assert usd == pytest.approx(0.88 * 75.92, abs=0.01)
    assert any("12 % off the list prices of all providers" in note for note in notes)
    (tmp_path / "ours.toml").write_text("[providers]\nazure = 0.5\n")
    assert report_of(run, luna, "--discount", str(tmp_path / "ours.toml"))[0] == pytest.approx(75.92)
    usd, notes = report_of(run, luna, "--discount", str(tmp_path / "ours.toml"), "--provider", "azure")
    assert usd == pytest.approx(75.92 / 2, abs=0.01)
    assert any("50 % off the list prices of azure" in note for note in notes)


def test_a_fee_per_request_is_billed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sonar.csv"
    path.write_text("time_s,model,input_tokens,output_tokens\n" + "2026-11-01 12:00,sonar-pro,9,150\n" * 1000)
    assert report_of(run, path)[0] == pytest.approx(16.28, abs=0.005)


def test_names_of_ones_own_and_costs_that_are_there_are_priced_when_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,model,input_tokens,output_tokens,cost_usd\n2026-11-01 12:00,chat-prod,1000,100,0.5\n")
    assert report_of(run, path)[0] == 0.5
    assert report_of(run, path, "--reprice")[0] == 0.5
    usd, notes = report_of(run, path, "--reprice", "--deployment", "chat-prod=gpt-4o", "--provider", "azure")
    assert usd == pytest.approx(0.0035)
    assert notes[1].startswith("1 request with a cost, which is replaced, was priced")


def test_how_numbers_and_dates_are_written_can_be_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "time_s;model;input_tokens;output_tokens;cost_usd\n01/10/2026 10:00;m;1.000;1;1,234\nsoon;m;1;1;1\n"
    )
    options = ("--decimal", ",", "--day-first", "--max-bad-rows", "1")
    found = json.loads(run("report", str(path), *options, "--json")[1])
    assert (found["total"]["cost_usd"], found["total"]["input_tokens"]) == (1.234, 1000)
    assert found["trend"][0]["key"] == [1790848800]
    assert found["read"]["bad"] == [{"where": "a.csv line 3", "why": "time_s 'soon' is no time"}]
    told = run("report", str(path), *options, "--html", str(tmp_path / "r.html"))[1]
    line = "2 rows; 1 left out that cannot be read, as a.csv line 3: time_s 'soon' is no time"
    assert f"read: {line}" in told
    assert line.replace("'", "&#39;") in (tmp_path / "r.html").read_text()


def test_dollars_that_rest_on_an_assumption_are_marked(run: Run, tmp_path: Path) -> None:
    head = "time_s,model,input_tokens,cache_write_tokens,output_tokens,cost_usd\n"
    # A write for five minutes or for an hour: the log does not say. The other cost is told.
    (tmp_path / "a.csv").write_text(f"{head}1790000000,claude-sonnet-4-5,100000,100000,0,\n1790000000,m,1,0,0,1\n")
    told = " ".join(run("report", str(tmp_path / "a.csv"))[1].split())
    assert "cost of the requests: $1.38; up to $0.375 of it rests on what was assumed" in told


def test_spend_logs_and_spans_are_recognised(run: Run, tmp_path: Path) -> None:
    row = {"request_id": "a", "model": "gpt-4o", "spend": 0.5, "prompt_tokens": 10, "completion_tokens": 1}
    (tmp_path / "spend.jsonl").write_text(json.dumps(row | {"startTime": "2026-01-05T10:00:00Z"}))
    assert json.loads(run("report", str(tmp_path / "spend.jsonl"), "--json")[1])["format"] == "litellm"
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10}
    times = {"start_time": "2026-01-05T10:00:00Z", "end_time": "2026-01-05T10:00:01Z"}
    (tmp_path / "spans.jsonl").write_text(json.dumps({"context": {"span_id": "a"}, "attributes": attributes, **times}))
    found = json.loads(run("report", str(tmp_path / "spans.jsonl"), "--json")[1])
    assert (found["format"], found["total"]["cost_micro_usd"]) == ("otel", 25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report",), "'LOG...': missing; or give two scrapes with --engine-metrics"),
        (("report", "{}/empty.csv", "--deployment", "gpt"), "'--deployment': must be NAME=MODEL, got 'gpt'"),
        (("report", "{}/empty.csv", "--discount", "12"), "discount must be"),
        (("report", "{}/empty.csv", "--tier", "btach"), "unknown service tier 'btach'; did you mean 'batch'?"),
        (("report", "{}/empty.csv", "--provider", "azur"), "unknown provider 'azur'; did you mean 'azure'?"),
        (("report", "absent.parquet"), "No such file or directory: 'absent.parquet'"),
        (("report", "README.md"), "README.md is of no known kind; known: .csv"),
        (("report", "{}/bad.csv"), "bad.csv has no column 'time_s', 'input_tokens', 'output_tokens'; it has a, model"),
        (("report", "{}/words.csv"), "words.csv line 2: input_tokens 'many' is no whole number"),
        (("report", "{}/empty.csv"), "empty.csv has no request: 0 rows"),
        (("report", ""), "log must be the name of a file or folder, got ''"),
        (("report", "{}/words.csv", "--format", "csv"), "unknown format 'csv'; known: "),
        (
            ("report", "{}/bad.csv", "--column", "model"),
            "Invalid value for '--column': must be FIELD=NAME, got 'model'",
        ),
        (("report", "{}/bad.csv", "--column", "modle=model"), "unknown field 'modle'; did you mean 'model'?"),
        (("report", "{}/bad.csv", "--format", "otl"), "unknown format 'otl'; did you mean 'otel'?"),
        (("report", "{}/empty.csv", "--gpu-hours", "{}/bad.csv"), "bad.csv has no column 'time_s', 'gpu', 'hours'"),
        (("report", "{}/empty.csv", "--as-of", "soon"), "as_of must be a date such as 2026-01-31, got 'soon'"),
        (("sample-log", "log.txt"), "a file to write must be one that ends in .csv or .parquet, got 'log.txt'"),
        (("sample-log", "{}/a.csv", "--requests", "0"), "requests must be a whole number >= 1, got 0"),
        (("sample-log", "{}/a.csv", "--seed", "-1"), "seed must be a whole number >= 0, got -1"),
        (("sample-log", "{}/absent/a.csv", "--requests", "5"), "No such file or directory"),
    ],
)
def test_errors_are_one_line_and_status_2(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    head = "time_s,model,input_tokens,output_tokens,cost_micro_usd\n"
    (tmp_path / "bad.csv").write_text("a,model\n1,m\n")
    (tmp_path / "words.csv").write_text(head + "0,m,many,1,1\n")
    (tmp_path / "empty.csv").write_text(head)
    status, out, err = run(*(one.replace("{}", str(tmp_path)) for one in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_large_files_show_their_progress_on_a_terminal_only(logs: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from costlab.cli import main; import costlab.cli.monitoring as module; "
        "module.LARGE_BYTES = 1; main(['report', 'log.parquet', '--json'])"
    )
    quiet = subprocess.run([sys.executable, "-c", code], cwd=logs, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    leader, follower = pty.openpty()
    shown = subprocess.run([sys.executable, "-c", code], cwd=logs, stdout=subprocess.PIPE, stderr=follower, check=True)
    os.close(follower)
    told = os.read(leader, 65_536).decode(errors="replace")  # a terminal hands out so many bytes, not characters
    os.close(leader)
    assert "reading log.parquet" in told
    assert json.loads(shown.stdout) == json.loads(quiet.stdout)


def test_the_costs_are_written_as_rows_of_focus_with_what_was_committed(run: Run, logs: Path, tmp_path: Path) -> None:
    log, hours, out = str(logs / "log.parquet"), str(logs / "gpus.csv"), tmp_path / "focus.csv"
    status, told, err = run("report", log, "--focus", str(out), "--json")
    unpriced = json.loads(told)["total"]["unpriced_requests"]
    assert unpriced > 0
    assert (status, err) == (0, f"wrote {out}; {unpriced} requests without a known cost are in no row\n")
    alone = out.read_text().count("\n")
    status, _, err = run("report", log, "--focus", str(out), "--gpu-hours", hours)
    assert status == 0
    assert err.endswith("GPU hours have no rows, as the requests' costs are taken to contain them (--gpu-bill-apart)\n")
    commitments = tmp_path / "commitments.toml"
    commitments.write_text('[[commitment]]\nid = "ri-1"\ngpus = ["a10g-0"]\ncount = 2\nusd_per_hour = 0.63\n')
    under = ("--commitments", str(commitments))
    status, _, err = run("report", log, "--focus", str(out), "--gpu-hours", hours, "--gpu-bill-apart", *under)
    assert status == 0
    told = out.read_text()
    assert told.count("\n") > alone
    assert told.count("committed hours that no GPU used") == told.count("commitment to 2 GPUs") == 7
    status, _, err = run("report", log, *under)
    assert status == 2
    assert "commitments must be given with --focus, --gpu-hours and --gpu-bill-apart" in err
