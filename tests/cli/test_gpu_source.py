"""Where ``costlab monitoring serve`` asks DCGM's exporter: answers without an end, and addresses with a password."""

from __future__ import annotations

import contextlib
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from costlab.cli import monitoring
from costlab.errors import InvalidValueError
from costlab.monitoring import GpuReading, GpuReadingError
from tests import needs

needs.extra("prometheus_client", "monitoring")


@contextlib.contextmanager
def exporter(write: Callable[[Callable[[bytes], object]], object]) -> Iterator[str]:
    """The address of a server whose answer is what `write` writes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                write(self.wfile.write)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def asked(address: str) -> tuple[GpuReading, ...]:
    source = monitoring._gpu_source(address)
    assert source is not None
    return tuple(source())


def test_an_answer_is_read() -> None:
    with exporter(lambda write: write(b'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0"} 0.5\n')) as address:
        assert asked(address) == (GpuReading("0", 0.5),)


def endless(write: Callable[[bytes], object]) -> None:
    while True:
        write(b'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0"} 0.5\n' * 1000)


def test_an_answer_without_an_end_is_an_error_in_little_memory() -> None:
    with exporter(endless) as address:
        tracemalloc.start()
        try:
            with pytest.raises(GpuReadingError, match="the exporter answers more than 4,194,304 bytes"):
                asked(address)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most_bytes < 20e6


def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "DCGM_TIMEOUT_S", 0.5)

    def trickle(write: Callable[[bytes], object]) -> None:
        for _ in range(40):
            write(b"#\n")
            time.sleep(0.1)

    with exporter(trickle) as address, pytest.raises(GpuReadingError, match=r"takes more than 0\.5 s"):
        asked(address)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("amd", "'amd'"),
        ("http://ann:pa55@host:9400/metrics", "'http://host:9400/metrics'"),
        ("http://ann:pa/55@host:9400", "'[*]{3}'"),
        ("ann:pa55@host", "'[*]{3}'"),
        ("http://host:pa55", "'[*]{3}'"),
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(name: str, shown: str) -> None:
    with pytest.raises(InvalidValueError, match=f"gpus must be none, nvml, or the address .*, got {shown}$") as found:
        monitoring._gpu_source(name)
    assert "55" not in f"{found.value}{vars(found.value)}"
