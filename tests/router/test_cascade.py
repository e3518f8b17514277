"""The cascade as the source lesson has it, and what its requests cost, are told as and leave behind."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from costlab.catalog import ApiPrice, api_snapshot
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.events import RequestEvent
from costlab.router import (
    Cascade,
    CascadeFailedError,
    ModelError,
    ModelTimeoutError,
    Prediction,
    Routed,
    ScriptedModel,
    Tier,
    TokenUsage,
)
from tests.router.cascades import START_S, fails, hangs, lesson_tiers, outcomes, paid, says, until

pytestmark = pytest.mark.anyio

PRICE = ApiPrice(
    model="gpt-4o-mini", provider="openai", input_usd_per_mtok=0.15, output_usd_per_mtok=0.60,
    cached_input_usd_per_mtok=0.075, as_of=date(2026, 1, 1), snapshot=api_snapshot(), source_url="",
)  # fmt: skip


async def route(cascade: Cascade, query: str = "q", **settings: Any) -> Routed:
    return await cascade.route(query, **settings)


@pytest.mark.parametrize(
    ("small", "medium", "simple", "tier", "usd", "way"),
    [
        (0.96, 0.9, True, "small", 0.0005, ["answered"]),
        (0.95, 0.9, True, "medium", 0.0035, ["escalated", "answered"]),
        (0.96, 0.9, False, "medium", 0.003, ["skipped", "answered"]),
        (0.5, 0.85, True, "large", 0.0335, ["escalated", "escalated", "answered"]),
        (0.99, 0.2, False, "large", 0.033, ["skipped", "escalated", "answered"]),
    ],
)
async def test_the_lessons_cascade_with_every_attempt_paid_for(
    small: float, medium: float, simple: bool, tier: str, usd: float, way: list[str]
) -> None:
    """S7: a gate before the small tier, thresholds of 0.95 and 0.85 that are to be passed, a last tier that answers."""
    routed = await route(Cascade(lesson_tiers(small, medium, simple)))
    assert (routed.tier, routed.answer) == (tier, tier[0])
    assert math.isclose(routed.cost_usd, usd, rel_tol=1e-12)
    assert [outcome for _, outcome in outcomes(routed)] == way
    assert not routed.degraded


async def test_a_confidence_that_is_no_number_is_never_trusted() -> None:
    tiers = [Tier("mute", says("a", math.nan), 0.001, 0.0), Tier("last", says("b", math.nan), 0.01)]
    assert outcomes(await route(Cascade(tiers))) == [("mute", "escalated"), ("last", "answered")]


@pytest.mark.parametrize("through", [True, False])
async def test_a_gate_is_paid_whatever_it_says_and_may_be_async(through: bool) -> None:
    async def gate(_query: str) -> bool:
        await asyncio.sleep(0)
        return through

    tiers = [
        Tier("small", says("a", 0.99), 0.5, 0.9, gate, gate_usd_per_request=0.25),
        Tier("large", says("b"), 2.0, gate=lambda _query: False, gate_usd_per_request=9.0),
    ]
    routed = await route(Cascade(tiers))
    assert routed.cost_usd == (0.75 if through else 2.25)
    assert routed.attempts[0].cost_usd == (0.75 if through else 0.25)


async def test_a_gate_that_fails_lets_through_and_is_written_down() -> None:
    def gate(_query: str) -> bool:
        raise RuntimeError("no such feature")

    routed = await route(Cascade([Tier("small", says("a"), 0.5, 0.9, gate), Tier("large", says("b"), 2.0)]))
    assert outcomes(routed) == [("small", "escalated"), ("large", "answered")]
    errors = [attempt.error for attempt in routed.attempts]
    assert errors == ["the gate failed (RuntimeError: no such feature)", ""]


async def test_a_price_per_token_follows_the_usage_and_the_event_adds_all_tokens() -> None:
    told: list[RequestEvent] = []
    tiers = [
        Tier("mini", says("a", 0.1, TokenUsage(1000, 400, 100)), PRICE, 0.9),
        Tier("again", says("b", 0.1, TokenUsage(2000, 0, 10)), PRICE),
    ]
    routed = await route(Cascade(tiers, hooks=[told.append], now=lambda: START_S, new_id=lambda: "r-1"), tenant="acme")
    first = (600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1e6
    second = (2000 * 0.15 + 10 * 0.60) / 1e6
    assert math.isclose(routed.cost_usd, first + second, rel_tol=1e-12)
    (event,) = told
    assert (event.input_tokens, event.cached_input_tokens, event.output_tokens) == (3000, 400, 110)
    assert (event.request_id, event.time_s, event.tenant, event.outcome) == ("r-1", START_S, "acme", "ok")
    assert (event.tier, event.model, event.priority) == ("again", "gpt-4o-mini", "standard")
    assert event.cost_micro_usd == routed.cost_micro_usd


async def test_latencies_come_from_the_clock_and_those_of_the_attempts_make_the_whole() -> None:
    seconds = iter([10.0, 11.0, 13.0, 13.0, 13.0])
    told: list[RequestEvent] = []
    cascade = Cascade(
        [Tier("a", says("a"), 0.1, 0.9), Tier("b", says("b"), 0.1)], None, None, [told.append], lambda: next(seconds)
    )
    routed = await route(cascade)
    assert [attempt.latency_s for attempt in routed.attempts] == [1.0, 2.0]
    assert routed.latency_s == told[0].latency_s == 3.0


# --- tiers that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "outcome", "usd"),
    [
        (fails(RuntimeError("broken")), "error", 0.125),
        (fails(ModelError("no answer")), "error", 0.0),
        (fails(ModelError("not an answer", TokenUsage(10, 0, 5))), "error", 0.25),
        (fails(ModelError("cut off", bill_unknown=True)), "error", 0.125),
        (fails(TimeoutError()), "timeout", 0.125),
        (fails(ModelTimeoutError("late")), "timeout", 0.125),
        (fails(ModelTimeoutError("late, and the bill is here", TokenUsage(10, 0, 5))), "timeout", 0.25),
        (fails(ModelTimeoutError("never sent", bill_unknown=False)), "timeout", 0.0),
        (says("a", latency_s=3600.0), "timeout", 0.125),
        (ScriptedModel(lambda _query: "no prediction"), "error", 0.125),
        (ScriptedModel({}), "error", 0.125),
    ],
)
async def test_a_tier_that_fails_sends_the_query_on_and_is_paid_where_it_was_billed(
    model: ScriptedModel, outcome: str, usd: float
) -> None:
    tier = Tier("first", model, 0.25, 0.9, timeout_s=0.01, abandoned_usd_per_request=0.125)
    routed = await route(Cascade([tier, Tier("last", says("b"), 1.0)]))
    assert outcomes(routed) == [("first", outcome), ("last", "answered")]
    assert (routed.cost_usd, routed.attempts[0].cost_usd) == (1.0 + usd, usd)
    assert routed.attempts[0].error
    assert model.running == 0


@pytest.mark.parametrize(("error", "outcome"), [(ValueError("no"), "error"), (TimeoutError("late"), "timeout")])
async def test_the_last_tier_failing_raises_with_the_whole_trail(error: Exception, outcome: str) -> None:
    told: list[RequestEvent] = []
    cascade = Cascade([Tier("a", says("a"), 0.5, 0.9), Tier("b", fails(error), 1.0)], hooks=[told.append])
    with pytest.raises(
        CascadeFailedError, match=rf"the last tier failed: a: escalated, b: {outcome} \(\w+: \w+\)"
    ) as e:
        await route(cascade)
    assert outcomes(e.value) == [("a", "escalated"), ("b", outcome)]
    assert e.value.cost_usd == 0.5
    assert e.value.__cause__ is error
    assert [(event.tier, event.outcome, event.cost_micro_usd) for event in told] == [("b", outcome, 500_000)]


async def test_a_failure_survives_the_way_between_processes() -> None:
    with pytest.raises(CascadeFailedError) as caught:
        await route(Cascade([Tier("only", fails(ValueError("no")), 1.0)]))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.attempts, copy.cost_usd) == (str(caught.value), caught.value.attempts, 0.0)


# --- time, places, cancellation ----------------------------------------------------------------------------------


async def test_a_deadline_ends_the_whole_route_and_keeps_what_was_paid() -> None:
    told: list[RequestEvent] = []
    slow = hangs()
    tiers = [Tier("a", says("a"), 0.5, 0.9), Tier("b", slow, 1.0, abandoned_usd_per_request=0.25)]
    with pytest.raises(CascadeFailedError, match=r"no answer within 0\.3 s: a: escalated, b: abandoned") as caught:
        await route(Cascade(tiers, hooks=[told.append], deadline_s=0.3))
    assert caught.value.cost_usd == 0.75
    assert [(event.outcome, event.cost_micro_usd, event.tier) for event in told] == [("timeout", 750_000, "b")]
    assert slow.running == 0


async def test_a_deadline_that_is_kept_changes_nothing() -> None:
    assert (await route(Cascade([Tier("a", says("a"), 0.5)], deadline_s=60.0))).answer == "a"


async def test_a_tiers_own_time_runs_from_its_call_not_from_its_place_in_the_queue() -> None:
    model = says("a", 0.9, latency_s=0.2)
    cascade = Cascade([Tier("a", model, 0.5, timeout_s=0.9, max_concurrency=1)])

    async def scenario() -> list[Routed]:
        return await asyncio.gather(*(cascade.route("q") for _ in range(6)))

    assert {routed.answer for routed in await scenario()} == {"a"}  # the sixth waits a second


@pytest.mark.parametrize("places", [1, 3])
async def test_no_more_calls_are_under_way_than_a_tier_has_places(places: int) -> None:
    model = says("a", latency_s=0.001)
    cascade = Cascade([Tier("a", model, 0.5, max_concurrency=places)])

    async def scenario() -> None:
        await asyncio.gather(*(cascade.route("q") for _ in range(20)))

    await scenario()
    assert (model.most_running, model.calls) == (places, 20)


@pytest.mark.parametrize("where", ["model", "place", "gate"])
async def test_a_cancelled_request_gives_its_place_back_and_is_told(where: str) -> None:
    told: list[RequestEvent] = []
    slow = hangs()

    async def gate(_query: str) -> bool:
        if where == "gate":
            await asyncio.sleep(3600.0)
        return True

    tiers = [
        Tier("first", says("a"), 0.5, 0.9),
        Tier(
            "slow", slow, 1.0, 0.9, gate,
            gate_usd_per_request=0.125, max_concurrency=1, abandoned_usd_per_request=0.25,
        ),
        Tier("last", says("c"), 2.0),
    ]  # fmt: skip
    cascade = Cascade(tiers, hooks=[told.append])

    async def scenario() -> None:
        holder = asyncio.create_task(cascade.route("q")) if where == "place" else None
        if holder is not None:
            await until(lambda: slow.running == 1)
        task = asyncio.create_task(cascade.route("q", tenant="impatient"))
        await asyncio.sleep(0.01)
        for one in filter(None, (task, holder)):
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
        assert slow.running == 0
        # The place is free again: the next request reaches the model.
        if where != "gate":
            next_one = asyncio.create_task(cascade.route("q"))
            await until(lambda: slow.running == 1)
            next_one.cancel()

    await scenario()
    event = next(event for event in told if event.tenant == "impatient")
    expected = 625_000 + (250_000 if where == "model" else 0)  # one that waits for a place has sent nothing
    assert (event.outcome, event.tier, event.cost_micro_usd) == ("cancelled", "slow", expected)
    assert event.latency_s > 0.0


# --- hooks -------------------------------------------------------------------------------------------------------


async def test_hooks_that_fail_are_counted_and_break_nothing() -> None:
    def broken(_event: RequestEvent) -> None:
        raise RuntimeError("no registry")

    told: list[RequestEvent] = []
    cascade = Cascade([Tier("a", says("a"), 0.5)], hooks=[broken, told.append])
    assert (await route(cascade)).answer == "a"
    assert (cascade.hooks.failures, len(told)) == (1, 1)


async def test_names_of_requests_differ() -> None:
    told: list[RequestEvent] = []
    cascade = Cascade([Tier("a", says("a"), 0.5)], hooks=[told.append])

    async def scenario() -> None:
        for _ in range(100):
            await cascade.route("q")

    await scenario()
    assert len({event.request_id for event in told}) == 100


async def test_a_thousand_requests_at_once_lose_nothing_and_cost_the_same_in_any_order() -> None:
    def answer(query: str) -> Any:
        async def think() -> Prediction:
            await asyncio.sleep(0.0001 * (int(query) % 7))
            if int(query) % 5 == 0:
                raise ModelError("failed, and billed", TokenUsage())
            return Prediction(query, 0.95 if int(query) % 3 else 0.5)

        return think()

    told: list[RequestEvent] = []
    large = ScriptedModel(lambda query: Prediction(query, 0.9), latency_s=0.001)
    tiers = [
        Tier("small", ScriptedModel(answer), 0.0005, 0.9, max_concurrency=50),
        Tier("large", large, 0.03, max_concurrency=20),
    ]

    async def scenario(queries: list[str]) -> list[Routed]:
        cascade = Cascade(tiers, hooks=[told.append])
        return await asyncio.gather(*(cascade.route(query) for query in queries))

    queries = [str(number) for number in range(1000)]
    totals = []
    for order in (queries, queries[::-1]):
        told.clear()
        routed = await scenario(order)
        assert [one.answer for one in routed] == order
        assert len({event.request_id for event in told}) == 1000
        assert paid(told) == sum(one.cost_micro_usd for one in routed)
        totals.append(paid(told))
    up = sum(number % 5 == 0 or number % 3 == 0 for number in range(1000))
    assert totals == [1000 * 500 + up * 30_000] * 2
    assert large.most_running == 20


# --- arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [[], ["a", "a"], ["cache", "b"]])
def test_tiers_are_named_once_and_not_as_the_cache(names: list[str]) -> None:
    with pytest.raises(InvalidValueError, match="at least one, each name used once, none of them 'cache'"):
        Cascade([Tier(name, says("a"), 0.5) for name in names])


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Tier("", says("a"), 0.5), "name must be a text that is not empty"),
        (lambda: Tier("a", says("a"), -0.5), "price must be a number >= 0"),
        (lambda: Tier("a", says("a"), 0.5, 1.5), "min_confidence must be a fraction"),
        (lambda: Tier("a", says("a"), 0.5, gate_usd_per_request=-1), "gate_usd_per_request must be"),
        (lambda: Tier("a", says("a"), 0.5, abandoned_usd_per_request=math.nan), "abandoned_usd_per_request must be"),
        (lambda: Tier("a", says("a"), 0.5, estimate_usd=-1), "estimate_usd must be a number >= 0"),
        (lambda: Tier("a", says("a"), 0.5, timeout_s=0), "timeout_s must be a number > 0"),
        (lambda: Tier("a", says("a"), 0.5, max_concurrency=0), "max_concurrency must be a whole number >= 1"),
        (lambda: Cascade([Tier("a", says("a"), 0.5)], deadline_s=0), "deadline_s must be a number > 0"),
        (lambda: Cascade([Tier("a", says("a"), 0.5)], cache_usd_per_lookup=-1), "cache_usd_per_lookup must be"),
    ],
)
def test_numbers_outside_their_domain_are_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(InvalidValueError, match=what):
        make()


async def test_priority_and_tenant_are_checked_before_anything_is_paid() -> None:
    model, told = says("a"), list[RequestEvent]()
    cascade = Cascade([Tier("a", model, 0.5)], hooks=[told.append])
    with pytest.raises(UnknownNameError, match="unknown priority 'urgent'"):
        await route(cascade, priority="urgent")
    for tenant in (7, "half a letter \ud800"):
        with pytest.raises(InvalidValueError, match="tenant must be a text"):
            await route(cascade, tenant=tenant)
    assert (model.calls, told) == (0, [])
