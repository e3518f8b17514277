"""Run the lessons as Colab would: ``python -m tools.colab [--python python3.12] [--torch VERSION] [LESSON ...]``.

Makes an environment with the versions of ``colab-constraints.txt``, installs the wheel in it as a lesson's setup cell
does, and runs every lesson in an empty folder. Tells which ran, how long they took, where their outputs differ from the
stored ones, and which versions are not Colab's. The exit status is 1 if a lesson stopped, or if the setup cell would
change a package that a Colab kernel has loaded before the cell runs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools.notebook_lint import IGNORED, setup_source
from tools.student import without_outputs

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "colab-constraints.txt"

#: What a Colab kernel has imported when the first cell runs; a new version would need a restart of the runtime.
LOADED = (
    "ipykernel",
    "ipython",
    "jupyter-client",
    "matplotlib",
    "numpy",
    "pandas",
    "psutil",
    "pyzmq",
    "tornado",
    "traitlets",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a lesson went.

    Attributes
    ----------
    lesson : str
        Its file name.
    seconds : float
        Wall-clock time of all cells, in s.
    cells : int
        Number of code cells that were run.
    differing : tuple of int
        Numbers of the compared cells whose text is not the stored one.
    error : str
        What stopped it; empty if nothing did.
    """

    lesson: str
    seconds: float
    cells: int
    differing: tuple[int, ...]
    error: str


def pins(path: Path = CONSTRAINTS) -> dict[str, str]:
    """The version of each package in a constraints file."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def setup_arguments(wheel: Path, stem: str) -> list[str]:
    """What a lesson's setup cell passes to pip, with the wheel in place of the repository."""
    found = re.search(r'%pip (install .*)"(costlab\[[\w,-]+\]) @ git\+[^"]*"', setup_source(stem))
    if found is None:
        raise ValueError("the setup cell does not install costlab from its repository with %pip")
    return [*found[1].split(), f"{found[2]} @ {wheel.resolve().as_uri()}"]


def versions(python: Path) -> dict[str, str]:
    """The packages of an environment, by their normal names."""
    command = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in listed}


def reloaded(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Packages that a Colab kernel has loaded and the setup cell changed."""
    return [f"{name} {before[name]} -> {after.get(name)}" for name in LOADED if before[name] != after.get(name)]


def make_environment(folder: Path, base: str, wanted: Mapping[str, str]) -> Path:
    """A new environment with the versions wanted, where they can be had; the path of its Python."""
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    # torch first, with what it needs: asked for later, another package's wish may choose it.
    _pip(python, "install", f"torch=={wanted['torch']}")
    exact = [f"{name}=={version}" for name, version in wanted.items() if name != "torch"]
    if _pip(python, "install", "--no-deps", *exact, check=False):
        for one in exact:
            if _pip(python, "install", "--no-deps", one, check=False):
                print(f"not to be had: {one}")
    return python


def _pip(python: Path, *words: str, check: bool = True) -> int:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"error: pip {' '.join(words)}\n{done.stderr[-2000:]}")
    return done.returncode


def run_lesson(path: Path, python: Path) -> Ran:
    """Run a lesson in an empty folder, with a kernel of that Python."""
    stored = nbformat.read(path, as_version=4)
    notebook = without_outputs(path)
    kernel = AsyncKernelManager()
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel._kernel_spec = KernelSpec(argv=argv, display_name="Colab", language="python")
    error, started = "", time.monotonic()
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(notebook, km=kernel, timeout=600, resources={"metadata": {"path": empty}})
        client.owns_km = True  # so that the kernel ends with its lesson
        try:
            # %pip in a lesson must meet the environment's own pip, and no package may come from this checkout.
            client.execute(
                env={**os.environ, "PYTHONPATH": "", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PIP_NO_COLOR": "1"}
            )
        except CellExecutionError as stopped:
            error = f"{stopped.ename}: {stopped.evalue}"
    pairs = [(a, b) for a, b in zip(stored.cells, notebook.cells, strict=True) if a.cell_type == "code"]
    differing = [b.execution_count for a, b in pairs if b.execution_count and differs(a, b)]
    ran = sum(bool(b.execution_count) for _, b in pairs)
    return Ran(path.name, time.monotonic() - started, ran, tuple(differing), error)


def differs(stored: Any, found: Any) -> bool:
    """Whether a cell whose output is compared says something else than stored."""
    return IGNORED not in stored.metadata.get("tags", []) and _said(stored) != _said(found)


def _said(cell: Any) -> str:
    """A cell's text, without pictures, whose bytes differ between versions of matplotlib, and what pip says."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    said = re.sub(
        r"^(WARNING: |Note: you may need to restart).*$|<Figure size [^>]*>", "", "\n".join(texts), flags=re.M
    )
    return re.sub(r"\s+", " ", said).strip()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.colab", description="Run the lessons as Colab would.")
    parser.add_argument("lessons", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    parser.add_argument("--python", default="python3.12", help="the Python of Colab's runtime")
    parser.add_argument("--torch", help="another version of torch than Colab's, say one for a machine without GPU")
    parser.add_argument(
        "--environment", type=Path, help="where to make the environment; a temporary folder if not given"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Make the environment, run the lessons, print a report; the exit status is 1 if something failed."""
    asked = _arguments(words)
    colab = pins()
    if shutil.which(asked.python) is None:
        raise SystemExit(f"error: {asked.python} is not there; name another with --python")
    wanted = {**colab, **({"torch": asked.torch} if asked.torch else {})}
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        python = make_environment(asked.environment or Path(folder, "colab"), asked.python, wanted)
        print(subprocess.run([str(python), "--version"], check=True, capture_output=True, text=True).stdout.strip())
        before = versions(python)
        results, changed = [], set[str]()
        for lesson in asked.lessons:
            started = time.monotonic()
            _pip(python, *setup_arguments(wheel, lesson.stem))
            after = versions(python)
            print(f"{lesson.name}: the setup cell takes {time.monotonic() - started:.0f} s")
            changed |= set(reloaded(before, after))
            _report_versions(colab, before, after)
            one = run_lesson(lesson, python)
            results.append(one)
            # Each lesson meets a fresh runtime: what this one brought, models too, is taken away again.
            fetched = sorted(versions(python).keys() - after.keys())
            brought = sorted(versions(python).keys() - before.keys())
            if brought:
                _pip(python, "uninstall", "--yes", *brought)
            state = f"STOPPED by {one.error}" if one.error else "ran"
            other = f"; cells that say something else: {', '.join(map(str, one.differing))}" if one.differing else ""
            fetches = f", fetched {', '.join(fetched)}" if fetched else ""
            print(f"{one.lesson:<34} {state}, {one.cells} cells in {one.seconds:.0f} s{fetches}{other}", flush=True)
    for package in sorted(changed):
        print(f"the setup cell changes what the kernel has loaded: {package}")
    stopped = [one for one in results if one.error]
    print(f"colab: {len(results)} lessons, {len(stopped)} stopped, {sum(one.seconds for one in results):.0f} s")
    return 1 if stopped or changed or not results else 0


def _report_versions(colab: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> None:
    other = [
        f"{name} {before.get(name, 'none')} (Colab: {one})" for name, one in colab.items() if before.get(name) != one
    ]
    print(f"Colab's versions: {len(colab) - len(other)} of {len(colab)}; other: {', '.join(other) or 'none'}")
    moved = [
        f"{name} {before[name]} -> {after[name]}" for name in before if name in after and before[name] != after[name]
    ]
    print(f"changed by the setup cell: {', '.join(moved) or 'none'}")
    print(f"added by the setup cell: {', '.join(sorted(after.keys() - before.keys()))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
