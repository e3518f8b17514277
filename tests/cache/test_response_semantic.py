"""The response cache with a layer that finds requests which mean the same, or that errs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from costlab.cache import MemoryStore, Request, ResponseCache, request_key
from costlab.cache.semantic import SemanticHit
from tests.cache.support import Clock, Model, question, right_answer

pytestmark = pytest.mark.anyio


class WordLayer:
    """Texts with the same words mean the same, in any order; keeps what it was asked."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, frozenset[str]], str] = {}
        self.asked: list[Request] = []

    async def lookup(self, request: Request) -> SemanticHit | None:
        self.asked.append(request)
        key = self.keys.get((request.scope, frozenset(request.text.split())))
        return key and SemanticHit(key, 0.9)  # type: ignore[return-value]

    async def remember(self, request: Request, key: str) -> None:
        self.keys[request.scope, frozenset(request.text.split())] = key

    async def forget(self, key: str) -> None:
        self.keys = {place: known for place, known in self.keys.items() if known != key}


class SameForAll(WordLayer):
    """Names one key for whatever is asked, as a layer would that forgot about tenants."""

    key = ""

    async def lookup(self, request: Request) -> SemanticHit | None:
        return SemanticHit(self.key, 1.0) if self.key else None


class Broken(WordLayer):
    async def lookup(self, request: Request) -> SemanticHit | None:
        raise RuntimeError("no index")

    async def remember(self, request: Request, key: str) -> None:
        raise RuntimeError("no index")

    async def forget(self, key: str) -> None:
        raise RuntimeError("no index")


async def test_a_request_that_means_the_same_is_given_the_answer() -> None:
    store, model = MemoryStore(), Model()
    cache = ResponseCache(store, semantic=WordLayer())
    first, other = question("share a folder"), question("a folder share")
    await cache.get_or_call(first, model)
    for _ in range(2):  # the second time too: the hit is not stored as the other's own answer
        hit = await cache.get_or_call(other, model)
        assert (hit.source, hit.similarity, hit.cost_usd, hit.saved_usd) == ("semantic", 0.9, 0.0, 0.01)
        assert hit.value == right_answer(first)
        assert (hit.key, hit.entry_key) == (request_key(other), request_key(first))
    assert (await cache.get_or_call(first, model)).source == "exact"
    assert await store.len() == model.calls.total() == 1
    statistics = cache.statistics()
    assert (statistics.exact_hits, statistics.semantic_hits, statistics.model_answers) == (1, 2, 1)


async def test_who_waits_for_a_semantic_hit_has_one_too() -> None:
    class Slow(WordLayer):
        async def lookup(self, request: Request) -> SemanticHit | None:
            await asyncio.sleep(0.02)
            return await super().lookup(request)

    cache, layer = ResponseCache(MemoryStore(), semantic=(layer := Slow())), layer
    await cache.get_or_call(question("a b"), Model())
    answers = await asyncio.gather(*(cache.get_or_call(question("b a"), Model()) for _ in range(10)))
    assert {(answer.source, answer.similarity, answer.saved_usd) for answer in answers} == {("semantic", 0.9, 0.01)}
    assert sum(answer.shared for answer in answers) == 9
    assert len(layer.asked) == 2


@pytest.mark.parametrize(
    "other",
    [
        question("b a", tenant="globex"),
        question("b a", temperature=0.5),
        Request(model="large", messages="b a", namespace="acme"),
        Request(model="small", messages="b a", namespace="acme", version="2"),
        Request(model="small", messages=[{"role": "system", "content": "!"}, {"role": "user", "content": "b a"}],
                namespace="acme"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layer", [WordLayer, SameForAll])
async def test_no_answer_crosses_a_scope_even_if_the_layer_errs(other: Request, layer: type[WordLayer]) -> None:
    model, semantic = Model(), layer()
    cache = ResponseCache(MemoryStore(), semantic=semantic)
    first = await cache.get_or_call(question("a b"), model)
    if isinstance(semantic, SameForAll):
        semantic.key = first.key
    answer = await cache.get_or_call(other, model)
    assert (answer.source, answer.value) == ("model", right_answer(other))
    assert cache.statistics().semantic_failures == isinstance(semantic, SameForAll)


async def test_one_layer_for_two_applications_keeps_them_apart() -> None:
    store, layer, model = MemoryStore(), WordLayer(), Model()
    for namespace in ("desk", "shop"):
        cache = ResponseCache(store, semantic=layer, namespace=namespace)
        assert (await cache.get_or_call(question("a b"), model)).source == "model"
        assert (await cache.get_or_call(question("b a"), model)).source == "semantic"


async def test_answers_kept_without_a_layer_are_not_given_to_other_requests() -> None:
    store, layer = MemoryStore(), SameForAll()
    layer.key = (await ResponseCache(store).get_or_call(question("a"), Model())).key
    answer = await ResponseCache(store, semantic=layer).get_or_call(question("b"), Model())
    assert answer.source == "model"


async def test_a_broken_layer_breaks_no_request() -> None:
    cache = ResponseCache(MemoryStore(), semantic=Broken())
    sources = []
    for text in ("a b", "b a", "a b"):
        answer = await cache.get_or_call(question(text), Model())
        assert answer.value == right_answer(question(text))
        sources.append(answer.source)
    assert sources == ["model", "model", "exact"]
    await cache.feedback(answer, correct=False)
    assert cache.statistics().semantic_failures == 5


async def test_answers_that_are_gone_are_forgotten() -> None:
    clock, layer, model = Clock(), WordLayer(), Model()
    cache = ResponseCache(MemoryStore(clock=clock), semantic=layer, ttl_s=10)
    first = await cache.get_or_call(question("a b"), model)
    clock.now_s += 11
    assert (await cache.get_or_call(question("b a"), model)).source == "model"
    assert first.key not in layer.keys.values()
    assert (await cache.get_or_call(question("a b"), model)).source == "semantic"


async def test_a_false_hit_is_not_given_to_the_same_request_again() -> None:
    cache, model = ResponseCache(MemoryStore(), semantic=WordLayer()), Model()
    before, after = question("delete before restore"), question("restore before delete")
    await cache.get_or_call(before, model)
    wrong = await cache.get_or_call(after, model)
    assert wrong.source == "semantic"
    await cache.feedback(wrong, correct=False)
    assert (await cache.get_or_call(after, model)).value == right_answer(after)
    assert [(await cache.get_or_call(request, model)).source for request in (before, after)] == 2 * ["exact"]
    assert cache.statistics().false_hits == 1


async def test_a_wrong_answer_is_forgotten_by_the_layer_too() -> None:
    layer = WordLayer()
    cache = ResponseCache(MemoryStore(), semantic=layer)
    await cache.feedback(await cache.get_or_call(question("a b"), Model()), correct=False)
    assert layer.keys == {}


async def test_where_there_is_no_text_nothing_is_looked_up() -> None:
    layer = WordLayer()
    picture: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]
    request = Request(model="m", messages=picture)
    await ResponseCache(MemoryStore(), semantic=layer).get_or_call(request, Model())
    assert layer.asked == []
    assert layer.keys == {}
