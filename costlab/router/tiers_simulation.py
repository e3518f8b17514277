"""A file of tiers, played: what its requests cost, and how that compares with the four baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.binomial import clopper_pearson
from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError
from costlab.router.evaluation import Point, baselines, cost_at, hull
from costlab.router.outcomes import Outcomes, play
from costlab.router.policy import Stage
from costlab.router.simulation import MAX_REQUESTS, Simulated, behind_cache, simulate, simulate_outcomes

if TYPE_CHECKING:
    from costlab.router.tiers_file import TiersFile

__all__ = ["Baseline", "Comparison", "TiersSimulation", "simulate_tiers"]

#: Coverage of a quality's interval.
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Baseline:
    """One of the four that a cascade is compared with.

    Attributes
    ----------
    name : {'all_large', 'random_mix', 'best_fixed_mix', 'oracle'}
        Which; see :class:`costlab.router.Baselines`.
    usd_per_request, quality_fraction : float
        Of a mix, at the cascade's quality, or the nearest above that it has; NaN where it reaches no such quality.
    saving_fraction : float
        Share of this baseline's cost that the cascade saves; negative where it is dearer. At equal quality for a mix;
        for the others at the two qualities that stand beside it. NaN where the baseline has no cost.
    """

    name: str
    usd_per_request: float
    quality_fraction: float
    saving_fraction: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A cascade beside its baselines, on labelled queries; behind the cache, where there is one.

    Attributes
    ----------
    queries : int
        Labelled queries.
    usd_per_request, quality_fraction : float
        The cascade's means over them.
    quality_low, quality_high : float
        Clopper and Pearson's interval of its quality, at 95 %; NaN for graded answers.
    baselines : tuple of Baseline
        All four.
    """

    queries: int
    usd_per_request: float
    quality_fraction: float
    quality_low: float
    quality_high: float
    baselines: tuple[Baseline, ...]


@dataclass(frozen=True, slots=True)
class TiersSimulation:
    """Requests that went through a file's cascade.

    Attributes
    ----------
    simulated : Simulated
        What they did and cost; its first tier is the cache, where the file has one. Its quality is NaN where the file
        does not say how good a tier is.
    latency_s : float
        Mean time to the answer; NaN where the file does not say how long a tier takes.
    comparison : Comparison or None
        Only from labelled queries: without them nobody knows the quality of each tier alone.
    """

    simulated: Simulated
    latency_s: float
    comparison: Comparison | None


def simulate_tiers(file: TiersFile, requests: int, seed: int = 0) -> TiersSimulation:
    """Requests through the cascade of a file.

    Parameters
    ----------
    file : TiersFile
        With labelled queries under ``[outcomes]``, which are drawn again and again; or with the shares of requests
        that each tier passes on.
    requests : int
        How many, from 1 to 10^15.
    seed : int
        Seed of the random numbers, >= 0.

    Returns
    -------
    TiersSimulation

    Raises
    ------
    TiersFileError
        If the file lacks what the simulation needs, or its labelled queries cannot be used.
    InvalidValueError
        If an argument is outside its domain.

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
            told = [math.nan if tier.simulation.quality_fraction is None else 0.0 for tier in keys.tier]
            unknown = _mean(*zip(told, behind.served, strict=True))
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
    """The mean of some values, each for so many requests; what is unknown counts only where there are requests."""
    return sum(value * n for value, n in values if n) / sum(n for _, n in values)


def _stage(file: TiersFile, number: int) -> Stage:
    tier, price = file.keys.tier[number - 1], file.prices[number - 1]
    told, place, last = tier.simulation, f"tier.{number}.simulation", number == len(file.keys.tier)
    if isinstance(price, ApiPrice):
        if told.input_tokens is None:
            raise file.error(f"{place}.input_tokens is missing; simulate needs it for a price by the token")
        try:
            usd = price.usd(told.input_tokens, told.output_tokens, told.cached_input_tokens)
        except InvalidValueError as error:
            raise file.error(f"{place}.{error}") from error
    else:
        usd = price
    if last and (told.pass_fraction or told.skip_fraction):
        raise file.error(f"{place}.pass_fraction and skip_fraction must be 0: the last tier answers all that reach it")
    if not last and told.pass_fraction is None:
        raise file.error(f"{place}.pass_fraction is missing; simulate needs it, or labelled queries under [outcomes]")
    return Stage(
        tier.name,
        usd,
        pass_fraction=told.pass_fraction or 0.0,
        skip_fraction=told.skip_fraction,
        gate_usd_per_request=0.0 if tier.gate is None or last else tier.gate.usd_per_request,
        quality_fraction=told.quality_fraction or 0.0,
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


def _compared(outcomes: Outcomes, limits: Sequence[float]) -> Comparison:
    played = play(outcomes, limits)
    usd, quality = played.usd_per_request, played.quality_fraction
    low = high = math.nan
    if np.isin(outcomes.correct, (0.0, 1.0)).all():
        low, high = clopper_pearson(round(float(played.correct.sum())), len(outcomes), LEVEL)
    base = baselines(outcomes)
    random, fixed = (
        Point(cost_at(mix, quality), max(quality, hull(mix)[0].quality_fraction))
        for mix in (base.random_mix, base.best_fixed_mix)
    )
    named = {"all_large": base.all_large, "random_mix": random, "best_fixed_mix": fixed, "oracle": base.oracle}
    found = tuple(Baseline(name, *_saved(usd, point)) for name, point in named.items())
    return Comparison(len(outcomes), usd, quality, low, high, found)


def _saved(usd: float, point: Point) -> tuple[float, float, float]:
    cost = point.usd_per_request
    if math.isnan(cost):
        return math.nan, math.nan, math.nan
    return cost, point.quality_fraction, 1.0 - usd / cost if cost else math.nan


def _nothing(file: TiersFile, seed: int) -> Simulated:
    """What reaches the tiers when the cache answers everything."""
    tiers = tuple(tier.name for tier in file.keys.tier)
    none = (0,) * len(tiers)
    return Simulated(0, seed, tiers, none, none, 0.0, 0.0, 0.0, 0.0, math.nan, tuple(map(float, none)))
