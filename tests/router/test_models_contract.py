"""One promise for every model: it answers many at once, can be cancelled, and never holds up the event loop."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from costlab.router import (
    ClassifierModel,
    EmbeddingModel,
    EndpointModel,
    EnsembleModel,
    Model,
    ModelError,
    Prediction,
    ScriptedModel,
    TransformersModel,
)
from tests import needs
from tests.router import chat_server, tiny

pytestmark = pytest.mark.anyio

KINDS = ("scripted", "classifier", "embedding", "minilm", "ensemble", "transformers", "endpoint")
Make = Callable[[float], Model]
SLOW_S = 0.5


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a model of each kind, with an answer that takes some seconds longer than it needs."""
    if request.param in ("classifier", "embedding", "minilm", "ensemble"):
        needs.extra("sklearn", "router")
    with ExitStack() as stack:

        def scripted(seconds: float) -> Model:
            return ScriptedModel(lambda query: Prediction(query.upper(), 0.9), seconds)

        def classifier(seconds: float) -> ClassifierModel:
            return ClassifierModel(tiny.Slow(tiny.text_classifier(), "predict_proba", seconds))

        def embedding(seconds: float) -> ClassifierModel:
            return EmbeddingModel(tiny.Slow(tiny.LetterEmbedder(), "embed", seconds), tiny.vector_classifier())

        def minilm(seconds: float) -> ClassifierModel:
            encoder = request.getfixturevalue("minilm")
            return EmbeddingModel(tiny.Slow(encoder, "embed", seconds), tiny.vector_classifier(encoder), threads=4)

        def ensemble(seconds: float) -> Model:
            return EnsembleModel([classifier(seconds), embedding(0.0)])

        def transformers(seconds: float) -> Model:
            model, tokenizer = request.getfixturevalue("llama")
            slow: Any = tiny.Slow(model, "generate", seconds)
            return TransformersModel(slow, tokenizer, max_tokens=8, system="Be brief.")

        def endpoint(seconds: float) -> Model:
            needs.extra("httpx2", "router")
            script = chat_server.language_model(*request.getfixturevalue("llama"))

            def slowly(handler: chat_server.Handler, asked: dict[str, Any]) -> dict[str, Any] | None:
                time.sleep(seconds)
                return script(handler, asked)

            server = stack.enter_context(chat_server.ChatServer(slowly))
            return EndpointModel("tiny", server.url, None, max_tokens=8, system="Be brief.")

        yield locals()[request.param]


async def play(model: Model, story: Callable[[], Any]) -> Any:
    """Run a story, and close the model in its own event loop."""

    async def told() -> Any:
        try:
            return await story()
        finally:
            if isinstance(model, EndpointModel):
                await model.aclose()

    return await told()


def same(a: Prediction, b: Prediction) -> bool:
    """Alike, but for the last digits of the confidence: a padded batch adds in another order."""
    return (a.answer, a.usage) == (b.answer, b.usage) and math.isclose(a.confidence, b.confidence, rel_tol=1e-4)


async def test_it_answers_with_a_confidence_and_says_the_same_again(make: Make) -> None:
    model = make(0.0)

    async def story() -> None:
        first = await model.predict("end my plan")
        assert isinstance(first, Prediction)
        assert isinstance(first.answer, str)
        assert 0.0 <= first.confidence <= 1.0
        assert same(first, await model.predict("end my plan"))

    await play(model, story)


async def test_many_at_once_answer_as_one_by_one(make: Make) -> None:
    model = make(0.0)
    queries = [f"{text} {i}" for i, text in enumerate(tiny.TEXTS * 3)]

    async def story() -> None:
        together = await asyncio.gather(*map(model.predict, queries))
        for query, found in zip(queries, together, strict=True):
            assert same(found, await model.predict(query))

    await play(model, story)


async def test_the_event_loop_goes_on_meanwhile(make: Make) -> None:
    model = make(SLOW_S)

    async def story() -> int:
        task, ticks = asyncio.ensure_future(model.predict("reset")), 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await task
        return ticks

    assert await play(model, story) >= 5  # 50 on an idle machine, none where the loop is held up


async def test_a_cancelled_call_ends_at_once_and_leaves_nothing_behind(make: Make) -> None:
    model = make(SLOW_S)

    async def story() -> None:
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(model.predict("reset"))
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - started < 0.6 * SLOW_S
        assert asyncio.all_tasks() == before
        assert isinstance(await model.predict("reset"), Prediction)

    await play(model, story)


@pytest.mark.parametrize("query", ["", " ", "\n", "ä ß 😀", "\x00", "word " * 500], ids=repr)
async def test_an_odd_query_is_answered_or_refused_in_words(make: Make, query: str) -> None:
    model = make(0.0)

    async def story() -> None:
        (found,) = await asyncio.gather(model.predict(query), return_exceptions=True)
        assert isinstance(found, Prediction) or (isinstance(found, ModelError) and str(found))

    await play(model, story)


async def test_models_share_no_threads(make: Make) -> None:
    """Forty calls wait for one slow model; another one answers meanwhile."""
    slow, quick = make(SLOW_S), make(0.0)

    async def story() -> None:
        waiting = [asyncio.ensure_future(slow.predict("reset")) for _ in range(40)]
        await asyncio.sleep(0.05)
        await quick.predict("reset")
        assert not all(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if isinstance(quick, EndpointModel):
            await quick.aclose()

    await play(slow, story)


async def test_threads_end_with_their_model() -> None:
    needs.extra("sklearn", "router")
    others = set(threading.enumerate())  # models of earlier tests that the garbage collector has not come to yet
    model = ClassifierModel(tiny.text_classifier(), threads=2)
    await model.predict("reset")
    mine = [thread for thread in threading.enumerate() if thread not in others]
    assert [thread.name.startswith("costlab-model") for thread in mine] == [True]
    del model
    for thread in mine:
        thread.join(timeout=5.0)
        assert not thread.is_alive()
