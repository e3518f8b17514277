"""``costlab simulate``: what a cascade's requests cost, tier by tier, and what that saves."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from costlab.cli.shared import JsonFlag, TiersPath, print_json, print_table, read_tiers

__all__ = ["simulate"]

NAMES = {
    "all_large": "all at {last}",
    "random_mix": "random mix of the cheapest and {last}",
    "best_fixed_mix": "best fixed mix of tiers",
    "oracle": "oracle: the cheapest that is right",
}


def simulate(
    tiers: TiersPath = None,
    requests: Annotated[int, typer.Option(metavar="N", help="How many.")] = 1_000_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same result.")] = 0,
    example: Annotated[bool, typer.Option("--example", help="Print a file of tiers to begin with.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What requests through a cascade cost, every tier tried paid for, beside four baselines."""
    from costlab.router.tiers_file import example_tiers
    from costlab.router.tiers_simulation import simulate_tiers

    if example:
        typer.echo(example_tiers(), nl=False)
        return
    file = read_tiers(tiers)
    found = simulate_tiers(file, requests, seed)
    if as_json:
        print_json(_as_dict(file, found))
        return
    _print(file, found)


def _as_dict(file: Any, found: Any) -> dict[str, Any]:
    day = found.simulated
    columns = zip(day.tiers, day.tried, day.served, day.tier_usd, strict=True)
    return {
        "file": file.name,
        "requests": day.requests,
        "seed": day.seed,
        "usd": day.usd,
        "usd_per_request": day.usd_per_request,
        "usd_per_request_error": day.usd_per_request_error,
        "served_only_usd": day.served_only_usd,
        "quality_fraction": day.quality_fraction,
        "latency_s": found.latency_s,
        "tiers": [{"name": name, "tried": tried, "served": served, "usd": usd} for name, tried, served, usd in columns],
        "comparison": None if found.comparison is None else asdict(found.comparison),
    }


def _print(file: Any, found: Any) -> None:
    day = found.simulated
    table = Table(title=f"{escape(file.name)}: {day.requests:,} requests, seed {day.seed}", title_justify="left")
    table.add_column("tier", overflow="fold")
    for heading in ("tried", "answered", "of all", "usd"):
        table.add_column(heading, justify="right", overflow="fold")
    for name, tried, served, usd in zip(day.tiers, day.tried, day.served, day.tier_usd, strict=True):
        table.add_row(escape(name), f"{tried:,}", f"{served:,}", f"{served / day.requests:.1%}", _usd(usd))
    print_table(table)
    typer.echo(
        f"cost: {_usd(day.usd)} USD, {day.usd_per_request:.4g} a request (standard error "
        f"{day.usd_per_request_error:.2g}); {_usd(day.usd - day.served_only_usd)} of it for look-ups that missed, "
        "gates, and tiers whose answer was not kept"
    )
    quality = "unknown" if math.isnan(day.quality_fraction) else f"{day.quality_fraction:.2%} of the answers are right"
    wait = "unknown" if math.isnan(found.latency_s) else f"{found.latency_s:.4g} s on average"
    typer.echo(f"quality: {quality}\nlatency: {wait}")
    if found.comparison is None:
        typer.echo(
            "saving: not stated. It needs the quality of the cascade, of each tier alone and of an oracle: "
            "labelled queries under [outcomes]"
        )
        return
    _print_comparison(file, found.comparison)


def _print_comparison(file: Any, compared: Any) -> None:
    behind = " behind the cache" if file.keys.cache else ""
    table = Table(title=f"per request{behind}, on {compared.queries:,} labelled queries", title_justify="left")
    table.add_column("policy", overflow="fold")
    for heading in ("usd", "quality", "the cascade saves"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_row("this cascade", f"{compared.usd_per_request:.4g}", f"{compared.quality_fraction:.2%}", "")
    last = escape(file.keys.tier[-1].name)
    for one in compared.baselines:
        name = NAMES[one.name].format(last=last)
        if math.isnan(one.usd_per_request):
            table.add_row(name, "", f"below {compared.quality_fraction:.2%}", "reaches no such quality")
            continue
        saving = "" if math.isnan(one.saving_fraction) else f"{one.saving_fraction:.1%}"
        table.add_row(name, f"{one.usd_per_request:.4g}", f"{one.quality_fraction:.2%}", saving)
    print_table(table)
    if not math.isnan(compared.quality_low):
        ends = f"{compared.quality_low:.2%} to {compared.quality_high:.2%}"
        typer.echo(
            f"the cascade's quality, 95 % interval: {ends}; mixes stand at its quality, or at the least they have"
        )
    if any(tier.gate for tier in file.keys.tier[:-1]):
        typer.echo("note: gates are not asked about labelled queries; every tier reached is tried")


def _usd(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 1 or usd == 0 else f"{usd:.4g}"
