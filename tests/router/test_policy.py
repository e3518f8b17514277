import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.router.evaluation import Outcomes, evaluate_cascade, evaluate_routing
from costlab.router.policy import (
    AttemptOutcome,
    NextStep,
    Stage,
    chosen_tier,
    expected,
    first_step,
    next_step,
    worked_example,
)
from costlab.router.simulation import simulate

SHARE = st.floats(0, 1)
USD = st.floats(0, 1)
STAGES = st.lists(st.builds(Stage, st.just("s"), USD, SHARE, SHARE, USD, USD, SHARE), max_size=4).map(
    lambda inner: [*inner, Stage("last", 0.03, latency_s=0.5, quality_fraction=0.9)]
)


def test_the_lessons_day_and_what_it_really_costs() -> None:
    """Fact check 9: 3 + 200 + 600 + 3,000; with every tier tried 10 + 200 to 350 + 900 + 3,000."""
    day = worked_example()
    assert day.all_large_usd_per_day == 30_000
    assert math.isclose(day.lesson_usd_per_day, 3 + 200 + 600 + 3_000)
    assert math.isclose(day.low_usd_per_day, 10 + 200 + 900 + 3_000)
    assert math.isclose(day.high_usd_per_day, 10 + 350 + 900 + 3_000)
    for way in (day.low, day.high):
        served = [round(stage.served_fraction, 9) for stage in way.stages]
        assert served == [0.3, 0.4, 0.2, 0.1]


@given(STAGES)
def test_every_request_is_served_once_and_paid_for_at_every_stage_tried(stages: list[Stage]) -> None:
    found = expected(stages)
    assert math.isclose(sum(stage.served_fraction for stage in found.stages), 1.0, rel_tol=1e-9)
    assert math.isclose(sum(s.usd_per_request for s in found.stages), found.usd_per_request, abs_tol=1e-12)
    assert found.served_only_usd_per_request <= found.usd_per_request + 1e-12
    assert -1e-12 <= found.quality_fraction <= 1 + 1e-9


@given(STAGES)
def test_with_escalation_0_the_first_stage_is_paid_and_with_1_all(stages: list[Stage]) -> None:
    def all_pass(fraction: float) -> float:
        inner = [Stage(s.name, s.usd_per_request, fraction) for s in stages[:-1]]
        return expected([*inner, stages[-1]]).usd_per_request

    assert math.isclose(all_pass(0.0), stages[0].usd_per_request, abs_tol=1e-12)
    assert math.isclose(all_pass(1.0), sum(s.usd_per_request for s in stages), abs_tol=1e-12)


@given(USD.filter(lambda u: u > 1e-6), st.floats(0.01, 1))
def test_the_lessons_account_is_lower_whenever_something_is_passed_on(usd: float, passed: float) -> None:
    found = expected([Stage("small", usd, passed), Stage("large", 0.03)])
    assert found.served_only_usd_per_request < found.usd_per_request


@given(STAGES, st.integers(0, 100))
def test_simulation_agrees_with_the_formula(stages: list[Stage], seed: int) -> None:
    found, played = expected(stages), simulate(stages, 1_000_000, seed)
    assert played.requests == sum(played.served) == 1_000_000
    # Bernstein's inequality for costs in 0..most: passed once in a thousand million examples. The error that the
    # simulation estimates from its own sample would not do: it is 0 where a way of one in ten million was not drawn.
    most = sum(stage.usd_per_request + stage.gate_usd_per_request for stage in stages)
    doubt = math.log(2e9)
    slack = math.sqrt(2 * most * found.usd_per_request * doubt / 1e6) + most * doubt / 3e6 + 1e-12
    assert abs(played.usd_per_request - found.usd_per_request) <= slack
    for stage, tried, served in zip(found.stages, played.tried, played.served, strict=True):
        assert abs(tried / 1e6 - stage.tried_fraction) < 0.004
        assert abs(served / 1e6 - stage.served_fraction) < 0.004


def test_the_same_seed_gives_the_same_requests() -> None:
    day = [Stage("cache", 0.00001, 0.7), Stage("model", 0.03)]
    assert simulate(day, 10_000, 3) == simulate(day, 10_000, 3)
    assert simulate(day, 10_000, 3) != simulate(day, 10_000, 4)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages must be at least one"),
        ([Stage("x", 1, pass_fraction=0.1)], "x: pass_fraction and skip_fraction must be 0 at the last stage, got 0.1"),
        ([Stage("x", 1, skip_fraction=0.1)], "must be 0 at the last stage, got 0.1"),
    ],
)
def test_a_cascade_must_answer(stages: list[Stage], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        expected(stages)
    assert message in str(caught.value)


def test_bad_numbers_are_named() -> None:
    with pytest.raises(InvalidValueError, match="usd_per_request must be a number >= 0, got -1"):
        Stage("x", -1)
    with pytest.raises(InvalidValueError, match="pass_fraction must be a fraction >= 0 and <= 1, got 30"):
        Stage("x", 1, pass_fraction=30)
    with pytest.raises(InvalidValueError, match="requests must be a whole number >= 1, got 0"):
        simulate([Stage("x", 1)], 0)


# --- the decision ------------------------------------------------------------------------------------------------

THRESHOLDS, RESERVE_USD = (0.9, 0.9), (1.0, 2.0, 4.0)
Tried = tuple[AttemptOutcome, float]


def decide(tried: list[Tried], tier: int = 0, thresholds: tuple[float, ...] = THRESHOLDS) -> NextStep:
    """What comes after some attempts."""
    step = first_step(tier)
    for outcome, confidence in tried:
        step = next_step(step, outcome, confidence, thresholds, RESERVE_USD)
    return step


UNSURE: Tried = ("answered", 0.9)
SURE: Tried = ("answered", 0.91)
SKIPPED: Tried = ("skipped", 0.0)
REFUSED: Tried = ("refused", 0.0)
FAILED: Tried = ("error", 0.0)
CUT_OFF: Tried = ("incomplete", 1.0)


@pytest.mark.parametrize(
    ("tried", "action", "tier"),
    [
        ([], "ask", 0),
        ([SURE], "serve", 0),
        ([UNSURE], "ask", 1),
        ([("answered", math.nan)], "ask", 1),
        ([UNSURE, UNSURE, ("answered", 0.0)], "serve", 2),  # the last tier always answers
        ([SKIPPED, FAILED], "ask", 2),
        ([UNSURE, UNSURE, FAILED], "fail", 2),
        ([UNSURE, UNSURE, ("timeout", 0.0)], "fail", 2),
        ([UNSURE, ("abandoned", 0.0)], "fail", 1),  # the deadline passed
        ([UNSURE, UNSURE, REFUSED], "serve_degraded", 1),
        ([UNSURE, REFUSED], "serve_degraded", 0),  # the last tier would reserve more than what was refused
        ([SKIPPED, REFUSED], "fall_back", 0),
        ([SKIPPED, REFUSED, ("answered", 0.0)], "serve", 0),
        ([SKIPPED, SKIPPED, REFUSED], "fall_back", 1),  # the most expensive first
        ([SKIPPED, SKIPPED, REFUSED, FAILED], "fall_back", 0),
        ([SKIPPED, SKIPPED, REFUSED, REFUSED, REFUSED], "refuse", 0),
        ([REFUSED], "refuse", 0),
        ([CUT_OFF], "ask", 1),  # however sure the model was
        ([CUT_OFF, CUT_OFF, CUT_OFF], "serve", 2),  # nobody is left to ask
        ([CUT_OFF, REFUSED], "serve_degraded", 0),
        ([UNSURE, CUT_OFF, REFUSED], "serve_degraded", 0),  # a whole answer is better than half of one
        ([CUT_OFF, UNSURE, REFUSED], "serve_degraded", 1),
        ([SKIPPED, CUT_OFF, REFUSED], "serve_degraded", 1),
        ([SKIPPED, REFUSED, CUT_OFF], "serve", 0),
        ([SKIPPED, REFUSED, ("abandoned", 0.0)], "fail", 0),
    ],
)
def test_what_a_cascade_does_next(tried: list[Tried], action: str, tier: int) -> None:
    step = decide(tried)
    assert (step.action, step.tier) == (action, tier)


def test_a_chosen_tier_is_trusted_and_those_below_it_answer_when_it_is_refused() -> None:
    assert decide([("answered", 0.0)], 1, ()).action == "serve"
    refused = decide([REFUSED], 2, ())
    assert (refused.action, refused.tier, refused.passed_over) == ("fall_back", 1, (0,))
    assert decide([REFUSED, REFUSED], 2, ()).tier == 0


def test_a_cascade_begins_with_nothing_and_passes_over_what_is_below_its_choice() -> None:
    assert first_step() == NextStep("ask", 0, -1, math.inf, ())
    assert first_step(2) == NextStep("ask", 2, -1, math.inf, (0, 1))


def test_what_was_refused_is_the_limit_for_all_that_follows() -> None:
    """A tier passed over that reserves as much as what the budget refused is not asked; nor is one above."""
    dear_first = (3.0, 2.0, 2.0, 1.0)
    step = next_step(first_step(), "skipped", 0.0, (), dear_first)
    step = next_step(step, "refused", 0.0, (), dear_first)
    assert (step.action, step.tier, step.refused_usd) == ("ask", 3, 2.0)
    step = next_step(step, "skipped", 0.0, (), dear_first)
    assert (step.action, step.tier, step.passed_over) == ("fall_back", 3, ())
    assert next_step(step, "refused", 0.0, (), dear_first).action == "refuse"


def test_a_score_chooses_the_first_tier_whose_cut_it_is_above() -> None:
    scores = [0.9, 0.8, 0.6, 0.5, 0.1, math.nan]
    assert [chosen_tier(score, [0.8, 0.5]) for score in scores] == [0, 1, 1, 2, 2, 2]


def test_time_and_quality_by_hand() -> None:
    """Half skip the small model; of those tried a fifth is passed on: it answers 40 %, the large one the other 60."""
    small = Stage("small", 0.001, 0.2, 0.5, 0.0001, latency_s=0.1, quality_fraction=0.9)
    found = expected([small, Stage("large", 0.03, latency_s=1.0, quality_fraction=0.95)])
    assert found.usd_per_request == pytest.approx(0.0001 + 0.5 * 0.001 + 0.6 * 0.03)
    assert found.served_only_usd_per_request == pytest.approx(0.4 * 0.001 + 0.6 * 0.03)
    assert found.latency_s == pytest.approx(0.5 * 0.1 + 0.6 * 1.0)
    assert found.quality_fraction == pytest.approx(0.4 * 0.9 + 0.6 * 0.95)
    shares = [(s.arrived_fraction, s.tried_fraction, s.served_fraction) for s in found.stages]
    assert shares == [pytest.approx((1, 0.5, 0.4)), pytest.approx((0.6, 0.6, 0.6))]
    assert found.stages[0].usd_per_request == pytest.approx(0.0006)


def test_the_lessons_day_takes_the_time_of_every_tier_tried() -> None:
    """Its 2, 10, 50 and 500 ms: all see the cache, 40 to 70 % the small tier, 30 % the medium, 10 % the large."""
    day = worked_example()
    assert day.requests_per_day == 1_000_000
    assert day.low.latency_s == pytest.approx(0.002 + 0.4 * 0.01 + 0.3 * 0.05 + 0.1 * 0.5)
    assert day.high.latency_s == pytest.approx(0.002 + 0.7 * 0.01 + 0.3 * 0.05 + 0.1 * 0.5)


def test_a_stage_without_further_ado_tries_and_answers_everything() -> None:
    plain = Stage("model", 0.03)
    (share,) = expected([plain]).stages
    assert (share.tried_fraction, share.served_fraction, share.usd_per_request) == (1, 1, 0.03)
    assert (expected([plain]).latency_s, expected([plain]).quality_fraction) == (0, 1)
    for name in ("gate_usd_per_request", "latency_s"):
        with pytest.raises(InvalidValueError, match=f"{name} must be a number >= 0, got -1"):
            Stage("x", 1, **{name: -1})
    for name in ("skip_fraction", "quality_fraction"):
        with pytest.raises(InvalidValueError, match=f"{name} must be a fraction >= 0 and <= 1, got 2"):
            Stage("x", 1, **{name: 2})


CELLS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6), CELLS, CELLS)
def test_the_table_is_evaluated_as_the_decision_goes(rows: list[list[float]], first: float, second: float) -> None:
    table = Outcomes.from_prices(["a", "b", "c"], np.ones((len(rows), 3)), rows, RESERVE_USD)
    for row, tier in zip(rows, evaluate_cascade(table, [first, second]).tier, strict=True):
        step = first_step()
        while step.action == "ask":
            step = next_step(step, "answered", row[step.tier], [first, second], [0.0] * 3)
        assert (step.action, step.tier) == ("serve", tier)


@given(st.lists(st.one_of(CELLS, st.just(math.nan)), min_size=1, max_size=6), st.lists(CELLS, max_size=3))
def test_scores_choose_alike_one_by_one_and_all_at_once(scores: list[float], cuts: list[float]) -> None:
    cuts.sort(reverse=True)
    shape = (len(scores), len(cuts) + 1)
    table = Outcomes(tuple(f"t{i}" for i in range(shape[1])), np.ones(shape), np.ones(shape), np.ones(shape))
    assert evaluate_routing(table, scores, cuts).tier.tolist() == [chosen_tier(score, cuts) for score in scores]
