"""``costlab gpu`` and ``costlab prices``: the catalogue, and bills from it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Annotated

import typer

from costlab import catalog
from costlab._internal import checks
from costlab.calculator import MonthlyCost, commitment_break_even, monthly_cost, saving_fraction
from costlab.cli.shared import AsOf, JsonFlag, Snapshot, print_json, print_rows, say
from costlab.errors import PriceNotFoundError
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH


def gpu(
    name: Annotated[str, typer.Argument(help="GPU name or alias: A10G, 'A100 80GB', H100 ...")],
    count: Annotated[int, typer.Option(metavar="N", help="Number of GPUs.")] = 1,
    hours: Annotated[float, typer.Option(metavar="H", help="Hours used per day.")] = HOURS_PER_DAY,
    days: Annotated[
        float, typer.Option(metavar="D", help="Days used per month; the lesson has 30.")
    ] = LESSON_DAYS_PER_MONTH,
    gpus_per_replica: Annotated[int, typer.Option(metavar="N", help="GPUs that must sit in one machine.")] = 1,
    pricing: Annotated[str | None, typer.Option(help="on_demand, spot, reserved_1y or reserved_3y.")] = None,
    snapshot: Snapshot = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider: aws, gcp ...")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region.")] = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """The monthly bill of a number of GPUs, in whole machines, at every price known, with source and date."""
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

    def month(pricing: str, table: str, seller: str, place: str, zone: str | None = None) -> MonthlyCost:
        return monthly_cost(spec.name, count, pricing, hours, days, table, seller, place, as_of, zone, gpus_per_replica)

    # Of a GPU that is sold in machines of several sizes there are several rows, and one bill.
    offers = dict.fromkeys((p.pricing, p.snapshot, p.provider, p.region, p.zone) for p in prices)
    bills = [month(*offer) for offer in offers]
    if as_json:
        print_json({"gpu": spec, "bills": bills})
        return
    on_demand: dict[tuple[str, ...], MonthlyCost] = {}
    for place in dict.fromkeys(map(_place, bills)):
        with suppress(PriceNotFoundError):
            on_demand[place] = month("on_demand", *place)
    rows = []
    for bill in bills:
        p = bill.price
        machines = " + ".join(f"{some.count} x {some.size.name}" for some in bill.machines if some.size.name)
        hour, total = f"{p.usd_per_hour:,.4f}", f"{bill.usd:,.2f}"
        unused, when = f"{bill.unused_usd:,.2f}" if bill.unused_usd else "", f"{p.kind}, {p.checked}"
        against = _compared(bill, on_demand.get(_place(bill)))
        rows.append((p.pricing, p.place, machines, hour, total, unused, against, when))
    numbers = ("usd per GPU-hour", "usd per month", "of it unused", "vs on demand")
    headings = ("pricing", "from", "machines", *numbers, "kind, checked")
    used = f"{bills[0].used_gpu_hours:,.10g} GPU-hours ({hours:g} h a day, {days:g} days a month)"
    print_rows(headings, rows, numbers=numbers, title=f"{count} x {spec.name}: {used}", width=160)
    say("On demand is that of the same table and region; lesson = the course's claim.")
    for line in _surprises(bills, on_demand, gpus_per_replica):
        say(line)


def _place(bill: MonthlyCost) -> tuple[str, str, str]:
    return bill.price.snapshot, bill.price.provider, bill.price.region


def _compared(bill: MonthlyCost, on_demand: MonthlyCost | None) -> str:
    if on_demand is None or bill.price.pricing == "on_demand":
        return ""
    saved = saving_fraction(on_demand.usd, bill.usd)
    return f"{abs(saved):.1%} {'less' if saved >= 0 else 'more'}"


def _surprises(
    bills: list[MonthlyCost], on_demand: Mapping[tuple[str, ...], MonthlyCost], gpus_per_replica: int
) -> Iterator[str]:
    """What the reader of a price per GPU-hour does not expect."""
    most = max(bills, key=lambda bill: bill.unused_gpus_usd)
    if most.unused_gpus_usd:
        machines = " + ".join(
            f"{some.count} x {some.size.name or f'{some.size.gpus}-GPU machine'}" for some in most.machines
        )
        paid = f"{most.paid_gpus} GPUs are paid where {most.gpus} {'is' if most.gpus == 1 else 'are'} asked for"
        yield f"Machines are sold whole: {paid} ({machines}), {most.unused_gpus_usd:,.2f} USD of it for nothing."
    committed = [bill for bill in bills if bill.price.pricing in catalog.COMMITMENTS]
    for bill in committed[:1]:
        paid_hours = bill.gpu_hours / bill.paid_gpus
        used = bill.used_gpu_hours / bill.gpus / paid_hours
        yield f"Reserved: paid for all {paid_hours:,.10g} hours of the month, of which {used:.1%} are used."
    for bill in committed:
        if (other := on_demand.get(_place(bill))) is not None:
            share = commitment_break_even(other.usd / other.gpu_hours, bill.usd / bill.gpu_hours)
            pays = f"pays from {share:.1%} of them on" if share < 1 else "never pays"
            yield f"  {bill.price.pricing} at {bill.price.place} {pays}, against on demand."
    rented = {some.size for bill in bills for some in bill.machines}
    if split := sorted({size.name for size in rented if size.gpus < gpus_per_replica}):
        few = f"{', '.join(split)} has fewer than {gpus_per_replica} GPUs, and no larger machine is known there"
        yield f"{few}: a replica takes several."
    if any(not size.name for size in rented):
        yield "Where no machine is named, GPUs are assumed to be sold in any number."


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
            say(f"{len(rows) + len(stores)} prices were checked more than {stale} days ago")
    if stale is not None and (rows or stores):
        raise typer.Exit(1)


def _print_gpu_prices(prices: tuple[catalog.GpuPrice, ...]) -> None:
    rows = []
    for p in prices:
        hour, source = f"{p.usd_per_hour:,.4f}", p.source_url or p.note
        machine = "" if p.instance_gpus is None else f"{p.instance} with {p.instance_gpus}"
        rows.append((p.gpu, p.pricing, p.place, machine, hour, p.kind, str(p.checked), source))
    headings = ("gpu", "pricing", "from", "sold as", "usd per GPU-hour", "kind", "checked", "source")
    print_rows(headings, rows, numbers=("usd per GPU-hour",), width=160)


def _print_store_prices(prices: tuple[catalog.StorePrice, ...]) -> None:
    rows = []
    for p in prices:
        usd, moved = f"{p.usd:,.4g} per {p.per.replace('_', '-').replace('gb', 'GB')}", f"{p.usd_per_million_kb:,.4f}"
        place, source = f"{p.provider}/{p.region}", p.source_url or p.note
        rows.append((p.name, place, usd, moved, p.kind, str(p.checked), source))
    headings = ("store", "from", "usd", "usd per million kB", "kind", "checked", "source")
    print_rows(headings, rows, numbers=("usd", "usd per million kB"), width=160)
