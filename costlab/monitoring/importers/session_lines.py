"""Lines of the files in which coding agents keep their sessions, as far as they tell of calls to a model."""

from __future__ import annotations

from typing import Annotated, Final

from costlab._internal.extras import extra

with extra("usage"):
    import msgspec


#: A part that is read when its kind is known.
_NOTHING: Final = msgspec.Raw(b"null")


#: A count of tokens.
Count = Annotated[int, msgspec.Meta(ge=0)]


class CacheCreation(msgspec.Struct, gc=False):
    """For how long tokens were written to the prompt cache, as Anthropic's API says it."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of the output."""

    thinking_tokens: Count | None = None


class ServerTools(msgspec.Struct, gc=False):
    """What the provider did for the answer."""

    web_search_requests: Count | None = None


class ClaudeTokens(msgspec.Struct, gc=False):
    """Counts of Anthropic's Messages API, of which none includes another."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class ClaudeIteration(ClaudeTokens, gc=False):
    """One of the calls behind an answer: of the model itself, of an adviser, or to make the conversation shorter."""

    type: str | None = None
    model: str | None = None


class ClaudeUsage(ClaudeTokens, gc=False):
    """The usage of an answer."""

    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    iterations: list[ClaudeIteration] | None = None


class ClaudeMessage(msgspec.Struct):
    """An answer of the model."""

    id: str | None = None
    model: str | None = None
    usage: ClaudeUsage | None = None


class ClaudeCall(msgspec.Struct):
    """A line of Claude Code, or what it tells that a subagent said meanwhile."""

    type: str | None = None
    timestamp: str | None = None
    requestId: str | None = None  # noqa: N815 - Claude Code's names
    isSidechain: bool | None = None  # noqa: N815
    costUSD: float | None = None  # noqa: N815
    cwd: str | None = None
    message: msgspec.Raw = _NOTHING
    data: msgspec.Raw = _NOTHING


class ClaudeProgress(msgspec.Struct):
    """What a subagent does meanwhile."""

    message: ClaudeCall | None = None


class CodexTokens(msgspec.Struct, frozen=True, gc=False):
    """Tokens as Codex counts them: those read from and written to the cache are a part of the input."""

    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_output_tokens: Count = 0

    def less(self, other: CodexTokens) -> CodexTokens:
        """What was added to reach the other."""
        return CodexTokens(
            self.input_tokens - other.input_tokens,
            self.cached_input_tokens - other.cached_input_tokens,
            self.cache_write_input_tokens - other.cache_write_input_tokens,
            self.output_tokens - other.output_tokens,
            self.reasoning_output_tokens - other.reasoning_output_tokens,
        )

    @property
    def smallest(self) -> int:
        """The smallest of the counts."""
        return min(
            self.input_tokens, self.cached_input_tokens, self.cache_write_input_tokens, self.output_tokens,
            self.reasoning_output_tokens,
        )  # fmt: skip

    def __bool__(self) -> bool:
        return bool(self.input_tokens or self.output_tokens)


class TokenInfo(msgspec.Struct):
    """The tokens of the session so far, and of its last call."""

    total_token_usage: CodexTokens | None = None
    last_token_usage: CodexTokens | None = None


class ThreadSettings(msgspec.Struct):
    """What holds from here on, as the user set it."""

    service_tier: str | None = None


class CodexPayload(msgspec.Struct):
    """What a line of a rollout is about: the session, its settings, a turn, or the tokens so far."""

    type: str | None = None
    cwd: str | None = None
    model: str | None = None
    model_provider: str | None = None
    info: TokenInfo | None = None
    thread_settings: ThreadSettings | None = None


class CodexLine(msgspec.Struct):
    """A line of a rollout."""

    timestamp: str | None = None
    type: str | None = None
    payload: msgspec.Raw = _NOTHING


_CLAUDE_CALL: Final = msgspec.json.Decoder(ClaudeCall)
_PROGRESS: Final = msgspec.json.Decoder(ClaudeProgress | None)
_MESSAGE: Final = msgspec.json.Decoder(ClaudeMessage | None)
_CODEX_LINE: Final = msgspec.json.Decoder(CodexLine)
_CODEX_PAYLOAD: Final = msgspec.json.Decoder(CodexPayload | None)


def claude_call(line: bytes) -> tuple[ClaudeCall, ClaudeMessage, ClaudeUsage] | None:
    """The call that a line of Claude Code tells, or None where it tells none: a tool's result has a usage too.

    Raises
    ------
    ValueError
        If it tells one that cannot be read.
    """
    call = _CLAUDE_CALL.decode(line)
    if call.type == "progress":
        progress = _PROGRESS.decode(call.data)
        if progress is None or progress.message is None:
            return None
        call, progress.message.cwd = progress.message, call.cwd
    if call.type not in (None, "assistant"):
        return None
    message = _MESSAGE.decode(call.message)
    return None if message is None or message.usage is None else (call, message, message.usage)


def codex_line(line: bytes) -> tuple[CodexLine, CodexPayload] | None:
    """A line of a rollout that tells of the session, its settings, a turn, or the tokens so far; None of another.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    told = _CODEX_LINE.decode(line)
    if told.type not in ("session_meta", "turn_context", "event_msg"):
        return None
    payload = _CODEX_PAYLOAD.decode(told.payload)
    return None if payload is None else (told, payload)
