"""``costlab report`` and ``costlab monitoring``: what a log of requests cost, and metrics of a running service."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab._internal import checks
from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab.cli.shared import JsonFlag, print_json, print_table
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring import GpuReading, Report

#: Files from this size on take long enough for a progress bar.
LARGE_BYTES = 50 * 10**6

Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="The file's name for one of our fields; may be repeated."),
]


def report(
    log: Annotated[
        list[Path], typer.Argument(help="Files or folders: CSV, Parquet or JSON, of any format that is known.")
    ],
    gpu_hours: Annotated[Path | None, typer.Option(metavar="FILE", help="A log of GPU hours, for idle waste.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--format", help="Its format, as litellm; by default what it looks like.")
    ] = None,
    column: Column = None,
    cached_apart: Annotated[
        bool, typer.Option("--cached-apart", help="The log's input tokens leave out the cached ones.")
    ] = False,
    max_bad_rows: Annotated[
        int, typer.Option(metavar="N", help="So many rows may be left out that cannot be read.")
    ] = 0,
    decimal: Annotated[
        str | None, typer.Option(metavar="SIGN", help="The decimal separator, a point or a comma, if none shows it.")
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="How to take 01/10/2026, if no date shows it.")
    ] = None,
    gpu_bill_apart: Annotated[
        bool, typer.Option("--gpu-bill-apart", help="The requests' costs leave out the GPUs: add their bill.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML file too.")] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who served the requests, whatever the log says, as azure.")
    ] = None,
    tier: Annotated[
        str | None, typer.Option(metavar="TIER", help="The tier of service: standard, batch, flex or priority.")
    ] = None,
    discount: Annotated[
        str | None,
        typer.Option(metavar="SHARE|FILE", help="Negotiated off list prices: 0.12, or a TOML file by provider."),
    ] = None,
    deployment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL", help="The model behind a name of your own; may be repeated."),
    ] = None,
    reprice: Annotated[
        bool, typer.Option("--reprice", help="Price requests that have a cost too, where the catalogue can.")
    ] = False,
    as_of: Annotated[
        str | None, typer.Option(metavar="DATE", help="Price all as on this ISO date, not each at its own time.")
    ] = None,
    focus: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the costs as rows of FOCUS too: .csv or .parquet.")
    ] = None,
    commitments: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Commitments to GPUs (TOML), for --focus: unused hours are rows too."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What a log of requests cost: totals, unit costs, trend, waste, and the three largest savings."""
    with extra("usage"):
        import duckdb

    from costlab.errors import LogError
    from costlab.monitoring import (
        build_report,
        fill_costs,
        focus_table,
        load_commitments,
        load_discounts,
        open_gpu_hours,
        open_log,
        report_html,
        report_lines,
        write_focus,
    )
    from costlab.monitoring.importers import duckdb_reason
    from costlab.monitoring.report.build import STEPS

    columns = _mapping(column, "--column", "FIELD=NAME")
    deployments = _mapping(deployment, "--deployment", "NAME=MODEL")
    discounts = None if discount is None else load_discounts(discount)
    if commitments is not None and (focus is None or gpu_hours is None or not gpu_bill_apart):
        raise InvalidValueError(
            "commitments",
            "given with --focus, --gpu-hours and --gpu-bill-apart: what they cost comes on top",
            str(commitments),
        )
    read = [path for path in (*log, gpu_hours, commitments) if path is not None]
    for option, written in (("html", html), ("focus", focus)):
        if written is not None and any(_reads(path, written) for path in read):
            raise InvalidValueError(option, "another file than those that are read", str(written))
    name = ", ".join(one.name or str(one) for one in log)
    with nullcontext() if html is None else atomic_write(html) as page:
        hours = None if gpu_hours is None else open_gpu_hours(gpu_hours)
        with _progress(name, log, STEPS + 2) as bar:
            opened = open_log(
                log,
                format=log_format,
                columns=columns,
                cached_apart=cached_apart,
                max_bad_rows=max_bad_rows,
                decimal=decimal,
                day_first=day_first,
            )
            bar.follow(opened.connection)
            try:
                filled = fill_costs(
                    opened.frame,
                    as_of,
                    provider=provider,
                    service_tier=tier,
                    discount=discounts,
                    deployments=deployments,
                    reprice=reprice,
                )
                bar.step()
                built = build_report(
                    filled.frame,
                    hours,
                    gpu_bill_apart=gpu_bill_apart,
                    notes=(*opened.notes, *filled.notes),
                    pricing=filled.pricing,
                    read=opened.read,
                    step=bar.step,
                )
                if focus is not None:
                    under = () if commitments is None else load_commitments(commitments)
                    write_focus(focus_table(filled.frame, hours if gpu_bill_apart else None, under), focus)
            except duckdb.Error as error:
                raise LogError(f"{name}: {duckdb_reason(error)}") from error
        if page is not None:
            page.write_text(report_html(built, name), encoding="utf-8")
    if html is not None:
        typer.echo(f"wrote {html}", err=True)
    if focus is not None:
        typer.echo(f"wrote {focus}{_not_in_focus(built, hours is not None and not gpu_bill_apart)}", err=True)
    if as_json:
        print_json({"log": name, "format": opened.format, **built.as_dict()})
        return
    width = max(40, shutil.get_terminal_size((120, 24)).columns)
    for part in report_lines(built, name, width):
        if isinstance(part, str):
            typer.echo(part)
        else:
            print_table(part)


def _not_in_focus(report: Report, gpus_contained: bool) -> str:
    """What a reader of the rows has to know of what is not in them."""
    words = []
    if report.total.unpriced_requests:
        words.append(f"{report.total.unpriced_requests:,} requests without a known cost are in no row")
    if gpus_contained:
        words.append("GPU hours have no rows, as the requests' costs are taken to contain them (--gpu-bill-apart)")
    return "".join(f"; {word}" for word in words)


def _mapping(pairs: list[str] | None, option: str, form: str) -> dict[str, str] | None:
    if not pairs:
        return None
    mapping: dict[str, str] = {}
    for pair in pairs:
        left, separator, right = pair.partition("=")
        if not (left and separator and right):
            raise typer.BadParameter(f"must be {form}, got {pair!r}", param_hint=f"'{option}'")
        if mapping.setdefault(left, right) != right:
            raise typer.BadParameter(f"{left} is {mapping[left]} or {right}, not both", param_hint=f"'{option}'")
    return mapping


def _reads(path: Path, file: Path) -> bool:
    """Whether a file that is there is read as `path`, or with it: as one of the files of a folder."""
    from costlab.monitoring.importers.paths import find_files

    if not (path.exists() and file.is_file()):
        return False
    return any(one.samefile(file) for one in (find_files(path) if path.is_dir() else (path,)))


class _Bar:
    """How far a log is read: steps, and within one of them how far its query is."""

    def __init__(self) -> None:
        self.done = 0
        self.connection: duckdb.DuckDBPyConnection | None = None

    def follow(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The files are opened; what is counted from now on belongs to a connection."""
        self.connection = connection
        self.step()

    def step(self) -> None:
        """A step ended."""
        self.done += 1

    def completed(self) -> float:
        """Steps that ended, and the part of the present one."""
        part = 0.0 if self.connection is None else max(0.0, self.connection.query_progress()) / 100
        return self.done + min(part, 1.0)


@contextmanager
def _progress(name: str, logs: Sequence[Path], steps: int) -> Iterator[_Bar]:
    """A bar on stderr while a large log is read, where a person is looking."""
    followed = _Bar()
    files = (file for log in logs for file in (log.rglob("*") if log.is_dir() else (log,)))
    if not sys.stderr.isatty() or sum(file.stat().st_size for file in files) < LARGE_BYTES:
        yield followed
        return
    from rich.console import Console
    from rich.progress import Progress

    ended = threading.Event()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {name}", total=steps)

        def follow() -> None:
            while not ended.wait(0.1):
                bar.update(task, completed=followed.completed())

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield followed
        finally:
            ended.set()
            watcher.join()


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
    from costlab.monitoring import export_files

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
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
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
    from costlab.monitoring import GpuMetrics, Ledger, LedgerFollower, RequestMetrics

    checks.positive("every_s", every_s)
    if not 0 <= port < 65_536:
        raise InvalidValueError("port", "a whole number from 0 to 65535", port)
    readings = _gpu_source(gpus)
    if (readings is None) != (usd_per_hour is None):
        raise InvalidValueError("usd_per_hour", "given with --gpus, and only then", usd_per_hour)
    with extra("monitoring"):
        from prometheus_client import CollectorRegistry

    from costlab.cli.metrics_server import metrics_server

    registry = CollectorRegistry()
    hook = RequestMetrics(registry)
    if readings is not None and usd_per_hour is not None:
        GpuMetrics(registry, readings, usd_per_hour, budget_usd_per_day=budget_usd_per_day)
    ended = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: ended.set())
    with Ledger(ledger, create=False, flush_every_s=None) as opened:  # it is read only
        follower = LedgerFollower(opened, hook)
        with metrics_server(host, port, registry) as server:
            typer.echo(f"metrics at http://{host}:{server.server_port}/metrics", err=True)
            while not ended.wait(every_s):
                skipped = follower.skipped
                follower.poll()
                if follower.skipped > skipped:
                    typer.echo(f"rows left out: {follower.skipped}, the last: {follower.last_error}", err=True)


def _gpu_source(name: str) -> Callable[[], Sequence[GpuReading]] | None:
    from costlab.monitoring import dcgm_readings, nvml_readings

    if name == "none":
        return None
    if name == "nvml":
        with extra("monitoring"):
            import pynvml  # noqa: F401 - what is missing is said now, not at the first scrape
        return nvml_readings
    if not name.startswith(("http://", "https://")):
        raise InvalidValueError("gpus", "none, nvml, or the address of DCGM's exporter", name)
    from urllib.request import urlopen

    def fetch() -> Sequence[GpuReading]:
        with urlopen(name, timeout=5) as answer:  # noqa: S310 - http or https, as was checked
            return dcgm_readings(answer.read().decode())

    return fetch
