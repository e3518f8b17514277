"""A process that writes events into a ledger, and says how many are acknowledged. Run by the attack on the ledger."""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from costlab.errors import LedgerError
from costlab.events import RequestEvent
from costlab.monitoring import Ledger
from tests.stress.support import Mouth, full_disk


def event(writer: str, number: int) -> RequestEvent:
    """The one event of this writer with this number."""
    rng = random.Random(f"{writer} {number}")
    tokens = rng.randrange(100_000)
    return RequestEvent(
        request_id=f"{writer}-{number}", time_s=1_800_000_000.0 + number, tier=rng.choice("abc"), model="m",
        input_tokens=tokens, cached_input_tokens=rng.randint(0, tokens), output_tokens=rng.randrange(5000),
        cost_micro_usd=rng.choice([None, rng.randrange(10**6)]), latency_s=rng.random(), outcome="ok",
        tenant=rng.choice(["", "acme", "globex"]), conversion_value_micro_usd=rng.choice([None, number]),
    )  # fmt: skip


def main(job: dict[str, Any]) -> None:
    rng, mouth, counts = random.Random(job["seed"]), Mouth(), Counter[str]()
    name, number, path = job["name"], job["start"], Path(job["path"])
    ledger = Ledger(
        path, batch_size=rng.choice([1, 7, 64]), flush_every_s=rng.choice([None, 0.01]), timeout_s=job["timeout_s"]
    )

    def some() -> None:
        nonlocal number
        try:
            for _ in range(rng.choice([1, 5, 50])):
                ledger.append(event(name, number))  # where it raises, it may have been taken in: it comes again
                number += 1
            ledger.flush()
        except LedgerError:
            counts["failures"] += 1
        else:
            mouth.say(acknowledged=number)

    while not mouth.over:
        if rng.random() < 0.05:
            counts["full_disks"] += 1
            files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
            with full_disk(rng.randint(4096, max(8192, *(file.stat().st_size for file in files)))):
                some()
        some()
        time.sleep(rng.uniform(0, 0.01))
    while ledger.pending:
        try:
            ledger.flush()
        except LedgerError:
            counts["failures"] += 1
    mouth.say(acknowledged=number)
    ledger.close()
    mouth.say(**counts, duplicates=ledger.duplicates, conflicts=ledger.conflicts, rejected=ledger.rejected)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
