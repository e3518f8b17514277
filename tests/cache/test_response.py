"""The response cache with stores that work: who is answered from where, who pays, and what is kept."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from costlab.cache import Answer, CachedAnswer, DiskStore, MemoryStore, Request, ResponseCache, request_key
from costlab.errors import InvalidValueError, UnknownNameError
from tests.cache.support import Backend, Clock, Model, question, right_answer

pytestmark = pytest.mark.anyio


async def no_call(_request: Any) -> Answer:
    raise AssertionError("the model was called")


async def test_the_second_time_is_an_exact_hit_and_costs_nothing(backend: Backend) -> None:
    async with backend.store() as store:
        model, cache, request = Model(), ResponseCache(store), question("How do I share?")
        first = await cache.get_or_call(request, model)
        second = await cache.get_or_call(request, no_call)
        assert (first.source, first.cost_usd, first.saved_usd, first.similarity) == ("model", 0.01, 0.0, None)
        assert (second.source, second.cost_usd, second.saved_usd, second.similarity) == ("exact", 0.0, 0.01, 1.0)
        assert first.value == second.value == right_answer(request)
        assert first.key == second.key == second.entry_key == request_key(request)
        assert not second.shared


async def test_a_hundred_at_once_make_one_call(backend: Backend) -> None:
    async with backend.store() as store:
        model, cache, request = Model(delay_s=0.05), ResponseCache(store), question("x")
        answers = await asyncio.gather(*(cache.get_or_call(request, model) for _ in range(100)))
        assert model.calls.total() == 1
        assert {answer.value for answer in answers} == {right_answer(request)}
        assert Counter(answer.source for answer in answers) == {"model": 1, "exact": 99}
        assert sum(answer.cost_usd or 0 for answer in answers) == 0.01
        assert cache.statistics().shared == 99


async def test_different_requests_do_not_wait_for_each_other() -> None:
    cache, release = ResponseCache(MemoryStore()), asyncio.Event()

    async def slow(request: Request) -> Answer:
        await release.wait()
        return Answer("slow", 0.01)

    waiting = asyncio.create_task(cache.get_or_call(question("slow"), slow))
    assert (await cache.get_or_call(question("fast"), Model())).source == "model"
    release.set()
    assert (await waiting).value == "slow"


async def test_tenants_never_share_an_answer(backend: Backend) -> None:
    async with backend.store() as store:
        caches = [ResponseCache(store, namespace=name) for name in ("desk", "shop")]
        models = [Model(), Model()]
        for _ in range(2):
            for cache, model in zip(caches, models, strict=True):
                for tenant in ("acme", "globex", ""):
                    request = question("What is our password?", tenant)
                    assert (await cache.get_or_call(request, model)).value == right_answer(request)
        assert [model.calls.total() for model in models] == [3, 3]
        assert await store.len() == 6


async def test_entries_expire(backend: Backend) -> None:
    async with backend.store() as store:
        cache, model = ResponseCache(store, ttl_s=0.3), Model()
        sources = [(await cache.get_or_call(question("x"), model)).source for _ in range(2)]
        await backend.pass_s(0.4)
        sources.append((await cache.get_or_call(question("x"), model)).source)
        assert sources == ["model", "exact", "model"]


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    cache, calls = ResponseCache(MemoryStore()), 0

    async def fail(_request: Any) -> Answer:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        raise RuntimeError("overloaded")

    waiting = [cache.get_or_call(question("x"), fail) for _ in range(20)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(result) for result in results] == 20 * ["overloaded"]
    assert calls == 1
    assert (await cache.get_or_call(question("x"), Model())).source == "model"
    statistics = cache.statistics()
    assert (statistics.errors, statistics.model_answers, statistics.calls) == (20, 1, 2)


def completion(finish_reason: object, arguments: str | None = None) -> dict[str, Any]:
    """The body of a chat completion."""
    calls = {} if arguments is None else {"tool_calls": [{"function": {"name": "move", "arguments": arguments}}]}
    return {"choices": [{"finish_reason": finish_reason, "message": {"content": "Open", **calls}}]}


CUT_OFF = [
    completion("length"),
    completion("content_filter"),
    completion("insufficient_system_resource"),
    completion("tool_calls", '{"to": "Ann'),
    completion("stop", '{"to": "Ann'),
    {"stop_reason": "max_tokens", "content": []},
    {"stopReason": "max_tokens", "output": {"message": {"role": "assistant", "content": [{"text": "Open"}]}}},
    {"done": True, "done_reason": "length", "message": {"content": "Open"}},
    {"finish_reason": "MAX_TOKENS", "message": {"role": "assistant", "content": [{"type": "text", "text": "Open"}]}},
    {"stop_reason": "refusal", "content": []},
    {"candidates": [{"finishReason": "STOP"}, {"finishReason": "SAFETY"}]},
    {"object": "response", "status": "incomplete", "output": []},
    {"output": [{"type": "function_call", "arguments": "{"}]},
]
WHOLE = [
    completion("stop"),
    completion(None),
    completion("tool_calls", '{"to": "Anna"}'),
    completion("function_call", ""),
    {"stop_reason": "tool_use", "content": [{"type": "tool_use", "input": {}}]},
    {"candidates": [{"finishReason": "STOP"}]},
    # Cohere, API reference, chat: COMPLETE, STOP_SEQUENCE, MAX_TOKENS, TOOL_CALL, ERROR.
    {"finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "Open it."}]}},
    {"finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_calls": []}},
    {"object": "response", "status": "completed", "output": [{"type": "function_call", "arguments": "{}"}]},
    {"choices": "of wine", "status": "incomplete"},
    "length",
]


@pytest.mark.parametrize("answer", [*CUT_OFF, Answer("Open Settings and", 0.01, complete=False)])
async def test_what_was_cut_off_is_given_once_and_not_kept(answer: Any) -> None:
    store, calls = MemoryStore(), 0
    cache = ResponseCache(store)

    async def cut_off(_request: Any) -> Any:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return answer

    # Not to those either who wait for the same call.
    given = await asyncio.gather(*(cache.get_or_call(question("x"), cut_off) for _ in range(3)))
    assert calls == 3
    assert {(one.source, one.shared) for one in given} == {("model", False)}
    assert await store.len() == 0
    assert (await cache.get_or_call(question("x"), Model())).source == "model"
    statistics = cache.statistics()
    assert (statistics.incomplete_answers, statistics.hits, statistics.calls) == (3, 0, 4)
    assert statistics.requests == statistics.model_answers == 4


@pytest.mark.parametrize("answer", WHOLE)
async def test_what_is_whole_is_kept(answer: Any) -> None:
    cache = ResponseCache(MemoryStore())

    async def say(_request: Any) -> Any:
        return answer

    assert (await cache.get_or_call(question("x"), say)).source == "model"
    assert (await cache.get_or_call(question("x"), no_call)).value == answer


async def test_who_waited_for_what_was_cut_off_keeps_a_whole_answer() -> None:
    cache, answers = ResponseCache(MemoryStore()), [Answer("Op", 0.01, complete=False), Answer("Open it.", 0.01)]

    async def say(_request: Any) -> Any:
        answer = answers.pop(0)
        await asyncio.sleep(0.01)
        return answer

    given = await asyncio.gather(*(cache.get_or_call(question("x"), say) for _ in range(2)))
    assert [one.value for one in given] == ["Op", "Open it."]
    assert (await cache.get_or_call(question("x"), no_call)).value == "Open it."


async def test_the_tenant_of_a_payload_is_who_the_application_says() -> None:
    cache, payload = ResponseCache(MemoryStore()), {"model": "small", "messages": "What is our password?"}

    async def secret(_payload: Any) -> Answer:
        return Answer("swordfish", 0.01)

    victims = await cache.get_or_call(payload, secret, namespace="victim")
    assert (await cache.get_or_call(payload, no_call, namespace="victim")).key == victims.key
    assert (await cache.get_or_call({**payload, "namespace": "victim"}, secret, namespace="acme")).source == "model"
    assert (await cache.get_or_call({**payload, "namespace": "victim"}, secret)).source == "model"
    with pytest.raises(InvalidValueError, match="those of the Request"):
        await cache.get_or_call(question("x", "acme"), no_call, namespace="victim")


@pytest.mark.parametrize("empty", [None, "", "  \n", [], {}, b""])
async def test_empty_answers_are_given_and_not_kept(empty: Any) -> None:
    store = MemoryStore()
    cache = ResponseCache(store)

    async def say_nothing(_request: Any) -> Answer:
        return Answer(empty, 0.01)

    assert (await cache.get_or_call(question("x"), say_nothing)).value == empty
    assert await store.len() == 0
    assert cache.statistics().empty_answers == 1


@pytest.mark.parametrize("value", [0, False, 0.0, "no", [0], {"a": None}, b"\x00"])
async def test_no_and_nought_are_answers(value: Any) -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> Answer:
        return Answer(value, 0.01)

    await cache.get_or_call(question("x"), call)
    again = await cache.get_or_call(question("x"), no_call)
    assert repr(again.value) == repr(value)


@pytest.mark.parametrize("value", [(1, 2), object(), {1}, 2**64])
async def test_what_cannot_be_kept_is_given_all_the_same(value: Any) -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> Answer:
        return Answer(value, 0.01)

    for _ in range(2):
        answer = await cache.get_or_call(question("x"), call)
        assert answer.value is value
        assert answer.source == "model"
    assert cache.statistics().unfit_answers == 2


async def test_too_large_answers_are_given_and_do_not_count_as_failures(backend: Backend) -> None:
    async with backend.store(max_value_bytes=300) as store:
        cache, model = ResponseCache(store), Model()
        for _ in range(2):
            assert (await cache.get_or_call(question("x" * 500), model)).source == "model"
        assert (await cache.get_or_call(question("short"), model)).source == "model"
        assert (await cache.get_or_call(question("short"), no_call)).source == "exact"
        statistics = cache.statistics()
        assert (statistics.too_large_answers, statistics.store_failures, statistics.store_skips) == (2, 0, 0)


async def test_a_price_that_nobody_stated_is_not_taken_as_zero() -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> str:
        return "yes"

    first, second = [await cache.get_or_call(question("x"), call) for _ in range(2)]
    assert (first.cost_usd, first.saved_usd) == (None, 0.0)
    assert (second.cost_usd, second.saved_usd) == (0.0, None)
    statistics = cache.statistics()
    assert (statistics.unpriced_answers, statistics.unpriced_hits) == (1, 1)
    assert statistics.spent_usd == statistics.saved_usd == 0


async def test_a_call_is_billed_although_who_asked_gave_up_while_its_answer_was_stored() -> None:
    class Slow(MemoryStore):
        async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
            asking.cancel()
            await asyncio.sleep(60)

    cache, model = ResponseCache(Slow()), Model()
    asking = asyncio.create_task(cache.get_or_call(question("x"), model))
    with pytest.raises(asyncio.CancelledError):
        await asking
    statistics = cache.statistics()
    assert (statistics.calls, statistics.model_answers, statistics.cancelled) == (1, 0, 1)
    assert statistics.spent_usd == 0.01


@pytest.mark.parametrize("cost_usd", [-1, math.nan, "1", None])
def test_a_price_is_a_price(cost_usd: Any) -> None:
    with pytest.raises(InvalidValueError, match="cost_usd must be a number >= 0"):
        Answer("x", cost_usd)


async def test_what_one_caller_changes_no_other_sees() -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> Answer:
        await asyncio.sleep(0.01)
        return Answer({"steps": ["one"]}, 0.01)

    answers = await asyncio.gather(*(cache.get_or_call(question("x"), call) for _ in range(3)))
    answers.append(await cache.get_or_call(question("x"), call))
    for answer in answers:
        answer.value["steps"].append("changed")
    assert all(answer.value == {"steps": ["one", "changed"]} for answer in answers)
    assert (await cache.get_or_call(question("x"), no_call)).value == {"steps": ["one"]}


async def test_the_one_who_called_may_change_its_answer_at_once() -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> Answer:
        await asyncio.sleep(0.01)
        return Answer(["one"], 0.01)

    async def ask_and_change() -> list[str]:
        steps: list[str] = (await cache.get_or_call(question("x"), call)).value
        steps.append("changed")
        return steps

    assert await asyncio.gather(*(ask_and_change() for _ in range(4))) == 4 * [["one", "changed"]]


async def test_answers_that_cannot_be_copied_are_given_to_all_who_wait() -> None:
    cache = ResponseCache(MemoryStore())

    async def call(_request: Any) -> Answer:
        await asyncio.sleep(0.01)
        return Answer([threading.Lock()], 0.01)

    answers = await asyncio.gather(*(cache.get_or_call(question("x"), call) for _ in range(3)))
    assert cache.statistics().calls == 1
    assert all(answer.value == answers[0].value for answer in answers)


async def test_who_gives_up_takes_nobody_along() -> None:
    cache, model = ResponseCache(MemoryStore()), Model(delay_s=0.05)
    tasks = [asyncio.create_task(cache.get_or_call(question("x"), model)) for _ in range(5)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()  # the one that calls
    tasks[3].cancel()  # one that waits
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False, False, True, False]
    assert {r.value for r in results if isinstance(r, CachedAnswer)} == {right_answer(question("x"))}
    assert model.calls.total() == 2  # the cancelled call, and one by the next who waited
    statistics = cache.statistics()
    assert (statistics.cancelled, statistics.calls, statistics.model_answers) == (2, 2, 1)
    assert statistics.requests == 5


async def test_without_single_flight_everybody_calls() -> None:
    cache, model = ResponseCache(MemoryStore(), single_flight=False), Model(delay_s=0.01)
    await asyncio.gather(*(cache.get_or_call(question("x"), model) for _ in range(5)))
    assert model.calls.total() == 5
    assert (await cache.get_or_call(question("x"), no_call)).source == "exact"


async def test_sampling_is_the_callers_choice() -> None:
    random, seeded = question("x", temperature=0.7), question("x", temperature=0.7, seed=1)
    cached, bypassing = ResponseCache(MemoryStore()), ResponseCache(MemoryStore(), sampled="bypass")
    for cache, calls in ((cached, 1), (bypassing, 3)):
        model = Model()
        for _ in range(3):
            await cache.get_or_call(random, model)
        assert model.calls.total() == calls
        for _ in range(3):
            await cache.get_or_call(seeded, model)
        assert model.calls.total() == calls + 1
    assert (cached.statistics().bypassed, bypassing.statistics().bypassed) == (0, 3)


async def test_the_call_is_given_the_request_as_it_came() -> None:
    payload = {"model": "m", "messages": "Hi", "temperature": 0, "stream": True}

    async def call(request: Any) -> str:
        assert request is payload
        return "Hello"

    cache = ResponseCache(MemoryStore())
    assert (await cache.get_or_call(payload, call)).value == "Hello"
    assert (await cache.get_or_call({**payload, "stream": False}, no_call)).source == "exact"


async def test_a_wrong_answer_is_not_given_again(backend: Backend) -> None:
    async with backend.store() as store:
        cache, model = ResponseCache(store), Model()
        for _ in range(2):
            answer = await cache.get_or_call(question("x"), model)
        await cache.feedback(answer, correct=False)
        assert await store.len() == 0
        assert (await cache.get_or_call(question("x"), model)).source == "model"
        again = await cache.get_or_call(question("x"), no_call)
        await cache.feedback(again, correct=True)
        assert (await cache.get_or_call(question("x"), no_call)).source == "exact"
        statistics = cache.statistics()
        assert (statistics.judged_hits, statistics.false_hits, statistics.false_hit_fraction) == (2, 1, 0.5)


async def test_a_wrong_answer_of_the_model_is_removed_and_no_false_hit() -> None:
    store = MemoryStore()
    cache = ResponseCache(store)
    await cache.feedback(await cache.get_or_call(question("x"), Model()), correct=False)
    assert await store.len() == 0
    assert cache.statistics().judged_hits == 0


async def test_hooks_see_every_answer_and_break_none() -> None:
    seen = []

    def hook(request: Any, answer: CachedAnswer) -> None:
        seen.append((request, answer))
        raise RuntimeError("the hook is broken")

    def keep(_value: Any) -> bool:
        raise RuntimeError("so is this one")

    cache, request = ResponseCache(MemoryStore(), on_answer=hook), question("x")
    answers = [await cache.get_or_call(request, Model()) for _ in range(2)]
    assert seen == [(request, answer) for answer in answers]
    assert cache.statistics().hook_failures == 2
    picky = ResponseCache(MemoryStore(), keep=keep)
    assert (await picky.get_or_call(request, Model())).value == right_answer(request)
    assert picky.statistics().hook_failures == 1


async def test_keep_decides_what_is_kept() -> None:
    cache = ResponseCache(MemoryStore(), keep=lambda value: "x" not in value)
    sources = []
    for text in ("x", "x", "y", "y"):
        sources.append((await cache.get_or_call(question(text), Model())).source)
    assert sources == ["model", "model", "model", "exact"]


async def test_the_numbers_add_up_and_latencies_are_by_the_clock() -> None:
    clock = Clock()
    cache = ResponseCache(MemoryStore(clock=clock), clock=clock)

    async def call(_request: Any) -> Answer:
        clock.now_s += 2.0
        return Answer("yes", 0.02)

    for text in "aabab":
        await cache.get_or_call(question(text), call)
    statistics = cache.statistics()
    assert (statistics.requests, statistics.exact_hits, statistics.model_answers) == (5, 3, 2)
    assert statistics.saved_usd == pytest.approx(0.06)
    assert statistics.spent_usd == pytest.approx(0.04)
    assert statistics.hit_rate_fraction == 0.6
    assert (statistics.model_latency.count, statistics.model_latency.p50_s) == (2, 2.0)
    assert (statistics.exact_latency.count, statistics.exact_latency.p99_s) == (3, 0.0)
    assert statistics.semantic_latency.count == 0
    assert math.isnan(statistics.false_hit_fraction)
    with pytest.raises(AttributeError):
        statistics.requests = 0  # type: ignore[misc]


async def test_statistics_take_no_more_memory_with_time() -> None:
    cache = ResponseCache(MemoryStore())
    for _ in range(5000):
        await cache.get_or_call(question("x"), Model())
    statistics = cache.statistics()
    assert statistics.exact_hits == 4999
    assert statistics.exact_latency.count == 4096


async def test_answers_survive_the_process(tmp_path: Any) -> None:
    for source in ("model", "exact"):
        store = DiskStore(tmp_path / "cache.sqlite")
        answer = await ResponseCache(store).get_or_call(question("x"), Model())
        assert answer.source == source
        await store.aclose()


async def test_a_secret_of_another_cache_makes_a_miss() -> None:
    store, model = MemoryStore(), Model()
    for secret in (b"one", b"one", b"two", b""):
        await ResponseCache(store, secret=secret).get_or_call(question("x"), model)
    assert model.calls.total() == 3


async def test_requests_without_a_key_never_reach_the_model() -> None:
    cache = ResponseCache(MemoryStore())
    with pytest.raises(InvalidValueError):
        await cache.get_or_call(replace(question("x"), parameters={"x": b""}), no_call)
    assert cache.statistics().requests == 0


@pytest.mark.parametrize("name", ["ttl_s", "flight_ttl_s", "poll_s", "retry_first_s", "retry_longest_s"])
def test_times_are_times(name: str) -> None:
    with pytest.raises(InvalidValueError, match="must be a number > 0, got 0"):
        ResponseCache(MemoryStore(), **{name: 0})  # type: ignore[arg-type]


def test_a_secret_has_a_length_limit() -> None:
    with pytest.raises(InvalidValueError, match="secret must be at most 64 bytes"):
        ResponseCache(MemoryStore(), secret=b"x" * 65)


def test_a_policy_with_a_typo_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown policy for sampled 'bypas'; did you mean 'bypass'"):
        ResponseCache(MemoryStore(), sampled="bypas")
