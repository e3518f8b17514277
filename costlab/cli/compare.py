"""``costlab compare``: an API against one's own GPUs, for the workload in a file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from costlab.cli.shared import AsOf, JsonFlag, print_json, print_rows, say


def compare(
    workload: Annotated[Path | None, typer.Argument(help="The workload file; --example prints one.")] = None,
    gpu: Annotated[list[str] | None, typer.Option(metavar="NAME", help="These GPUs instead of the file's.")] = None,
    api: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="These models instead of the file's.")] = None,
    as_of: AsOf = None,
    example: Annotated[bool, typer.Option("--example", help="Print a workload file to begin with.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What a workload costs at an API and on your own GPUs, where the bills cross, how sure that is, and what to do."""
    from costlab import compare as comparing

    if example:
        say(comparing.example_workload(), nl=False)
        return
    if workload is None or str(workload) == ".":
        raise comparing.WorkloadFileError("no workload file given; --example prints one to begin with")
    result = comparing.compare(comparing.load_workload(workload), api or (), gpu or (), as_of)
    if as_json:
        # A name that begins with an underscore is a note of the price to itself.
        print_json(asdict(result, dict_factory=lambda pairs: {k: v for k, v in pairs if not k.startswith("_")}))
        return
    say(comparing.heading(result))
    (option, *figures), *rows = comparing.option_rows(result)
    print_rows((option, *figures), rows, numbers=figures)
    say(comparing.explanation(result))
