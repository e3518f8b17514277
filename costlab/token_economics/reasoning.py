"""Reasoning effort as a tier: what an answer costs that is right, from published runs of one model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from costlab._internal import checks
from costlab._internal.rows import shipped_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class EffortRun:
    """A published run of a benchmark at one reasoning effort.

    Attributes
    ----------
    model, effort, benchmark : str
        What answered, how hard it was told to think, and what it was asked.
    tasks : int
        Tasks of the benchmark.
    right_fraction : float
        Share of them that were solved, > 0.
    input_tokens, output_tokens : int
        Of all tasks together, reasoning included.
    usd : float
        Their bill in USD, as the publisher counted it.
    measured : datetime.date
        Day of the run.
    source_url : str
        Where it was read.
    """

    model: str
    effort: str
    benchmark: str
    tasks: int
    right_fraction: float
    input_tokens: int
    output_tokens: int
    usd: float
    measured: date
    source_url: str

    def __post_init__(self) -> None:
        checks.integer("tasks", self.tasks, at_least=1)
        checks.fraction("right_fraction", self.right_fraction, zero=False)
        checks.positive("usd", self.usd)

    @property
    def right(self) -> int:
        """How many tasks were solved, a whole number; the published share of them is rounded."""
        return round(self.tasks * self.right_fraction)

    @property
    def usd_per_right_answer(self) -> float:
        """The bill over the tasks solved, in USD; wrong answers are paid for as well.

        Examples
        --------
        How many times as much does a solved exercise cost gpt-5 at high effort as at low?

        >>> low, _, high = effort_runs()
        >>> round(high.usd_per_right_answer / low.usd_per_right_answer, 2)
        2.59
        """
        return self.usd / self.right if self.right else float("inf")

    def further_usd(self, cheaper: EffortRun) -> float:
        """USD for each task that this run solves and `cheaper` does not; infinite where it solves no more.

        A share of 225 tasks has a standard error of about two points, so a difference of one or two may be chance.
        """
        more = self.right - cheaper.right
        return (self.usd - cheaper.usd) / more if more > 0 else float("inf")


@cache
def effort_runs() -> tuple[EffortRun, ...]:
    """The published runs, from little effort to much."""
    return tuple(EffortRun(**row) for row in shipped_rows("costlab.token_economics", "reasoning_efforts.toml", "run"))
