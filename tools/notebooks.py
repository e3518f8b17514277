"""Run notebooks and store their outputs, start a new lesson, or put the setup cell of a new version into lessons.

python -m tools.notebooks run notebooks/01_gpu_cost_modeling.ipynb ...
python -m tools.notebooks new 02_quantization
python -m tools.notebooks setup notebooks/[0-9]*.ipynb

Each of them writes the copy without outputs in notebooks/student too, which Colab opens.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tools.notebook_lint import setup_source
from tools.quoted_recordings import mark_read
from tools.student import follow, without_outputs

ROOT = Path(__file__).parents[1]
SKELETON = Path(__file__).parent / "skeleton.ipynb"

#: Of every notebook: its kernel, and what makes Colab offer a GPU.
METADATA: dict[str, Any] = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(path: Path) -> None:
    """Execute a notebook in an empty folder, as a student's first run would, and store the outputs in the file."""
    notebook = without_outputs(path)
    with tempfile.TemporaryDirectory() as empty:
        resources = {"metadata": {"path": empty}}
        # What a busy machine sends in pieces is one output all the same.
        NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources=resources, coalesce_streams=True
        ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # wall-clock times, different at every run
    notebook.metadata.update(METADATA)
    nbformat.write(notebook, path)


def set_up(path: Path) -> None:
    """Put the setup cell of this version into a lesson; its outputs are left as they are."""
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if "setup" in cell.metadata.get("tags", ()))
    if cell.source != setup_source(path.stem):
        cell.source = setup_source(path.stem)
        nbformat.write(notebook, path)


def new(name: str, folder: Path = ROOT / "notebooks") -> Path:
    """Copy the skeleton to a new lesson called, say, ``02_quantization``; an existing file is left alone."""
    number, _, topic = name.partition("_")
    if len(number) != 2 or not number.isdigit() or not topic.isidentifier():
        raise SystemExit(f"error: NAME must be like 02_quantization, got {name!r}")
    path = folder / f"{name}.ipynb"
    if path.exists():
        raise SystemExit(f"error: {path.name} exists")
    notebook = nbformat.read(SKELETON, as_version=4)
    title = topic.replace("_", " ").capitalize()
    marks = {"number": str(int(number)), "lesson": number, "title": title, "setup": setup_source(name)}
    for index, cell in enumerate(notebook.cells):
        for mark, text in marks.items():
            cell.source = cell.source.replace("{{" + mark + "}}", text)
        cell.id = f"{number}-{index:02d}"
    nbformat.write(notebook, path)
    mark_read(path)
    return path


def main(arguments: list[str]) -> None:
    """Do what the first argument says with the rest."""
    match arguments:
        case ["run", *names] if names:
            for name in names:
                run(Path(name))
                follow(Path(name))
                print(f"ran {name}")
        case ["setup", *names] if names:
            for name in names:
                set_up(Path(name))
                follow(Path(name))
        case ["new", name]:
            follow(path := new(name))
            print(f"wrote {path.relative_to(ROOT)}")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
