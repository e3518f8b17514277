"""What a page weighs and how soon it shows, by the measures that Lighthouse's performance score is made of."""

from pathlib import Path

import pytest

from tests import needs

needs.extra("playwright", "test")

from fontTools.ttLib import TTFont  # noqa: E402 - after the checks for optional packages
from playwright.sync_api import Browser, Request  # noqa: E402

from tests.browser.window import Visit  # noqa: E402
from tools.check_site import pages  # noqa: E402

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PAGES = [*pages(ROOT / "_toc.yml"), "search"]
LANDING, LESSON = "book/intro", "notebooks/01_gpu_cost_modeling"
MAX_BYTES = 1_500_000
#: Lighthouse's "slow 4G", and the ends of its "good" range on a phone, in ms: web.dev/articles/fcp, /lcp and /cls.
SLOW_4G = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
GOOD_MS = {"first-contentful-paint": 1800, "largest-contentful-paint": 2500}
GOOD_SHIFT = 0.1
WATCH = """
window.seen = {"layout-shift": 0};
for (const type of ["paint", "largest-contentful-paint", "layout-shift"])
  new PerformanceObserver(list => {
    for (const entry of list.getEntries())
      if (type === "layout-shift") window.seen[type] += entry.hadRecentInput ? 0 : entry.value;
      else window.seen[entry.name || type] = entry.startTime;
  }).observe({type, buffered: true});
"""


@pytest.mark.parametrize("name", PAGES)
def test_page_is_light_and_waits_for_one_style_sheet(visit: Visit, name: str) -> None:
    """Every byte counts that the page and all it loads have after unpacking, images far below included."""
    loaded: dict[str, int] = {}

    def weigh(request: Request) -> None:
        response = request.response()
        if response is not None and response.url.startswith("http"):
            loaded[response.url] = len(response.body())

    visit.page.on("requestfinished", weigh)
    page = visit.open(name)
    page.eval_on_selector_all("img", "images => images.forEach(image => { image.loading = 'eager' })")
    # An image that is not yet wanted is not complete either, so this waits for all of them, however busy the machine.
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    page.wait_for_load_state("networkidle")
    images = page.eval_on_selector_all("article img", "images => images.map(image => image.currentSrc)")
    # The page may know of an image's end before its event reaches this process.
    for _ in range(300):
        if set(images) <= set(loaded):
            break
        page.wait_for_timeout(100)
    assert set(images) <= set(loaded), "an image was not weighed"
    assert sum(loaded.values()) < MAX_BYTES, sorted(loaded.items(), key=lambda one: -one[1])[:8]
    entries = "performance.getEntriesByType('resource').filter(entry => entry.renderBlockingStatus === 'blocking')"
    blocking = page.evaluate(f"{entries}.map(entry => entry.name)")
    assert [url.split("?")[0].rsplit("/", 1)[1] for url in blocking] == ["book.css"]
    assert set(blocking) <= set(loaded), "the style sheet was not weighed"
    unsized = page.eval_on_selector_all("img", "all => all.filter(one => !one.hasAttribute('width')).map(o => o.src)")
    assert unsized == []


@pytest.mark.parametrize("name", [LANDING, LESSON])
def test_page_shows_soon_on_a_slow_line(browser: Browser, packed_address: str, name: str) -> None:
    """The better of three visits, so that a busy machine does not count as a slow page."""
    best: dict[str, float] = {}
    for _ in range(3):
        window = Visit(browser, packed_address, width=412)
        window.context.new_cdp_session(window.page).send("Network.emulateNetworkConditions", SLOW_4G)
        window.page.add_init_script(WATCH)
        page = window.open(name)
        page.wait_for_load_state("networkidle")
        seen = page.evaluate("window.seen")
        window.context.close()
        best = {what: min(value, best.get(what, value)) for what, value in seen.items()}
    assert GOOD_MS.keys() <= best.keys()
    assert best["first-contentful-paint"] > SLOW_4G["latency"], "the slow line was not used"
    for what, most in GOOD_MS.items():
        assert best[what] < most, best
    assert best["layout-shift"] < GOOD_SHIFT, best


def test_icons_of_the_page_are_in_the_cut_fonts(visit: Visit, site: Path) -> None:
    page = visit.open(LESSON)
    content = "icons => icons.map(icon => getComputedStyle(icon, '::before').content)"
    shown = page.eval_on_selector_all("i[class*='fa-']", content)
    glyphs = {ord(text[1]) for text in shown if len(text) == 3}
    fonts = [TTFont(path) for path in site.glob("_static/vendor/fontawesome/webfonts/*.woff2")]
    assert len(glyphs) >= 8
    assert glyphs <= {code for font in fonts for code in font.getBestCmap()}
