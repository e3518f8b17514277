"""A server on the loopback that speaks as much of OpenAI's protocol as a load test needs, at a pace of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: PacedHttpServer

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._whole(404, {"error": {"message": "nothing here"}})
            return
        self._whole(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.headers.append(dict(self.headers))
            number = len(self.server.asked)
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        try:
            self._answer(asked, number)
        finally:
            with self.server.lock:
                self.server.open -= 1

    def _answer(self, asked: dict[str, Any], number: int) -> None:
        if self.server.dies_at and number >= self.server.dies_at:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if number in self.server.refused:
            self._whole(503, {"error": {"message": "overloaded"}})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        time.sleep(self.server.first_s)
        for _ in range(asked["max_tokens"]):
            self._event({"choices": [{"index": 0, "text": " a", "finish_reason": None}]})
            time.sleep(self.server.token_s)
        if self.server.breaks:
            if self.server.breaks == "error":
                self.wfile.write(b'data: {"error": {"message": "too hot"}}\n\n')
            self.close_connection = True
            return
        usage = {"prompt_tokens": 7, "completion_tokens": asked["max_tokens"], "total_tokens": 7 + asked["max_tokens"]}
        if self.server.counts:
            self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, data: dict[str, Any]) -> None:
        event = {"id": "1", "object": "text_completion", "created": 0, "model": "m", **data}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _whole(self, status: int, data: dict[str, Any]) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


class PacedHttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    first_s, token_s = 0.02, 0.002
    counts = True
    dies_at = 0
    breaks = ""
    models: tuple[str, ...] = ("small-model",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refused: set[int] = set()
        self.lock = threading.Lock()
        self.open = self.most_open = 0

    def handle_error(self, *_: Any) -> None:
        """A client that went away."""


class PacedServer:
    """The server for as long as a ``with`` block."""

    def __init__(self, **facts: Any) -> None:
        self.http = PacedHttpServer(("127.0.0.1", 0), Handler)
        for name, value in facts.items():
            setattr(self.http, name, value)
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()
