"""Colab: what the repository says of its runtime, what the tool makes of it, and what notebooks ask of it.

The lessons themselves run with Colab's versions in ``make colab``, weekly.
"""

import json
import re
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import needs
from tools.notebook_lint import setup_source

needs.extra("nbclient", "test")

from tools import colab  # noqa: E402 - after the check for optional packages
from tools.notebooks import METADATA, SKELETON  # noqa: E402

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", [*LESSONS, SKELETON], ids=lambda path: path.name)
def test_notebooks_ask_colab_for_a_gpu(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert found["accelerator"] == "GPU"
    assert found["kernelspec"]["name"] == "python3"
    assert {name: found[name] for name in METADATA} == METADATA


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_lessons_say_what_they_found(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (cell,) = (one for one in cells if re.search(r"^banner\(", "".join(one["source"]), re.M))
    said = "".join("".join(output["text"]) for output in cell["outputs"])
    assert re.match(r"costlab \S+ on (GPU|no GPU; CPU): .+ \(\d+ CPU cores\)\nlive here: .+\nfrom recordings: .+", said)


def reached(extra: str) -> set[str]:
    """Every package that an extra brings, directly or not."""
    seen: dict[str, set[str]] = {}

    def walk(name: str, extras: set[str]) -> None:
        wanted = extras | {""}
        if wanted <= seen.get(name, set()):
            return
        seen[name] = seen.get(name, set()) | wanted
        for line in requires(name) or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": one}) for one in wanted):
                walk(canonicalize_name(need.name), set(need.extras))

    walk("costlab", {extra})
    return set(seen)


#: Not needed by the tested versions, but by Colab's own, older ones.
OLDER = {
    *(
        "backcall",
        "decorator",
        "pickleshare",
        "nest-asyncio",
        "entrypoints",
    ),  # ipython 7, ipykernel 6, jupyter-client 7
    *("distro", "httpcore", "httpx", "pytz", "six"),  # openai 2, huggingface-hub 1, pandas 2, dateutil 2
}


def test_constraints_name_only_what_lessons_reach_and_say_where_they_come_from() -> None:
    text = colab.CONSTRAINTS.read_text(encoding="utf-8")
    assert re.search(
        r"^# Source: https://github\.com/googlecolab/backend-info/blob/[0-9a-f]{40}/pip-freeze\.gpu\.txt$", text, re.M
    )
    assert re.search(r"Read on \d{4}-\d{2}-\d{2}\.$", text, re.M)
    names = list(colab.pins())
    assert names == sorted(names)
    for extra, module in (("router", "sklearn"), ("usage", "duckdb"), ("models", "torch"), ("plots", "matplotlib")):
        needs.extra(module, extra)
    assert set(names) - reached("lessons") <= OLDER


def test_constraints_hold_what_a_colab_kernel_has_loaded() -> None:
    assert set(colab.LOADED) <= colab.pins().keys()


def test_what_colab_has_loaded_is_new_enough_for_the_lessons() -> None:
    """Else the setup cell would replace it, and ask for a restart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"]
    pins, tried = colab.pins(), set()
    for line in (*project["dependencies"], *groups["plots"], *groups["lessons"], *groups["models"]):
        need = Requirement(line)
        if need.name in {*colab.LOADED, "torch"}:
            assert need.specifier.contains(pins[need.name]), line
            tried.add(need.name)
    assert tried == {"numpy", "pandas", "matplotlib", "ipykernel", "ipython", "torch"}


def test_the_wheel_takes_the_place_of_the_repository(tmp_path: Path) -> None:
    wheel = tmp_path / "costlab-1-py3-none-any.whl"
    words = colab.setup_arguments(wheel, "01_gpu_cost_modeling")
    assert words == ["install", "-q", f"costlab[plots] @ {wheel.as_uri()}"]
    assert all(word in setup_source("01_gpu_cost_modeling") for word in ("%pip install -q", "costlab[plots] @ "))
    assert colab.setup_arguments(wheel, "a_new_lesson")[-1].startswith("costlab[lessons] @ ")


def test_a_package_that_the_kernel_has_loaded_may_not_change() -> None:
    before = {**dict.fromkeys(colab.LOADED, "1"), "duckdb": "1.3.2"}
    assert colab.reloaded(before, {**before, "duckdb": "1.5.0"}) == []
    assert colab.reloaded(before, {**before, "numpy": "2"}) == ["numpy 1 -> 2"]


def test_an_unknown_python_is_named() -> None:
    with pytest.raises(SystemExit, match=r"python2\.0 is not there; name another with --python"):
        colab.main(["--python", "python2.0"])


def test_lessons_stop_and_differ_and_are_told(tmp_path: Path) -> None:
    """The runner itself, on a notebook of its own and with the Python at hand."""
    import nbformat

    def cell(source: str, stored: str, **metadata: object) -> object:
        output = nbformat.v4.new_output("stream", name="stdout", text=stored)
        return nbformat.v4.new_code_cell(source, outputs=[output], metadata=metadata, execution_count=1)

    same, other = cell("print('a')", "a\n"), cell("print('b')", "c\n")
    timed = cell("print('d')", "e\n", tags=["nbval-ignore-output"])
    fetches = cell("print('Note: you may need to restart the kernel to use updated packages.\\nf')", "f\n")
    stops = cell("import os; assert os.listdir() == ['x'], 'the folder is empty'", "")
    path = tmp_path / "11_made.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[same, other, timed, fetches, stops, cell("never run", "")]), path)
    ran = colab.run_lesson(path, Path(sys.executable))
    assert (ran.lesson, ran.cells, ran.differing) == ("11_made.ipynb", 5, (2,))
    assert ran.error == "AssertionError: the folder is empty"


def test_bytes_are_those_of_everything_that_the_extras_require() -> None:
    from tools.requirements import required

    few, all_of_them = required(["plots"]), required(["lessons"])
    assert {Requirement(line).name for line in few} >= {"matplotlib", "pandas", "numpy", "pydantic"}
    assert not [line for line in all_of_them if line.startswith("costlab")]
    assert {Requirement(line).name for line in all_of_them} >= {"torch", "transformers", "faiss-cpu", "ipykernel"}
    assert set(few) < set(all_of_them)


def test_an_environment_can_pretend_to_hold_colab_s_packages(tmp_path: Path) -> None:
    from tools.setup_bytes import pretend

    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    python.chmod(0o755)
    pretend(python, {"faiss-cpu": "1.9"})
    assert (tmp_path / "faiss_cpu-1.9.dist-info" / "METADATA").read_text().splitlines()[1:] == [
        "Name: faiss-cpu",
        "Version: 1.9",
    ]
