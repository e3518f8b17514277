"""Routing up front: the interface of the cascade, the choice of the tables."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from costlab.errors import InvalidValueError
from costlab.router import (
    Cascade,
    Outcomes,
    Prediction,
    Routed,
    ScoreRouter,
    ScriptedModel,
    Tier,
    evaluate_cascade,
    evaluate_routing,
)
from tests.router.cascades import books, budget, fails, outcomes, says

pytestmark = pytest.mark.anyio

PRICES = (0.25, 1.0, 4.0)
CONFIDENCES = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])] * 3), min_size=1, max_size=8)
CUTS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=2, max_size=2)


def three() -> list[Tier]:
    return [
        Tier("small", says("s", 0.1), 0.25, 0.9, lambda _query: False),
        Tier("medium", says("m", 0.1), 1.0, 0.9),
        Tier("large", says("l", 0.1), 4.0),
    ]


@pytest.mark.parametrize(
    ("score", "tier"), [(0.9, "small"), (0.8, "medium"), (0.5, "medium"), (0.3, "large"), (math.nan, "large")]
)
async def test_a_score_chooses_one_tier_and_only_that_one_is_paid(score: float, tier: str) -> None:
    routed = await ScoreRouter(three(), lambda _query: score, [0.8, 0.3], score_usd_per_request=0.125).route("q")
    price = dict(zip(("small", "medium", "large"), PRICES, strict=True))[tier]
    assert (routed.tier, routed.cost_usd) == (tier, 0.125 + price)
    assert outcomes(routed) == [(tier, "answered")]


async def test_a_score_that_fails_chooses_the_last_tier_and_may_be_async() -> None:
    async def broken(_query: str) -> float:
        raise RuntimeError("no such feature")

    async def sure(_query: str) -> float:
        await asyncio.sleep(0)
        return 1.0

    assert (await ScoreRouter(three(), broken, [0.8, 0.3]).route("q")).tier == "large"
    assert (await ScoreRouter(three(), sure, [0.8, 0.3]).route("q")).tier == "small"


async def test_a_chosen_tier_that_fails_sends_the_query_on() -> None:
    tiers = [Tier("small", fails(RuntimeError("broken")), 0.25), *three()[1:]]
    routed = await ScoreRouter(tiers, lambda _query: 1.0, [0.8, 0.3]).route("q")
    assert outcomes(routed) == [("small", "error"), ("medium", "answered")]


async def test_a_refused_choice_is_answered_by_the_dearest_tier_below_that_the_budget_allows() -> None:
    guard = budget(2.0)
    routed = await ScoreRouter(three(), lambda _query: 0.0, [0.8, 0.3], None, guard).route("q")
    assert outcomes(routed) == [("large", "refused"), ("medium", "answered")]
    assert (routed.degraded, routed.cost_usd, await books(guard)) == (True, 1.0, (1_000_000, 0))
    poor = await ScoreRouter(three(), lambda _query: 0.0, [0.8, 0.3], None, budget(0.5)).route("q")
    assert outcomes(poor) == [("large", "refused"), ("medium", "refused"), ("small", "answered")]


@pytest.mark.parametrize("cuts", [[], [0.5], [0.3, 0.8], [math.nan, 0.1], [0.8, 0.3, 0.1]])
def test_cuts_fit_the_tiers_and_fall(cuts: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="cuts must be 2 falling numbers, one per tier but the last"):
        ScoreRouter(three(), lambda _query: 0.0, cuts)


def _tiers(table: list[tuple[float, ...]], thresholds: list[float]) -> list[Tier]:
    def model(column: int) -> ScriptedModel:
        return ScriptedModel(lambda query: Prediction(column, table[int(query)][column]))

    return [Tier(f"t{i}", model(i), PRICES[i], limit) for i, limit in enumerate([*thresholds, 0.0])]


def _all(cascade: Cascade, queries: int) -> list[Routed]:
    async def scenario() -> list[Routed]:
        return [await cascade.route(str(query)) for query in range(queries)]

    return asyncio.run(scenario())


@settings(deadline=None)
@given(CONFIDENCES, CUTS)
def test_what_runs_is_what_was_played_on_the_table(table: list[tuple[float, ...]], limits: list[float]) -> None:
    """Thresholds and cuts fitted on labelled tables mean the same in front of real models, in tier and in cost."""
    names = ("t0", "t1", "t2")
    outcomes_ = Outcomes(names, np.ones((len(table), 3)), np.array(table), np.tile(PRICES, (len(table), 1)))
    cuts, scores = sorted(limits, reverse=True), [row[0] for row in table]
    played = evaluate_cascade(outcomes_, limits), evaluate_routing(outcomes_, scores, cuts)
    ran = (
        _all(Cascade(_tiers(table, limits)), len(table)),
        _all(ScoreRouter(_tiers(table, limits), lambda query: scores[int(query)], cuts), len(table)),
    )
    for expected, found in zip(played, ran, strict=True):
        assert [names.index(one.tier) for one in found] == expected.tier.tolist()
        assert [one.cost_usd for one in found] == expected.usd.tolist()
