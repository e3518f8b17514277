#!/usr/bin/env bash
# ccusage 20.0.24. Expected: a session of Claude Code whose lines were parsed and written again as the same JSON, as a
# script that takes out names does it with Python's json.dumps, has the same tokens and cost as before. Seen: with a space
# after the colons there is no call in it and 0 USD, without an error, a warning or another exit status; with a space after
# the commas alone all is found. (It looks for `"usage":{` as text before it parses a line.) Where half of a file was
# written again, half is counted, which looks like a plausible bill.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" ccusage@20.0.24
python3 - "$work" <<'PY'
import json
import os
import subprocess
import sys
from pathlib import Path

work = Path(sys.argv[1])
program = work / "node_modules/.bin/ccusage"
home = work / "home"
path = home / "projects/-home-ada-shop/0b7e.jsonl"
path.parent.mkdir(parents=True)
environment = os.environ | {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home), "TZ": "UTC"}


def answer(n):
    usage = {
        "input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20_000, "output_tokens": 500,
    }
    message = {
        "model": "claude-haiku-4-5-20251001", "id": f"msg_{n}", "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn", "usage": usage,
    }
    return {
        "parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/home/ada/shop", "sessionId": "0b7e",
        "version": "2.1.39", "gitBranch": "main", "message": message, "requestId": f"req_{n}", "type": "assistant",
        "uuid": f"uuid-{n}", "timestamp": f"2026-11-03T10:00:{n:02d}.250Z",
    }


def count(lines):
    """Output tokens and USD of the file, as ccusage tells them."""
    path.write_text("".join(f"{line}\n" for line in lines))
    run = subprocess.run(
        [program, "claude", "daily", "--json", "--offline"], env=environment, capture_output=True, text=True, check=True
    )
    totals = json.loads(run.stdout)["totals"]
    return totals["outputTokens"], round(abs(totals["totalCost"]), 6), run.stderr.strip()


print("ccusage", json.loads((work / "node_modules/ccusage/package.json").read_text())["version"])
written = [json.dumps(answer(n), separators=(",", ":")) for n in range(4)]  # as Claude Code writes them
again = [json.dumps(json.loads(line)) for line in written]
found = {
    "as written": count(written),
    "a space after commas": count([json.dumps(json.loads(line), separators=(", ", ":")) for line in written]),
    "a space after commas and colons": count(again),
    "half of the lines so": count(written[:2] + again[2:]),
}
for name, (tokens, usd, error) in found.items():
    print(f"{name}: {tokens:,} output tokens, {usd:.6f} USD, standard error: {error or 'empty'}")
whole = found["as written"]
same = [tokens for tokens, _, _ in found.values()] == [2000, 2000, 0, 1000] and not any(e for *_, e in found.values())
raise SystemExit(0 if same and whole[1] > 0 and found["a space after commas and colons"][1] == 0 else "this has changed")
PY
echo "still so"
