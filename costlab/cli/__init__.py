"""The ``costlab`` command: parse, call, print.

With ``--json`` each command prints one JSON object and nothing else. Errors take one line on stderr, exit status 2.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from costlab import __version__
from costlab.cli import (
    bench,
    cache,
    compare,
    compression,
    demo,
    monitoring,
    prices,
    report,
    route,
    sample_log,
    simulate,
)
from costlab.cli.shared import app
from costlab.errors import CostlabError

__all__ = [
    "app",
    "bench",
    "cache",
    "compare",
    "compression",
    "demo",
    "main",
    "monitoring",
    "prices",
    "report",
    "route",
    "sample_log",
    "simulate",
]

#: Wrong options and arguments. Newer releases of typer carry their own copy of click, so click's class is not named.
UsageError: Any = typer.BadParameter.__bases__[0]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        typer.echo(f"costlab {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error costlab foresaw is one line on stderr and exit status 2."""
    _mend_streams()
    try:
        status = app(args=arguments, prog_name="costlab", standalone_mode=False)
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
        typer.echo(f"error: {message}", err=True)
    sys.exit(2)
