"""A lesson without a mouse: every stop is reached by Tab, is seen, and the menus open."""

from typing import Any

import pytest

from tests import needs

needs.extra("playwright", "test")

from playwright.sync_api import Page  # noqa: E402 - after the checks for optional packages

from tests.browser.window import Visit  # noqa: E402

pytestmark = pytest.mark.browser
LESSON = "notebooks/01_gpu_cost_modeling"
STOP = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const shadow = style.boxShadow !== "none" && !style.boxShadow.startsWith("rgba(0, 0, 0, 0)");
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return {tag: one.tagName, text: (one.ariaLabel || one.textContent || "").trim(), href: one.getAttribute("href") || "",
          part: one.closest("article") ? "article" : one.closest(".bd-sidebar-primary") ? "navigation"
              : one.closest(".bd-header-article") ? "header" : "",
          marked: ring || shadow,
          seen: inside && box.width > 0 && style.visibility === "visible" && style.opacity > 0.5};
}"""


def stop(page: Page) -> dict[str, Any]:
    page.keyboard.press("Tab")
    page.wait_for_timeout(30)
    return dict(page.evaluate(STOP))


def walk(page: Page, most: int = 400) -> list[dict[str, Any]]:
    """Every stop from the top of the page until the keyboard leaves it."""
    stops: list[dict[str, Any]] = []
    for _ in range(most):
        here = stop(page)
        if here["tag"] == "BODY":
            return stops
        stops.append(here)
    raise AssertionError(f"the keyboard is still on the page after {most} stops")


@pytest.fixture
def lesson(visit: Visit) -> Page:
    visit.page.emulate_media(reduced_motion="reduce")
    page = visit.open(LESSON)
    # The skip link slides in and buttons fade: what counts is where they end.
    page.add_style_tag(content="* { transition: none !important; scroll-behavior: auto !important }")
    return page


def test_tab_reaches_everything_in_order_and_is_seen(lesson: Page) -> None:
    stops = walk(lesson)
    assert [one["text"] for one in stops if not one["marked"]] == [], "focus that nobody sees"
    assert [one["text"] for one in stops if not one["seen"]] == [], "focus on something unseen"
    texts = [one["text"] for one in stops]
    assert texts[0] == "Skip to main content"
    parts = [one["part"] for one in stops]
    assert parts.index("navigation") < parts.index("header") < parts.index("article")
    links = lesson.eval_on_selector_all(
        "article a[href]:not(.headerlink), .bd-sidebar-primary a.reference",
        "all => all.filter(one => one.checkVisibility()).map(one => one.getAttribute('href'))",
    )
    assert "02_quantization.html" in links
    assert set(links) <= {one["href"] for one in stops}
    for name in ("Launch interactive content", "Source repositories", "Download this page", "Color mode"):
        assert name in texts


def test_skip_link_leads_into_the_lesson(lesson: Page) -> None:
    assert stop(lesson)["text"] == "Skip to main content"
    lesson.keyboard.press("Enter")
    assert stop(lesson)["part"] in ("header", "article")


def test_launch_menu_opens_and_leads_to_colab(lesson: Page) -> None:
    while (here := stop(lesson))["text"] != "Launch interactive content":
        assert here["tag"] != "BODY", "the launch menu was not reached"
    lesson.keyboard.press("Enter")
    offered = [stop(lesson) for _ in range(2)]
    assert all(one["seen"] and one["marked"] for one in offered), offered
    assert any("colab.research.google.com" in one["href"] for one in offered), offered
    lesson.keyboard.press("Escape")
    assert not lesson.locator(".dropdown-menu.show").count()


def test_search_opens_and_closes(lesson: Page) -> None:
    lesson.keyboard.press("Control+k")
    assert lesson.evaluate("document.activeElement.type") == "search"
    lesson.keyboard.press("Escape")
    assert lesson.evaluate("document.querySelector('dialog[open]')") is None


def test_code_wider_than_the_page_scrolls_by_keyboard(lesson: Page) -> None:
    for here in iter(lambda: stop(lesson), None):
        assert here["tag"] != "BODY", "no code was reached"
        wide = "document.activeElement.scrollWidth > document.activeElement.clientWidth + 5"
        if here["tag"] == "PRE" and lesson.evaluate(wide):
            break
    lesson.keyboard.press("ArrowRight")
    lesson.wait_for_timeout(300)
    assert lesson.evaluate("document.activeElement.scrollLeft") > 0
