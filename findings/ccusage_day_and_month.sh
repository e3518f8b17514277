#!/usr/bin/env bash
# ccusage 20.0.24. Expected: its reports of one folder by day, by week, by month, by session and by block of five hours add
# up to the same tokens. A side question of Claude Code writes the answers it was told before into a file of its own under
# subagents/, with the id of the message and another id of the request, and ccusage says that it counts such a copy once.
# Seen: by day it does. By week, month, session and block it counts the copy again, unless the copy has the very
# time of the original: a millisecond is enough for the days of a month to add up to less than the month.
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
session = home / "projects/-home-ada-shop/0b7e.jsonl"
aside = home / "projects/-home-ada-shop/0b7e/subagents/agent-aside_question-1.jsonl"
aside.parent.mkdir(parents=True)
environment = os.environ | {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home), "TZ": "UTC"}
REPORTS = (["claude", "daily"], ["claude", "weekly"], ["claude", "monthly"], ["claude", "session"], ["blocks"])


def answer(message, request, time, output, *, side=False):
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output}
    told = {
        "model": "claude-haiku-4-5-20251001", "id": message, "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn", "usage": usage,
    }
    line = {
        "parentUuid": None, "isSidechain": side, "userType": "external", "cwd": "/home/ada/shop", "sessionId": "0b7e",
        "version": "2.1.39", "gitBranch": "main", "message": told, "requestId": request, "type": "assistant",
        "uuid": f"uuid-{request}", "timestamp": f"2026-11-03T10:00:{time}Z",
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


def output_tokens(*command):
    run = subprocess.run(
        [program, *command, "--json", "--offline"], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    if command == ("blocks",):
        return sum(block["tokenCounts"]["outputTokens"] for block in found["blocks"])
    return found["totals"]["outputTokens"]


print("ccusage", json.loads((work / "node_modules/ccusage/package.json").read_text())["version"])
session.write_text(answer("msg_1", "req_1", "01.250", 1000) + answer("msg_2", "req_2", "02.250", 200))
found = []
for what, time in (("at the time of the original", "01.250"), ("a millisecond later", "01.251")):
    copy = answer("msg_1", "req_3", time, 1000, side=True)
    aside.write_text(copy + answer("msg_3", "req_4", "09.250", 30, side=True))
    found.append({" ".join(report): output_tokens(*report) for report in REPORTS})
    print(f"output tokens with a copy {what}: {found[-1]}")
once, twice = 1230, 2230
same = set(found[0].values()) == {once} and list(found[1].values()) == [once, *[twice] * 4]
raise SystemExit(0 if same else "this has changed")
PY
echo "still so"
