import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.economics import ZipfTraffic
from costlab.cache.zipf import zipf_requests
from costlab.errors import InvalidValueError


@pytest.mark.parametrize("zipf", [0.0, 0.3, 0.9, 0.999999, 1.0, 1.000001, 1.3, 3.0])
@pytest.mark.parametrize("unique", [1, 2, 30])
def test_each_rank_comes_as_often_as_the_law_says(unique: int, zipf: float) -> None:
    requests = 200_000
    traffic = ZipfTraffic.of(unique, zipf)
    drawn = np.concatenate(list(zipf_requests(np.random.default_rng(7), traffic, requests)))
    share = np.array([p for _, p in traffic.classes])  # one class for each of so few ranks
    spread = np.sqrt(share * (1 - share) / requests)
    found = np.bincount(drawn, minlength=unique) / requests
    # Of 8 x 33 shares none is five standard errors off but by a chance of one in 6,000.
    assert (np.abs(found - share) <= 5 * spread + 1e-12).all()


@given(unique=st.integers(1, 10**15), zipf=st.floats(0, 20), requests=st.integers(0, 50), chunk=st.integers(1, 20))
def test_parts_are_as_long_as_asked_and_ranks_exist(unique: int, zipf: float, requests: int, chunk: int) -> None:
    traffic = ZipfTraffic.of(unique, zipf) if unique < 10**6 else ZipfTraffic(unique, zipf, ())
    parts = list(zipf_requests(np.random.default_rng(0), traffic, requests, chunk))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    assert sum(len(part) for part in parts) == requests
    assert all(0 <= part.min() <= part.max() < unique for part in parts)


def test_the_same_seed_gives_the_same_requests() -> None:
    one, two, other = (
        np.concatenate(list(zipf_requests(np.random.default_rng(seed), ZipfTraffic.of(1000, 0.9), 5000, 700)))
        for seed in (1, 1, 2)
    )
    assert (one == two).all()
    assert (one != other).any()


def test_the_stream_has_a_length_and_parts_have_one() -> None:
    traffic, rng = ZipfTraffic.of(10, 1.0), np.random.default_rng(0)
    with pytest.raises(InvalidValueError, match="requests must be a whole number >= 0, got -1"):
        zipf_requests(rng, traffic, -1)
    with pytest.raises(InvalidValueError, match="chunk must be a whole number >= 1, got 0"):
        zipf_requests(rng, traffic, 1, 0)
