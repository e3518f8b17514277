"""What goes into a response cache and what comes out of it: answers, and numbers that add up."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sized
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from costlab._internal import checks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costlab.cache.single_flight import CallOutcome

#: Where an answer came from.
Source = Literal["exact", "semantic", "model"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer with what it cost: what a call returns that knows its price.

    Attributes
    ----------
    value, cost_usd : Any, float
        The answer, made of texts, bytes, numbers, lists and dicts, if it is to be kept; what the call was billed, in
        USD, >= 0.
    complete : bool
        Whether the model said all that it had to say. An answer that was cut off is given to who asked, and to no one
        else: see :func:`is_complete`.
    """

    value: Any
    cost_usd: float
    complete: bool = True

    def __post_init__(self) -> None:
        checks.non_negative("cost_usd", self.cost_usd)


@dataclass(frozen=True, slots=True, init=False)
class CachedAnswer:
    """An answer, and how the cache came by it.

    Attributes
    ----------
    value : Any
        The answer.
    source : {'exact', 'semantic', 'model'}
        The same request's earlier answer, that of a request which means the same, or a call made for this request.
    key, entry_key : str
        The keys of the request and of the one that was answered first: equal, unless the source is ``semantic``.
    similarity : float or None
        Of both requests: 1 for an exact hit; None where the model was called.
    cost_usd, saved_usd : float or None
        What this request is billed, in USD: 0 for a hit, and what the call said for a call. What the model's call cost
        that was not made again: 0 for a call. None where no one stated it.
    shared, latency_s : bool, float
        Whether it waited for the same request under way, instead of finding the answer in the store; and seconds from
        the request to this answer.
    """

    value: Any
    source: Source
    key: str
    entry_key: str
    similarity: float | None
    cost_usd: float | None
    saved_usd: float | None
    shared: bool
    latency_s: float

    # The generated constructor of a frozen dataclass looks every field up by name. With it a hit in memory takes 1.60
    # to 1.63 times the floor of benchmarks/cache.py, whose target is 1.6.
    def __init__(
        self,
        value: Any,
        source: Source,
        key: str,
        entry_key: str,
        similarity: float | None,
        cost_usd: float | None,
        saved_usd: float | None,
        shared: bool,
        latency_s: float,
    ) -> None:
        set_value, set_source, set_key, set_entry, set_similarity, set_cost, set_saved, set_shared, set_s = _SETTERS
        set_value(self, value)
        set_source(self, source)
        set_key(self, key)
        set_entry(self, entry_key)
        set_similarity(self, similarity)
        set_cost(self, cost_usd)
        set_saved(self, saved_usd)
        set_shared(self, shared)
        set_s(self, latency_s)


_SETTERS: Final = tuple(getattr(CachedAnswer, name).__set__ for name in CachedAnswer.__slots__)


def not_empty(value: Any) -> bool:
    """Whether an answer says anything: None, blanks and empty containers do not; 0 and False do.

    Examples
    --------
    >>> [not_empty(value) for value in ("yes", " ", None, [], 0, False)]
    [True, False, False, False, True, True]
    """
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and not (isinstance(value, Sized) and len(value) == 0)


#: Why models stop when they have said everything, in the words of the chat APIs. What is not here counts as cut off:
#: ``length``, ``max_tokens``, ``content_filter``, ``SAFETY``, ``refusal``, ``pause_turn``, and what no one knows yet.
ENDS: Final = frozenset({"stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete"})
#: Why they stop to have a tool called: a whole answer where the call is one.
CALLS: Final = frozenset({"tool_calls", "tool_call", "function_call", "tool_use"})
#: Where a body as a whole says it: Anthropic's, Bedrock's Converse, Ollama's, Cohere's.
STOP_REASONS: Final = ("stop_reason", "stopReason", "done_reason", "finish_reason")


def ends_complete(reason: object, *, calls: bool = False) -> bool:
    """Whether a model that stopped for this `reason` said everything; no reason says nothing against it.

    With `calls` an answer may also end in the call of a tool.

    Examples
    --------
    >>> [ends_complete(reason) for reason in ("stop", None, "length", "content_filter", "tool_calls")]
    [True, True, False, False, False]
    """
    if reason is None or reason == "":
        return True
    if not isinstance(reason, str):
        return False
    return reason.lower() in ENDS or (calls and reason.lower() in CALLS)


def is_complete(value: object) -> bool:
    """Whether an answer is whole, as far as it says so: a chat API's body that was cut off is not.

    Read are the reasons in bodies of chat completions (``finish_reason`` of each choice), of Anthropic's messages
    (``stop_reason``), of OpenAI's responses (``status``), of Gemini (``finishReason`` of each candidate), of Ollama
    (``done_reason``), of Bedrock's Converse (``stopReason``) and of Cohere (``finish_reason``), and whether the
    arguments of tool calls are whole JSON. Anything else is whole: who knows better says so by ``Answer.complete``.

    Examples
    --------
    >>> is_complete({"choices": [{"finish_reason": "length", "message": {"content": "Open Settings and then"}}]})
    False
    >>> is_complete({"stop_reason": "end_turn", "content": []}), is_complete("Open Settings.")
    (True, True)
    """
    if not isinstance(value, Mapping):
        return True
    if value.get("object") == "response" and value.get("status") != "completed":
        return False
    choices = [part for name in ("choices", "candidates") for part in _mappings(value.get(name))]
    reasons = [*(value.get(name) for name in STOP_REASONS), *(choice.get("finish_reason") for choice in choices)]
    reasons += [choice.get("finishReason") for choice in choices]
    messages = [message for choice in choices for message in _mappings([choice.get("message")])]
    tools = [tool for message in messages for tool in _mappings(message.get("tool_calls"))]
    functions = [call for tool in tools for call in _mappings([tool.get("function")])]
    functions += [call for message in messages for call in _mappings([message.get("function_call")])]
    functions += [item for item in _mappings(value.get("output")) if item.get("type") == "function_call"]
    return all(ends_complete(reason, calls=True) for reason in reasons) and all(
        _is_json(call.get("arguments")) for call in functions
    )


def _mappings(values: object) -> list[Mapping[str, object]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list | tuple) else []


def _is_json(arguments: object) -> bool:
    if not isinstance(arguments, str) or not arguments:
        return True
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


#: Latencies kept for each source of answers: enough for a 99th percentile, in 32 kB.
MAX_LATENCIES: Final = 4096


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Percentiles of the latest latencies in seconds, at most 4,096, each one that was really measured (nearest rank).

    NaN where there are none.
    """

    count: int
    p50_s: float
    p90_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """What a response cache did since it was made.

    ``requests = exact_hits + semantic_hits + model_answers + errors + cancelled + under way``.

    Attributes
    ----------
    requests, exact_hits, semantic_hits : int
        Requests that came in; those answered without a call of their own, by the answer to the same request, or to one
        that means the same.
    shared : int
        How many of these hits waited for a request that was under way already, and took its answer.
    model_answers, errors, cancelled : int
        Answered by a call: the misses; ended by an exception of the call, also one shared with others; given up by who
        asked.
    calls, bypassed : int
        Calls that were begun, whatever became of them; requests that went past the cache because they ask for a random
        answer.
    store_failures, store_skips : int
        Times that the store raised: down, slow, full; that it was not asked because it had failed shortly before.
    corrupted_entries : int
        Entries that were torn, foreign, of another version or key: each a miss.
    empty_answers, incomplete_answers, too_large_answers, unfit_answers : int
        Answers of the model that were not kept: empty, cut off, above the store's size limit, not made of what JSON
        knows.
    semantic_failures, hook_failures : int
        Times that the semantic layer raised, or named an answer that was not for this request's scope; that `on_answer`
        or `keep` raised.
    judged_hits, false_hits : int
        Hits for which feedback was given, and those called wrong.
    saved_usd, unpriced_hits : float, int
        Original cost of what the hits did not ask again, and hits whose cost no one stated, for which nothing was
        added. Gross: false hits are in it, and what the cache itself costs is not.
    spent_usd, unpriced_answers : float, int
        Cost of the calls that brought an answer, also where who asked had given up by then, and calls whose answer came
        without a stated cost.
    exact_latency, semantic_latency, model_latency : LatencySummary
        From the request to its answer, by source.
    """

    requests: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    shared: int = 0
    model_answers: int = 0
    errors: int = 0
    cancelled: int = 0
    calls: int = 0
    bypassed: int = 0
    store_failures: int = 0
    store_skips: int = 0
    corrupted_entries: int = 0
    empty_answers: int = 0
    incomplete_answers: int = 0
    too_large_answers: int = 0
    unfit_answers: int = 0
    semantic_failures: int = 0
    hook_failures: int = 0
    judged_hits: int = 0
    false_hits: int = 0
    saved_usd: float = 0.0
    unpriced_hits: int = 0
    spent_usd: float = 0.0
    unpriced_answers: int = 0
    exact_latency: LatencySummary
    semantic_latency: LatencySummary
    model_latency: LatencySummary

    @property
    def hits(self) -> int:
        """Exact and semantic hits together."""
        return self.exact_hits + self.semantic_hits

    @property
    def hit_rate_fraction(self) -> float:
        """Hits over answers given; NaN before the first."""
        answers = self.hits + self.model_answers
        return self.hits / answers if answers else math.nan

    @property
    def false_hit_fraction(self) -> float:
        """False hits over judged hits; NaN before the first was judged."""
        return self.false_hits / self.judged_hits if self.judged_hits else math.nan


class CacheCounter:
    """Counts what happens, in memory that does not grow."""

    def __init__(self) -> None:
        self.counts = {field.name: 0 for field in fields(CacheStatistics) if field.type == "int"}
        self.saved_usd = 0.0
        self.spent_usd = 0.0
        sources: tuple[Source, ...] = get_args(Source)
        self.latencies = {source: deque[float](maxlen=MAX_LATENCIES) for source in sources}

    def hit(
        self, key: str, entry_key: str, value: object, usd: float | None, similarity: float | None, latency_s: float
    ) -> CachedAnswer:
        """The answer of an earlier call, booked; without a `similarity` it is the same request's."""
        source: Source
        if similarity is None:
            source, similarity = "exact", 1.0
            self.counts["exact_hits"] += 1
        else:
            source = "semantic"
            self.counts["semantic_hits"] += 1
        self.latencies[source].append(latency_s)
        if usd is None:
            self.counts["unpriced_hits"] += 1
        else:
            self.saved_usd += usd
        return CachedAnswer(value, source, key, entry_key, similarity, 0.0, usd, False, latency_s)

    def called(self, usd: float | None) -> None:
        """A call brought an answer: it is billed, whether or not someone still waits for it."""
        if usd is None:
            self.counts["unpriced_answers"] += 1
        else:
            self.spent_usd += usd

    def outcome(self, key: str, outcome: CallOutcome, shared: bool, latency_s: float) -> CachedAnswer:
        """The outcome of a call, booked: `shared` by someone who waited for it, or of its leader's own request."""
        value, usd = own_copy(outcome.value), outcome.usd
        if shared or not outcome.called:
            self.counts["shared"] += shared
            return replace(self.hit(key, outcome.entry_key, value, usd, outcome.similarity, latency_s), shared=shared)
        self.latencies["model"].append(latency_s)
        self.counts["model_answers"] += 1
        return CachedAnswer(value, "model", key, key, None, usd, 0.0, False, latency_s)

    def snapshot(self) -> CacheStatistics:
        """The numbers as they are now."""
        return CacheStatistics(
            **self.counts,
            saved_usd=self.saved_usd,
            spent_usd=self.spent_usd,
            exact_latency=summarise(self.latencies["exact"]),
            semantic_latency=summarise(self.latencies["semantic"]),
            model_latency=summarise(self.latencies["model"]),
        )


def own_copy(value: object) -> object:
    """`value` for one of several who are given it: what one of them changes in it, no other sees."""
    if not isinstance(value, list | dict):
        return value
    try:
        return deepcopy(value)
    except Exception:  # it holds what cannot be copied, and is not kept either
        return value


def summarise(latencies_s: Iterable[float]) -> LatencySummary:
    """Percentiles of latencies, by nearest rank.

    Examples
    --------
    >>> summarise([0.3, 0.1, 0.2])
    LatencySummary(count=3, p50_s=0.2, p90_s=0.3, p99_s=0.3)
    """
    values = sorted(latencies_s)
    if not values:
        return LatencySummary(0, math.nan, math.nan, math.nan)
    p50, p90, p99 = (values[math.ceil(share * len(values)) - 1] for share in (0.5, 0.9, 0.99))
    return LatencySummary(len(values), p50, p90, p99)
