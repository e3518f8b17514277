"""Writers of one ledger that are killed, stopped, locked out and left without room: nothing acknowledged is lost."""

import contextlib
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from costlab.monitoring import Ledger
from tests.stress.support import SEED, Crew, locked, until_over
from tests.stress.writers import event

pytestmark = pytest.mark.stress

WRITERS = 6
#: Seconds that a writer waits for the file: less than it is sometimes locked.
TIMEOUT_S = 0.3


def test_nothing_acknowledged_is_lost(tmp_path: Path, counts: Counter[str]) -> None:
    path, rng = tmp_path / "ledger", random.Random(SEED)
    acknowledged: dict[str, int] = {f"w{number}": 0 for number in range(WRITERS)}

    def note() -> int:
        for worker in (*crew.workers, *crew.dead):
            name = worker.job["name"]
            acknowledged[name] = max(acknowledged[name], worker.last("acknowledged", 0))
        crew.dead.clear()
        return sum(acknowledged.values())

    with Crew("writers", counts, rng) as crew:
        for name in acknowledged:
            crew.start(name=name, start=0, path=str(path), timeout_s=TIMEOUT_S)
        crew.wait()
        for _ in until_over(rng, 0.02, 0.3):
            match rng.choice(["kill", "kill", "kill", "pause", "lock", "read", "read", "truncate the log"]):
                case "kill":
                    name = crew.kill_one().job["name"]
                    note()
                    # It does not know what became of its last events, and says them again.
                    crew.start(name=name, start=acknowledged[name], path=str(path), timeout_s=TIMEOUT_S)
                case "pause":
                    crew.pause_one(2 * TIMEOUT_S)
                case "read" if path.exists():
                    least = note()
                    with Ledger(path, create=False, flush_every_s=None, timeout_s=60) as reader:
                        assert reader.totals().requests >= least
                        reader.verify()
                    counts["readings"] += 1
                case "lock" if path.exists():
                    with locked(path):
                        time.sleep(rng.uniform(0, 2 * TIMEOUT_S))
                    counts["locks"] += 1
                case "truncate the log" if path.exists():
                    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as other:
                        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    counts["locks"] += 1
        crew.finish()
        for worker in crew.workers:
            for name in ("full_disks", "failures", "duplicates"):
                counts[name] += worker.last(name, 0)
            assert worker.last("conflicts", 0) == worker.last("rejected", 0) == 0
        counts["acknowledged"] = note()

    with Ledger(path, create=False) as ledger:
        ledger.verify()
        written: Counter[str] = Counter()
        cost = tokens = 0
        for one in ledger.events():
            name, _, number = one.request_id.partition("-")
            assert one == event(name, int(number))
            assert int(number) == written[name]  # once, and every one before it is there too
            written[name] += 1
            cost += one.cost_micro_usd or 0
            tokens += one.input_tokens
        totals = ledger.totals()
    lost = {name: least - written[name] for name, least in acknowledged.items() if written[name] < least}
    counts["violations"] = len(lost)
    assert not lost
    assert (totals.requests, totals.cost_micro_usd, totals.input_tokens) == (written.total(), cost, tokens)
    assert counts["acknowledged"] > 0
