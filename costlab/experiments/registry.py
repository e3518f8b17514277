"""What ``costlab bench`` can measure: each experiment is a file of this package, loaded when it is asked for.

A new experiment is a line in :data:`EXPERIMENTS` and a module of the same name with an ``EXPERIMENT``::

    def measure_sleep(
        seconds: Annotated[float, Option("How long to sleep.", metavar="S")] = 1.0,
    ) -> Recording:
        ...

    def lines(result: Recording) -> Iterator[str]:
        ...

    EXPERIMENT = Experiment(measure=measure_sleep, lines=lines)

``costlab bench sleep --seconds 2`` then calls ``measure_sleep(seconds=2.0)`` and prints the lines; ``--json``,
``--record`` and ``--folder`` come of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from costlab._internal import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from costlab.recordings import Recording

Result = TypeVar("Result")

#: The line of help of each experiment, in the order in which ``costlab bench --help`` lists them.
EXPERIMENTS: Final[Mapping[str, str]] = {
    "device": "How fast this device copies memory and multiplies matrices (needs torch).",
    "traffic": "What the Azure traces say of real traffic: rate, bursts, lengths (from COSTLAB_DATA_DIR, or fetched).",
    "tokenizers": "Tokens of the same text in eight languages, code and JSON (needs the tokenizers' packages).",
    "semantic": (
        "Semantic hits: right and wrong ones, and whether a fitted threshold keeps its guarantee (needs the model)."
    ),
    "tiers": (
        "Three tiers that classify queries: each alone, as a cascade, and whether guarantees hold (needs the model)."
    ),
    "answers": (
        "What three tiers answer to each support query, for `costlab demo` and the capstone (needs the model)."
    ),
    "quantization": "What fewer bits do to size, speed, quality and price of real models (needs the models).",
    "distillation": (
        "Whether a teacher helps a student, and why: soft targets or unlabelled data (needs scikit-learn, a model)."
    ),
    "pruning": "What zeros do to size, speed and quality, with fine-tuning and sparse kernels (needs the models).",
    "combined": "Pruned, quantized and distilled models on one task: quality against dollars (needs the models).",
    "decode": (
        "Speed of a large model's shape with random weights, beside what the device allows (needs torch, torchao)."
    ),
    "sparse": "Whether 2:4 sparsity makes a large model's matrices faster, and how near their floor (needs torch).",
    "engine": "What lesson 11 shows of llama.cpp, in processor seconds of one thread (needs xllamacpp, the model).",
    "serving": "Throughput and latency of a server that speaks OpenAI's protocol, by concurrency (needs httpx2).",
}


@dataclass(frozen=True, slots=True)
class Option:
    """Marks, in ``Annotated``, a parameter that is an option of the experiment's command.

    Its type is ``str``, ``int``, ``float``, ``bool``, one of them ``| None``, or ``list[...] | None`` for an option
    that may be repeated.

    Attributes
    ----------
    help : str
        A line for ``--help``.
    metavar : str or None
        What the help shows for the value; by default its type.
    flag : str or None
        Such as ``--batch``; by default the parameter's name.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Generic[Result]):
    """What is measured, and how it is shown and recorded.

    Attributes
    ----------
    measure : callable
        Returns the result, a dataclass. Parameters marked with :class:`Option` are the command's options; one called
        `progress` is told whether to draw a bar on stderr; others keep their defaults. Its annotations must name only
        what the module has imported when it runs.
    lines : callable
        The lines that show a result.
    recording : callable or None
        The recording of a result, given the options by the names of the parameters. None where the result is one.
    load : callable or None
        The result that a recording holds. None where the result is one.
    """

    measure: Callable[..., Result]
    lines: Callable[[Result], Iterable[str]]
    recording: Callable[[Result, Mapping[str, object]], Recording] | None = None
    load: Callable[[Recording], Result] | None = None

    def recorded_lines(self, recording: Recording) -> Iterable[str]:
        """The lines that show a recording of this experiment, as they showed the result when it was made."""
        # Where the result is a recording itself, the experiment's lines take it as it is.
        return self.lines(recording if self.load is None else self.load(recording))  # type: ignore[arg-type]


def find_experiment(name: str) -> Experiment[object]:
    """The experiment called `name`.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    checks.one_of("experiment", name, tuple(EXPERIMENTS))
    experiment: Experiment[object] = import_module(f"costlab.experiments.{name}").EXPERIMENT
    return experiment
