"""The command line at two in the morning: wrong files, absurd numbers, odd places. One line each, and status 2."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.commands import Run, command_line

for module in ("duckdb", "narwhals", "pyarrow"):
    needs.extra(module, "usage")

HEAD = "time_s,tier,model,input_tokens,output_tokens,cost_micro_usd,tenant\n"
ROW = "1767571200,small,m,10,5,100,t\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return command_line(capsys)


def spans(value: object) -> bytes:
    return json.dumps({"resourceSpans": value}).encode()


def call(tokens: int | str, start_ns: int = 10**18) -> bytes:
    """A span of a call that tells so many tokens."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": tokens}
    attributes = [{"key": name, "value": {"stringValue": str(value)}} for name, value in told.items()]
    ends = {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(start_ns)}
    return spans([{"scopeSpans": [{"spans": [{"traceId": "a", "spanId": "b", "attributes": attributes} | ends]}]}])


FILES = {
    "future.json": call(5, 32_503_680_000 * 10**9),
    "many.json": call(10**30),
    "digits.json": call("9" * 100_000),
    "endless.json": call("inf"),
    "binary.json": b"\xd3\x00\xff\xfe" * 99,
    "cut.json.gz": gzip.compress(spans([]))[:15],
    "plain.json.gz": b"{}",
    "folder.csv": None,
    "empty.csv": b"",
    "empty.json": b"",
    "latin.csv": (HEAD + ROW.replace(",t", ",caf\xe9")).encode("latin-1"),
    "text.json": spans("x"),
    "number.json": spans([{"scopeSpans": [{"spans": [3]}]}]),
    "attributes.jsonl": spans([{"scopeSpans": [{"spans": [{"attributes": 3}]}]}]),
    "value.jsonl": spans([{"scopeSpans": [{"spans": [{"attributes": [{"key": "a"}]}]}]}]),
    "deep.json": b'{"resourceSpans":' + b"[" * 100_000,
    "deep.jsonl": b'[{"time_s": 1767571200, "model": "m", "more": ' + b"[" * 30_000,
    "cut.csv.gz": gzip.compress((HEAD + ROW * 9).encode())[:40],
    "cut.csv.zst": b"\x28\xb5\x2f\xfd\x04\x00",
    "milliseconds.csv": (HEAD + ROW.replace("1767571200", "1767571200000")).encode(),
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("binary.json", "binary.json cannot be read"),
        ("cut.json.gz", "cut.json.gz cannot be read"),
        ("plain.json.gz", "plain.json.gz cannot be read"),
        ("folder.csv", "folder.csv is a folder without a file of a known kind"),
        (".", ". is a folder without a file of a known kind"),
        ("empty.csv", "empty.csv is empty"),
        ("empty.json", "empty.json is empty"),
        ("latin.csv", "This file is not utf-8 encoded"),
        ("text.json", "text.json line 1: not written as OpenTelemetry does"),
        ("number.json", "number.json line 1: not written as OpenTelemetry does"),
        ("attributes.jsonl", "attributes.jsonl line 1: not written as OpenTelemetry does"),
        ("value.jsonl", "value.jsonl has 1 span, none of which asks a model"),
        ("deep.json", "deep.json is nested too deeply"),
        ("future.json", "future.json has a time in nanoseconds, or a count, beyond 9223372036854775807"),
        ("many.json", "input tokens must be a whole number >= 0"),
        ("digits.json", "input tokens must be a whole number >= 0"),
        ("endless.json", "input tokens must be a whole number >= 0, got 'inf'"),
        ("deep.jsonl", "deep.jsonl is nested too deeply"),
        ("cut.csv.gz", "cut.csv.gz cannot be read: Compressed file ended"),
        ("cut.csv.zst", "cut.csv.zst cannot be read: Truncated compressed stream"),
        ("milliseconds.csv", "milliseconds.csv line 2: without time_s in seconds, from 1970 to the year 9999"),
    ],
)
def test_a_log_that_is_none_is_told_in_a_line(run: Run, name: str, message: str) -> None:
    content = FILES.get(name, b"")
    if content is None:
        Path(name).mkdir()
    elif name != ".":
        Path(name).write_bytes(content)
    status, out, err = run("report", name)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err) < 3000
    assert err.count("\n") == 1


def test_spans_may_begin_with_a_byte_order_mark(run: Run) -> None:
    Path("spans.json").write_bytes(b"\xef\xbb\xbf" + spans([]))
    assert "spans.json has no spans, logs or metrics" in run("report", "spans.json")[2]


def test_names_in_a_log_are_printed_as_they_are(run: Run) -> None:
    Path("[red].csv").write_text(HEAD + ROW.replace("small", "[/bold]").replace(",t", ",[red]x"))
    status, out, err = run("report", "[red].csv")
    assert (status, err) == (0, "")
    for name in ("[red].csv", "[/bold]", "[red]x"):
        assert name in out


def test_a_terminal_does_not_obey_a_log(run: Run) -> None:
    """Names with sequences that colour, retitle or turn what follows, as a client may send them, are shown as text."""
    evil = "\x1b[31mred\x1b]0;title\x07\u202etxt\x9b2J\x00"
    shown = r"\x1b[31mred\x1b]0;title\x07\u202etxt\x9b2J\x00"
    Path("log.csv").write_text(HEAD + ROW.replace(",m,", f",{evil},").replace(",100,", ",,").replace(",t", f",{evil}"))
    status, out, err = run("report", "log.csv")
    assert (status, err) == (0, "")
    assert "".join(out.split()).count(shown) > 0
    assert "by tenant" in out
    for name, text in (("bad.csv", HEAD + ROW.replace(",10,", f",{evil},")), ("other.csv", f"a,{evil}\n1,2\n")):
        Path(name).write_text(text)
        told = run("report", name)
        assert told[0] == 2
        assert r"\x1b[31mred" in told[2]
        out += told[2]
    assert all(sign.isprintable() for sign in out.replace("\n", ""))


@pytest.mark.parametrize("option", ["--focus", "--html"])
def test_a_report_is_not_written_over_what_it_reads(run: Run, option: str) -> None:
    Path("day").mkdir()
    for log in ("log.csv", "day/log.csv"):
        Path(log).write_text(HEAD + ROW)
    Path("linked.csv").symlink_to("log.csv")
    for log, written in (("log.csv", "log.csv"), ("log.csv", "linked.csv"), ("day", "day/../day/log.csv")):
        status, out, err = run("report", log, option, written)
        assert (status, out) == (2, "")
        assert err == f"error: {option[2:]} must be another file than those that are read, got {written!r}\n"
        assert Path(written).read_text() == HEAD + ROW
    assert run("report", "day", option, "day/page.html" if option == "--html" else "rows.csv")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--discount", "12%"), "discount must be a share such as 0.12, or a file of discounts, got '12%'"),
        (("--discount", "1.5"), "discount must be a fraction >= 0 and <= 1, got 1.5"),
        (("--discount", "1"), "discount must be below 1, got 1.0"),
        (("--discount", "no.toml"), "No such file or directory: 'no.toml'"),
        (("--deployment", "a=b", "--deployment", "a=c"), "'--deployment': a is b or c, not both"),
        (("--column", "model=tier", "--column", "model=tenant"), "'--column': model is tier or tenant, not both"),
    ],
)
def test_options_that_cannot_be_meant_are_told_in_a_line(run: Run, words: tuple[str, ...], message: str) -> None:
    Path("log.csv").write_text(HEAD + ROW)
    status, out, err = run("report", "log.csv", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_file_of_tiers_may_have_an_odd_name(run: Run) -> None:
    Path("[red].toml").write_text(run("simulate", "--example")[1])
    status, out, _ = run("simulate", "[red].toml", "--requests", "100")
    assert status == 0
    assert "[red].toml: 100 requests" in out


def test_the_page_of_a_report_is_refused_before_the_log_is_read(run: Run) -> None:
    Path("log.csv").write_text(HEAD + ROW)
    status, out, err = run("report", "log.csv", "--html", "no/such/page.html")
    assert (status, out) == (2, "")
    assert err == "error: [Errno 2] No such file or directory: 'no/such/page.html'\n"
    Path("other.csv").write_text("a,b\n1,2\n")
    assert run("report", "other.csv", "--html", "page.html")[0] == 2
    assert sorted(path.name for path in Path().iterdir()) == ["log.csv", "other.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--requests", "1000000000000"), "requests must be at most 100000000, got 1000000000000"),
        (("--days", "1000000000000"), "days must be at most 3660, got 1000000000000"),
        (("--gpu-hours", "g.csv", "--gpus", "1000000000000"), "gpus must be at most 10000, got 1000000000000"),
        (("--gpu-hours", "g.csv", "--gpus", "0"), "gpus must be a whole number >= 1, got 0"),
        (("--gpu-hours", "no/g.csv", "--requests", "10"), "No such file or directory: 'no/g.csv'"),
        (("--gpu-hours", "log.csv", "--requests", "10"), "gpu_hours must be another file than that of the log"),
    ],
)
def test_a_sample_that_cannot_be_made_leaves_no_half_of_it(run: Run, words: tuple[str, ...], message: str) -> None:
    status, out, err = run("sample-log", "log.csv", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("study", ["semantic", "tiers"])
@pytest.mark.parametrize(("option", "message"), [("--splits=0", "splits must be"), ("--seed=-1", "seed must be")])
def test_a_study_refuses_its_numbers_before_it_begins(run: Run, study: str, option: str, message: str) -> None:
    status, out, err = run("bench", study, option, "--no-published")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message} a whole number >= ")


@pytest.mark.parametrize("option", ["--repeats", "--copy-mib", "--size"])
@pytest.mark.parametrize("number", [10**12, 10**26])
def test_no_device_is_asked_for_more_than_any_has(run: Run, option: str, number: int) -> None:
    needs.extra("torch", "models")
    status, out, err = run("bench", "device", "--device", "cpu", option, str(number))
    assert (status, out) == (2, "")
    assert "must be at most 1" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["report {}", "compare {}", "route {} question", "prices {}", "monitoring serve {}"])
@pytest.mark.parametrize(
    "address", ["https://ann:pa55word@logs.example/a.csv", "https://logs.example/a.csv?signature=pa55word"]
)
def test_an_address_in_an_error_is_shown_without_its_secrets(run: Run, words: str, address: str) -> None:
    status, out, error = run(*words.format(address).split())
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert "logs.example/a.csv" in error
    assert "pa55" not in error


def test_too_little_memory_is_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate\n7 TiB")

    monkeypatch.setattr("costlab.synthetic.sample_log", full)
    assert run("sample-log", "log.csv") == (2, "", "error: not enough memory: Unable to allocate 7 TiB\n")


PLACES: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None, "XDG_CACHE_HOME": None},
    "narrow": {"COLUMNS": "20"},
    "not UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None},
    "latin": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_prints_a_report_and_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "log.csv").write_text(HEAD + ROW.replace(",t", ",caf\xe9 \u96ea"), encoding="utf-8")
    environment = {**os.environ, **{name: value for name, value in PLACES[place].items() if value is not None}}
    for name, value in PLACES[place].items():
        if value is None:
            environment.pop(name, None)
    for words, status in ((["report", "log.csv"], 0), (["prices"], 0), (["gpu", "\u96ea"], 2), (["--help"], 0)):
        done = subprocess.run(
            [sys.executable, "-m", "costlab", *words], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert b"Traceback" not in done.stderr
        assert (done.stderr == b"") == (status == 0)


@pytest.mark.parametrize("words", ["prices", "--help", "report log.csv", "compare --example", "gpu A10G --json"])
def test_a_reader_who_goes_is_no_error(tmp_path: Path, words: str) -> None:
    (tmp_path / "log.csv").write_text(HEAD + ROW)
    command = f"{sys.executable} -m costlab {words} | head -n 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_closed_stdout_and_a_full_disk_are_told_in_a_line() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    command = f"{sys.executable} -m costlab prices >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 28] No space left on device\n"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m costlab prices >&-"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
