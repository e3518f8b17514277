import math

import numpy as np
import pytest

from costlab.errors import InvalidValueError
from costlab.router.calibration import calibrate, calibration_report
from costlab.router.confidence import IsotonicScaling, TemperatureScaling, expected_calibration_error, reliability
from costlab.router.evaluation import Outcomes, evaluate_cascade
from tests import needs
from tests.router.test_evaluate import table


@pytest.mark.slow
def test_the_promise_holds_for_traffic_not_seen() -> None:
    """100 fits on 900 queries, judged on 20,000: at 95 % confidence 5 may fail; 10 would be no accident."""
    broken = found = cheaper = 0
    for seed in range(100):
        fit = calibrate(table(seed, 900), 0.84, seed=seed, steps=12)
        held_out = table(10_000 + seed, 20_000)
        played = evaluate_cascade(held_out.only(fit.tiers), fit.thresholds)
        found += fit.found
        broken += fit.found and played.quality_fraction < 0.84
        cheaper += fit.found and played.usd_per_request < 0.9 * 100
    assert found > 90
    assert broken <= 9
    assert cheaper > 80


def test_a_promise_for_the_next_queries_holds_on_so_many() -> None:
    """20 fits on 900 queries, each judged on the next 900 alone, luck included."""
    kept, long_run = 0, 0
    for seed in range(20):
        whole = table(seed, 1800)
        first, rest = whole.rows(slice(0, 900)), whole.rows(slice(900, None))
        fit = calibrate(first, 0.82, seed=seed, steps=12, next_queries=900)
        assert fit.found
        kept += calibration_report(rest, fit).quality_fraction >= 0.82
        long_run += calibrate(first, 0.82, seed=seed, steps=12).usd_per_request < fit.usd_per_request
    assert kept >= 19
    assert long_run > 10  # it costs something: the long run alone is promised for less


def test_a_promise_that_cannot_be_kept_is_not_made() -> None:
    fit = calibrate(table(0, 300), 0.99)
    assert not fit.found
    assert fit.tiers == ("t2",)
    assert fit.thresholds == ()


def test_the_best_tier_alone_can_be_the_answer() -> None:
    """A first tier that is sure and wrong is left out."""
    rng = np.random.default_rng(0)
    right = np.stack([np.zeros(400), (rng.random(400) < 0.95)], axis=1)
    sure = np.ones((400, 2))
    fit = calibrate(Outcomes.from_prices(("liar", "large"), right, sure, [1.0, 10.0]), 0.85)
    assert fit.found
    assert fit.tiers == ("large",)


def test_the_report_has_intervals() -> None:
    fit = calibrate(table(3, 900), 0.8)
    found = calibration_report(table(4, 600), fit)
    assert found.queries == 600
    assert found.quality_low < found.quality_fraction < found.quality_high
    assert math.isclose(sum(found.served_fraction), 1.0)
    assert found.usd_error > 0


def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidValueError, match="outcomes must be at least 50 queries, got 40"):
        calibrate(table(0, 40), 0.8)
    with pytest.raises(InvalidValueError, match="quality_floor_fraction must be a fraction > 0 and < 1, got 80"):
        calibrate(table(0), 80)
    graded = Outcomes.from_prices(("a", "b"), np.full((60, 2), 0.5), np.full((60, 2), 0.5), [1.0, 2.0])
    with pytest.raises(InvalidValueError, match="answers that are right or wrong"):
        calibrate(graded, 0.5)


def overconfident(queries: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right with the logistic of their log-odds, told with twice those log-odds."""
    rng = np.random.default_rng(1)
    odds = rng.normal(1, 1.5, queries)
    return 1 / (1 + np.exp(-2 * odds)), rng.random(queries) < 1 / (1 + np.exp(-odds))


def test_temperature_finds_how_much_too_sure_a_model_is() -> None:
    sure, right = overconfident()
    scaling = TemperatureScaling().fit(sure, right)
    assert scaling.temperature == pytest.approx(2.0, rel=0.08)
    assert expected_calibration_error(scaling.transform(sure), right) < 0.02 < expected_calibration_error(sure, right)
    assert (np.diff(scaling.transform(np.sort(sure))) >= 0).all()  # the order is kept


def many_classes(queries: int = 4000, classes: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of twenty classes, told with half of the log-odds that they have: a model too unsure of itself."""
    rng = np.random.default_rng(2)
    logs = rng.normal(0, 2, (queries, classes))
    true = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    right = (true.cumsum(axis=1) < rng.random((queries, 1))).sum(axis=1)
    told = np.sqrt(true)
    return told / told.sum(axis=1, keepdims=True), right


def test_with_many_classes_a_temperature_needs_all_their_probabilities() -> None:
    told, right = many_classes()
    sure, correct = told.max(axis=1), told.argmax(axis=1) == right
    scaling = TemperatureScaling().fit(told, right)
    assert scaling.temperature == pytest.approx(0.5, rel=0.05)
    scaled = scaling.transform(told)
    assert np.allclose(scaled.sum(axis=1), 1.0)
    assert (scaled.argmax(axis=1) == told.argmax(axis=1)).all()  # no answer changes
    assert expected_calibration_error(scaled.max(axis=1), correct) < 0.03
    alone = TemperatureScaling().fit(sure, correct).transform(sure)
    assert expected_calibration_error(alone, correct) > 0.05


@pytest.mark.parametrize(
    ("told", "right"), [([[0.5, 0.5]], [2]), ([[0.5, 0.5]], [0, 1]), ([[0.5, 1.5]], [0]), ([[[0.5]]], [0])]
)
def test_probabilities_and_classes_are_checked(told: list[list[float]], right: list[int]) -> None:
    with pytest.raises(InvalidValueError):
        TemperatureScaling().fit(told, right)


def test_isotonic_steps_do_as_well() -> None:
    needs.extra("sklearn", "router")
    sure, right = overconfident()
    mapped = IsotonicScaling().fit(sure[:2500], right[:2500]).transform(sure[2500:])
    assert expected_calibration_error(mapped, right[2500:]) < 0.04
    assert mapped.min() >= 0
    assert mapped.max() <= 1


def test_reliability_by_hand() -> None:
    bins = reliability([0.05, 0.15, 0.18, 1.0], [0, 0, 1, 1])
    assert [(b.queries, round(b.confidence, 3), b.accuracy) for b in bins] == [(1, 0.05, 0), (2, 0.165, 0.5), (1, 1, 1)]
    assert expected_calibration_error([0.05, 0.15, 0.18, 1.0], [0, 0, 1, 1]) == pytest.approx((0.05 + 2 * 0.335) / 4)


@pytest.mark.parametrize(("sure", "right"), [([], []), ([0.5], [0.5, 1]), ([1.5], [1]), ([math.nan], [1])])
def test_confidences_are_checked(sure: list[float], right: list[float]) -> None:
    with pytest.raises(InvalidValueError):
        reliability(sure, right)
