from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from costlab.cache import MemoryStore, Request, ResponseCache
from costlab.cache.semantic import (
    DEFAULT_CHECKS,
    EmbeddingLayer,
    ExactIndex,
    Lookup,
    PackagedMiniLm,
    fit_threshold,
    labelled_lookups,
)
from costlab.errors import InvalidValueError
from tests.cache.support import Model, question, right_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

pytestmark = pytest.mark.anyio

ON, OFF = "How do I turn on two-step sign-in?", "How do I turn off two-step sign-in?"
AGAIN = "hi, how do i turn on two-step sign in pls"


class LetterCounts:
    """An embedder for tests: texts of the same letters have the same vector."""

    name = "letters"
    dimensions = 27

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        rows = np.array([[1 + text.lower().count(chr(97 + k)) for k in range(26)] + [1] for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


async def test_what_means_the_same_is_a_hit_and_what_does_not_is_none() -> None:
    layer = EmbeddingLayer(LetterCounts(), 0.98)
    await layer.remember(question("share a folder"), "key")
    hit = await layer.lookup(question("Share a folder!"))
    assert hit is not None
    assert (hit.key, round(hit.similarity, 4)) == ("key", 1.0)
    assert await layer.lookup(question("where is my money")) is None
    assert await layer.lookup(Request(model="small", messages=[{"role": "assistant", "content": "hi"}])) is None


@pytest.mark.parametrize(
    "other",
    [
        question("share a folder", tenant="globex"),
        question("share a folder", temperature=0.5),
        Request(model="large", messages="share a folder", namespace="acme"),
        Request(model="small", messages="share a folder", namespace="acme", version="2"),
    ],
)
async def test_tenants_models_parameters_and_versions_never_mix(other: Request) -> None:
    layer = EmbeddingLayer(LetterCounts(), -1.0, checks=())
    await layer.remember(question("share a folder"), "key")
    assert await layer.lookup(question("share a folder")) is not None
    assert await layer.lookup(other) is None


async def test_opposite_questions_have_nearly_one_vector_and_no_common_answer(minilm: PackagedMiniLm) -> None:
    # What users of other semantic caches report first.
    on, off, again_on = minilm.embed([ON, OFF, AGAIN])
    assert on @ off > on @ again_on > 0.85
    for checks, source in (((), "semantic"), (DEFAULT_CHECKS, "model")):
        layer, model = EmbeddingLayer(minilm, 0.85, checks=checks), Model()
        cache = ResponseCache(MemoryStore(), semantic=layer)
        await cache.get_or_call(question(ON), model)
        answer = await cache.get_or_call(question(OFF), model)
        assert answer.source == source
        assert (answer.value == right_answer(question(OFF))) == (source == "model")
        assert layer.refusals == ({"opposites": 1} if checks else {})
        again = await cache.get_or_call(question(AGAIN), model)
        assert (again.source, again.value) == ("semantic", right_answer(question(ON)))


async def test_a_refused_neighbour_gives_way_to_the_next() -> None:
    layer = EmbeddingLayer(LetterCounts(), 0.9)
    await layer.remember(question("add 20 seats"), "twenty")
    await layer.remember(question("add 30 seats please"), "thirty")
    hit = await layer.lookup(question("add 30 seats"))
    assert hit is not None
    assert hit.key == "thirty"
    first, second = await layer.consider(question("add 30 seats"))
    assert first.neighbour.key == "twenty"
    assert first.near_enough
    assert first.refusals == ("numbers differ: 30 against 20",)
    assert second.refusals == ()
    only_one = EmbeddingLayer(LetterCounts(), 0.9, candidates=1, index=layer._index)
    assert await only_one.lookup(question("add 30 seats")) is None


async def test_what_is_forgotten_is_not_found_and_an_answer_that_expired_is_forgotten() -> None:
    index, now = ExactIndex(27), [0.0]
    layer = EmbeddingLayer(LetterCounts(), 0.99, index=index)
    cache = ResponseCache(MemoryStore(clock=lambda: now[0]), semantic=layer, ttl_s=10)
    await cache.get_or_call(question("share a folder"), Model())
    assert (await cache.get_or_call(question("share a folder?"), Model())).source == "semantic"
    now[0] = 11.0
    assert (await cache.get_or_call(question("share a folder?"), Model())).source == "model"
    # The old one went when its answer was found gone; the new one is there.
    assert await index.len() == 1
    assert (await cache.get_or_call(question("share a folder"), Model())).source == "semantic"


async def test_a_text_is_embedded_once_for_its_look_up_and_for_being_remembered() -> None:
    embedder = LetterCounts()
    cache = ResponseCache(MemoryStore(), semantic=EmbeddingLayer(embedder, 0.9))
    await cache.get_or_call(question("share a folder"), Model())
    assert embedder.embedded == ["share a folder"]


async def test_the_event_loop_goes_on_while_a_text_is_embedded() -> None:
    class Slow(LetterCounts):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            import time

            time.sleep(0.2)
            return super().embed(texts)

    layer = EmbeddingLayer(Slow(), 0.9)
    looking = asyncio.create_task(layer.lookup(question("share a folder")))
    ticks = 0
    while not looking.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 3


def test_without_a_promise_there_is_no_layer() -> None:
    fit = fit_threshold([Lookup(0.9, False)] * 50, max_error_fraction=0.05, embedder="letters")
    with pytest.raises(InvalidValueError, match=r"threshold must be one that was found \(no threshold keeps the false"):
        EmbeddingLayer(LetterCounts(), fit)
    found = fit_threshold([Lookup(0.9, True)] * 200, max_error_fraction=0.05, embedder="letters")
    EmbeddingLayer(LetterCounts(), found)
    other = fit_threshold([Lookup(0.9, True)] * 200, max_error_fraction=0.05, embedder="all-MiniLM-L6-v2 int8")
    with pytest.raises(InvalidValueError, match="threshold must be fitted on 'letters', got 'all-MiniLM-L6-v2 int8'"):
        EmbeddingLayer(LetterCounts(), other)
    with pytest.raises(InvalidValueError, match="candidates must be a whole number >= 1, got 0"):
        EmbeddingLayer(LetterCounts(), 0.9, candidates=0)


async def test_labelled_lookups_are_what_the_layer_would_do() -> None:
    cached = [("add 20 seats", "add"), ("add 30 seats please", "add"), ("close my account", "close")]
    asked = [("add 30 seats", "add"), ("close my account!", "reopen"), ("add 7 seats", "add")]
    lookups = labelled_lookups(LetterCounts(), cached, [*asked, ("close my account", "close")])
    assert len(lookups) == 3  # the last text is cached: an exact hit
    assert [lookup.right for lookup in lookups] == [True, False, False]

    async def layer_says(text: str) -> Any:
        layer = EmbeddingLayer(LetterCounts(), -1.0)
        for text_cached, label in cached:
            await layer.remember(question(text_cached), label + text_cached)
        return await layer.lookup(question(text))

    for (text, label), lookup in zip(asked, lookups, strict=True):
        hit = await layer_says(text)
        if hit is None:
            assert lookup == Lookup(-1.0, False)
        else:
            assert hit.similarity == pytest.approx(lookup.similarity, abs=1e-6)
            assert hit.key.startswith(label) == lookup.right
    with pytest.raises(InvalidValueError, match="cached must be not empty"):
        labelled_lookups(LetterCounts(), [], asked)
