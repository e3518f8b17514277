#!/usr/bin/env bash
# ecologits 0.11.3 with litellm 1.110.2. Expected: a model that ecologits does not know has no impacts and an error that says
# so, as with OpenAI's client, and one that it knows has its own. Seen: LiteLLM's models are matched to the nearest
# *spelling* among all makers, without a warning, and the impacts do not tell which model was taken. gpt-oss-20b served by
# vLLM (3.6 billion active parameters, in the list of ecologits as huggingface_hub/openai/gpt-oss-20b) has the energy of
# gpt-4o, more than twenty times its own; SmolLM2-135M has that of CodeLlama-13b, Granite 2b that of gpt-3.5-turbo-instruct.
# Others that it does not know (Qwen3-8B) have none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "ecologits[litellm]==0.11.3" litellm==1.110.2
LITELLM_LOCAL_MODEL_COST_MAP=True "$work/venv/bin/python" - <<'PY'
import json
import logging
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

import litellm
from ecologits import EcoLogits
from ecologits.tracers.utils import llm_impacts

TOKENS = 100
SERVED = (
    "openai/gpt-oss-20b", "HuggingFaceTB/SmolLM2-135M-Instruct", "ibm-granite/granite-3.3-2b-instruct", "Qwen/Qwen3-8B",
)


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.2)
        answer = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": " yes" * TOKENS}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def watt_hours(impacts):
    energy = getattr(impacts, "energy", None)
    return None if energy is None else 1000 * getattr(energy.value, "mean", energy.value)


def ask(model):
    return litellm.completion(
        model=f"hosted_vllm/{model}",
        messages=[{"role": "user", "content": "Is it so?"}],
        api_base=f"http://127.0.0.1:{server.server_port}/v1",
        api_key="none",
    )


logging.getLogger("ecologits").setLevel(logging.ERROR)  # it warns that the makers do not tell the sizes of models
server = HTTPServer(("127.0.0.1", 0), Answers)
Thread(target=server.serve_forever, daemon=True).start()
EcoLogits.init(providers=["litellm"])
print("ecologits", version("ecologits"), "litellm", version("litellm"))
ask("warm-up")  # the latency of a request is a part of its energy
found = {}
for model in SERVED:
    impacts = getattr(ask(model), "impacts", None)
    found[model] = watt_hours(impacts)
    errors = impacts.errors if impacts else None
    print(f"{model}: {found[model] and round(found[model], 5)} Wh, errors {errors}, {TOKENS} tokens")
of = {
    f"{provider}/{model}": watt_hours(llm_impacts(provider, model, TOKENS, 0.2))
    for provider, model in (
        ("openai", "gpt-4o"),
        ("huggingface_hub", "openai/gpt-oss-20b"),
        ("huggingface_hub", "meta-llama/CodeLlama-13b-Instruct-hf"),
        ("openai", "gpt-3.5-turbo-instruct"),
    )
}
print("ecologits itself says:", {model: round(energy, 5) for model, energy in of.items()})


def near(energy, other):
    return energy is not None and abs(energy / of[other] - 1) < 0.1


same = (
    near(found["openai/gpt-oss-20b"], "openai/gpt-4o")
    and found["openai/gpt-oss-20b"] > 20 * of["huggingface_hub/openai/gpt-oss-20b"]
    and near(found["HuggingFaceTB/SmolLM2-135M-Instruct"], "huggingface_hub/meta-llama/CodeLlama-13b-Instruct-hf")
    and near(found["ibm-granite/granite-3.3-2b-instruct"], "openai/gpt-3.5-turbo-instruct")
    and found["Qwen/Qwen3-8B"] is None
)
raise SystemExit(0 if same else "this has changed")
PY
echo "still so"
