#!/usr/bin/env bash
# dspy 3.4.1, with litellm 1.110.2. Expected: an evaluation that is run again, all of whose answers come from DSPy's own cache,
# adds nothing to what `lm.history` says that the calls cost: the server is not asked. Seen: each entry of an answer from the
# cache has an empty `usage`, and the `cost` of the call that was once paid for, whether it is from memory or, in a new process,
# from the disk. So the sum over the history, from which costs are commonly read, is three times the bill after three runs, while
# `track_usage` has the tokens of the first alone; and a process that bought nothing shows the whole bill.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dspy==3.4.1 litellm==1.110.2 openai==2.54.0 2>/dev/null
export DSPY_CACHEDIR="$work/cache" LITELLM_LOCAL_MODEL_COST_MAP=True HOME="$work"
cat > "$work/evaluation.py" <<'PY'
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

import dspy
from dspy.utils.usage_tracker import track_usage

QUESTIONS = [f"Is {number} even?" for number in range(10)]
USAGE = {"prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300}
port, runs, expected = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
asked = []


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(self.path)
        message = {"role": "assistant", "content": "Yes."}
        body = json.dumps({
            "id": f"chatcmpl-{len(asked)}", "object": "chat.completion", "created": 1_780_000_000, "model": "gpt-4.1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE,
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", port), Answers)
Thread(target=server.serve_forever, daemon=True).start()
lm = dspy.LM("openai/gpt-4.1", api_base=f"http://127.0.0.1:{server.server_port}/v1", api_key="none")
with track_usage() as tracker:
    for _ in range(runs):
        for question in QUESTIONS:
            lm(question)
server.shutdown()
tokens = sum(usage["total_tokens"] for usage in tracker.get_total_tokens().values())
usd = sum(entry["cost"] or 0 for entry in lm.history)
without_usage = sum(not entry["usage"] for entry in lm.history)
print(f"dspy {version('dspy')}: {runs} runs of {len(QUESTIONS)} questions, {len(asked)} requests to the server, {tokens:,} tokens "
      f"tracked; history: {without_usage} of {len(lm.history)} entries without usage, {usd:.4f} USD in all")
seen = f"{len(asked)} {tokens} {without_usage} {usd:.4f}"
raise SystemExit(0 if seen == expected else f"this has changed: {seen}")
PY
# The address is a part of what the cache knows an answer by: both processes take the same port.
port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/venv/bin/python" -W ignore "$work/evaluation.py" "$port" 3 "10 23000 20 0.1920"
"$work/venv/bin/python" -W ignore "$work/evaluation.py" "$port" 1 "0 0 10 0.0640"
echo "still so"
