"""The ``costlab`` command: parse, call, print.

With ``--json`` each command prints one JSON object and nothing else. Errors take one line on stderr, exit status 2.
"""

import os
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from costlab import __version__, catalog, checks, cli_cache
from costlab.calculator import MonthlyCost, monthly_cost, saving_fraction
from costlab.cli_options import AsOf, JsonFlag, number, print_json, whole
from costlab.errors import CostlabError, PriceNotFoundError
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an error that nobody foresaw is for a bug report: plain, complete, copyable
    help="What an AI system costs, and why.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure on this machine; --record keeps the result for the lessons.")
app.add_typer(bench, name="bench")
app.add_typer(cli_cache.app, name="cache")
bench.command("semantic")(cli_cache.bench_semantic)

#: Wrong options and arguments. Newer releases of typer carry their own copy of click, so click's class is not named.
UsageError: Any = typer.BadParameter.__bases__[0]


Snapshot = Annotated[str | None, typer.Option(help="Only the rows of this table: lesson or list.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        typer.echo(f"costlab {__version__}")
        raise typer.Exit


@app.command()
def gpu(
    name: Annotated[str, typer.Argument(help="GPU name or alias: A10G, 'A100 80GB', H100 ...")],
    count: Annotated[int, typer.Option(parser=whole, metavar="N", help="Number of GPUs.")] = 1,
    hours: Annotated[float, typer.Option(parser=number, metavar="H", help="Hours per day.")] = HOURS_PER_DAY,
    days: Annotated[
        float, typer.Option(parser=number, metavar="D", help="Days per month; the lesson has 30.")
    ] = LESSON_DAYS_PER_MONTH,
    pricing: Annotated[str | None, typer.Option(help="on_demand, spot, reserved_1y or reserved_3y.")] = None,
    snapshot: Snapshot = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider: aws, gcp ...")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region.")] = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """The monthly bill of a number of GPUs at every price known, with source and date."""
    spec = catalog.gpu(name)
    if pricing is not None:
        checks.one_of("pricing", pricing, catalog.PRICINGS)
    prices = [
        price
        for price in catalog.current_gpu_prices(snapshot, as_of)
        if price.gpu == spec.name
        and pricing in (None, price.pricing)
        and provider in (None, price.provider)
        and region in (None, price.region)
    ]
    if not prices:
        asked = {"pricing": pricing, "snapshot": snapshot, "provider": provider, "region": region, "as_of": as_of}
        given = "".join(f", {key}={value!r}" for key, value in asked.items() if value is not None)
        raise PriceNotFoundError(f"no price for {spec.name!r}{given}; `costlab prices --gpu {spec.name!r}` lists all")
    bills = [
        monthly_cost(spec.name, count, p.pricing, hours, days, p.snapshot, p.provider, p.region, as_of, p.zone)
        for p in prices
    ]
    if as_json:
        print_json({"gpu": asdict(spec), "bills": [_bill_json(bill) for bill in bills]})
        return
    month = f"{bills[0].gpu_hours:,.10g} GPU-hours ({hours:g} h a day, {days:g} days a month)"
    table = Table(title=f"{count} x {spec.name}: {month}", title_justify="left")
    for heading in ("table", "pricing", "from"):
        table.add_column(heading, overflow="fold")
    for heading in ("usd per GPU-hour", "usd per month", "saved"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("kind, checked", overflow="fold")
    for bill in bills:
        p = bill.price
        hour, month_usd, when = f"{p.usd_per_hour:,.4f}", f"{bill.usd:,.2f}", f"{p.kind}, {p.checked}"
        table.add_row(p.snapshot, p.pricing, p.place, hour, month_usd, _saved(bill, bills), when)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    typer.echo(
        "saved: against on-demand of the same table and region. lesson = the course's claim, list = list prices."
    )


def _saved(bill: MonthlyCost, bills: list[MonthlyCost]) -> str:
    place = (bill.price.snapshot, bill.price.provider, bill.price.region)
    for other in bills:
        p = other.price
        if p.pricing == "on_demand" and (p.snapshot, p.provider, p.region) == place and p != bill.price:
            return f"{saving_fraction(other.usd, bill.usd):.1%}"
    return ""


def _bill_json(bill: MonthlyCost) -> dict[str, Any]:
    return asdict(bill)


@app.command()
def prices(
    stale: Annotated[
        int | None, typer.Option(parser=whole, metavar="DAYS", help="Only rows older than this; exit status 1 if any.")
    ] = None,
    gpu_name: Annotated[str | None, typer.Option("--gpu", help="Only this GPU.")] = None,
    snapshot: Snapshot = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """The price catalogue: every current row with kind, date and source."""
    wanted = None if gpu_name is None else catalog.gpu(gpu_name).name
    if stale is None:
        rows = catalog.current_gpu_prices(snapshot, as_of)
    else:
        if snapshot is not None:
            checks.one_of("snapshot", snapshot, catalog.SNAPSHOTS)
        today = catalog.parse_day("as_of", as_of) or date.today()
        rows = tuple(p for p in catalog.stale_gpu_prices(stale, today) if snapshot in (None, p.snapshot))
    rows = tuple(price for price in rows if wanted in (None, price.gpu))
    if as_json:
        print_json({"stale_days": stale, "prices": [asdict(price) for price in rows]})
    else:
        _print_prices(rows)
        if stale is not None:
            typer.echo(f"{len(rows)} prices were checked more than {stale} days ago")
    if stale is not None and rows:
        raise typer.Exit(1)


def _print_prices(rows: tuple[catalog.GpuPrice, ...]) -> None:
    table = Table()
    for heading in ("gpu", "pricing", "from", "instance"):
        table.add_column(heading, overflow="fold")
    table.add_column("usd per GPU-hour", justify="right")
    for heading in ("kind", "checked", "source"):
        table.add_column(heading, overflow="fold")
    for p in rows:
        hour, source = f"{p.usd_per_hour:,.4f}", p.source_url or p.note
        table.add_row(p.gpu, p.pricing, p.place, p.instance, hour, p.kind, str(p.checked), source)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@bench.command("device")
def bench_device(
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the GPU if there is one.")] = None,
    repeats: Annotated[int, typer.Option(parser=whole, metavar="N", help="Timed repetitions, at least 5.")] = 9,
    copy_mib: Annotated[int | None, typer.Option(parser=whole, metavar="MIB", help="MiB copied.")] = None,
    size: Annotated[int | None, typer.Option(parser=whole, metavar="ROWS", help="Rows of the matrices.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """How fast this device copies memory and multiplies matrices (needs torch)."""
    from costlab import recordings
    from costlab.devices import measure_device

    result = measure_device(device, repeats=repeats, copy_mib=copy_mib, size=size)
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(f"{result.device_name} ({result.recorded_on}, median of {repeats})")
        for row in result.rows:
            spread = f"{row['least']:.4g} to {row['greatest']:.4g}"
            typer.echo(f"{row['quantity']:<12} {row['median']:>10.4g} {row['unit']:<8} ({spread})")
    if record:
        path = recordings.save(result, folder)
        typer.echo(f"recorded in {path.name}", err=True)


@bench.command("traffic")
def bench_traffic(
    record: Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """What the Azure traces say of real traffic: rate, bursts, lengths (from COSTLAB_DATA_DIR, or fetched)."""
    from costlab import recordings
    from costlab.traces import measure_traffic

    result = measure_traffic()
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(result.device_name)
        for row in result.rows:
            middle = row["levels"].index(0.5)
            tokens = f"{row['context_tokens'][middle]:g} and {row['generated_tokens'][middle]:g} tokens in the median"
            rate = f"{row['requests_per_s']:.2f} requests/s, gaps vary by {row['cv']:.2f} of their mean"
            typer.echo(f"{row['kind']:<13} {row['requests']:>7,} requests, {rate}, {tokens}")
    if record:
        path = recordings.save(result, folder)
        typer.echo(f"recorded in {path.name}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error costlab foresaw is one line on stderr and exit status 2."""
    try:
        status = app(args=arguments, prog_name="costlab", standalone_mode=False)
    except CostlabError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(" ".join(error.format_message().split()))
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has seen enough (`costlab prices | head`); the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(str(error))
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(2)
