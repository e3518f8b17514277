"""What the commands of the command line share: how they read numbers, and how they print JSON."""

import json
from typing import Annotated, Any

import typer

__all__ = ["AsOf", "JsonFlag", "number", "print_json", "whole"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="The catalogue as it stood on this ISO date.")]


def whole(text: str) -> int:
    """`text` as an int; typer shows what it was given otherwise."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number, got {text!r}") from None


def number(text: str) -> float:
    """`text` as a float; typer shows what it was given otherwise."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number, got {text!r}") from None


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    typer.echo(json.dumps(value, default=str, allow_nan=False))
