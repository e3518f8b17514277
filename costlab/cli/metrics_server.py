"""The HTTP server of ``costlab monitoring serve``: no client holds it up, whatever it sends or does not send."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: Seconds that a client has for its request and the answer, as long as Prometheus waits for one by default.
CLIENT_S: Final = 10.0
#: Clients at a time, each of which has a thread; beyond them the oldest is cut.
MAX_CLIENTS: Final = 32


class _Handler(WSGIRequestHandler):
    """A handler that does not log, and answers whole requests only."""

    server: "MetricsServer"
    raw_requestline: bytes

    def parse_request(self) -> bool:
        """Whether there is something to answer.

        The end of a connection ends a request too, as its reader sees it, and half of one may look like one of
        HTTP/0.9. Whoever was cut in the middle would cost as much as a scrape, and many of them would hold one up.
        """
        whole = self.raw_requestline.endswith(b"\n")
        return whole and super().parse_request() and self.server.has(self.connection)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A thread for each client, which is cut after :data:`CLIENT_S` at the latest."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # who waits here is cut in turn; with the default of 5, a scrape would wait for seconds

    def __init__(self, *arguments: Any, **options: Any) -> None:  # as the library's classes hand them on
        self._clients: dict[socket.socket, float] = {}  # in the order in which they came, each with when it is cut
        self._lock = threading.Lock()
        super().__init__(*arguments, **options)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def has(self, client: socket.socket) -> bool:
        """Whether a client is still connected: was not cut."""
        return client in self._clients

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a client in."""
        with self._lock:
            self._clients[request] = time.monotonic() + CLIENT_S
            spare = list(self._clients)[:-MAX_CLIENTS]
        self._cut(spare)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A client is done."""
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Between two looks for new clients, half a second apart where none comes."""
        now = time.monotonic()
        with self._lock:
            late = [client for client, ends in self._clients.items() if ends <= now]
        self._cut(late)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went, or was cut, in the middle."""

    def _cut(self, clients: list[socket.socket]) -> None:
        for client in clients:
            with self._lock:
                self._clients.pop(client, None)
            with suppress(OSError):  # its thread, which waits for it, then ends and closes it
                client.shutdown(socket.SHUT_RDWR)


@contextmanager
def metrics_server(host: str, port: int, registry: "CollectorRegistry") -> Iterator[MetricsServer]:
    """Show a registry's metrics at an address, IPv4 or IPv6, until the block ends."""
    from prometheus_client import make_wsgi_app

    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]

    class Server(MetricsServer):
        address_family = family

    server = make_server(str(address[0]), port, make_wsgi_app(registry), Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, name="costlab-metrics", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
