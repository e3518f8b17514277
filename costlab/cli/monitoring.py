"""``costlab report`` and ``costlab monitoring``: what a log of requests cost, and metrics of a running service."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from costlab._internal import checks
from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab._internal.masking import MASKED, scheme, shown_address
from costlab._internal.terminal import console
from costlab._internal.text import counted, printable
from costlab.cli.shared import JsonFlag, print_json, print_table, say
from costlab.errors import InvalidValueError, LogError

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring import GpuReading, Report, SparkLog, UsageLog

#: Files from this size on take long enough for a progress bar.
LARGE_BYTES = 50 * 10**6
#: Of an exporter's answer: the most bytes, and the longest time in seconds. That of a large node's GPUs has 0.1 MB.
MAX_DCGM_BYTES, DCGM_TIMEOUT_S = 4 * 2**20, 5.0

Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="The file's name for one of our fields; may be repeated."),
]


def report(
    log: Annotated[
        list[str] | None, typer.Argument(help="Files or folders: CSV, Parquet or JSON, of any format that is known.")
    ] = None,
    gpu_hours: Annotated[Path | None, typer.Option(metavar="FILE", help="A log of GPU hours, for idle waste.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--format", help="Its format, as litellm; by default what it looks like.")
    ] = None,
    column: Column = None,
    cached_apart: Annotated[
        bool, typer.Option("--cached-apart", help="The log's input tokens leave out the cached ones.")
    ] = False,
    max_bad_rows: Annotated[
        int, typer.Option(metavar="N", help="At most this many rows that cannot be read are left out.")
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
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="What counts: duckdb, or spark for what outgrows one machine.")
    ] = "duckdb",
    master: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Spark runs, as spark://HOST:7077; with --engine spark.")
    ] = None,
    engine_metrics: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="FIRST SECOND",
            help="No log: two scrapes of vLLM's or llama.cpp's /metrics, files or addresses, and the GPU's price.",
        ),
    ] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="The engine's GPU, at its price in the list.")] = None,
    gpus: Annotated[int, typer.Option(metavar="N", help="How many of them the engine has.")] = 1,
    gpu_provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who rents it out, where several do.")
    ] = None,
    gpu_hour_usd: Annotated[
        float | None, typer.Option(metavar="USD", help="Instead of --gpu: what an hour of one costs.")
    ] = None,
    scrape_seconds: Annotated[
        float | None,
        typer.Option(metavar="S", help="Seconds between the scrapes; by default from the times of the files."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What a log of requests cost: totals, unit costs, trend, waste, and the three largest savings."""
    if engine_metrics is not None:
        if log:
            raise InvalidValueError("log", "left out with --engine-metrics, which counts without one", " ".join(log))
        _engine_report(engine_metrics, gpu, gpu_provider, gpu_hour_usd, gpus, scrape_seconds, as_json)
        return
    if not log:
        raise typer.BadParameter("missing; or give two scrapes with --engine-metrics", param_hint="'LOG...'")
    from costlab.monitoring import (
        build_report,
        fill_costs,
        focus_table,
        load_commitments,
        load_discounts,
        open_gpu_hours,
        report_html,
        report_lines,
        write_focus,
    )
    from costlab.monitoring.report.render import words_of_read

    options = _ReadAs(
        log_format, _mapping(column, "--column", "FIELD=NAME"), cached_apart, max_bad_rows, decimal, day_first
    )
    opened_by = _engine(engine, master, options)
    deployments = _mapping(deployment, "--deployment", "NAME=MODEL")
    discounts = None if discount is None else load_discounts(discount)
    if commitments is not None and (focus is None or gpu_hours is None or not gpu_bill_apart):
        raise InvalidValueError(
            "commitments",
            "given with --focus, --gpu-hours and --gpu-bill-apart: what they cost comes on top",
            str(commitments),
        )
    read = [path for path in (*map(Path, log), gpu_hours, commitments) if path is not None]
    for option, written in (("html", html), ("focus", focus)):
        if written is not None and any(_reads(path, written) for path in read):
            raise InvalidValueError(option, "another file than those that are read", str(written))
    if not all(log):
        raise InvalidValueError("log", "the name of a file or folder", "")
    name = ", ".join(Path(one).name or one for one in log)
    with nullcontext() if html is None else atomic_write(html) as page:
        hours = None if gpu_hours is None else open_gpu_hours(gpu_hours)
        with opened_by(log, name, options) as (opened, step, require_unchanged):
            filled = fill_costs(
                opened.frame,
                as_of,
                provider=provider,
                service_tier=tier,
                discount=discounts,
                deployments=deployments,
                reprice=reprice,
            )
            if not opened.read.kept:
                raise LogError(f"{name} has no request: {words_of_read(opened.read)}")
            step()
            built = build_report(
                filled.frame,
                hours,
                gpu_bill_apart=gpu_bill_apart,
                notes=(*opened.notes, *filled.notes),
                pricing=filled.pricing,
                read=opened.read,
                step=step,
            )
            require_unchanged()
            if focus is not None:
                under = () if commitments is None else load_commitments(commitments)
                write_focus(focus_table(filled.frame, hours if gpu_bill_apart else None, under), focus)
        if page is not None:
            page.write_text(report_html(built, name), encoding="utf-8")
    if html is not None:
        say(f"wrote {html}", err=True)
    if focus is not None:
        say(f"wrote {focus}{_not_in_focus(built, hours is not None and not gpu_bill_apart)}", err=True)
    if as_json:
        print_json({"log": name, "format": opened.format, **built.as_dict()})
        return
    width = max(40, shutil.get_terminal_size((120, 24)).columns)
    for part in report_lines(built, name, width):
        if isinstance(part, str):
            say(part)
        else:
            print_table(part)


def _engine_report(
    scrapes: tuple[str, str],
    gpu: str | None,
    provider: str | None,
    gpu_hour_usd: float | None,
    gpus: int,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Cost per million tokens from two scrapes of an engine."""
    from costlab.catalog import gpu_price
    from costlab.monitoring import engine_cost

    if (gpu is None) == (gpu_hour_usd is None):
        raise InvalidValueError("engine_metrics", "given with either --gpu or --gpu-hour-usd", gpu_hour_usd)
    if gpu is not None:
        price = gpu_price(gpu, snapshot="list", provider=provider)
        usd, source = price.usd_per_hour, f"{price.gpu} at {price.provider}, {price.evidence}"
    else:
        usd, source = checks.positive("gpu_hour_usd", gpu_hour_usd), "as given"
    checks.integer("gpus", gpus, at_least=1)
    (first, began), (second, ended) = (_scrape(name) for name in scrapes)
    between_s = ended - began if seconds is None else checks.positive("scrape_seconds", seconds)
    if between_s <= 0:
        raise InvalidValueError(
            "scrape_seconds", "given: by the times of the files, the second scrape is not the later one", seconds
        )
    costs = engine_cost(first, second, seconds=between_s, usd_per_hour=usd * gpus)
    if as_json:
        print_json(
            {
                "seconds": between_s,
                "usd_per_hour": usd * gpus,
                "price": source,
                "models": [asdict(one) for one in costs],
            }
        )
        return
    say(f"{between_s:,.0f} s between the scrapes, {gpus} x {usd:,.4g} USD an hour ({source})")
    for cost in costs:
        done = cost.tokens
        several = f", {done.replicas} replicas" if done.replicas > 1 else ""
        say(f"{printable(done.model) or 'the model'}{several}: {cost.usd:,.4g} USD")
        kinds = (
            ("prompt tokens, computed", done.computed_tokens, cost.computed_usd_per_mtok),
            ("prompt tokens, reused", done.cached_tokens, None),
            ("prompt tokens, both", done.computed_tokens + done.cached_tokens, cost.input_usd_per_mtok),
            ("written tokens", done.written_tokens, cost.written_usd_per_mtok),
            ("all tokens", done.tokens, cost.usd_per_mtok),
        )
        for kind, tokens, per_mtok in kinds:
            shown = "" if per_mtok is None else f"  {per_mtok:,.4g} USD per million"
            say(f"  {kind:<24}{tokens:>15,}{shown}")
        if done.hit_rate is not None:
            say(f"  {done.hit_rate:.1%} of the prompt tokens were reused: they took no seconds, so they have no price")
        if done.drafted_tokens:
            say(f"  {done.accepted_tokens:,} of {done.drafted_tokens:,} drafted tokens were accepted")


def _scrape(name: str) -> tuple[str, float]:
    """The text of a scrape, and its time: when its file was written, or now."""
    if name.startswith(("http://", "https://")):
        return _fetched_scrape(name), time.time()
    path = Path(name)
    try:
        if path.stat().st_size > MAX_DCGM_BYTES:
            raise LogError(f"{path.name} has more than {MAX_DCGM_BYTES:,} bytes, which no scrape has")
        return path.read_text(encoding="utf-8"), path.stat().st_mtime
    except UnicodeDecodeError:
        raise LogError(f"{path.name} is no text") from None
    except OSError as error:
        raise LogError(f"{path.name} cannot be read: {error.strerror}") from error


def _fetched_scrape(address: str) -> str:
    import http.client

    from costlab.monitoring import GpuReadingError

    try:
        return _fetched(address)
    except GpuReadingError as error:
        reason: object = error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__
    raise LogError(f"no scrape from {shown_address(address)}: {reason}")


@dataclass(frozen=True, slots=True)
class _ReadAs:
    """What the user said about a log, as :func:`costlab.monitoring.open_log` takes it."""

    format: str | None
    columns: Mapping[str, str] | None
    cached_apart: bool
    max_bad_rows: int
    decimal: str | None
    day_first: bool | None


#: A log while it is open, and what is to be called after each step of counting it, and when all is counted.
_Opened: TypeAlias = "tuple[UsageLog | SparkLog, Callable[[], None], Callable[[], None]]"


def _engine(
    engine: str, master: str | None, options: _ReadAs
) -> Callable[[Sequence[str], str, _ReadAs], AbstractContextManager[_Opened]]:
    """What opens the log."""
    checks.one_of("engine", engine, ("duckdb", "spark"))
    if engine == "duckdb":
        if master is not None:
            raise InvalidValueError("master", "given with --engine spark", master)
        return _on_duckdb
    of_text = {"decimal": options.decimal, "day_first": options.day_first}
    for name, value in of_text.items():
        if value is not None:
            raise InvalidValueError(name, "left out with --engine spark, where no text is guessed at", value)
    if options.format not in (None, "columns"):
        raise InvalidValueError("format", "columns with --engine spark, which reads our own columns", options.format)
    return partial(_on_spark, master=master)


@contextmanager
def _on_duckdb(log: Sequence[str], name: str, options: _ReadAs) -> Iterator[_Opened]:
    with extra("usage"):
        import duckdb

    from costlab.monitoring import open_log
    from costlab.monitoring.importers import duckdb_reason
    from costlab.monitoring.report.build import STEPS

    for one in log:
        if "://" in one and not Path(one).exists():
            raise InvalidValueError("log", "a path of this machine; --engine spark reads addresses", one)
    paths = [Path(one) for one in log]
    with _progress(name, paths, STEPS + 2) as bar:
        opened = open_log(
            paths,
            format=options.format,
            columns=options.columns,
            cached_apart=options.cached_apart,
            max_bad_rows=options.max_bad_rows,
            decimal=options.decimal,
            day_first=options.day_first,
        )
        bar.follow(opened.connection)
        try:
            yield opened, bar.step, opened.require_unchanged
        except duckdb.Error as error:
            raise LogError(f"{name}: {duckdb_reason(error)}") from error


@contextmanager
def _on_spark(log: Sequence[str], name: str, options: _ReadAs, master: str | None) -> Iterator[_Opened]:
    with extra("usage"):
        import narwhals  # noqa: F401 - what is missing is said before Spark starts

    from costlab.monitoring import open_spark_log, spark_errors, spark_session

    with warnings.catch_warnings():
        # Nothing of pandas is used.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        session = spark_session(master)
        try:
            opened = open_spark_log(
                log,
                session,
                columns=options.columns,
                cached_apart=options.cached_apart,
                max_bad_rows=options.max_bad_rows,
            )
            with spark_errors(name):
                yield opened, lambda: None, lambda: None  # Spark itself complains of a file that changed
        finally:
            session.stop()


def _not_in_focus(report: Report, gpus_contained: bool) -> str:
    """What a reader of the rows has to know of what is not in them."""
    words = []
    if report.total.unpriced_requests:
        one, many = "request without a known cost is", "requests without a known cost are"
        words.append(f"{counted(report.total.unpriced_requests, one, many)} in no row")
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
    from rich.markup import escape
    from rich.progress import Progress

    ended = threading.Event()
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {escape(printable(name))}", total=steps)

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
        say(f"wrote {folder / name}", err=True)


def serve(
    ledger: Annotated[Path, typer.Argument(help="The ledger that the service writes.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 takes a free one.")] = 9464,
    every_s: Annotated[float, typer.Option(metavar="S", help="Seconds between two looks.")] = 1.0,
    scrape_interval_s: Annotated[
        float, typer.Option(metavar="S", help="Seconds between two scrapes, at most; new series are 0 for so long.")
    ] = 15.0,
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
    hook = RequestMetrics(registry, scrape_interval_s=scrape_interval_s)
    if readings is not None and usd_per_hour is not None:
        GpuMetrics(registry, readings, usd_per_hour, budget_usd_per_day=budget_usd_per_day)
    ended = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: ended.set())
    with Ledger(ledger, create=False, flush_every_s=None) as opened:  # it is read only
        follower = LedgerFollower(opened, hook)
        with metrics_server(host, port, registry) as server:
            say(f"metrics at http://{host}:{server.server_port}/metrics", err=True)
            while not ended.wait(every_s):
                skipped = follower.skipped
                follower.poll()
                if follower.skipped > skipped:
                    say(f"rows left out: {follower.skipped}, the last: {follower.last_error}", err=True)


def _gpu_source(name: str) -> Callable[[], Sequence[GpuReading]] | None:
    from costlab.monitoring import dcgm_readings, nvml_readings

    if name == "none":
        return None
    if name == "nvml":
        with extra("monitoring"):
            import pynvml  # noqa: F401 - what is missing is said now, not at the first scrape
        return nvml_readings
    if not name.startswith(("http://", "https://")) or "@" in name or shown_address(name) == MASKED:
        shown = shown_address(name) if scheme(name) or "@" in name else name
        raise InvalidValueError("gpus", "none, nvml, or the address of DCGM's exporter, without a password", shown)
    return lambda: dcgm_readings(_fetched(name))


def _fetched(address: str) -> str:
    """What an exporter answers. One that is too long or too slow is an error: a scrape of ours waits for it."""
    from urllib.request import urlopen

    from costlab.monitoring import GpuReadingError

    ends, body = time.monotonic() + DCGM_TIMEOUT_S, bytearray()
    with urlopen(address, timeout=DCGM_TIMEOUT_S) as answer:  # noqa: S310 - http or https, as was checked
        while part := answer.read1(2**16):
            body += part
            if len(body) > MAX_DCGM_BYTES:
                raise GpuReadingError(f"the exporter answers more than {MAX_DCGM_BYTES:,} bytes")
            if time.monotonic() > ends:
                raise GpuReadingError(f"the exporter's answer takes more than {DCGM_TIMEOUT_S:g} s")
    return body.decode("utf-8", "replace")
