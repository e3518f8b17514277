#!/usr/bin/env bash
# langchain-community 0.4.2 (`get_openai_callback`) with langchain-openai 1.7.4. Expected: the flex tier of OpenAI asks half, so
# that an answer of gpt-5-mini to 2,000 tokens, of which 1,536 were read from the prompt cache, with 300 tokens of answer is said
# to cost 0.000377 USD; or, if the callback does not know tiers, the 0.000754 of the usual tier. Seen: 0.001100 USD, nearly three
# times the bill and more than the tier that costs twice as much, with 0 cached tokens and 0 of reasoning. With a tier in the
# answer, langchain-openai calls the cached tokens `flex_cache_read` (or `priority_cache_read`), and the callback asks for
# `cache_read`. Nothing warns; by chat completions and by the Responses API, at once and streamed, it is the same. The priority
# tier, which asks more, is told at that price, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check langchain-community==0.4.2 langchain-openai==1.7.4 \
  langchain-core==1.8.3 openai==2.54.0
"$work/venv/bin/python" -W ignore - <<'PY'
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

from langchain_community.callbacks import get_openai_callback
from langchain_openai import ChatOpenAI

USAGE = {
    "prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300,
    "prompt_tokens_details": {"cached_tokens": 1536, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0},
}


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_780_000_000, "model": "gpt-5-mini-2025-08-07",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Yes.", "refusal": None}, "finish_reason": "stop"}
            ],
            "usage": USAGE, "service_tier": asked.get("service_tier", "default"),
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Answers)
Thread(target=server.serve_forever, daemon=True).start()
for package in ("langchain-community", "langchain-openai"):
    print(package, version(package))
seen = {}
for tier in ("default", "flex", "priority"):
    model = ChatOpenAI(
        model="gpt-5-mini", api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", service_tier=tier
    )
    with get_openai_callback() as bill:
        answer = model.invoke("Is it so?")
    seen[tier] = (f"{bill.total_cost:.6f}", bill.prompt_tokens_cached, bill.reasoning_tokens)
    print(f"{tier}: {seen[tier][0]} USD, {bill.prompt_tokens_cached:,} cached, {bill.reasoning_tokens} of reasoning;",
          answer.usage_metadata["input_token_details"])
server.shutdown()
expected = {"default": ("0.000754", 1536, 256), "flex": ("0.001100", 0, 0), "priority": ("0.001100", 0, 0)}
raise SystemExit(0 if seen == expected else f"this has changed: {seen}")
PY
echo "still so"
