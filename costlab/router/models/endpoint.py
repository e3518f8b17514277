"""A model behind any server that speaks OpenAI's chat protocol."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from itertools import combinations
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.cache.answers import ends_complete
from costlab.catalog import ApiPrice, api_price
from costlab.errors import CostlabError, InvalidValueError
from costlab.events import SERVICE_TIERS
from costlab.router.models.protocol import (
    ModelError,
    ModelTimeoutError,
    Prediction,
    TokenUsage,
    mean_probability,
    quoted,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

    from costlab.events import ServedAs

#: Answers that say that nothing was done, so that the request may be sent again: a conflict, too many requests.
NOT_DONE: Final = frozenset({409, 429})
#: Answers that say so where they name a time to come back, see :func:`_turned_away`.
NOT_DONE_YET: Final = frozenset({503, 529})
#: Of the client's errors the one behind which work may have been done: gateways send it where a server took too long.
REQUEST_TIMEOUT: Final = 408
#: The first of the server's errors. Work may have been done, and billed, before one of them.
SERVER_ERRORS: Final = 500
#: Seconds before the first retry where the server names none; twice as long before each further one.
FIRST_WAIT_S = 0.5
#: Log-probabilities below minus this are nonsense. Servers write -9999 for a token that could not come.
MIN_LOG = 1e6


class EndpointModel:
    """A model at OpenAI, or at any server that speaks its chat protocol: vLLM, llama.cpp, Ollama, most vendors.

    Parameters
    ----------
    model, base_url : str
        Name of the model as the server knows it, and the server's address up to and with the version:
        ``https://api.openai.com/v1``.
    key_variable : str, optional
        Name of the environment variable that holds the key; None for a server that asks for none.
    system : str
        Instructions, sent before every query.
    parse : callable, optional
        Makes the answer from the model's words; raises for words that are no answer. The call is billed all the same,
        and the error says so.
    max_tokens : int, optional
        Most tokens of an answer, >= 1. A longer one is cut off there, and no tier but the last trusts it: leave room
        for the token that ends an answer. None for a model that wants the limit by another
        name, given in `parameters`: OpenAI's reasoning models want ``max_completion_tokens``.
    logprobs : bool
        Whether to ask for log-probabilities of the tokens, from which the confidence is made. Without them, or from a
        server that has none, it is NaN. Some servers refuse the request for them.
    timeout_s : float
        Seconds for the whole call, its retries included, > 0.
    retries : int
        How often a request is sent again, >= 0, after an answer that says that it was not carried out (409, 429, and
        503 or 529 with a time to come back) or when there was no connection at all. Not after another 5xx, a time-out
        or a cut connection: each such try may have been billed, and a budget has room for one.
    usage_required : bool
        Whether an answer that does not say what was billed is an error: by default it is, since it would count as free.
    parameters : mapping, optional
        Further parameters of the request, such as ``{"temperature": 0}``.
    sleep : callable
        Waits before a retry.

    Raises
    ------
    CostlabError
        If the environment variable is not set.

    Notes
    -----
    The client belongs to the event loop in which it is first used; :meth:`aclose` ends its connections.

    References
    ----------
    OpenAI, API reference, chat completions, https://platform.openai.com/docs/api-reference/chat

    Examples
    --------
    What does a call cost with 1,000 tokens in, of which the prompt cache had 800, and 10 tokens out?

    >>> model = EndpointModel("gpt-4o-mini", "https://api.openai.com/v1", key_variable=None)
    >>> usd = model.price(as_of="2026-01-01").usd(1_000, output_tokens=10, cached_input_tokens=800)
    >>> f"{usd:.6f}"
    '0.000096'
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        key_variable: str | None = "OPENAI_API_KEY",
        *,
        system: str = "",
        parse: Callable[[str], object] | None = None,
        max_tokens: int | None = 256,
        logprobs: bool = True,
        timeout_s: float = 30.0,
        retries: int = 2,
        usage_required: bool = True,
        parameters: Mapping[str, object] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InvalidValueError("base_url", "an address that begins with http:// or https://", base_url)
        self._key = _key(key_variable)
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._retries = checks.integer("retries", retries)
        with extra("router"):
            import openai
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=self._key or "none", timeout=self._timeout_s, max_retries=0
        )
        self.model, self.base_url = model, base_url
        self._parse, self._usage_required, self._sleep = parse, usage_required, sleep
        self._before: list[ChatCompletionMessageParam] = [{"role": "system", "content": system}] if system else []
        self._request: dict[str, Any] = {
            "model": model,
            **({} if max_tokens is None else {"max_tokens": checks.integer("max_tokens", max_tokens, at_least=1)}),
            **({"logprobs": True} if logprobs else {}),
            "extra_body": dict(parameters or {}),
        }

    def price(self, provider: str | None = None, as_of: date | str | None = None) -> ApiPrice:
        """What the catalogue says that the model costs, for its tier; see :func:`costlab.catalog.api_price`."""
        return api_price(self.model, provider, as_of)

    async def predict(self, query: str) -> Prediction:
        """What the server answers.

        Raises
        ------
        ModelError, ModelTimeoutError
            If it does not, with what it says was billed; if it takes too long.
        """
        import openai

        try:
            async with asyncio.timeout(self._timeout_s):
                text = await self._send([*self._before, {"role": "user", "content": query}])
        except (TimeoutError, openai.APITimeoutError):
            raise ModelTimeoutError(self._words(f"no answer within {self._timeout_s:g} s")) from None
        try:
            return read_completion(text, self._parse, usage_required=self._usage_required)
        except ModelError as error:
            words = self._words(str(error))
            raise ModelError(words, error.usage, bill_unknown=error.bill_unknown) from error.__cause__

    async def _send(self, messages: list[ChatCompletionMessageParam]) -> str:
        import openai

        deadline = asyncio.get_running_loop().time() + self._timeout_s
        for sent in range(1, self._retries + 2):
            wait_s = FIRST_WAIT_S * 2 ** (sent - 1)
            try:
                answer = await self._client.chat.completions.with_raw_response.create(
                    messages=messages, **self._request
                )
                return str(answer.text)
            except openai.APIStatusError as error:
                status = error.status_code
                again = _turned_away(status, error.response.headers)
                unknown = not again and (status >= SERVER_ERRORS or status == REQUEST_TIMEOUT)
                words = self._words(f"the server answered {status}: {quoted(error.message)}")
                failed = ModelError(words, bill_unknown=unknown)
                wait_s = _asked_wait_s(error.response.headers, wait_s)
            except openai.APITimeoutError:
                raise
            except openai.APIConnectionError as error:
                reason = error.__cause__ or error
                # Only where nothing was sent is it sure that nothing was billed.
                again = type(reason).__name__ == "ConnectError"
                what = "no connection" if again else "the connection was cut, so what was billed is unknown"
                words = self._words(f"{what} ({type(reason).__name__}: {reason})")
                failed = ModelError(words, bill_unknown=not again)
            if not again or sent > self._retries:
                raise failed from None
            if asyncio.get_running_loop().time() + wait_s >= deadline:
                raise ModelError(f"{failed}; a retry in {wait_s:g} s would come too late") from None
            await self._sleep(wait_s)
        raise AssertionError("every pass returns, raises or is not the last")

    def _words(self, message: str) -> str:
        """An error message: who said it, and without the key, which servers like to repeat."""
        return f"{self.model} at {self.base_url}: " + (message.replace(self._key, "***") if self._key else message)

    async def aclose(self) -> None:
        """End all connections."""
        await self._client.close()

    async def __aenter__(self) -> EndpointModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise CostlabError(f"the environment variable {variable}, which holds the server's key, is not set")
    return key


def _turned_away(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer says that the request was not carried out.

    By RFC 9110, 15.6.4 a server that is overloaded *may* say after how long to come back (``Retry-After``). Where it
    does, it turned the request away; without it, a 503 may as well come from a gateway that lost its server half-way.
    """
    return status in NOT_DONE or (
        status in NOT_DONE_YET and any(headers.get(name) for name in ("retry-after-ms", "retry-after"))
    )


def _asked_wait_s(headers: Mapping[str, str], otherwise_s: float) -> float:
    """Seconds that a server asks to wait, in its header ``Retry-After``; one that names a date is not obeyed."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if 0.0 <= wait_s < math.inf:
            return wait_s
    return otherwise_s


def read_completion(
    text: str, parse: Callable[[str], object] | None = None, *, usage_required: bool = True
) -> Prediction:
    """The prediction in the body of a chat completion; `parse` and `usage_required` as for :class:`EndpointModel`.

    Raises
    ------
    ModelError
        If the body is not a chat completion, holds no answer, or the answer is none to `parse`. Where the body says
        what was billed, the error does too; otherwise the error says that this is not known.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"the answer is not JSON: {quoted(text)}", bill_unknown=True) from None
    usage = read_usage(body)
    choice = _first(body, "choices")
    if choice is None:
        raise ModelError(f"the answer is no chat completion: {quoted(text)}", usage, bill_unknown=True)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str) or not content:
        reason = choice.get("finish_reason")
        refusal = message.get("refusal") if isinstance(message, dict) else None
        words = f": {quoted(refusal)}" if isinstance(refusal, str) else ""
        raise ModelError(f"the model gave no answer (finish_reason {reason!r}){words}", usage, bill_unknown=True)
    if usage is None:
        if usage_required:
            raise ModelError("the server does not say what was billed (no usage in its answer)", bill_unknown=True)
        usage = TokenUsage()
    complete = ends_complete(choice.get("finish_reason"))
    if parse is None:
        return Prediction(content, _confidence(choice), usage, complete)
    try:
        answer = parse(content)
    except Exception as error:  # whatever it raises, the call is billed
        raise ModelError(f"not an answer: {quoted(content)} ({error})", usage) from error
    return Prediction(answer, _confidence(choice), usage, complete)


def read_usage(body: object) -> TokenUsage | None:
    """What a chat completion says was billed; None where it does not, or not in whole numbers.

    In the protocol ``prompt_tokens`` are all input tokens and ``completion_tokens`` all output tokens; the details name
    parts of them: read from the prompt cache, written to it, audio, images, reasoning. Servers that count a part beside
    them instead are recognised by ``total_tokens``, which only adds up with it (xAI and Gemini leave reasoning out of
    ``completion_tokens``, Anthropic's own protocol the cache out of the input), or where the part is more than its
    whole. What a total has beyond everything that is named is output that nobody sees. Where nothing tells them apart,
    the protocol's meaning holds.

    DeepSeek names the cached tokens ``prompt_cache_hit_tokens``, Anthropic ``cache_read_input_tokens`` and
    ``cache_creation_input_tokens``. The tier that was used stands in ``service_tier``, Perplexity's fee for the request
    in ``cost.request_cost``.
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    try:
        counts = {name: _count(usage, *places) for name, places in COUNTS.items()}
        prompt, answer, total = (usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
        tokens_in, tokens_out = _whole(prompt), _whole(0 if answer is None else answer)
        beside = _beside(tokens_in, tokens_out, counts, total)
        input_tokens = tokens_in + sum(
            counts[name] for name in ("cached_input_tokens", "cache_write_tokens") if name in beside
        )
        output_tokens = tokens_out + (counts["reasoning_tokens"] if "reasoning_tokens" in beside else 0)
        if isinstance(total, int) and total > input_tokens + output_tokens and not beside:
            counts["reasoning_tokens"] += total - input_tokens - output_tokens
            output_tokens = total - input_tokens
        told = _inner(usage, "cost", "request_cost")
        fee = float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None
        if fee is not None:  # the searches of the request are in it
            counts["searches"] = 0
        return TokenUsage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            request_fee_usd=fee,
            service_tier=_tier(_inner(body, "service_tier") or usage.get("service_tier")),
            **counts,
        )
    except (InvalidValueError, TypeError):
        return None


#: Where an answer's usage has its counts; the first place that has one counts.
COUNTS: Final = {
    "cached_input_tokens": (
        "prompt_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "cache_creation_input_tokens",
    ),
    "cache_write_1h_tokens": (
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
    ),
    "audio_input_tokens": ("prompt_tokens_details.audio_tokens",),
    "cached_audio_input_tokens": ("prompt_tokens_details.cached_tokens_details.audio_tokens",),
    "image_input_tokens": ("prompt_tokens_details.image_tokens",),
    "reasoning_tokens": ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    "audio_output_tokens": ("completion_tokens_details.audio_tokens",),
    "image_output_tokens": ("completion_tokens_details.image_tokens",),
    "searches": ("server_tool_use.web_search_requests", "num_search_queries"),
}


def _inner(values: object, *path: str) -> object:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _count(usage: dict[str, object], *places: str) -> int:
    found = (_inner(usage, *place.split(".")) for place in places)
    return _whole(next((value for value in found if value is not None), 0))


def _whole(value: object) -> int:
    """A count; raises TypeError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _beside(tokens_in: int, tokens_out: int, counts: Mapping[str, int], total: object) -> tuple[str, ...]:
    """Those counts that are not among input and output, but beside them."""
    apart = ("reasoning_tokens", "cached_input_tokens", "cache_write_tokens")
    candidates = [name for name in apart if counts[name]]
    if isinstance(total, int) and (rest := total - tokens_in - tokens_out) > 0:
        for size in range(1, len(candidates) + 1):
            for some in combinations(candidates, size):
                if sum(counts[name] for name in some) == rest:
                    return some
    larger = ["reasoning_tokens"] if counts["reasoning_tokens"] > tokens_out else []
    if counts["cached_input_tokens"] + counts["cache_write_tokens"] > tokens_in:
        larger += ["cached_input_tokens", "cache_write_tokens"]
    return tuple(larger)


def _tier(name: object) -> ServedAs | None:
    """A provider's name for its tier of service; one that we do not know is told as the standard one."""
    if not isinstance(name, str):
        return None
    return cast("ServedAs", name.lower()) if name.lower() in SERVICE_TIERS else "standard"


def _first(body: object, key: str) -> dict[str, object] | None:
    items = body.get(key) if isinstance(body, dict) else None
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else None


def _confidence(choice: dict[str, object]) -> float:
    """From the tokens' log-probabilities; NaN where the server gives none, or nonsense."""
    details = choice.get("logprobs")
    tokens = details.get("content") if isinstance(details, dict) else None
    if not isinstance(tokens, list):
        return math.nan
    logs = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    numbers = [p for p in logs if isinstance(p, int | float) and not isinstance(p, bool)]
    usable = [p for p in numbers if -MIN_LOG <= p <= 0.0]
    return mean_probability(usable) if len(usable) == len(tokens) else math.nan
