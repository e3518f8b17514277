"""The rules that every lesson keeps, checked on its file: ``python -m tools.notebook_lint notebooks/*.ipynb``.

The rules themselves stand in CONTRIBUTING.md, with their reasons.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from costlab.lessons.claims_ledger import claims
from tools.quoted_recordings import unread, unread_page

Cell = dict[str, Any]

MAX_LINES, MAX_MEDIAN_LINES, CODE_CELLS, MIN_COMPARED = 20, 5, (20, 35), 0.7
SECTIONS = ("What you will be able to do", "The lesson's claims on trial", "At work tomorrow")
IGNORED, LONG = "nbval-ignore-output", "long"

#: A number as prose writes it: 5,817.60 or 0.3 or 70. Not part of a word, a version or a file name.
_NUMBER = re.compile(r"(?<![\w.,/#-])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.,/#-])\d+(?:\.\d+)?(?![\w,.]*\w)")
_NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|\]\([^)]*\)|https?://\S+|^#+ [^\n]*$", re.S | re.M
)


def setup_source() -> str:
    """The cell with which every lesson begins, with the repository's address as ``pyproject.toml`` gives it."""
    urls = dict(entry.split(", ", 1) for entry in metadata("costlab").get_all("Project-URL") or ())
    return (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("costlab") is None:  # in Colab\n'
        f'    %pip install -q "costlab[lessons] @ git+{urls["Repository"]}"'
    )


def lint_notebook(path: Path, recordings: Path | None = None) -> list[str]:
    """Everything in a lesson that breaks a rule, a line each; empty when it keeps them all.

    Parameters
    ----------
    path : pathlib.Path
        The lesson; or a page in Markdown, of which only what it quotes from recordings is checked.
    recordings : pathlib.Path, optional
        Folder of the recordings, by default that of the package.
    """
    if path.suffix == ".md":
        return list(unread_page(path.read_text(encoding="utf-8"), path.name, recordings))
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells: list[Cell] = notebook["cells"]
    except (OSError, ValueError, KeyError) as error:
        return [f"not a notebook: {error}"]
    lesson = path.stem.split("_")[0]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return [*_structure(cells, code, lesson), *_outputs(code), *_prose(cells, lesson), *unread(cells, recordings)]


def _source(cell: Cell) -> str:
    return "".join(cell["source"])


def _tags(cell: Cell) -> list[str]:
    tags: list[str] = cell["metadata"].get("tags", [])
    return tags


def _named(cell: Cell) -> str:
    first = next((line for line in _source(cell).splitlines() if line.strip()), "(empty)")
    return f"cell [{cell.get('execution_count')}] {first[:50]!r}"


def _structure(cells: Sequence[Cell], code: Sequence[Cell], lesson: str) -> Iterator[str]:
    if not code or _source(code[0]) != setup_source():
        yield "the first code cell is not the setup cell of `python -m tools.notebook_lint --setup`"
    least, most = CODE_CELLS
    if not least <= len(code) <= most:
        yield f"{len(code)} code cells; a lesson has {least} to {most}"
    lengths = [len(_source(cell).splitlines()) for cell in code]
    if code and statistics.median(lengths) > MAX_MEDIAN_LINES:
        yield f"the median code cell has {statistics.median(lengths):g} lines; at most {MAX_MEDIAN_LINES}"
    for cell, length in zip(code, lengths, strict=True):
        if length > MAX_LINES and LONG not in _tags(cell):
            yield f"{_named(cell)}: {length} lines; at most {MAX_LINES} without the tag {LONG!r}"
        if re.search(r"^\s*from .* import \*", _source(cell), re.M):
            yield f"{_named(cell)}: imports *"
    for previous, cell, following in zip(cells, cells[1:], cells[2:], strict=False):
        if previous["cell_type"] == cell["cell_type"] == following["cell_type"] == "code":
            yield f"{_named(following)}: the third code cell in a row; say before what it will show"
    text = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    for title in SECTIONS:
        if not re.search(rf"^## {re.escape(title)}$", text, re.M):
            yield f"no section '## {title}'"
    sources = "\n".join(_source(cell) for cell in code)
    exercises = set(re.findall(r"check\(\"(\d+\.\d+)\"", sources))
    if len(exercises) < 3:
        yield f"{len(exercises)} exercises with a check; at least 3"
    if "banner(" not in sources:
        yield "no device banner"
    for entry in claims(lesson):
        if entry.values and f'claim("{entry.id}"' not in sources:
            yield f"the ledger's claim {entry.id} is not recomputed here"


def _outputs(code: Sequence[Cell]) -> Iterator[str]:
    counts = [cell.get("execution_count") for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"execution counts are not 1 to {len(code)} in order: run the whole notebook again"
    printing = [cell for cell in code if cell["outputs"]]
    ignored = [cell for cell in printing if IGNORED in _tags(cell)]
    if len(ignored) > (1 - MIN_COMPARED) * len(printing):
        yield f"{len(ignored)} of {len(printing)} printing cells are exempt from comparison; at most 30 %"
    for cell in code:
        kinds = {output["output_type"] for output in cell["outputs"]}
        if "error" in kinds:
            yield f"{_named(cell)}: holds an error"
        if any(output.get("name") == "stderr" for output in cell["outputs"]):
            yield f"{_named(cell)}: holds text on stderr"
        if not cell["outputs"] and _should_print(_source(cell)):
            yield f"{_named(cell)}: its stored output is missing (assign the value of a silent one)"
        image = any("image/png" in output.get("data", {}) for output in cell["outputs"])
        if _draws(_source(cell)) and not image:
            yield f"{_named(cell)}: its stored figure is missing"
        if image and len(alt_text(cell)) < 20:
            yield f"{_named(cell)}: its figure has no alt text (cell metadata mystnb.image.alt)"


def alt_text(cell: Cell) -> str:
    """What a code cell's figure is said to show; empty if nothing is said."""
    alt: str = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    return alt


def _draws(source: str) -> bool:
    return re.search(r"^(?:\w+ = )?(?:plotting\.)?plot_\w+\(|^plt\.show\(", source, re.M) is not None


def _should_print(source: str) -> bool:
    """Whether a cell leaves an output: it ends in an expression, or prints at its top level."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        body = ast.parse("\n".join(lines)).body
    except SyntaxError:
        return False
    if not body:
        return False
    ends_open = isinstance(body[-1], ast.Expr)
    calls = [node.value for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    says = {"print", "display", "reveal", "claim", "banner", "recorded"}
    return ends_open or any(isinstance(call.func, ast.Name) and call.func.id in says for call in calls)


def plain_prose(text: str) -> str:
    """Markdown without its code, formulas, link addresses, tags and headings."""
    return _NOT_PROSE.sub(" ", text)


def prose_numbers(text: str) -> list[str]:
    """Numbers as Markdown prose writes them, those of code, formulas and headings left out."""
    return _NUMBER.findall(plain_prose(text))


def shown_numbers(cells: Sequence[Cell], lesson: str) -> set[Decimal]:
    """Every number that a lesson's code, its outputs or its rows of the ledger show, shares also as per cent."""
    shown = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "code")
    for cell in cells:
        for output in cell.get("outputs", ()):
            data = {**output.get("data", {}), "stream": output.get("text", "")}
            shown += "\n" + "\n".join("".join(data.get(kind, "")) for kind in ("stream", "text/plain", "text/html"))
    shown += "\n" + "\n".join(f"{c.claimed} {c.found_text} {c.text} {c.why}" for c in claims(lesson))
    known = {_decimal(number) for number in re.findall(r"\d[\d,]*\.?\d*", shown)}
    return known | {number * 100 for number in known}


def _prose(cells: Sequence[Cell], lesson: str) -> Iterator[str]:
    """Numbers in prose and in alt texts that stand in no cell, no output and no row of the ledger."""
    known = shown_numbers(cells, lesson)
    titles = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    known |= {_decimal(number) for number in re.findall(r"^#+ (\d+\.\d+) ", titles, re.M)}  # section 1.6 is a reference
    for cell in cells:
        prose = _source(cell) if cell["cell_type"] == "markdown" else alt_text(cell)
        allowed = {_decimal(number) for number in cell["metadata"].get("costlab", {}).get("numbers", {})}
        for number in prose_numbers(prose):
            value = _decimal(number)
            if value in allowed or value in known or is_plain_count(value):
                continue
            if not any(near.quantize(value) == value for near in known if near < 10**15):
                yield f"the number {number} stands in no output, code or ledger row: {prose[:60]!r}"


def is_plain_count(value: Decimal) -> bool:
    """Whether a number is one that prose may count with, up to a dozen, or a year."""
    return value == int(value) and (value <= 12 or 1900 < value < 2100)


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", "").rstrip(".") or "0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Lint the notebooks named; the number of problems found is printed, and the exit status is 1 if there are any."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if names == ["--setup"]:
        print(setup_source())
        return 0
    problems = [f"{name}: {problem}" for name in names for problem in lint_notebook(Path(name))]
    for problem in problems:
        print(problem)
    print(f"notebook lint: {len(names)} files, {len(problems)} problems")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
