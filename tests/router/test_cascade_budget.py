"""The cascade before a real budget guard: degrade before refusing, and books that agree with the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import MemoryStore, ResponseCache
from costlab.catalog import api_price
from costlab.errors import BudgetExceeded, BudgetStoreError, InvalidValueError
from costlab.events import Priority, RequestEvent
from costlab.monitoring import Ledger
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetGuard, BudgetPolicy, MemoryBudgetStore
from costlab.router import (
    Cascade,
    CascadeFailedError,
    ModelError,
    Prediction,
    Routed,
    ScoreRouter,
    ScriptedModel,
    Tier,
    TokenUsage,
)
from tests.router.cascades import START_S, SlowStore, books, budget, fails, hangs, outcomes, paid, says, until

pytestmark = pytest.mark.anyio


async def route(cascade: Cascade, query: str = "q", **settings: Any) -> Routed:
    return await cascade.route(query, **settings)


def two(large_usd: float = 4.0, **settings: Any) -> list[Tier]:
    return [Tier("small", says("s", 0.5), 1.0, 0.9, **settings), Tier("large", says("l"), large_usd)]


async def test_each_call_is_reserved_before_and_settled_after() -> None:
    seen: list[tuple[int, int]] = []
    guard = budget(10.0)

    async def look(_query: str) -> Prediction:
        status = await guard.status()
        seen.append((status.day_spent_micro_usd, status.day_reserved_micro_usd))
        return Prediction("a", 0.5)

    model = ScriptedModel(look)
    await route(Cascade([Tier("a", model, 1.0, 0.9, estimate_usd=3.0), Tier("b", model, 4.0)], guard=guard))
    assert seen == [(0, 3_000_000), (1_000_000, 4_000_000)]
    assert await books(guard) == (5_000_000, 0)


@pytest.mark.parametrize("kind", [AsyncBudgetGuard, BudgetGuard])
async def test_the_guard_and_its_twin_serve_alike(kind: Any) -> None:
    policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=12, monthly_usd=100)
    guard = kind(policy, MemoryBudgetStore(), clock=lambda: START_S)
    cascade = Cascade(two(), guard=guard)

    async def scenario() -> list[tuple[str, bool]]:
        found = [await cascade.route("q") for _ in range(3)]
        with pytest.raises(BudgetExceeded):
            await cascade.route("q", "batch")
        return [(one.tier, one.degraded) for one in found]

    assert await scenario() == [("large", False), ("large", False), ("small", True)]
    assert (guard.counts.admitted, guard.counts.refused) == (5, 2)


async def test_a_refused_tier_leaves_the_best_answer_so_far() -> None:
    told: list[RequestEvent] = []
    guard = budget(3.0)
    tiers = [
        Tier("small", says("s", 0.8), 1.0, 0.9),
        Tier("medium", says("m", 0.3), 1.0, 0.9),
        Tier("large", says("l"), 4.0),
    ]
    routed = await route(Cascade(tiers, guard=guard, hooks=[told.append]))
    # Of two answers that are not trusted the higher tier's counts, however sure the lower one was.
    assert (routed.answer, routed.tier, routed.degraded, routed.cost_usd) == ("m", "medium", True, 2.0)
    assert outcomes(routed) == [("small", "escalated"), ("medium", "escalated"), ("large", "refused")]
    assert "daily hard limit" in routed.attempts[-1].error
    assert [(event.tier, event.outcome, event.cost_usd) for event in told] == [("medium", "ok", 2.0)]
    assert await books(guard) == (2_000_000, 0)


async def test_where_the_gate_sent_it_past_a_cheaper_tier_that_tier_answers_before_anybody_is_refused() -> None:
    guard = budget(3.0)
    tiers = two(gate=lambda _query: False)
    routed = await route(Cascade(tiers, guard=guard))
    assert outcomes(routed) == [("small", "skipped"), ("large", "refused"), ("small", "answered")]
    assert (routed.answer, routed.degraded, routed.cost_usd) == ("s", True, 1.0)
    assert await books(guard) == (1_000_000, 0)


async def test_what_is_dearer_than_a_refused_tier_is_not_asked_for() -> None:
    dear = says("d", 0.99)
    tiers = [Tier("dear", dear, 5.0, 0.9, lambda _query: False), Tier("large", says("l"), 4.0)]
    guard = budget(3.0)
    with pytest.raises(BudgetExceeded):
        await route(Cascade(tiers, guard=guard))
    assert (dear.calls, guard.counts.refused) == (0, 1)


async def test_what_was_paid_on_the_way_is_reserved_with_the_call() -> None:
    """A dollar for the call and an eighth for the look-up are more than a dollar."""
    tiers, cache = [Tier("only", says("a"), 1.0)], ResponseCache(MemoryStore())
    assert (await route(Cascade(tiers, cache, budget(1.125), cache_usd_per_lookup=0.125))).cost_usd == 1.125
    guard = budget(1.0)
    with pytest.raises(BudgetExceeded):
        await route(Cascade(tiers, cache, guard, cache_usd_per_lookup=0.125), "another")
    assert await books(guard) == (125_000, 0)  # the look-up was paid all the same


async def test_a_cheaper_tier_above_the_refused_one_still_answers_in_full() -> None:
    tiers = [
        Tier("rented", says("r", 0.1), 4.0, 0.9),
        Tier("dearer", says("d", 0.99), 5.0, 0.9),
        Tier("own", says("o"), 0.5),
    ]
    routed = await route(Cascade(tiers, guard=budget(3.0)))
    assert outcomes(routed) == [("rented", "refused"), ("own", "answered")]
    assert not routed.degraded


async def test_without_any_answer_the_refusal_is_raised_and_told() -> None:
    told: list[RequestEvent] = []
    guard = budget(0.5)
    with pytest.raises(BudgetExceeded) as caught:
        await route(Cascade(two(), guard=guard, hooks=[told.append]))
    assert caught.value.requested_usd == 1.0
    assert [(event.tier, event.outcome, event.cost_micro_usd) for event in told] == [("small", "refused", 0)]
    assert await books(guard) == (0, 0)


async def test_who_goes_first_when_money_runs_short() -> None:
    """Of 10 dollars batch work may have 8, standard work 10, essential work 15."""

    async def tiers_that_answer(spent_usd: float, priority: Priority) -> str:
        guard = budget(10.0)
        await guard.record(spent_usd)
        try:
            return (await route(Cascade(two(large_usd=2.0), guard=guard), priority=priority)).tier
        except BudgetExceeded:
            return ""

    found = {
        priority: [await tiers_that_answer(usd, priority) for usd in (4.0, 6.0, 8.0, 9.5)]
        for priority in ("batch", "standard", "essential")
    }
    assert found == {
        "batch": ["large", "small", "", ""],
        "standard": ["large", "large", "small", ""],
        "essential": ["large"] * 4,
    }


@pytest.mark.parametrize(
    ("model", "spent"),
    [
        (fails(ModelError("billed", TokenUsage())), 1_000_000),
        (fails(ModelError("not billed")), 0),
        (fails(ModelError("cut off", bill_unknown=True)), None),
        (fails(RuntimeError("broken")), None),
        (hangs(), None),
    ],
)
@pytest.mark.parametrize("abandoned_usd", [0.0, 0.25, None])
async def test_a_call_that_fails_is_settled_at_its_bill_and_at_its_estimate_where_nobody_knows_it(
    model: ScriptedModel, spent: int | None, abandoned_usd: float | None
) -> None:
    guard = budget(10.0)
    tier = Tier("first", model, 1.0, 0.9, timeout_s=0.01, estimate_usd=2.0, abandoned_usd_per_request=abandoned_usd)
    if spent is None:
        spent = 2_000_000 if abandoned_usd is None else round(1e6 * abandoned_usd)
    routed = await route(Cascade([tier, Tier("last", says("l"), 4.0)], guard=guard))
    assert routed.cost_micro_usd == 4_000_000 + spent
    assert await books(guard) == (4_000_000 + spent, 0)


@pytest.mark.parametrize("end", ["time-out", "cancelled", "deadline", "error"])
async def test_calls_that_nobody_heard_the_end_of_do_not_pass_the_limit(end: str) -> None:
    """40 requests at 1 dollar each, all billed by a provider of which this side hears nothing: 10 are sent."""
    told: list[RequestEvent] = []
    guard = budget(10.0)
    model = fails(OSError("reset")) if end == "error" else hangs()
    tier = Tier("only", model, 1.0, timeout_s=0.1 if end == "time-out" else None)
    cascade = Cascade([tier], guard=guard, hooks=[told.append], deadline_s=0.1 if end == "deadline" else None)
    for _ in range(40):
        calls = model.calls
        task = asyncio.create_task(cascade.route("q"))
        while end == "cancelled" and not task.done():
            await asyncio.sleep(0)
            if model.calls > calls:
                task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert model.calls == 10
    assert await books(guard) == (paid(told), 0) == (10_000_000, 0)


async def test_without_a_guard_a_call_of_unknown_cost_is_told_at_what_the_tier_says() -> None:
    for abandoned_usd in (None, 0.0, 0.25):
        tier = Tier("a", hangs(), 1.0, 0.9, timeout_s=0.005, abandoned_usd_per_request=abandoned_usd)
        routed = await route(Cascade([tier, Tier("b", says("b"), 2.0)]))
        assert routed.cost_usd == 2.0 + (abandoned_usd or 0.0)


async def test_look_ups_gates_and_scores_stand_in_the_books_too() -> None:
    guard = budget(10.0)
    cache = ResponseCache(MemoryStore())
    tiers = two(gate=lambda query: query == "let", gate_usd_per_request=0.25)
    cascade = Cascade(tiers, cache, guard, cache_usd_per_lookup=0.125)

    async def scenario() -> list[float]:
        return [(await cascade.route(query)).cost_usd for query in ("let", "let", "pass")]

    costs = await scenario()
    assert costs == [0.125 + 0.25 + 1.0 + 4.0, 0.125, 0.125 + 0.25 + 4.0]
    assert await books(guard) == (round(1e6 * sum(costs)), 0)
    scored = ScoreRouter(two(large_usd=1.0), lambda _query: 0.0, [1.0], None, budget(10.0), score_usd_per_request=0.5)
    assert (await route(scored)).cost_usd == 1.5


async def test_a_call_that_cannot_be_settled_is_paid_all_the_same() -> None:
    class Lost:
        def settle(self, _actual_usd: float) -> None:
            raise BudgetStoreError("no connection")

        def release(self) -> None: ...

    class Guard:
        def reserve(self, _estimate_usd: float, _priority: Priority = "standard") -> Lost:
            return Lost()

        def record(self, _actual_usd: float) -> None: ...

    told: list[RequestEvent] = []
    with pytest.raises(CascadeFailedError, match="only: error"):
        await route(Cascade([Tier("only", says("a", usage=TokenUsage(5)), 1.0)], guard=Guard(), hooks=[told.append]))
    assert [(event.cost_micro_usd, event.input_tokens) for event in told] == [(1_000_000, 5)]


async def test_books_that_cannot_be_asked_refuse_as_their_policy_says() -> None:
    class Down(MemoryBudgetStore):
        async def transact_async(self, *_arguments: Any) -> Any:
            raise BudgetStoreError("no connection")

    told: list[RequestEvent] = []
    policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100)
    cascade = Cascade(two(), guard=AsyncBudgetGuard(policy, Down()), hooks=[told.append])
    with pytest.raises(BudgetStoreError, match="no connection"):
        await route(cascade)
    assert [event.outcome for event in told] == ["refused"]


async def test_a_models_own_budget_is_the_models_failure() -> None:
    error = BudgetExceeded("daily_hard", 1, 1, 0, 1)
    routed = await route(Cascade([Tier("a", fails(error), 1.0, 0.9), Tier("b", says("b"), 1.0)], guard=budget(10.0)))
    assert outcomes(routed) == [("a", "error"), ("b", "answered")]


async def test_a_price_per_token_before_a_guard_needs_an_estimate() -> None:
    price = api_price("gpt-4o-mini", "openai")
    with pytest.raises(InvalidValueError, match="mini: estimate_usd must be given where a guard meets a price per"):
        Cascade([Tier("mini", says("a"), price)], guard=budget(1.0))
    guard = budget(1.0)
    tier = Tier("mini", says("a", usage=TokenUsage(1000, 0, 100)), price, estimate_usd=0.01)
    routed = await route(Cascade([tier], guard=guard))
    assert await books(guard) == (routed.cost_micro_usd, 0)
    assert routed.cost_micro_usd > 0


# --- cancellation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["reserving", "calling", "settling", "settling a failure"])
async def test_a_cancelled_request_leaves_no_reservation_and_no_unpaid_bill(when: str) -> None:
    told: list[RequestEvent] = []
    store = SlowStore(0.02)
    policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100)
    guard = AsyncBudgetGuard(policy, store, clock=lambda: START_S)
    model = {"calling": hangs(), "settling a failure": fails(ModelError("billed", TokenUsage(7)))}.get(when, says("a"))
    tier = Tier("a", model, 1.0, abandoned_usd_per_request=0.25, max_concurrency=1)
    cascade = Cascade([tier], guard=guard, hooks=[told.append])

    async def scenario() -> tuple[int, int]:
        task = asyncio.create_task(cascade.route("q"))
        if when == "reserving":
            await asyncio.sleep(0.005)
            assert model.calls == 0
        else:
            await until_called(model)
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cascade.drain()
        status = await guard.status()
        return status.day_spent_micro_usd, status.day_reserved_micro_usd

    spent = {"reserving": 0, "calling": 250_000, "settling": 1_000_000, "settling a failure": 1_000_000}[when]
    assert await scenario() == (spent, 0)
    # The event says what the books say, although the one who asked never saw the answer.
    assert [(event.outcome, event.cost_micro_usd) for event in told] == [("cancelled", spent)]
    assert told[0].input_tokens == (7 if when == "settling a failure" else 0)


async def until_called(model: ScriptedModel) -> None:
    async with asyncio.timeout(1.0):
        while model.calls == 0:
            await asyncio.sleep(0.001)


async def test_a_request_cancelled_twice_still_settles() -> None:
    policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100)
    guard = AsyncBudgetGuard(policy, SlowStore(0.02), clock=lambda: START_S)
    model = hangs()
    cascade = Cascade([Tier("a", model, 1.0, abandoned_usd_per_request=0.25)], guard=guard)

    async def scenario() -> tuple[int, int]:
        task = asyncio.create_task(cascade.route("q"))
        await until_called(model)
        task.cancel()
        await asyncio.sleep(0.005)  # the settlement is on its way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cascade.drain()
        status = await guard.status()
        return status.day_spent_micro_usd, status.day_reserved_micro_usd

    assert await scenario() == (250_000, 0)


async def test_a_bill_belongs_to_its_own_attempt() -> None:
    """Cancelled while it waits for a place at the second tier: the first one's bill is not paid twice."""
    told: list[RequestEvent] = []
    small, large = says("s"), hangs()
    tiers = [Tier("small", small, 1.0, 0.9), Tier("large", large, 4.0, max_concurrency=1)]
    guard = budget(10.0)
    cascade = Cascade(tiers, guard=guard, hooks=[told.append])

    async def scenario() -> None:
        first = asyncio.create_task(cascade.route("q"))
        await until(lambda: large.running == 1)
        second = asyncio.create_task(cascade.route("q"))
        await until(lambda: small.calls == 2)
        await asyncio.sleep(0.005)
        for task in (second, first):
            task.cancel()
            await asyncio.wait([task])

    await scenario()
    # The second was never sent to the large tier. The first was, and nobody knows its bill: its estimate.
    assert [event.cost_micro_usd for event in told] == [1_000_000, 5_000_000]
    assert await books(guard) == (6_000_000, 0)


async def test_a_deadline_leaves_no_reservation_either() -> None:
    guard = budget(10.0)
    # Long enough for a busy machine to send the call: what was not sent is not paid.
    cascade = Cascade([Tier("a", hangs(), 1.0, abandoned_usd_per_request=0.25)], guard=guard, deadline_s=0.25)
    with pytest.raises(RuntimeError, match="no answer within"):
        await route(cascade)
    assert await books(guard) == (250_000, 0)


async def test_money_is_not_set_aside_while_a_request_waits_for_its_place() -> None:
    guard = budget(10.0)
    model = hangs()
    cascade = Cascade([Tier("a", model, 1.0, max_concurrency=1)], guard=guard)

    async def scenario() -> int:
        tasks = [asyncio.create_task(cascade.route("q")) for _ in range(5)]
        await until(lambda: model.running == 1)
        reserved = (await guard.status()).day_reserved_micro_usd
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return reserved

    assert await scenario() == 1_000_000
    assert await books(guard) == (1_000_000, 0)  # of the one that was sent


# --- everything together -----------------------------------------------------------------------------------------


async def test_a_day_with_cache_guard_and_ledger_ends_with_one_total(tmp_path: Path) -> None:
    """Events, results, ledger and the budget's books agree to the micro-dollar, whatever happened to the requests."""

    def small(query: str) -> Prediction | Exception:
        number = int(query)
        if number % 11 == 0:
            return ModelError("not an answer", TokenUsage())
        return Prediction(query, 0.5 if number % 3 == 0 else 0.99)

    async def large(query: str) -> Prediction:
        await asyncio.sleep(3600.0 if int(query) % 150 == 0 else 0.001)
        if int(query) % 66 == 0:
            raise ModelError("overloaded")
        return Prediction(query, 0.9)

    told: list[RequestEvent] = []
    guard = budget(3.0)
    tiers = [
        Tier("small", ScriptedModel(small), 0.0005, 0.95, lambda query: int(query) % 7 > 0, 0.0001),
        Tier("large", ScriptedModel(large), 0.03, max_concurrency=20),
    ]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        cascade = Cascade(
            tiers, ResponseCache(MemoryStore()), guard, [told.append, ledger.append], cache_usd_per_lookup=0.00001
        )

        async def scenario() -> list[Any]:
            tasks = [asyncio.create_task(cascade.route(str(number % 400))) for number in range(1000)]
            stuck = [task for number, task in enumerate(tasks) if number % 400 % 150 == 0]
            await asyncio.wait(set(tasks) - set(stuck))
            for task in stuck:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            await cascade.drain()
            return found

        found = await scenario()
        ledger.flush()
        totals = ledger.totals()
    assert len(told) == totals.requests == 1000
    assert len({event.request_id for event in told}) == 1000
    assert {event.outcome for event in told} == {"ok", "cached", "error", "refused", "cancelled"}
    answered = [event for event in told if event.outcome in ("ok", "cached")]
    results = [one for one in found if isinstance(one, Routed)]
    assert sum(one.cost_micro_usd for one in results) == paid(answered)
    assert totals.cost_micro_usd == paid(told)
    assert await books(guard) == (paid(told), 0)
    assert any(one.degraded for one in results)  # three dollars were not enough for everybody
