"""A prediction cannot be spoilt: what a reveal shows is folded until the reader has guessed or asked for it."""

import json
import re
from pathlib import Path

import pytest

from tests import needs

needs.extra("playwright", "test")

from playwright.sync_api import Browser  # noqa: E402 - after the check for optional packages

from tests.browser.window import Visit  # noqa: E402

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LESSON = "notebooks/01_gpu_cost_modeling"


def revealed(lesson: Path) -> list[str]:
    """The line that each reveal of a lesson prints."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    said = ["".join("".join(output.get("text", "")) for output in cell.get("outputs", ())) for cell in cells]
    return [line for text in said for line in re.findall(r"^computed: .*$", text, re.M)]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_every_answer_is_folded(visit: Visit, lesson: Path) -> None:
    page = visit.open(f"notebooks/{lesson.stem}")
    answers = revealed(lesson)
    assert page.locator("details.prediction").count() == page.locator("form.guess").count() == len(answers)
    assert page.locator("details.prediction[open]").count() == 0
    assert page.locator("pre:visible", has_text=re.compile(r"^computed: ", re.M)).count() == 0
    inside = page.eval_on_selector_all("details.prediction", "all => all.map(one => one.textContent)")
    assert all(answer in text for answer, text in zip(answers, inside, strict=True))
    assert visit.wrong == []


def test_the_paragraph_that_reads_the_answer_is_folded_with_it(visit: Visit) -> None:
    page = visit.open(LESSON)
    told = page.get_by_text("15,809.50 dollars. Machines are sold whole")
    assert told.count() == 1
    assert not told.is_visible()
    assert page.get_by_text("Exercise 1.1 · compute").is_visible()


def test_a_guess_is_compared_by_keyboard_alone(visit: Visit) -> None:
    page = visit.open(LESSON)
    page.locator("form.guess input").first.focus()
    page.keyboard.type("many")
    page.keyboard.press("Enter")
    said = page.get_by_role("status").first
    assert said.inner_text() == "That is not a number."
    assert not page.locator("details.prediction").first.evaluate("one => one.open")
    page.keyboard.press("Control+a")
    page.keyboard.type("1,200 %")
    page.keyboard.press("Enter")
    assert said.inner_text() == "You said 1,200 %, it is 0.6 percentage points: 2000.0 times too high."
    assert page.get_by_text("computed: 0.6 percentage points").is_visible()
    assert visit.wrong == []


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        ("0.6", "right"),
        ("0.62", "within 10 %: well guessed"),
        ("0.3", "2.0 times too low"),
        ("0", "far off"),
        ("-3", "not even the same sign"),
    ],
)
def test_the_page_says_what_the_notebook_says(visit: Visit, guess: str, said: str) -> None:
    page = visit.open(LESSON)
    page.locator("form.guess input").first.fill(guess)
    page.get_by_role("button", name="Compare").first.click()
    assert page.get_by_role("status").first.inner_text().endswith(f": {said}.")


def test_who_does_not_guess_may_ask(visit: Visit) -> None:
    page = visit.open(LESSON)
    page.locator("details.prediction > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("computed: 0.6 percentage points").is_visible()


def test_without_scripts_the_answer_unfolds(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{LESSON}.html")
    assert page.locator("form.guess").count() == 0
    assert not page.get_by_text("computed: 0.6 percentage points").is_visible()
    page.locator("details.prediction > summary").first.click()
    assert page.get_by_text("computed: 0.6 percentage points").is_visible()
    context.close()
