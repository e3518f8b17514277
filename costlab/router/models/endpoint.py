"""A model behind any server that speaks OpenAI's chat protocol."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from itertools import combinations
from types import TracebackType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote, urlsplit

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.masking import MASKED, Mask, is_visible_ascii, shown_address
from costlab.cache.answers import ends_complete
from costlab.catalog import ApiPrice, api_price
from costlab.errors import CostlabError, InvalidValueError
from costlab.events import SERVICE_TIERS
from costlab.events.usage_object import USAGE_PATHS
from costlab.router.models.protocol import (
    MAX_QUOTED,
    ModelError,
    ModelTimeoutError,
    Prediction,
    TokenUsage,
    mean_probability,
    quoted,
)

if TYPE_CHECKING:
    import httpx2

    from costlab.events import ServedAs

#: Answers that say that nothing was done, so that the request may be sent again: a conflict, too many requests.
NOT_DONE: Final = frozenset({409, 429})
#: Answers that say so where they name a time to come back, see :func:`_turned_away`.
NOT_DONE_YET: Final = frozenset({503, 529})
#: Of the client's errors the one behind which work may have been done: gateways send it where a server took too long.
REQUEST_TIMEOUT: Final = 408
#: The first of the server's errors. Work may have been done, and billed, before one of them.
SERVER_ERRORS: Final = 500
#: Answers by which the request is to be sent again, as it is, to another place; and so often it may be.
SENT_ON: Final = frozenset({307, 308})
MOST_HOPS: Final = 3
#: Of an error's body so much is read.
MOST_ERROR_BYTES: Final = 65_536
#: The most characters of an error message.
MOST_WORDS: Final = 1000
#: What the client's environment says of an account at OpenAI, and the header in which only OpenAI gets it.
ACCOUNT: Final = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
OPENAI_HOST: Final = "api.openai.com"
DEFAULT_VARIABLE: Final = "OPENAI_API_KEY"
#: Names of environment variables as POSIX has them: a key that was put in the place of its variable is hardly ever one.
VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
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
        ``https://api.openai.com/v1``. It may have a query, which goes with every request, and, where no key is sent,
        ``user:password@``, percent-encoded; neither is ever shown.
    key_variable : str, optional
        Name of the environment variable that holds the key, in capitals; None for a server that asks for none.
    system : str
        Instructions, sent before every query.
    parse : callable, optional
        Makes the answer from the model's words; raises for words that are no answer. The call is still billed,
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
    max_answer_bytes : int
        A longer answer is an error, >= 1. The default has room for 20,000 tokens with their log-probabilities, and for
        twenty times as many without.
    sleep : callable
        Waits before a retry.

    Attributes
    ----------
    model, base_url : str
        As they were given, but for what is never shown of the address.

    Raises
    ------
    CostlabError
        If the environment variable is not set, or holds what no key is: spaces, line ends or letters beyond ASCII.
    InvalidValueError
        If `key_variable` is no name of a variable, the address is none, or a parameter cannot be written as JSON.
        Neither the key nor `key_variable` is repeated: someone may have put the one in the place of the other.

    Notes
    -----
    The client belongs to the event loop in which it is first used; :meth:`aclose` ends its connections.

    An answer that sends the request on (307, 308) is followed within the same scheme, host and port, and nowhere else,
    since the key would go along. ``OPENAI_ORG_ID`` and ``OPENAI_PROJECT_ID`` go to OpenAI alone, and other variables of
    OpenAI's client have no effect. Proxies are those of ``HTTPS_PROXY`` and ``HTTP_PROXY``. What an error says has the
    key masked, also where the server repeats it escaped for JSON, HTML or URLs; an answer is handed on as it came.

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
        max_answer_bytes: int = 2 * 2**20,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._retries = checks.integer("retries", retries)
        self._max_answer_bytes = checks.integer("max_answer_bytes", max_answer_bytes, at_least=1)
        self.model, self.base_url = model, _checked_address(base_url, with_key=key_variable is not None)
        # No variable here holds the key: tools that report errors print local variables.
        self._mask = Mask.of_address(base_url, _key(key_variable))
        self._parse, self._usage_required, self._sleep = parse, usage_required, sleep
        self._before = [{"role": "system", "content": system}] if system else []
        self._request: dict[str, object] = {
            "model": model,
            **({} if max_tokens is None else {"max_tokens": checks.integer("max_tokens", max_tokens, at_least=1)}),
            **({"logprobs": True} if logprobs else {}),
            **(parameters or {}),
        }
        try:
            json.dumps(self._request)
        except (TypeError, ValueError, RecursionError):
            raise InvalidValueError("parameters", "what JSON can say", type(parameters).__name__) from None
        with extra("router"):
            import httpx2
        parts = urlsplit(base_url)
        signed = httpx2.BasicAuth(unquote(parts.username or ""), unquote(parts.password or ""))
        try:
            self._url = httpx2.URL(self.base_url.rstrip("/") + "/chat/completions", query=parts.query.encode() or None)
        except httpx2.InvalidURL as error:
            raise InvalidValueError("base_url", f"an address ({error})", self.base_url) from None
        self._client = httpx2.AsyncClient(
            headers=_headers(_key(key_variable), self._url),
            auth=signed if "@" in parts.netloc else None,
            timeout=self._timeout_s,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        )

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
        import httpx2

        text = None
        try:
            async with asyncio.timeout(self._timeout_s):
                text = await self._send([*self._before, {"role": "user", "content": query}])
        except (TimeoutError, httpx2.TimeoutException):
            pass
        if text is None:
            raise ModelTimeoutError(self._words(f"no answer within {self._timeout_s:g} s"))
        try:
            return read_completion(text, self._parse, usage_required=self._usage_required, mask=self._mask)
        except ModelError as error:
            failed = ModelError(self._words(str(error)), error.usage, bill_unknown=error.bill_unknown)
            cause = None if self._mask.hides(error.__cause__) else error.__cause__
        text = None  # tools that report errors print local variables, and an answer may repeat the key
        # Raised here, where no other error is being handled: what is in the chain of an error is printed with it.
        raise failed from cause

    async def _send(self, messages: list[dict[str, str]]) -> str:
        """The body of a good answer."""
        import anyio
        import httpx2

        content = json.dumps({**self._request, "messages": messages}).encode()
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        url, sent, hops = self._url, 0, 0
        while True:
            sent += 1
            wait_s = FIRST_WAIT_S * 2 ** (sent - 1)
            try:
                status, headers, text = await self._post(url, content)
                if status < 300:
                    return text
                if status < 400:
                    goal = _goal(url, headers.get("location", ""))
                    if status in SENT_ON and goal is not None and hops < MOST_HOPS:
                        url, hops, sent = goal, hops + 1, sent - 1
                        continue
                    text = f"sent on to {shown_address(headers.get('location', ''))}, where it is not followed: "
                    text += "the key would go along"
                again = _turned_away(status, headers)
                unknown = not again and (status >= SERVER_ERRORS or status == REQUEST_TIMEOUT)
                words = self._words(f"the server answered {status}: {quoted(_reason(text), self._mask)}")
                failed = ModelError(words, bill_unknown=unknown)
                wait_s = _asked_wait_s(headers, wait_s)
            except (httpx2.TimeoutException, TimeoutError):
                raise
            # The client leaves some failures of TLS as they are (httpx2, issue 854).
            except (httpx2.TransportError, OSError, anyio.EndOfStream) as error:
                # Only where nothing was sent is it sure that nothing was billed.
                again = isinstance(error, httpx2.ConnectError)
                what = "no connection" if again else "the connection was cut, so what was billed is unknown"
                words = self._words(f"{what} ({type(error).__name__}: {error})")
                failed = ModelError(words, bill_unknown=not again)
            headers, text = {}, ""  # as in predict: they are the server's, unmasked
            if not again or sent > self._retries:
                raise failed
            if asyncio.get_running_loop().time() + wait_s >= deadline:
                raise ModelError(f"{failed}; a retry in {wait_s:g} s would come too late")
            await self._sleep(wait_s)

    async def _post(self, url: httpx2.URL, content: bytes) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and body of the answer to one try.

        The body is read as it comes and never beyond its limit. It has to come as it is: a packed one of a few bytes
        can be of any length, and no one asked for it.
        """
        # The query goes along as the request's target, since the client writes the address into its log.
        target = {"target": url.raw_path}
        async with self._client.stream("POST", url.copy_with(query=None), content=content, extensions=target) as answer:
            good = answer.status_code < 300
            packed = answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
            if packed:
                if good:
                    raise ModelError(
                        self._words("the answer is compressed, which was not asked for"), bill_unknown=True
                    )
                return answer.status_code, answer.headers, "(a compressed text)"
            most = self._max_answer_bytes if good else MOST_ERROR_BYTES
            text = await _read(answer, most, cut=not good)
            if text is None:
                raise ModelError(self._words(f"the answer has more than {most:,} bytes"), bill_unknown=True)
            return answer.status_code, answer.headers, text

    def _words(self, message: str) -> str:
        """An error message: who said it, and without the key, which servers like to repeat."""
        return f"{self.model} at {self.base_url}: {self._mask.within(message, MOST_WORDS)}"

    async def aclose(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> EndpointModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _checked_address(base_url: str, with_key: bool) -> str:
    """What may be shown of an address that can be used."""
    shown = shown_address(base_url)
    if not base_url.startswith(("http://", "https://")):
        raise InvalidValueError("base_url", "an address that begins with http:// or https://", shown)
    if shown == MASKED:
        wanted = "an address in ASCII, with a host, without spaces; an @ in user, password or query is written %40"
        raise InvalidValueError("base_url", wanted, shown)
    if with_key and "@" in urlsplit(base_url).netloc:
        raise InvalidValueError("base_url", "without user and password where a key is sent in their place", shown)
    return shown


def _key(variable: str | None) -> str:
    """The key. No error repeats it, or the variable's name, which may be a key that was put into its place."""
    if variable is None:
        return ""
    if not VARIABLE.fullmatch(variable):
        wanted = "the name of an environment variable (capitals, digits and _), which holds the key"
        raise InvalidValueError("key_variable", wanted, f"{len(variable)} other characters")
    # The default's name is no secret.
    named = f"the environment variable {variable if variable == DEFAULT_VARIABLE else 'that key_variable names'}"
    if not os.environ.get(variable):
        raise CostlabError(f"{named}, which holds the server's key, is not set")
    if not is_visible_ascii(os.environ[variable]):
        raise CostlabError(
            f"{named} must hold a key, of visible ASCII characters alone; "
            "it has a space, a line end, a control character or a letter beyond ASCII"
        )
    return os.environ[variable]


async def _read(answer: httpx2.Response, most: int, *, cut: bool) -> str | None:
    """The body of an answer; of one with more than so many bytes the beginning, or None where it is not to be cut."""
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > most:
            break
    return body[:most].decode("utf-8", "replace") if cut or len(body) <= most else None


def _headers(key: str, url: httpx2.URL) -> dict[str, str]:
    """Of every request. OpenAI alone is told whose account it is."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if not key:
        return headers
    headers["Authorization"] = f"Bearer {key}"
    if url.scheme == "https" and (url.host == OPENAI_HOST or url.host.endswith(f".{OPENAI_HOST}")):
        told = {name: os.environ.get(variable, "") for variable, name in ACCOUNT.items()}
        headers |= {name: value for name, value in told.items() if is_visible_ascii(value)}
    return headers


def _goal(url: httpx2.URL, location: str) -> httpx2.URL | None:
    """Where an answer sends the request on to; None where another server would get the key."""
    import httpx2

    try:
        goal = url.join(location)
    except httpx2.InvalidURL:
        return None
    here, there = ((one.scheme, one.host, one.port) for one in (url, goal))
    return goal.copy_with(userinfo=b"") if location and here == there else None


def _reason(text: str) -> str:
    """What an error's body says: its message where it is an error in OpenAI's form, else all of it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()
    message = _inner(body, "error", "message")
    return message if isinstance(message, str) and message else text.strip()


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
    text: str, parse: Callable[[str], object] | None = None, *, usage_required: bool = True, mask: Mask | None = None
) -> Prediction:
    """The prediction in the body of a chat completion; `parse` and `usage_required` as for :class:`EndpointModel`.

    What errors quote of it goes through `mask`.

    Raises
    ------
    ModelError
        If the body is not a chat completion, holds no answer, or the answer is none to `parse`. Where the body says
        what was billed, the error does too; otherwise the error says that this is not known.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"the answer is not JSON: {quoted(text, mask)}", bill_unknown=True) from None
    usage = read_usage(body)
    choice = _first(body, "choices")
    if choice is None:
        raise ModelError(f"the answer is no chat completion: {quoted(text, mask)}", usage, bill_unknown=True)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str) or not content:
        reason = choice.get("finish_reason")
        refusal = message.get("refusal") if isinstance(message, dict) else None
        words = f": {quoted(refusal, mask)}" if isinstance(refusal, str) else ""
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
        reason = (mask or Mask()).within(str(error), MAX_QUOTED)
        raise ModelError(f"not an answer: {quoted(content, mask)} ({reason})", usage) from error
    return Prediction(answer, _confidence(choice), usage, complete)


def read_usage(body: object) -> TokenUsage | None:
    """What a chat completion says was billed; None where it does not, or not in whole numbers.

    In the protocol ``prompt_tokens`` are all input tokens and ``completion_tokens`` all output tokens; the details name
    parts of them: read from the prompt cache, written to it, audio, images, reasoning. Servers that count a part beside
    them instead are recognised by ``total_tokens``, which only adds up with it (xAI and Gemini leave reasoning out of
    ``completion_tokens``, Anthropic's own protocol the cache out of the input), or where the part is more than its
    whole. What a total has beyond everything that is named is output that no one sees. Where nothing tells them apart,
    the protocol's meaning holds.

    DeepSeek names the cached tokens ``prompt_cache_hit_tokens``, Anthropic ``cache_read_input_tokens`` and
    ``cache_creation_input_tokens``. The tier that was used is in ``service_tier``, Perplexity's fee for the request
    in ``cost.request_cost``.
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    try:
        counts = {name: _count(usage, *places) for name, places in USAGE_PATHS.items()}
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


def _inner(values: object, *path: str) -> object:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _count(usage: dict[str, object], *places: str) -> int:
    """What the first of several places says that has a count."""
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
