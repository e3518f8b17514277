"""``costlab demo`` as somebody meets it who shows it to a colleague."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

import pytest

from costlab.errors import install_line
from tests import needs
from tests.commands import Run, command_line

for module in ("duckdb", "narwhals", "pyarrow"):
    needs.extra(module, "usage")

DEMO = (sys.executable, "-m", "costlab", "demo")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail(f"opened {url}"))
    return command_line(capsys, "demo")


def test_json_is_one_object_and_the_same_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    words = ("--requests", "800", "--seed", "5", "--json", "--out", str(page))
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert out.count("\n") == 1
    assert found["requests"] == sum(found["outcomes"].values()) == 1200
    assert found["saving_fraction"] == pytest.approx(1 - found["service"]["usd"] / found["baseline"]["usd"])
    assert found["page"] == str(page)
    first = page.read_bytes()
    assert run(*words)[1] == out
    assert page.read_bytes() == first


def test_what_is_printed_is_what_json_says(run: Run, tmp_path: Path) -> None:
    words = ("--requests", "800", "--out", str(tmp_path / "demo.html"))
    status, out, err = run(*words)
    assert status == 0
    found = json.loads(run(*words, "--json")[1])
    for figure in (
        f"${found['service']['usd']:,.2f} instead of ${found['baseline']['usd']:,.2f}",
        f"{found['baseline']['quality_fraction']:.1%} at the large model alone",
        f"the page: {tmp_path / 'demo.html'}",
        *found["alerts"],
    ):
        assert figure in out
    lines = err.splitlines()
    assert len(lines) == 8  # every three hours, for want of a terminal
    assert f"${found['service']['usd']:,.2f}" in lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["demo.html"]


def test_without_a_place_the_page_lies_in_a_new_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, out, _ = run("--requests", "50")
    assert status == 0
    (page,) = tmp_path.rglob("*.html")  # beside it what the report of its log still holds
    assert f"the page: {page}" in out
    assert page.name == "demo.html"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--requests", "0"), "requests must be a whole number >= 1, got 0"),
        (("--requests", "-1"), "requests must be a whole number >= 1, got -1"),
        (("--requests", "1000000000000"), "requests must be at most 1000000, got 1000000000000"),
        (("--requests", "many"), "must be a whole number, got 'many'"),
        (("--requests", "1e3"), "must be a whole number, got '1e3'"),
        (("--seed", "-1"), "seed must be a whole number >= 0, got -1"),
        (("--out", "."), ". is a folder, not a file to write"),
        (("--out", "no/such/folder/demo.html"), "No such file or directory"),
        (("--out", ""), ". is a folder, not a file to write"),
    ],
)
def test_absurd_input_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named_before_anything_is_played(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    status, out, err = run("--requests", "10")
    assert (status, out) == (2, "")
    assert err == f"error: duckdb is not installed; run: {install_line('usage')}\n"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    command = f"{' '.join(DEMO)} --requests 300 --out {page} 2>{tmp_path / 'said'} | head -n 1 >/dev/null"
    subprocess.run(["bash", "-c", command], check=True)
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert page.read_text().endswith("</html>\n")


def test_interrupted_it_leaves_no_file(tmp_path: Path) -> None:
    page = tmp_path / "page" / "demo.html"
    page.parent.mkdir()
    made = subprocess.Popen(
        [*DEMO, "--requests", "60000", "--out", str(page)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        # What runs the tests in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert made.stderr is not None
    first = made.stderr.readline()  # the day has begun
    made.send_signal(signal.SIGINT)
    out, err = made.communicate(timeout=30)
    assert "requests" in first
    assert made.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("term", "live"), [("xterm-256color", True), ("dumb", False)])
def test_in_a_terminal_the_day_is_shown_live(tmp_path: Path, term: str, live: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "100", "LINES": "40"}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    words = ["--requests", "600", "--out", str(tmp_path / "demo.html")]
    made = subprocess.Popen([*DEMO, *words], stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert made.wait(timeout=10) == 0
    text = shown.decode()
    assert ("costlab demo: a service's day" in text) == live
    assert ("time of day" in text) == live
    assert "the page: " in text


@pytest.mark.parametrize(
    ("words", "terminal", "opened"), [((), True, 1), ((), False, 0), (("--no-open",), True, 0), (("--json",), True, 0)]
)
def test_the_page_opens_for_a_person_only(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    terminal: bool,
    opened: int,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", asked.append)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    page = tmp_path / "demo.html"
    status, _, _ = command_line(capsys, "demo")("--requests", "20", "--out", str(page), *words)
    assert status == 0
    assert asked == [page.as_uri()] * opened


def test_without_a_screen_no_browser_is_asked(monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("--requests", "20", "--out", str(tmp_path / "demo.html"))[0] == 0
