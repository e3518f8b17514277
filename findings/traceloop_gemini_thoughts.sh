#!/usr/bin/env bash
# opentelemetry-instrumentation-google-generativeai 0.62.4 (Traceloop), beside OpenTelemetry's own instrumentation of the
# same client, opentelemetry-instrumentation-google-genai 1.3b0. Expected: an answer of Gemini with 900 tokens of thought
# and 20 of text has 920 output tokens, which is what Google bills and what the conventions ask of
# gen_ai.usage.output_tokens (reasoning is a part of it). Seen: OpenTelemetry's says 920, of which 900 are reasoning;
# Traceloop's says 20, in the span and in the histogram, and mentions the thoughts nowhere but in a total of 1,020 that is
# not the sum of its input and output. Output tokens of a thinking model, priced from such spans, cost a fraction.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check google-genai==2.34.0 opentelemetry-sdk==1.45.2 \
  opentelemetry-instrumentation==0.66b2 opentelemetry-instrumentation-google-genai==1.3b0 \
  opentelemetry-instrumentation-google-generativeai==0.62.4
"$work/venv/bin/python" - <<'PY'
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

from google import genai
from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor
from opentelemetry.instrumentation.google_generativeai import GoogleGenerativeAiInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ANSWER = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {
        "promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 900, "totalTokenCount": 1020,
    },
    "modelVersion": "gemini-2.5-pro",
    "responseId": "answer-1",
}


class Gemini(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def call_with(instrumentor):
    """The usage in the span, and the output tokens in the histogram."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor.instrument(tracer_provider=tracers, meter_provider=MeterProvider(metric_readers=[reader]))
    client = genai.Client(api_key="none", http_options={"base_url": f"http://127.0.0.1:{server.server_port}"})
    client.models.generate_content(model="gemini-2.5-pro", contents="Is it so?")
    instrumentor.uninstrument()
    (span,) = spans.get_finished_spans()
    usage = {key.removeprefix("gen_ai.usage."): n for key, n in span.attributes.items() if key.startswith("gen_ai.usage.")}
    points = [
        point
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "gen_ai.client.token.usage"
        for point in metric.data.data_points
    ]
    return usage, [point.sum for point in points if point.attributes["gen_ai.token.type"] == "output"]


server = HTTPServer(("127.0.0.1", 0), Gemini)
Thread(target=server.serve_forever, daemon=True).start()
found = {}
for package, instrumentor in (
    ("opentelemetry-instrumentation-google-genai", GoogleGenAiSdkInstrumentor()),
    ("opentelemetry-instrumentation-google-generativeai", GoogleGenerativeAiInstrumentor()),
):
    found[package] = call_with(instrumentor)
    print(f"{package} {version(package)}: span {dict(sorted(found[package][0].items()))}, histogram {found[package][1]}")
own, traceloop = found.values()
seen = (own[0]["output_tokens"], traceloop[0]["output_tokens"], own[1], traceloop[1], traceloop[0]["total_tokens"])
same = seen == (920, 20, [920], [20], 1020) and not any("reasoning" in key for key in traceloop[0])
raise SystemExit(0 if same else "this has changed")
PY
echo "still so"
