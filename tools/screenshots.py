"""Make the pictures of README and landing page again: ``python -m tools.screenshots [HTML_FOLDER]``.

They are taken in headless Chromium: of the built site, of the page that ``costlab demo`` writes, and of what it shows
in a terminal in the middle of its day. `PICTURES` holds the files with their alternative texts, which README and
landing page must use as they stand here.
"""

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.browser import chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from costlab.demo import DemoProgress

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github"
LESSON = "notebooks/01_gpu_cost_modeling"
#: The cell of its first figure.
FIGURE = ".cell:has(.cell_output img)"

PICTURES: Final = {
    "site.png": "The first page of the site: a calculator of how much of the bill for eight GPUs pays for waiting",
    "lesson.png": "Lesson 1 in the browser: a code cell, the figure that it draws, and the text that reads it",
    "demo.png": (
        "costlab demo in a terminal, in the afternoon of the played day: money spent beside the bill of the large "
        "model alone, right answers of both, which tier answered, and a client whose budget is used up"
    ),
    "demo-page.png": (
        "The page that costlab demo leaves: the day's cost beside that of everything at the large model, with the "
        "share of right answers of both, and a bar for each hour"
    ),
}

#: The day is pictured at half past three, when the guard refuses the runaway client.
AT_S = 15.5 * 3600


def terminal_html(command: str, show: Callable[[Any], None]) -> str:
    """A page that looks like a terminal after `command`; `show` prints into the rich console that it is given."""
    from rich.console import Console
    from rich.terminal_theme import SVG_EXPORT_THEME
    from rich.text import Text

    console = Console(record=True, width=86, force_terminal=True, file=io.StringIO(), color_system="truecolor")
    console.print(Text(f"$ {command}", style="bold"))
    show(console)
    code = (
        "<html><head><style>{stylesheet} body {{ margin: 0; background: #292929; color: {foreground}; }} "
        "pre {{ margin: 0; padding: 18px 22px; font: 15px/1.25 'DejaVu Sans Mono', monospace; width: max-content; }}"
        "</style></head><body><pre>{code}</pre></body></html>"
    )
    return console.export_html(theme=SVG_EXPORT_THEME, code_format=code)


def demo_pages() -> tuple[str, str]:
    """What the demo shows in a terminal in the afternoon, and the page that it writes."""
    from costlab.cli.demo import panel
    from costlab.demo import demo_html, play_demo

    logging.getLogger("costlab.budget").addHandler(logging.NullHandler())
    seen: list[DemoProgress] = []
    result = play_demo(watch=seen.append)
    moment = next(now for now in seen if now.time_s >= AT_S)
    return terminal_html("costlab demo", lambda console: console.print(panel(moment))), demo_html(result)


def shot(
    browser: "Browser",
    name: str,
    *,
    url: str = "",
    html: str = "",
    width: int,
    height: int,
    part: str = "",
    scroll_to: str = "",
) -> Path:
    """Take one picture, of the window or of a part of the page, with as few colours as it needs."""
    from PIL import Image

    window = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
    page = window.new_page()
    if html:
        page.set_content(html)
    else:
        page.goto(url, wait_until="load")
        page.wait_for_timeout(300)
    if scroll_to:
        page.evaluate(
            "([to, above]) => scrollTo(0, document.querySelector(to).getBoundingClientRect().top - above)",
            [scroll_to, 60],
        )
        page.wait_for_timeout(300)
    data = page.locator(part).screenshot() if part else page.screenshot()
    window.close()
    path = FOLDER / name
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main(site: Path) -> None:
    """Make all pictures from the built site in `site`."""
    if not (site / "book" / "intro.html").exists():
        raise SystemExit(f"{site} holds no site; run: make book")
    terminal, page = demo_pages()
    with served(site) as address, chromium() as browser:
        made = [
            shot(browser, "site.png", url=f"{address}/book/intro.html", width=1300, height=860),
            shot(browser, "lesson.png", url=f"{address}/{LESSON}.html", width=1200, height=900, scroll_to=FIGURE),
            shot(browser, "demo.png", html=terminal, width=1000, height=700, part="pre"),
            shot(browser, "demo-page.png", html=page, width=960, height=760),
        ]
    for path in made:
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "html")
