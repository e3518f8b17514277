"""``costlab route``: one question through a cascade of models, with the whole trail and its bill."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from costlab.cli.shared import JsonFlag, TiersPath, print_json, print_table, read_tiers
from costlab.errors import CostlabError, InvalidValueError

if TYPE_CHECKING:
    from costlab.router import Routed

__all__ = ["route"]


def route(
    tiers: TiersPath = None,
    question: Annotated[str, typer.Argument(help="What to ask.")] = "",
    example: Annotated[bool, typer.Option("--example", help="Print a file of tiers to begin with.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a cascade of models: the answer, who gave it, and what every attempt cost."""
    from costlab.router.tiers_file import example_tiers

    if example:
        typer.echo(example_tiers(), nl=False)
        return
    file = read_tiers(tiers)
    if not question.strip():
        raise InvalidValueError("question", "a text that is not empty", question)
    trained = [tier.name for tier in file.keys.tier if tier.model and tier.model.kind in ("sklearn", "minilm")]
    if trained:
        typer.echo(f"training {', '.join(trained)}", err=True)
    found = asyncio.run(_ask(file, question))
    if as_json:
        print_json({"file": file.name, "question": question, **asdict(found)})
        return
    _print(found)


async def _ask(file: Any, question: str) -> Routed:
    from costlab.router import CascadeFailedError
    from costlab.router.tiers_models import open_cascade

    async with open_cascade(file) as cascade:
        try:
            return await cascade.route(question)
        except CascadeFailedError as error:
            # What servers say may have several lines; an error has one.
            words = " ".join(str(error).split())
            raise CostlabError(f"{words}; paid all the same: {error.cost_usd:.6g} USD") from error


def _print(found: Any) -> None:
    typer.echo(found.answer)
    table = Table()
    table.add_column("tier", overflow="fold")
    table.add_column("outcome")
    for heading in ("confidence", "usd", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("why", overflow="fold")
    for one in found.attempts:
        sure = "" if one.confidence is None else f"{one.confidence:.3f}"
        why = escape(" ".join(one.error.split()))
        table.add_row(escape(one.tier), one.outcome, sure, f"{one.cost_usd:.6g}", f"{one.latency_s:.3g}", why)
    print_table(table)
    typer.echo(f"answered by {found.tier}, {found.cost_usd:.6g} USD in all, {found.latency_s:.3g} s")
