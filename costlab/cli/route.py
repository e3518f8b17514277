"""``costlab route``: one question through a cascade of models, with every attempt and its bill."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from costlab.cli.shared import JsonFlag, TiersPath, print_json, print_table, read_tiers
from costlab.errors import CostlabError, InvalidValueError

if TYPE_CHECKING:
    from costlab.router import Routed, TiersFile

__all__ = ["route"]


def route(
    tiers: TiersPath = None,
    question: Annotated[str, typer.Argument(help="What to ask.")] = "",
    example: Annotated[bool, typer.Option("--example", help="Print a file of tiers to begin with.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a cascade of models: the answer, who gave it, and what every attempt cost."""
    from costlab.router import example_tiers

    if example:
        typer.echo(example_tiers(), nl=False)
        return
    file = read_tiers(tiers)
    if not question.strip():
        raise InvalidValueError("question", "a text that is not empty", question)
    trained = [tier.name for tier in file.keys.tier if tier.model and tier.model.kind in ("sklearn", "minilm")]
    if trained:
        typer.echo(f"training {', '.join(trained)}", err=True)
    routed = asyncio.run(_ask(file, question))
    if as_json:
        print_json({"file": file.name, "question": question, **asdict(routed)})
        return
    _print(routed)


async def _ask(file: TiersFile, question: str) -> Routed:
    from costlab.router import CascadeFailedError, open_cascade

    async with open_cascade(file) as cascade:
        try:
            return await cascade.route(question)
        except CascadeFailedError as error:
            # What servers say may have several lines; an error has attempt.
            words = " ".join(str(error).split())
            raise CostlabError(f"{words}; paid all the same: {error.cost_usd:.6g} USD") from error


def _print(routed: Routed) -> None:
    typer.echo(routed.answer)
    table = Table()
    table.add_column("tier", overflow="fold")
    table.add_column("outcome")
    for heading in ("confidence", "usd", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("why", overflow="fold")
    for attempt in routed.attempts:
        sure = "" if attempt.confidence is None else f"{attempt.confidence:.3f}"
        why = escape(" ".join(attempt.error.split()))
        table.add_row(
            escape(attempt.tier), attempt.outcome, sure, f"{attempt.cost_usd:.6g}", f"{attempt.latency_s:.3g}", why
        )
    print_table(table)
    typer.echo(f"answered by {routed.tier}, {routed.cost_usd:.6g} USD in all, {routed.latency_s:.3g} s")
