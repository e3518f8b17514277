"""``costlab monitoring serve``: what Prometheus finds there, whatever is written and whoever else connects."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from costlab.events import RequestEvent
from costlab.monitoring import Ledger
from tests import needs
from tests.events.test_request import GOOD

needs.extra("prometheus_client", "monitoring")

from prometheus_client import CollectorRegistry, Metric  # noqa: E402

from costlab.cli import metrics_server as module  # noqa: E402
from costlab.monitoring import RequestMetrics  # noqa: E402


def until(holds: Callable[[], Any], within_s: float = 20) -> Any:
    ends = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return found


def scraped(address: str) -> str:
    with urlopen(address, timeout=20) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    RequestMetrics(registry, series=[("small", "m")])
    return registry


def test_events_of_any_time_are_shown(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", batch_size=1) as ledger:
        ledger.append(RequestEvent(**GOOD | {"request_id": "before"}))
        serve = [sys.executable, "-m", "costlab", "monitoring", "serve", str(ledger.path), "--port", "0"]
        with subprocess.Popen(
            [*serve, "--every-s", "0.05", "--scrape-interval-s", "0"], stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                found = re.match("metrics at (http://127.0.0.1:[0-9]+/metrics)$", process.stderr.readline())
                assert found is not None
                # A clock that is seven thousand years ahead, one that is right, one that is an hour behind.
                for number, time_s in enumerate((2.4e11, time.time(), time.time() - 3600), 1):
                    ledger.append(RequestEvent(**GOOD | {"request_id": f"r-{number}", "time_s": time_s}))
                    line = f'costlab_requests_total{{model="gpt-4o-mini",outcome="ok",tier="small"}} {number}.0'
                    until(lambda line=line: line in scraped(found[1]))  # type: ignore[misc]
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def connect(address: tuple[str, int], sent: bytes = b"GET /metr") -> socket.socket:
    client = socket.create_connection(address, timeout=20)
    client.sendall(sent)
    return client


def test_clients_who_send_half_a_request_are_cut(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLIENT_S", 0.3)
    with module.metrics_server("127.0.0.1", 0, registry) as server:
        threads = threading.active_count()
        clients = [connect(("127.0.0.1", server.server_port)) for _ in range(5)]
        until(lambda: server.clients == 5)
        drop = clients[0]
        for _ in range(100):  # one who sends a byte now and then has no more time than others
            try:
                drop.sendall(b"i")
            except OSError:
                break
            time.sleep(0.05)
        assert all(client.recv(1) == b"" for client in clients[1:])
        until(lambda: server.clients == 0 and threading.active_count() == threads)
        for client in clients:
            client.close()


def test_many_such_clients_hold_few_threads_and_no_scrape(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLIENT_S", 60.0)
    with module.metrics_server("127.0.0.1", 0, registry) as server:
        threads = threading.active_count()
        clients = []
        for _ in range(8):
            clients += [connect(("127.0.0.1", server.server_port)) for _ in range(20)]
            assert "costlab_requests_total" in scraped(f"http://127.0.0.1:{server.server_port}/metrics")
        until(lambda: threading.active_count() <= threads + module.MAX_CLIENTS)
        assert server.clients <= module.MAX_CLIENTS
        for client in clients:
            client.close()


@pytest.mark.parametrize("half", [b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: a", b"GET /metrics HTTP/1.1\r\n"])
def test_half_a_request_costs_no_scrape(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    # Cut in the middle, "GET /metr" reads as a whole request of HTTP/0.9: 200 of them took 25 s of a processor.
    monkeypatch.setattr(module, "CLIENT_S", 0.3)
    made = 0

    class Counted:
        def collect(self) -> list[Metric]:
            nonlocal made
            made += 1
            return []

    registry.register(Counted())
    made = 0
    with module.metrics_server("127.0.0.1", 0, registry) as server:
        threads = threading.active_count()
        clients = [connect(("127.0.0.1", server.server_port), half) for _ in range(module.MAX_CLIENTS + 8)]
        until(lambda: server.clients > 0)
        until(lambda: server.clients == 0 and threading.active_count() == threads)
        assert made == 0
        assert "costlab_requests_total" in scraped(f"http://127.0.0.1:{server.server_port}/metrics")
        assert made == 1
        for client in clients:
            client.close()


def test_a_request_that_its_client_ended_is_answered(registry: CollectorRegistry) -> None:
    with module.metrics_server("127.0.0.1", 0, registry) as server:
        client = connect(("127.0.0.1", server.server_port), b"GET /metrics HTTP/1.0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(15) == b"HTTP/1.0 200 OK"
        client.close()


def test_a_server_that_ends_waits_for_no_client(registry: CollectorRegistry) -> None:
    with module.metrics_server("127.0.0.1", 0, registry) as server:
        client = connect(("127.0.0.1", server.server_port))
        until(lambda: server.clients == 1)
        started = time.monotonic()
    assert time.monotonic() - started < module.CLIENT_S / 2
    client.close()
