"""A real Prometheus, from the first event on: what it has seen of the counters, and which alarms it raises."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from costlab.cache.server import free_port
from costlab.events import COLUMNS, RequestEvent
from costlab.monitoring import Ledger, OtelMetrics, panels, recording_rules
from tests import needs
from tests.events.test_request import GOOD
from tests.monitoring.prometheus import answers, firing, running_prometheus, until, value

needs.extra("prometheus_client", "monitoring")
needs.extra("opentelemetry.exporter.prometheus", "test")
needs.extra("grafana_foundation_sdk", "dashboards")
needs.extra("yaml", "dashboards")

import prometheus_client  # noqa: E402
from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402

pytestmark = pytest.mark.slow

ODD_NAMES = ('q"\\\n\r', "\x00", "\u2028", " ", '{le="1"} 5\n# EOF\n', "x" * 5000)


def burst(name: str, **change: Any) -> list[RequestEvent]:
    """Fifty requests at once, of a tier and a model that nobody has declared: half dear, half of unknown cost."""
    plain = GOOD | {"tier": "large", "model": "gpt-4o", "time_s": time.time()} | change
    costs = [1_000_000, None] * 25
    return [
        RequestEvent(**plain | {"request_id": f"{name}-{number}", "cost_micro_usd": cost})
        for number, cost in enumerate(costs)
    ]


@contextmanager
def exporter(ledger: Path, port: int) -> Iterator[None]:
    """``costlab monitoring serve`` as its own process, until the block ends."""
    options = ["--port", str(port), "--every-s", "0.05", "--scrape-interval-s", "3"]
    serve = [sys.executable, "-m", "costlab", "monitoring", "serve", str(ledger), *options]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert re.match("metrics at ", process.stderr.readline())
            yield
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_first_events_raise_the_alarm_and_no_restart_hides_any(tmp_path: Path) -> None:
    """Fifty requests between two looks at a new exporter, and fifty more right after each restart."""
    port = free_port()
    with Ledger(tmp_path / "ledger.db", flush_every_s=None) as book, ExitStack() as stack:
        with exporter(book.path, port):
            address = stack.enter_context(running_prometheus(tmp_path, f"127.0.0.1:{port}"))
            assert seen_after(book, address, 1) == [0, 50, 0]
            for name in ODD_NAMES:
                book.append(RequestEvent(**GOOD | {"request_id": repr(name), "model": name}))
            with sqlite3.connect(book.path) as other:  # past the checks of an event: a half of a surrogate
                row: dict[str, Any] = dict(
                    zip(COLUMNS, RequestEvent(**GOOD | {"request_id": "half"}).as_row(), strict=True)
                )
                values = ", ".join("CAST(? AS TEXT)" if name == "model" else "?" for name in row)
                row["model"] = b"half \xed\xa0\x80"
                other.execute(f"INSERT INTO events ({', '.join(row)}) VALUES ({values})", [*row.values()])
            other.close()
            book.append(RequestEvent(**GOOD | {"request_id": "after", "model": "after"}))
            book.flush()
            assert until(lambda: value(address, 'costlab_requests_total{model="after",outcome="ok"}'))
            assert value(address, "count(costlab_requests_total{outcome='ok',tier='small'})") == len(ODD_NAMES) + 2
        for restarts in (1, 2):
            with exporter(book.path, port):
                assert seen_after(book, address, 1 + restarts) == [0, 50, restarts]


def seen_after(book: Ledger, address: str, run: int) -> list[float | None]:
    """Least and most that Prometheus saw of a series in this run of the exporter and those before, and its resets."""
    for event in burst(f"run-{run}"):
        book.append(event)
    book.flush()
    # Extrapolation to the ends of the window may add a little; none is missing.
    assert until(lambda: (value(address, "sum(increase(costlab_requests_total[1h]))") or 0) >= 50 * run - 1e-6)
    assert until(lambda: {"RequestsUnpriced", "RequestsExpensive"} <= firing(address))
    ours = 'costlab_requests_total{tier="large",model="gpt-4o",outcome="ok"}'
    return [value(address, f"{figure}({ours}[1h])") for figure in ("min_over_time", "max_over_time", "resets")]


def test_the_rules_have_data_where_opentelemetry_brings_the_metrics(tmp_path: Path) -> None:
    registry = prometheus_client.CollectorRegistry()
    meters = MeterProvider([PrometheusMetricReader(registry=registry)])
    hook = OtelMetrics(meters, "openai", scrape_interval_s=3.0)
    server, thread = prometheus_client.start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with running_prometheus(tmp_path, f"127.0.0.1:{server.server_port}") as address:
            for event in burst("otel", conversion_value_micro_usd=1_000_000, reasoning_tokens=20):
                hook(event)
            figures = [one.name for one in recording_rules() if "gpu" not in one.name]
            assert len(figures) == 5
            for figure in figures:
                assert until(lambda figure=figure: answers(address, figure)), figure  # type: ignore[misc]
            alarms = {"RequestsUnpriced", "RequestsExpensive", "ExpensiveTierBusy", "ConversionsExpensive"}
            assert until(lambda: alarms <= firing(address))
            assert value(address, "costlab:unpriced_fraction:1h") == pytest.approx(0.5)
            assert value(address, "costlab:cost_usd_per_request:1h") == pytest.approx(1.0)
            for name in (*ODD_NAMES, "half \ud800"):
                odd = RequestEvent(**GOOD | {"request_id": "odd"})
                object.__setattr__(odd, "model", name)
                hook(odd)
            for event in burst("more"):  # for the latencies: the SDK's histograms begin with their first request
                hook(event)
            for panel in panels():
                for query, legend in panel.queries:
                    if "gpu" not in query:
                        found = until(lambda query=query: answers(address, query))  # type: ignore[misc]
                        assert found, f"{panel.title}, {legend}: {query}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        meters.shutdown()
