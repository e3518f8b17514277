"""``costlab monitoring``: files for Prometheus, Grafana and Datadog, and an exporter beside a ledger."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from costlab._internal.extras import require
from costlab.errors import InvalidValueError

__all__ = ["export", "serve"]

Host = Annotated[str, typer.Option(help="The address to listen on.")]


def export(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made where it is missing.")],
    target: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where Prometheus finds the metrics; by default our exporter.")
    ] = "exporter:9464",
    most_expensive_tier: Annotated[
        str,
        typer.Option(
            "--most-expensive-tier", "--dearest-tier", metavar="NAME", help="The tier that should stay below 15 %."
        ),
    ] = "large",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write rules, alerts, a Grafana dashboard, a Datadog configuration and a compose file."""
    from costlab.monitoring.export import export_files

    files = export_files(target, most_expensive_tier)
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise InvalidValueError("folder", "one without these files, or --force", f"{folder}: {', '.join(there)}")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {folder / name}", err=True)


def serve(
    ledger: Annotated[Path, typer.Argument(help="The ledger that the service writes.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 takes a free one.")] = 9464,
    every_s: Annotated[float, typer.Option(metavar="S", help="Seconds between two looks.")] = 1.0,
    gpus: Annotated[
        str, typer.Option(metavar="SOURCE", help="none, nvml, or the address of DCGM's exporter.")
    ] = "none",
    usd_per_hour: Annotated[float | None, typer.Option(metavar="USD", help="Price of a GPU-hour; with --gpus.")] = None,
    budget_usd_per_day: Annotated[
        float | None, typer.Option(metavar="USD", help="What the GPUs may cost a day.")
    ] = None,
) -> None:
    """Show Prometheus what a ledger's new events and the GPUs do, until interrupted."""
    from costlab._internal import checks
    from costlab.monitoring import GpuMetrics, Ledger, LedgerFollower, RequestMetrics

    checks.positive("every_s", every_s)
    if not 0 <= port < 65_536:
        raise InvalidValueError("port", "a whole number from 0 to 65535", port)
    readings = _gpu_source(gpus)
    if (readings is None) != (usd_per_hour is None):
        raise InvalidValueError("usd_per_hour", "given with --gpus, and only then", usd_per_hour)
    library = require("prometheus_client", "monitoring")
    registry = library.CollectorRegistry()
    hook = RequestMetrics(registry)
    if readings is not None and usd_per_hour is not None:
        GpuMetrics(registry, readings, usd_per_hour, budget_usd_per_day=budget_usd_per_day)
    ended = threading.Event()
    for number_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number_, lambda *_: ended.set())
    with Ledger(ledger, create=False) as book:
        follower = LedgerFollower(book, hook, since_s=time.time())
        server, thread = library.start_http_server(port, addr=host, registry=registry)
        typer.echo(f"metrics at http://{host}:{server.server_port}/metrics", err=True)
        try:
            while not ended.wait(every_s):
                follower.poll()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _gpu_source(name: str) -> Any:
    from costlab.monitoring import dcgm_readings, nvml_readings

    if name == "none":
        return None
    if name == "nvml":
        require("pynvml", "monitoring")
        return nvml_readings
    if not name.startswith(("http://", "https://")):
        raise InvalidValueError("gpus", "none, nvml, or the address of DCGM's exporter", name)
    from urllib.request import urlopen

    def fetch() -> Any:
        with urlopen(name, timeout=5) as answer:  # noqa: S310 - http or https, as was checked
            return dcgm_readings(answer.read().decode())

    return fetch
