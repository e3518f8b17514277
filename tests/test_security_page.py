"""The page on security names tests that are there, and nothing else of the package that is not."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book/security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)`", PAGE)


def test_every_file_that_the_page_names_is_there() -> None:
    assert len(NAMED) > 15
    assert [name for name in NAMED if not ((ROOT / "tests" / name).is_file() or (ROOT / name).is_file())] == []


def test_every_promise_names_a_test() -> None:
    promised = PAGE[PAGE.index("## Money") : PAGE.index("## What is not promised")]
    for promise in re.split(r"\n- ", promised)[1:]:
        text = re.split(r"\n\n", promise)[0]
        assert "test_" in text, text
