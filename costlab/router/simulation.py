"""Millions of requests through a cascade, in time and memory that do not grow with their number.

What a request costs depends only on the way that it takes, so the requests are never drawn one by one: how many take
each way is one draw from the multinomial distribution, which is exactly what as many single draws would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.cache.economics import lru_replay
from costlab.errors import InvalidValueError
from costlab.router.outcomes import Outcomes, Played, play
from costlab.router.policy import Stage, expected

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_REQUESTS", "Simulated", "simulate", "simulate_outcomes", "simulate_stream"]

#: More are refused: beyond them counts and dollars are no longer exact as floats.
MAX_REQUESTS: Final = 10**15


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
    tier_usd : tuple of float
        What each stage cost, its gate included.
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
    tier_usd: tuple[float, ...]


def simulate(stages: Sequence[Stage], requests: int, seed: int = 0) -> Simulated:
    """Requests that reach the stages at random, with the stages' own probabilities.

    Parameters
    ----------
    stages : sequence of Stage
        As for :func:`costlab.router.expected`.
    requests : int
        How many, from 1 to 10^15.
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
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    rng = np.random.default_rng(checks.integer("seed", seed))
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
    arrived = requests - np.cumsum(served) + served
    through = counts @ tried
    right = sum(n * stage.quality_fraction for n, stage in zip(served, stages, strict=True))
    return Simulated(
        requests=requests,
        seed=seed,
        tiers=tuple(stage.name for stage in stages),
        tried=tuple(int(n) for n in through),
        served=tuple(int(n) for n in served),
        usd=usd,
        usd_per_request=mean,
        usd_per_request_error=float(np.sqrt(spread / requests)),
        served_only_usd=float(sum(n * s.usd_per_request for n, s in zip(served, stages, strict=True))),
        quality_fraction=float(right) / requests,
        tier_usd=tuple(
            float(came * stage.gate_usd_per_request + asked * stage.usd_per_request)
            for came, asked, stage in zip(arrived, through, stages, strict=True)
        ),
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


def simulate_stream(
    cache: Stage, stages: Sequence[Stage], stream: Iterable[NDArray[np.int64]], entries: int, seed: int = 0
) -> Simulated:
    """A stream of requests through an LRU cache, and what it misses through a cascade.

    Parameters
    ----------
    cache : Stage
        What a look-up costs, and how good its answers are. Its `pass_fraction` is not used: what passes is found out.
    stages : sequence of Stage
        The cascade behind it, as for :func:`costlab.router.expected`.
    stream : iterable of numpy.ndarray of int
        What is asked, in parts, as for :func:`costlab.cache.economics.lru_replay`:
        :func:`costlab.cache.economics.zipf_requests`, or one's own log.
    entries : int
        Answers that the cache holds, >= 1. It is empty at first.
    seed : int
        Seed of the random numbers behind the cache, >= 0.

    Returns
    -------
    Simulated
        With the cache as its first tier. The standard error takes the requests for independent of each other.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain, or the stream is empty.

    Examples
    --------
    A million requests for a hundred thousand things, 10,000 answers kept, 3 cents a call. What does a request cost?

    >>> from costlab.cache.economics import ZipfTraffic
    >>> from costlab.cache.economics import zipf_requests
    >>> stream = zipf_requests(np.random.default_rng(4), ZipfTraffic(100_000, 0.9), 1_000_000)
    >>> day = simulate_stream(Stage("cache", 0.00001), [Stage("model", 0.03)], stream, entries=10_000)
    >>> round(day.usd_per_request, 3)
    0.012
    """
    expected(stages)
    replayed = lru_replay(stream, entries)
    if not replayed.requests:
        raise InvalidValueError("stream", "at least one request", 0)
    # The first request is never a hit.
    return behind_cache(cache, replayed.hits, simulate(stages, replayed.requests - replayed.hits, seed))


def behind_cache(cache: Stage, hits: int, behind: Simulated) -> Simulated:
    """Requests of which a cache answered `hits`, and a cascade the others."""
    requests = hits + behind.requests
    lookups = requests * (cache.usd_per_request + cache.gate_usd_per_request)
    share, mean = behind.requests / requests, behind.usd_per_request
    # The mean square of what requests cost behind the cache, of which its hits cost nothing.
    square = behind.usd_per_request_error**2 * behind.requests + mean**2
    return Simulated(
        requests=requests,
        seed=behind.seed,
        tiers=(cache.name, *behind.tiers),
        tried=(requests, *behind.tried),
        served=(hits, *behind.served),
        usd=lookups + behind.usd,
        usd_per_request=(lookups + behind.usd) / requests,
        usd_per_request_error=float(np.sqrt(max(0.0, share * square - (share * mean) ** 2) / requests)),
        served_only_usd=hits * cache.usd_per_request + behind.served_only_usd,
        quality_fraction=(hits * cache.quality_fraction + behind.requests * behind.quality_fraction) / requests,
        tier_usd=(lookups, *behind.tier_usd),
    )


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
        How many, from 1 to 10^15.
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
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    rng = np.random.default_rng(checks.integer("seed", seed))
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
        tier_usd=tuple(float(counts @ np.where(tier >= i, paid, 0.0)) for i, paid in enumerate(outcomes.usd.T)),
    )
