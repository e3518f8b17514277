"""Millions of requests through a cascade, in time and memory that do not grow with their number.

What a request costs depends only on the way that it takes, so the requests are never drawn one by one: how many take
each way is one draw from the multinomial distribution, which is exactly what as many single draws would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from costlab._internal import checks
from costlab._internal.binomial import clopper_pearson
from costlab.cache.economics import lru_replay
from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError
from costlab.router.evaluation import Outcomes, Point, baselines, cost_at, evaluate_cascade, hull
from costlab.router.policy import AttemptOutcome, NextStep, Stage, expected, first_step, next_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from costlab.router.tiers_file import TiersFile

#: More are refused: beyond them counts and dollars are no longer exact as floats.
MAX_REQUESTS: Final = 10**15
#: Coverage of a quality's interval.
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Simulated:
    """Requests that went through a cascade.

    Attributes
    ----------
    requests, seed : int
        How many, from which seed.
    tiers, tried, served, tier_usd : tuple
        The stages' names; requests that each was tried on, and that it answered; what it cost, its gate included.
    usd, usd_per_request, usd_per_request_error : float
        What all requests cost, the mean, and its standard error.
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
    tier_usd: tuple[float, ...]


def simulate(stages: Sequence[Stage], requests: int, seed: int = 0) -> Simulated:
    """Requests that reach the stages at random, with the stages' own probabilities.

    The stages are those of :func:`costlab.router.expected`; from 1 to 10^15 requests, and a seed >= 0.
    """
    expected(stages)  # refuses what cannot be simulated
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    rng = np.random.default_rng(checks.integer("seed", seed))
    ways = _ways(stages)
    probabilities = np.array([way.probability for way in ways])
    counts = rng.multinomial(requests, probabilities / probabilities.sum())
    tried = counts @ np.array([way.tried for way in ways])
    served = np.bincount([way.step.tier for way in ways], weights=counts, minlength=len(stages)).astype(int)
    usd, mean, error = _bill(counts, np.array([way.usd for way in ways]))
    arrived = requests - np.cumsum(served) + served
    right = sum(n * stage.quality_fraction for n, stage in zip(served, stages, strict=True))
    return Simulated(
        requests=requests,
        seed=seed,
        tiers=tuple(stage.name for stage in stages),
        tried=tuple(tried.tolist()),
        served=tuple(served.tolist()),
        usd=usd,
        usd_per_request=mean,
        usd_per_request_error=error,
        served_only_usd=float(sum(n * stage.usd_per_request for n, stage in zip(served, stages, strict=True))),
        quality_fraction=float(right) / requests,
        tier_usd=tuple(
            float(came * stage.gate_usd_per_request + asked * stage.usd_per_request)
            for came, asked, stage in zip(arrived, tried, stages, strict=True)
        ),
    )


def _bill(counts: NDArray[np.int64], usd: NDArray[np.float64]) -> tuple[float, float, float]:
    """What requests cost, given how many have each cost: the sum, the mean and its standard error."""
    requests, total = int(counts.sum()), float(counts @ usd)
    mean = total / requests
    spread = float(counts @ (usd - mean) ** 2) / max(1, requests - 1)
    return total, mean, float(np.sqrt(spread / requests))


class _Way(NamedTuple):
    """A way through the cascade: how probable it is, what it costs, which stages it tries, and what comes next."""

    probability: float
    usd: float
    tried: tuple[bool, ...]
    step: NextStep


def _ways(stages: Sequence[Stage]) -> list[_Way]:
    """All ways that end with an answer, found by asking the cascade's own decision what comes after each attempt."""
    thresholds, reserve_usd = [0.5] * (len(stages) - 1), [0.0] * len(stages)
    under_way, ended = [_Way(1.0, 0.0, (), first_step())], list[_Way]()
    for stage in stages:
        further: list[_Way] = []
        for probability, usd, tried, step in under_way:
            gated = usd + stage.gate_usd_per_request
            skipped = probability * stage.skip_fraction
            asked = probability - skipped
            results: tuple[tuple[float, float, AttemptOutcome, float], ...] = (
                (asked * (1 - stage.pass_fraction), gated + stage.usd_per_request, "answered", 1.0),
                (asked * stage.pass_fraction, gated + stage.usd_per_request, "answered", 0.0),
                (skipped, gated, "skipped", 0.0),
            )
            for share, cost, outcome, confidence in results:
                if share > 0.0:
                    after = next_step(step, outcome, confidence, thresholds, reserve_usd)
                    way = _Way(share, cost, (*tried, outcome == "answered"), after)
                    (ended if after.action == "serve" else further).append(way)
        under_way = further
    return [way._replace(tried=way.tried + (False,) * (len(stages) - len(way.tried))) for way in ended]


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
        :func:`costlab.synthetic.zipf_requests`, or one's own log.
    entries, seed : int
        Answers that the cache, empty at first, holds, >= 1; seed of the random numbers behind it, >= 0.

    Notes
    -----
    The cache is the result's first tier. The standard error takes the requests for independent of each other.

    Examples
    --------
    A million requests for a hundred thousand things, 10,000 answers kept, 3 cents a call. What does a request cost?

    >>> from costlab.cache.economics import ZipfTraffic
    >>> from costlab.synthetic import zipf_requests
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
    outcomes, thresholds : Outcomes, sequence of float
        The labelled rows, and thresholds as for :func:`costlab.router.evaluate_cascade`.
    requests, seed : int
        How many, from 1 to 10^15; seed of the random numbers, >= 0.
    weights : sequence of float, length queries, optional
        How often each row comes, relative to the others; by default equally often. A Zipf law for popular queries,
        or more weight on the hard ones for traffic that drifts.
    """
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    rng = np.random.default_rng(checks.integer("seed", seed))
    result = evaluate_cascade(outcomes, thresholds)
    if weights is None:
        share = np.full(len(outcomes), 1.0 / len(outcomes))
    else:
        share = np.asarray(weights, dtype=np.float64)
        if share.shape != (len(outcomes),) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
            raise InvalidValueError("weights", f"{len(outcomes)} numbers >= 0, not all 0", share.shape)
        share = share / share.sum()
    counts = rng.multinomial(requests, share)
    tier = result.tier
    total, mean, error = _bill(counts, result.usd)
    served = np.bincount(tier, weights=counts, minlength=len(outcomes.tiers)).astype(int)
    rows = np.arange(len(outcomes))
    return Simulated(
        requests=requests,
        seed=seed,
        tiers=outcomes.tiers,
        tried=tuple(np.cumsum(served[::-1])[::-1].tolist()),
        served=tuple(served.tolist()),
        usd=total,
        usd_per_request=mean,
        usd_per_request_error=error,
        served_only_usd=float(counts @ outcomes.usd[rows, tier]),
        quality_fraction=float(counts @ result.correct) / requests,
        tier_usd=tuple(float(counts @ np.where(tier >= i, paid, 0.0)) for i, paid in enumerate(outcomes.usd.T)),
    )


@dataclass(frozen=True, slots=True)
class BaselineSaving:
    """One of the four that a cascade is compared with.

    Attributes
    ----------
    name : str
        ``all_large``, ``random_mix``, ``best_fixed_mix`` or ``oracle``; see :class:`costlab.router.Baselines`.
    usd_per_request, quality_fraction : float
        Of a mix, at the cascade's quality, or the nearest above that it has; NaN where it reaches no such quality.
    saving_fraction : float
        Share of this baseline's cost that the cascade saves; negative where it costs more. At equal quality for a mix;
        for the others at the two qualities given beside it. NaN where the baseline has no cost.
    """

    name: str
    usd_per_request: float
    quality_fraction: float
    saving_fraction: float


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """A cascade beside its baselines, on labelled queries; behind the cache, where there is one.

    Attributes
    ----------
    queries : int
        Labelled queries.
    usd_per_request, quality_fraction, quality_low, quality_high : float
        The cascade's means over them, with Clopper and Pearson's interval of its quality, at 95 %; NaN for graded
        answers.
    baselines : tuple of BaselineSaving
        All four.
    """

    queries: int
    usd_per_request: float
    quality_fraction: float
    quality_low: float
    quality_high: float
    baselines: tuple[BaselineSaving, ...]


@dataclass(frozen=True, slots=True)
class TiersSimulation:
    """Requests that went through a file's cascade.

    Attributes
    ----------
    simulated, latency_s : Simulated, float
        What they did and cost, where the first tier is the file's cache, if it has one; and the mean time to the
        answer. Quality and time are NaN where the file does not say how good a tier is, or how long it takes.
    comparison : BaselineComparison or None
        Only from labelled queries: without them no one knows the quality of each tier alone.
    """

    simulated: Simulated
    latency_s: float
    comparison: BaselineComparison | None


def simulate_tiers(file: TiersFile, requests: int, seed: int = 0) -> TiersSimulation:
    """Requests through the cascade of a file.

    Parameters
    ----------
    file : TiersFile
        With labelled queries under ``[outcomes]``, which are drawn again and again; or with the shares of requests
        that each tier passes on.
    requests, seed : int
        How many, from 1 to 10^15; seed of the random numbers, >= 0.

    Raises
    ------
    TiersFileError
        If the file lacks what the simulation needs, or its labelled queries cannot be used.

    Examples
    --------
    A million requests at the source lesson's prices. Its account, for the tier that answers alone, gave 3,803 USD.

    >>> from costlab.router.tiers_file import example_tiers, parse_tiers
    >>> day = simulate_tiers(parse_tiers(example_tiers()), 1_000_000).simulated
    >>> round(day.usd, -2), round(day.served_only_usd, -2)
    (4100.0, 3800.0)
    """
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    rng = np.random.default_rng([checks.integer("seed", seed), 1])  # another stream than the one behind the cache
    keys, comparison = file.keys, None
    hits = 0 if keys.cache is None else int(rng.binomial(requests, keys.cache.hit_rate_fraction))
    behind = _nothing(file, seed)
    if keys.outcomes is not None:
        table, limits = _table(file, keys.outcomes.path), [tier.min_confidence for tier in keys.tier[:-1]]
        comparison = _compared(table, limits)
        if hits < requests:
            behind = simulate_outcomes(table, limits, requests - hits, seed)
    else:
        stages = [_stage(file, number) for number in range(1, len(keys.tier) + 1)]
        if hits < requests:
            behind = simulate(stages, requests - hits, seed)
            gaps = [math.nan if tier.simulation.quality_fraction is None else 0.0 for tier in keys.tier]
            unknown = _mean(*zip(gaps, behind.served, strict=True))
            behind = replace(behind, quality_fraction=behind.quality_fraction + unknown)
    whole = behind
    if keys.cache is not None:
        kept = keys.cache.quality_fraction
        # An answer that was kept is as good as it was when it was given.
        reused = behind.quality_fraction if kept is None else kept
        quality = _mean((reused, hits), (behind.quality_fraction, behind.requests))
        whole = behind_cache(Stage("cache", keys.cache.usd_per_lookup), hits, behind)
        whole = replace(whole, quality_fraction=quality)
    waits = [keys.cache.latency_s] if keys.cache else []
    waits += [tier.simulation.latency_s for tier in keys.tier]
    known = [math.nan if wait is None else wait for wait in waits]
    latency_s = sum(wait * tried for wait, tried in zip(known, whole.tried, strict=True) if tried) / requests
    return TiersSimulation(whole, latency_s, comparison)


def _mean(*values: tuple[float, int]) -> float:
    """The mean of some values, each for a number of requests; what is unknown counts only where there are requests."""
    return sum(value * n for value, n in values if n) / sum(n for _, n in values)


def _stage(file: TiersFile, number: int) -> Stage:
    tier, price = file.keys.tier[number - 1], file.prices[number - 1]
    simulation, place, last = tier.simulation, f"tier.{number}.simulation", number == len(file.keys.tier)
    if isinstance(price, ApiPrice):
        if simulation.input_tokens is None:
            raise file.error(f"{place}.input_tokens is missing; simulate needs it for a price by the token")
        try:
            usd = simulation.usd(price)
        except InvalidValueError as error:
            raise file.error(f"{place}.{error}") from error
    else:
        usd = price
    if last and (simulation.pass_fraction or simulation.skip_fraction):
        raise file.error(f"{place}.pass_fraction and skip_fraction must be 0: the last tier answers all that reach it")
    if not last and simulation.pass_fraction is None:
        raise file.error(f"{place}.pass_fraction is missing; simulate needs it, or labelled queries under [outcomes]")
    return Stage(
        tier.name,
        usd,
        pass_fraction=simulation.pass_fraction or 0.0,
        skip_fraction=simulation.skip_fraction,
        gate_usd_per_request=0.0 if tier.gate is None or last else tier.gate.usd_per_request,
        quality_fraction=simulation.quality_fraction or 0.0,
    )


def _table(file: TiersFile, name: str) -> Outcomes:
    path = file.folder / name
    read = Outcomes.from_parquet if path.suffix == ".parquet" else Outcomes.from_csv
    try:
        return read(path, [tier.name for tier in file.keys.tier])
    except OSError as error:
        raise file.error(f"outcomes.path: {name} cannot be read: {error.strerror}") from error
    except InvalidValueError as error:
        raise file.error(f"outcomes.path: {error}") from error


def _compared(outcomes: Outcomes, limits: Sequence[float]) -> BaselineComparison:
    result = evaluate_cascade(outcomes, limits)
    usd, quality = result.usd_per_request, result.quality_fraction
    low = high = math.nan
    if np.isin(outcomes.correct, (0.0, 1.0)).all():
        low, high = clopper_pearson(round(float(result.correct.sum())), len(outcomes), LEVEL)
    base = baselines(outcomes)
    random, fixed = (
        Point(cost_at(mix, quality), max(quality, hull(mix)[0].quality_fraction))
        for mix in (base.random_mix, base.best_fixed_mix)
    )
    named = {"all_large": base.all_large, "random_mix": random, "best_fixed_mix": fixed, "oracle": base.oracle}
    savings = tuple(BaselineSaving(name, *_saved(usd, point)) for name, point in named.items())
    return BaselineComparison(len(outcomes), usd, quality, low, high, savings)


def _saved(usd: float, point: Point) -> tuple[float, float, float]:
    cost = point.usd_per_request
    return cost, math.nan if math.isnan(cost) else point.quality_fraction, 1.0 - usd / cost if cost else math.nan


def _nothing(file: TiersFile, seed: int) -> Simulated:
    """What reaches the tiers when the cache answers everything."""
    tiers = tuple(tier.name for tier in file.keys.tier)
    none = (0,) * len(tiers)
    return Simulated(0, seed, tiers, none, none, 0.0, 0.0, 0.0, 0.0, math.nan, tuple(map(float, none)))
