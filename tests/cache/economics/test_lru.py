import itertools
import math
import statistics
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.economics import ZipfTraffic, lru_cache
from costlab.errors import InvalidValueError

UNIQUE, EXPONENTS = st.integers(2, 4000), st.floats(0, 3)


def probabilities(unique: int, zipf: float) -> list[float]:
    weights = [k**-zipf for k in range(1, unique + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def exact_hit_rate(unique: int, zipf: float, entries: int) -> float:
    """King (1971): the chance of every order in which the last `entries` different things can have been asked."""
    p, hits = probabilities(unique, zipf), 0.0
    for order in itertools.permutations(range(unique), entries):
        chance, left = 1.0, 1.0
        for thing in order:
            chance, left = chance * p[thing] / left, left - p[thing]
        hits += chance * sum(p[thing] for thing in order)
    return hits


def simulated(unique: int, zipf: float, entries: int, requests: int, *, warm: int = 0, seed: int = 4) -> float:
    """Hit rate of an LRU cache, played out, over the `requests` that follow `warm` others."""
    rng, held, hits = np.random.default_rng(seed), OrderedDict[int, None](), 0
    asked = rng.choice(unique, size=warm + requests, p=probabilities(unique, zipf))
    for number, thing in enumerate(asked.tolist()):
        if thing in held:
            held.move_to_end(thing)
            hits += number >= warm
        else:
            held[thing] = None
            if len(held) > entries:
                held.popitem(last=False)
    return hits / requests


@pytest.mark.parametrize(("zipf", "entries"), [(0.0, 3), (0.8, 2), (0.8, 5), (1.2, 3)])
def test_agrees_with_the_exact_formula_even_for_a_handful_of_things(zipf: float, entries: int) -> None:
    assert lru_cache(ZipfTraffic(8, zipf), entries).hit_rate_fraction == pytest.approx(
        exact_hit_rate(8, zipf, entries), abs=0.02
    )


@pytest.mark.parametrize(("zipf", "entries"), [(0.6, 50), (0.9, 50), (0.9, 500), (1.1, 200)])
def test_agrees_with_simulation_within_half_a_point(zipf: float, entries: int) -> None:
    predicted = lru_cache(ZipfTraffic(2000, zipf), entries).hit_rate_fraction
    assert predicted == pytest.approx(simulated(2000, zipf, entries, 60_000, warm=20_000), abs=0.005)


@pytest.mark.parametrize("requests", [500, 3000, 20_000])
def test_a_cache_that_starts_empty_agrees_with_simulation_too(requests: int) -> None:
    cache = lru_cache(ZipfTraffic(2000, 0.9), 400, requests)
    played = [simulated(2000, 0.9, 400, requests, seed=seed) for seed in range(100_000 // requests)]
    assert cache.first_hit_rate_fraction == pytest.approx(statistics.fmean(played), abs=0.005)
    assert cache.first_hit_rate_fraction is not None
    assert cache.first_hit_rate_fraction < cache.hit_rate_fraction


def test_misses_approach_jelenkovic_s_ratio_to_the_best_static_cache() -> None:
    # Jelenkovic (1999), Annals of Applied Probability 9(2), theorem 3: for exponent s > 1 an LRU cache misses
    # (1 - 1/s) Gamma(1 - 1/s)^s times as often as one that always holds the most popular things; pi/2 for s = 2.
    static_misses = 1 - math.fsum(k**-2 for k in range(1, 1001)) / (math.pi**2 / 6)
    ratio = (1 - lru_cache(ZipfTraffic(10**9, 2.0), 1000).hit_rate_fraction) / static_misses
    assert ratio == pytest.approx(math.pi / 2, rel=0.002)


@given(UNIQUE, EXPONENTS)
def test_classes_of_ranks_sum_like_the_ranks_themselves(unique: int, zipf: float) -> None:
    traffic, p = ZipfTraffic(unique, zipf), probabilities(unique, zipf)
    assert sum(count for count, _ in traffic.classes) == unique
    assert traffic.sum(lambda q: q) == pytest.approx(1, rel=1e-12)
    assert traffic.sum(lambda q: q * q) == pytest.approx(math.fsum(q * q for q in p), rel=1e-4)


@given(UNIQUE, EXPONENTS, st.floats(0.01, 0.98))
def test_hit_rate_lies_between_chance_and_the_best_static_cache(unique: int, zipf: float, share: float) -> None:
    traffic, entries = ZipfTraffic(unique, zipf), max(1.0, share * unique)
    cache = lru_cache(traffic, entries)
    most_popular = math.fsum(probabilities(unique, zipf)[: math.ceil(entries)])
    assert entries / unique - 1e-9 <= cache.hit_rate_fraction <= most_popular + 1e-9
    assert cache.characteristic_requests >= entries * (1 - 1e-9)


@given(UNIQUE, EXPONENTS, st.floats(0.01, 1.2), st.floats(1.01, 3))
def test_a_larger_cache_hits_more_with_falling_returns(unique: int, zipf: float, share: float, growth: float) -> None:
    traffic = ZipfTraffic(unique, zipf)
    sizes = [max(1.0, share * unique) * growth**k for k in range(3)]
    rates = [lru_cache(traffic, size).hit_rate_fraction for size in sizes]
    assert rates[0] <= rates[1] + 1e-12 <= rates[2] + 2e-12
    gained = [(rates[k + 1] - rates[k]) / (sizes[k + 1] - sizes[k]) for k in range(2)]
    assert gained[1] <= gained[0] + 1e-9


def test_four_things_of_equal_popularity_by_hand() -> None:
    """Each has a quarter. Two fit: 4 (1 - e^(-T/4)) = 2 at T = 4 ln 2, and every second request finds its answer."""
    cache = lru_cache(ZipfTraffic(4, 0.0), 2, requests=1)
    assert cache.characteristic_requests == pytest.approx(4 * math.log(2))
    assert cache.hit_rate_fraction == pytest.approx(0.5)
    # The first request, of mean age 1/2 of a request: the integral of 1 - e^(-t/4) from 0 to 1.
    assert cache.first_hit_rate_fraction == pytest.approx(1 + 4 * math.expm1(-1 / 4))
    # Over the first 10 the cache fills for T of them, and hits half of the rest.
    ten, time = lru_cache(ZipfTraffic(4, 0.0), 2, requests=10), 4 * math.log(2)
    assert ten.first_hit_rate_fraction == pytest.approx((time + 4 * math.expm1(-time / 4) + (10 - time) / 2) / 10)
    assert lru_cache(ZipfTraffic(4, 0.0), 2).first_hit_rate_fraction is None


def test_popularity_falls_as_a_power_of_the_rank() -> None:
    counts, chances = zip(*ZipfTraffic(3, 1.0).classes, strict=True)
    assert counts == (1, 1, 1)
    assert chances == pytest.approx((6 / 11, 3 / 11, 2 / 11))
    assert ZipfTraffic(1, 0.7).classes == ((1.0, 1.0),)
    assert ZipfTraffic(10**15, 1.0).unique == 10**15


def test_what_fits_as_a_whole_is_never_dropped() -> None:
    cache = lru_cache(ZipfTraffic(100, 1.0), 5000, requests=50)
    assert (cache.entries, cache.hit_rate_fraction, cache.characteristic_requests) == (100, 1.0, math.inf)
    expected = 1 - sum(1 - math.exp(-p * 50) for p in probabilities(100, 1.0)) / 50
    assert cache.first_hit_rate_fraction == pytest.approx(expected)
    # So steep that nothing but the first few things is ever asked: the cache never fills.
    assert lru_cache(ZipfTraffic(10**6, 30.0), 5000).hit_rate_fraction == 1.0


@pytest.mark.parametrize(
    ("unique", "zipf", "entries", "requests", "message"),
    [
        (0, 1.0, 1, None, "unique must be a whole number >= 1, got 0"),
        (1.5, 1.0, 1, None, "unique must be a whole number >= 1, got 1.5"),
        (10**16, 1.0, 1, None, "unique must be at most 1000000000000000"),
        (10, -0.1, 1, None, "zipf must be a number >= 0, got -0.1"),
        (10, 1.0, 0, None, "entries must be a number > 0, got 0"),
        (10, 1.0, 1, 0, "requests must be a number > 0, got 0"),
    ],
)
def test_values_outside_the_domain(
    unique: int, zipf: float, entries: float, requests: float | None, message: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        lru_cache(ZipfTraffic(unique, zipf), entries, requests)
    assert message in str(caught.value)
