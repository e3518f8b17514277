import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.economics import ReplayResult, ZipfTraffic, lru_cache, lru_replay, replay
from costlab.errors import InvalidValueError
from costlab.synthetic import zipf_requests, zipf_stream


def by_hand(stream: list[int], entries: int) -> int:
    held, hits = OrderedDict[int, None](), 0
    for key in stream:
        hits += key in held
        held[key] = None
        held.move_to_end(key)
        if len(held) > entries:
            held.popitem(last=False)
    return hits


@given(
    stream=st.lists(st.integers(0, 30), max_size=300),
    entries=st.integers(1, 40),
    small=st.sampled_from([0, 10**6]),
    cut=st.integers(1, 50),
)
def test_hits_are_those_of_a_cache_played_one_request_after_the_other(
    stream: list[int], entries: int, small: int, cut: int
) -> None:
    keys = np.array(stream, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "SMALL_ENTRIES", small)
        found = lru_replay((keys[i : i + cut] for i in range(0, len(keys), cut)), entries)
    assert found == ReplayResult(len(stream), by_hand(stream, entries))


@pytest.mark.parametrize(
    ("entries", "zipf"), [(100, 0.9), (500, 0.9), (3000, 0.0), (3000, 0.7), (20_000, 1.1), (60_000, 0.9)]
)
def test_long_streams_too(entries: int, zipf: float) -> None:
    stream = zipf_stream(np.random.default_rng(1), unique=50_000, zipf=zipf, requests=150_000)
    assert lru_replay([stream], entries).hits == by_hand(stream.tolist(), entries)


def test_the_hit_rate_is_the_one_of_the_formula() -> None:
    traffic = ZipfTraffic(100_000, 0.9)
    chunks = zipf_requests(np.random.default_rng(2), traffic, 1_000_000)
    expected = lru_cache(traffic, 10_000, requests=1_000_000).first_hit_rate_fraction
    assert lru_replay(chunks, 10_000).hit_rate_fraction == pytest.approx(expected, abs=0.005)


def test_no_requests_have_no_hit_rate() -> None:
    assert math.isnan(lru_replay([], 5).hit_rate_fraction)


@pytest.mark.parametrize("part", [np.array([-1]), np.array([0.5]), np.array([[1]]), np.array([10**9 + 1])])
def test_a_stream_is_made_of_small_whole_numbers(part: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match=r"stream must be arrays of whole numbers from 0 to 10\^9"):
        lru_replay([part], 5)


def test_the_greatest_number_that_may_stand_for_a_thing_does() -> None:
    assert lru_replay([np.array([10**9, 0, 10**9])], 5) == ReplayResult(3, 1)


def test_the_rate_is_that_of_the_whole_stream() -> None:
    parts = [np.array([1, 1, 1]), np.array([], dtype=np.int64), np.array([1, 2])]
    assert lru_replay(parts, 1) == ReplayResult(5, 3)
    assert lru_replay(parts, 1).hit_rate_fraction == 0.6


def test_a_cache_holds_something() -> None:
    with pytest.raises(InvalidValueError, match="entries must be a whole number >= 1, got 0"):
        lru_replay([], 0)
