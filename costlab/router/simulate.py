"""Millions of requests through a cascade, in time and memory that do not grow with their number.

What a request costs depends only on the way that it takes, so the requests are never drawn one by one: how many take
each way is one draw from the multinomial distribution, which is exactly what as many single draws would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costlab import checks
from costlab.errors import InvalidValueError
from costlab.router.outcomes import Outcomes, Played, play
from costlab.router.policy import Stage, expected

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Simulated", "simulate", "simulate_outcomes"]


@dataclass(frozen=True, slots=True)
class Simulated:
    """Requests that went through a cascade.

    Attributes
    ----------
    requests, seed : int
        How many, from which seed.
    tiers : tuple of str
        Stages of the cascade.
    tried, served : tuple of int
        Requests that each stage was tried on, and those that it answered.
    usd : float
        What all of them cost.
    usd_per_request, usd_per_request_error : float
        The mean, and its standard error.
    served_only_usd : float
        What the source lesson's account gives: only the stage that answered.
    quality_fraction : float
        Share of right answers; NaN where the stages' quality is unknown.
    """

    requests: int
    seed: int
    tiers: tuple[str, ...]
    tried: tuple[int, ...]
    served: tuple[int, ...]
    usd: float
    usd_per_request: float
    usd_per_request_error: float
    served_only_usd: float
    quality_fraction: float


def simulate(stages: Sequence[Stage], requests: int, seed: int = 0) -> Simulated:
    """Requests that reach the stages at random, with the stages' own probabilities.

    Parameters
    ----------
    stages : sequence of Stage
        As for :func:`costlab.router.expected`.
    requests : int
        How many, >= 1.
    seed : int
        Seed of the random numbers, >= 0.

    Returns
    -------
    Simulated

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    """
    expected(stages)  # refuses what cannot be played
    checks.whole("requests", requests, at_least=1)
    rng = np.random.default_rng(checks.whole("seed", seed))
    # All ways through the cascade: at which stage it ends, and which stages before were skipped by their gates.
    ways = _ways(stages)
    probabilities = np.array([way[0] for way in ways])
    counts = rng.multinomial(requests, probabilities / probabilities.sum())
    cost = np.array([way[1] for way in ways])
    end = np.array([way[2] for way in ways])
    tried = np.array([way[3] for way in ways])
    served = np.bincount(end, weights=counts, minlength=len(stages)).astype(int)
    usd = float(counts @ cost)
    mean = usd / requests
    spread = float(counts @ (cost - mean) ** 2) / max(1, requests - 1)
    right = sum(n * stage.quality_fraction for n, stage in zip(served, stages, strict=True))
    return Simulated(
        requests=requests,
        seed=seed,
        tiers=tuple(stage.name for stage in stages),
        tried=tuple(int(n) for n in counts @ tried),
        served=tuple(int(n) for n in served),
        usd=usd,
        usd_per_request=mean,
        usd_per_request_error=float(np.sqrt(spread / requests)),
        served_only_usd=float(sum(n * s.usd_per_request for n, s in zip(served, stages, strict=True))),
        quality_fraction=float(right) / requests,
    )


def _ways(stages: Sequence[Stage]) -> list[tuple[float, float, int, tuple[bool, ...]]]:
    """Probability, cost, last stage and stages tried, for every way through the cascade."""
    open_ways: list[tuple[float, float, tuple[bool, ...]]] = [(1.0, 0.0, ())]
    done: list[tuple[float, float, int, tuple[bool, ...]]] = []
    for index, stage in enumerate(stages):
        further = []
        for probability, usd, tried in open_ways:
            at = usd + stage.gate_usd_per_request
            skipped = probability * stage.skip_fraction
            asked = probability - skipped
            rest = (False,) * (len(stages) - index - 1)
            done.append((asked * (1 - stage.pass_fraction), at + stage.usd_per_request, index, (*tried, True, *rest)))
            further.append((asked * stage.pass_fraction, at + stage.usd_per_request, (*tried, True)))
            further.append((skipped, at, (*tried, False)))
        open_ways = [way for way in further if way[0] > 0.0]
    return [way for way in done if way[0] > 0.0]


def simulate_outcomes(
    outcomes: Outcomes,
    thresholds: Sequence[float],
    requests: int,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Simulated:
    """Requests drawn again and again from the rows of a table, as a cascade with these thresholds treats them.

    Parameters
    ----------
    outcomes : Outcomes
        The labelled rows.
    thresholds : sequence of float
        As for :func:`costlab.router.play`.
    requests : int
        How many, >= 1.
    seed : int
        Seed of the random numbers, >= 0.
    weights : sequence of float, length queries, optional
        How often each row comes, relative to the others; by default equally often. A Zipf law for popular queries,
        or more weight on the hard ones for traffic that drifts.

    Returns
    -------
    Simulated

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    """
    checks.whole("requests", requests, at_least=1)
    rng = np.random.default_rng(checks.whole("seed", seed))
    played = play(outcomes, thresholds)
    if weights is None:
        share = np.full(len(outcomes), 1.0 / len(outcomes))
    else:
        share = np.asarray(weights, dtype=np.float64)
        if share.shape != (len(outcomes),) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
            raise InvalidValueError("weights", f"{len(outcomes)} numbers >= 0, not all 0", share.shape)
        share = share / share.sum()
    counts = rng.multinomial(requests, share)
    return _counted(outcomes, played, counts, seed)


def _counted(outcomes: Outcomes, played: Played, counts: NDArray[np.int64], seed: int) -> Simulated:
    tier, usd = played.tier, played.usd
    requests = int(counts.sum())
    total = float(counts @ usd)
    mean = total / requests
    spread = float(counts @ (usd - mean) ** 2) / max(1, requests - 1)
    served = np.bincount(tier, weights=counts, minlength=len(outcomes.tiers)).astype(int)
    rows = np.arange(len(outcomes))
    return Simulated(
        requests=requests,
        seed=seed,
        tiers=outcomes.tiers,
        tried=tuple(int(n) for n in np.cumsum(served[::-1])[::-1]),
        served=tuple(int(n) for n in served),
        usd=total,
        usd_per_request=mean,
        usd_per_request_error=float(np.sqrt(spread / requests)),
        served_only_usd=float(counts @ outcomes.usd[rows, tier]),
        quality_fraction=float(counts @ played.correct) / requests,
    )
