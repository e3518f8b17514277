"""A server that goes wrong under a real cascade: the query goes on, and what was billed stays paid, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from costlab.catalog import api_price
from costlab.events import RequestEvent
from costlab.router import (
    Cascade,
    CascadeFailedError,
    EndpointModel,
    ModelTimeoutError,
    Prediction,
    Routed,
    ScriptedModel,
    Tier,
)
from tests import needs
from tests.router.cascades import books, budget, outcomes, paid
from tests.router.chat_server import ChatServer, Script, completion, cuts, fails, language_model, replies, says

needs.extra("httpx2", "router")

pytestmark = pytest.mark.anyio

PRICE = api_price("gpt-4o-mini")
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 600}}
BILL_USD = PRICE.usd(1000, 100, 600)
LOST_USD = 0.125
LARGE_USD = 0.5


def tier(model: EndpointModel, **settings: Any) -> Tier:
    return Tier("small", model, PRICE, 0.9, estimate_usd=0.25, abandoned_usd_per_request=LOST_USD, **settings)


async def route(
    *scripts: Script, parse: Any = None, patience_s: float = 30.0, **settings: Any
) -> tuple[Routed, list[RequestEvent], int]:
    """One query through a server and a large model: the answer, the events, and the micro-dollars in the books."""
    events: list[RequestEvent] = []
    guard = budget(10.0)

    async def story(url: str) -> Routed:
        large = Tier("large", ScriptedModel({"Is it on?": Prediction("yes", 0.2)}), LARGE_USD)
        async with EndpointModel("gpt-4o-mini", url, None, parse=parse, retries=0, timeout_s=patience_s) as model:
            cascade = Cascade([tier(model, **settings), large], guard=guard, hooks=[events.append])
            return await cascade.route("Is it on?")

    with ChatServer(*scripts) as server:
        routed = await story(server.url)
    spent, reserved = await books(guard)
    assert reserved == 0
    return routed, events, spent


@pytest.mark.parametrize(
    ("script", "parse", "outcome", "usd"),
    [
        pytest.param(fails(429), None, "error", 0.0, id="too-many-requests"),
        pytest.param(fails(500), None, "error", LOST_USD, id="server-error"),
        pytest.param(cuts, None, "error", LOST_USD, id="cut-connection"),
        pytest.param(replies('{"choices": [{"mess'), None, "error", LOST_USD, id="malformed-json"),
        pytest.param(says(completion(usage={})), None, "error", LOST_USD, id="no-usage"),
        pytest.param(says(completion(), 0.5), None, "timeout", LOST_USD, id="time-out"),
        pytest.param(says(completion("four", USAGE)), int, "error", BILL_USD, id="no-answer-to-the-question"),
        pytest.param(says(completion("4", USAGE)), {}.__getitem__, "error", BILL_USD, id="parse-that-fails"),
        pytest.param(says(completion(None, USAGE)), None, "error", BILL_USD, id="filtered"),
        pytest.param(says(completion("yes", USAGE)), None, "escalated", BILL_USD, id="no-log-probabilities"),
        pytest.param(says(completion("yes", USAGE, [-1.0])), None, "escalated", BILL_USD, id="escalated"),
    ],
)
async def test_a_server_that_fails_sends_the_query_on_and_is_paid_what_it_billed(
    script: Script, parse: Any, outcome: str, usd: float
) -> None:
    routed, events, spent = await route(script, parse=parse, patience_s=0.2 if outcome == "timeout" else 30.0)
    assert (routed.answer, routed.tier) == ("yes", "large")
    assert outcomes(routed) == [("small", outcome), ("large", "answered")]
    assert [attempt.cost_usd for attempt in routed.attempts] == [pytest.approx(usd, rel=1e-12), LARGE_USD]
    assert routed.cost_usd == pytest.approx(usd + LARGE_USD, rel=1e-12)
    assert paid(events) == spent == round(routed.cost_usd * 1e6)


async def test_an_answer_that_is_trusted_costs_its_own_tokens_alone() -> None:
    routed, events, spent = await route(says(completion("on", USAGE, [-0.01])))
    assert (routed.answer, routed.tier) == ("on", "small")
    assert routed.cost_usd == pytest.approx(BILL_USD, rel=1e-12)
    (event,) = events
    assert (event.input_tokens, event.cached_input_tokens, event.output_tokens) == (1000, 600, 100)
    assert event.cost_micro_usd == spent == round(BILL_USD * 1e6)


async def test_a_tier_may_be_less_patient_than_its_client() -> None:
    routed, _, _ = await route(says(completion(), 0.25), timeout_s=0.1)
    assert outcomes(routed) == [("small", "timeout"), ("large", "answered")]
    assert routed.cost_usd == LOST_USD + LARGE_USD


async def test_tries_that_were_turned_away_cost_nothing_and_the_one_that_answers_is_paid_once() -> None:
    async def story(url: str) -> Routed:
        async with EndpointModel("gpt-4o-mini", url, None, sleep=lambda _: asyncio.sleep(0)) as model:
            return await Cascade([tier(model)]).route("Is it on?")

    with ChatServer(fails(429), fails(503, "later", retry_after="1"), says(completion("on", USAGE))) as server:
        routed = await story(server.url)
        assert len(server.requests) == 3
    assert routed.answer == "on"
    assert routed.cost_usd == pytest.approx(BILL_USD, rel=1e-12)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_that_works_and_then_fails_cannot_pass_the_limit(status: int) -> None:
    """Every request that it gets may be billed at 1 dollar; of 10 dollars it gets ten, however often it is tried."""
    guard = budget(10.0)

    async def story(url: str) -> list[object]:
        async with EndpointModel("gpt-4o-mini", url, None, sleep=lambda _: asyncio.sleep(0)) as model:
            cascade = Cascade([Tier("only", model, PRICE, estimate_usd=1.0)], guard=guard)
            return [await asyncio.gather(cascade.route("?"), return_exceptions=True) for _ in range(30)]

    with ChatServer(fails(status)) as server:
        await story(server.url)
        assert len(server.requests) == 10
    assert await books(guard) == (10_000_000, 0)


async def test_the_last_tier_failing_raises_with_what_was_paid() -> None:
    async def story(url: str) -> None:
        small = Tier("scripted", ScriptedModel({"?": Prediction("a", 0.1)}), 0.25, 0.9)
        async with EndpointModel("gpt-4o-mini", url, None, timeout_s=0.1) as model:
            await Cascade([small, tier(model)]).route("?")

    with ChatServer(says(completion(), 0.2)) as server, pytest.raises(CascadeFailedError) as found:
        await story(server.url)
    assert isinstance(found.value.__cause__, ModelTimeoutError)
    assert found.value.cost_usd == 0.25 + LOST_USD


async def test_a_real_language_model_behind_a_server_pays_by_its_tokens(llama: tuple[Any, Any]) -> None:
    """Random weights are never sure and some say nothing, so that every query goes on; forty of them, all at once."""
    events: list[RequestEvent] = []

    async def story(url: str) -> list[Routed]:
        large = Tier("large", ScriptedModel(lambda query: Prediction(query.upper(), 0.2)), LARGE_USD)
        async with EndpointModel("gpt-4o-mini", url, None, max_tokens=4) as model:
            cascade = Cascade([tier(model, max_concurrency=8), large], hooks=[events.append])
            return list(await asyncio.gather(*(cascade.route(f"query {i}") for i in range(40))))

    with ChatServer(language_model(*llama)) as server:
        answers = await story(server.url)
        assert len(server.requests) == 40
    assert [routed.answer for routed in answers] == [f"QUERY {i}" for i in range(40)]
    for routed in answers:
        assert outcomes(routed)[0] in (("small", "escalated"), ("small", "error"))
        assert routed.attempts[0].cost_usd > 0.0
        assert outcomes(routed)[1:] == [("large", "answered")]
    tokens = sum(PRICE.usd(event.input_tokens, event.output_tokens) for event in events)
    assert sum(routed.cost_usd for routed in answers) == pytest.approx(tokens + 40 * LARGE_USD, rel=1e-12)
    assert {event.output_tokens for event in events} <= {1, 2, 3, 4}
