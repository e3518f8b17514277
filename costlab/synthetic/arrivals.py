"""When things happen: requests by the hour, interruptions of spot machines, and a clock to set to those times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from costlab.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Midnight UTC before Monday the 5th of January 2026.
SAMPLE_START_S: Final = 1_767_571_200.0

#: When a day is busiest, in seconds after midnight, and its swing: then come four times the requests of two at night.
PEAK_S: Final = 14 * SECONDS_PER_HOUR
DAY_SWING_FRACTION: Final = 0.6

#: Laws of the time between two requests: both have any coefficient of variation that bursts need.
LAWS: Final = ("gamma", "hyperexponential")


class ManualClock:
    """A clock that shows what its `now_s` is set to, in seconds since 1970-01-01 UTC, while a day is replayed."""

    __slots__ = ("now_s",)

    def __init__(self, now_s: float = SAMPLE_START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """The time, in seconds since 1970-01-01 UTC."""
        return self.now_s


def arrival_times(
    rng: np.random.Generator,
    *,
    requests_per_s: float,
    duration_s: float,
    cv: float = 1.0,
    law: str = "gamma",
    diurnal_fraction: float = 0.0,
    peak_s: float = PEAK_S,
) -> NDArray[np.float64]:
    r"""Seconds at which requests arrive, ascending: in bursts, and more of them by day than by night.

    Gaps are independent with mean 1 and coefficient of variation `cv` in a time that runs as fast as requests come,

    .. math:: \lambda(t) = \bar\lambda \left[1 + a \cos\frac{2\pi (t - t_\text{peak})}{24\,\text{h}}\right]

    Parameters
    ----------
    requests_per_s : float
        Mean rate over a day, > 0.
    duration_s : float
        Length of the stream in seconds, > 0, from midnight; it has about ``requests_per_s * duration_s`` requests.
    cv : float
        Standard deviation of the gaps over their mean, > 0: 1 is a Poisson stream, more comes in bursts, less is
        steadier.
    law : {'gamma', 'hyperexponential'}
        The gaps' distribution. A Gamma law makes bursts of requests that are almost simultaneous. The hyper-exponential
        one, for ``cv >= 1``, mixes a busy and a quiet Poisson stream with equal shares of the time.
    diurnal_fraction : float
        Swing of the rate over a day, a, in [0, 1): 0.5 has three times as many requests at the peak as at the bottom.
    peak_s : float
        Time of the peak in seconds after midnight.

    Examples
    --------
    Six requests a second with the gaps of a code assistant: how many come in the busiest of 600 seconds?

    >>> times = arrival_times(np.random.default_rng(4), requests_per_s=6, duration_s=600, cv=13)
    >>> int(np.bincount(times.astype(int)).max()) > 100
    True
    """
    rate = checks.positive("requests_per_s", requests_per_s)
    checks.positive("duration_s", duration_s)
    swing = checks.fraction("diurnal_fraction", diurnal_fraction, one=False)
    checks.finite("peak_s", peak_s)
    grid, warped_s = _warped(duration_s, swing, peak_s)
    expected = rate * warped_s  # the integral of the rate, in requests: where it reaches k, the k-th request comes
    reached: list[NDArray[np.float64]] = []
    total = 0.0
    while total < expected[-1]:
        gaps = _gaps(rng, law, cv, int(expected[-1] - total) + 100)
        reached.append(total + np.cumsum(gaps))
        total = float(reached[-1][-1])
    counts = np.concatenate(reached)
    return np.asarray(np.interp(counts[counts < expected[-1]], expected, grid))


def _warped(duration_s: float, swing: float, peak_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A grid of seconds, and the same in a time that runs as fast as requests come."""
    grid = np.linspace(0.0, duration_s, max(2, int(duration_s / 60) + 1))
    angle = 2 * np.pi / SECONDS_PER_DAY
    return grid, grid + swing / angle * (np.sin(angle * (grid - peak_s)) + np.sin(angle * peak_s))


def _gaps(rng: np.random.Generator, law: str, cv: float, size: int) -> NDArray[np.float64]:
    checks.one_of("law", law, LAWS)
    square = checks.positive("cv", cv) ** 2
    if law == "gamma":
        return rng.gamma(1 / square, square, size)
    if cv < 1:
        raise InvalidValueError("cv", "a number >= 1 for hyper-exponential gaps", cv)
    busy = 0.5 * (1 + np.sqrt((square - 1) / (square + 1)))  # share of the gaps; balanced means
    mean = np.where(rng.random(size) < busy, 0.5 / busy, 0.5 / (1 - busy))
    return np.asarray(mean * rng.exponential(size=size))


def day_arrivals(rng: np.random.Generator, requests: float, *, known: bool = False) -> NDArray[np.float64]:
    """Seconds after midnight, ascending, of a Poisson stream with a day's swing: of an expected number, or `known`."""
    if known:
        grid, warped_s = _warped(SECONDS_PER_DAY, DAY_SWING_FRACTION, PEAK_S)
        return np.asarray(np.interp(np.sort(rng.random(int(requests))) * warped_s[-1], warped_s, grid))
    rate = requests / SECONDS_PER_DAY
    return arrival_times(rng, requests_per_s=rate, duration_s=SECONDS_PER_DAY, diurnal_fraction=DAY_SWING_FRACTION)


def hourly_arrivals(
    rng: np.random.Generator, requests: int, day_weights: Sequence[float] | NDArray[np.float64] = (1.0,)
) -> NDArray[np.float64]:
    """Hours after the first midnight, by the curve of a day whose peak is twice its mean; hours in order, not minutes.

    `day_weights` are the busyness of the days, relative to each other.
    """
    curve = np.array(Workload(1.0, input_tokens=1.0, peak_to_mean=2.0).hourly_requests_per_s())
    weights = np.outer(day_weights, curve).ravel()
    counts = rng.multinomial(requests, weights / weights.sum())
    return np.repeat(np.arange(len(weights)), counts) + rng.random(requests)


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
    """Billed hours of interrupted, checkpointed jobs, shape (jobs,): one interruption after the other.

    The rules are those of :func:`costlab.calculator.spot_job`, whose expectation the mean approaches, but none of its
    algebra is used: interruptions arrive on a clock of their own, and strike work, checkpoints and restarts alike.

    Parameters
    ----------
    jobs : int
        Number of jobs to play, >= 1.
    work_hours, mtbf_hours : float
        Work per job and mean time between interruptions, in hours, > 0.
    checkpoint_s, restart_s, interval_s : float
        Seconds to write a checkpoint (> 0), to be back after an interruption (>= 0), and of computing between
        checkpoints (> 0).
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
