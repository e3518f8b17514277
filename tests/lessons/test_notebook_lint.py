"""Each rule of the lint, shown to fail on a copy of a lesson that breaks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
        (lambda cells: figure(cells)["metadata"].clear(), "its figure has no alt text"),
        (lambda cells: code(cells)[3].update(source="x = 1\n" * 21), "21 lines; at most 20"),
        (lambda cells: code(cells)[3].update(source="from costlab import *"), "imports *"),
        (
            lambda cells: code(cells)[0].update(source="!pip install costlab"),
            "the first code cell is not the setup cell",
        ),
        (lambda cells: cells[0].update(source="It costs 4711.5 dollars."), "the number 4711.5 stands in no output"),
        (
            lambda cells: figure(cells)["metadata"]["mystnb"]["image"].update(alt="Bars that reach 4711.5 dollars."),
            "the number 4711.5 stands in no output",
        ),
        (lambda cells: cells.extend([code(cells)[-1]] * 40), "code cells; a lesson has 20 to 35"),
        (lambda cells: cells.extend([code(cells)[-1]] * 3), "the third code cell in a row"),
        (lambda cells: cells.__setitem__(slice(None), cells[:20]), "exercises with a check; at least 3"),
        (lambda cells: cells.__setitem__(slice(None), cells[:20]), "is not recomputed here"),
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


def test_setup_cell_names_the_one_repository(capsys: pytest.CaptureFixture[str]) -> None:
    assert "git+https://github.com/costlab/costlab" in setup_source()
    assert main(["--setup"]) == 0
    assert capsys.readouterr().out.strip() == setup_source()
