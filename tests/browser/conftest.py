"""A browser and a server for the tests of the site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tools.browser import chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.window import Visit


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as where:
        yield where


@pytest.fixture(scope="module")
def packed_address(site: Path) -> Iterator[str]:
    with served(site, compress=True) as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needs.program("chromium", "google-chrome", install="apt-get install chromium")
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    from tests.browser.window import Visit

    window = Visit(browser, address)
    yield window
    window.context.close()
