"""Does a teacher help, and is it the soft targets or the unlabelled data? Measured over seeds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import (
    DistillationTask,
    Examples,
    SeededTask,
    Spread,
    StudyResult,
    digits_task,
    distill,
    measured_bytes,
    seconds,
    spread,
    support_task,
)
from costlab.compression.distillation import DistillOptions
from costlab.compression.instruments import one_thread, progress_bar
from costlab.compression.results import measured_here
from costlab.errors import InvalidValueError
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, bench_command, find_device

if TYPE_CHECKING:
    import torch
    from pandas import DataFrame

#: The ways to train a student that a study compares, and what each learns from.
#:
#: :meta hide-value:
ARMS: Final = {
    "labels": "the labelled examples, no teacher",
    "own answers": "all examples, the first choice of a student of labels taken as a label, no teacher",
    "soft, few": "the labelled examples alone, the teacher's probabilities",
    "argmax": "all examples, the teacher's first choice taken as a label",
    "soft": "all examples, the teacher's probabilities",
    "soft + hidden": "the same, and the teacher's inner state",
    "truth": "all examples with true labels, which no one has",
}

#: Arms that are another one again where every example has a label.
_WANT_UNLABELLED: Final = ("own answers", "soft, few", "truth")

_LIBRARIES: Final = ("torch", "scikit-learn", "scipy", "onnxruntime", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationRow:
    """One way to train, or the teacher itself.

    Attributes
    ----------
    task, arm : str
        What was learnt, and from what: a name of ``ARMS``; ``teacher``; or ``linear``, a logistic regression on the
        labelled examples.
    examples, tested : int
        Examples that it learnt from, and answers behind each accuracy.
    accuracies : tuple of float
        Share of right answers under each seed.
    """

    task: str
    arm: str
    examples: int
    accuracies: tuple[float, ...]
    tested: int

    @property
    def spread(self) -> Spread:
        """Mean accuracy over the seeds, with the 95 % interval."""
        return spread(self.accuracies)

    def line(self) -> str:
        """The row as text."""
        own = self.spread
        return (
            f"{self.task:<24} {self.arm:<14} {self.examples:>5,} examples: "
            f"{own.mean:.1%} ({own.low:.1%} to {own.high:.1%})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationCost:
    """What teacher and student take, in processor time of one thread.

    Attributes
    ----------
    teacher_ms, student_ms : float
        Median of one answer to one query of the task as it arrives, its words included.
    student_bytes, examples : int
        Weights of the student, and examples that the teacher had to answer first.
    teacher_training_s, student_training_s : float or None
        Mean over the seeds; the student's on soft targets, None where those were not among the arms.
    """

    task: str
    teacher_ms: float
    student_ms: float
    student_bytes: int
    examples: int
    teacher_training_s: float
    student_training_s: float | None

    @property
    def payback_requests(self) -> float | None:
        """Requests after which the student's training is earned back on the same machine; None where it never is.

        Counted are the teacher's answers to the examples and the student's training, not the hours of the people.
        """
        if self.student_training_s is None or self.student_ms >= self.teacher_ms:
            return None
        spent_ms = 1000 * self.student_training_s + self.examples * self.teacher_ms
        return spent_ms / (self.teacher_ms - self.student_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationResult(StudyResult[DistillationRow]):
    """Several ways to train the same student; the repeats are seeds.

    Where and when is told by the attributes of :class:`costlab.compression.StudyResult`.

    Attributes
    ----------
    rows : tuple of DistillationRow
        The tasks in turn; in each the teacher, the linear model, then the arms.
    costs : tuple of DistillationCost
        One for each task.
    temperature, alpha : float
        Of the teaching.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"arm": "rows", "cost": "costs"}

    rows: tuple[DistillationRow, ...]
    costs: tuple[DistillationCost, ...]
    temperature: float
    alpha: float

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(cost.task for cost in self.costs)

    def row(self, task: str, arm: str) -> DistillationRow:
        """The row of an arm in a task. Raises an InvalidValueError if there is none."""
        return self._find("task and arm", (f"{row.task}: {row.arm}" for row in self.rows), task=task, arm=arm)

    def cost(self, task: str) -> DistillationCost:
        """What the teacher and the student of a task take. Raises an InvalidValueError if there is no such task."""
        for cost in self.costs:
            if cost.task == task:
                return cost
        raise InvalidValueError("task", f"one of {', '.join(self.tasks)}", task)

    def gain(self, task: str, arm: str, over: str = "labels") -> Spread:
        """Mean difference in accuracy between two arms under the same seeds, with the 95 % interval."""
        pairs = zip(self.row(task, arm).accuracies, self.row(task, over).accuracies, strict=True)
        return spread([own - other for own, other in pairs])

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each arm: accuracy and gain over ``labels``, each with its interval."""
        with extra("plots"):
            import pandas as pd
        return pd.DataFrame([self._cells(row) for row in self.rows]).set_index(["task", "arm"])

    def _cells(self, row: DistillationRow) -> dict[str, object]:
        own, gain = row.spread, self.gain(row.task, row.arm)
        return {
            "task": row.task,
            "arm": row.arm,
            "examples": row.examples,
            "accuracy": own.mean,
            "low": own.low,
            "high": own.high,
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "seeds": own.n,
            "tested": row.tested,
        }

    def lines(self) -> list[str]:
        """The result as text: a line for each arm, then what an answer takes in each task."""
        return [
            f"{self.device_name} ({self.recorded_on}, {self.repeats} seeds, 95 % intervals)",
            *(row.line() for row in self.rows),
            *(
                f"{cost.task:<24} teacher {cost.teacher_ms:.3g} ms a query, student {cost.student_ms:.3g} ms"
                for cost in self.costs
            ),
        ]


def distillation_study(
    tasks: Sequence[DistillationTask] | None = None,
    *,
    arms: Sequence[str] = tuple(ARMS),
    seeds: Annotated[int, Option("Repetitions, at least 5.", metavar="N")] = 10,
    temperature: Annotated[float, Option("How much the teacher's second thoughts count.", metavar="T")] = 2.0,
    alpha: Annotated[float, Option("Weight of the teacher.", metavar="SHARE")] = 0.9,
    hidden_weight: float = 0.5,
    repeats: int = 30,
    progress: bool = True,
) -> DistillationResult:
    """The same student trained in several ways on the same examples, over seeds, beside its teacher.

    Parameters
    ----------
    tasks : sequence of DistillationTask, optional
        By default digits with all labels, digits with ten labels each, and support queries with five labels each.
    arms : sequence of str
        Names of ``ARMS``; ``labels`` is always among them, to compare with.
    seeds : int
        Repetitions, >= 5: each draws its own labels, first weights and order of examples.
    temperature, alpha, hidden_weight
        As for :func:`costlab.compression.distill`, where there is a teacher.
    repeats : int
        Timed answers of teacher and student, >= 5.
    progress : bool
        Show a bar on stderr.

    Notes
    -----
    Runs on one thread of the CPU: the students are so small that a GPU would not help. All arms train by one rule: for
    a limited number of epochs, and fewer once the loss on what they learn from stops falling; ``argmax`` and ``soft``
    differ in nothing but the targets, ``argmax`` and ``own answers`` in nothing but who gave the answers. The interval
    covers what a seed decides. All seeds of the support task share their test queries, so it says nothing of other
    queries.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531
    """
    checks.integer("seeds", seeds, at_least=5)
    checks.integer("repeats", repeats, at_least=5)
    for arm in arms:
        checks.one_of("arm", arm, ARMS)
    chosen = tuple(dict.fromkeys(("labels", *arms)))
    teaching: DistillOptions = {"temperature": temperature, "alpha": alpha, "hidden_weight": hidden_weight}
    rows: list[DistillationRow] = []
    costs = []
    with one_thread("cpu"):
        tasks = (digits_task(), digits_task(10), support_task()) if tasks is None else tuple(tasks)
        with progress_bar(progress, len(tasks) * seeds, "distilling") as advance:
            for task in tasks:
                study = _TaskStudy(task, chosen, teaching)
                for seed in range(seeds):
                    study.add(seed)
                    advance(f"{task.name}, seed {seed}")
                rows += study.rows()
                costs.append(study.cost(repeats))
    return DistillationResult(
        experiment="distillation",
        rows=tuple(rows),
        costs=tuple(costs),
        repeats=seeds,
        temperature=temperature,
        alpha=alpha,
        **measured_here(find_device("cpu"), *_LIBRARIES),
    )


class _TaskStudy:
    """One task: what each arm reached under each seed."""

    def __init__(self, task: DistillationTask, arms: Sequence[str], teaching: DistillOptions) -> None:
        self._task, self._arms, self._teaching = task, arms, teaching
        self._accuracies: dict[str, list[float]] = {}
        self._trained_s: list[float] = []
        self._teacher_s: list[float] = []
        self._counts: dict[str, int] = {}
        self._student_bytes = 0
        self._tested = 0

    def add(self, seed: int) -> None:
        """Train every arm under one seed."""
        draw = self._task.draw(seed)
        plain: torch.nn.Module | None = None
        self._tested = len(draw.test_labels)
        self._teacher_s.append(draw.teacher_training_s)
        self._keep("teacher", draw.teacher_right, len(draw.labelled))
        self._keep("linear", draw.linear_right, len(draw.labelled))
        for arm in self._arms:
            if arm in _WANT_UNLABELLED and len(draw.labelled) == len(draw.everything):
                continue  # that would be the arm "labels" or "soft" again
            examples, options = self._plan(arm, draw, plain)
            student = draw.student()
            started = time.process_time()
            distill(student, examples, seed=seed, **self._task.options | options)
            if arm == "soft":
                self._trained_s.append(time.process_time() - started)
            plain = student if arm == "labels" else plain
            self._student_bytes = measured_bytes(student)
            self._keep(arm, student(draw.test_inputs).argmax(1) == draw.test_labels, len(examples))

    def _plan(self, arm: str, draw: SeededTask, plain: torch.nn.Module | None) -> tuple[Examples, DistillOptions]:
        """What an arm learns from, and how."""
        if arm == "labels":
            return draw.labelled, {"alpha": 0.0}
        if arm == "truth":
            return replace(draw.everything, labels=draw.truth), {"alpha": 0.0}
        options = self._teaching.copy()
        options["hidden_weight"] = options["hidden_weight"] if arm == "soft + hidden" else 0.0
        options["targets"] = "argmax" if arm in ("argmax", "own answers") else "soft"
        examples = draw.labelled if arm == "soft, few" else draw.everything
        if arm == "own answers" and plain is not None:
            examples = replace(examples, teacher_logits=plain(examples.inputs).detach())
        return examples, options

    def _keep(self, arm: str, right: torch.Tensor, examples: int) -> None:
        self._accuracies.setdefault(arm, []).append(float(right.float().mean()))
        self._counts[arm] = examples

    def rows(self) -> list[DistillationRow]:
        """A row for each arm, the teacher first."""
        return [
            DistillationRow(
                task=self._task.name,
                arm=arm,
                examples=self._counts[arm],
                accuracies=tuple(accuracies),
                tested=self._tested,
            )
            for arm, accuracies in self._accuracies.items()
        ]

    def cost(self, repeats: int) -> DistillationCost:
        """What an answer of teacher and student takes, and what training took."""
        teacher, student = (_median_ms(step, repeats) for step in (self._task.teacher_step, self._task.student_step))
        return DistillationCost(
            task=self._task.name,
            teacher_ms=teacher,
            student_ms=student,
            student_bytes=self._student_bytes,
            examples=self._counts.get("soft", 0),
            teacher_training_s=statistics.fmean(self._teacher_s),
            student_training_s=statistics.fmean(self._trained_s) if self._trained_s else None,
        )


def _median_ms(step: Callable[[], object], repeats: int) -> float:
    for _ in range(3):
        step()
    return 1000 * statistics.median(seconds(step, "cpu") for _ in range(repeats))


def _recording(result: DistillationResult, options: Mapping[str, object]) -> Recording:
    return result.to_recording(bench_command("distillation", options))


EXPERIMENT: Final = Experiment(
    measure=distillation_study,
    lines=DistillationResult.lines,
    recording=_recording,
    load=DistillationResult.from_recording,
)
