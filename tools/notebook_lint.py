"""The rules that every lesson keeps, checked on its file: ``python -m tools.notebook_lint notebooks/*.ipynb``.

The rules themselves stand in CONTRIBUTING.md, with their reasons.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import statistics
import struct
import sys
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from costlab import __version__
from costlab.errors import SOURCE
from costlab.lessons.claims_ledger import claims
from costlab.lessons.questions import quiz, quiz_names
from tools.quoted_recordings import unread, unread_page

Cell = dict[str, Any]
ROOT = Path(__file__).parents[1]

MAX_LINES, MAX_MEDIAN_LINES, CODE_CELLS, MIN_COMPARED = 20, 5, (20, 35), 0.7
SECTIONS = ("What you will be able to do", "The lesson's claims on trial", "At work tomorrow")
IGNORED, LONG = "nbval-ignore-output", "long"

QUIZ_SECTION: Final = "Check yourself"
#: In a PNG: where its kind of colours is, which kind has a ground to see through, and where its chunks begin.
PNG_COLOUR, RGB_AND_ALPHA, PNG_CHUNKS = 25, 6, 8
#: The head of an exercise: number and kind, or the number of an open question, then its difficulty in stars.
_HEAD: Final = re.compile(
    r"\*\*(?:Exercise (\d+\.\d+) · (compute|build it|break it)|(Open question) (\d+\.\d+))\*\* (?:★☆☆|★★☆|★★★)(?=\s)"
)
_HEADLIKE: Final = re.compile(r"\*\*(?:Exercise|Open question) \d+\.\d+[^*\n]*\*\*")

#: A number as prose writes it: 5,817.60 or 0.3 or 70. Not part of a word, a version or a file name.
_NUMBER = re.compile(r"(?<![\w.,/#-])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.,/#-])\d+(?:\.\d+)?(?![\w,.]*\w)")
_BANNER = re.compile(r"^costlab (\d\S*) on ", re.M)
_NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|\]\([^)]*\)|https?://\S+|^#+ [^\n]*$", re.S | re.M
)


def setup_extras(stem: str) -> str:
    """The extras that a lesson's setup cell installs, as ``pyproject.toml`` lists them; all where it lists none.

    Parameters
    ----------
    stem : str
        File name of the lesson, without suffix.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed: dict[str, list[str]] = project["tool"]["costlab"]["lessons"]
    return ",".join(listed.get(stem, ["lessons"]))


def setup_source(stem: str = "") -> str:
    """The cell with which a lesson begins.

    It installs what the lesson imports, of the release that the lesson was run with, by its tag, so what a lesson runs
    does not change unseen.
    """
    extras = setup_extras(stem)
    told = "" if extras == "lessons" else f'    print("loading costlab with {extras.replace(",", ", ")}")\n'
    return (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("costlab") is None:  # in Colab\n'
        f'{told}    %pip install -q "costlab[{extras}] @ {SOURCE}@v{__version__}"'
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
    return [
        *_structure(cells, code, path.stem),
        *_outputs(code),
        *_prose(cells, lesson),
        *unread(cells, recordings),
        *_kinds(cells, path.stem),
        *_quiz(cells, path.stem),
    ]


def _source(cell: Cell) -> str:
    return "".join(cell["source"])


def _tags(cell: Cell) -> list[str]:
    tags: list[str] = cell["metadata"].get("tags", [])
    return tags


def _named(cell: Cell) -> str:
    first = next((line for line in _source(cell).splitlines() if line.strip()), "(empty)")
    return f"cell [{cell.get('execution_count')}] {first[:50]!r}"


def _structure(cells: Sequence[Cell], code: Sequence[Cell], stem: str) -> Iterator[str]:
    lesson = stem.split("_")[0]
    if not code or _source(code[0]) != setup_source(stem):
        yield f"the first code cell is not the setup cell of `python -m tools.notebook_lint --setup {stem}`"
    least, most = CODE_CELLS
    count = sum(not _source(cell).startswith("quiz(") for cell in code)
    if not least <= count <= most:
        yield f"{count} code cells; a lesson has {least} to {most}"
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


def exercise_kinds(cells: Sequence[Cell]) -> dict[str, str]:
    """The kind of each exercise of a lesson by its number, as their heads say it, in their order."""
    heads = [head for cell in cells if cell["cell_type"] == "markdown" for head in _HEAD.findall(_source(cell))]
    return {exercise or question: kind or opened.lower() for exercise, kind, opened, question in heads}


def _kinds(cells: Sequence[Cell], stem: str) -> Iterator[str]:
    """Exercises of every kind, whose heads say kind and difficulty."""
    text = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    whole = {match.start() for match in _HEAD.finditer(text)}
    for match in _HEADLIKE.finditer(text):
        if match.start() not in whole:
            yield f"{match[0]}: the head must be like '**Exercise 4.2 · compute** ★☆☆' or '**Open question 4.8** ★★★'"
    kinds = list(exercise_kinds(cells).values())
    for kind in ("build it", "break it", "open question"):
        if kinds.count(kind) != 1:
            yield f"{kinds.count(kind)} exercises of the kind {kind!r}; a lesson has one"
    if not 2 <= kinds.count("compute") <= 3:
        yield f"{kinds.count('compute')} exercises of the kind 'compute'; a lesson has two or three"
    numbers = [int(number.split(".")[1]) for number in exercise_kinds(cells)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"exercises are numbered {numbers}, not 1 to {len(numbers)} in order"


def _quiz(cells: Sequence[Cell], stem: str) -> Iterator[str]:
    """The quiz is a lesson's last section, and it says no number that the lesson does not show."""
    lesson, wanted = stem[:2], f'quiz("{stem[:2]}")'
    titles = [title for cell in cells for title in re.findall(r"^## (.*)$", _source(cell), re.M)
              if cell["cell_type"] == "markdown"]  # fmt: skip
    last = cells[-1]
    if titles[-1:] != [QUIZ_SECTION] or last["cell_type"] != "code" or _source(last) != wanted:
        yield f"its last section must be '## {QUIZ_SECTION}' and its last cell {wanted}"
    if quiz_names().get(lesson) != stem:
        yield f"there is no costlab/lessons/quizzes/{stem}.toml"
        return
    texts = []
    for question in quiz(lesson).questions:
        texts += [question.text, *(choice.why for choice in question.choices)]
        texts += [choice.text for choice in question.choices if choice.right]
    asked = {"cell_type": "markdown", "metadata": last["metadata"], "source": "\n\n".join(texts)}
    yield from _unshown([asked], shown_numbers(cells, lesson))


def _has_ground(output: dict[str, Any]) -> bool:
    """Whether an output is a figure whose corner can be seen."""
    image = output.get("data", {}).get("image/png")
    if image is None:
        return False
    png = base64.b64decode("".join(image))
    if png[PNG_COLOUR] != RGB_AND_ALPHA:
        return True
    packed, place = b"", PNG_CHUNKS
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        packed += png[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += length + 12
    # The first row's kind, then the first pixel as it is, whatever the kind: there is none before it.
    return zlib.decompressobj().decompress(packed, 5)[4] > 0


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
        for shown in _BANNER.findall("".join("".join(output.get("text", "")) for output in cell["outputs"])):
            if shown != __version__:
                yield f"{_named(cell)}: was run with costlab {shown}, this is {__version__}: run the notebook again"
        if not cell["outputs"] and _should_print(_source(cell)):
            yield f"{_named(cell)}: its stored output is missing (assign the value of a silent one)"
        image = any("image/png" in output.get("data", {}) for output in cell["outputs"])
        if _draws(_source(cell)) and not image:
            yield f"{_named(cell)}: its stored figure is missing"
        if image and len(alt_text(cell)) < 20:
            yield f"{_named(cell)}: its figure has no alt text (cell metadata mystnb.image.alt)"
        if any(_has_ground(output) for output in cell["outputs"]):
            yield f"{_named(cell)}: its figure has a ground, illegible on a dark page: run the notebook again"


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
        # What the quiz says is held to the lesson, so it bears no number out.
        for output in () if _source(cell).startswith("quiz(") else cell.get("outputs", ()):
            data = {**output.get("data", {}), "stream": output.get("text", "")}
            shown += "\n" + "\n".join("".join(data.get(kind, "")) for kind in ("stream", "text/plain", "text/html"))
    shown += "\n" + "\n".join(f"{c.claimed} {c.found_text} {c.text} {c.why}" for c in claims(lesson))
    known = {_decimal(number) for number in re.findall(r"\d[\d,]*\.?\d*", shown)}
    return known | {number * 100 for number in known}


def _prose(cells: Sequence[Cell], lesson: str) -> Iterator[str]:
    """Numbers in prose and in alt texts that are in no cell, no output and no row of the ledger."""
    known = shown_numbers(cells, lesson)
    titles = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    known |= {_decimal(number) for number in re.findall(r"^#+ (\d+\.\d+) ", titles, re.M)}  # section 1.6 is a reference
    known |= {_decimal(number) for number in exercise_kinds(cells)}
    yield from _unshown(cells, known)


def _unshown(cells: Sequence[Cell], known: set[Decimal]) -> Iterator[str]:
    for cell in cells:
        prose = _source(cell) if cell["cell_type"] == "markdown" else alt_text(cell)
        allowed = {_decimal(number) for number in cell["metadata"].get("costlab", {}).get("numbers", {})}
        for number in prose_numbers(prose):
            value = _decimal(number)
            if value in allowed or value in known or is_plain_count(value):
                continue
            if not any(near.quantize(value) == value for near in known if near < 10**15):
                yield f"the number {number} is in no output, code or ledger row: {prose[:60]!r}"


def is_plain_count(value: Decimal) -> bool:
    """Whether a number is one that prose may count with, up to a dozen, or a year."""
    return value == int(value) and (value <= 12 or 1900 < value < 2100)


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", "").rstrip(".") or "0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Lint the notebooks named; the number of problems found is printed, and the exit status is 1 if there are any."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if names[:1] == ["--setup"]:
        print(setup_source(Path(names[1]).stem if names[1:] else ""))
        return 0
    problems = [f"{name}: {problem}" for name in names for problem in lint_notebook(Path(name))]
    for problem in problems:
        print(problem)
    print(f"notebook lint: {len(names)} files, {len(problems)} problems")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
