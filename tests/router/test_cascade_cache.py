"""The cascade behind a real response cache."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from costlab.cache import MemoryStore, ResponseCache
from costlab.errors import BudgetExceeded, StoreError
from costlab.events import RequestEvent
from costlab.router import Cascade, CascadeFailedError, Prediction, Routed, ScoreRouter, ScriptedModel, Tier
from tests.router.cascades import budget, fails, outcomes, paid, says, until

pytestmark = pytest.mark.anyio

LOOKUP_USD = 0.125


def cached(tiers: list[Tier], cache: ResponseCache, **settings: Any) -> Cascade:
    return Cascade(tiers, cache, cache_usd_per_lookup=LOOKUP_USD, **settings)


def two(**settings: Any) -> list[Tier]:
    return [Tier("small", says("s", 0.5), 1.0, 0.9), Tier("large", says("l", **settings), 4.0)]


async def test_the_second_time_only_the_look_up_is_paid() -> None:
    told: list[RequestEvent] = []
    cache = ResponseCache(MemoryStore())
    cascade = cached(two(), cache, hooks=[told.append])

    async def scenario() -> list[Routed]:
        return [await cascade.route("q") for _ in range(2)]

    first, second = await scenario()
    assert (first.tier, first.cost_usd) == ("large", LOOKUP_USD + 5.0)
    assert (second.answer, second.tier, second.cost_usd, second.attempts) == ("l", "cache", LOOKUP_USD, ())
    assert [(event.tier, event.outcome, event.cost_usd) for event in told] == [
        ("large", "ok", 5.125), ("cache", "cached", 0.125),
    ]  # fmt: skip
    assert cache.statistics().saved_usd == 5.0  # what the cache says that it saved is what the cascade would have paid


async def test_equal_requests_at_one_time_are_paid_for_once() -> None:
    told: list[RequestEvent] = []
    tiers = two(latency_s=0.01)
    cascade = cached(tiers, ResponseCache(MemoryStore()), hooks=[told.append])

    async def scenario() -> list[Routed]:
        return await asyncio.gather(*(cascade.route("q") for _ in range(10)))

    found = await scenario()
    assert sorted(one.cost_usd for one in found) == [LOOKUP_USD] * 9 + [LOOKUP_USD + 5.0]
    assert [one.tier for one in found].count("cache") == 9
    assert paid(told) == sum(one.cost_micro_usd for one in found) == 10 * 125_000 + 5_000_000


async def test_tenants_share_nothing_and_neither_do_other_tiers_or_other_ways_to_choose() -> None:
    cache = ResponseCache(MemoryStore())
    cascade, router = cached(two(), cache), ScoreRouter(two(), lambda _query: 0.0, [1.0], cache)

    async def scenario() -> list[str]:
        ways = [
            cascade.route("q", tenant="a"),
            cascade.route("q", tenant="b"),
            cached(two()[1:], cache).route("q", tenant="a"),
            router.route("q", tenant="a"),
            cascade.route("q", tenant="b"),
        ]
        return [(await way).tier for way in ways]

    assert await scenario() == ["large", "large", "large", "large", "cache"]


def cut_off(answer: str, confidence: float) -> ScriptedModel:
    return ScriptedModel(lambda _query: Prediction(answer, confidence, complete=False))


async def test_what_was_cut_off_is_not_trusted_however_sure_the_tier_is() -> None:
    tiers = [Tier("small", cut_off("s", 1.0), 1.0, 0.9), Tier("large", says("l"), 4.0)]
    for cascade in (Cascade(tiers), ScoreRouter(tiers, lambda _query: 1.0, [0.5])):
        found = await cascade.route("q")
        assert (found.answer, found.cost_usd, found.complete) == ("l", 5.0, True)
        assert outcomes(found) == [("small", "incomplete"), ("large", "answered")]


async def test_what_the_last_tier_cut_off_is_given_once_and_not_kept() -> None:
    tiers = [Tier("small", says("s", 0.5), 1.0, 0.9), Tier("large", cut_off("l", 1.0), 4.0)]
    cascade = cached(tiers, ResponseCache(MemoryStore()))

    async def scenario() -> list[Routed]:
        return [*await asyncio.gather(*(cascade.route("q") for _ in range(3))), await cascade.route("q")]

    for one in await scenario():
        assert (one.answer, one.tier, one.cost_usd, one.complete) == ("l", "large", LOOKUP_USD + 5.0, False)
        assert outcomes(one) == [("small", "escalated"), ("large", "incomplete")]


async def test_a_whole_answer_is_better_than_one_that_was_cut_off() -> None:
    tiers = [
        Tier("small", says("s", 0.5), 1.0, 0.9),
        Tier("medium", cut_off("m", 1.0), 1.0, 0.9),
        Tier("large", says("l"), 4.0),
    ]
    found = await Cascade(tiers, guard=budget(3.0)).route("q")
    assert (found.answer, found.tier, found.degraded, found.complete) == ("s", "small", True, True)
    found = await Cascade(tiers[1:], guard=budget(3.0)).route("q")
    assert (found.answer, found.tier, found.degraded, found.complete) == ("m", "medium", True, False)


async def test_a_degraded_answer_is_given_and_not_kept() -> None:
    guard = budget(3.0)
    cascade = cached(two(), ResponseCache(MemoryStore()), guard=guard)

    async def scenario() -> list[Routed]:
        first = await cascade.route("q")
        return [first, await cascade.route("q", "essential")]

    first, second = await scenario()
    assert (first.tier, first.degraded, first.cost_usd) == ("small", True, LOOKUP_USD + 1.0)
    assert (
        second.tier == "small"
    )  # asked again, not taken from the cache: 1.1 + 1 + 4 dollars are above the emergency's
    assert outcomes(second) == [("small", "escalated"), ("large", "refused")]


async def test_who_waits_for_an_equal_request_is_not_refused_with_it() -> None:
    """Batch work asks first and is refused; the essential request that waits for it is admitted by itself."""

    class Slow(ScriptedModel):
        async def predict(self, query: str) -> Prediction:
            await asyncio.sleep(0.005)
            return await super().predict(query)

    small = Slow(lambda _query: Prediction("s", 0.5))
    guard = budget(10.0)
    tiers = [Tier("small", small, 0.5, 0.9), Tier("large", says("l"), 4.0)]
    cascade = cached(tiers, ResponseCache(MemoryStore()), guard=guard)

    async def scenario() -> list[Any]:
        await guard.record(6.0)  # batch work may have 8
        both = [asyncio.create_task(cascade.route("q", priority)) for priority in ("batch", "essential")]
        first = await asyncio.gather(*both)
        await guard.record(0.5)
        again = [asyncio.create_task(cascade.route("other", priority)) for priority in ("batch", "essential")]
        return [*first, *await asyncio.gather(*again, return_exceptions=True)]

    degraded, full, refused, admitted = await scenario()
    assert (degraded.tier, degraded.degraded) == ("small", True)
    assert (full.tier, full.degraded, full.cost_usd) == ("large", False, LOOKUP_USD + 4.5)
    assert isinstance(refused, BudgetExceeded)
    assert admitted.answer in ("s", "l")


async def test_who_waits_for_an_equal_request_fails_with_it_and_pays_the_look_up() -> None:
    told: list[RequestEvent] = []
    tiers = [Tier("small", says("s"), 1.0, 0.9), Tier("large", fails(TimeoutError("late"), 0.01), 4.0)]
    cascade = cached(tiers, ResponseCache(MemoryStore()), hooks=[told.append])

    async def scenario() -> list[Any]:
        return [*await asyncio.gather(cascade.route("q"), cascade.route("q"), return_exceptions=True)]

    first, second = await scenario()
    assert isinstance(first, CascadeFailedError)
    assert isinstance(second, CascadeFailedError)
    assert (first.cost_usd, second.cost_usd) == (LOOKUP_USD + 1.0, LOOKUP_USD)
    assert (len(first.attempts), second.attempts) == (2, ())
    assert str(second).startswith("an equal request under way: the last tier failed: small: escalated, large: timeout")
    assert [(event.outcome, event.cost_micro_usd) for event in told] == [("timeout", 1_125_000), ("timeout", 125_000)]


async def test_who_waits_for_an_equal_request_that_is_cancelled_asks_instead() -> None:
    model = says("l", latency_s=0.01)
    cascade = cached([Tier("large", model, 4.0)], ResponseCache(MemoryStore()))

    async def scenario() -> Routed:
        first, second = (asyncio.create_task(cascade.route("q")) for _ in range(2))
        await until(lambda: model.running == 1)
        first.cancel()
        return await second

    routed = await scenario()
    assert (routed.tier, routed.cost_usd) == ("large", LOOKUP_USD + 4.0)
    assert model.calls == 2


async def test_a_store_that_is_down_breaks_no_request() -> None:
    class Down(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            raise StoreError("no connection")

    cascade = cached(two(), ResponseCache(Down()))
    assert (await cascade.route("q")).cost_usd == LOOKUP_USD + 5.0


@pytest.mark.parametrize("deadline_s", [None, 60.0])
async def test_what_another_cache_raises_is_passed_on_as_it_is(deadline_s: float | None) -> None:
    class Late:
        async def get_or_call(self, _request: object, _call: object) -> Any:
            raise TimeoutError("the cache took too long")

    told: list[RequestEvent] = []
    cascade = Cascade(two(), Late(), hooks=[told.append], deadline_s=deadline_s)
    with pytest.raises(TimeoutError, match="the cache took too long"):
        await cascade.route("q")
    assert [event.outcome for event in told] == ["error"]


async def test_a_failure_is_not_remembered() -> None:
    answers = iter([RuntimeError("broken"), Prediction("l", 0.9)])
    cascade = cached([Tier("large", ScriptedModel(lambda _query: next(answers)), 4.0)], ResponseCache(MemoryStore()))

    async def scenario() -> Routed:
        with pytest.raises(CascadeFailedError):
            await cascade.route("q")
        return await cascade.route("q")

    assert (await scenario()).answer == "l"
