import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab._internal.binomial import clopper_pearson
from costlab.cache.semantic import THRESHOLD_GRID, Lookup, check_guarantee, evaluate_threshold, fit_threshold
from costlab.errors import InvalidValueError

LOOKUPS = st.lists(st.builds(Lookup, st.floats(-1, 1), st.booleans()), max_size=300)


def test_report_by_hand() -> None:
    lookups = [Lookup(0.9, True), Lookup(0.8, False), Lookup(0.7, True), Lookup(-1.0, False)]
    report = evaluate_threshold(lookups, 0.8)
    assert (report.lookups, report.hits, report.false_hits) == (4, 2, 1)
    assert (report.hit_rate_fraction, report.false_hit_fraction, report.coverage_fraction) == (0.5, 0.5, 0.5)
    assert report.interval == clopper_pearson(1, 2)
    nothing = evaluate_threshold(lookups, 0.95)
    assert (nothing.hits, nothing.false_hit_fraction, nothing.interval) == (0, None, (0.0, 1.0))
    assert evaluate_threshold([], 0.5).coverage_fraction is None


@given(LOOKUPS, st.floats(0.01, 0.5), st.floats(0.5, 0.99))
def test_the_upper_bound_stays_under_the_limit_at_the_level_of_the_test(
    lookups: list[Lookup], limit: float, confidence: float
) -> None:
    fit = fit_threshold(lookups, max_error_fraction=limit, confidence=confidence)
    assert [candidate.threshold for candidate in fit.candidates] == list(THRESHOLD_GRID)
    assert sum(candidate.level for candidate in fit.candidates if not candidate.kept) <= 1 - confidence + 1e-9
    for candidate in fit.candidates:
        # A one-sided bound of level 1 - a is the upper end of a two-sided interval of confidence 1 - 2a.
        bound = clopper_pearson(candidate.false_hits, candidate.hits, 1 - 2 * candidate.level)[1] \
            if candidate.level < 0.5 else 0.0  # fmt: skip
        assert candidate.kept == (bound <= limit + 1e-9) or abs(bound - limit) < 1e-6 or candidate.level >= 0.5
    if fit.threshold is None:
        assert fit.report is None
        assert fit.reason.startswith("no threshold keeps the false hits under")
    else:
        assert fit.reason == ""
        assert fit.threshold == min(candidate.threshold for candidate in fit.candidates if candidate.kept)
        assert fit.report == evaluate_threshold(lookups, fit.threshold, confidence)


def test_a_gap_in_the_false_hits_is_no_obstacle() -> None:
    # Contrast twins are nearly copies: the most similar look-ups are the wrong ones. The false-hit rate falls before
    # it rises, and a test that stops at the first failure would find nothing.
    lookups = [Lookup(0.985, False)] * 4 + [Lookup(0.90, True)] * 400 + [Lookup(0.6, False)] * 100
    fit = fit_threshold(lookups, max_error_fraction=0.05)
    assert not fit.candidates[THRESHOLD_GRID.index(0.98)].kept
    assert fit.threshold == 0.62


def boundary(rng: np.random.Generator, error: float, size: int) -> list[Lookup]:
    """Look-ups of which the same share is wrong at every similarity."""
    return [Lookup(s, r) for s, r in zip(rng.uniform(0.4, 1, size).tolist(), (rng.random(size) >= error).tolist())]  # noqa: B905


def test_a_limit_just_broken_everywhere_is_promised_no_more_often_than_allowed() -> None:
    # The hardest case: the true share is a hair above the limit for every threshold, so that each promise is a mistake.
    rng, trials = np.random.default_rng(4), 400
    fits = [fit_threshold(boundary(rng, 0.1001, 600), max_error_fraction=0.1, confidence=0.9) for _ in range(trials)]
    mistakes = sum(fit.threshold is not None for fit in fits)
    assert mistakes > 0
    assert clopper_pearson(mistakes, trials, 0.99)[0] <= 0.1


def test_a_limit_with_room_to_spare_is_found() -> None:
    fit = fit_threshold(boundary(np.random.default_rng(4), 0.02, 2000), max_error_fraction=0.05)
    assert fit.threshold == THRESHOLD_GRID[-1]


def test_promises_are_kept_over_many_divisions() -> None:
    rng = np.random.default_rng(4)
    lookups = [Lookup(s, bool(rng.random() < 0.55 + 0.44 * s)) for s in rng.uniform(0.3, 1, 1500).tolist()]
    check = check_guarantee(rng, lookups, max_error_fraction=0.1, splits=100)
    assert check.found > 80
    assert check.broken <= 5
    assert check.hit_rate_fraction is not None
    assert 0.2 < check.hit_rate_fraction < 1
    nothing = check_guarantee(rng, lookups[:50], max_error_fraction=0.01, splits=5)
    assert (nothing.found, nothing.broken, nothing.hit_rate_fraction) == (0, 0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_error_fraction": 0.0}, "max_error_fraction must be a fraction > 0 and < 1, got 0.0"),
        ({"confidence": 1.0}, "confidence must be a fraction > 0 and < 1, got 1.0"),
        ({"thresholds": ()}, "thresholds must be falling, and not empty, got ()"),
        ({"thresholds": (0.8, 0.9)}, "thresholds must be falling, and not empty, got (0.8, 0.9)"),
    ],
)
def test_fits_outside_the_domain(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        fit_threshold([], **{"max_error_fraction": 0.05, **change})  # type: ignore[arg-type]
    assert message in str(caught.value)
    with pytest.raises(InvalidValueError, match="successes must be at most the 3 trials, got 4"):
        clopper_pearson(4, 3)
