"""Exact intervals of shares that were counted."""

import math

import pytest
from hypothesis import given, strategies as st

from costlab._internal.binomial import at_most, clopper_pearson
from costlab.errors import InvalidValueError
from tests import needs


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Tabulated: Clopper and Pearson's 95 % limits, as in R's binom.test.
    [(90, 100, 0.8237774, 0.9509953), (0, 10, 0.0, 0.3084971), (10, 10, 0.6915029, 1.0), (7, 10, 0.3475471, 0.9332605)],
)
def test_limits_are_those_tabulated(successes: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    # Clopper and Pearson (1934) give 10 trials graphically; these are the usual tables' values (e.g. Newcombe 1998,
    # Statistics in Medicine 17, table I, method 5: 81/263, 15/148, 0/20, 1/29).
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_exact_intervals_agree_with_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.999))
def test_interval_holds_the_share_and_mirrors(successes: int, failures: int, confidence: float) -> None:
    trials = successes + failures
    low, high = clopper_pearson(successes, trials, confidence)
    if trials:
        assert low <= successes / trials <= high
    mirrored = clopper_pearson(failures, trials, confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.001, 0.999))
def test_binomial_tail_is_a_sum_of_chances(successes: int, trials: int, share: float) -> None:
    terms = (math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(min(successes, trials) + 1))
    assert at_most(successes, trials, share) == pytest.approx(math.fsum(terms), abs=1e-9)


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.5, 0.999))
def test_interval_is_that_of_scipy(successes: int, failures: int, confidence: float) -> None:
    needs.extra("scipy", "compression")
    from scipy.stats import binomtest

    if trials := successes + failures:
        theirs = binomtest(successes, trials).proportion_ci(confidence, method="exact")
        assert clopper_pearson(successes, trials, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bad_counts_are_named() -> None:
    with pytest.raises(InvalidValueError, match="successes must be at most the 10 trials, got 11"):
        clopper_pearson(11, 10)
