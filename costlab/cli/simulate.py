"""``costlab simulate``: what a cascade's requests cost, tier by tier, and what that saves."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from costlab.cli.shared import JsonFlag, TiersPath, print_json, print_table, read_tiers

if TYPE_CHECKING:
    from costlab.router import BaselineComparison, TiersFile, TiersSimulation

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
    from costlab.router import example_tiers, simulate_tiers

    if example:
        typer.echo(example_tiers(), nl=False)
        return
    file = read_tiers(tiers)
    simulation = simulate_tiers(file, requests, seed)
    if as_json:
        print_json(_as_dict(file, simulation))
        return
    _print(file, simulation)


def _as_dict(file: TiersFile, simulation: TiersSimulation) -> dict[str, Any]:
    day = simulation.simulated
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
        "latency_s": simulation.latency_s,
        "tiers": [{"name": name, "tried": tried, "served": served, "usd": usd} for name, tried, served, usd in columns],
        "comparison": None if simulation.comparison is None else asdict(simulation.comparison),
    }


def _print(file: TiersFile, simulation: TiersSimulation) -> None:
    day = simulation.simulated
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
    wait = "unknown" if math.isnan(simulation.latency_s) else f"{simulation.latency_s:.4g} s on average"
    typer.echo(f"quality: {quality}\nlatency: {wait}")
    if simulation.comparison is None:
        typer.echo(
            "saving: not stated. It needs the quality of the cascade, of each tier alone and of an oracle: "
            "labelled queries under [outcomes]"
        )
        return
    _print_comparison(file, simulation.comparison)


def _print_comparison(file: TiersFile, comparison: BaselineComparison) -> None:
    behind = " behind the cache" if file.keys.cache else ""
    table = Table(title=f"per request{behind}, on {comparison.queries:,} labelled queries", title_justify="left")
    table.add_column("policy", overflow="fold")
    for heading in ("usd", "quality", "the cascade saves"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_row("this cascade", f"{comparison.usd_per_request:.4g}", f"{comparison.quality_fraction:.2%}", "")
    last = escape(file.keys.tier[-1].name)
    for baseline in comparison.baselines:
        name = NAMES[baseline.name].format(last=last)
        if math.isnan(baseline.usd_per_request):
            table.add_row(name, "", f"below {comparison.quality_fraction:.2%}", "reaches no such quality")
            continue
        saving = "" if math.isnan(baseline.saving_fraction) else f"{baseline.saving_fraction:.1%}"
        table.add_row(name, f"{baseline.usd_per_request:.4g}", f"{baseline.quality_fraction:.2%}", saving)
    print_table(table)
    if not math.isnan(comparison.quality_low):
        ends = f"{comparison.quality_low:.2%} to {comparison.quality_high:.2%}"
        typer.echo(
            f"the cascade's quality, 95 % interval: {ends}; mixes stand at its quality, or at the least they have"
        )
    if any(tier.gate for tier in file.keys.tier[:-1]):
        typer.echo("note: gates are not asked about labelled queries; every tier reached is tried")


def _usd(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 1 or usd == 0 else f"{usd:.4g}"
