"""Speed and memory of reading spans, beside bare decoding and an earlier version: ``python -m benchmarks.telemetry``.

The file is made once in a temporary folder: a collector's, 200 spans a line, of traces with an agent, two calls of a
model and a client's span within one of them. The spans that enclose the others come up to a thousand traces later. Each
process that is measured is a fresh one, so that what is loaded first counts, too. ``--spans 2_000_000`` is what the
targets are for, ``--old FOLDER`` a checkout of the version to compare with, on 200,000 spans: more need its memory.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPANS, LATE, SPANS_A_LINE, START_NS = 200_000, 1000, 200, 1_790_000_000_000_000_000

#: At most this share of the earlier version's CPU, and so much memory whatever the size.
MOST_OF_OLD, MOST_MIB = 1 / 6, 300

FLOOR = """
import msgspec
from costlab.monitoring.importers.otlp_json import Document
decoder = msgspec.json.Decoder(Document, strict=False)
def work():
    return sum(
        len(scoped.spans)
        for line in open(path, "rb") for group in decoder.decode(line).resourceSpans for scoped in group.scopeSpans
    )
"""
READ = """
from costlab.monitoring import open_log
def work():
    return open_log(path).frame.aggregate("count(*)").fetchall()[0][0]
"""
OLD = """
sys.path.insert(0, old)
try:
    from costlab.monitoring.importers import open_log
except ImportError:
    from costlab.monitoring import open_log
def work():
    return open_log(path).frame.aggregate("count(*)").fetchall()[0][0]
"""
MEASURE = """
import json, re, time
started = time.process_time()
found = work()
seconds = time.process_time() - started
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "found": found}))
"""


def attributes(**values: str | int) -> list[dict[str, Any]]:
    """Attributes as OTLP has them."""
    return [
        {
            "key": name.replace("__", "."),
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for name, value in values.items()
    ]


def traces(spans: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Spans, five a trace, of which three are calls, one of them within another."""
    dice = random.Random(seed)
    late: list[dict[str, Any]] = []
    for number in range(spans // 5):
        trace, ids = f"{dice.getrandbits(128):032x}", [f"{dice.getrandbits(64):016x}" for _ in range(5)]
        start = START_NS + number * 50_000_000
        model, provider = dice.choice([("gpt-5-mini", "openai"), ("claude-sonnet-4-5-20250929", "anthropic")])
        used = dice.randrange(200, 9000)

        def span(place: int, parent: int | None, name: str, *told: dict[str, Any], trace: str = trace,
                 ids: list[str] = ids, start: int = start) -> dict[str, Any]:  # fmt: skip
            return {
                "traceId": trace, "spanId": ids[place], "parentSpanId": "" if parent is None else ids[parent],
                "flags": 257, "name": name, "kind": 3, "startTimeUnixNano": str(start + place),
                "endTimeUnixNano": str(start + 900_000_000 - place), "attributes": list(told), "status": {},
            }  # fmt: skip

        usage = {"gen_ai__usage__input_tokens": used, "gen_ai__usage__output_tokens": used // 9}
        for place, parent in ((2, 1), (3, 1), (4, 3)):
            call = attributes(
                gen_ai__operation__name="chat", gen_ai__provider__name=provider, gen_ai__request__model=model,
                server__address=f"api.{provider}.com", server__port=443, gen_ai__request__max_tokens=1000,
                gen_ai__response__model=model, gen_ai__response__id=f"r-{number}-{place}", **usage,
                gen_ai__usage__cache_read__input_tokens=used // 2,
            )  # fmt: skip
            yield span(place, parent, f"chat {model}", *call)
        agent = attributes(gen_ai__operation__name="invoke_agent", gen_ai__request__model=model, **usage)
        late += [span(1, 0, "invoke_agent shop", *agent), span(0, None, "POST /ask", *attributes(url__path="/ask"))]
        if len(late) > LATE:
            yield from (late.pop(dice.randrange(len(late))) for _ in range(2))
    yield from late


def write(path: Path, spans: int) -> None:
    """A collector's file."""
    resource = {"attributes": attributes(service__name="shop")}
    scope = {"name": "opentelemetry.instrumentation.genai.openai", "version": "1.3b0"}
    with path.open("w") as file:
        batch: list[dict[str, Any]] = []

        def flush() -> None:
            scoped = [{"scope": scope, "spans": batch}]
            line = {"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            batch.clear()

        for one in traces(spans):
            batch.append(one)
            if len(batch) == SPANS_A_LINE:
                flush()
        if batch:
            flush()


def measured(code: str, path: Path, old: str = "") -> tuple[float, float, int]:
    """Seconds of CPU, greatest MiB, and what was found, of a fresh process."""
    text = f"import sys\npath, old = {str(path)!r}, {old!r}\n" + code + MEASURE
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["peak_mib"], found["found"]


def main() -> None:
    """Print a table of bare decoding, reading, and the earlier version."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=lambda text: int(re.sub("_", "", text)), default=SPANS)
    parser.add_argument("--old", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "spans.jsonl", Path(folder) / "fewer.jsonl"
        write(path, options.spans)
        write(small, SPANS)
        rows = [("decoding alone", FLOOR, path, options.spans, ""),
                ("open_log", READ, path, options.spans, f"{MOST_MIB} MiB")]  # fmt: skip
        if options.old:
            rows.append(("the earlier open_log", OLD, small, SPANS, ""))
        print(f"{'':<22}{'spans':>12}{'us CPU a span':>15}{'peak MiB':>10}{'requests':>12}   at most")
        took = {}
        for name, code, file, spans, most in rows:
            seconds, peak, found = measured(code, file, options.old)
            took[name] = seconds / spans
            print(f"{name:<22}{spans:>12,}{took[name] * 1e6:>15.1f}{peak:>10.0f}{found:>12,}   {most}")
        if options.old:
            share = took["open_log"] / took["the earlier open_log"]
            print(f"of the earlier version's CPU a span {share:.3f}, at most {MOST_OF_OLD:.3f}")


if __name__ == "__main__":
    main()
