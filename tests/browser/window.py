"""A browser window on the built site."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Visit:
    """A browser window that takes down what goes wrong in it."""

    def __init__(self, browser: Browser, address: str, width: int = 1400, scheme: str = "light") -> None:
        self.address = address
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.wrong.append(f"script: {e}"))
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url} {r.failure}"))
        self.page.on("response", lambda r: self.wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", lambda r: None if self._own(r.url) else self.wrong.append(f"third party: {r.url}"))

    def _own(self, url: str) -> bool:
        return url.startswith((self.address, "data:", "blob:"))

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.address}/{name}.html", wait_until="load")
        self.page.wait_for_timeout(100)
        return self.page
