"""The network of the attacks does what it says, or an attack would be none."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.stress.proxy import FATES, Proxy

PATIENCE_S = 1.0
#: What the client is told, and what the server has heard in the end.
ANSWERED = {
    "passed": (b"thanks", b"request"),
    "delayed": (b"thanks", b"request"),
    "in fragments": (b"thanks", b"request"),
    "cut": (b"", b""),
    "answer lost": (b"", b"request"),
    "twice": (b"thanks", b"requestrequest"),
}
#: What the server has heard in the end, where the client gave up.
UNANSWERED = {"late": b"request", "into a black hole": b""}


class Server(socketserver.ThreadingTCPServer):
    """Notes what arrives, and thanks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Thanks)
        self.heard: list[bytes] = []


class Thanks(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Server)
        with contextlib.suppress(OSError):
            while request := self.request.recv(1000):
                self.server.heard.append(request)
                self.request.sendall(b"thanks")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(proxy: Proxy, patience_s: float) -> bytes | None:
    """The answer to one request: empty where the connection is cut, None where nothing comes in time."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience_s) as client:
        client.sendall(b"request")
        try:
            return client.recv(1000)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""


def heard(server: Server, least: int) -> bytes:
    """What has arrived, once there is so much; it must come."""
    ends = time.monotonic() + 30
    while len(b"".join(server.heard)) < least:
        assert time.monotonic() < ends, server.heard
        time.sleep(0.01)
    return b"".join(server.heard)


@pytest.mark.parametrize("fate", ANSWERED)
def test_each_fate_is_what_it_says(server: Server, fate: str) -> None:
    answer, arrives = ANSWERED[fate]
    proxy = Proxy(server.server_address[1], 1, PATIENCE_S, {fate: 1})
    assert ask(proxy, 30) == answer
    assert heard(server, len(arrives)) == arrives
    assert proxy.counts == {"connections": 1, "requests": 1, fate: 1}
    proxy.stop()


@pytest.mark.parametrize("fate", UNANSWERED)
def test_who_waits_in_vain_may_have_been_heard_afterwards(server: Server, fate: str) -> None:
    arrives = UNANSWERED[fate]
    proxy = Proxy(server.server_address[1], 1, PATIENCE_S, {fate: 1})
    assert ask(proxy, PATIENCE_S / 10) is None
    assert server.heard == []  # given up before anything arrived
    assert heard(server, len(arrives)) == arrives
    proxy.stop()


def test_while_it_is_blocked_nothing_passes_and_while_it_is_calm_all_does(server: Server) -> None:
    proxy = Proxy(server.server_address[1], 1, PATIENCE_S, {"cut": 1})
    proxy.calm = True
    assert ask(proxy, 30) == b"thanks"
    proxy.block(60)
    assert ask(proxy, PATIENCE_S / 10) is None
    assert server.heard == [b"request"]
    proxy.stop()


def test_all_fates_are_tried_here() -> None:
    assert {*ANSWERED, *UNANSWERED} == {*FATES}
