"""Who may see what: exercises are for everybody, solutions and teaching notes for instructors only."""

import ast
import html
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tools.exercises import Exercises

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
NOTES = sorted((ROOT / "book" / "instructor").glob("*.md"))
#: A passage shorter than this, letters and digits alone, may well stand somewhere else.
LEAST = 24


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def sources(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == kind]


def squeezed(text: str) -> str:
    """Letters and digits alone: as they stand in a file, in HTML and in a notebook's JSON."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def work(path: Path) -> Iterator[str]:
    """The lines of a solution notebook that work something out, and the sentences that explain it."""
    for source in sources(path, "code"):
        for node in ast.parse(source).body:
            called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
            told = isinstance(called, ast.Name) and called.id == "solve"
            setup = isinstance(node, ast.Import | ast.ImportFrom) or (
                isinstance(node, ast.FunctionDef) and node.name == "solve"
            )
            asked_of_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "probes"
            if not told and not setup and not asked_of_all:
                yield from (ast.get_source_segment(source, node) or "").splitlines()
    for source in sources(path, "markdown")[1:]:
        yield from re.split(r"(?<=[.:])\s", source)


def secrets() -> dict[str, str]:
    """What only an instructor may see, squeezed, with the file that it comes from."""
    shown = squeezed(
        "\n".join(text for path in LESSONS for kind in ("code", "markdown") for text in sources(path, kind))
    )
    shown += squeezed("\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "costlab").rglob("*.py")))
    found = {}
    for path in (*SOLUTIONS, *NOTES):
        lines = work(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8").splitlines()
        # What recordings a note quotes is told by the lesson's own cells too.
        for line in (squeezed(line) for line in lines if not line.startswith("<!-- recordings:")):
            # Some lines of a solution repeat the lesson's, to have its names.
            if len(line) >= LEAST and line not in shown:
                found[line] = path.name
    return found


def leaks(text: str, known: dict[str, str]) -> list[str]:
    """The secrets that a text holds."""
    flat = squeezed(text)
    return [f"{source}: {secret}" for secret, source in known.items() if secret in flat]


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    return secrets()


def test_there_is_something_to_hide_and_it_would_be_found(known: dict[str, str]) -> None:
    assert set(known.values()) == {path.name for path in (*SOLUTIONS, *NOTES)}
    line = "answer_1_1 = calculator.monthly_cost('L4', gpus=4, hours_per_day=12, days_per_month=22).usd"
    page = f"<pre><span>{line.replace(' = ', '</span> = <b>')}</b></pre>"
    assert leaks(re.sub(r"<[^>]*>", "", page), known)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_every_exercise_of_a_lesson_has_a_check_a_stub_and_a_solution(path: Path) -> None:
    asked = re.findall(r"\*\*Exercise (\d+\.\d+)(?:\.| · [a-z ]+)\*\*", "\n".join(sources(path, "markdown")))
    checked = [name for source in sources(path, "code") for name in re.findall(r'^check\("(\d+\.\d+)"', source, re.M)]
    solution = path.parent / "solutions" / path.name
    solved = re.findall(r'^solve\(\s*"(\d+\.\d+)"', "\n".join(sources(solution, "code")), re.M)
    shipped = tomllib.loads((ROOT / "costlab" / "lessons" / "exercises.toml").read_text(encoding="utf-8"))
    number = int(path.stem[:2])
    assert asked
    assert asked == checked == solved == [name for name in shipped if int(name.split(".")[0]) == number]
    for cell in cells(path):
        for name in re.findall(r'^check\("(\d+\.\d+)"', "".join(cell["source"]), re.M):
            # The stored output is that of the untouched stub, and the tests run it again and compare.
            said = "".join("".join(output["data"]["text/plain"]) for output in cell["outputs"])
            assert said == f"\N{HORIZONTAL ELLIPSIS} Exercise {name} is not answered yet."


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    needs.extra("nbformat", "test")
    from tools.student import write

    return write(tmp_path_factory.mktemp("student"))


def test_student_edition_has_every_lesson_and_no_output(student: list[Path]) -> None:
    assert [path.name for path in student] == [path.name for path in LESSONS]
    for path, lesson in zip(student, LESSONS, strict=True):
        for cell, original in zip(cells(path), cells(lesson), strict=True):
            assert "".join(cell["source"]) == "".join(original["source"])
            assert cell["metadata"] == original["metadata"]
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                assert cell["execution_count"] is None


def test_the_tracked_student_edition_is_that_of_the_lessons(student: list[Path]) -> None:
    folder = ROOT / "notebooks" / "student"
    fresh = {path.name: path.read_text(encoding="utf-8") for path in student}
    tracked = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.ipynb")}
    stale = sorted(name for name in fresh.keys() | tracked.keys() if fresh.get(name) != tracked.get(name))
    assert stale == [], "run `python -m tools.student`"


def test_student_edition_forgets_lessons_that_are_no_more(tmp_path: Path) -> None:
    needs.extra("nbformat", "test")
    from tools.student import write

    for name in ("99_gone.ipynb", "my notes.ipynb"):
        (tmp_path / name).write_text("{}")
    write(tmp_path)
    assert not (tmp_path / "99_gone.ipynb").exists()
    assert (tmp_path / "my notes.ipynb").exists()


def test_student_edition_holds_no_solution_and_no_note(student: list[Path], known: dict[str, str]) -> None:
    for path in student:
        assert leaks(json.dumps(cells(path)), known) == [], path.name


def test_exercise_cells_hold_no_answer(student: list[Path], solutions: Exercises) -> None:
    """Of an answer that is a number like no other, no cell of the student edition shows the digits."""
    tried = 0
    for exercise, solved in solutions.solved.items():
        answer = solved["answer"]
        if not isinstance(answer, float) or float(f"{answer:.3g}") == answer:
            continue
        (path,) = (path for path in student if int(path.name[:2]) == int(exercise.split(".")[0]))
        numbers = re.findall(r"\d[\d,]*\.?\d*", "\n".join("".join(cell["source"]) for cell in cells(path)))
        assert f"{answer:.4g}" not in {number.replace(",", "") for number in numbers}, exercise
        tried += 1
    assert tried > 10


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of the wheel and of the source distribution."""
    needs.extra("build", "test")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--sdist", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        found = {"wheel": {name: opened.read(name) for name in opened.namelist()}}
    with tarfile.open(source) as packed:
        members = [(member.name, packed.extractfile(member)) for member in packed.getmembers()]
        found["sdist"] = {name: stream.read() for name, stream in members if stream is not None}
    return found


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_package_holds_no_solution_and_no_note(
    archives: dict[str, dict[str, bytes]], kind: str, known: dict[str, str]
) -> None:
    files = archives[kind]
    assert any(name.endswith("costlab/lessons/exercises.toml") for name in files)
    assert not [name for name in files if re.search(r"solution|instructor|rubric|\.ipynb$", name)]
    for name, content in files.items():
        assert leaks(content.decode("utf-8", errors="ignore"), known) == [], name


def test_public_site_holds_no_solution_and_no_note(site: Path, known: dict[str, str]) -> None:
    names = [str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()]
    assert not [name for name in names if re.search(r"solution|instructor|rubric", name)]
    texts = [name for name in names if name.endswith((".html", ".js", ".txt", ".md", ".ipynb", ".json"))]
    assert any(name.startswith("notebooks/01_") for name in texts)
    for name in texts:
        text = (site / name).read_text(encoding="utf-8")
        if name.endswith(".html"):
            text = html.unescape(re.sub(r"<[^>]*>", "", text))
        assert leaks(text, known) == [], name
