import difflib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.datasets import support_queries
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.synthetic.traffic import arrival_times, paraphrase_stream, reworded, zipf_stream


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


@pytest.mark.parametrize(("law", "cv"), [("gamma", 0.3), ("gamma", 1), ("gamma", 4), ("hyperexponential", 4)])
def test_gaps_have_the_rate_and_the_coefficient_of_variation_asked_for(law: str, cv: float) -> None:
    times = arrival_times(rng(), requests_per_s=5, duration_s=60_000, cv=cv, law=law)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(300_000, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_exponential_gaps_are_those_of_a_poisson_stream() -> None:
    times = arrival_times(rng(), requests_per_s=5, duration_s=20_000, law="hyperexponential")
    counts = np.bincount(times.astype(int), minlength=20_000)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.05)


def test_more_comes_at_the_peak_than_at_night() -> None:
    times = arrival_times(rng(), requests_per_s=2, duration_s=86_400, diurnal_fraction=0.5, peak_s=14 * 3600)
    hours = np.bincount((times // 3600).astype(int), minlength=24)
    assert hours.argmax() in (13, 14)
    assert hours.max() / hours.min() == pytest.approx(3, rel=0.1)
    assert len(times) == pytest.approx(2 * 86_400, rel=0.02)


@given(st.floats(0.01, 5), st.floats(1, 2000), st.floats(0.2, 10), st.floats(0, 0.95), st.integers(0, 2**32 - 1))
def test_arrivals_ascend_within_the_time_asked_for(
    rate: float, duration_s: float, cv: float, swing: float, seed: int
) -> None:
    times = arrival_times(rng(seed), requests_per_s=rate, duration_s=duration_s, cv=cv, diurnal_fraction=swing)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times <= duration_s)).all()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requests_per_s": 0}, "requests_per_s must be a number > 0, got 0"),
        ({"duration_s": -1}, "duration_s must be a number > 0, got -1"),
        ({"cv": 0}, "cv must be a number > 0, got 0"),
        ({"cv": 0.5, "law": "hyperexponential"}, "cv must be a number >= 1 for hyper-exponential gaps, got 0.5"),
        ({"diurnal_fraction": 1.0}, "diurnal_fraction must be a fraction >= 0 and < 1, got 1.0"),
        ({"law": "weibull"}, "unknown law 'weibull'; known: gamma, hyperexponential"),
    ],
)
def test_arrivals_outside_the_domain(change: dict[str, object], message: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError)) as caught:
        arrival_times(rng(), **{"requests_per_s": 1.0, "duration_s": 10.0, **change})  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_streams_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="unique must be a whole number >= 1, got 0"):
        zipf_stream(rng(), unique=0, zipf=1, requests=1)
    with pytest.raises(InvalidValueError, match="meanings must be not empty"):
        paraphrase_stream(rng(), [], zipf=1, requests=1)
