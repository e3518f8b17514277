"""Seeded simulations: what the formulas of :mod:`costlab.calculator` promise, played out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from costlab._internal import checks
from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["simulate_spot_job"]


def simulate_spot_job(
    rng: np.random.Generator,
    *,
    jobs: int,
    work_hours: float,
    mtbf_hours: float,
    checkpoint_s: float,
    restart_s: float,
    interval_s: float,
) -> NDArray[np.float64]:
    """Billed hours of interrupted, checkpointed jobs: one job after the other, one interruption after the other.

    The rules are those of :func:`costlab.calculator.spot_job`, whose expectation the mean approaches, but none of its
    algebra is used: interruptions arrive on a clock of their own, and strike work, checkpoints and restarts alike.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random interruptions.
    jobs : int
        Number of jobs to play, >= 1.
    work_hours, mtbf_hours : float
        Work per job and mean time between interruptions, in hours, > 0.
    checkpoint_s, restart_s, interval_s : float
        Seconds to write a checkpoint (> 0), to be back after an interruption (>= 0), and of computing between
        checkpoints (> 0).

    Returns
    -------
    numpy.ndarray, shape (jobs,)
        Billed hours of each job.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    """
    checks.integer("jobs", jobs, at_least=1)
    work = checks.positive("work_hours", work_hours) * SECONDS_PER_HOUR
    mtbf = checks.positive("mtbf_hours", mtbf_hours) * SECONDS_PER_HOUR
    checks.positive("checkpoint_s", checkpoint_s)
    checks.non_negative("restart_s", restart_s)
    checks.positive("interval_s", interval_s)
    parts = int(np.ceil(work / interval_s))
    part_s = work / parts + checkpoint_s
    billed_s = np.empty(jobs)
    for job in range(jobs):
        now, next_interruption, done, restarting = 0.0, rng.exponential(mtbf), 0, False
        while done < parts:
            end = now + part_s + (restart_s if restarting else 0.0)
            if next_interruption < end:
                now, restarting = next_interruption, True
                next_interruption = now + rng.exponential(mtbf)
            else:
                now, restarting, done = end, False, done + 1
        billed_s[job] = now
    return billed_s / SECONDS_PER_HOUR
