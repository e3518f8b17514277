"""``costlab cache``: how big a response cache should be, and whether it pays."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from costlab import catalog, checks
from costlab.cache.economics import CacheCosts, CacheSize, ZipfTraffic, best_cache_size
from costlab.cli_options import AsOf, JsonFlag, number, print_json, whole
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH

__all__ = ["app", "bench_semantic"]

app = typer.Typer(no_args_is_help=True, help="What a response cache saves, net of what it costs.")


@app.callback()
def _root() -> None:
    """Keep ``size`` a command of its own: typer would make a single command the whole of ``costlab cache``."""


@app.command()
def size(
    requests: Annotated[float, typer.Option(parser=number, metavar="N", help="Requests a day.")],
    unique: Annotated[int, typer.Option(parser=whole, metavar="N", help="Different questions that are ever asked.")],
    zipf: Annotated[
        float, typer.Option(parser=number, metavar="S", help="Exponent of their popularity; 0: all alike.")
    ],
    call_usd: Annotated[
        float, typer.Option(parser=number, metavar="USD", help="Price of a call; the lesson's large model has 0.03.")
    ] = 0.03,
    entry_kb: Annotated[
        float, typer.Option(parser=number, metavar="KB", help="Memory of an answer with its key and vector.")
    ] = 4.0,
    days: Annotated[
        float, typer.Option(parser=number, metavar="D", help="Days until answers are out of date and all are dropped.")
    ] = LESSON_DAYS_PER_MONTH,
    embedding_usd: Annotated[float, typer.Option(parser=number, metavar="USD", help="Price of an embedding.")] = 0.0,
    false_hits: Annotated[
        float, typer.Option(parser=number, metavar="FRACTION", help="Share of the hits that answer another question.")
    ] = 0.0,
    wrong_usd: Annotated[float, typer.Option(parser=number, metavar="USD", help="Cost of a wrong answer.")] = 0.0,
    store: Annotated[str | None, typer.Option(help="Only this store of the catalogue.")] = None,
    as_of: AsOf = None,
    as_json: JsonFlag = False,
) -> None:
    """How big a cache should be, and whether it pays, at every store price known."""
    traffic = ZipfTraffic.of(unique, zipf)
    entry_bytes = checks.positive("entry_kb", entry_kb) * 1000
    checks.positive("requests", requests)
    checks.positive("days", days)
    costs = CacheCosts(
        call_usd=call_usd, embedding_usd=embedding_usd, false_hit_fraction=false_hits, wrong_answer_usd=wrong_usd
    )
    prices = catalog.current_store_prices(as_of) if store is None else (catalog.store_price(store, as_of),)
    best = []
    for price in prices:
        # Every look-up is charged as if it brought a whole answer: a miss moves less.
        moved_usd = price.usd_per_transfer(entry_bytes)
        priced = replace(costs, lookup_usd=moved_usd, write_usd=moved_usd)
        best.append(
            best_cache_size(
                traffic,
                priced,
                price,
                requests=requests,
                hours=HOURS_PER_DAY,
                entry_bytes=entry_bytes,
                lifetime_requests=requests * days,
            )
        )
    if as_json:
        rows = [{"store": asdict(p), **_finite(asdict(b))} for p, b in zip(prices, best, strict=True)]
        asked = {"requests_per_day": requests, "unique": unique, "zipf": zipf, "entry_kb": entry_kb, "days": days}
        print_json({**asked, "sizes": rows})
        return
    _print(prices, best, f"{requests:,.10g} requests a day, {unique:,} different, exponent {zipf:g}")
    typer.echo(
        f"Answers of {entry_kb:g} kB, good for {days:g} days; a call costs {call_usd:g} USD.\n"
        "hits: of all requests, from an empty cache. needed: the share of hits that pays. lesson = the course's claim."
    )


def _print(prices: tuple[catalog.StorePrice, ...], best: list[CacheSize], title: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("store", no_wrap=True)
    for heading in ("answers", "GB", "hits", "needed", "store usd/day", "net usd/day", "saved"):
        table.add_column(heading, justify="right", overflow="fold")
    for heading in ("pays", "kind, checked"):
        table.add_column(heading, overflow="fold")
    for price, found in zip(prices, best, strict=True):
        saving, needed = found.saving, found.break_even_hit_rate
        table.add_row(
            price.name,
            f"{found.entries:,}",
            f"{found.gb:,.3g}",
            f"{saving.hit_rate_fraction:.1%}",
            f"{needed:.2%}" if needed <= 1 else "never",
            f"{saving.store_usd:,.2f}",
            f"{saving.net_usd:,.2f}",
            f"{saving.saving_fraction:.1%}",
            "yes" if found.pays else "no",
            f"{price.kind}, {price.checked}",
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def bench_semantic(
    splits: Annotated[int, typer.Option(parser=whole, metavar="N", help="Random divisions of each set.")] = 200,
    seed: Annotated[int, typer.Option(parser=whole, metavar="SEED", help="Of everything random.")] = 4,
    published: Annotated[bool, typer.Option(help="CLINC150 and BANKING77 too.")] = True,
    record: Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Semantic hits: right and wrong ones, and whether a fitted threshold keeps its promise (needs the model)."""
    from costlab import recordings
    from costlab.semantic_study import measure_semantic

    result = measure_semantic(splits=splits, seed=seed, published=published)
    if as_json:
        print_json(asdict(result))
    else:
        for row in result.rows:
            if row["what"] == "promise":
                hits = "no threshold" if row["found"] == 0 else f"hit rate {row['hit_rate_fraction']:.1%}"
                typer.echo(
                    f"{row['data']:<22} guards {row['guards']:<8} at most {row['max_error_fraction']:.0%} wrong: found "
                    f"in {row['found']} of {row['splits']}, promise broken in {row['broken']}, {hits}"
                )
    if record:
        path = recordings.save(result, folder)
        typer.echo(f"recorded in {path.name}", err=True)


def _finite(found: dict[str, Any]) -> dict[str, Any]:
    """The same with None for an infinite number, which JSON does not know."""
    return {
        key: _finite(value) if isinstance(value, dict) else None if value == math.inf else value
        for key, value in found.items()
    }
