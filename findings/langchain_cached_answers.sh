#!/usr/bin/env bash
# langchain-core 1.8.3 with its InMemoryCache, watched by its own UsageMetadataCallbackHandler, by OpenInference (0.1.80), by
# Traceloop (0.62.4) and by OpenTelemetry's genai-langchain (1.3b0). Expected: a question that is asked three times is one
# call of the model and two answers out of the cache, and who adds up usage finds the tokens of one call. Seen: all four
# find those of three. LangChain marks the repeated answers with a total_cost of 0 in their usage; the handler keeps that zero
# beside three times the tokens, OpenInference hands it on only within the text of the answer, and the spans of the other two
# differ from those of a call by nothing but a missing id and their duration. The better the cache, the more a bill that is
# made from these tokens exceeds the real one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check langchain-core==1.8.3 langchain==1.5.2 opentelemetry-sdk==1.45.2 \
    openinference-instrumentation-langchain==0.1.80 opentelemetry-instrumentation-langchain==0.62.4 \
    opentelemetry-instrumentation-genai-langchain==1.3b0
cat >"$work/watch.py" <<'PY'
import importlib
import sys

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CALLS = 0


class Model(BaseChatModel):
    """Answers as a provider's model does, with its usage."""

    model_name: str = "gpt-4o"

    @property
    def _llm_type(self):
        return "chat"

    def _generate(self, messages, stop=None, run_manager=None, **options):
        global CALLS
        CALLS += 1
        usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
        answer = AIMessage("Hello.", usage_metadata=usage, response_metadata={"model_name": "gpt-4o", "id": f"c{CALLS}"})
        return ChatResult(generations=[ChatGeneration(message=answer)], llm_output={"model_name": "gpt-4o", "id": f"c{CALLS}"})


watcher = sys.argv[1]
handler, spans, provider = UsageMetadataCallbackHandler(), InMemorySpanExporter(), TracerProvider()
if watcher != "handler":
    provider.add_span_processor(SimpleSpanProcessor(spans))
    module, name = watcher.split(":")
    getattr(importlib.import_module(module), name)().instrument(tracer_provider=provider)
set_llm_cache(InMemoryCache())
model = Model()
for _ in range(3):
    model.invoke("Say hello", config={"callbacks": [handler]})
if watcher == "handler":
    found = handler.usage_metadata["gpt-4o"]["input_tokens"]
else:
    names = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    found = sum(span.attributes.get(name, 0) for span in spans.get_finished_spans() for name in names)
print(f"{watcher}: calls {CALLS}, input tokens {found}")
sys.exit((CALLS, found) != (1, 3000))
PY
status=0
for watcher in handler openinference.instrumentation.langchain:LangChainInstrumentor \
    opentelemetry.instrumentation.langchain:LangchainInstrumentor \
    opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor; do
    "$work/venv/bin/python" -W ignore "$work/watch.py" "$watcher" || status=1
done
exit "$status"
