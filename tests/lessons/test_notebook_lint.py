"""Each rule of the lint, shown to fail on a copy of a lesson that breaks it."""

import base64
import json
import struct
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import costlab
from tests import needs
from tools.notebook_lint import lint_notebook, main, setup_source

ROOT = Path(__file__).parents[2]
LESSON = ROOT / "notebooks" / "01_gpu_cost_modeling.ipynb"
Cell = dict[str, Any]


def code(cells: list[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def printing(cells: list[Cell]) -> list[Cell]:
    return [cell for cell in code(cells) if cell["outputs"]]


def figure(cells: list[Cell]) -> Cell:
    return next(c for c in code(cells) if any("image/png" in o.get("data", {}) for o in c["outputs"]))


def on_white(cell: dict[str, Any]) -> None:
    """Give the figure of a cell a white ground."""
    for output in cell["outputs"]:
        if "image/png" in output.get("data", {}):
            output["data"]["image/png"] = base64.b64encode(png(b"\0" + b"\xff" * 4)).decode()


def png(row: bytes) -> bytes:
    """A picture of one pixel with red, green, blue and alpha, behind the kind of its row."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0), b"IDAT": zlib.compress(row), b"IEND": b""}
    parts = (struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def lint(tmp_path: Path) -> Callable[[Callable[[list[Cell]], object]], list[str]]:
    def after(change: Callable[[list[Cell]], object]) -> list[str]:
        notebook = json.loads(LESSON.read_text())
        change(notebook["cells"])
        path = tmp_path / LESSON.name
        path.write_text(json.dumps(notebook))
        return lint_notebook(path)

    return after


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda p: p.name)
def test_lessons_keep_every_rule(path: Path) -> None:
    assert lint_notebook(path) == []


def drop_output(cells: list[Cell]) -> None:
    tables = (cell for cell in printing(cells) if "reveal(" in "".join(cell["source"]))
    next(tables)["outputs"] = []


def drop_figure(cells: list[Cell]) -> None:
    figure(cells)["outputs"] = []


def drop_banner_output(cells: list[Cell]) -> None:
    next(c for c in code(cells) if "banner(" in "".join(c["source"]) and c["outputs"])["outputs"] = []


def exempt_everything(cells: list[Cell]) -> None:
    for cell in printing(cells)[:14]:
        cell["metadata"]["tags"] = ["nbval-ignore-output"]


def rename_heading(cells: list[Cell]) -> None:
    for cell in cells:
        cell["source"] = "".join(cell["source"]).replace("## At work tomorrow", "## Homework")


def reword(cells: list[Cell], old: str, new: str, code_too: bool = False) -> None:
    for cell in cells:
        if code_too or cell["cell_type"] == "markdown":
            cell["source"] = "".join(cell["source"]).replace(old, new)
        for output in cell.get("outputs", ()) if code_too else ():
            for kind in ("text/plain", "text/html"):
                if kind in output.get("data", {}):
                    output["data"][kind] = "".join(output["data"][kind]).replace(old, new)
            if "text" in output:
                output["text"] = "".join(output["text"]).replace(old, new)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (drop_output, "its stored output is missing"),
        (drop_banner_output, "its stored output is missing"),
        (drop_figure, "its stored figure is missing"),
        (exempt_everything, "exempt from comparison"),
        (rename_heading, "no section '## At work tomorrow'"),
        (lambda cells: code(cells)[3].update(execution_count=99), "execution counts are not 1 to"),
        (lambda cells: code(cells)[3].update(execution_count=None), "execution counts are not 1 to"),
        (lambda cells: code(cells)[5]["outputs"].append({"output_type": "error"}), "holds an error"),
        (lambda cells: code(cells)[5]["outputs"].append({"output_type": "stream", "name": "stderr"}), "text on stderr"),
        (
            lambda cells: code(cells)[5]["outputs"].append(
                {"output_type": "stream", "name": "stdout", "text": ["costlab 0.1.0 on no GPU; CPU: AMD EPYC\n"]}
            ),
            "was run with costlab 0.1.0, this is",
        ),
        (lambda cells: figure(cells)["metadata"].clear(), "its figure has no alt text"),
        (lambda cells: on_white(figure(cells)), "its figure has a ground, illegible on a dark page"),
        (lambda cells: code(cells)[3].update(source="x = 1\n" * 21), "21 lines; at most 20"),
        (lambda cells: code(cells)[3].update(source="from costlab import *"), "imports *"),
        (
            lambda cells: code(cells)[0].update(source="!pip install costlab"),
            "the first code cell is not the setup cell",
        ),
        (lambda cells: cells[0].update(source="It costs 4711.5 dollars."), "the number 4711.5 is in no output"),
        (
            lambda cells: figure(cells)["metadata"]["mystnb"]["image"].update(alt="Bars that reach 4711.5 dollars."),
            "the number 4711.5 is in no output",
        ),
        (lambda cells: cells.extend([code(cells)[5]] * 40), "code cells; a lesson has 20 to 35"),
        (lambda cells: cells.extend([code(cells)[-1]] * 3), "the third code cell in a row"),
        (lambda cells: cells.__setitem__(slice(None), cells[:20]), "exercises with a check; at least 3"),
        (lambda cells: cells.__setitem__(slice(None), cells[:20]), "is not recomputed here"),
        (lambda cells: reword(cells, "1.2 · compute", "1.2"), "the head must be like"),
        (lambda cells: reword(cells, "compute** ★★☆", "compute**"), "the head must be like"),
        (
            lambda cells: reword(cells, "Exercise 1.2 · compute", "Exercise 1.2 · build it"),
            "2 exercises of the kind 'build it'",
        ),
        (
            lambda cells: reword(cells, "1.3 · build it", "1.3 · break it"),
            "0 exercises of the kind 'build it'; a lesson has one",
        ),
        (
            lambda cells: reword(cells, "**Open question 1.6**", "Open question:"),
            "0 exercises of the kind 'open question'",
        ),
        (lambda cells: reword(cells, "Exercise 1.1 ·", "Exercise 1.9 ·"), "exercises are numbered [9, 2, 3, 4, 5, 6]"),
        (
            lambda cells: reword(cells, "1.2 · compute** ★★☆", "1.2 · break it** ★★☆"),
            "2 exercises of the kind 'break it'",
        ),
        (lambda cells: cells.append(cells[0]), "its last section must be '## Check yourself'"),
        (lambda cells: reword(cells, "## Check yourself", "## Quiz"), "its last section must be '## Check yourself'"),
        (
            lambda cells: reword(cells, "0.26", "0.27", code_too=True),
            "the number 0.26 is in no output, code or ledger row: 'An A10G costs",
        ),
        (lambda cells: [c.update(source=["a = 1\n"] * 6) for c in code(cells)[1:]], "the median code cell has 6 lines"),
    ],
)
def test_each_rule_fails_where_it_is_broken(
    lint: Callable[..., list[str]], change: Callable[[list[Cell]], object], problem: str
) -> None:
    assert any(problem in line for line in lint(change)), lint(change)


def test_long_cells_may_be_tagged(lint: Callable[..., list[str]]) -> None:
    def change(cells: list[Cell]) -> None:
        code(cells)[3].update(source="x = 1\n" * 21)
        code(cells)[3]["metadata"]["tags"] = ["long"]

    assert not any("at most 20" in line for line in lint(change))


def test_a_number_may_be_declared_with_a_reason(lint: Callable[..., list[str]]) -> None:
    def change(cells: list[Cell]) -> None:
        cells[0].update(source="It costs 4711.5 dollars.")
        cells[0]["metadata"]["costlab"] = {"numbers": {"4711.5": "an example"}}

    assert not any("4711.5" in line for line in lint(change))


def test_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(LESSON)]) == 0
    (tmp_path / "02_x.ipynb").write_text("torn")
    assert main([str(tmp_path / "02_x.ipynb")]) == 1
    assert "not a notebook" in capsys.readouterr().out
    assert main([]) == 1


def test_setup_cell_installs_this_release_from_the_one_repository(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"git+https://github.com/costlab/costlab@v{costlab.__version__}"
    assert f'"costlab[lessons] @ {address}"' in setup_source("99_new")
    assert f'"costlab[plots] @ {address}"' in setup_source(LESSON.stem)
    assert main(["--setup", str(LESSON)]) == 0
    assert capsys.readouterr().out.strip() == setup_source(LESSON.stem)
    assert main(["--setup"]) == 0
    assert capsys.readouterr().out.strip() == setup_source("")


def test_every_lesson_lists_extras_that_there_are_and_no_lesson_that_is_gone_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["costlab"]["lessons"]
    assert set(listed) <= {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    for stem, extras in listed.items():
        assert extras, stem
        assert set(extras) <= set(project["project"]["optional-dependencies"]), stem


def test_a_new_version_is_put_into_the_setup_cell_and_nothing_else_is_changed(tmp_path: Path) -> None:
    needs.extra("nbformat", "test")
    from tools import notebooks

    lesson = tmp_path / LESSON.name
    text = LESSON.read_text(encoding="utf-8")
    lesson.write_text(text.replace(f"@v{costlab.__version__}", "@v0.9.0"), encoding="utf-8")
    assert lesson.read_text(encoding="utf-8") != text
    assert lint_notebook(lesson)
    notebooks.main(["setup", str(lesson)])
    assert lesson.read_text(encoding="utf-8") == text
