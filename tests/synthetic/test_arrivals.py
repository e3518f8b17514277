"""When requests come: with the rate, the bursts and the day that were asked for."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.synthetic import arrival_times
from costlab.synthetic.arrivals import day_arrivals, hourly_arrivals


def rng(seed: int = 4) -> np.random.Generator:
    return np.random.default_rng(seed)


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


def test_a_known_number_of_arrivals_has_the_day_of_an_expected_one() -> None:
    known = day_arrivals(rng(), 50_000, known=True)
    assert len(known) == 50_000
    assert (np.diff(known) >= 0).all()
    expected = day_arrivals(rng(1), 50_000)
    for hour in (2, 8, 14, 20):
        here, there = (((times // 3600) == hour).sum() for times in (known, expected))
        assert here == pytest.approx(there, rel=0.1)


def test_arrivals_by_the_hour_weigh_the_days_and_peak_at_twice_the_mean() -> None:
    hours = hourly_arrivals(rng(), 100_000, (1.0, 0.5))
    counts = np.bincount(hours.astype(int), minlength=48)
    assert counts.sum() == 100_000
    assert counts[24:].sum() / counts[:24].sum() == pytest.approx(0.5, rel=0.02)
    assert counts[:24].max() / counts[:24].mean() == pytest.approx(2.0, rel=0.03)
