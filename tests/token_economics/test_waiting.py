"""Discounts for waiting beside the price list, and the queue before a limit beside the textbook's formula."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.catalog import api_price
from costlab.errors import InvalidValueError
from costlab.token_economics import batch_saving_fraction, limited_waits_s, mean_wait_s

SIZE = {"input_tokens": 10_000.0, "output_tokens": 500.0}


def test_the_discount_of_a_batch_is_half_where_nothing_is_cached() -> None:
    for model in ("gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-flash"):
        saved = batch_saving_fraction(api_price(model), api_price(model, service_tier="batch"), **SIZE)
        assert saved == pytest.approx(0.5), model


def test_where_discounts_stack_the_cache_changes_nothing_and_elsewhere_it_does() -> None:
    """Anthropic halves what is read from the cache as well; OpenAI's list for gpt-4.1 and Google's do not."""
    saved = {
        model: batch_saving_fraction(
            api_price(model), api_price(model, service_tier="batch"), **SIZE, cached_fraction=0.9
        )
        for model in ("claude-sonnet-4-5", "gpt-4.1", "gemini-2.5-flash")
    }
    assert saved["claude-sonnet-4-5"] == pytest.approx(0.5)
    assert 0 < saved["gpt-4.1"] < 0.5
    by_hand = 1 - (1_000 * 1 + 9_000 * 0.5 + 500 * 4) / (1_000 * 2 + 9_000 * 0.5 + 500 * 8)
    assert saved["gpt-4.1"] == pytest.approx(by_hand)


def test_a_batch_that_misses_the_cache_may_save_nothing() -> None:
    price, batch = api_price("claude-sonnet-4-5"), api_price("claude-sonnet-4-5", service_tier="batch")
    saved = batch_saving_fraction(price, batch, **SIZE, cached_fraction=0.95, cached_while_waiting_fraction=0.0)
    assert saved < 0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e5)), min_size=1, max_size=40), st.floats(1e3, 1e7))
def test_waits_are_those_of_a_bucket_that_empties_evenly(requests: list[tuple[float, float]], limit: float) -> None:
    requests.sort(key=lambda one: one[0])
    times, tokens = [one[0] for one in requests], [one[1] for one in requests]
    waits = limited_waits_s(times, tokens, limit)
    backlog, before = 0.0, times[0]
    for time, count, wait in zip(times, tokens, waits, strict=True):
        backlog = max(0.0, backlog - (time - before) * limit / 60)
        assert wait == pytest.approx(backlog * 60 / limit, abs=1e-6)
        backlog, before = backlog + count, time


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_mean_wait_is_that_of_a_played_queue(load: float, cv: float) -> None:
    """400,000 requests; a mean of correlated waits, so 5 % are allowed."""
    rng, requests = np.random.default_rng(5), 400_000
    tokens = np.full(requests, 1_000.0) if cv == 0 else rng.exponential(1_000, requests)
    times = rng.exponential(1, requests).cumsum()
    limit = 60 * 1_000 / load
    played = np.mean(limited_waits_s(times.tolist(), tokens.tolist(), limit))
    assert played == pytest.approx(mean_wait_s(1, 1_000, cv, limit), rel=0.05)


def test_what_has_no_limit_and_what_has_no_queue() -> None:
    assert mean_wait_s(1, 1_000, 1, 60_000) == math.inf
    assert mean_wait_s(0, 1_000, 1, 60_000) == 0
    assert limited_waits_s((), (), 60_000) == ()
    with pytest.raises(InvalidValueError, match="times_s must be ascending, got 0"):
        limited_waits_s((1, 0), (1, 1), 60)
    with pytest.raises(InvalidValueError, match="input_tokens must be of a request that costs something, got 0"):
        batch_saving_fraction(api_price("gpt-4.1"), api_price("gpt-4.1"), input_tokens=0, output_tokens=0)
    with pytest.raises(InvalidValueError, match="tokens_per_minute must be a number > 0, got 0"):
        limited_waits_s((), (), 0)
    prices = api_price("gpt-4.1"), api_price("gpt-4.1", service_tier="batch")
    with pytest.raises(InvalidValueError, match=r"cached_while_waiting_fraction must be .*, got 1\.5"):
        batch_saving_fraction(*prices, input_tokens=1, output_tokens=1, cached_while_waiting_fraction=1.5)
