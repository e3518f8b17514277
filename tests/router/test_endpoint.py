"""A model behind a real server that does everything wrong which servers do wrong: clear errors, and what was billed."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from costlab.catalog import api_price
from costlab.errors import CostlabError, InvalidValueError
from costlab.events import RequestEvent
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetPolicy, MemoryBudgetStore
from costlab.router import (
    Cascade,
    EndpointModel,
    ModelError,
    ModelTimeoutError,
    Prediction,
    ScriptedModel,
    TokenUsage,
    TransformersModel,
)
from costlab.router.models.endpoint import read_completion, read_usage
from costlab.router.tiers import Tier
from tests import needs
from tests.router.chat_server import ChatServer, Handler, Script, completion, cuts, fails, language_model, replies, says

needs.extra("httpx2", "router")

pytestmark = pytest.mark.anyio


async def ask(*scripts: Script, **settings: Any) -> tuple[Prediction, ChatServer]:
    """One query to a server with these scripts, without waiting between retries."""
    with ChatServer(*scripts) as server:
        return await answer(server.url, **settings), server


async def answer(url: str, key_variable: str | None = None, **settings: Any) -> Prediction:
    async with EndpointModel("gpt-4o-mini", url, key_variable, **({"sleep": no_wait} | settings)) as model:
        return await model.predict("Is it on?")


async def no_wait(_: float) -> None:
    """No time at all."""


async def failing(*scripts: Script, **settings: Any) -> ModelError:
    with pytest.raises(ModelError) as found:
        await ask(*scripts, **settings)
    return found.value


async def test_the_request_is_what_the_protocol_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    settings: dict[str, Any] = {"system": "Be brief.", "max_tokens": 5, "parameters": {"temperature": 0}}
    _, server = await ask(says(completion()), key_variable="MY_KEY", **settings)
    (asked,) = server.requests
    assert asked["path"] == "/v1/chat/completions"
    assert {key.lower(): value for key, value in asked["headers"].items()}["authorization"] == "Bearer sk-secret"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it on?"}]
    wanted = {"model": "gpt-4o-mini", "max_tokens": 5, "logprobs": True, "temperature": 0, "messages": messages}
    assert asked["body"] == wanted


async def test_a_model_that_wants_the_limit_by_another_name_gets_it() -> None:
    _, server = await ask(says(completion()), max_tokens=None, logprobs=False, parameters={"max_completion_tokens": 9})
    (asked,) = server.requests
    assert set(asked["body"]) == {"model", "messages", "max_completion_tokens"}


async def test_confidence_is_the_tokens_mean_probability() -> None:
    found, _ = await ask(says(completion("on", logprobs=[math.log(0.9), math.log(0.4)])))
    assert found.answer == "on"
    assert found.confidence == pytest.approx(0.6)


async def test_a_model_behind_a_server_says_what_it_says_in_this_process(llama: tuple[Any, Any]) -> None:
    """Two ways to generate and to score, of one language model."""

    async def story(url: str) -> Prediction:
        async with EndpointModel("tiny", url, None, system="Be brief.", max_tokens=6) as model:
            return await model.predict("hello")

    with ChatServer(language_model(*llama)) as server:
        there = await story(server.url)
    here = await TransformersModel(*llama, system="Be brief.", max_tokens=6).predict("hello")
    assert (there.answer.strip(), there.usage) == (here.answer, here.usage)
    assert there.confidence == pytest.approx(here.confidence, rel=1e-4)


@pytest.mark.parametrize("logprobs", [None, [], [float("nan")], [float("-inf")], [3.0], [False], [-(10**400)], ["-1"]])
async def test_without_usable_log_probabilities_nobody_knows_how_sure_it_is(logprobs: list[Any] | None) -> None:
    assert math.isnan((await ask(says(completion(logprobs=logprobs))))[0].confidence)


async def test_cached_tokens_are_a_part_of_the_input_and_paid_once() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 800}}
    found, _ = await ask(says(completion(usage=usage)))
    assert found.usage == TokenUsage(input_tokens=1000, cached_input_tokens=800, output_tokens=10)
    price = api_price("gpt-4o-mini")
    assert price.cached_input_usd_per_mtok is not None
    assert price.output_usd_per_mtok is not None
    by_hand = (
        200 * price.input_usd_per_mtok + 800 * price.cached_input_usd_per_mtok + 10 * price.output_usd_per_mtok
    ) / 1e6
    with ChatServer() as server:
        model = EndpointModel("gpt-4o-mini", server.url, None)
        assert model.price() == price
        assert Tier(name="t", model=model, price=model.price()).usd(found.usage) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, TokenUsage(9, 0, 2)),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None}, TokenUsage(9, 0, 2)),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}},
            TokenUsage(9, 0, 2),
        ),
        # DeepSeek: hits and misses add up to the prompt.
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            TokenUsage(9, 4, 2),
        ),
        # Both names for the same tokens: not added up.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_cache_hit_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            TokenUsage(9, 4, 2),
        ),
        # Hidden reasoning is a part of the output.
        (
            {"prompt_tokens": 9, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 48}},
            TokenUsage(9, 0, 50, reasoning_tokens=48),
        ),
        # xAI: it stands beside the answer, and the total proves it.
        (
            {
                "prompt_tokens": 900,
                "completion_tokens": 60,
                "total_tokens": 2360,
                "completion_tokens_details": {"reasoning_tokens": 1400},
            },
            TokenUsage(900, 0, 1460, reasoning_tokens=1400),
        ),
        # The same where it is fewer than the answer, so that nothing but the total tells.
        (
            {
                "prompt_tokens": 900,
                "completion_tokens": 600,
                "total_tokens": 1520,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            TokenUsage(900, 0, 620, reasoning_tokens=20),
        ),
        # OpenAI: a total that adds up without it.
        (
            {
                "prompt_tokens": 900,
                "completion_tokens": 600,
                "total_tokens": 1500,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            TokenUsage(900, 0, 600, reasoning_tokens=20),
        ),
        # Gemini behind OpenAI's protocol: thoughts that only the total has.
        ({"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 86}, TokenUsage(21, 0, 65, reasoning_tokens=60)),
        # Without a total: more reasoning than answer can only stand beside it.
        (
            {"prompt_tokens": 9, "completion_tokens": 6, "completion_tokens_details": {"reasoning_tokens": 60}},
            TokenUsage(9, 0, 66, reasoning_tokens=60),
        ),
        # OpenAI, OpenRouter: written to the cache, a part of the prompt.
        (
            {
                "prompt_tokens": 9000,
                "completion_tokens": 6,
                "total_tokens": 9006,
                "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 7000, "audio_tokens": 20},
            },
            TokenUsage(9000, 1000, 6, cache_write_tokens=7000, audio_input_tokens=20),
        ),
        # Anthropic's own names, beside the prompt; two thousand tokens for an hour.
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 200,
                "cache_read_input_tokens": 5000,
                "cache_creation_input_tokens": 3000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
                "server_tool_use": {"web_search_requests": 2},
            },
            TokenUsage(8012, 5000, 200, cache_write_tokens=3000, cache_write_1h_tokens=2000, searches=2),
        ),
        # Perplexity tells its fee, in which the searches are.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 150,
                "num_search_queries": 2,
                "cost": {"total_cost": 0.012277, "request_cost": 0.01},
            },
            TokenUsage(9, 0, 150, request_fee_usd=0.01),
        ),
        # More cached than all can only mean that they are counted apart.
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 90}},
            TokenUsage(99, 90, 2),
        ),
        ({"prompt_tokens": 9}, TokenUsage(9, 0, 0)),
        ({"prompt_tokens": "9", "completion_tokens": 2}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ({"prompt_tokens": -9, "completion_tokens": 2}, None),
        ({"completion_tokens": 2}, None),
        ("free", None),
    ],
)
def test_usage_is_read_in_every_dialect_or_not_at_all(usage: Any, read: TokenUsage | None) -> None:
    assert read_usage({"usage": usage}) == read


@pytest.mark.parametrize(
    ("said", "tier"),
    [("flex", "flex"), ("priority", "priority"), ("default", "standard"), ("scale", "standard"), (None, None)],
)
def test_the_tier_that_was_used_is_read(said: str | None, tier: str | None) -> None:
    body = completion(usage={"prompt_tokens": 9, "completion_tokens": 2}) | {"service_tier": said}
    found = read_usage(body)
    assert found is not None
    assert found.service_tier == tier


GROK: dict[str, Any] = {
    "prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 2360,
    "completion_tokens_details": {"reasoning_tokens": 1400},
}  # fmt: skip


async def test_reasoning_that_stands_beside_the_answer_is_booked_by_tier_guard_and_event() -> None:
    told: list[RequestEvent] = []
    with ChatServer(says(completion(usage=GROK))) as server:
        async with EndpointModel("grok-4", server.url, None) as model:
            tier = Tier("grok", model, model.price(), estimate_usd=0.05)
            guard = AsyncBudgetGuard(
                BudgetPolicy(daily_soft_usd=1, daily_hard_usd=1, monthly_usd=9), MemoryBudgetStore()
            )
            routed = await Cascade([tier], guard=guard, hooks=[told.append]).route("why?")
    # 900 tokens in at 3 dollars a million, 1,460 out at 15.
    assert routed.cost_usd == pytest.approx(0.0246)
    assert (await guard.status()).day_spent_micro_usd == 24_600
    (event,) = told
    assert (event.cost_micro_usd, event.output_tokens, event.reasoning_tokens) == (24_600, 1460, 1400)
    assert (event.provider, event.service_tier) == ("x-ai", "standard")


async def test_the_tier_that_was_used_is_paid_whatever_was_asked_for() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    standard = api_price("gpt-5-mini").usd(1000, 100)
    paid = {}
    for said in ("flex", "default", "priority"):
        with ChatServer(says(completion(usage=usage) | {"service_tier": said})) as server:
            async with EndpointModel("gpt-5-mini", server.url, None) as model:
                for asked in ("standard", "flex"):
                    tier = Tier("mini", model, api_price("gpt-5-mini", service_tier=asked))
                    paid[said, asked] = (await Cascade([tier]).route("why?")).cost_usd / standard
    for asked in ("standard", "flex"):
        assert [paid[said, asked] for said in ("flex", "default", "priority")] == pytest.approx([0.5, 1.0, 1.8])


def test_what_has_no_price_does_not_keep_the_rest_of_a_bill_from_the_books() -> None:
    usage = TokenUsage(1000, 0, 100, searches=2, service_tier="priority")
    haiku = api_price("claude-3-haiku")
    tier = Tier("t", ScriptedModel({}), haiku)
    assert tier.usd(usage) == haiku.usd(1000, 100)


async def test_an_answer_that_does_not_say_what_it_cost_is_no_answer() -> None:
    error = await failing(says(completion(usage={})))
    assert "does not say what was billed" in str(error)
    assert (error.usage, error.bill_unknown) == (None, True)
    assert (await ask(says(completion(usage={})), usage_required=False))[0].usage == TokenUsage()


@pytest.mark.parametrize(
    "choice", [{"message": {"role": "assistant", "content": None}}, {"message": None}, {"message": {"content": ""}}]
)
async def test_an_empty_answer_is_an_error_that_was_billed(choice: dict[str, Any]) -> None:
    error = await failing(says(completion(finish_reason="content_filter", **choice)))
    assert "gave no answer (finish_reason 'content_filter')" in str(error)
    assert error.usage == TokenUsage(12, 0, 3)


@pytest.mark.parametrize(
    ("reason", "complete"),
    [("stop", True), (None, True), ("eos", True), ("length", False), ("content_filter", False), ("tool_calls", False),
     ("SAFETY", False), (7, False)],
)  # fmt: skip
@pytest.mark.parametrize("parse", [None, str])
async def test_an_answer_that_was_cut_off_says_so(reason: object, complete: bool, parse: Any) -> None:
    prediction, _ = await ask(says(completion("The answer is 12", finish_reason=reason)), parse=parse)
    assert (prediction.answer, prediction.complete) == ("The answer is 12", complete)


async def test_a_refusal_is_quoted() -> None:
    error = await failing(says(completion(message={"content": None, "refusal": "I would rather not."})))
    assert "I would rather not." in str(error)
    assert error.usage == TokenUsage(12, 0, 3)


async def test_no_choices_are_an_error_that_was_billed() -> None:
    error = await failing(says(completion() | {"choices": []}))
    assert "no chat completion" in str(error)
    assert error.usage == TokenUsage(12, 0, 3)


async def test_words_that_are_no_answer_are_billed() -> None:
    assert (await ask(says(completion("4")), parse=int))[0].answer == 4
    error = await failing(says(completion("four")), parse=int)
    assert "not an answer: 'four'" in str(error)
    assert error.usage == TokenUsage(12, 0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"choices": [{"mess', "is not JSON"),
        ("", "is not JSON"),
        ("<html>Bad gateway</html>", "is not JSON: '<html>Bad gateway"),
        ("[" * 100_000, "is not JSON"),
        ("null", "no chat completion"),
        ("[]", "no chat completion"),
        ('{"error": {"message": "out of credit"}}', "out of credit"),
        ('{"choices": "none"}', "no chat completion"),
        ('{"choices": [7]}', "no chat completion"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_what_is_no_completion_is_said_to_be_none(text: str, message: str, content_type: str) -> None:
    error = await failing(replies(text, content_type))
    assert message in str(error)
    assert str(error).startswith("gpt-4o-mini at http://127.0.0.1:")
    assert len(str(error)) < 400
    assert (error.usage, error.bill_unknown) == (None, True)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(409, {}), (429, {}), (503, {"retry_after": "1"}), (503, {"retry_after_ms": "70"}), (529, {"retry_after": "2"})],
)
async def test_an_answer_that_nothing_was_done_is_followed_by_another_try(status: int, headers: dict[str, str]) -> None:
    script = fails(status, "later", **headers)
    found, server = await ask(script, script, says(completion("on")))
    assert found.answer == "on"
    assert len(server.requests) == 3
    error = await failing(script, retries=1)
    assert (error.usage, error.bill_unknown) == (None, False)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 524, 529])
async def test_an_answer_behind_which_work_may_have_been_done_is_the_only_one(status: int) -> None:
    with ChatServer(fails(status), says(completion("on"))) as server:
        with pytest.raises(ModelError, match=f"the server answered {status}: ") as found:
            await answer(server.url)
        assert (found.value.usage, found.value.bill_unknown) == (None, True)
        assert len(server.requests) == 1


async def test_tries_end() -> None:
    with ChatServer(fails(429, "on fire")) as server:
        with pytest.raises(ModelError, match=r"the server answered 429: .*on fire"):
            await answer(server.url, retries=1)
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_request_that_is_wrong_stays_wrong(status: int) -> None:
    with ChatServer(fails(status, "no such model")) as server:
        with pytest.raises(ModelError, match=f"answered {status}: .*no such model") as found:
            await answer(server.url)
        assert (found.value.usage, found.value.bill_unknown) == (None, False)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "waited_s"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "70", "retry_after": "1"}, 0.07),
        ({}, 0.5),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": "-4"}, 0.5),
        ({"retry_after": "nan"}, 0.5),
    ],
)
async def test_a_server_is_given_the_time_that_it_asks_for(headers: dict[str, str], waited_s: float) -> None:
    waits = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    await ask(fails(429, "slow down", **headers), says(completion()), sleep=wait)
    assert waits == [pytest.approx(waited_s)]


async def test_a_wait_that_is_too_long_is_not_begun() -> None:
    started = time.perf_counter()
    error = await failing(fails(429, "slow down", retry_after="60"), timeout_s=5.0, sleep=asyncio.sleep)
    assert "answered 429: " in str(error)
    assert "a retry in 60 s would come too late" in str(error)
    assert time.perf_counter() - started < 4.0


async def test_waits_without_a_wish_double() -> None:
    waits = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    await failing(fails(429), retries=3, sleep=wait)
    assert waits == [0.5, 1.0, 2.0]


async def test_a_slow_answer_is_a_timeout_and_not_asked_for_again() -> None:
    """It may have been billed, so a second request might be paid for twice."""
    with ChatServer(says(completion(), after_s=0.8)) as server:
        with pytest.raises(ModelTimeoutError, match=r"no answer within 0\.5 s") as found:
            await answer(server.url, timeout_s=0.5)
        assert isinstance(found.value, TimeoutError)
        assert (found.value.usage, found.value.bill_unknown) == (None, True)
        assert len(server.requests) == 1


async def test_the_limit_holds_for_all_tries_together() -> None:
    started = time.perf_counter()
    with pytest.raises(ModelError):
        await ask(fails(429), timeout_s=0.6, retries=50, sleep=asyncio.sleep)
    assert time.perf_counter() - started < 3.0


async def test_an_answer_that_trickles_is_ended_by_the_limit() -> None:
    def trickle(handler: Handler, _: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _second in range(10):
            time.sleep(0.1)
            handler.wfile.write(b" ")
            handler.wfile.flush()

    started = time.perf_counter()
    with ChatServer(trickle) as server, pytest.raises(ModelTimeoutError):
        await answer(server.url, timeout_s=0.4)
    assert time.perf_counter() - started < 3.0


async def test_a_cut_connection_is_not_tried_again_as_it_may_have_been_billed() -> None:
    with ChatServer(cuts) as server:
        with pytest.raises(ModelError, match="the connection was cut, so what was billed is unknown") as found:
            await answer(server.url)
        assert found.value.bill_unknown
        assert len(server.requests) == 1


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    waits = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else has it, and nobody answers
        port = taken.getsockname()[1]
        with pytest.raises(ModelError, match="no connection") as found:
            await answer(f"http://127.0.0.1:{port}/v1", sleep=wait)
        assert not found.value.bill_unknown
    assert len(waits) == 2


async def test_a_cancelled_call_ends_its_connection() -> None:
    asked, ended = threading.Event(), threading.Event()

    def wait_for_the_end(handler: Handler, _: dict[str, Any]) -> None:
        asked.set()
        if handler.connection.recv(1) == b"":  # what a server reads when the other side hung up
            ended.set()

    async def story(url: str) -> None:
        async with EndpointModel("m", url, None) as model:
            task = asyncio.ensure_future(model.predict("?"))
            assert await asyncio.to_thread(asked.wait, 5.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(ended.wait, 5.0)

    with ChatServer(wait_for_the_end) as server:
        await story(server.url)


async def test_a_key_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    error = await failing(fails(401, "incorrect key sk-secret-1"), key_variable="MY_KEY")
    assert "incorrect key ***" in str(error)
    assert "sk-secret" not in str(error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url must be an address that begins with http:// or https://"),
        ({"timeout_s": 0}, "timeout_s must be a number > 0"),
        ({"retries": -1}, "retries must be a whole number >= 0"),
        ({"max_tokens": 0}, "max_tokens must be a whole number >= 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        EndpointModel("m", **({"base_url": "http://127.0.0.1:1/v1", "key_variable": None} | settings))


@pytest.mark.parametrize("value", [None, ""])
def test_a_key_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(
        CostlabError, match="the environment variable that key_variable names, which holds the server's key, is not set"
    ):
        EndpointModel("m", "http://127.0.0.1:1/v1", "MY_KEY")


def test_any_body_is_read_or_refused_in_words() -> None:
    """Parts of a good answer replaced by everything that JSON can say."""
    good = completion("on", logprobs=[-0.1])
    odd: list[Any] = [None, True, -1, 1e300, "x", [], [None], {}, {"x": 1}]

    def places(value: Any, put: Callable[[Any], Any]) -> Any:
        for one in odd:
            yield put(one)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:

            def inner(new: Any, key: Any = key) -> Any:
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = new
                return put(copy)

            yield from places(child, inner)

    tried = 0
    for body in places(good, lambda new: new):
        tried += 1
        try:
            found = read_completion(json.dumps(body))
        except ModelError:
            continue
        assert isinstance(found.answer, str)
    assert tried > 100
