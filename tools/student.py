"""Write the lessons without their outputs, as Colab and Binder open them: ``python -m tools.student``."""

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "notebooks" / "student"


def without_outputs(path: Path) -> nbformat.NotebookNode:
    """A notebook as it was before anybody ran it."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def follow(lesson: Path) -> None:
    """Write the student copy of a lesson of this checkout that was changed; other notebooks have none."""
    if lesson.resolve().parent == ROOT / "notebooks":
        nbformat.write(without_outputs(lesson), TARGET / lesson.name)


def write(folder: Path = TARGET, source: Path = ROOT / "notebooks") -> list[Path]:
    """Copies of the lessons in `folder`, without outputs and execution counts; the files written.

    What else lies in the folder is left alone, except lessons of an earlier time that are no more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9]*.ipynb"):
        old.unlink()
    written = []
    for lesson in sorted(source.glob("[0-9]*.ipynb")):
        nbformat.write(without_outputs(lesson), folder / lesson.name)
        written.append(folder / lesson.name)
    return written


def main() -> int:
    """Write the student edition and say where it is; the exit status is 1 if there was nothing to write."""
    written = write()
    print(f"the student edition: {len(written)} notebooks in {TARGET}")
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
