"""``costlab cache``: how big a response cache should be, and whether it pays."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from costlab import catalog
from costlab._internal import checks
from costlab.cli.shared import AsOf, JsonFlag, print_json, print_rows, say
from costlab.errors import PriceNotFoundError
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH

if TYPE_CHECKING:
    from costlab.cache.economics import CacheSize


def size(
    requests: Annotated[float, typer.Option(metavar="N", help="Requests a day.")],
    unique: Annotated[int, typer.Option(metavar="N", help="Different questions that are ever asked.")],
    zipf: Annotated[float, typer.Option(metavar="S", help="Exponent of their popularity; 0: all alike.")],
    call_usd: Annotated[
        float, typer.Option(metavar="USD", help="Price of a call; the lesson's large model has 0.03.")
    ] = 0.03,
    entry_kb: Annotated[float, typer.Option(metavar="KB", help="Memory of an answer with its key and vector.")] = 4.0,
    days: Annotated[
        float, typer.Option(metavar="D", help="Days until answers are out of date and all are dropped.")
    ] = LESSON_DAYS_PER_MONTH,
    embedding_usd: Annotated[float, typer.Option(metavar="USD", help="Price of an embedding.")] = 0.0,
    false_hits: Annotated[
        float, typer.Option(metavar="FRACTION", help="Share of the hits that answer another question.")
    ] = 0.0,
    wrong_usd: Annotated[float, typer.Option(metavar="USD", help="Cost of a wrong answer.")] = 0.0,
    store: Annotated[str | None, typer.Option(help="Only this store of the catalogue.")] = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """How big a cache should be, and whether it pays, at every store price known."""
    from costlab.cache.economics import CacheCosts, ZipfTraffic, best_cache_size

    traffic = ZipfTraffic(unique, zipf)
    entry_bytes = checks.positive("entry_kb", entry_kb) * 1000
    checks.positive("requests", requests)
    checks.positive("days", days)
    costs = CacheCosts(
        call_usd=call_usd, embedding_usd=embedding_usd, false_hit_fraction=false_hits, wrong_answer_usd=wrong_usd
    )
    prices = catalog.current_store_prices(as_of) if store is None else (catalog.store_price(store, as_of),)
    if not prices:
        raise PriceNotFoundError(f"no price of a store on or before {as_of}; `costlab prices` lists all")
    asked = {"requests": requests, "hours": HOURS_PER_DAY, "lifetime_requests": requests * days}
    best = []
    for price in prices:
        # Every look-up is charged as if it brought a whole answer: a miss moves less.
        moved_usd = price.usd_per_transfer(entry_bytes)
        priced = replace(costs, lookup_usd=moved_usd, write_usd=moved_usd)
        best.append(best_cache_size(traffic, priced, price, entry_bytes=entry_bytes, **asked))
    if as_json:
        rows = [{"store": asdict(p), **asdict(b)} for p, b in zip(prices, best, strict=True)]
        question = {"requests_per_day": requests, "unique": unique, "zipf": zipf, "entry_kb": entry_kb, "days": days}
        print_json({**question, "sizes": rows})
        return
    numbers = ("answers", "GB", "hits", "needed", "store usd/day", "net usd/day", "saved")
    print_rows(
        ("store", *numbers, "pays", "kind, checked"),
        map(_row, prices, best),
        numbers=numbers,
        unbroken=("store",),
        title=f"{requests:,.10g} requests a day, {unique:,} different, exponent {zipf:g}",
        width=140,
    )
    say(
        f"Answers of {entry_kb:g} kB, good for {days:g} days; a call costs {call_usd:g} USD.\n"
        "hits: of all requests, from an empty cache. needed: the share of hits that pays. lesson = the course's claim."
    )


def _row(price: catalog.StorePrice, size: CacheSize) -> tuple[str, ...]:
    saving, needed = size.saving, size.break_even_hit_rate
    return (
        price.name,
        f"{size.entries:,}",
        f"{size.gb:,.3g}",
        f"{saving.hit_rate_fraction:.1%}",
        f"{needed:.2%}" if needed <= 1 else "never",
        f"{saving.store_usd:,.2f}",
        f"{saving.net_usd:,.2f}",
        f"{saving.saving_fraction:.1%}" if saving.saving_fraction > -10 else "< -1000%",
        "yes" if size.pays else "no",
        f"{price.kind}, {price.checked}",
    )
