"""Curves, baselines and metrics on tables small enough to do by hand, and on random ones."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from costlab.errors import InvalidValueError
from costlab.router.evaluation import (
    Outcomes,
    Point,
    aiq,
    apgr,
    baselines,
    cost_quality_curve,
    cpt,
    evaluate_cascade,
    evaluate_routing,
    hull,
    quality_at,
    saving_at_equal_quality,
)
from costlab.router.simulation import simulate_outcomes

# Four queries; the small tier is right on the first two and knows it.
HAND = Outcomes.from_prices(
    ("small", "large"), [[1, 1], [1, 1], [0, 1], [0, 0]], [[0.9, 1], [0.8, 1], [0.4, 1], [0.2, 1]], [1.0, 10.0]
)


def table(seed: int, queries: int = 200, tiers: int = 3) -> Outcomes:
    rng = np.random.default_rng(seed)
    hard = rng.random(queries)
    skill = np.linspace(1.0, 0.2, tiers)
    correct = rng.random((queries, tiers)) < 1 - hard[:, None] * skill
    confidence = np.clip(1 - hard[:, None] * skill + rng.normal(0, 0.1, (queries, tiers)), 0, 1)
    return Outcomes.from_prices([f"t{i}" for i in range(tiers)], correct, confidence, [10.0**i for i in range(tiers)])


SEEDS = st.integers(0, 10_000)


def test_a_cascade_by_hand() -> None:
    played = evaluate_cascade(HAND, [0.5])
    assert played.tier.tolist() == [0, 0, 1, 1]
    assert played.usd.tolist() == [1, 1, 11, 11]  # the small tier is paid for, although it did not answer
    assert played.correct.tolist() == [1, 1, 1, 0]


def test_the_threshold_must_be_exceeded() -> None:
    assert evaluate_cascade(HAND, [0.8]).tier.tolist() == [0, 1, 1, 1]


def test_routing_pays_for_one_tier() -> None:
    played = evaluate_routing(HAND, [0.9, 0.8, 0.4, 0.2], [0.5])
    assert played.usd.tolist() == [1, 1, 10, 10]


@given(SEEDS, st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=2), st.integers(0, 1), st.floats(0, 0.5))
def test_raising_a_threshold_never_lowers_the_share_of_the_tiers_above(
    seed: int, limits: list[float], which: int, more: float
) -> None:
    outcomes = table(seed)
    raised = [limit + more * (i == which) for i, limit in enumerate(limits)]
    low, high = evaluate_cascade(outcomes, limits), evaluate_cascade(outcomes, raised)
    assert (high.tier >= low.tier).all()
    assert high.usd_per_request >= low.usd_per_request - 1e-12


@given(SEEDS, st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=2))
def test_a_cascade_costs_at_least_the_tier_that_answered(seed: int, limits: list[float]) -> None:
    outcomes = table(seed)
    played = evaluate_cascade(outcomes, limits)
    assert (played.usd >= outcomes.usd[np.arange(len(outcomes)), played.tier]).all()
    assert set(np.unique(played.usd)) <= {1.0, 11.0, 111.0}


def test_baselines_by_hand() -> None:
    found = baselines(HAND)
    assert [(p.usd_per_request, p.quality_fraction) for p in found.singles] == [(1.0, 0.5), (10.0, 0.75)]
    assert found.all_large.label == "large"
    assert found.oracle == Point((1 + 1 + 10 + 1) / 4, 0.75, "oracle")  # the last is right nowhere: the cheapest
    assert quality_at(found.best_fixed_mix, 5.5) == 0.625


@settings(max_examples=30)
@given(SEEDS)
def test_the_oracle_is_best_and_the_fixed_mix_no_worse_than_the_random_one(seed: int) -> None:
    outcomes = table(seed)
    found = baselines(outcomes)
    for point in cost_quality_curve(outcomes, 6):
        assert point.quality_fraction <= found.oracle.quality_fraction + 1e-12
    low, high = found.random_mix
    if low.quality_fraction < high.quality_fraction:
        middle = (low.usd_per_request + high.usd_per_request) / 2
        assert quality_at(found.best_fixed_mix, middle) >= quality_at(found.random_mix, middle) - 1e-12


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=30))
def test_no_policy_lies_above_the_hull(raw: list[tuple[float, float]]) -> None:
    points = [Point(*pair) for pair in raw]
    kept = hull(points)
    assert [p.usd_per_request for p in kept] == sorted({p.usd_per_request for p in kept})
    assert kept[-1].quality_fraction == max(p.quality_fraction for p in points)
    for point in points:
        assert quality_at(points, point.usd_per_request) >= point.quality_fraction - 1e-9


def test_saving_at_equal_quality_by_hand() -> None:
    # The cascade at 0.5 costs 6 and is as good as the large tier at 10.
    assert math.isclose(saving_at_equal_quality(cost_quality_curve(HAND, 9), baselines(HAND).all_large), 0.4)
    assert math.isnan(saving_at_equal_quality([Point(1, 0.2)], Point(10, 0.75)))


def test_gap_recovered_by_hand() -> None:
    # Sent in the order 4, 3, 2, 1: the second call recovers the whole gap of one query.
    assert cpt(HAND, 1.0) == 0.5
    assert cpt(HAND, 0.5) == 0.5
    # PGR 0, 0, 1, 1, 1 at shares 0, 1/4, 1/2, 3/4, 1.
    assert apgr(HAND) == 0.625
    assert cpt(HAND, 1.0, [0.1, 0.2, 0.9, 0.8]) == 1.0


def test_a_router_that_knows_nothing_recovers_half() -> None:
    outcomes = table(1, queries=20_000, tiers=2)
    blind = np.random.default_rng(0).random(20_000)
    assert abs(apgr(outcomes, list(blind)) - 0.5) < 0.02
    assert abs(cpt(outcomes, 0.8, list(blind)) - 0.8) < 0.03
    assert apgr(outcomes) > 0.6


def test_average_improvement_by_hand() -> None:
    line = [Point(0, 0.5), Point(10, 0.7)]
    assert math.isclose(aiq(line, 0, 10), 0.6)
    assert math.isclose(aiq(line, 0, 20), 0.65)
    with pytest.raises(InvalidValueError, match="low_usd must be at least 1 and below high_usd, got 0"):
        aiq([Point(1, 0.5)], 0, 10)


def test_tables_are_read_from_files_and_ordered_by_cost(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("query,tier,correct,confidence,usd\na,big,1,1,5\na,small,0,0.3,1\nb,small,1,0.9,1\nb,big,1,1,5\n")
    found = Outcomes.from_csv(path)
    assert found.tiers == ("small", "big")
    assert found.correct.tolist() == [[0, 1], [1, 1]]
    assert Outcomes.from_csv(path, ["big"]).tiers == ("big",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,tier,correct\na,b,1\n", r"must be a CSV with the columns .*, got \['confidence', 'usd'\]"),
        ("query,tier,correct,confidence,usd\na,b,1,1,1\na,b,1,1,1\n", r"each query once per tier, got \('a', 'b'\)"),
        ("query,tier,correct,confidence,usd\na,b,1,1,1\nc,d,1,1,1\n", r"every query at every tier, got \('a', 'd'\)"),
        ("query,tier,correct,confidence,usd\na,b,2,1,1\n", "correct must be numbers from 0 to 1"),
        ("query,tier,correct,confidence,usd\na,b,1,nan,1\n", "confidence must be numbers from 0 to 1"),
        ("query,tier,correct,confidence,usd\na,b,1,1,-1\n", "usd must be numbers from 0 to inf"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=message):
        Outcomes.from_csv(path)


@pytest.mark.parametrize("limits", [[], [0.5, 0.5], [math.nan]])
def test_thresholds_are_counted(limits: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="thresholds must be 1 numbers"):
        evaluate_cascade(HAND, limits)


@settings(max_examples=30)
@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_simulated_traffic_tends_to_the_table(seed: int, first: float, second: float) -> None:
    outcomes = table(seed)
    played = evaluate_cascade(outcomes, [first, second])
    found = simulate_outcomes(outcomes, [first, second], 1_000_000, seed)
    assert abs(found.usd_per_request - played.usd_per_request) <= 6 * found.usd_per_request_error + 1e-9
    assert abs(found.quality_fraction - played.quality_fraction) < 0.005
    assert found.served_only_usd <= found.usd
    assert sum(found.served) == 1_000_000


def test_weights_make_the_traffic_harder() -> None:
    outcomes = table(5)
    hard = 1 - outcomes.confidence[:, 0]
    easy_cost = simulate_outcomes(outcomes, [0.6, 0.6], 100_000).usd_per_request
    assert simulate_outcomes(outcomes, [0.6, 0.6], 100_000, weights=list(hard)).usd_per_request > easy_cost
    with pytest.raises(InvalidValueError, match="weights must be 200 numbers >= 0"):
        simulate_outcomes(outcomes, [0.5, 0.5], 10, weights=[0.0] * 200)
