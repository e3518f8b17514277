#!/usr/bin/env bash
# genai-bench 0.0.5, against a server on the same machine that streams answers of 20 tokens in about half a second. Expected:
# where every other request fails with 500, error_rate in the summary of a run is about 0.5; and a run whose first and last
# fifth are left out (--warmup-ratio 0.2 --cooldown-ratio 0.2) has about the throughput of any other, so output tokens per
# second are 20 times the requests per second. Seen: error_rate is 0 beside a num_error_requests of half of num_requests; it
# is taken before the requests are counted. With the ratios, output tokens per second are about 12 times the requests per
# second: the tokens of two fifths are left out, their time is not, and neither are their requests. A cost per token made from
# it is 1.6 times too high.
set -euo pipefail
python=$(ls -d "$HOME"/.pyenv/versions/3.12.*/bin/python 2>/dev/null | head -1)
python=${python:-$(command -v python3.12 || true)}
[ -n "$python" ] || { echo "needs Python 3.12" >&2; exit 2; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check genai-bench==0.0.5
cd "$work"

cat >server.py <<'PY'
import itertools
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKENS = 20
numbers = itertools.count()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request["model"] == "fails" and next(numbers) % 2:
            body = b'{"error": {"message": "overloaded", "code": 500}}'
            self.send_response(500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
        time.sleep(0.1)
        for delta in ({"role": "assistant", "content": ""}, *[{"content": " yes"}] * TOKENS):
            self.send(json.dumps(told | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
            time.sleep(0.02)
        self.send(json.dumps(told | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        usage = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}
        self.send(json.dumps(told | {"choices": [], "usage": usage}))
        self.send("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def send(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
server.handle_error = lambda *_: None  # the program leaves in the middle of answers when its time is over
Path("port").write_text(str(server.server_port))
server.serve_forever()
PY
cat >tokenizer.py <<'PY'
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

vocabulary = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary | {"<end>": len(vocabulary)}, merges=[]))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained("tokenizer")
PY
venv/bin/python tokenizer.py 2>errors.txt || { cat errors.txt; exit 1; }
venv/bin/python server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done

bench() { # NAME MODEL OPTION...
  HF_HUB_OFFLINE=1 venv/bin/genai-bench benchmark --api-backend openai --api-base "http://127.0.0.1:$(cat port)" --api-key none \
    --api-model-name "$2" --model-tokenizer ./tokenizer --task text-to-text --max-time-per-run 1 \
    --max-requests-per-run 60 --traffic-scenario "D(20,20)" --num-concurrency 4 --experiment-base-dir runs \
    --experiment-folder-name "$1" "${@:3}" >"$1.log" 2>&1 || { tail -20 "$1.log"; exit 1; }
}
bench failing fails
bench plain answers
bench trimmed answers --warmup-ratio 0.2 --cooldown-ratio 0.2

venv/bin/python - <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

print("genai-bench", version("genai-bench"))


def summary(name):
    (path,) = Path("runs", name).glob("D20_20_*.json")
    return json.loads(path.read_text())["aggregated_metrics"]


failing = summary("failing")
print(*(f"{key} {failing[key]}" for key in ("num_requests", "num_error_requests", "error_rate")), sep=", ")
ratios = {}
for name in ("plain", "trimmed"):
    found = summary(name)
    tokens, requests = found["mean_output_throughput_tokens_per_s"], found["requests_per_second"]
    ratios[name] = tokens / requests
    print(f"{name}: {tokens:.1f} output tokens/s, {requests:.2f} requests/s, so {ratios[name]:.1f} tokens a request")
failed = failing["num_error_requests"] / failing["num_requests"]
same = failing["error_rate"] == 0 and 0.4 < failed < 0.6
same = same and abs(ratios["plain"] - 20) < 0.5 and abs(ratios["trimmed"] - 12) < 1
raise SystemExit(0 if same else "this has changed")
PY
echo "still so"
