"""The calculators in a real browser: the same figures as here, by keyboard and link, from this site alone."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from costlab.lessons.calculators import answer_texts, calculator, calculators
from tests import needs
from tests.lessons.test_calculators import random_texts

needs.extra("playwright", "test")
needs.extra("axe_playwright_python", "test")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402 - after the checks for optional packages
from playwright.sync_api import Browser, Page  # noqa: E402

from tests.browser.window import Visit  # noqa: E402

pytestmark = pytest.mark.browser
PAGE = "book/calculators"
NAMES = [one.name for one in calculators()]
EVERY = pytest.mark.parametrize("name", NAMES)
INPUTS = 50
#: What the reader downloads for the first result, and how long that takes where nothing else runs.
MAX_BYTES, COLD_S = 15_000_000, 5.0
#: A busy machine is slower, Pyodide alone as well: the package may add half to it.
MAX_OVER_PYODIDE = 1.5
REDRAW_MS = 100
ALONE = """async (folder) => {
  const source = `onmessage = async () => {
    const { loadPyodide } = await import("${folder}pyodide.mjs");
    (await loadPyodide({ indexURL: "${folder}" })).runPython("1");
    postMessage("done");
  };`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
  await new Promise((done) => { worker.onmessage = done; worker.postMessage(""); });
  worker.terminate();
}"""
#: Sets fields of a calculator and waits for the answer to exactly these.
SET = """async ([name, texts]) => {
  const box = document.querySelector(`[data-calculator=${name}]`);
  for (const [field, text] of Object.entries(texts)) box.querySelector(`[name=${field}]`).value = text;
  const answered = new Promise((done) => {
    const watch = new MutationObserver(() => { watch.disconnect(); done(); });
    watch.observe(box, { attributes: true, attributeFilter: ["data-answers"] });
  });
  const begun = performance.now();
  box.querySelector("[name]").dispatchEvent(new Event("input", { bubbles: true }));
  await answered;
  await new Promise((done) => setTimeout(done));
  const texts_of = (css) => [...box.querySelectorAll(css)].filter((one) => !one.hidden).map((one) => one.textContent);
  return {
    ms: performance.now() - begun, errors: texts_of(".calc-error"), said: texts_of(".calc-answer")[0],
    about: box.querySelector("[aria-invalid=true]")?.name ?? "", rows: JSON.parse(box.dataset.rows ?? "{}"),
    html: box.querySelector(".calc-result").innerHTML,
  };
}"""
AS_BROWSERS_WRITE = (
    "(html) => { const box = document.createElement('div'); box.innerHTML = html; return box.innerHTML; }"
)


@pytest.fixture(scope="module")
def runtime(site: Path) -> str:
    """The folder of Pyodide in the site."""
    found = [path.name for path in (site / "_static").glob("pyodide-*")]
    if not found:
        needs.program("npm", install="apt-get install npm")
        reason = "the site was built without Python for the browser; run: make book"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found[0]


class Shop:
    """The page of the calculators after its first result, reached by a link with inputs."""

    texts = {"gpu": "L4", "gpus": "3", "utilization_fraction": "0.25"}  # noqa: RUF012 - read only

    def __init__(self, browser: Browser, address: str, site: Path) -> None:
        self.window = Visit(browser, address)
        self.page: Page = self.window.page
        asked: set[str] = set()
        self.page.on("request", lambda request: asked.add(request.url.removeprefix(f"{address}/").split("?")[0]))
        query = "&".join(f"useful_hour.{name}={text}" for name, text in self.texts.items())
        begun = time.monotonic()
        self.page.goto(f"{address}/{PAGE}.html?{query}#calculator-useful-hour", wait_until="load")
        self.page.wait_for_function("document.querySelector('[data-calculator=useful_hour]').dataset.rows", timeout=0)
        self.cold_s = time.monotonic() - begun
        self.bytes = {name: (site / name).stat().st_size for name in asked}

    def set(self, name: str, texts: dict[str, str]) -> dict[str, Any]:
        return dict(self.page.evaluate(SET, [name, texts]))


@pytest.fixture(scope="module")
def shop(browser: Browser, address: str, site: Path, runtime: str) -> Iterator[Shop]:
    shop = Shop(browser, address, site)
    yield shop
    shop.window.context.close()


def test_first_result_comes_soon_and_from_this_site_alone(
    shop: Shop, browser: Browser, address: str, runtime: str, record_property: Any
) -> None:
    assert f"_static/{runtime}/pyodide.asm.wasm" in shop.bytes, "the runtime was not weighed"
    assert sum(shop.bytes.values()) < MAX_BYTES, shop.bytes
    assert shop.window.wrong == []
    if shop.cold_s >= COLD_S:
        window = Visit(browser, address)
        window.open(PAGE)
        begun = time.monotonic()
        window.page.evaluate(ALONE, f"{address}/_static/{runtime}/")
        alone_s = time.monotonic() - begun
        window.context.close()
        assert shop.cold_s < MAX_OVER_PYODIDE * alone_s + 1.0, f"Pyodide alone took {alone_s:.1f} s"


def test_link_restores_the_inputs(shop: Shop) -> None:
    box = shop.page.locator("[data-calculator=useful_hour]")
    rows = json.loads(box.evaluate("box => box.dataset.rows"))
    assert rows == answer_texts("useful_hour", Shop.texts)["rows"]
    for field, text in Shop.texts.items():
        assert box.locator(f"[name={field}]").input_value() == text
    assert box.locator("[name=gpus] >> xpath=../.. >> [type=range]").get_attribute("aria-valuetext") == "3 GPUs"
    link = box.locator(".calc-link")
    assert all(f"useful_hour.{name}={text}" in (link.get_attribute("href") or "") for name, text in Shop.texts.items())
    box.locator(".calc-reset").click()
    assert box.locator("[name=gpus]").input_value() == calculator("useful_hour").inputs[2].text
    assert "=" not in (link.get_attribute("href") or "")


@EVERY
def test_defaults_and_random_inputs_agree_with_python(shop: Shop, name: str) -> None:
    """The result for the defaults to the last digit shown, and 50 others as well; errors word for word."""
    rng = random.Random(name)
    results = 0
    for texts in [{field.name: field.text for field in calculator(name).inputs}] + [
        random_texts(calculator(name), rng) for _ in range(INPUTS)
    ]:
        here, there = answer_texts(name, texts), shop.set(name, texts)
        if "error" in here:
            assert (there["errors"], there["about"]) == ([here["error"]], here["field"]), texts
            continue
        results += 1
        assert there["said"] == here["said"], texts
        assert there["html"] == shop.page.evaluate(AS_BROWSERS_WRITE, here["html"]), texts
        # JavaScript writes a great float without its exponent, which Python would read as another integer.
        rows = {label: float(value) if type(value) is int else value for label, value in there["rows"].items()}
        assert rows == here["rows"], texts
    assert results > INPUTS / 4
    assert shop.window.wrong == []


@EVERY
def test_a_change_is_drawn_within_a_tenth_of_a_second(shop: Shop, name: str) -> None:
    """The fastest of twenty, so that a busy machine does not count as a slow calculator."""
    rng = random.Random(name)
    texts = (random_texts(calculator(name), rng) for _ in range(20))
    assert min(shop.set(name, one)["ms"] for one in texts) < REDRAW_MS


@EVERY
def test_absurd_input_shows_the_error_of_the_core_beside_its_field(shop: Shop, name: str) -> None:
    field = next(field for field in calculator(name).inputs if not hasattr(field, "words"))
    there = shop.set(name, {one.name: one.text for one in calculator(name).inputs} | {field.name: "-1"})
    assert there["about"] == field.name
    assert there["errors"] == [answer_texts(name, {field.name: "-1"})["error"]]
    note = shop.page.locator(f"#{name}-{field.name}-error")
    beside = shop.page.locator(f"#{name}-{field.name}").bounding_box()
    box = note.bounding_box()
    assert box is not None
    assert beside is not None
    assert 0 <= box["y"] - beside["y"] < 120
    mended = shop.set(name, {field.name: field.text})
    assert (mended["errors"], mended["about"]) == ([], "")


@EVERY
def test_keyboard_moves_a_slider(shop: Shop, name: str) -> None:
    shop.set(name, {one.name: one.text for one in calculator(name).inputs})
    field = next(field for field in calculator(name).inputs if not hasattr(field, "words"))
    box = shop.page.locator(f"[data-calculator={name}]")
    shop.page.locator(f"#{name}-{field.name}").focus()
    shop.page.keyboard.press("Tab")
    slider = shop.page.locator(f"[data-calculator={name}] [type=range]").first
    assert slider.evaluate("one => one === document.activeElement")
    before = box.get_attribute("data-answers")
    shop.page.keyboard.press("ArrowLeft" if field.default == field.stops[-1] else "ArrowRight")
    shop.page.wait_for_function(
        "([name, before]) => document.querySelector(`[data-calculator=${name}]`).dataset.answers !== before",
        arg=[name, before],
    )
    value = shop.page.locator(f"#{name}-{field.name}").input_value()
    assert value != field.text
    assert slider.get_attribute("aria-valuetext") == f"{value} {field.unit}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_results_and_errors(shop: Shop, scheme: str) -> None:
    shop.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    shop.page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
    for texts in ({"gpus": "4"}, {"gpus": "0"}):
        shop.set("useful_hour", texts)
        found = Axe().run(shop.page, context={"include": [[".calculator"]]}, options={"resultTypes": ["violations"]})
        serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["target"]) for one in serious] == []
    shop.set("useful_hour", {"gpus": "8"})


def test_nothing_is_loaded_before_a_calculator_is_touched(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    page = visit.open(PAGE)
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Tab")
    assert not [
        url for url in asked if "pyodide" in url.rsplit("/", 1)[0] or "calculators-worker" in url or ".zip" in url
    ]
    for name in NAMES:
        assert page.locator(f"[data-calculator={name}] .calc-answer").inner_text() == answer_texts(name, {})["said"]


def test_without_javascript_the_results_for_the_defaults_are_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}.html")
    for name in NAMES:
        box = page.locator(f"[data-calculator={name}]")
        assert box.locator(".calc-answer").inner_text() == answer_texts(name, {})["said"]
        assert box.locator("svg[role=img]").count() == 1
        assert box.locator("[name]").first.is_disabled()
    context.close()


def test_pages_without_a_calculator_carry_nothing_of_them(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts]
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    without = [path for path, text in texts.items() if 'class="calculator"' not in text]
    assert len(without) > 10
    assert len(without) < len(pages)
    assert [path for path in without if "calc-" in texts[path] or "calculators.js" in texts[path]] == []
