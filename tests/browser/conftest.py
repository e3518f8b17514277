"""A browser and a server for the tests of the site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.window import Visit


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    from tests.browser.window import serve

    with serve(site) as where:
        yield where


@pytest.fixture(scope="module")
def packed_address(site: Path) -> Iterator[str]:
    from tests.browser.window import serve

    with serve(site, compress=True) as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from tests.browser.window import FLAGS

    path = needs.program("chromium", "google-chrome", install="apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    from tests.browser.window import Visit

    window = Visit(browser, address)
    yield window
    window.context.close()
