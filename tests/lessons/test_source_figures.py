"""Every figure of the source lesson has a row in the claims ledger, and no row claims a figure of its own."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costlab.lessons import claims
from costlab.lessons.claims_ledger import Claim

FIGURES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "source_figures.toml").read_text())["figure"]
ROWS = {entry.id: entry for entry in claims()}
#: A number as the ledger writes it, 3,803 or 0.95 or 100K or the 4 of 2-4x; in A100 40GB there is none.
NUMBER = re.compile(r"(?<![\w.,])(\d[\d,]*(?:\.\d+)?)(K|M|x)?(?!\w)(?!\.\d)")


def numbers(text: str) -> set[Decimal]:
    factor = {"K": 1_000, "M": 1_000_000}
    return {Decimal(digits.replace(",", "")) * factor.get(suffix, 1) for digits, suffix in NUMBER.findall(text)}


def listed(row: str) -> set[Decimal]:
    return {n for entry in FIGURES if entry["row"] == row for figure in entry["figures"] for n in numbers(figure)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3 + 200 = 3,803 USD", {3, 200, 3803}),
        ("-710 USD a month: API", {710}),
        ("2-4x faster, < 1 % loss", {2, 4, 1}),
        ("100K to 1M requests", {100_000, 1_000_000}),
        ("A100 40GB 1.10, FP16, H100", {Decimal("1.1")}),
        ("hash of the query", set()),
    ],
)
def test_numbers_are_read(text: str, found: set[Decimal]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: f"{entry['row']}: {entry['what']}")
def test_every_figure_of_the_source_lesson_has_a_row(entry: dict[str, Any]) -> None:
    assert entry["figures"]
    row = ROWS[entry["row"]]
    said = f"{row.text}; {row.claimed}"
    for figure in entry["figures"]:
        wanted = numbers(figure)
        assert wanted <= numbers(said), f"{row.id} does not say {figure}"
        assert wanted or figure.lower() in said.lower(), f"{row.id} does not say {figure!r}"


#: Sections after these try rules of thumb that others published, each with its source.
SOURCE_SECTIONS = {f"S{number}" for number in range(12)}


@pytest.mark.parametrize("row", [row for row in claims() if row.section in SOURCE_SECTIONS], ids=lambda row: row.id)
def test_no_row_claims_what_the_source_lesson_does_not(row: Claim) -> None:
    assert row.id in {entry["row"] for entry in FIGURES}, f"{row.id} tries no figure of source_figures.toml"
    assert numbers(row.claimed) <= listed(row.id)


@pytest.mark.parametrize("row", [row for row in claims() if row.section not in SOURCE_SECTIONS], ids=lambda row: row.id)
def test_a_row_of_no_section_of_the_source_lesson_says_who_claims_it(row: Claim) -> None:
    assert row.source_url.startswith("https://")


def test_all_sections_are_there() -> None:
    assert {row.section for row in claims()} >= SOURCE_SECTIONS
