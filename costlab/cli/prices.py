"""``costlab gpu`` and ``costlab prices``: the catalogue, and bills from it."""

from datetime import date
from typing import Annotated

import typer

from costlab import catalog
from costlab._internal import checks
from costlab.calculator import MonthlyCost, monthly_cost, saving_fraction
from costlab.cli.shared import AsOf, JsonFlag, Snapshot, print_json, print_rows
from costlab.errors import PriceNotFoundError
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH


def gpu(
    name: Annotated[str, typer.Argument(help="GPU name or alias: A10G, 'A100 80GB', H100 ...")],
    count: Annotated[int, typer.Option(metavar="N", help="Number of GPUs.")] = 1,
    hours: Annotated[float, typer.Option(metavar="H", help="Hours per day.")] = HOURS_PER_DAY,
    days: Annotated[
        float, typer.Option(metavar="D", help="Days per month; the lesson has 30.")
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
        print_json({"gpu": spec, "bills": bills})
        return
    month = f"{bills[0].gpu_hours:,.10g} GPU-hours ({hours:g} h a day, {days:g} days a month)"
    rows = []
    for bill in bills:
        p = bill.price
        hour, total, when = f"{p.usd_per_hour:,.4f}", f"{bill.usd:,.2f}", f"{p.kind}, {p.checked}"
        rows.append((p.snapshot, p.pricing, p.place, hour, total, _saved(bill, bills), when))
    numbers = ("usd per GPU-hour", "usd per month", "saved")
    headings = ("table", "pricing", "from", *numbers, "kind, checked")
    print_rows(headings, rows, numbers=numbers, title=f"{count} x {spec.name}: {month}")
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


def prices(
    stale: Annotated[
        int | None, typer.Option(metavar="DAYS", help="Only rows older than this; exit status 1 if any.")
    ] = None,
    gpu_name: Annotated[str | None, typer.Option("--gpu", help="Only this GPU, and no stores.")] = None,
    snapshot: Snapshot = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """The price catalogue: every current row of GPUs and stores with kind, date and source."""
    wanted = None if gpu_name is None else catalog.gpu(gpu_name).name
    if snapshot is not None:
        checks.one_of("snapshot", snapshot, catalog.SNAPSHOTS)
    if stale is None:
        rows, stores = catalog.current_gpu_prices(as_of=as_of), catalog.current_store_prices(as_of)
    else:
        today = catalog.parse_day("as_of", as_of) or date.today()
        rows, stores = catalog.stale_gpu_prices(stale, today), catalog.stale_store_prices(stale, today)
    rows = tuple(price for price in rows if wanted in (None, price.gpu) and snapshot in (None, price.snapshot))
    stores = tuple(price for price in stores if wanted is None and snapshot in (None, price.snapshot))
    if as_json:
        print_json({"stale_days": stale, "prices": rows, "store_prices": stores})
    else:
        if rows or not stores:
            _print_gpu_prices(rows)
        if stores:
            _print_store_prices(stores)
        if stale is not None:
            typer.echo(f"{len(rows) + len(stores)} prices were checked more than {stale} days ago")
    if stale is not None and (rows or stores):
        raise typer.Exit(1)


def _print_gpu_prices(prices: tuple[catalog.GpuPrice, ...]) -> None:
    rows = []
    for p in prices:
        hour, source = f"{p.usd_per_hour:,.4f}", p.source_url or p.note
        rows.append((p.gpu, p.pricing, p.place, p.instance, hour, p.kind, str(p.checked), source))
    headings = ("gpu", "pricing", "from", "instance", "usd per GPU-hour", "kind", "checked", "source")
    print_rows(headings, rows, numbers=("usd per GPU-hour",), width=160)


def _print_store_prices(prices: tuple[catalog.StorePrice, ...]) -> None:
    rows = []
    for p in prices:
        usd, moved = f"{p.usd:,.4g} per {p.per.replace('_', '-').replace('gb', 'GB')}", f"{p.usd_per_million_kb:,.4f}"
        place, source = f"{p.provider}/{p.region}", p.source_url or p.note
        rows.append((p.name, place, usd, moved, p.kind, str(p.checked), source))
    headings = ("store", "from", "usd", "usd per million kB", "kind", "checked", "source")
    print_rows(headings, rows, numbers=("usd", "usd per million kB"), width=160)
