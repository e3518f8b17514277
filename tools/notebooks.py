"""Run notebooks and store their outputs, or start a new lesson.

python -m tools.notebooks run notebooks/01_gpu_cost_modeling.ipynb ...
python -m tools.notebooks new 02_quantization
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tools.notebook_lint import setup_source
from tools.quoted_recordings import mark_read

ROOT = Path(__file__).parents[1]
SKELETON = Path(__file__).parent / "skeleton.ipynb"

#: Of every notebook: its kernel, and what makes Colab offer a GPU.
METADATA: dict[str, Any] = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def without_outputs(path: Path) -> nbformat.NotebookNode:
    """A notebook as it was before anybody ran it."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def run(path: Path) -> None:
    """Execute a notebook in an empty folder, as a student's first run would, and store the outputs in the file."""
    notebook = without_outputs(path)
    with tempfile.TemporaryDirectory() as empty:
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": empty}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # wall-clock times, different at every run
    notebook.metadata.update(METADATA)
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
    marks = {"number": str(int(number)), "lesson": number, "title": title, "setup": setup_source()}
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
                print(f"ran {name}")
        case ["new", name]:
            print(f"wrote {new(name).relative_to(ROOT)}")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
