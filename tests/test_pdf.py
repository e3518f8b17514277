"""The whole book on paper: every chapter is there, where the contents say, and nothing runs off the sheet."""

import re
import shutil
import unicodedata
from pathlib import Path

import pytest

from tests import needs

needs.extra("playwright", "test")
needs.extra("pypdf", "test")
needs.extra("bs4", "book")

from pypdf import PdfReader  # noqa: E402 - after the checks for optional packages

from tools.browser import chromium  # noqa: E402
from tools.check_site import pages  # noqa: E402
from tools.pdf import TITLE, Chapter, book, chapters, first_sheets, make  # noqa: E402

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[1]
PAPER_PX = round((210 - 2 * 17) / 25.4 * 96)
OVER = """width => [...document.querySelectorAll("article :is(pre, img, table, svg, p)")]
  .filter(one => one.getBoundingClientRect().right > width + 1
          || one.tagName === "PRE" && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.closest("article").id + ": " + one.tagName + " " + one.textContent.slice(0, 60))"""


def plain(text: str | None) -> str:
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text or ""))  # without ligatures


@pytest.fixture(scope="module")
def made(site: Path) -> list[Chapter]:
    return chapters(site)


@pytest.fixture(scope="module")
def printed(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.program("chromium", "google-chrome", install="apt-get install chromium")
    pdf = tmp_path_factory.mktemp("pdf") / "book.pdf"
    assert make(site, pdf) > 100
    return pdf


def test_chapters_are_the_pages_of_the_book(made: list[Chapter]) -> None:
    assert [chapter.name for chapter in made] == pages(ROOT / "_toc.yml")
    assert len({chapter.title for chapter in made}) == len(made)
    assert [chapter.part for chapter in made if chapter.part] == ["Start", "Lessons", "Tools", "Reference"]


def test_links_stay_in_the_book(site: Path, made: list[Chapter]) -> None:
    text = book(site, made, {})
    anchors = re.findall(r' id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= set(anchors)
    assert "notebooks-01_gpu_cost_modeling--claim-s2-on-demand" in links
    assert not re.findall(r'href="(?!#|https?:|file:|mailto:)[^"]*"', text)


@pytest.mark.slow
def test_every_chapter_begins_where_the_contents_say(printed: Path, made: list[Chapter]) -> None:
    reader = PdfReader(printed)
    sheets = first_sheets(printed, made)
    contents = plain(reader.pages[1].extract_text())
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert titles[-len(made) :] == [chapter.title for chapter in made]
    for chapter in made:
        sheet = sheets[chapter.name]
        text = reader.pages[sheet - 1].extract_text()
        assert plain(chapter.title) in plain(text), chapter.name
        assert str(sheet) in text.split(), f"{chapter.name} begins on a sheet without its number"
        assert plain(f"{chapter.title} {sheet}") in contents, chapter.name


@pytest.mark.slow
def test_no_sheet_is_blank(printed: Path) -> None:
    """A sheet with nothing but its footer is written in at most as many pieces as that has letters."""
    footer = len(TITLE) + len("100")
    for number, sheet in enumerate(PdfReader(printed).pages, 1):
        contents = sheet.get_contents()
        assert contents is not None
        assert len(re.findall(rb"\bT[jJ]\b", contents.get_data())) > footer, f"sheet {number} is blank"


def test_nothing_runs_off_the_paper(site: Path, made: list[Chapter], tmp_path: Path) -> None:
    source = tmp_path / "book.html"
    source.write_text(book(site, made, {}), encoding="utf-8")
    needs.program("chromium", "google-chrome", install="apt-get install chromium")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": PAPER_PX, "height": 1000})
        page.emulate_media(media="print")
        page.goto(source.as_uri())
        over = page.evaluate(OVER, PAPER_PX)
        assert page.locator("article pre").count() > 300
    assert over == []


def test_without_chromium_one_is_told(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match="chromium is missing"):
        make(site, tmp_path / "book.pdf")
