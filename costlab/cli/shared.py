"""What the commands share: commands that load when they run, kinds of options, and how things are printed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from costlab._internal.terminal import console
from costlab._internal.text import in_json, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    from rich.table import Table

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="The catalogue as it was on this ISO date.")]
Snapshot = Annotated[str | None, typer.Option(help="Only the rows of this table: lesson or list.")]


class _Words:
    """Reads the words given for a parameter, as typer would.

    Typer does it with pydantic, which takes longer to load than most commands to run, and whose error does not say what
    was given. Where a release of typer reads parameters in another way, this is not asked, and that is all.
    """

    KINDS: Final = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def coerce(self, value: object, param: Any, ctx: typer.Context) -> object:
        """What was meant; typer gives several words, or None, where an option may be repeated."""
        if value is None and param.multiple:
            return ()
        if isinstance(value, list | tuple):
            return [self.coerce(word, param, ctx) for word in value]
        if not isinstance(value, str):
            return value
        try:
            return self._kind(value)
        except ValueError:
            raise typer.BadParameter(f"must be {self.KINDS[self._kind]}, got {value!r}", ctx, param) from None


class _Light:
    """A command that reads its parameters by :class:`_Words`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, the option of help among them."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            kind = get_args(kind)[0] if get_origin(kind) is list else kind
            if kind in _Words.KINDS:
                parameter.get_runtime_param = partial(_Words, kind)
        return parameters


class Command(_Light, TyperCommand):
    """A function that is run by its name, with arguments and options."""


class Group(_Light, TyperGroup):
    """Commands under one name."""


class LazyCommand(Command):
    """A command, or a group, that is loaded when it runs: a list of commands needs its name and its help only."""

    def __init__(self, name: str, help: str, load: Callable[[], Command | Group]) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self._load = load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command that was loaded, which takes this one's place."""
        return self._load().make_context(info_name, args, parent, **extra)


def command(function: Callable[..., None], help: str) -> Command:  # noqa: A002 - typer's word
    """A function as a command; its parameters are arguments and options."""
    app = typer.Typer(add_completion=False)
    app.command(help=help, cls=Command)(function)
    return cast(Command, typer.main.get_command(app))


def group(
    help: str,  # noqa: A002
    commands: Iterable[LazyCommand],
    callback: Callable[..., None] | None = None,
) -> Group:
    """Commands in this order; without one of them the help is printed. A `callback` has options of its own."""
    app = typer.Typer(cls=Group, no_args_is_help=True, add_completion=False, help=help)
    if callback is not None:
        app.callback(invoke_without_command=True)(callback)
    made = cast(Group, typer.main.get_group(app))
    made.commands.update({str(each.name): each for each in commands})
    return made


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on stdout. JSON knows no infinity: what is infinite or undefined is null."""
    from pydantic_core import to_json

    # What a terminal would obey stands within texts only, where JSON has an escape for it.
    say(in_json(to_json(value, inf_nan_mode="null").decode()))


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """A text and the end of its line, on stdout or on stderr."""
    (sys.stderr if err else sys.stdout).write(f"{text}\n" if nl else text)


def print_rows(
    headings: Iterable[str],
    rows: Iterable[Iterable[str]],
    *,
    numbers: Collection[str] = (),
    unbroken: Collection[str] = (),
    title: str | None = None,
    width: int = 120,
) -> None:
    """A table of words as they are, `width` columns wide where there is no terminal.

    The columns whose headings are `numbers` are aligned right, and words of those in `unbroken` are kept in one line.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title and escape(printable(title)), title_justify="left")
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(heading, justify=justify, no_wrap=heading in unbroken, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(word)) for word in row))
    print_table(table, width)


def print_table(table: Table, width: int = 120) -> None:
    """A table as wide as the terminal, or `width` columns where there is none."""
    console(width=None if sys.stdout.isatty() else width).print(table)
