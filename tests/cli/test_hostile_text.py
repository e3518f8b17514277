"""No command lets a terminal obey what stands in a file, a name or an answer, whatever prints it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import COMMANDS, main
from tests import needs
from tests.commands import Run, command_line

#: A title set, a screen cleared, a line written over, a colour in its eight-bit form, text turned round.
EVIL = "m\x1b]0;evil\x07\x1b[2J\rx\x9b31m\u202ey\u2066\x7f"

#: What no terminal may be sent, but for ends of lines and tabs.
OBEYED = {chr(code) for code in (*range(32), *range(127, 160), 0x61C, 0x200E, 0x200F, 0x2028, 0x2029)} - {"\n", "\t"}
OBEYED |= {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))}


def harmless(*texts: str) -> bool:
    return not any(OBEYED & set(text) for text in texts)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys)


def toml(text: str) -> str:
    """A text in TOML, which has no control characters but as escapes."""
    return json.dumps(text).replace("\x7f", "\\u007f")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files of all kinds, whose names and contents a terminal would obey."""
    row = {"time_s": 1.0, "model": EVIL, "tier": EVIL, "tenant": EVIL, "input_tokens": 1, "output_tokens": 1}
    tier = f"[[tier]]\nname = {toml(EVIL)}\nusd_per_request = 0.001\n"
    script = f'model = {{ kind = "scripted", answer = {toml(EVIL)} }}\n'
    contents = {
        "log.jsonl": json.dumps(row | {"cost_usd": 1.0}) + "\n" + json.dumps(row | {"time_s": 9.0, "cost_usd": 0.5}),
        "no-log.jsonl": json.dumps({EVIL: 1}),
        "bad.csv": f"time_s,model,input_tokens,output_tokens\n{EVIL.replace(chr(13), '')},m,1,1\n",
        "tiers.toml": tier + script,
        "failing.toml": tier + 'model = { kind = "scripted" }\n',
        "odd.toml": f"{toml(EVIL)} = 1\n",
        "broken.toml": f"{EVIL}",
        "rows.csv": f"text,label\n{EVIL.replace(chr(13), '')},\n",
        "trained.toml": tier + 'model = { kind = "sklearn", training = "rows.csv" }\n',
        "recordings/decode-evil.json": json.dumps({"experiment": EVIL, "rows": []}),
        "folder/a.json": "{}",
    }
    made = {}
    for name, content in contents.items():
        folder, _, base = name.rpartition("/")
        path = tmp_path / (f"{folder}{EVIL}" if folder else ".") / (base if base == "rows.csv" else f"{EVIL}{base}")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
        made[name] = str(path)
    return made | {"absent": str(tmp_path / EVIL), "recordings": str(tmp_path / f"recordings{EVIL}")}


#: For each command, calls of it with such files; FILE names one of the fixture.
CALLS: dict[str, list[list[str]]] = {
    "compare": [["odd.toml"], ["broken.toml"], ["absent"], ["--gpu", EVIL]],
    "demo": [["--requests", "-1", "--out", "absent"]],
    "gpu": [[EVIL], ["A10G", "--pricing", EVIL], ["A10G", "--provider", EVIL], ["A10G", "--as-of", EVIL]],
    "prices": [["--gpu", EVIL], ["--snapshot", EVIL]],
    "report": [
        ["log.jsonl"],
        ["log.jsonl", "--json"],
        ["no-log.jsonl"],
        ["bad.csv"],
        ["bad.csv", "--max-bad-rows", "1"],
        ["absent"],
        ["log.jsonl", "--column", f"model={EVIL}"],
        ["log.jsonl", "--format", EVIL],
        ["log.jsonl", "--discount", "odd.toml"],
        ["log.jsonl", "--deployment", f"{EVIL}=gpt-4o"],
        ["log.jsonl", "--html", "absent"],
        ["log.jsonl", "--focus", "absent"],
        [EVIL, "--nothing"],
    ],
    "route": [
        ["tiers.toml", EVIL],
        ["tiers.toml", EVIL, "--json"],
        ["failing.toml", "Why?"],
        ["trained.toml", "Why?"],
        ["odd.toml", "Why?"],
        ["broken.toml", "Why?"],
    ],
    "sample-log": [[EVIL], [f"{EVIL}/a.csv", "--requests", "5"]],
    "simulate": [["tiers.toml", "--requests", "10"], ["tiers.toml", "--json"], ["odd.toml"], ["absent"]],
    "bench": [[EVIL], ["device", "--device", EVIL]],
    "cache": [["size", "--requests", "9", "--unique", "9", "--zipf", "1", "--store", EVIL], [EVIL]],
    "recordings": [["check", "recordings"], ["check", "absent"]],
    "monitoring": [["serve", "log.jsonl"], ["serve", "absent"], ["export", "log.jsonl"]],
}


def test_every_command_is_tried() -> None:
    assert set(CALLS) == set(COMMANDS)


@pytest.mark.parametrize("command", CALLS)
def test_nothing_that_is_printed_is_obeyed(run: Run, files: dict[str, str], command: str) -> None:
    for module, extra in (("duckdb", "usage"), ("narwhals", "usage"), ("sklearn", "router")):
        needs.extra(module, extra)
    shown = ""
    for arguments in CALLS[command]:
        status, out, err = run(command, *(files.get(one, one) for one in arguments))
        assert harmless(out, err), (arguments, out, err)
        assert out + err, arguments
        assert status != 1 or command == "recordings", err
        if "--json" in arguments and status == 0:
            json.loads(out)
        shown += out + err
    assert "\\x1b" in shown or command == "demo"  # it is there, and shown


def test_warnings_log_records_and_bugs_are_not_obeyed_either(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        warnings.warn(EVIL, stacklevel=1)
        sys.stderr.writelines([EVIL, "\n"])
        raise RuntimeError(EVIL)

    monkeypatch.setattr("costlab.catalog.gpu", broken)
    monkeypatch.setattr("warnings.filters", [("always", None, Warning, None, 0)])
    with pytest.raises(SystemExit) as ended:
        main(["gpu", "A10G"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert harmless(out, err)
    assert "RuntimeError: m\\x1b]0;evil" in err
    assert isinstance(sys.stdout, type(sys.__stdout__)) or not hasattr(sys.stdout, "rich_proxied_file")


def test_names_that_are_no_text_are_shown_or_refused(run: Run, tmp_path: Path) -> None:
    needs.extra("duckdb", "usage")
    name = os.fsdecode(b"\xff\x1b[2J.csv")
    try:
        (tmp_path / name).write_text("time_s,model,input_tokens,output_tokens,cost_usd\n1,m,1,1,1\n")
    except OSError:
        pytest.skip("this file system has names of text alone")
    for extra in ((), ("--json",)):
        status, out, err = run("report", str(tmp_path / name), *extra)
        assert (status, err.count("\n")) in ((0, 0), (2, 1))
        assert harmless(out, err)
        assert "\\x1b[2J.csv" in out + err or "encode" in err  # what reads the file knows names of text alone


def read_terminal(leader: int) -> bytes:
    """What a terminal was sent; nothing when all programs have left it."""
    try:
        return os.read(leader, 65_536)
    except OSError:
        return b""


def test_on_a_terminal_tables_have_their_colours_and_names_none(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no such terminals")
    needs.extra("duckdb", "usage")
    row: dict[str, Any] = {"time_s": 1.0, "model": "\x1b]0;evil\x07", "input_tokens": 1, "output_tokens": 1}
    path = tmp_path / "\x1b]0;evil\x07.jsonl"
    path.write_text(json.dumps(row | {"cost_usd": 1.0, "tier": "\x9b2J"}))
    code = (
        "import sys, costlab.cli.monitoring as m; from costlab.cli import main; m.LARGE_BYTES = 1; main(sys.argv[1:])"
    )
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", code, "report", str(path)]
    with subprocess.Popen(
        command, stdout=follower, stderr=follower, env=os.environ | {"TERM": "xterm-256color"}
    ) as shown:
        os.close(follower)
        told = b""
        while piece := read_terminal(leader):
            told += piece
    os.close(leader)
    assert shown.returncode == 0
    text = told.decode(errors="replace")
    assert "\x1b[1m" in text  # headings are bold: it was drawn for a terminal
    assert "\x1b]" not in text
    assert "\x9b" not in text
    assert "\\x1b]0;evil" in text


#: Commands that read a file, with the place of its name.
READERS = [
    ("report", "{}"),
    ("report", "LOG", "--gpu-hours", "{}"),
    ("report", "LOG", "--discount", "{}"),
    ("report", "LOG", "--gpu-hours", "LOG", "--gpu-bill-apart", "--focus", "f.csv", "--commitments", "{}"),
    ("compare", "{}"),
    ("route", "{}", "Why?"),
    ("route", "TIERS", "Why?"),
    ("simulate", "{}"),
    ("simulate", "TIERS"),
    ("recordings", "check", "FOLDER"),
    ("monitoring", "serve", "{}"),
]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
@pytest.mark.parametrize("kind", ["pipe", "socket", "endless device"])
@pytest.mark.parametrize("arguments", READERS, ids=lambda one: " ".join(one[:3]))
def test_what_is_no_file_is_refused_and_not_waited_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, arguments: tuple[str, ...]
) -> None:
    for module, extra in (("duckdb", "usage"), ("sklearn", "router")):
        needs.extra(module, extra)
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    (tmp_path / "r").mkdir()
    for path in (Path("x.csv"), Path("r/device-x.json")):
        if kind == "pipe":
            os.mkfifo(path)  # into which nobody writes
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as opened:
                opened.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
    row = "1,m,1,1,1,g,1,1,1\n"
    Path("log.csv").write_text(
        "time_s,model,input_tokens,output_tokens,cost_usd,gpu,hours,usd_per_hour,utilization_fraction\n" + row
    )
    Path("t.toml").write_text(
        '[[tier]]\nname = "a"\nusd_per_request = 1\nmodel = { kind = "sklearn", training = "x.csv" }\n'
        '[outcomes]\npath = "x.csv"\n'
    )
    places = {"{}": "x.csv", "LOG": "log.csv", "TIERS": "t.toml", "FOLDER": "r"}
    status, out, err = run(*(places.get(one, one) for one in arguments))
    told = out if arguments[0] == "recordings" else err
    assert status == (1 if arguments[0] == "recordings" else 2), (out, err)
    assert "is no regular file" in told or "no costlab ledger" in told or "device" in told, told
    assert told.count("\n") <= 2


def test_a_folder_and_a_name_cannot_change_what_is_read(run: Run, tmp_path: Path) -> None:
    needs.extra("duckdb", "usage")
    head = "time_s,model,input_tokens,output_tokens,cost_micro_usd\n"
    folder = tmp_path / "cost_micro_usd=5"  # as tools that partition a table by a column would name it
    folder.mkdir()
    (folder / "log*.csv").write_text(f"{head}1,m,1,1,100\n")
    (folder / "log1.csv").write_text(f"{head}1,m,1,1,70000\n")
    (folder / "log?.csv").write_text(f"{head}1,m,1,1,900000\n")
    for name, cost in (("log*.csv", 100), ("log?.csv", 900_000), ("", 970_100)):
        status, out, _ = run("report", str(folder / name), "--json")
        assert (status, json.loads(out)["total"]["cost_micro_usd"]) == (0, cost)
