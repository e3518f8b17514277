"""What a page makes the browser load, cut down once the site is built.

The theme sends every page three megabytes: all icons there are, as fonts and once more as a script; the index of the
search on pages that do not search; ten style sheets, each of which the browser waits for. Here the style sheets become
one, without the icons that no page shows; the fonts keep the glyphs that are left; scripts wait until the page is
drawn; and images say how large they are, so that nothing jumps. What is looked for and not found stops the build:
then the theme has changed.
"""

from __future__ import annotations

import logging
import re
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

STYLE, FONTS = "_static/styles/book.css", "_static/vendor/fontawesome/webfonts"
_LINK = re.compile(
    r'\s*<link (?:rel="stylesheet" type="text/css" )?href="(?P<path>[^"?]*\.css)[^"]*"(?: rel="stylesheet")? />'
)
_ICON_RULE = re.compile(r'((?:\.fa-[\w-]+:+before,?)+)\{content:"[^"]*"\}')
_NOT_NEEDED = re.compile(
    r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>'
    r'|\s*<link rel="preload" as="script" [^>]*>'
    r"|\s*<!-- (?:So that users|Pre-loaded|Loaded before).*?-->"
)
_SEARCH = re.compile(r'\s*<script src="[^"]*/?(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
_DATA = ("fontawesome.js", "searchindex.js")
_OPTIONS = re.compile(r'<script src="[^"]*documentation_options\.js[^"]*"></script>')


def style_sheet(site: Path, page: str) -> str:
    """All style sheets of a page as one, in their order, with what they import and without comments."""

    def read(path: Path) -> str:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
        text = re.sub(r'@import "([^"]+)";', lambda m: read(path.parent / m[1]), text)
        text = re.sub(r'@charset "[^"]*";', "", text)
        # Every address counts from the folder of its own sheet; the one sheet lies in another.
        where = "../" * len(Path(STYLE).parent.parts) + path.parent.resolve().relative_to(site.resolve()).as_posix()
        return re.sub(r"url\((?![\"']?(?:data:|#|https?:))[\"']?([^)\"']+)[\"']?\)", rf"url({where}/\1)", text)

    paths = [match["path"].replace("../", "") for match in _LINK.finditer(page)]
    merged = "\n".join(read(site / path) for path in paths)
    merged = re.sub(r"/\*(?!!).*?\*/", "", merged, flags=re.S)
    return re.sub(r"\s*\n\s*", "\n", merged)


def without_icons(style: str, shown: set[str]) -> str:
    """The style sheet without the rules of icons whose class no page and no script names."""

    def keep(rule: re.Match[str]) -> str:
        return rule[0] if shown & set(re.findall(r"\.(fa-[\w-]+)", rule[1])) else ""

    return re.sub(r",url\([^)]*\.ttf\) format\(.truetype.\)", "", _ICON_RULE.sub(keep, style))


def cut_fonts(folder: Path, style: str) -> None:
    """Write the theme's icon fonts with no glyphs but those that the style sheet names."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table
    glyphs = {int(code, 16) for code in re.findall(r'"\\([ef][0-9a-f]{3})"', style)}
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
    for path in (theme / "vendor" / "fontawesome" / "webfonts").glob("*.woff2"):
        options = subset.Options(flavor="woff2", layout_features=[], notdef_outline=True)
        font = subset.load_font(str(path), options)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=glyphs)
        cutter.subset(font)
        subset.save_font(font, str(folder / path.name), options)
    for path in folder.glob("*.ttf"):
        path.unlink()


def mend_page(page: str, name: str, site: Path, version: str) -> str:
    """A page that loads one style sheet, draws before it runs scripts, and knows the size of its images."""
    first = f'\n  <link rel="stylesheet" href="{"../" * name.count("/")}{STYLE}?v={version}" />'
    start = next(_LINK.finditer(page)).start()
    page = _LINK.sub("", page)
    page = page[:start] + first + page[start:]
    page = _NOT_NEEDED.sub("", page)
    if name != "search.html":
        page = _SEARCH.sub("", page)
    options = (site / "_static" / "documentation_options.js").read_text(encoding="utf-8")
    page = _OPTIONS.sub(lambda _: f"<script>{options}</script>", page)
    page = re.sub(r"<script((?: data-[\w-]+=\"[^\"]*\")?) src=", r"<script\1 defer src=", page)
    return re.sub(r"<img [^>]*>", lambda m: _sized(m[0], (site / name).parent), page)


def _sized(image: str, folder: Path) -> str:
    source = re.search(r'src="([^"]+)"', image)
    if source is None or " width=" in image or not (folder / source[1]).is_file():
        return image
    size = image_size(folder / source[1])
    later = ' loading="lazy" decoding="async"' if "_images/" in source[1] else ""
    return image.replace("<img ", f'<img width="{size[0]}" height="{size[1]}"{later} ', 1) if size else image


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, or of an SVG that states its viewBox."""
    data = path.read_bytes()
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    box = re.search(rb'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', data)
    return (round(float(box[1])), round(float(box[2]))) if box else None


def slim(app: Sphinx, error: Exception | None) -> None:
    """Cut down the whole site."""
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    scripts = [path.read_text(encoding="utf-8") for path in site.rglob("*.js") if path.name not in _DATA]
    names = [p.relative_to(site).as_posix() for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts]
    pages = {name: (site / name).read_text(encoding="utf-8") for name in names}
    shown = set(re.findall(r"\bfa-[a-z0-9-]+", "\n".join([*pages.values(), *scripts])))
    pages = {name: page for name, page in pages.items() if "fontawesome.js" in page}  # the rest is as we left it
    if not pages:
        raise ExtensionError("page_weight: no page loads the theme's icons as a script; has the theme changed?")
    sheets = {style_sheet(site, page) for page in pages.values()}
    if len(sheets) != 1:
        raise ExtensionError("page_weight: pages have different style sheets; one for all would be wrong")
    style = without_icons(sheets.pop(), shown)
    cut_fonts(site / FONTS, style)
    (site / STYLE).write_text(style, encoding="utf-8")
    version = sha256(style.encode()).hexdigest()[:8]
    for name, page in pages.items():
        (site / name).write_text(mend_page(page, name, site, version), encoding="utf-8")
    for path in [*site.rglob("*.map"), *site.glob("_static/scripts/fontawesome.js*")]:
        path.unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Cut the site down when it is built."""
    app.connect("build-finished", slim, priority=900)
    return {"version": "1", "parallel_read_safe": True}
