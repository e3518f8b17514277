"""``costlab route`` and ``costlab simulate``: one question through a cascade of models, or a million."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab._internal.text import dollars
from costlab.cli.shared import JsonFlag, print_json, print_rows, say
from costlab.errors import CostlabError, InvalidValueError

if TYPE_CHECKING:
    from costlab.router import BaselineComparison, Routed, TiersFile, TiersSimulation

TiersPath = Annotated[Path | None, typer.Argument(help="The file of tiers; --example prints one.")]
Example = Annotated[bool, typer.Option("--example", help="Print a file of tiers to begin with.")]

NAMES = {
    "all_large": "all at {last}",
    "random_mix": "random mix of the cheapest and {last}",
    "best_fixed_mix": "best fixed mix of tiers",
    "oracle": "oracle: the cheapest that is right",
}


def route(
    tiers: TiersPath = None,
    question: Annotated[str, typer.Argument(help="What to ask.")] = "",
    example: Example = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a cascade of models: the answer, who gave it, and what every attempt cost."""
    from costlab.router import example_tiers

    if example:
        say(example_tiers(), nl=False)
        return
    file = _read(tiers)
    if not question.strip():
        raise InvalidValueError("question", "a text that is not empty", question)
    routed = asyncio.run(_ask(file, question))
    if as_json:
        print_json({"file": file.name, "question": question, **asdict(routed)})
        return
    say(routed.answer)
    rows = []
    for tried in routed.attempts:
        sure = "" if tried.confidence is None else f"{tried.confidence:.3f}"
        why = " ".join(tried.error.split())
        rows.append((tried.tier, tried.outcome, sure, f"{tried.cost_usd:.6g}", f"{tried.latency_s:.3g}", why))
    numbers = ("confidence", "usd", "seconds")
    print_rows(("tier", "outcome", *numbers, "why"), rows, numbers=numbers)
    say(f"answered by {routed.tier}, {routed.cost_usd:.6g} USD in all, {routed.latency_s:.3g} s")


async def _ask(file: TiersFile, question: str) -> Routed:
    from costlab.router import CascadeFailedError, open_cascade

    async with open_cascade(file, on_training=lambda tier: say(f"training {tier}", err=True)) as cascade:
        try:
            return await cascade.route(question)
        except CascadeFailedError as error:
            # What servers say may have several lines; an error has one.
            words = " ".join(str(error).split())
            raise CostlabError(f"{words}; paid all the same: {error.cost_usd:.6g} USD") from error


def simulate(
    tiers: TiersPath = None,
    requests: Annotated[int, typer.Option(metavar="N", help="How many.")] = 1_000_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same result.")] = 0,
    example: Example = False,
    as_json: JsonFlag = False,
) -> None:
    """What requests through a cascade cost, every tier tried paid for, beside four baselines."""
    from costlab.router import example_tiers, simulate_tiers

    if example:
        say(example_tiers(), nl=False)
        return
    file = _read(tiers)
    simulation = simulate_tiers(file, requests, seed)
    if as_json:
        print_json(_as_dict(file, simulation))
        return
    _print(file, simulation)


def _as_dict(file: TiersFile, simulation: TiersSimulation) -> dict[str, object]:
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
        "comparison": simulation.comparison,
    }


def _print(file: TiersFile, simulation: TiersSimulation) -> None:
    day = simulation.simulated
    tiers = zip(day.tiers, day.tried, day.served, day.tier_usd, strict=True)
    rows = [(name, f"{tried:,}", f"{n:,}", f"{n / day.requests:.1%}", dollars(usd)) for name, tried, n, usd in tiers]
    numbers = ("tried", "answered", "of all", "cost")
    title = f"{file.name}: {day.requests:,} requests, seed {day.seed}"
    print_rows(("tier", *numbers), rows, numbers=numbers, title=title)
    say(
        f"cost: {dollars(day.usd)}, {day.usd_per_request:.4g} USD a request (standard error "
        f"{day.usd_per_request_error:.2g}); {dollars(day.usd - day.served_only_usd)} of it for look-ups that missed, "
        "gates, and tiers whose answer was not kept"
    )
    quality = "unknown" if math.isnan(day.quality_fraction) else f"{day.quality_fraction:.2%} of the answers are right"
    wait = "unknown" if math.isnan(simulation.latency_s) else f"{simulation.latency_s:.4g} s on average"
    say(f"quality: {quality}\nlatency: {wait}")
    if simulation.comparison is None:
        say(
            "saving: not stated. It needs the quality of the cascade, of each tier alone and of an oracle: "
            "labelled queries under [outcomes]"
        )
        return
    _print_comparison(file, simulation.comparison)


def _print_comparison(file: TiersFile, comparison: BaselineComparison) -> None:
    behind = " behind the cache" if file.keys.cache else ""
    rows = [("this cascade", f"{comparison.usd_per_request:.4g}", f"{comparison.quality_fraction:.2%}", "")]
    for baseline in comparison.baselines:
        name = NAMES[baseline.name].format(last=file.keys.tier[-1].name)
        if math.isnan(baseline.usd_per_request):
            rows.append((name, "", f"below {comparison.quality_fraction:.2%}", "reaches no such quality"))
            continue
        saving = "" if math.isnan(baseline.saving_fraction) else f"{baseline.saving_fraction:.1%}"
        rows.append((name, f"{baseline.usd_per_request:.4g}", f"{baseline.quality_fraction:.2%}", saving))
    numbers = ("usd", "quality", "the cascade saves")
    title = f"per request{behind}, on {comparison.queries:,} labelled queries"
    print_rows(("policy", *numbers), rows, numbers=numbers, title=title)
    if not math.isnan(comparison.quality_low):
        ends = f"{comparison.quality_low:.2%} to {comparison.quality_high:.2%}"
        say(f"the cascade's quality, 95 % interval: {ends}; mixes stand at its quality, or at the least they have")
    if any(tier.gate for tier in file.keys.tier[:-1]):
        say("note: gates are not asked about labelled queries; every tier reached is tried")


def _read(path: Path | None) -> TiersFile:
    """The file of tiers that a command was given."""
    from costlab.router import TiersFileError, load_tiers

    if path is None or not path.name:
        raise TiersFileError("no file of tiers given; --example prints one to begin with")
    return load_tiers(path)
