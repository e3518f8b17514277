"""The ``costlab`` command: parse, call, print.

With ``--json`` each command prints one JSON object and nothing else. Errors take one line on stderr, exit status 2.
Every command is in :data:`COMMANDS`, and only the one that runs is imported, with what it needs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from costlab import __version__
from costlab._internal.masking import without_credentials
from costlab._internal.terminal import escaping
from costlab._internal.text import printable
from costlab.cli.shared import Command, Group, LazyCommand, command, group, say
from costlab.errors import CostlabError

__all__ = ["COMMANDS", "main"]

#: Commands by name: for each a line of help, and the place of its function or the table of its own commands.
Table: TypeAlias = "dict[str, tuple[str, str | Table]]"

#: Each command with the line of help for its group's list, and where its function is: module and name. The
#: function's parameters are its arguments and options. A group has the table of its own commands in that place.
COMMANDS: Final[Table] = {
    "compare": (
        "What a workload costs at an API and on your own GPUs, where the bills cross, how sure that is, and what to "
        "do.",
        "compare:compare",
    ),
    "demo": (
        "A service's day in half a minute: cache, cascade, budget guard, ledger, report. Needs no network and no key.",
        "demo:demo",
    ),
    "gpu": (
        "The monthly bill of a number of GPUs, in whole machines, at every price known, with source and date.",
        "prices:gpu",
    ),
    "prices": (
        "The price catalogue: every current row of GPUs and stores with kind, date and source.",
        "prices:prices",
    ),
    "report": (
        "What a log of requests cost: totals, unit costs, trend, waste, and the three largest savings.",
        "monitoring:report",
    ),
    "route": ("Ask a cascade of models: the answer, who gave it, and what every attempt cost.", "router:route"),
    "sample-log": (
        "A made-up log of four tiers, busy afternoons and unequal tenants, to try `costlab report` on.",
        "demo:sample_log",
    ),
    "simulate": (
        "What requests through a cascade cost, every tier tried paid for, beside four baselines.",
        "router:simulate",
    ),
    "bench": ("Measure on this machine; --record keeps the result for the lessons.", "bench:bench"),
    "cache": (
        "What a response cache saves, net of what it costs.",
        {"size": ("How big a cache should be, and whether it pays, at every store price known.", "cache:size")},
    ),
    "recordings": (
        "What was measured on other machines.",
        {"check": ("Whether recordings can be believed; exit status 1 where one cannot.", "recordings:check")},
    ),
    "monitoring": (
        "Metrics, alerts and dashboards of a running service.",
        {
            "export": (
                "Write rules, alerts, a Grafana dashboard, a Datadog configuration and a compose file.",
                "monitoring:export",
            ),
            "serve": (
                "Show Prometheus what a ledger's new events and the GPUs do, until interrupted.",
                "monitoring:serve",
            ),
        },
    ),
}

#: So much of an error is shown.
MAX_MESSAGE: Final = 2000

#: Wrong options and arguments. Newer releases of typer carry their own copy of click, so click's class is not named.
UsageError: Any = typer.BadParameter.__bases__[0]


def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        say(f"costlab {__version__}")
        raise typer.Exit


def _group(text: str, table: Table, callback: Callable[..., None] | None = None) -> Group:
    lazy = (LazyCommand(name, help_, partial(_load, help_, place)) for name, (help_, place) in table.items())
    return group(text, lazy, callback)


def _load(text: str, place: str | Table) -> Command | Group:
    if isinstance(place, dict):
        return _group(text, place)
    module, _, name = place.partition(":")
    function = getattr(import_module(f"costlab.cli.{module}"), name)
    made: Command | Group = function(text) if name == "bench" else command(function, text)
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error costlab foresaw is one line on stderr and exit status 2."""
    _mend_streams()
    with escaping():
        _run(arguments)


def _run(arguments: list[str] | None) -> None:
    try:
        line = _group("What an AI system costs, and why.", COMMANDS, _root)
        status = line.main(args=arguments, prog_name="costlab", standalone_mode=False)
    except CostlabError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(" ".join(error.format_message().split()))
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has seen enough (`costlab prices | head`); the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(" ".join(str(error).split()))
    except MemoryError as error:
        _fail(f"not enough memory: {' '.join(str(error).split())}" if str(error) else "not enough memory")
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _mend_streams() -> None:
    """Where a terminal cannot show a letter, show a question mark; where a stream is closed, write to nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str) -> None:
    if message:  # without a subcommand the help is all there is to say
        line = printable(without_credentials(message))
        shown = (
            line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]}…"
        )  # a value from a file may be of any length
        say(f"error: {shown}", err=True)
    sys.exit(2)
