"""Simulated traffic: what its parts add up to, how far it may go, and a cache of limited size before it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.economics import ZipfTraffic, lru_cache
from costlab.errors import InvalidValueError
from costlab.router import Outcomes, Stage, evaluate_cascade, expected, simulate, simulate_outcomes, simulate_stream
from costlab.router.simulation import MAX_REQUESTS
from costlab.synthetic import zipf_requests

CACHE = Stage("cache", 0.00001, quality_fraction=0.8)
BEHIND = [
    Stage("small", 0.0005, pass_fraction=0.3, skip_fraction=0.2, gate_usd_per_request=0.0001),
    Stage("large", 0.03, quality_fraction=0.9),
]
TRAFFIC = ZipfTraffic(20_000, 0.9)

shares = st.floats(0, 1)
stages = st.builds(
    lambda usd, on, skip, gate: Stage("tier", usd, pass_fraction=on, skip_fraction=skip, gate_usd_per_request=gate),
    st.floats(0, 1),
    shares,
    shares,
    st.floats(0, 1),
)


@given(some=st.lists(stages, max_size=4), requests=st.integers(1, MAX_REQUESTS))
def test_the_tiers_bills_are_the_whole_bill(some: list[Stage], requests: int) -> None:
    found = simulate([*some, Stage("last", 0.5)], requests, seed=1)
    assert sum(found.tier_usd) == pytest.approx(found.usd, rel=1e-9)
    assert sum(found.served) == requests


@given(seed=st.integers(0, 2**32), limit=st.floats(0, 1), requests=st.integers(1, MAX_REQUESTS))
def test_those_of_drawn_rows_too(seed: int, limit: float, requests: int) -> None:
    rng = np.random.default_rng(seed)
    table = Outcomes(("a", "b"), rng.random((30, 2)), rng.random((30, 2)), rng.random((30, 2)))
    found = simulate_outcomes(table, [limit], requests, seed)
    assert sum(found.tier_usd) == pytest.approx(found.usd, rel=1e-9)
    # Every request tries the first tier at its own price.
    assert found.tier_usd[0] <= requests * table.usd[:, 0].max() * (1 + 1e-9)
    assert evaluate_cascade(table, [limit]).tier.max() == 1 or found.tier_usd[1] == 0


def test_requests_have_an_end() -> None:
    table = Outcomes.from_prices(["a"], [[1.0]], [[1.0]], [0.1])
    for many in (MAX_REQUESTS + 1, 10**30):
        with pytest.raises(InvalidValueError, match="requests must be at most 1000000000000000,"):
            simulate(BEHIND, many)
        with pytest.raises(InvalidValueError, match="requests must be at most 1000000000000000,"):
            simulate_outcomes(table, [], many)


def test_a_billion_requests_are_within_five_standard_errors_of_the_mean() -> None:
    found = simulate(BEHIND, 10**9, seed=2)
    assert abs(found.usd_per_request - expected(BEHIND).usd_per_request) <= 5 * found.usd_per_request_error


def test_a_stream_costs_what_the_formula_of_the_cache_says() -> None:
    found = simulate_stream(CACHE, BEHIND, zipf_requests(np.random.default_rng(1), TRAFFIC, 500_000), 2000, seed=1)
    hit_rate = lru_cache(TRAFFIC, 2000, requests=500_000).first_hit_rate_fraction
    assert hit_rate is not None
    passed = Stage("cache", 0.00001, pass_fraction=1 - hit_rate, quality_fraction=0.8)
    whole = expected([passed, *BEHIND])
    assert found.usd_per_request == pytest.approx(whole.usd_per_request, rel=0.01)
    assert found.quality_fraction == pytest.approx(whole.quality_fraction, abs=0.002)
    assert found.served_only_usd / 500_000 == pytest.approx(whole.served_only_usd_per_request, rel=0.01)
    assert found.tiers == ("cache", "small", "large")
    assert sum(found.served) == found.tried[0] == found.requests == 500_000
    assert sum(found.tier_usd) == pytest.approx(found.usd)
    assert found.usd < expected(BEHIND).usd_per_request * 500_000


def test_a_streams_standard_error_is_that_of_its_ways() -> None:
    found = simulate_stream(CACHE, BEHIND, zipf_requests(np.random.default_rng(1), TRAFFIC, 500_000), 2000, seed=1)
    passed = Stage("cache", 0.00001, pass_fraction=1 - found.served[0] / 500_000)
    assert found.usd_per_request_error == pytest.approx(
        simulate([passed, *BEHIND], 500_000, 3).usd_per_request_error, rel=0.02
    )


def test_a_stream_that_never_repeats_gains_nothing_from_a_cache() -> None:
    found = simulate_stream(CACHE, BEHIND, [np.arange(1000), np.arange(1000, 5000)], 100)
    assert found.served[0] == 0
    assert found.usd == pytest.approx(simulate(BEHIND, 5000).usd + 5000 * 0.00001)


def test_only_what_served_is_in_the_source_lessons_account() -> None:
    found = simulate_stream(Stage("cache", 0.25), [Stage("model", 2.0)], [np.array([0, 0, 1, 0])], 2)
    assert found.served == (2, 2)
    assert found.served_only_usd == 2 * 0.25 + 2 * 2.0
    assert found.usd == 4 * 0.25 + 2 * 2.0


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="stream must be at least one request, got 0"):
        simulate_stream(CACHE, BEHIND, [], 10)


def peak_mib(work: object) -> float:
    assert callable(work)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_requests() -> None:
    assert peak_mib(lambda: simulate(BEHIND, 10**12)) < 1

    def stream(requests: int) -> object:
        parts = zipf_requests(np.random.default_rng(1), ZipfTraffic(100_000, 0.9), requests)
        return simulate_stream(CACHE, BEHIND, parts, 10_000)

    short, long = (peak_mib(lambda n=n: stream(n)) for n in (500_000, 1_500_000))
    assert long < 1.1 * short < 64
