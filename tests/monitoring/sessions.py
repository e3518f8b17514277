"""Sessions of coding agents, written as they write them: Claude Code 2.1, Codex CLI 0.58. None is from a machine.

The fields are those that ccusage 20.0.24 reads (github.com/ryoppippi/ccusage), and of Anthropic's Messages API
(platform.claude.com/docs/en/api/messages), read on 2026-11-30.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: A line of JSON.
Line = Mapping[str, Any]


def write_lines(path: Path, lines: Iterable[Line]) -> Path:
    """As both agents write them: without a space, which ccusage would not forgive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def claude_usage(
    *, fresh: int = 3, written_5m: int = 0, written_1h: int = 0, read: int = 0, output: int = 10, **more: object
) -> dict[str, Any]:
    """The usage of Anthropic's API: four counts beside each other."""
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": written_5m + written_1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written_5m, "ephemeral_1h_input_tokens": written_1h},
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "not_available",
    } | more


def claude_line(
    second: int,
    message_id: str | None,
    request_id: str | None,
    usage: Line,
    *,
    model: str = "claude-haiku-4-5-20251001",
    cwd: str = "/home/ada/shop.web",
    **more: object,
) -> dict[str, Any]:
    """An answer, or a part of it."""
    message = {
        "model": model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": 'it said {"usage":{"input_tokens":99}}'}],
        "stop_reason": None,
        "usage": usage,
    }
    line = {
        "parentUuid": "6f1c",
        "isSidechain": False,
        "userType": "external",
        "cwd": cwd,
        "sessionId": "0b7e",
        "version": "2.1.39",
        "gitBranch": "main",
        "message": {key: value for key, value in message.items() if key != "id" or value is not None},
        "requestId": request_id,
        "type": "assistant",
        "uuid": f"{second}",
        "timestamp": moment(second),
    }
    return {key: value for key, value in line.items() if key != "requestId" or value is not None} | more


def moment(second: int) -> str:
    """A time of 3 November 2026."""
    return f"2026-11-03T10:{second // 60:02d}:{second % 60:02d}.250Z"


def codex_meta(cwd: str, **more: object) -> dict[str, Any]:
    """The first line of a rollout."""
    payload = {"id": "019a", "timestamp": moment(0), "cwd": cwd, "cli_version": "0.58.0", "model_provider": "openai"}
    return {"timestamp": moment(0), "type": "session_meta", "payload": payload | more}


def codex_turn(second: int, model: str) -> dict[str, Any]:
    """The beginning of a turn."""
    return {
        "timestamp": moment(second),
        "type": "turn_context",
        "payload": {"cwd": "/home/ada/api/src", "model": model},
    }


def codex_tokens(
    second: int, total: tuple[int, int, int, int], last: tuple[int, int, int, int] | None = None
) -> dict[str, Any]:
    """The tokens so far: input, of which cached, output, of which reasoning."""
    info = {"total_token_usage": codex_usage(*total), "model_context_window": 272_000}
    if last is not None:
        info["last_token_usage"] = codex_usage(*last)
    payload = {"type": "token_count", "info": info, "rate_limits": {"primary": {"used_percent": 7.0}}}
    return {"timestamp": moment(second), "type": "event_msg", "payload": payload}


def codex_writes(event: Line, total: int, last: int | None = None) -> dict[str, Any]:
    """The same event of Codex 0.148, which also tells the tokens that were written to the prompt cache."""
    info = dict(event["payload"]["info"])
    for name, written in (("total_token_usage", total), ("last_token_usage", last)):
        if written is not None:
            info[name] = {**info[name], "cache_write_input_tokens": written}
    return {**event, "payload": {**event["payload"], "info": info}}


def codex_usage(tokens_in: int, cached: int, tokens_out: int, reasoning: int) -> dict[str, int]:
    """As OpenAI's API counts."""
    return {
        "input_tokens": tokens_in,
        "cached_input_tokens": cached,
        "output_tokens": tokens_out,
        "reasoning_output_tokens": reasoning,
        "total_tokens": tokens_in + tokens_out,
    }
