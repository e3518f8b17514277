"""The formulas of prompt caches beside a cache that is played call by call."""

import math
import os
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.catalog import api_price
from costlab.datasets import azure_llm_trace
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.token_economics import (
    CacheRates,
    PromptCacheTerms,
    cached_prefix_tokens,
    expected_hit_fraction,
    keep_alive_calls,
    prompt_cache_terms,
    replayed_hit_fraction,
)

published = pytest.mark.skipif(
    "COSTLAB_DATA_DIR" not in os.environ, reason="COSTLAB_DATA_DIR names no folder with the published files"
)

#: Anthropic's multiples for five minutes and for an hour.
SHORT, HOUR = CacheRates(1.25, 0.1), CacheRates(2.0, 0.1)

rates = st.builds(CacheRates, st.floats(1, 3), st.floats(0, 0.9))


def poisson(rate: float, calls: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1 / rate, calls).cumsum()


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("load", [0.05, 0.3, 1.0, 4.0])
def test_expected_hits_are_those_of_a_played_cache(load: float, renewed: bool) -> None:
    """200,000 calls; the error of a share of them is below 0.0012, and four of these are allowed."""
    played = replayed_hit_fraction(poisson(load / 300, 200_000), 300, renewed=renewed)
    assert played == pytest.approx(expected_hit_fraction(load / 300, 300, renewed=renewed), abs=0.0048)


@pytest.mark.parametrize("replicas", [2, 5])
def test_calls_spread_over_replicas_hit_as_if_there_were_fewer(replicas: int) -> None:
    rng = np.random.default_rng(2)
    times = poisson(1 / 300, 200_000)
    played = replayed_hit_fraction(times, 300, keys=rng.integers(replicas, size=len(times)).tolist())
    assert played == pytest.approx(expected_hit_fraction(1 / 300, 300, replicas=replicas), abs=0.0048)
    assert played < replayed_hit_fraction(times, 300)


def test_bursts_hit_more_often_than_the_formula_says() -> None:
    """Gamma gaps with a coefficient of variation of 4: what hits is the share of gaps below the lifetime."""
    gaps = np.random.default_rng(3).gamma(1 / 16, 16 * 300, 200_000)
    played = replayed_hit_fraction(gaps.cumsum(), 300)
    assert played == pytest.approx((gaps[1:] < 300).mean(), abs=1e-4)
    assert played > expected_hit_fraction(1 / 300, 300) + 0.2


@published
@pytest.mark.parametrize("kind", ["conversation", "code"])
def test_prefixes_of_a_real_trace_hit_at_least_as_often_as_poisson(kind: str) -> None:
    """The Azure hour, each call at random one of as many prefixes as give a call per lifetime and prefix."""
    times = np.array(azure_llm_trace(kind).arrival_s)
    prefixes = round(len(times) / times[-1] * 300)
    keys = np.random.default_rng(4).integers(prefixes, size=len(times))
    played = replayed_hit_fraction(times, 300, keys=keys.tolist())
    # The first call of each prefix cannot hit, which an hour of 12 lifetimes feels.
    reachable = 1 - prefixes / len(times)
    expected = expected_hit_fraction(len(times) / times[-1] / prefixes, 300)
    assert played >= expected * reachable - 0.01


@given(rates=rates, lifetime=st.floats(1, 1e5), renewed=st.booleans())
def test_at_the_break_even_rate_the_cache_costs_what_none_costs(
    rates: CacheRates, lifetime: float, renewed: bool
) -> None:
    rate = rates.break_even_calls_per_s(lifetime, renewed=renewed)
    hits = expected_hit_fraction(rate, lifetime, renewed=renewed)
    assert hits == pytest.approx(rates.break_even_hit_fraction, abs=1e-9)
    assert rates.relative_cost(hits) == pytest.approx(1, abs=1e-9)


@given(rates=rates, hits=st.floats(0, 1))
def test_a_call_costs_between_a_read_and_a_write(rates: CacheRates, hits: float) -> None:
    assert rates.read - 1e-12 <= rates.relative_cost(hits) <= rates.write + 1e-12


def test_break_even_reads_are_counted_out() -> None:
    """With an hour's write the second read is the first to pay: 2 + 0.1 n against 1 + n."""
    assert 2 + 0.1 * 1 > 1 + 1
    assert 2 + 0.1 * 2 < 1 + 2
    assert 1 < HOUR.break_even_reads < 2
    assert SHORT.break_even_reads == pytest.approx(0.25 / 0.9)
    assert CacheRates(1, 0.5).break_even_reads == 0


def test_under_poisson_an_hour_is_cheaper_wherever_caching_pays_at_all() -> None:
    """The two lines cross at exp(-55 m) = 1.15/1.9, where both are more expensive than no cache."""
    crossing = math.log(1.9 / 1.15) / 3300
    assert SHORT.relative_cost(expected_hit_fraction(crossing, 300)) == pytest.approx(
        HOUR.relative_cost(expected_hit_fraction(crossing, 3600))
    )
    assert crossing < HOUR.break_even_calls_per_s(3600) < SHORT.break_even_calls_per_s(300)
    for rate in np.geomspace(HOUR.break_even_calls_per_s(3600), 1 / 60, 20):
        assert HOUR.relative_cost(expected_hit_fraction(rate, 3600)) < SHORT.relative_cost(
            expected_hit_fraction(rate, 300)
        )


def test_multiples_come_from_the_price_list() -> None:
    assert CacheRates.of(api_price("claude-sonnet-4-5")) == SHORT
    assert CacheRates.of(api_price("claude-sonnet-4-5"), 3600) == HOUR
    assert CacheRates.of(api_price("gpt-4o")) == CacheRates(1, 0.5)
    assert CacheRates.of(api_price("gpt-5.6")) == SHORT
    with pytest.raises(PriceNotFoundError, match="text-embedding-3-small' has no price for input that is read"):
        CacheRates.of(api_price("text-embedding-3-small"))


@given(shared=st.integers(0, 10**6), least=st.integers(1, 5000), block=st.integers(1, 512))
def test_a_prefix_is_read_in_whole_blocks_or_not_at_all(shared: int, least: int, block: int) -> None:
    read = cached_prefix_tokens(shared, least, block)
    assert read % block == 0
    assert read <= shared < read + block if shared >= least else read == 0


@given(gap=st.floats(0, 1e5), lifetime=st.floats(1, 1e4))
def test_keep_alive_calls_are_the_fewest_that_bridge_the_gap(gap: float, lifetime: float) -> None:
    calls = keep_alive_calls(gap, lifetime)
    assert (calls + 1) * lifetime >= gap * (1 - 1e-12)
    assert calls == 0 or calls * lifetime < gap


def test_keep_alive_calls_as_a_played_cache_sees_them() -> None:
    calls = [300.0 * k - 0.001 * k for k in range(1, 1 + keep_alive_calls(2990, 300))]
    assert replayed_hit_fraction([0, *calls, 2990], 300) == 1 - 1 / (len(calls) + 2)
    assert replayed_hit_fraction([0, *calls[:-1], 2990], 300) == 1 - 2 / (len(calls) + 1)


def test_rows_name_a_source_and_say_nothing_that_was_not_said() -> None:
    rows = prompt_cache_terms()
    assert {row.provider for row in rows} == {"anthropic", "openai", "google", "deepseek"}
    for row in rows:
        assert isinstance(row.checked, date)
        assert urlsplit(row.source_url).scheme == "https"
        assert (row.renewed is None) or row.lifetime_s is not None
    assert len({(row.provider, row.models, row.checked) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CacheRates(0.9, 0.1), "write must be >= 1, got 0.9"),
        (lambda: CacheRates(1.25, 1), "read must be below 1, got 1"),
        (lambda: expected_hit_fraction(-1, 300), "calls_per_s must be a number >= 0, got -1"),
        (lambda: expected_hit_fraction(1, 0), "lifetime_s must be a number > 0, got 0"),
        (lambda: expected_hit_fraction(1, 1, replicas=0), "replicas must be a whole number >= 1, got 0"),
        (lambda: replayed_hit_fraction([], 300), "times_s must be not empty, got ()"),
        (lambda: replayed_hit_fraction([2, 1], 300), "times_s must be ascending, got 1"),
        (lambda: cached_prefix_tokens(-1), "shared_tokens must be a whole number >= 0, got -1"),
        (lambda: keep_alive_calls(-1, 1), "gap_s must be a number >= 0, got -1"),
        (lambda: CacheRates(1.25, 0.1).break_even_calls_per_s(0), "lifetime_s must be a number > 0, got 0"),
    ],
)  # fmt: skip
def test_what_is_outside_the_domain(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        call()
    assert str(error.value) == message


def test_an_unknown_provider_and_a_row_without_a_source() -> None:
    with pytest.raises(UnknownNameError, match="unknown provider 'antropic'; did you mean 'anthropic'"):
        prompt_cache_terms("antropic")
    with pytest.raises(InvalidValueError, match="source_url must be the address of a page"):
        PromptCacheTerms(provider="x", models="all", checked=date(2026, 1, 1), source_url="a blog")


def test_without_a_block_each_token_counts() -> None:
    row: dict[str, Any] = {"provider": "x", "models": "all", "checked": date(2026, 1, 1), "source_url": "https://x.org"}
    assert PromptCacheTerms(**row).block_tokens == 1
    assert cached_prefix_tokens(5) == 5
    with pytest.raises(InvalidValueError, match="block_tokens must be a whole number >= 1, got 0"):
        PromptCacheTerms(**row, block_tokens=0)
