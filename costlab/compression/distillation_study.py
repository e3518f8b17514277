"""Does a teacher help, and is it the soft targets or the unlabelled data? Measured over seeds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from costlab._internal import checks
from costlab.compression.distillation import distill
from costlab.compression.distillation_results import DistillationCost, DistillationResult, DistillationRow
from costlab.compression.measured import measured_here
from costlab.compression.measured_sizes import measured_bytes
from costlab.compression.progress import bar
from costlab.compression.soft_targets import Examples
from costlab.compression.stopwatch import one_thread, seconds
from costlab.compression.tasks import DistillationTask, TaskDraw, digits_task, support_task
from costlab.recordings import find_device

__all__ = ["ARMS", "distillation_study"]

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
    "truth": "all examples with true labels, which nobody has",
}

#: Arms that are another one again where every example has a label.
_WANT_UNLABELLED: Final = ("own answers", "soft, few", "truth")

_LIBRARIES: Final = ("torch", "scikit-learn", "scipy", "onnxruntime", "costlab")


def distillation_study(
    tasks: Sequence[DistillationTask] | None = None,
    *,
    arms: Sequence[str] = tuple(ARMS),
    seeds: int = 10,
    temperature: float = 2.0,
    alpha: float = 0.9,
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
        Names of ``costlab.compression.ARMS``; ``labels`` is always among them, to compare with.
    seeds : int
        Repetitions, >= 5: each draws labels, first weights and the order of examples anew.
    temperature, alpha, hidden_weight
        As for :func:`costlab.compression.distill`, where there is a teacher.
    repeats : int
        Timed answers of teacher and student, >= 5.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    DistillationResult

    Raises
    ------
    UnknownNameError
        If there is no such arm.
    InvalidValueError
        If a number is outside its domain.

    Notes
    -----
    Runs on one thread of the CPU: the students are so small that a GPU would not help. All arms train by one rule, at
    most so many epochs and fewer once the loss on what they learn from stops falling; ``argmax`` and ``soft`` differ in
    nothing but the targets, ``argmax`` and ``own answers`` in nothing but who gave the answers. The interval covers
    what a seed decides. All seeds of the support task share their test queries, so it says nothing of other queries.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531
    """
    checks.integer("seeds", seeds, at_least=5)
    checks.integer("repeats", repeats, at_least=5)
    for arm in arms:
        checks.one_of("arm", arm, ARMS)
    chosen = tuple(dict.fromkeys(("labels", *arms)))
    found = find_device("cpu")
    teaching = {"temperature": temperature, "alpha": alpha, "hidden_weight": hidden_weight}
    rows: list[DistillationRow] = []
    costs = []
    with one_thread("cpu"):
        tasks = (digits_task(), digits_task(10), support_task()) if tasks is None else tuple(tasks)
        with bar(progress, len(tasks) * seeds, "distilling") as advance:
            for task in tasks:
                study = _Study(task, chosen, teaching)
                for seed in range(seeds):
                    study.add(seed)
                    advance(f"{task.name}, seed {seed}")
                rows += study.rows()
                costs.append(study.cost(repeats))
    return DistillationResult(
        rows=tuple(rows),
        costs=tuple(costs),
        seeds=seeds,
        temperature=temperature,
        alpha=alpha,
        **measured_here(found, _LIBRARIES),
    )


class _Study:
    """One task: what each arm reached under each seed."""

    def __init__(self, task: DistillationTask, arms: Sequence[str], teaching: dict[str, float]) -> None:
        self._task, self._arms, self._teaching = task, arms, teaching
        self._accuracies: dict[str, list[float]] = {}
        self._trained_s: list[float] = []
        self._teacher_s: list[float] = []
        self._counts: dict[str, int] = {}
        self._student_bytes = 0
        self._tested = 0

    def add(self, seed: int) -> None:
        """Train every arm under one seed."""
        draw, plain = self._task.draw(seed), None
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
            distill(student, examples, seed=seed, **{**dict(self._task.options), **options})
            if arm == "soft":
                self._trained_s.append(time.process_time() - started)
            plain = student if arm == "labels" else plain
            self._student_bytes = measured_bytes(student)
            self._keep(arm, student(draw.test_inputs).argmax(1) == draw.test_labels, len(examples))

    def _plan(self, arm: str, draw: TaskDraw, plain: Any) -> tuple[Examples, dict[str, Any]]:
        if arm == "labels":
            return draw.labelled, {"alpha": 0.0}
        if arm == "truth":
            return replace(draw.everything, labels=draw.truth), {"alpha": 0.0}
        examples = draw.labelled if arm == "soft, few" else draw.everything
        if arm == "own answers":
            examples = replace(examples, teacher_logits=plain(examples.inputs).detach())
        hidden = self._teaching["hidden_weight"] if arm == "soft + hidden" else 0.0
        targets = "argmax" if arm in ("argmax", "own answers") else "soft"
        return examples, {**self._teaching, "hidden_weight": hidden, "targets": targets}

    def _keep(self, arm: str, right: Any, examples: int) -> None:
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
