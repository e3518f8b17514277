"""Numbers in prose, as digits on the pages and as words in the lessons: each has something behind it."""

import ast
import json
import operator
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costlab.lessons import claims
from tools.notebook_lint import alt_text, is_plain_count, plain_prose, prose_numbers, shown_numbers

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
PAGES = [*sorted((ROOT / "book").glob("*.md")), ROOT / "README.md"]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LISTED = tomllib.loads((HERE / "page_numbers.toml").read_text())["number"]
WORDS: list[dict[str, str]] = tomllib.loads((HERE / "number_words.toml").read_text())["words"]

COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
COUNTS |= {"ten": 10, "eleven": 11, "twelve": 12, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
COUNTS |= {"seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000}
PARTS = {"third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}
PARTS |= {"hundredth": 100, "thousandth": 1000}
SAID = {"half": 0.5, "two thirds": 2 / 3, "a tenth": 0.1, "nine tenths": 0.9, "three quarters": 0.75}
SAID |= {"hundredths": 0.01, "four-hundredth": 0.0025, "one and a half": 1.5}
SAID |= {"twice": 2, "doubled": 2, "six-fold": 6, "forty times": 40}
N, P = "|".join(COUNTS), "|".join(PARTS)
#: Parts with their number before them (the third of four is a place, a third is a part), halves, multiples.
NUMBER_WORD = re.compile(
    rf"\b(?:one and a half|(?:{N})[ -](?:{P})s?|hundredths?|thousandths?|half|halves|halved|halving|twice|thrice"
    rf"|doubl(?:e|es|ed|ing)|tripl(?:e|es|ed|ing)|(?:{N})-?fold|(?:{N}) times)\b",
    re.I,
)


def value(words: str) -> float:
    """The number that the words say."""
    first, _, last = words.lower().replace("-", " ").partition(" ")
    if words.lower() == "one and a half":
        return 1.5
    if first.startswith("hal"):
        return 0.5
    if first.startswith(("twice", "doubl")):
        return 2
    if first.startswith(("thrice", "tripl")):
        return 3
    if last in ("times", "fold"):
        return COUNTS[first]
    if not last:
        return 1 / PARTS[first.removesuffix("s")]
    part = 1 / PARTS[last.removesuffix("s")]
    return part / COUNTS[first] if "-" in words else part * COUNTS[first]  # a four-hundredth, four hundredths


def compute(text: str) -> float:
    """A sum of numbers, without running it as code."""
    signs = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

    def walk(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return float(signs[type(node.op)](walk(node.left), walk(node.right)))
        assert isinstance(node, ast.Constant), text
        assert isinstance(node.value, int | float), text
        return float(node.value)

    return walk(ast.parse(text, mode="eval").body)


def prose(cell: dict[str, Any]) -> str:
    return plain_prose("".join(cell["source"]) if cell["cell_type"] == "markdown" else alt_text(cell))


def lesson_cells() -> dict[str, tuple[dict[str, Any], set[Decimal]]]:
    found: dict[str, tuple[dict[str, Any], set[Decimal]]] = {}
    for path in LESSONS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        known = shown_numbers(cells, path.stem[:2])
        text = "\n".join("".join(cell["source"]) for cell in cells)
        known |= {Decimal(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
        found |= {cell["id"]: (cell, known) for cell in cells}
    return found


CELLS = lesson_cells()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_number_on_a_page_has_a_source(path: Path) -> None:
    text = re.sub(r"^\s*:.*$", "", path.read_text(encoding="utf-8"), flags=re.M)  # directives and their options
    name = path.relative_to(ROOT).as_posix()
    ledger = " ".join(f"{row.text} {row.claimed} {row.found_text}" for row in claims())
    behind = {entry["number"] for entry in LISTED if entry["page"] == name} | set(prose_numbers(ledger))
    unknown = [n for n in prose_numbers(text) if n not in behind and not is_plain_count(Decimal(n.replace(",", "")))]
    assert unknown == [], f"{name}: numbers without a source; see page_numbers.toml"


def test_a_number_without_a_source_would_be_found() -> None:
    assert prose_numbers("# Title 7\n\nIt costs 4711 dollars, `99` and [3](x-5.html) aside.\n") == ["4711", "3"]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: f"{entry['page']} {entry['number']}")
def test_the_list_holds_what_is_needed(entry: dict[str, str]) -> None:
    assert entry["why"]
    assert entry["number"] in prose_numbers((ROOT / entry["page"]).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_every_number_word_of_a_lesson_is_listed(path: Path) -> None:
    listed = {(entry["cell"], entry["words"]) for entry in WORDS}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    said = {(cell["id"], words.lower()) for cell in cells for words in NUMBER_WORD.findall(prose(cell))}
    assert said - listed == set(), "say what bears it out in number_words.toml"


@pytest.mark.parametrize("entry", WORDS, ids=lambda entry: f"{entry['cell']} {entry['words']}")
def test_what_bears_a_number_word_out_does(entry: dict[str, str]) -> None:
    cell, known = CELLS[entry["cell"]]
    places = [match for match in NUMBER_WORD.finditer(prose(cell)) if match[0].lower() == entry["words"]]
    assert places, "the words are gone"
    assert ("of" in entry) != ("why" in entry)
    if "why" in entry:
        assert len(entry["why"]) > 10
        return
    for number in re.findall(r"\d+(?:\.\d+)?", entry["of"]):
        assert Decimal(number) in known or is_plain_count(Decimal(number)) or number == "100", f"{number} is not shown"
    said, found = value(entry["words"]), compute(entry["of"])
    before = {prose(cell)[max(0, place.start() - 12) : place.start()].lower() for place in places}
    least, most = 0.85, 1.15
    if any(text.endswith("more than ") for text in before):
        least, most = 1, 1.5
    elif any(text.endswith("less than ") for text in before):
        least, most = 0.5, 1
    elif any(text.endswith("nearly ") for text in before):
        least, most = 0.75, 1
    assert least <= found / said <= most, f"{entry['words']} is said, {found:.3g} is found"


@pytest.mark.parametrize(("words", "number"), SAID.items())
def test_words_are_read_as_numbers(words: str, number: float) -> None:
    assert NUMBER_WORD.fullmatch(words)
    assert value(words) == pytest.approx(number)


def test_places_are_no_parts() -> None:
    assert NUMBER_WORD.findall("the third tier, its seventh GPU, and a halfway house") == []
