"""What the commands share: the application, kinds of options, and how things are printed."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

__all__ = [
    "AsOf",
    "Folder",
    "JsonFlag",
    "Record",
    "Snapshot",
    "TiersPath",
    "app",
    "bench",
    "cache",
    "number",
    "print_json",
    "print_table",
    "read_tiers",
    "say_recorded",
    "whole",
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an error that nobody foresaw is for a bug report: plain, complete, copyable
    help="What an AI system costs, and why.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure on this machine; --record keeps the result for the lessons.")
app.add_typer(bench, name="bench")
cache = typer.Typer(no_args_is_help=True, help="What a response cache saves, net of what it costs.")
app.add_typer(cache, name="cache")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="The catalogue as it stood on this ISO date.")]
Record = Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")]
Folder = Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")]
Snapshot = Annotated[str | None, typer.Option(help="Only the rows of this table: lesson or list.")]
TiersPath = Annotated[Path | None, typer.Argument(help="The file of tiers; --example prints one.")]


def whole(text: str) -> int:
    """A whole number from the command line."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number, got {text!r}") from None


def number(text: str) -> float:
    """A number from the command line."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number, got {text!r}") from None


def read_tiers(path: Path | None) -> Any:
    """The file of tiers that a command was given."""
    from costlab.router.tiers_file import TiersFileError, load_tiers

    if path is None or not path.name:
        raise TiersFileError("no file of tiers given; --example prints one to begin with")
    return load_tiers(path)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout. JSON knows no infinity: what is infinite or undefined is null."""
    typer.echo(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items() if not str(key).startswith("_")}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return str(value) if isinstance(value, date) else value


def print_table(table: Table, width: int = 120) -> None:
    """A table as wide as the terminal, or `width` columns where there is none."""
    Console(width=None if sys.stdout.isatty() else width).print(table)


def say_recorded(path: Path) -> None:
    """Tell on stderr, beside whatever is printed, in which file a recording lies."""
    typer.echo(f"recorded in {path.name}", err=True)
