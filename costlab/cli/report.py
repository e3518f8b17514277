"""``costlab report``: what a log of requests cost, and what to do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import require
from costlab.cli.shared import AsOf, JsonFlag, print_json, print_table

__all__ = ["report"]

#: Files from this size on take long enough for a progress bar.
LARGE_BYTES = 50 * 10**6

Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="The file's name for one of our fields; may be repeated."),
]


def report(
    log: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON: own columns, LiteLLM spend logs, or OTel spans.")],
    gpu_hours: Annotated[Path | None, typer.Option(metavar="FILE", help="A log of GPU hours, for idle waste.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--format", help="columns, litellm or otel; by default what it looks like.")
    ] = None,
    column: Column = None,
    cached_apart: Annotated[
        bool, typer.Option("--cached-apart", help="The log's input tokens leave out the cached ones.")
    ] = False,
    gpu_bill_apart: Annotated[
        bool, typer.Option("--gpu-bill-apart", help="The requests' costs leave out the GPUs: add their bill.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML file too.")] = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """What a log of requests cost: totals, unit costs, trend, waste, and the three largest savings."""
    from costlab.monitoring.report import report_html

    columns = _mapping(column)
    with nullcontext() if html is None else atomic_write(html) as page:
        found, opened = _read(log, gpu_hours, log_format, columns, cached_apart, gpu_bill_apart, as_of)
        if page is not None:
            page.write_text(report_html(found, log.name), encoding="utf-8")
    if html is not None:
        typer.echo(f"wrote {html}", err=True)
    if as_json:
        print_json({"log": log.name, "format": opened.format, **found.as_dict()})
    else:
        _print(found, log.name)


def _read(
    log: Path,
    gpu_hours: Path | None,
    log_format: str | None,
    columns: dict[str, str] | None,
    cached_apart: bool,
    gpu_bill_apart: bool,
    as_of: str | None,
) -> tuple[Any, Any]:
    """The report of a log, and the log."""
    from costlab.errors import LogError
    from costlab.monitoring.importers import one_line, open_gpu_hours, open_log
    from costlab.monitoring.pricing import fill_costs
    from costlab.monitoring.report import build_report
    from costlab.monitoring.report.build import STEPS

    opened = open_log(log, format=log_format, columns=columns, cached_apart=cached_apart)
    hours = None if gpu_hours is None else open_gpu_hours(gpu_hours)
    duckdb = require("duckdb", "usage")
    try:
        with _progress(log, opened.connection, STEPS + 1) as step:
            filled = fill_costs(opened.frame, as_of)
            step()
            notes = list(opened.notes)
            if filled.prices:
                snapshot = filled.prices[0].snapshot
                models = ", ".join(price.model for price in filled.prices)
                notes.append(
                    f"{filled.requests_priced:,} requests without a cost were priced from the catalogue "
                    f"(genai-prices {snapshot.version}, {filled.prices[0].as_of}): {models}"
                )
            found = build_report(
                filled.frame,
                hours,
                gpu_bill_apart=gpu_bill_apart,
                notes=notes,
                unpriced_models=filled.unknown,
                step=step,
            )
    except duckdb.Error as error:
        raise LogError(f"{log.name}: {one_line(error)}") from error
    return found, opened


def _mapping(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    columns = {}
    for pair in pairs:
        field, separator, name = pair.partition("=")
        if not (field and separator and name):
            raise typer.BadParameter(f"must be FIELD=NAME, got {pair!r}", param_hint="'--column'")
        columns[field] = name
    return columns


@contextmanager
def _progress(log: Path, connection: Any, steps: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr while a large file is read, where a person is looking; what it yields ends a step."""
    if log.stat().st_size < LARGE_BYTES or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    done, ended = [0], threading.Event()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {log.name}", total=steps)

        def follow() -> None:
            while not ended.wait(0.1):
                part = max(0.0, connection.query_progress()) / 100
                bar.update(task, completed=done[0] + min(part, 1.0))

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()

        def step() -> None:
            done[0] += 1

        try:
            yield step
        finally:
            ended.set()
            watcher.join()


def _print(found: Any, name: str) -> None:
    from costlab.monitoring.report.text import HEADINGS, facts, group_row, moment, usd

    total = found.total
    typer.echo(f"{name}: {total.requests:,} requests, {moment(total.first_s)} to {moment(total.last_s)} UTC")
    for what, words in facts(found):
        _say(f"  {what}: {words}", 4)
    for kind, groups in (("tier", found.tiers), ("model", found.models), ("tenant", found.tenants)):
        if len(groups) == 1 and not groups[0].key[0]:
            continue  # a log of one nameless tenant
        if kind == "model" and [one.key for one in groups] == [one.key for one in found.tiers]:
            continue  # the model stands for the tier
        table = Table(title=f"by {kind}", title_justify="left")
        table.add_column(kind, overflow="fold")
        for heading in HEADINGS:
            table.add_column(heading, justify="right", overflow="fold")
        for one in groups[:10]:
            table.add_row(escape(one.key[0]) or "(none)", *group_row(one, total))
        print_table(table)
        if len(groups) > 10:
            typer.echo(f"  and {len(groups) - 10:,} more, each cheaper")
    _print_trend(found)
    if found.gpus:
        table = Table(title="GPUs", title_justify="left")
        table.add_column("GPU", overflow="fold")
        for heading in ("hours", "cost", "utilization", "idle hours", "idle cost"):
            table.add_column(heading, justify="right")
        for gpu in found.gpus[:10]:
            busy = "unknown" if gpu.utilization_fraction is None else f"{gpu.utilization_fraction:.0%}"
            figures = (f"{gpu.hours:,.1f}", usd(gpu.cost_usd), busy, f"{gpu.idle_hours:,.1f}", usd(gpu.idle_cost_usd))
            table.add_row(escape(str(gpu.key[0])), *figures)
        print_table(table)
    typer.echo("largest savings:" if found.savings else "no saving found that is worth a line")
    for number, one in enumerate(found.savings, 1):
        monthly = "" if one.usd_per_month is None else f" ({usd(one.usd_per_month)} a month)"
        _say(f"  {number}. {usd(one.usd)}{monthly}: {one.action}", 5)
        _say(f"     {one.how}", 5)
    if len(found.savings) > 1:
        typer.echo("  they overlap: the same dollar may be in two of them")
    for note in found.notes:
        _say(f"note: {note}", 6)


def _say(line: str, indent: int) -> None:
    """A line, broken between words where it is longer than the terminal is wide."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns)
    hang = " " * indent
    typer.echo(textwrap.fill(line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False))


def _print_trend(found: Any) -> None:
    from costlab.monitoring.report.text import moment, usd

    most = max(one.cost_usd for one in found.trend)
    shown = found.trend[-31:]
    older = "" if len(shown) == len(found.trend) else f", the last {len(shown)} of {len(found.trend)}"
    typer.echo(f"by {found.trend_unit} (UTC){older}")
    for one in shown:
        bar = "#" * round(30 * one.cost_usd / most) if most else ""
        when = moment(one.key[0], found.trend_unit)
        typer.echo(f"  {when}  {one.requests:>10,} requests  {usd(one.cost_usd):>12}  {bar}")
