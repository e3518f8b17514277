"""A browser window on the built site, and the server behind it."""

from __future__ import annotations

import functools
import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _Compressing(_Quiet):
    """Sends text packed, as the places do where a site is published."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".svg") or not path.is_file():
            super().do_GET()
            return
        packed = gzip.compress(path.read_bytes(), mtime=0)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # a page asks for more at once than the five that may wait by default


@contextmanager
def serve(site: Path, *, compress: bool = False) -> Iterator[str]:
    """The address of a server for the folder."""
    handler = _Compressing if compress else _Quiet
    with _Server(("127.0.0.1", 0), functools.partial(handler, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


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
