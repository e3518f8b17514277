"""What is asked: popular things often, each in its wordings, with lengths like those of a trace."""

import difflib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.economics import ZipfTraffic
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError
from costlab.synthetic import arrival_times, paraphrase_stream, reworded, zipf_requests, zipf_stream
from costlab.synthetic.contents import INPUT_TOKENS, token_lengths


def rng(seed: int = 4) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_popularity_falls_as_the_power_of_the_rank() -> None:
    counts = np.bincount(zipf_stream(rng(), unique=50, zipf=0.8, requests=400_000), minlength=50)
    expected = np.arange(1, 51) ** -0.8
    assert counts / counts.sum() == pytest.approx(expected / expected.sum(), rel=0.05)


def test_streams_repeat_with_the_seed_and_differ_without() -> None:
    for make in (
        lambda r: zipf_stream(r, unique=100, zipf=1, requests=50).tolist(),
        lambda r: arrival_times(r, requests_per_s=2, duration_s=50, cv=3).tolist(),
        lambda r: [reworded(r, "How do I turn on two-step sign-in?") for _ in range(5)],
    ):
        assert make(rng(1)) == make(rng(1)) != make(rng(2))


def test_meanings_are_popular_and_wordings_alike() -> None:
    meanings = ["a", "b", "b", "b", "c", "a"]
    stream = paraphrase_stream(rng(), meanings, zipf=1.0, requests=60_000)
    by_meaning = Counter(meanings[position] for position in stream)
    shares = sorted((count / 60_000 for count in by_meaning.values()), reverse=True)
    assert shares == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.01)
    wordings = Counter(int(position) for position in stream)
    assert [wordings[k] / by_meaning["b"] for k in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.02)


def test_a_stream_of_the_support_desk_asks_every_intent() -> None:
    queries = support_queries().split("test", in_scope=True)
    stream = paraphrase_stream(rng(), [query.intent for query in queries], zipf=0.5, requests=20_000)
    assert {queries[position].intent for position in stream} == support_queries().intents.keys()


def test_reworded_queries_stay_near_the_original() -> None:
    source = rng()
    for query in support_queries().split("test")[:200]:
        other = reworded(source, query.text)
        words, others = query.text.lower().split(), other.lower().split()
        changed = sum(word.strip(".,?!") not in {o.strip(".,?!") for o in others} for word in words)
        assert changed <= 1
        assert len(others) <= len(words) + 4  # a greeting of two words and thanks of two
    assert len({reworded(source, "How do I turn on two-step sign-in?") for _ in range(100)}) > 20
    text = "Could somebody restore yesterday's photographs?"
    assert difflib.SequenceMatcher(None, text, reworded(rng(1), text)).ratio() > 0.6


def test_streams_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="unique must be a whole number >= 1, got 0"):
        zipf_stream(rng(), unique=0, zipf=1, requests=1)
    with pytest.raises(InvalidValueError, match="meanings must be not empty"):
        paraphrase_stream(rng(), [], zipf=1, requests=1)


def test_token_lengths_have_the_median_and_the_tail_of_the_trace() -> None:
    tokens = token_lengths(rng(), *INPUT_TOKENS, 200_000)
    assert np.quantile(tokens, [0.5, 0.99]) == pytest.approx([1020, 4142], rel=0.02)
    assert token_lengths(rng(), 1e-3, 0.1, 10).tolist() == [1] * 10


@pytest.mark.parametrize("zipf", [0.0, 0.3, 0.9, 0.999999, 1.0, 1.000001, 1.3, 3.0])
@pytest.mark.parametrize("unique", [1, 2, 30])
def test_each_rank_comes_as_often_as_the_law_says(unique: int, zipf: float) -> None:
    requests = 200_000
    traffic = ZipfTraffic(unique, zipf)
    drawn = np.concatenate(list(zipf_requests(rng(7), traffic, requests)))
    share = np.array([p for _, p in traffic.classes])  # one class for each of so few ranks
    spread = np.sqrt(share * (1 - share) / requests)
    found = np.bincount(drawn, minlength=unique) / requests
    # Of 8 x 33 shares none is five standard errors off but by a chance of one in 6,000.
    assert (np.abs(found - share) <= 5 * spread + 1e-12).all()


@given(unique=st.integers(1, 10**15), zipf=st.floats(0, 20), requests=st.integers(0, 50), chunk=st.integers(1, 20))
def test_parts_are_as_long_as_asked_and_ranks_exist(unique: int, zipf: float, requests: int, chunk: int) -> None:
    traffic = ZipfTraffic(unique, zipf)
    parts = list(zipf_requests(rng(0), traffic, requests, chunk))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    assert sum(len(part) for part in parts) == requests
    assert all(0 <= part.min() <= part.max() < unique for part in parts)


def test_the_same_seed_gives_the_same_parts() -> None:
    one, two, other = (
        np.concatenate(list(zipf_requests(rng(seed), ZipfTraffic(1000, 0.9), 5000, 700))) for seed in (1, 1, 2)
    )
    assert (one == two).all()
    assert (one != other).any()


def test_the_stream_has_a_length_and_parts_have_one() -> None:
    traffic = ZipfTraffic(10, 1.0)
    with pytest.raises(InvalidValueError, match="requests must be a whole number >= 0, got -1"):
        zipf_requests(rng(), traffic, -1)
    with pytest.raises(InvalidValueError, match="chunk must be a whole number >= 1, got 0"):
        zipf_requests(rng(), traffic, 1, 0)
