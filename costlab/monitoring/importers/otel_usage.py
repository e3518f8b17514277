"""What a span or a log record says that a request used: names by instrumentation and age, and what they mean.

Whether "input tokens" hold those that were read from the provider's prompt cache, or written to it, differs by
producer. The present conventions say that they do. Those that say otherwise are told by their library
(:data:`BESIDE`), by the names they use, or by the numbers: a part cannot be more than its whole, and a total is the sum
of what it counts.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from costlab.catalog import is_own_server, provider_id
from costlab.catalog.service_tiers import USUAL_TIERS
from costlab.errors import InvalidValueError

#: A value of an attribute.
Attribute = str | int | float | bool | None

#: What a span is: of no interest, a tool's run, one that sums up others, or one that asks a model.
OTHER, TOOL, SUM, CALL = range(4)

#: Names of attributes, the one that counts first. In order: the present conventions; older ones; OpenInference; the AI
#: SDK of Vercel; coding agents (Claude Code, Codex, Gemini CLI).
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": ("gen_ai.operation.name",),
    "kind": ("openinference.span.kind", "langfuse.observation.type", "mlflow.spanType"),
    "ai_operation": ("ai.operationId",),
    "request_type": ("llm.request.type",),
    "workflow_kind": ("traceloop.span.kind", "span.type"),
    "model": (
        "gen_ai.response.model", "llm.response.model_name", "ai.response.model", "gen_ai.request.model",
        "llm.model_name", "embedding.model_name", "langfuse.observation.model.name", "ai.model.id", "mlflow.llm.model",
        "model", "model_name",
    ),
    "provider": (
        "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider",
        "langfuse.observation.metadata.ls_provider", "traceloop.association.properties.ls_provider",
        "mlflow.llm.provider",
    ),
    "address": ("server.address",),
    "response_id": ("gen_ai.response.id", "ai.response.id", "request_id", "aws.request_id"),
    "input": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.inputTokens",
        "ai.usage.promptTokens", "ai.usage.tokens", "input_tokens", "input_token_count",
        "codex.turn.token_usage.input_tokens", "llm.usage.prompt_tokens", "gen_ai.aggregated_usage.input_tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "ai.usage.outputTokens", "ai.usage.completionTokens", "output_tokens", "output_token_count",
        "codex.turn.token_usage.output_tokens", "llm.usage.completion_tokens", "gen_ai.aggregated_usage.output_tokens",
    ),
    "total": (
        "gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens",
        "total_token_count", "codex.turn.token_usage.total_tokens",
    ),
    "cached": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached", "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens", "cache_read_tokens",
        "cached_token_count", "cached_content_token_count", "codex.turn.token_usage.cached_input_tokens",
        "gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.aggregated_usage.cache_read.input_tokens",
    ),
    "written": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write", "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens", "cache_creation_tokens", "cache_write_token_count",
        "codex.turn.token_usage.cache_write_input_tokens", "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens", "gen_ai.aggregated_usage.cache_creation.input_tokens",
    ),
    "written_1h": (
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "gen_ai.usage.details.ephemeral_1h_input_tokens",
        "gen_ai.aggregated_usage.details.ephemeral_1h_input_tokens",
    ),
    "written_5m": (
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens", "gen_ai.usage.details.ephemeral_5m_input_tokens",
    ),
    "plain": ("ai.usage.inputTokenDetails.noCacheTokens",),
    "tool_input": ("tool_token_count",),
    "audio": (
        "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio",
        "gen_ai.usage.details.input_audio_tokens",
    ),
    "cached_audio": ("gen_ai.usage.audio.cache_read.input_tokens", "gen_ai.usage.details.cache_audio_read_tokens"),
    "image": ("gen_ai.usage.image.input_tokens",),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning", "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens", "reasoning_token_count",
        "thoughts_token_count", "codex.turn.token_usage.reasoning_output_tokens",
        "gen_ai.usage.experimental.reasoning_tokens", "gen_ai.usage.details.reasoning_tokens",
    ),
    "audio_output": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
    "image_output": ("gen_ai.usage.image.output_tokens",),
    "searches": ("gen_ai.usage.details.web_search_requests", "gen_ai.usage.web_search_requests"),
    "service_tier": (
        "openai.response.service_tier", "gen_ai.openai.response.service_tier", "anthropic.response.service_tier",
        "service_tier", "openai.request.service_tier", "gen_ai.openai.request.service_tier",
    ),
    "cost": (
        "costlab.cost_usd", "gen_ai.cost.total_cost", "operation.cost", "gen_ai.usage.cost", "llm.cost.total",
        "cost_usd",
    ),
    "error": ("error.type",),
    "cache_hit": ("litellm.cache_hit",),
    "tier": ("costlab.tier",),
    "tenant": ("costlab.tenant", "service.name"),
    # Texts with numbers in them.
    "usage_text": (
        "metadata.usage_object", "langfuse.observation.usage_details", "gen_ai.usage.raw", "mlflow.chat.tokenUsage",
    ),
    "cost_text": ("langfuse.observation.cost_details", "mlflow.llm.cost"),
    "provider_text": ("ai.response.providerMetadata",),
    "parameters_text": ("langfuse.observation.model.parameters", "llm.invocation_parameters"),
    "answer_text": ("output.value",),
    # What tells a producer where its library is not named, and what belongs together.
    "logfire_type": ("logfire.span_type",),
    "logfire_request": ("request_data",),
    "langchain": ("traceloop.association.properties.ls_integration",),
    "duration_s": ("duration",),
    "duration_ms": ("duration_ms",),
    "instance": ("service.instance.id",),
    "session": ("session.id", "conversation.id", "gen_ai.conversation.id"),
    "sequence": ("event.sequence",),
    "event": ("event.name",),
    "event_kind": ("event.kind",),
    "event_time": ("event.timestamp",),
    "success": ("success",),
}  # fmt: skip

#: What a name tells, and its place among the names that tell it.
KNOWN: Final = {name: (what, place) for what, names in _NAMES.items() for place, name in enumerate(names)}

#: Libraries whose input tokens leave out what was read from the cache and what was written to it, as the APIs of
#: Anthropic and of Amazon Bedrock count, by the beginning of their names; and whose models that is true of, if not all.
BESIDE: Final[tuple[tuple[str, str], ...]] = (
    ("opentelemetry.instrumentation.botocore", ""),
    ("opentelemetry.instrumentation.genai.bedrock", ""),
    ("opentelemetry.instrumentation.bedrock", ""),
    ("openlit", "anthropic"),
    ("com.anthropic.claude_code", ""),
)

#: A library that counts thoughts beside the answer, for neither its output tokens nor its cost, and whose models'.
THOUGHTS_BESIDE: Final = ("openlit", "google")

_OPERATIONS: Final = {
    **dict.fromkeys(
        (
            "chat", "text_completion", "generate_content", "embeddings", "completion", "llm_call", "responses",
            "response", "embedding", "rerank", "messages", "image_generation", "speech_to_text", "text_to_speech",
        ),
        CALL,
    ),
    **dict.fromkeys(("execute_tool", "tool_call"), TOOL),
    **dict.fromkeys(
        ("invoke_agent", "create_agent", "invoke_workflow", "agent_step", "agent_call", "execute_task", "plan"), SUM
    ),
}  # fmt: skip
_KINDS: Final = {
    **dict.fromkeys(("LLM", "EMBEDDING", "RERANKER", "GENERATION", "CHAT_MODEL", "LLM_REQUEST"), CALL),
    **dict.fromkeys(("TOOL",), TOOL),
    **dict.fromkeys(("AGENT", "CHAIN", "WORKFLOW", "TASK", "SPAN", "RETRIEVER", "INTERACTION"), SUM),
}
_REQUEST_TYPES: Final = ("chat", "completion", "embedding", "rerank")


def kind_of(found: Mapping[str, Attribute]) -> int:
    """What a span with these attributes is."""
    told = "input" in found or "output" in found or "usage_text" in found
    operation = found.get("operation")
    if operation is not None:
        known = _OPERATIONS.get(str(operation))
        return known if known is not None else (CALL if told else OTHER)
    kind = found.get("kind", found.get("workflow_kind"))
    if kind is not None and (known := _KINDS.get(str(kind).strip('"').upper())) is not None:  # MLflow's are JSON
        return known
    operation = found.get("ai_operation")
    if operation is not None:
        if str(operation) == "ai.toolCall":
            return TOOL
        return CALL if ".do" in str(operation) else SUM
    if found.get("request_type") in _REQUEST_TYPES or told:
        return CALL
    return OTHER


#: What a call used, as far as it is told; None is not told. Input and output are all of it, as in an event: input,
#: output, cached, written, of that for an hour, audio, cached audio, image, reasoning, audio and image of the answer,
#: searches; and whether the cached tokens were found beside the input tokens.
Tokens = tuple[
    int | None, int | None, int | None, int | None, int | None, int, int, int, int, int, int, int, bool
]  # fmt: skip

#: The counts that a text or the attributes may tell, by their names in `found`.
_COUNTS: Final = (
    "input", "output", "total", "cached", "written", "written_1h", "written_5m", "plain", "tool_input", "audio",
    "cached_audio", "image", "reasoning", "audio_output", "image_output", "searches",
)  # fmt: skip


#: No count is as high; numbers from here on are no whole ones to DuckDB.
MAX_COUNT: Final = 2**63


def count_of(what: str, value: Attribute) -> int:
    """A count of tokens; raises `InvalidValueError` where it is none."""
    if type(value) is int and 0 <= value < MAX_COUNT:
        return value
    if type(value) is str and value.isdecimal() and len(value) < 19:
        return int(value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < MAX_COUNT or number != int(number) or isinstance(value, bool):
        raise InvalidValueError(f"{what} tokens" if what != "searches" else what, "a whole number >= 0", value)
    return int(number)


_NOT_PLAIN: Final = frozenset({*_COUNTS, "usage_text", "provider_text", "cost_text", "langchain"}) - {
    "input", "output", "cached", "written", "reasoning",
}  # fmt: skip


def is_plain(told: Iterable[str], producer: str) -> bool:
    """Whether a call tells of its use by the present conventions alone, and by a library that keeps to them."""
    return _NOT_PLAIN.isdisjoint(told) and not producer.startswith(_BESIDE_NAMES)


def tokens_of(found: Mapping[str, Attribute], producer: str, provider: str, *, apart: bool) -> Tokens:
    """What the attributes of a call tell that it used.

    Parameters
    ----------
    found : mapping
        Values by what they tell, as :data:`KNOWN` names it.
    producer : str
        The library that wrote them; may be empty.
    provider : str
        Who served the model, as the catalogue calls it.
    apart : bool
        Whether the user says that the input tokens leave out the cached ones.

    Raises
    ------
    InvalidValueError
        If a count is no whole number.
    """
    counts = {what: count_of(what, found[what]) for what in _COUNTS if what in found}
    beside = apart or any(producer.startswith(name) and whose in ("", provider) for name, whose in BESIDE)
    if "usage_text" in found:
        text, text_beside = _usage_of(_parsed(str(found["usage_text"])))
        if "input" not in counts:
            beside = beside or text_beside
        counts = text | counts
    if "provider_text" in found:
        extra = _of_provider(_parsed(str(found["provider_text"])))
        # Anthropic's and Amazon's models before version 6 of the AI SDK.
        beside = beside or (
            "plain" not in counts and bool(extra.keys() & {"cached", "written"}) and provider in ("anthropic", "aws")
        )
        counts = extra | counts
    tokens_in, tokens_out, total = counts.get("input"), counts.get("output"), counts.get("total", 0)
    known_cached, known_written = counts.get("cached"), counts.get("written")
    cached, written = known_cached or 0, known_written or 0
    hour = counts.get("written_1h")
    if hour is None and "written_5m" in counts:
        hour = max(0, written - counts["written_5m"])
    if hour is not None and hour > written:
        # LangChain tells no written tokens where it tells for how long.
        written = known_written = hour + counts.get("written_5m", 0)
    elif not known_written and "langchain" in found and provider == "anthropic":
        known_written = None
    if tokens_in is not None:
        tokens_in += counts.get("tool_input", 0)
        tokens_out = tokens_out or 0
        together = tokens_in + cached + written
        # A part is no more than its whole, and a total is the sum of what it counts.
        beside = together > tokens_in and (
            beside or cached + written > tokens_in or total == together + tokens_out
        ) and counts.get("plain", tokens_in) == tokens_in  # fmt: skip
        if beside:
            tokens_in = together
    reasoning = counts.get("reasoning", 0)
    if tokens_out is not None:
        rest = total - (tokens_in or 0) - tokens_out
        if reasoning > tokens_out or (reasoning and rest == reasoning) or thinks_beside(producer, provider):
            tokens_out += reasoning
        elif rest > 0 and provider == "google":
            # Gemini's total counts thoughts, which some instrumentations leave out of the answer.
            tokens_out, reasoning = tokens_out + rest, max(reasoning, rest)
    audio, image = counts.get("audio", 0), counts.get("image", 0)
    audio_output, image_output = counts.get("audio_output", 0), counts.get("image_output", 0)
    if audio + image > (tokens_in or 0):
        audio = image = 0
    if audio_output + image_output > (tokens_out or 0):
        audio_output = image_output = 0
    return (
        tokens_in, tokens_out, known_cached, known_written, hour, audio,
        min(counts.get("cached_audio", 0), audio, cached), image, min(reasoning, tokens_out or 0), audio_output,
        image_output, counts.get("searches", 0), beside,
    )  # fmt: skip


def thinks_beside(producer: str, provider: str) -> bool:
    """Whether what a library tells of an answer, and of its cost, leaves the thoughts out."""
    return producer.startswith(THOUGHTS_BESIDE[0]) and provider == THOUGHTS_BESIDE[1]


_BESIDE_NAMES: Final = tuple(name for name, _ in BESIDE)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, object]:
    """A text that holds JSON, or Python's way of writing the same; empty where it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _inside(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    inner = values.get(name)
    return inner if isinstance(inner, dict) else {}


def _numbers(pairs: Iterable[tuple[str, object]]) -> dict[str, int]:
    """The first count of each name."""
    found: dict[str, int] = {}
    for what, value in pairs:
        if what not in found and isinstance(value, int | float) and not isinstance(value, bool):
            found[what] = count_of(what, value)
    return found


def _usage_of(usage: Mapping[str, object]) -> tuple[dict[str, int], bool]:
    """The counts of a provider's object `usage`, and whether cached tokens are counted beside its input tokens."""
    lifetimes = _inside(usage, "cache_creation")
    if "input" in usage or "output" in usage:  # Langfuse's, whose kinds exclude one another
        return _of_langfuse(usage), True
    if "prompt_token_count" in usage or "promptTokenCount" in usage:
        return _of_gemini(usage), False
    prompt = _inside(usage, "prompt_tokens_details") or _inside(usage, "input_tokens_details")
    answer = _inside(usage, "completion_tokens_details") or _inside(usage, "output_tokens_details")
    lifetimes = lifetimes or _inside(prompt, "cache_creation_token_details")
    counts = _numbers(
        [
            ("input", usage.get("prompt_tokens")),
            ("input", usage.get("input_tokens")),
            ("input", usage.get("inputTokens")),
            ("output", usage.get("completion_tokens")),
            ("output", usage.get("output_tokens")),
            ("output", usage.get("outputTokens")),
            ("total", usage.get("total_tokens")),
            ("total", usage.get("totalTokens")),
            ("cached", prompt.get("cached_tokens")),
            ("cached", usage.get("cache_read_input_tokens")),
            ("cached", usage.get("cacheReadInputTokens")),
            ("written", prompt.get("cache_write_tokens")),
            ("written", prompt.get("cache_creation_tokens")),
            ("written", usage.get("cache_creation_input_tokens")),
            ("written", usage.get("cacheWriteInputTokens")),
            ("written_1h", lifetimes.get("ephemeral_1h_input_tokens")),
            ("written_1h", usage.get("cache_creation_input_tokens_above_1hr")),
            ("written_5m", lifetimes.get("ephemeral_5m_input_tokens")),
            ("audio", prompt.get("audio_tokens")),
            ("image", prompt.get("image_tokens")),
            ("reasoning", answer.get("reasoning_tokens")),
            ("audio_output", answer.get("audio_tokens")),
            ("image_output", answer.get("image_tokens")),
            ("searches", _inside(usage, "server_tool_use").get("web_search_requests")),
        ]
    )
    # MLflow has Anthropic's names and another sum: its total shows that they are within the input.
    within = "total" in counts and counts["total"] == counts.get("input", 0) + counts.get("output", 0)
    beside = "prompt_tokens" not in usage and not prompt and bool(counts.keys() & {"cached", "written"}) and not within
    return counts, beside


def _of_langfuse(usage: Mapping[str, object]) -> dict[str, int]:
    counts = _numbers(
        (what, value)
        for name, value in usage.items()
        for what, pattern in _LANGFUSE
        if pattern.fullmatch(name)
    )  # fmt: skip
    # What is a kind of output is beside the output, too.
    counts["output"] = counts.get("output", 0) + counts.get("reasoning", 0) + counts.get("audio_output", 0)
    counts["input"] = counts.get("input", 0) + counts.get("audio", 0)
    return counts


_LANGFUSE: Final = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("input", "input"),
        ("output", "output"),
        ("cached", "(input_)?cache(d|_read)(_input)?(_tokens)?"),
        ("written", "(input_)?cache_(creation|write)(_input)?(_tokens)?"),
        ("written_1h", "(input_)?(cache_creation_)?ephemeral_1h_input_tokens"),
        ("written_5m", "(input_)?(cache_creation_)?ephemeral_5m_input_tokens"),
        ("audio", "input_audio(_tokens)?"),
        ("reasoning", "output_reasoning(_tokens)?"),
        ("audio_output", "output_audio(_tokens)?"),
    )
)


def _of_gemini(usage: Mapping[str, object]) -> dict[str, int]:
    def read(name: str) -> object:
        snake = re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)
        return usage.get(name, usage.get(snake))

    counts = _numbers(
        [
            ("input", read("promptTokenCount")),
            ("tool_input", read("toolUsePromptTokenCount")),
            ("output", read("candidatesTokenCount")),
            ("cached", read("cachedContentTokenCount")),
            ("reasoning", read("thoughtsTokenCount")),
        ]
    )
    counts["output"] = counts.get("output", 0) + counts.get("reasoning", 0)
    return counts


def _of_provider(metadata: Mapping[str, object]) -> dict[str, int]:
    """What the AI SDK hands on from a provider."""
    for name in ("anthropic", "bedrock", "vertex", "openai", "azure", "google"):
        own = _inside(metadata, name)
        if own:
            usage = _inside(own, "usage")
            lifetimes = _inside(usage, "cache_creation")
            return _numbers(
                [
                    ("cached", usage.get("cache_read_input_tokens")),
                    ("cached", own.get("cacheReadInputTokens")),
                    ("cached", usage.get("cacheReadInputTokens")),
                    ("cached", own.get("cachedPromptTokens")),
                    ("written", usage.get("cache_creation_input_tokens")),
                    ("written", own.get("cacheCreationInputTokens")),
                    ("written", usage.get("cacheWriteInputTokens")),
                    ("written_1h", lifetimes.get("ephemeral_1h_input_tokens")),
                    ("written_5m", lifetimes.get("ephemeral_5m_input_tokens")),
                    ("reasoning", own.get("reasoningTokens")),
                    ("searches", _inside(usage, "server_tool_use").get("web_search_requests")),
                ]
            )
    return {}


def cost_of(found: Mapping[str, Attribute]) -> float | None:
    """What a call cost in USD, where it says so; raises `InvalidValueError` where that is no amount."""
    value: object = found.get("cost")
    if value is None and "cost_text" in found:
        costs = _parsed(str(found["cost_text"]))
        value = costs.get("total", costs.get("total_cost"))
    if value is None:
        return None
    try:
        cost = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        cost = -1.0
    if not 0 <= cost < float("inf"):
        raise InvalidValueError("cost", "an amount in USD >= 0", value)
    return cost


def is_replayed(found: Mapping[str, Attribute]) -> bool:
    """Whether an answer came out of the application's own cache, with the tokens of the call that it once took.

    LangChain (1.8.3) then writes ``total_cost: 0`` into the message's usage, and nowhere else. Langfuse (5.2.0) hands
    that on among the kinds of tokens; OpenInference (0.1.80) only within the answer as a whole.
    """
    if "usage_text" in found and _parsed(str(found["usage_text"])).get("total_cost") == 0:
        return True
    answer = str(found.get("answer_text", ""))
    if '"total_cost"' not in answer:  # most answers, which are not parsed
        return False
    generations = _parsed(answer).get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    message = _inside(generations, "message") if isinstance(generations, dict) else {}
    return _inside(_inside(message, "kwargs"), "usage_metadata").get("total_cost") == 0


def service_tier_of(found: Mapping[str, Attribute]) -> str | None:
    """How the provider served a call, as it calls that, in lower case; None where no one says."""
    told: object = found.get("service_tier")
    if told is None:
        told = next(filter(None, (_tier_in(str(found[name])) for name in _TIER_TEXTS if name in found)), None)
    tier = "" if told is None else str(told).casefold()
    if tier in ("", "auto"):
        return None
    return "standard" if tier in USUAL_TIERS else tier


#: Texts that may tell how a call was served, what was answered before what was asked for.
_TIER_TEXTS: Final = ("provider_text", "usage_text", "parameters_text")


def _tier_in(text: str) -> object:
    """The tier of service that a text tells: usage, parameters of a request, or what the AI SDK hands on."""
    if "service_tier" not in text and "serviceTier" not in text:
        return None  # most do not, and some are long
    told = _parsed(text)
    of_provider = [_inside(told, name) for name in ("openai", "azure", "anthropic")]
    places = (told, *of_provider, *(_inside(own, "usage") for own in of_provider))
    return next((one[key] for one in places for key in ("serviceTier", "service_tier") if one.get(key)), None)


@lru_cache(maxsize=4096)
def server_of(provider: str, address: str, model: str) -> str:
    """Who served a call: the catalogue's name for it, or the log's.

    An OpenAI client says ``openai`` whomever it asks; the address tells better where it is known.
    """
    name = provider.strip('"')
    # Microsoft's agent libraries write the whole URL for the host that the conventions ask for.
    api_base = address if "://" in address or not address else f"https://{address}/"
    if is_own_server(name, api_base, model):
        return name if is_own_server(name) else OWN_SERVER
    return provider_id(name, api_base) or name.casefold()


#: What stands for a server of one's own whose kind no one tells.
OWN_SERVER: Final = "localai"


@lru_cache(maxsize=4096)
def family(model: str) -> str:
    """A model's name without the gateway's prefix and the day of its release, to tell whether two names may be one."""
    return re.sub(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-latest)?(-v\d+(:\d+)?)?$", "", model.rpartition("/")[2].casefold())
