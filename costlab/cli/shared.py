"""What the commands share: commands that load when they run, kinds of options, and how things are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from rich.table import Table

    from costlab.router.tiers_file import TiersFile

__all__ = [
    "AsOf",
    "JsonFlag",
    "LazyCommand",
    "Snapshot",
    "TiersPath",
    "command",
    "group",
    "print_json",
    "print_table",
    "read_tiers",
]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="The catalogue as it stood on this ISO date.")]
Snapshot = Annotated[str | None, typer.Option(help="Only the rows of this table: lesson or list.")]
TiersPath = Annotated[Path | None, typer.Argument(help="The file of tiers; --example prints one.")]


class LazyCommand(TyperCommand):
    """A command that is loaded when it runs: a list of commands needs its name and its help only.

    Parameters
    ----------
    name, help : str
        As the list has them.
    load : callable
        Gives the command, or the group of commands.
    """

    def __init__(self, name: str, help: str, load: Callable[[], TyperCommand | TyperGroup]) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self._load = load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command that was loaded, which takes this one's place."""
        return self._load().make_context(info_name, args, parent, **extra)


def command(function: Callable[..., None], help: str) -> TyperCommand:  # noqa: A002 - typer's word
    """A function as a command; its parameters are arguments and options."""
    app = typer.Typer(add_completion=False)
    app.command(help=help)(function)
    return typer.main.get_command(app)  # type: ignore[return-value]


def group(
    help: str,  # noqa: A002
    commands: Iterable[LazyCommand],
    callback: Callable[..., None] | None = None,
) -> TyperGroup:
    """Commands in this order; without one of them the help is printed. A `callback` has options of its own."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, help=help)
    if callback is not None:
        app.callback(invoke_without_command=True)(callback)
    made = typer.main.get_group(app)
    made.commands.update({str(each.name): each for each in commands})
    return made


def read_tiers(path: Path | None) -> TiersFile:
    """The file of tiers that a command was given."""
    from costlab.router.tiers_file import TiersFileError, load_tiers

    if path is None or not path.name:
        raise TiersFileError("no file of tiers given; --example prints one to begin with")
    return load_tiers(path)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on stdout. JSON knows no infinity: what is infinite or undefined is null."""
    from pydantic_core import to_json

    typer.echo(to_json(value, inf_nan_mode="null"))


def print_table(table: Table, width: int = 120) -> None:
    """A table as wide as the terminal, or `width` columns where there is none."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else width).print(table)
