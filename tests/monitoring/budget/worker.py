"""A process that makes calls in several threads: reserve, write into the ledger, settle. Run by the tests.

``python worker.py '{"kind": "sqlite", "place": "...", ...}'``; it says ``ready``, waits for a line, and ends with one
line of JSON.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from costlab.events import RequestEvent
from costlab.monitoring import Ledger
from costlab.monitoring.budget import (
    BudgetExceeded,
    BudgetGuard,
    BudgetPolicy,
    BudgetStoreError,
    RedisBudgetStore,
    SqliteBudgetStore,
)


def main(job: dict[str, Any]) -> None:
    def clock() -> float:
        return time.time() - float(job["shift_s"])

    store = (
        SqliteBudgetStore(job["place"], timeout_s=60, clock=clock)
        if job["kind"] == "sqlite"
        else RedisBudgetStore(job["place"], timeout_s=job.get("timeout_s", 30), clock=clock)
    )
    guard = BudgetGuard(BudgetPolicy(**job["policy"]), store, clock=clock)
    ledger = Ledger(job["ledger"], batch_size=1, timeout_s=60, flush_every_s=None)
    said, lock = Counter[str](), threading.Lock()

    def calls(thread: int) -> None:
        rng = random.Random(f"{job['name']}-{thread}")
        for number in range(job["calls"]):
            most = rng.randint(*job["estimate_micro_usd"])
            actual = rng.randint(most // 2, most)
            while True:
                try:
                    reservation = guard.reserve(most / 1e6)
                    break
                except BudgetStoreError:
                    said["unreachable"] += 1
                    time.sleep(0.02)
                except BudgetExceeded:
                    with lock:
                        said["refused"] += 1
                    reservation = None
                    break
            if reservation is not None:
                time.sleep(job.get("call_s", 0.0))
                ledger.append(event(f"{job['name']}-{thread}-{number}", actual))
                reservation.settle(actual / 1e6)
                with lock:
                    said["admitted"] += 1
                    said["micro_usd"] += actual

    say("ready")
    sys.stdin.readline()
    with ThreadPoolExecutor(job["threads"]) as pool:
        list(pool.map(calls, range(job["threads"])))
    ends = time.monotonic() + 20
    while guard.waiting and time.monotonic() < ends:
        guard.flush()
        time.sleep(0.02)
    ledger.close()
    say(json.dumps({**said, "waiting": guard.waiting, "late": guard.counts.late}))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def event(request_id: str, cost_micro_usd: int) -> RequestEvent:
    return RequestEvent(
        request_id=request_id, time_s=0.0, tier="t", model="m", input_tokens=1, output_tokens=1,
        cost_micro_usd=cost_micro_usd, latency_s=0.1, outcome="ok",
    )  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
