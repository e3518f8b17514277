"""The links inside a built site: every page, file and anchor that a page points to must be there."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Collects where a page points to and what can be pointed at in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.twice: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            (self.twice if values["id"] in self.anchors else self.anchors).add(values["id"])
        if tag == "a" and "name" in values:
            self.anchors.add(values["name"])
        self.links |= {values[name] for name in ("href", "src") if values.get(name)}


def broken_links(site: Path) -> list[str]:
    """What the pages point to and is not there, and anchors that a page has twice, a line each."""
    site = site.resolve()
    pages: dict[Path, _Page] = {}
    for path in site.rglob("*.html"):
        if "_static" not in path.relative_to(site).parts:
            pages[path] = _Page()
            pages[path].feed(path.read_text(encoding="utf-8"))
    found = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(site)
        found += [f"{name} has the anchor #{anchor} twice" for anchor in sorted(page.twice)]
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue  # elsewhere: the link checker of Sphinx asks for those
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target = target / "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_relative_to(site) or not target.is_file():
                found.append(f"{name} links to {link}, which is not there")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{name} links to {link}, and there is no such anchor")
    return found
