"""The page: one file, nothing fetched, nothing cut off on a phone, legible in the dark."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.monitoring import build_report, report_html
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")


@pytest.fixture(scope="module")
def page() -> str:
    log = sample_log(np.random.default_rng(0), 20_000, runaway=True)
    notes = ["<script>alert(1)</script>"]
    return report_html(build_report(log, sample_gpu_hours(np.random.default_rng(0)), notes=notes), "usage & <b>.csv")


def test_who_prints_the_page_in_a_terminal_is_not_obeyed() -> None:
    """A name that would colour the rest, ring, or turn the direction of the text."""
    log = sample_log(np.random.default_rng(0), 1_000)
    page = report_html(build_report(log, notes=["\x1b[31mred\x07"]), "log\x1b]0;title\x07\u202e.csv")
    assert r"\x1b[31mred\x07" in page
    assert r"log\x1b]0;title\x07\u202e.csv" in page
    assert not set(page) & {"\x1b", "\x07", "\u202e"}


def test_the_page_needs_no_other_and_runs_nothing(page: str) -> None:
    assert not re.search(r"https?://|<script|<link|<img|@import|url\(", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<title>usage &amp; &lt;b&gt;.csv</title>" in page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    needs.extra("playwright", "test")
    from playwright.sync_api import sync_playwright

    path = needs.program("chromium", "google-chrome", install="apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_and_can_be_read(page: str, chromium: Any, tmp_path: Path, scheme: str, width: int) -> None:
    needs.extra("axe_playwright_python", "test")
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "report.html").write_text(page)
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((tmp_path / "report.html").as_uri())
    assert len(asked) == 1
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    found = Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()
    context.close()
