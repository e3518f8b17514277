"""Results of a study of distillation: a row for each way to train, with its seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from costlab import recordings
from costlab._internal.extras import require
from costlab.compression.measured import Measured, measured_there
from costlab.compression.spread import Spread, spread
from costlab.errors import InvalidValueError
from costlab.plotting.compression import plot_arms
from costlab.recordings import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["DistillationCost", "DistillationResult", "DistillationRow", "recorded_distillation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationRow:
    """One way to train, or the teacher itself.

    Attributes
    ----------
    task, arm : str
        What was learnt, and from what: a name of ``costlab.compression.ARMS``; ``teacher``; or ``linear``, a
        logistic regression on the labelled examples.
    examples : int
        Examples that it learnt from.
    accuracies : tuple of float
        Share of right answers under each seed.
    tested : int
        Answers behind each.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationCost:
    """What teacher and student take, in processor time of one thread.

    Attributes
    ----------
    task : str
        Which task.
    teacher_ms, student_ms : float
        Median of one answer to one query as it arrives, its words included.
    student_bytes : int
        Weights of the student.
    examples : int
        Examples that the teacher had to answer first.
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
class DistillationResult(Measured):
    """Several ways to train the same student, over seeds.

    Where and when is told by the attributes of :class:`Measured`.

    Attributes
    ----------
    rows : tuple of DistillationRow
        The tasks in turn; in each the teacher, the linear model, then the arms.
    costs : tuple of DistillationCost
        One for each task.
    seeds : int
        Repetitions.
    temperature, alpha : float
        Of the teaching.
    """

    rows: tuple[DistillationRow, ...]
    costs: tuple[DistillationCost, ...]
    seeds: int
    temperature: float
    alpha: float

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(cost.task for cost in self.costs)

    def row(self, task: str, arm: str) -> DistillationRow:
        """The row of an arm in a task.

        Raises
        ------
        InvalidValueError
            If there is none.
        """
        found = next((row for row in self.rows if (row.task, row.arm) == (task, arm)), None)
        if found is None:
            known = ", ".join(f"{row.task}: {row.arm}" for row in self.rows)
            raise InvalidValueError("task and arm", f"one of {known}", (task, arm))
        return found

    def cost(self, task: str) -> DistillationCost:
        """What the teacher and the student of a task take.

        Raises
        ------
        InvalidValueError
            If there is no such task.
        """
        found = next((cost for cost in self.costs if cost.task == task), None)
        if found is None:
            raise InvalidValueError("task", f"one of {', '.join(self.tasks)}", task)
        return found

    def gain(self, task: str, arm: str, over: str = "labels") -> Spread:
        """Mean difference in accuracy between two arms under the same seeds, with the 95 % interval."""
        pairs = zip(self.row(task, arm).accuracies, self.row(task, over).accuracies, strict=True)
        return spread([mine - other for mine, other in pairs])

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each arm: accuracy and gain over ``labels``, each with its interval."""
        pandas = require("pandas", "plots")
        table: DataFrame = pandas.DataFrame([self._flat(row) for row in self.rows]).set_index(["task", "arm"])
        return table

    def _flat(self, row: DistillationRow) -> dict[str, object]:
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

    def plot(self, *, task: str | None = None, ax: Axes | None = None) -> Axes:
        """Each arm of a task with its seeds and the interval of their mean; by default of the last."""
        wanted = self.tasks[-1] if task is None else self.cost(task).task
        return plot_arms({row.arm: row.accuracies for row in self.rows if row.task == wanted}, ax=ax)

    def recording(self, command: str) -> Recording:
        """The result as a recording, made by the command named."""
        teaching = {"temperature": self.temperature, "alpha": self.alpha}
        rows = [{"what": "arm", **asdict(row), **teaching} for row in self.rows]
        costs = [{"what": "cost", **asdict(cost)} for cost in self.costs]
        return self._as_recording("distillation", command, self.seeds, (*rows, *costs))

    def record(self, path: Path | None = None, *, command: str = "distillation_study()") -> Path:
        """Write the result into the folder `path`, by default the package's recordings; returns the file."""
        return recordings.save_recording(self.recording(command), path)


def recorded_distillation(device: str = "cpu", folder: Path | None = None) -> DistillationResult | None:
    """The recorded study of distillation, or None where none was made yet.

    Raises
    ------
    RecordingError
        If the file is there but cannot be trusted.
    """
    recording = recordings.find_recording("distillation", device, folder)
    if recording is None:
        return None
    kinds: dict[str, list[dict[str, object]]] = {"arm": [], "cost": []}
    for stored in recording.rows:
        kinds[stored["what"]].append({name: value for name, value in stored.items() if name != "what"})
    taught = {name: kinds["arm"][0][name] for name in ("temperature", "alpha")}
    rows = []
    for arm in kinds["arm"]:
        own = {name: value for name, value in arm.items() if name not in taught}
        rows.append(DistillationRow(**{**own, "accuracies": tuple(own["accuracies"])}))  # type: ignore[arg-type]
    return DistillationResult(
        rows=tuple(rows),
        costs=tuple(DistillationCost(**cost) for cost in kinds["cost"]),  # type: ignore[arg-type]
        seeds=recording.repeats,
        **measured_there(recording),
        **taught,  # type: ignore[arg-type]
    )
