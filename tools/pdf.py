"""Print the whole book as one PDF through headless Chromium: ``python -m tools.pdf [HTML_FOLDER [PDF_FILE]]``.

All articles of the built site go into one page, in the order of ``_toc.yml``, so that the numbers of the sheets, the
links between the lessons and Chromium's bookmarks are those of one book. It is printed twice: the first time tells on
which sheet each chapter begins, the second has that in its table of contents.
"""

from __future__ import annotations

import html
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Destination, NameObject, TextStringObject

import costlab
from tools.browser import chromium

logging.getLogger("pypdf").setLevel(logging.ERROR)  # Chromium counts its objects otherwise than pypdf

ROOT = Path(__file__).parents[1]
SITE, PDF = ROOT / "_build" / "html", ROOT / "_build" / "pdf" / "cost-aware-ai-architecture.pdf"
TITLE = "Cost-Aware AI Architecture"
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; margin: 0 17mm; display: flex; justify-content: space-between">'
    f'<span>{TITLE}</span><span class="pageNumber"></span></div>'
)
STYLE = """
body { font-family: "DejaVu Sans", sans-serif; }
.front { height: 235mm; display: flex; flex-direction: column; justify-content: center; break-after: page; }
.front h1, .contents h1 { font-size: 30pt; border: 0; }
.contents { break-after: page; }
.contents ul { list-style: none; padding: 0; margin: 0 0 4mm; }
.contents a { display: flex; color: #000; text-decoration: none; line-height: 1.5; }
.contents .dots { flex: 1; border-bottom: 1px dotted #777; margin: 0 2mm 1.4mm; }
article.bd-article { break-before: page; display: block; }
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A page of the site as a chapter: its name without suffix, its title, its article, and the part that it opens."""

    name: str
    title: str
    article: Tag
    part: str = ""

    @property
    def anchor(self) -> str:
        """What links to the chapter point to."""
        return self.name.replace("/", "-")


def chapters(site: Path, toc: Path = ROOT / "_toc.yml") -> list[Chapter]:
    """All pages of the table of contents, in its order, with ids and links that hold in one book."""
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    order = [(contents["root"], "")]
    for part in contents["parts"]:
        captions = [part["caption"]] + [""] * len(part["chapters"])
        order += [(entry["file"], caption) for entry, caption in zip(part["chapters"], captions, strict=False)]
    names = {name for name, _ in order}
    return [_chapter(site, name, part, names) for name, part in order]


def _chapter(site: Path, name: str, part: str, names: set[str]) -> Chapter:
    soup = BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    heading = article and article.select_one("h1")
    if article is None or heading is None:
        raise SystemExit(f"error: {name}.html has no article with a title; was the site built?")
    for unwanted in article.select(".headerlink, button, script, style"):
        unwanted.decompose()
    for answer in article.select("details.prediction"):
        answer["open"] = ""
    for opener in article.select("details.prediction > summary"):
        opener.decompose()  # on paper there is nothing to open
    here = name.replace("/", "-")
    for tag in article.find_all(id=True):
        tag["id"] = f"{here}--{tag['id']}"
    for tag in article.find_all(href=True):
        tag["href"] = _inside(str(tag["href"]), name, names)
    for tag in article.find_all("img", src=True):
        tag["src"] = (site / name).parent.joinpath(str(tag["src"])).resolve().as_uri()
        del tag["loading"]
    article["id"] = here
    return Chapter(name, heading.get_text().strip(), article, part)


def _inside(link: str, name: str, names: set[str]) -> str:
    """A link of a page as a link within the book; one that leads out of the site stays, one to no chapter is lost."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return link
    folder = Path("/", name).parent
    target = Path("/", name) if not parts.path else (folder / unquote(parts.path)).with_suffix("")
    page = Path(str(target.resolve())).relative_to("/").as_posix()
    if page not in names:
        return "#"
    return f"#{page.replace('/', '-')}" + (f"--{unquote(parts.fragment)}" if parts.fragment else "")


def book(site: Path, made: list[Chapter], sheets: dict[str, int]) -> str:
    """The book as one HTML page; `sheets` says on which sheet a chapter begins, and may be empty at first."""
    rows = ""
    for chapter in made:
        rows += f"</ul><h2>{html.escape(chapter.part)}</h2><ul>" if chapter.part else ""
        number = sheets.get(chapter.name, "")
        title = html.escape(chapter.title)
        rows += f'<li><a href="#{chapter.anchor}">{title}<span class="dots"></span><span>{number}</span></a></li>'
    style = (site / "_static" / "styles" / "book.css").resolve().as_uri()
    front = (
        f'<section class="front"><h1>{TITLE}</h1><p>An executable course book, with the package costlab '
        f"{costlab.__version__}. Text and figures: CC BY 4.0. Code: MIT.</p></section>"
    )
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f'<title>{TITLE}</title><link rel="stylesheet" href="{style}"><style>{STYLE}</style></head><body>{front}'
        f'<article class="bd-article contents"><h1>Contents</h1><ul>{rows}</ul></article>'
        + "".join(str(chapter.article) for chapter in made)
        + "</body></html>"
    )


def first_sheets(pdf: Path, made: list[Chapter]) -> dict[str, int]:
    """On which sheet each chapter begins, by its name: where the bookmarks of a PDF's first level lead, in order."""
    reader = PdfReader(pdf)
    tops = [reader.get_destination_page_number(one) for one in reader.outline if isinstance(one, Destination)]
    sheets = [top + 1 for top in tops[-len(made) :] if top is not None]
    return {chapter.name: sheet for chapter, sheet in zip(made, sheets, strict=True)}


def _finish(pdf: Path, made: list[Chapter]) -> int:
    """Say title and author, and give the chapters' bookmarks their titles, which Chromium doubles; count the sheets."""
    writer = PdfWriter(clone_from=pdf)
    writer.add_metadata({"/Title": TITLE, "/Author": "The costlab authors"})
    tops = []
    bookmark = writer.root_object["/Outlines"]["/First"]  # type: ignore[index]
    while bookmark is not None:
        tops.append(bookmark)
        bookmark = bookmark.get("/Next") and bookmark["/Next"]
    for top, chapter in zip(tops[-len(made) :], made, strict=True):
        top[NameObject("/Title")] = TextStringObject(chapter.title)
    writer.write(pdf)
    return len(writer.pages)


def make(site: Path, pdf: Path) -> int:
    """Print the book; the number of its sheets is returned."""
    made = chapters(site)
    pdf.parent.mkdir(parents=True, exist_ok=True)
    source = pdf.with_suffix(".html")
    paper: dict[str, Any] = {
        "format": "A4",
        "prefer_css_page_size": True,
        "print_background": True,
        "display_header_footer": True,
        "header_template": "<span></span>",
        "footer_template": FOOTER,
        "outline": True,
        "tagged": True,
    }
    with chromium() as browser:
        page = browser.new_page(color_scheme="light")
        sheets: dict[str, int] = {}
        for _ in range(2):
            source.write_text(book(site, made, sheets), encoding="utf-8")
            page.goto(source.resolve().as_uri(), wait_until="load")
            page.pdf(path=pdf, **paper)
            sheets = first_sheets(pdf, made)
    source.unlink()
    return _finish(pdf, made)


def main(arguments: list[str]) -> None:
    """Print the site in the first argument into the file in the second; both have defaults."""
    site, pdf = Path(arguments[0]) if arguments else SITE, Path(arguments[1]) if arguments[1:] else PDF
    print(f"{make(site, pdf)} sheets: {pdf}")


if __name__ == "__main__":
    main(sys.argv[1:])
