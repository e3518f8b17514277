#!/usr/bin/env bash
# ecologits 0.11.3 with openai 2.54.0. Expected: an answer of gpt-5-mini with 300 output tokens, 256 of them reasoning, has
# the same energy and emissions whether it is streamed or not; the guide of ecologits says that the last chunk of a stream
# has those of the whole request. Seen: the streamed answer has about a sixth, though its last chunk tells the 300 tokens
# in `usage`. In a stream of chat completions ecologits counts the chunks with text, and there are none while a model
# thinks. (It counts a chunk as one token also where a server sends several tokens at once.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ecologits==0.11.3 openai==2.54.0
"$work/venv/bin/python" - <<'PY'
import json
import logging
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

import openai
from ecologits import EcoLogits

VISIBLE = 44
USAGE = {
    "prompt_tokens": 20, "completion_tokens": 300, "total_tokens": 320,
    "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 256},
}


def chunks():
    yield [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], None
    for _ in range(VISIBLE):
        yield [{"index": 0, "delta": {"content": " yes"}, "finish_reason": None}], None
    yield [{"index": 0, "delta": {}, "finish_reason": "stop"}], None
    yield [], USAGE


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.5)
        told = {"id": "chatcmpl-1", "created": 1, "model": "gpt-5-mini-2025-08-07"}
        if request.get("stream"):
            kind = "text/event-stream"
            events = (
                told | {"object": "chat.completion.chunk", "choices": choices, "usage": usage}
                for choices, usage in chunks()
            )
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        else:
            kind = "application/json"
            message = {"role": "assistant", "content": " yes" * VISIBLE}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = json.dumps(told | {"object": "chat.completion", "choices": [choice], "usage": USAGE})
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


logging.getLogger("ecologits").setLevel(logging.ERROR)  # it warns that the maker does not tell the model's size
server = HTTPServer(("127.0.0.1", 0), Answers)
Thread(target=server.serve_forever, daemon=True).start()
EcoLogits.init(providers=["openai"])
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1")
question = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Is it so?"}]}
whole = client.chat.completions.create(**question)
*_, last = client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True})
print("ecologits", version("ecologits"), "openai", version("openai"))
for name, answer in (("whole", whole), ("streamed, last chunk", last)):
    energy, tokens = answer.impacts.energy.value, answer.usage.completion_tokens
    grams = answer.impacts.gwp.value.mean * 1000
    print(f"{name}: {tokens} output tokens, {energy.min * 1000:.4f} to {energy.max * 1000:.4f} Wh, {grams:.5f} g CO2e")
share = last.impacts.energy.value.mean / whole.impacts.energy.value.mean
print(f"the streamed answer has {share:.2f} of the energy; visible tokens are {VISIBLE / 300:.2f} of all")
same = whole.usage.completion_tokens == last.usage.completion_tokens == 300 and 0.1 < share < 0.25
raise SystemExit(0 if same else "this has changed")
PY
echo "still so"
