"""``costlab bench``: a command for each registered experiment."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args

import typer

from costlab.cli.shared import Command, Group, JsonFlag, LazyCommand, command, group, print_json, say
from costlab.experiments.registry import EXPERIMENTS, Experiment, Option, find_experiment

if TYPE_CHECKING:
    from costlab.recordings import Recording

Result = TypeVar("Result")

Record = Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")]
Folder = Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")]


def bench(help: str) -> Group:  # noqa: A002 - typer's word
    """The group of commands. Only the one that runs is loaded."""
    return group(help, (LazyCommand(name, text, partial(_command, name, text)) for name, text in EXPERIMENTS.items()))


def _command(name: str, help: str) -> Command:  # noqa: A002
    """The command of one experiment: its options, and those that all share."""
    experiment = find_experiment(name)
    measured = inspect.signature(experiment.measure, eval_str=True).parameters.values()
    options = sorted((p for p in map(_option, measured) if p), key=lambda p: p.name != "device")
    common = [p for p in inspect.signature(_run, eval_str=True).parameters.values() if p.kind is p.KEYWORD_ONLY]

    def run(**values: Any) -> None:
        _run(experiment, **values)

    run.__signature__ = inspect.Signature([*options, *common])  # type: ignore[attr-defined]
    return command(run, help)


def _option(parameter: inspect.Parameter) -> inspect.Parameter | None:
    """A parameter of an experiment as typer knows it; None where it is no option."""
    marks = [mark for mark in getattr(parameter.annotation, "__metadata__", ()) if isinstance(mark, Option)]
    if not marks:
        return None
    flags = (marks[0].flag,) if marks[0].flag else ()
    option = typer.Option(*flags, help=marks[0].help, metavar=marks[0].metavar)
    kind = get_args(parameter.annotation)[0]
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[kind, option])


def _run(
    experiment: Experiment[Result],
    *,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
    **options: object,
) -> None:
    """Measure, show, and keep the result where that was asked for."""
    bar = {"progress": not as_json} if "progress" in inspect.signature(experiment.measure).parameters else {}
    result = experiment.measure(**options, **bar)
    if as_json:
        print_json(asdict(result))  # type: ignore[call-overload]
    else:
        for line in experiment.lines(result):
            say(line)
    reasons = [getattr(row, "reason", "") for row in getattr(result, "rows", ())]
    if reasons and all(reasons):  # a row tells why it was not measured
        say("nothing was measured" + ", so nothing is recorded" * record, err=True)
        raise typer.Exit(1)
    if record:
        from costlab.recordings import save_recording

        made = cast("Recording", result) if experiment.recording is None else experiment.recording(result, options)
        say(f"recorded in {save_recording(made, folder).name}", err=True)
