#!/usr/bin/env bash
# llama-index-core 0.14.25 (`TokenCountingHandler`) with llama-index-llms-openai 0.8.3. Expected: an answer of a thinking model by
# OpenAI's Responses API is counted with the 300 output tokens that its usage tells, 256 of them thought, whether it comes at once
# or is streamed: the API always tells the usage at the end of such a stream. Seen: at once 300 are counted, and streamed the words
# of the answer alone, by a tokenizer of the handler's own, which leaves the thoughts out and the input tokens about right. The
# usage is not lost on the way: the last piece of the stream has it (`additional_kwargs["usage"]`), and the handler looks in `raw`.
# Streamed chat completions, asked for their usage, are counted by it. So what is counted falls when a program begins to stream.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llama-index-core==0.14.25 llama-index-llms-openai==0.8.3 \
  openai==2.54.0 2>/dev/null
"$work/venv/bin/python" -W ignore - <<'PY'
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.llms.openai import OpenAI, OpenAIResponses

TEXT = "Yes, it is so, and it was so yesterday as well."
MODEL = "gpt-5-mini-2025-08-07"
USAGE = {
    "input_tokens": 1520, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 256}, "total_tokens": 1820,
}
CHAT_USAGE = {
    "prompt_tokens": 1520, "prompt_tokens_details": {"cached_tokens": 1024}, "completion_tokens": 300,
    "completion_tokens_details": {"reasoning_tokens": 256}, "total_tokens": 1820,
}


def response():
    content = [{"type": "output_text", "text": TEXT, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}
    return {
        "id": "resp_1", "object": "response", "created_at": 1_780_000_000, "status": "completed", "model": MODEL,
        "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": USAGE,
    }


def response_events():
    whole = response()
    yield {"type": "response.created", "response": whole | {"status": "in_progress", "output": [], "usage": None}}
    yield {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": TEXT}
    yield {"type": "response.completed", "response": whole}


def chat_events():
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_780_000_000, "model": MODEL}
    delta = {"role": "assistant", "content": TEXT}
    yield common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None}
    yield common | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
    yield common | {"choices": [], "usage": CHAT_USAGE}


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, body = "application/json", json.dumps(response())
        if asked.get("stream"):
            kind = "text/event-stream"
            if self.path.endswith("/responses"):
                events = [one | {"sequence_number": place} for place, one in enumerate(response_events())]
                body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
            else:
                body = "".join(f"data: {json.dumps(one)}\n\n" for one in chat_events()) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Answers)
Thread(target=server.serve_forever, daemon=True).start()
for package in ("llama-index-core", "llama-index-llms-openai"):
    print(package, version(package))
handler = TokenCountingHandler()
common = {
    "model": "gpt-5-mini", "api_key": "none", "api_base": f"http://127.0.0.1:{server.server_port}/v1",
    "callback_manager": CallbackManager([handler]),
}
responses = OpenAIResponses(**common)
chat = OpenAI(**common, additional_kwargs={"stream_options": {"include_usage": True}})
question = [ChatMessage(role="user", content="Is it so? " * 380)]
counted = {}
for name, ask in (
    ("Responses API at once", lambda: responses.chat(question)),
    ("Responses API streamed", lambda: list(responses.stream_chat(question))[-1]),
    ("chat completions streamed", lambda: list(chat.stream_chat(question))[-1]),
):
    handler.reset_counts()
    answer = ask()
    counted[name] = (handler.prompt_llm_token_count, handler.completion_llm_token_count)
    usage = answer.additional_kwargs.get("usage")
    told = f"; the answer's own usage: {usage.input_tokens:,} in, {usage.output_tokens} out" if usage else ""
    print(f"{name}: {counted[name][0]:,} in, {counted[name][1]} out counted{told}")
server.shutdown()
at_once, streamed, chat_streamed = counted.values()
raise SystemExit(0 if at_once == chat_streamed == (1520, 300) and streamed[1] < 44 else "this has changed")
PY
echo "still so"
