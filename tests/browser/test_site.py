"""The built site in a real browser: headless Chromium, light and dark, wide and narrow."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import needs

needs.extra("playwright", "test")
needs.extra("axe_playwright_python", "test")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402 - after the checks for optional packages
from playwright.sync_api import Browser, Page  # noqa: E402

from tests.browser.window import Visit  # noqa: E402
from tools.check_site import pages  # noqa: E402

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PAGES = [*pages(ROOT / "_toc.yml"), "search"]
LESSON = "notebooks/01_gpu_cost_modeling"
SCHEMES = ("light", "dark")


def test_the_recorder_sees_what_goes_wrong(visit: Visit) -> None:
    page = visit.open("book/intro")
    page.evaluate("console.error('planted'); fetch('/no-such-page'); new Image().src = 'http://localhost:9/x.png'")
    page.wait_for_timeout(500)
    seen = "\n".join(visit.wrong)
    assert "planted" in seen
    assert "404" in seen
    assert "third party: http://localhost:9/x.png" in seen


def test_search_finds_spot(visit: Visit) -> None:
    page = visit.open("search")
    page.goto(f"{visit.address}/search.html?q=spot")
    page.wait_for_selector("#search-results li", timeout=10_000)
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any(LESSON in link for link in links)
    assert visit.wrong == []


def layout_holds(window: Visit, name: str, width: int, scheme: str) -> Page:
    page = window.open(name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} px"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme, name
    box = page.locator("h1:visible").first.bounding_box()
    assert box is not None, name
    assert 0 <= box["x"] < width, name
    assert box["y"] < 900, f"{name} begins below the first screen"
    assert window.wrong == [], name
    return page


@pytest.mark.parametrize("scheme", SCHEMES)
def test_layout_holds_on_a_phone(browser: Browser, address: str, scheme: str) -> None:
    window = Visit(browser, address, 390, scheme)
    for name in [*PAGES, "genindex"]:
        layout_holds(window, name, 390, scheme)
    window.context.close()


#: Marks one text of each kind: the same colours, size and weight on the same grounds have the same contrast, and axe
#: takes nine tenths of its time to compute it for each of them. Before, all that is folded is opened, and the shadows
#: at the edges of what scrolls are taken away: axe judges no text on a gradient, nor one of a single character.
MARK_KINDS_OF_TEXT = """
for (const folded of document.querySelectorAll(".bd-article details")) folded.open = true;
for (const block of document.querySelectorAll(".bd-article *")) {
  const shadowed = getComputedStyle(block).backgroundImage.includes("gradient");
  if (shadowed) block.style.setProperty("background-image", "none", "important");
}
const seen = new Set();
for (const element of document.querySelectorAll("body *")) {
  const style = getComputedStyle(element);
  if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim().length > 1)) continue;
  if (!element.checkVisibility()) continue;
  const kind = [element.localName, style.color, style.fontSize, style.fontWeight, style.textShadow, style.position];
  for (let on = element; on; on = on.parentElement) {
    const ground = getComputedStyle(on);
    kind.push(ground.backgroundColor, ground.backgroundImage, ground.opacity);
  }
  if (!seen.has(kind.join())) element.dataset.kind = seen.size;
  seen.add(kind.join());
}
"""
CONTRAST = "color-contrast"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_page_loads_holds_and_can_be_used_by_all(browser: Browser, address: str, name: str, scheme: str) -> None:
    """No error, no request to third parties, no serious violation; what the scheme changes is the contrast alone."""
    window = Visit(browser, address, 1400, scheme)
    page = layout_holds(window, name, 1400, scheme)
    grounds = page.eval_on_selector_all(
        ".cell_output img", "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert set(grounds) <= {"rgba(0, 0, 0, 0)"}, "the letters of figures are made for the ground of the page"
    page.evaluate(MARK_KINDS_OF_TEXT)
    options = {"resultTypes": ["violations"]}
    results = [Axe().run(page, context={"include": [["[data-kind]"]]}, options=options | {"runOnly": [CONTRAST]})]
    if scheme == "light":
        results.append(Axe().run(page, options=options | {"rules": {CONTRAST: {"enabled": False}}}))
    window.context.close()
    serious = [
        f"{violation['id']}: {node['target']} {node.get('failureSummary', '')}"
        for result in results
        for violation in result.response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    assert serious == []
    assert all(result.response["passes"] for result in results), "axe looked at nothing"
    unjudged = [node["any"][0]["message"] for rule in results[0].response["incomplete"] for node in rule["nodes"]]
    assert not [why for why in unjudged if "gradient" in why]


#: Places where a pale text was once not seen: behind a fold, on a shadow, in a box of its own.
PALE = (
    "article section > p",
    ".costlab-quiz li > p",
    ".costlab-quiz details > p",
    ".calculator .calc-answer",
    ".calculator label",
)
PLANT = """
places => places.forEach((place, at) => {
  const one = [...document.querySelectorAll(place)].at(-1);
  const level = document.documentElement.dataset.theme === "dark" ? 40 + at : 220 + at;
  one.style.color = `rgb(${level} ${level} ${level})`;
  one.dataset.planted = at;
})
"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_pale_text_among_many_is_seen(browser: Browser, address: str, scheme: str) -> None:
    window = Visit(browser, address, 1400, scheme)
    page = window.open(LESSON)
    page.evaluate(PLANT, list(PALE))
    page.evaluate(MARK_KINDS_OF_TEXT)
    options = {"runOnly": [CONTRAST], "resultTypes": ["violations"]}
    (found,) = Axe().run(page, context={"include": [["[data-kind]"]]}, options=options).response["violations"]
    window.context.close()
    seen = "\n".join(node["html"] for node in found["nodes"])
    assert [place for at, place in enumerate(PALE) if f'data-planted="{at}"' not in seen] == []


def test_figures_of_the_lesson_say_what_they_show(visit: Visit) -> None:
    page = visit.open(LESSON)
    texts = page.eval_on_selector_all(".cell_output img", "images => images.map(image => image.alt)")
    assert len(texts) >= 5
    assert all(len(text) > 40 for text in texts), texts


def test_formulas_are_drawn_by_the_browser(visit: Visit) -> None:
    page = visit.open(LESSON)
    boxes = page.eval_on_selector_all("math", "all => all.map(one => one.getBoundingClientRect().width)")
    assert len(boxes) >= 4
    assert min(boxes) > 0


#: Blocks of the text that scroll up and down, printed text that is wider than its block, and what is wider without a
#: shadow at its edge, or with rows that hide it.
SCROLLING = """
() => [...document.querySelectorAll('.bd-article *')].filter(one => {
  const scrolls = ['auto', 'scroll'].includes(getComputedStyle(one).overflowY) || one.matches('.math-block');
  return scrolls && one.clientHeight && one.scrollHeight > one.clientHeight;
}).map(one => `${one.localName}.${one.className}: ${one.scrollHeight} in ${one.clientHeight}`)
"""
CUT = """
() => [...document.querySelectorAll('.cell:not(.tag_wide) > .cell_output .output.stream pre')]
  .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 60))
"""
UNMARKED = """
() => [...document.querySelectorAll('.bd-article *')].filter(one => {
  const style = getComputedStyle(one);
  const seen = [...one.querySelectorAll('tr, th, td')].every(
    part => /^rgba.*, 0[.]?[0-9]*[)]$|[/] 0[.]?[0-9]*[)]$|^transparent$/.test(getComputedStyle(part).backgroundColor));
  const scrolls = ['auto', 'scroll'].includes(style.overflowX) && one.clientWidth;
  return scrolls && one.scrollWidth > one.clientWidth + 1 && !(style.backgroundImage.includes('gradient') && seen);
}).map(one => `${one.localName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)
"""


def found_on(pages: Iterable[str], script: str, browser: Browser, address: str, width: int) -> dict[str, list[str]]:
    """What a script finds on pages of some width, by the page; of pages on which it finds something."""
    window = Visit(browser, address, width)
    found = {name: window.open(name).evaluate(script) for name in pages}
    window.context.close()
    return {name: parts for name, parts in found.items() if parts}


@pytest.mark.parametrize("width", [1400, 390])
def test_no_block_scrolls_up_and_down(browser: Browser, address: str, width: int) -> None:
    assert found_on(PAGES, SCROLLING, browser, address, width) == {}


def test_answers_are_whole_on_a_phone(browser: Browser, address: str) -> None:
    lessons = [name for name in PAGES if name.startswith("notebooks/")]
    assert found_on(lessons, CUT, browser, address, 390) == {}


@pytest.mark.parametrize("width", [1300, 390])
def test_what_scrolls_sideways_shows_it_at_its_edge(browser: Browser, address: str, width: int) -> None:
    assert found_on(PAGES, UNMARKED, browser, address, width) == {}


def test_code_keeps_its_lines_on_a_phone(browser: Browser, address: str) -> None:
    window = Visit(browser, address, 390)
    for name in (LESSON, "book/log-formats"):
        blocks = window.open(name).locator(".cell_input pre, section > div[class*=highlight-] pre")
        styles = blocks.evaluate_all(
            "all => all.map(one => getComputedStyle(one)).map(s => [s.whiteSpace, s.overflowX])"
        )
        assert styles, name
        assert {tuple(style) for style in styles} == {("pre", "auto")}, name
    window.context.close()


def test_a_claim_is_a_card_on_a_phone(browser: Browser, address: str) -> None:
    window = Visit(browser, address, 390)
    cell = window.open("book/claims").locator("td:has(.verdict)").first
    assert "verdict" in cell.evaluate("one => getComputedStyle(one, '::before').content")
    row = cell.locator("xpath=..").bounding_box()
    assert row is not None
    assert row["width"] <= 390
    window.context.close()
