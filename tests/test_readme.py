"""The README and the landing page: every command in them runs, and every picture is there and says what it shows."""

import os
import re
import shlex
import tomllib
import webbrowser
from pathlib import Path

import pytest

from tests import needs
from tests.commands import command_line
from tools.screenshots import FOLDER, PICTURES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line[2:].split("  #")[0].strip() for line in re.findall(r"^\$ costlab.*$", README, re.M)]
MAX_BYTES = 300_000


def test_every_command_runs_one_after_the_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("duckdb", "narwhals", "pyarrow"):
        needs.extra(module, "usage")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail(f"opened {url}"))
    for time_s, name in ((1_800_000_000, "first"), (1_800_003_600, "second")):  # what a reader scrapes from a server
        scrape = Path(name).with_suffix(".txt")
        scrape.write_bytes((ROOT / "tests" / "monitoring" / "data" / "engines" / f"llama-{name}.prom").read_bytes())
        os.utime(scrape, (time_s, time_s))
    assert len(COMMANDS) > 8
    for command in COMMANDS:
        line, _, target = command.partition(" > ")
        words = shlex.split(line)[1:]
        if words == ["demo"]:
            words += ["--requests", "500"]  # the whole day has tests of its own
        status, out, err = command_line(capsys)(*words)
        assert status == 0, (command, err)
        assert out or "wrote" in err, command
        if target:
            Path(target).write_text(out, encoding="utf-8")
    assert {"mine.toml", "tiers.toml", "usage.parquet", "report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_the_python_of_the_readme_runs_and_gives_what_it_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    space: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), space)
    told = re.findall(r"^(\S.*?)  # ([\d.]+)$", code, re.M)
    assert told
    for expression, value in told:
        assert eval(expression, space) == float(value)


def test_the_readme_installs_what_its_commands_need() -> None:
    (extras,) = re.findall(r"pip install \"costlab\[(\w+)\] @ git", README)
    assert extras == "usage"  # tools/check_extras.py runs report and demo with this one alone


def test_every_picture_is_there_small_and_named_the_same_everywhere() -> None:
    pages = {"README.md": README, "intro": (ROOT / "book" / "intro.md").read_text(encoding="utf-8")}
    used = {Path(path).name: alt for alt, path in re.findall(r"!\[(.*?)\]\((\.github/.*?)\)", pages["README.md"])}
    shown = re.findall(r"```\{image\} \.\./\.github/(\S+)\n:alt: (.*?)\n", pages["intro"])
    assert set(used) | {name for name, _ in shown} == set(PICTURES)
    for name, alt in (*used.items(), *shown):
        assert PICTURES[name] == alt
    for name in PICTURES:
        data = (FOLDER / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < MAX_BYTES
    assert {path.name for path in FOLDER.glob("*.png")} == set(PICTURES)


def test_the_state_counts_the_lessons_of_the_course() -> None:
    lessons = tomllib.loads((ROOT / "book" / "course.toml").read_text(encoding="utf-8"))["lesson"]
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    state = README.split("## State")[1]
    assert f"{words[len(lessons)]} lessons" in state


def test_the_state_names_the_version() -> None:
    from costlab import __version__

    assert f"Version {__version__}:" in README.split("## State")[1]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)} - \d{{4}}-\d\d-\d\d$", changes, re.M)
