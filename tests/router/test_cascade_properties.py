"""What holds for every cascade, whatever its tiers, prices, thresholds and answers."""

from __future__ import annotations

import asyncio
import math
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings, strategies as st

from costlab.events import RequestEvent
from costlab.monitoring import Ledger
from costlab.router import Cascade, CascadeFailedError, ModelError, Prediction, Routed, ScriptedModel, Tier, TokenUsage
from tests.router.cascades import books, budget, paid

#: Whole micro-dollars, as most prices are; sums of others are held to the rounding of the events.
USD = st.integers(0, 50_000).map(lambda micro: micro / 1e6)
ANY_USD = st.floats(0.0, 0.05)
SHARE = st.floats(0.0, 1.0)
#: For each query how sure a tier is; None is a call that fails and is billed all the same.
QUERIES = 6
ANSWERS = st.lists(st.one_of(SHARE, st.none(), st.just(math.nan)), min_size=QUERIES, max_size=QUERIES)


def tier(name: str, answers: list[float | None], price: float, threshold: float, gate_usd: float, simple: int) -> Tier:
    def predict(query: str) -> Prediction | Exception:
        confidence = answers[int(query)]
        return ModelError("billed", TokenUsage()) if confidence is None else Prediction(name, confidence)

    return Tier(name, ScriptedModel(predict), price, threshold, lambda query: int(query) < simple, gate_usd)


def cascades(usd: st.SearchStrategy[float]) -> st.SearchStrategy[list[Tier]]:
    """One to four tiers, of which the last never fails."""
    one = st.tuples(ANSWERS, usd, SHARE, usd, st.integers(0, QUERIES))
    last = st.tuples(st.lists(SHARE, min_size=QUERIES, max_size=QUERIES), usd)

    def build(
        inner: list[tuple[list[float | None], float, float, float, int]], top: tuple[list[float], float]
    ) -> list[Tier]:
        tiers = [tier(f"t{number}", *arguments) for number, arguments in enumerate(inner)]
        return [*tiers, tier("last", [*top[0]], top[1], 0.0, 0.0, QUERIES)]

    return st.builds(build, st.lists(one, max_size=3), last)


def route_all(cascade: Cascade) -> list[Routed]:
    async def scenario() -> list[Routed]:
        return await asyncio.gather(*(cascade.route(str(query)) for query in range(QUERIES)))

    return asyncio.run(scenario())


def price_of(tiers: list[Tier], name: str) -> float:
    price = next(one for one in tiers if one.name == name).price
    assert isinstance(price, float)
    return price


@settings(deadline=None)
@given(cascades(ANY_USD))
def test_a_request_costs_at_least_the_tier_that_answered_and_all_that_its_attempts_cost(tiers: list[Tier]) -> None:
    for routed in route_all(Cascade(tiers)):
        assert routed.cost_usd >= price_of(tiers, routed.tier)
        assert math.isclose(routed.cost_usd, sum(one.cost_usd for one in routed.attempts), abs_tol=1e-15)
        assert routed.attempts[-1].tier == routed.tier


@settings(max_examples=30, deadline=None)
@given(cascades(ANY_USD))
def test_events_results_and_ledger_have_one_total(tiers: list[Tier]) -> None:
    told: list[RequestEvent] = []
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        results = route_all(Cascade(tiers, hooks=[told.append, ledger.append]))
        assert len(told) == QUERIES
        assert paid(told) == sum(one.cost_micro_usd for one in results) == ledger.totals().cost_micro_usd


@settings(deadline=None)
@given(cascades(USD))
def test_the_budgets_books_have_the_same_total(tiers: list[Tier]) -> None:
    guard = budget(100.0)
    results = route_all(Cascade(tiers, guard=guard))
    assert asyncio.run(books(guard)) == (sum(one.cost_micro_usd for one in results), 0)


@settings(deadline=None)
@given(cascades(ANY_USD), st.integers(0, 2), SHARE)
def test_raising_a_threshold_never_lowers_the_share_of_the_tiers_above(
    tiers: list[Tier], which: int, threshold: float
) -> None:
    which %= len(tiers)
    low, high = sorted((tiers[which].min_confidence, threshold))

    def reached(limit: float) -> list[int]:
        changed = [*tiers[:which], replace(tiers[which], min_confidence=limit), *tiers[which + 1 :]]
        names = [one.name for one in tiers]
        found = [names.index(routed.tier) for routed in route_all(Cascade(changed))]
        return [sum(place >= above for place in found) for above in range(which + 1, len(tiers))]

    assert all(after >= before for before, after in zip(reached(low), reached(high), strict=True))


@settings(deadline=None)
@given(st.lists(USD, min_size=1, max_size=4), st.booleans())
def test_with_escalation_0_the_first_tier_is_paid_and_with_1_all(prices: list[float], escalates: bool) -> None:
    sure = [0.0 if escalates else 1.0] * QUERIES
    tiers = [tier(f"t{number}", [*sure], price, 0.5, 0.0, QUERIES) for number, price in enumerate(prices)]
    expected = round(1e6 * sum(prices)) if escalates else round(1e6 * prices[0])
    assert [routed.cost_micro_usd for routed in route_all(Cascade(tiers))] == [expected] * QUERIES


@settings(deadline=None)
@given(cascades(ANY_USD.filter(lambda usd: usd > 1e-9)))
def test_charging_the_tier_that_answered_alone_is_too_low_whenever_something_escalates(tiers: list[Tier]) -> None:
    ungated = [replace(one, gate=None, gate_usd_per_request=0.0) for one in tiers]
    results = route_all(Cascade(ungated))
    served_only = math.fsum(price_of(tiers, one.tier) for one in results)
    total = math.fsum(one.cost_usd for one in results)
    if any(len(one.attempts) > 1 for one in results):
        assert served_only < total
    else:
        assert served_only == total


@settings(deadline=None)
@given(cascades(USD), st.integers(0, 200_000))
def test_no_budget_is_passed_and_nothing_stays_reserved(tiers: list[Tier], micro: int) -> None:
    """Calls cost what was reserved for them, so their limit holds exactly; a gate is paid before anybody can refuse."""
    limit_usd = 0.01 + micro / 1e6
    guard = budget(limit_usd)
    ungated = [replace(one, gate_usd_per_request=0.0) for one in tiers]
    told: list[RequestEvent] = []
    cascade = Cascade(ungated, guard=guard, hooks=[told.append])

    async def scenario() -> list[object]:
        return await asyncio.gather(*(cascade.route(str(query)) for query in range(QUERIES)), return_exceptions=True)

    found = asyncio.run(scenario())
    assert not any(isinstance(one, CascadeFailedError) for one in found)
    spent, reserved = asyncio.run(books(guard))
    assert (spent, reserved) == (paid(told), 0)
    assert spent <= round(1e6 * limit_usd)
    assert len(told) == QUERIES
