"""Write spend-logs.jsonl: rows of LiteLLM's proxy, made by litellm's own row builder from calls to a loopback server.

Run once, with litellm 1.110.2 and what its proxy imports, in an environment of its own:

    pip install litellm==1.110.2 fastapi backoff redis orjson
    python make_spend_logs.py

The server answers as the vendors document. Each call is one that the tests name.
"""

import asyncio
import contextlib
import json
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import litellm  # type: ignore[import-not-found, unused-ignore]
from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload  # type: ignore[import-not-found, unused-ignore]

OPENAI_USAGE = {
    "prompt_tokens": 2000,
    "completion_tokens": 300,
    "total_tokens": 2300,
    "prompt_tokens_details": {"cached_tokens": 1536, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0},
}
ANTHROPIC_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 3000,
    "cache_read_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
    "output_tokens": 200,
    "service_tier": "standard",
}


class Vendor(BaseHTTPRequestHandler):
    """Answers of OpenAI and of Anthropic."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = 200, self._answer(asked)
        if asked["model"] == "gpt-4o-broken":
            status, answer = 400, {"error": {"message": "no", "type": "invalid_request_error"}}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "messages" in self.path:
            return {
                "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
                "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "usage": ANTHROPIC_USAGE,
            }  # fmt: skip
        usage: dict[str, Any] = OPENAI_USAGE
        if asked["model"] in ("our-llama", "gpt-4o-mini-deployment"):
            usage = {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50}
        return {
            "id": f"chatcmpl-{asked['model']}-{asked.get('service_tier', 'default')}",
            "object": "chat.completion", "created": 1_790_000_000,
            "model": "gpt-5-mini-2025-08-07" if asked["model"] == "gpt-5-mini" else asked["model"],
            "service_tier": asked.get("service_tier", "default"),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": usage,
        }  # fmt: skip

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Rows(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Keeps what the proxy would write to its table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []

    def _keep(self, kwargs: dict[str, Any], answer: object, start: datetime, end: datetime) -> None:
        row = get_logging_payload(kwargs, answer, start, end)
        self.rows.append(json.loads(json.dumps(row, default=lambda value: value.isoformat())))

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._keep(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        kwargs["litellm_params"]["metadata"]["status"] = "failure"  # as the proxy's hook for failures does
        self._keep(kwargs, {}, start_time, end_time)


async def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    rows = Rows()
    litellm.callbacks = [rows]

    async def call(model: str, path: str = "/v1", **more: Any) -> None:
        metadata = {"user_api_key_team_id": "red", "model_group": model.split("/")[-1]}
        with contextlib.suppress(litellm.BadRequestError):
            await litellm.acompletion(
                model=model, api_base=base + path, api_key="none", num_retries=0, metadata=metadata,
                messages=[{"role": "user", "content": "hello"}], **more,
            )  # fmt: skip
        await asyncio.sleep(1)  # the callbacks run beside

    await call("openai/gpt-5-mini")
    await call("anthropic/claude-sonnet-4-5-20250929", "")
    await call("openai/gpt-5-mini", service_tier="flex")
    await call("openai/gpt-5-mini", service_tier="priority")
    await call("hosted_vllm/our-llama")
    await call("azure/gpt-4o-mini-deployment", "", api_version="2024-10-21")
    await call("openai/gpt-4o-broken")
    litellm.cache = litellm.Cache(type="local")
    await call("openai/gpt-4o", caching=True)
    await call("openai/gpt-4o", caching=True)
    server.shutdown()
    Path(__file__).with_name("spend-logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows.rows))


if __name__ == "__main__":
    asyncio.run(main())
