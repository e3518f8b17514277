"""A server on the loopback that speaks OpenAI's chat protocol, with a model behind it and every way to go wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

#: What a script makes of a request: the body of a completion, or a handler that answers by itself.
Script = Callable[["Handler", dict[str, Any]], dict[str, Any] | None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, and the second would wait 40 ms for the first
    server: ChatHttpServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append({"path": self.path, "headers": dict(self.headers), "body": asked})
        turn = min(len(self.server.requests), len(self.server.scripts)) - 1
        body = self.server.scripts[turn](self, asked)
        if body is not None:
            self.reply(200, json.dumps(body))

    def reply(self, status: int, text: str, **headers: str) -> None:
        raw = text.encode()
        self.send_response(status)
        for name, value in ({"content_type": "application/json", "content_length": str(len(raw))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def cut(self) -> None:
        """End the connection, in the middle of an answer."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [{"mess')
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class ChatHttpServer(ThreadingHTTPServer):
    daemon_threads = False  # the end of the server waits for scripts under way, so that no thread outlives its test
    request_queue_size = 128
    scripts: tuple[Script, ...]
    requests: list[dict[str, Any]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def get_request(self) -> Any:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection: a client keeps idle ones open, and their threads would wait for a next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """A client that went away is what some tests are about."""


class ChatServer:
    """The server for as long as a ``with`` block.

    `scripts` answer one request each, the last one all further ones.
    """

    def __init__(self, *scripts: Script) -> None:
        self._server = ChatHttpServer(("127.0.0.1", 0), Handler)
        self._server.scripts, self._server.requests = scripts, []
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self._server.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


def completion(
    content: str | None = "yes", usage: Any = None, logprobs: list[Any] | None = None, **choice: Any
) -> dict[str, Any]:
    """The body of an answer."""
    made: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    if logprobs is not None:
        made["logprobs"] = {"content": [{"token": "t", "logprob": p, "bytes": None} for p in logprobs]}
    used = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15} if usage is None else usage
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [made | choice]}
    return body | ({"usage": used} if used else {})


def says(body: dict[str, Any], after_s: float = 0.0) -> Script:
    """A script that gives this body, after a while."""

    def script(_: Handler, __: dict[str, Any]) -> dict[str, Any]:
        time.sleep(after_s)
        return body

    return script


def fails(status: int, message: str = "out of order", **headers: str) -> Script:
    """A script that answers with an error."""

    def script(handler: Handler, _: dict[str, Any]) -> None:
        handler.reply(status, json.dumps({"error": {"message": message, "type": "x", "code": None}}), **headers)

    return script


def replies(text: str, content_type: str = "application/json") -> Script:
    """A script that sends these words, whatever they are."""
    return lambda handler, _: handler.reply(200, text, content_type=content_type)


def cuts(handler: Handler, _: dict[str, Any]) -> None:
    """A script that ends the connection in the middle of its answer."""
    handler.cut()


def language_model(model: Any, tokenizer: Any) -> Script:
    """A script that lets a transformers model answer, greedily."""
    import torch

    lock = threading.Lock()

    def script(_: Handler, asked: dict[str, Any]) -> dict[str, Any]:
        inputs = tokenizer.apply_chat_template(
            asked["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = inputs["input_ids"]
        with lock, torch.inference_mode():
            logs = []
            for _step in range(asked["max_tokens"]):
                scores = torch.log_softmax(model(ids).logits[0, -1], dim=-1)
                token = int(scores.argmax())
                logs.append(float(scores[token]))
                ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
                if token == tokenizer.eos_token_id:
                    break
        length = inputs["input_ids"].shape[1]
        words = tokenizer.decode(ids[0, length:], skip_special_tokens=True)
        usage = {"prompt_tokens": length, "completion_tokens": len(logs), "total_tokens": length + len(logs)}
        return completion(words, usage, logs if asked.get("logprobs") else None)

    return script
