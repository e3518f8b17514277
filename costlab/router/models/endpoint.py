"""A model behind any server that speaks OpenAI's chat protocol."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Any

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.catalog import ApiPrice, api_price
from costlab.errors import CostlabError, InvalidValueError
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

#: Answers after which the same request may be sent again: too many requests, a conflict, the server's own trouble.
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
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
        Most tokens of an answer, >= 1. A longer one is cut off there. None for a model that wants the limit by another
        name, given in `parameters`: OpenAI's reasoning models want ``max_completion_tokens``.
    logprobs : bool
        Whether to ask for log-probabilities of the tokens, from which the confidence is made. Without them, or from a
        server that has none, it is NaN. Some servers refuse the request for them.
    timeout_s : float
        Seconds for the whole call, its retries included, > 0.
    retries : int
        How often a request is sent again, >= 0, after an answer that says that it was not carried out (429, 5xx ...) or
        when there was no connection at all. Not after a time-out or a cut connection: those may have been billed.
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
                failed = ModelError(self._words(f"the server answered {error.status_code}: {quoted(error.message)}"))
                again = error.status_code in RETRIED
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
    if parse is None:
        return Prediction(content, _confidence(choice), usage)
    try:
        answer = parse(content)
    except Exception as error:  # whatever it raises, the call is billed
        raise ModelError(f"not an answer: {quoted(content)} ({error})", usage) from error
    return Prediction(answer, _confidence(choice), usage)


def read_usage(body: object) -> TokenUsage | None:
    """What a chat completion says was billed; None where it does not, or not in whole numbers.

    The protocol's ``prompt_tokens`` are all input tokens and ``cached_tokens`` the part of them that was read from the
    prompt cache; ``completion_tokens`` are all output tokens, those of hidden reasoning included. DeepSeek names the
    cached ones ``prompt_cache_hit_tokens``. A server that counts the cached tokens beside the others, as Anthropic's
    own protocol does, is recognised where there are more of them than of all; otherwise nothing tells it apart.
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")
    counts = (usage.get("prompt_tokens"), cached or 0, usage.get("completion_tokens", 0))
    whole = [n for n in counts if isinstance(n, int) and not isinstance(n, bool)]
    if len(whole) < len(counts):
        return None
    total, read, output = whole
    try:
        return TokenUsage(total + read if read > total else total, read, output)
    except InvalidValueError:
        return None


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
