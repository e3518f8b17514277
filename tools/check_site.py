"""Check a built site against the table of contents: ``python -m tools.check_site [HTML_FOLDER]``.

Jupyter Book 2 accepts the files of Jupyter Book 1 and exits with 0, having built nothing. So success is not believed:
every page of ``_toc.yml`` must be there, with a title and with text, and every link inside must lead somewhere.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup

from tools.site_links import broken_links

ROOT = Path(__file__).parents[1]
MIN_TEXT = 200


def pages(toc: Path) -> list[str]:
    """Every page of a table of contents, without suffix, the root first."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("root", "file"):
                    yield str(value)
                else:
                    yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return list(walk(yaml.safe_load(toc.read_text(encoding="utf-8"))))


def problems(site: Path, toc: Path = ROOT / "_toc.yml") -> list[str]:
    """What is wrong with the site, a line each; empty when every page is there and says something."""
    found = []
    names = pages(toc)
    if not names:
        found.append(f"{toc.name} lists no pages")
    for name in names:
        path = site / f"{name}.html"
        if not path.exists():
            found.append(f"{name}.html was not built")
            continue
        article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").article
        heading = article.h1 if article else None
        if heading is None or not heading.get_text(strip=True):
            found.append(f"{name}.html has no title")
        text = article.get_text(strip=True) if article else ""
        if len(text) < MIN_TEXT:
            found.append(f"{name}.html has {len(text)} characters of text; at least {MIN_TEXT}")
    if not (site / "index.html").exists():
        found.append("index.html was not built")
    found += broken_links(site)
    return found


def main(arguments: list[str]) -> int:
    """Print the problems of the site in the folder named; the exit status is 1 if there are any."""
    site = Path(arguments[0]) if arguments else ROOT / "_build" / "html"
    found = problems(site)
    for problem in found:
        print(f"site: {problem}", file=sys.stderr)
    print(f"site: {len(pages(ROOT / '_toc.yml'))} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
