"""Guards whose processes, stores and network fail: no limit is passed, and the books say what was billed.

Budget after budget is spent to the brim. The test adds up what the provider billed, call by call, and holds the limit
and the books against that: what is known of a call to the micro-dollar, and where its process was killed, between what
was billed and what was reserved.
"""

import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.errors import BudgetStoreError
from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, BudgetStatus, RedisBudgetStore, SqliteBudgetStore
from tests.cache.support import SERVERS, server
from tests.stress.proxy import FAULTS, Proxy
from tests.stress.support import HANGS_S, SEED, Crew, Worker, locked, until_over

pytestmark = pytest.mark.stress

SPENDERS = 5
SPARED = 2
THREADS = 3
LIMIT_MICRO_USD = 1_000_000
#: Seconds that a guard waits for its store: less than a file is sometimes locked, and a server sometimes away.
TIMEOUT_S = 0.4
#: Seconds that each spender's clock is ahead.
AHEAD_S = (0, 0, 660, -660, 20)


def policy() -> dict[str, Any]:
    """A dollar a day, where it is about noon: no budget lasts over midnight."""
    east = 12 - datetime.now(UTC).hour
    zone = f"Etc/GMT{-east:+}" if east else "UTC"  # Etc/GMT-3 is three hours east
    return {
        "daily_soft_usd": 1, "daily_hard_usd": 1, "monthly_usd": 1000, "reservation_ttl_s": 1.0, "timezone": zone,
    }  # fmt: skip


@dataclass
class Made:
    """What is known of a call, in micro-dollars."""

    estimate: int
    by_finished: bool
    billed: int = 0
    recorded: int = 0
    closed: int | None = None
    certain: bool = False
    refused: bool = False

    def spent(self, stray: bool) -> tuple[int, int]:
        """The least and the most that the books may say of it."""
        if self.closed is not None and (self.certain or self.by_finished):
            return self.closed, self.closed
        if self.recorded:  # its process was killed before or after the store was told
            return 0, self.recorded
        if self.refused:  # a request of it may have arrived once more, when there was room again
            return 0, self.estimate if stray else 0
        return max(self.billed, self.closed or 0), self.estimate


def read(workers: Iterable[Worker]) -> dict[int, dict[str, Made]]:
    """The calls of every budget, by name."""
    budgets: dict[int, dict[str, Made]] = {}
    for worker in workers:
        finished = worker.last("finished", False)
        for line in worker.lines:
            number, name, what, amount = line.decode().split()
            calls = budgets.setdefault(int(number), {})
            match what:
                case "intended":
                    calls[name] = Made(int(amount), finished)
                case "billed":
                    calls[name].billed = int(amount)
                case "recorded":
                    calls[name].recorded = int(amount)
                case "refused":
                    calls[name].refused = True
                case "closed" | "perhaps":
                    calls[name].closed, calls[name].certain = int(amount), what == "closed"
    return budgets


class Attack:
    """Spenders, and the books that they share.

    Parameters
    ----------
    counts : Counter
        What is told at the end.
    open_store : callable
        Makes a store of a budget's number, on a way that is not disturbed.
    job : dict
        For the spenders.
    """

    def __init__(self, counts: Counter[str], open_store: Callable[[int], Any], **job: Any) -> None:
        self.rng = random.Random(SEED)
        self.counts, self._open_store = counts, open_store
        self.job: dict[str, Any] = {"policy": policy(), "threads": THREADS, "timeout_s": TIMEOUT_S} | job
        self.crew = Crew("spenders", counts, self.rng)
        self._born = 0
        #: Budgets whose books somebody deleted.
        self.robbed: set[int] = set()
        self._seen, self._recorded = Counter[Worker](), Counter[int]()
        self._guards: dict[int, BudgetGuard] = {}
        for _ in range(SPENDERS):
            self.start()

    @property
    def budget(self) -> int:
        """The newest one that a spender has come to."""
        newest: int = max(worker.last("budget", 0) for worker in self.crew.workers)
        return newest

    def start(self) -> None:
        """One more spender; every second one works in an event loop."""
        number, self._born = self._born, self._born + 1
        budget = self.budget if self.crew.workers else 0
        budget += budget in self.robbed  # it could not know what is missing
        ahead_s = AHEAD_S[number % len(AHEAD_S)]
        self.crew.start(name=f"s{number}", budget=budget, ahead_s=ahead_s, **self.job, **{"async": number % 2 == 1})

    def status(self, number: int) -> BudgetStatus:
        """How a budget stands."""
        if number not in self._guards:
            self._guards[number] = BudgetGuard(BudgetPolicy(**self.job["policy"]), self._open_store(number))
        return self._guards[number].status()

    def close(self, before: int) -> None:
        """Close the stores of budgets with smaller numbers."""
        for number in [number for number in self._guards if number < before]:
            self._guards.pop(number)._store.disconnect()  # type: ignore[attr-defined]

    def recorded(self, number: int) -> int:
        """What was recorded under a budget, or is about to be, beside what was reserved; in micro-dollars."""
        for worker in (*self.crew.workers, *self.crew.dead):
            new = worker.lines[self._seen[worker] :]
            self._seen[worker] += len(new)
            for line in new:
                if b" recorded " in line:
                    budget, _, _, amount = line.split()
                    self._recorded[int(budget)] += int(amount)
        return self._recorded[number]

    def look(self) -> None:
        """Hold what the newest budgets say at this moment against the limit."""
        newest = self.budget
        self.close(newest - 2)
        for number in range(max(0, newest - 2), newest + 1):
            with contextlib.suppress(BudgetStoreError):
                status = self.status(number)
                self.counts["looks"] += 1
                used = status.day_spent_micro_usd + status.day_reserved_micro_usd
                ends = time.monotonic() + HANGS_S
                # What was said may not have been read yet. Where tokens were deleted, what comes late counts once more.
                while number not in self.robbed and used > LIMIT_MICRO_USD + self.recorded(number):
                    assert time.monotonic() < ends, f"budget {number}: {status}"
                    time.sleep(0.1)
                assert min(status.day_reserved_micro_usd, status.day_spent_micro_usd) >= 0, f"budget {number}: {status}"

    def rob(self, direct: Any) -> None:
        """Delete keys of a budget that everybody knows who will yet ask for it: from then on nothing is admitted."""
        workers = self.crew.workers
        number = min(worker.last("budget", worker.job["budget"]) for worker in workers)
        if number in self.robbed or any(worker.last("budget", -1) < number for worker in workers):
            return
        self.robbed.add(number)
        if keys := sorted(direct.scan_iter(f"{{budget-{number}}}:*", count=10_000)):
            direct.delete(*self.rng.sample(keys, self.rng.randint(1, len(keys))))
            self.counts["robberies"] += 1

    def settle(self, stray: set[str]) -> None:
        """Let all finish, and hold bills, limits and books against each other."""
        self.crew.finish()
        everybody = (*self.crew.workers, *self.crew.dead)
        for worker in everybody:
            for name in ("out_of_reach", "cancelled", "full_disks"):
                self.counts[name] += worker.last(name, 0)
        over, wrong = {}, {}
        for number, calls in sorted(read(everybody).items()):
            billed = sum(call.billed for call in calls.values())
            self.counts["budgets"] += 1
            self.counts["calls"] += len(calls)
            self.counts["billed_calls"] += sum(call.billed > 0 for call in calls.values())
            self.counts["refusals"] += sum(call.refused for call in calls.values())
            if billed > LIMIT_MICRO_USD:
                over[number] = f"{billed}, {'robbed' if number in self.robbed else 'not robbed'}"
            if number in self.robbed:
                continue
            bounds = [call.spent(name in stray) for name, call in calls.items()]
            least, most = (sum(amounts) for amounts in zip(*bounds, strict=True))
            self.counts["budgets_known_exactly"] += least == most
            self.counts["micro_usd_billed"] += billed
            self.counts["micro_usd_uncertain"] += most - least
            self.close(number)
            status = self.last_status(number)
            if not least <= status.day_spent_micro_usd == status.month_spent_micro_usd <= most:
                wrong[number] = f"{least} <= {status} <= {most}"
        self.close(1 + max(self._guards))
        self.counts["violations"] += len(over) + len(wrong)
        assert not over
        assert not wrong
        assert self.counts["billed_calls"] > 0

    def last_status(self, number: int) -> BudgetStatus:
        """How it stands when nothing is reserved any more: what was left behind expires."""
        ends = time.monotonic() + HANGS_S
        while (status := self.status(number)).day_reserved_micro_usd:
            assert time.monotonic() < ends, f"budget {number} never comes to rest: {status}"
            time.sleep(0.05)
        return status


def test_in_files_no_limit_is_passed_and_the_books_agree(tmp_path: Path, counts: Counter[str]) -> None:
    attack = Attack(
        counts, lambda number: SqliteBudgetStore(tmp_path / f"budget-{number}", timeout_s=60),
        kind="sqlite", place=str(tmp_path),
    )  # fmt: skip
    rng = attack.rng
    with attack.crew as crew:
        crew.wait()
        for _ in until_over(rng, 0.05, 0.25):
            match rng.choice(["kill", "kill", "pause", "lock", "look", "look"]):
                case "kill":
                    crew.kill_one(SPARED)
                    attack.start()
                case "pause":
                    crew.pause_one(2 * TIMEOUT_S)
                case "lock":
                    with locked(tmp_path / f"budget-{attack.budget}"):
                        time.sleep(rng.uniform(0, 2 * TIMEOUT_S))
                    counts["locks"] += 1
                case "look":
                    attack.look()
        attack.settle(set())


@pytest.fixture(params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, which keeps every write."""
    keep = ("--appendonly", "yes", "--appendfsync", "always")
    with server(request.param, *keep, folder=tmp_path, start_timeout_s=HANGS_S) as running:
        yield running


@pytest.mark.redis
def test_on_servers_no_limit_is_passed_and_the_books_agree(running: EmbeddedServer, counts: Counter[str]) -> None:
    import redis

    proxy = Proxy(running.port, SEED, TIMEOUT_S)
    direct: Any = redis.Redis(port=running.port)
    attack = Attack(
        counts, lambda number: RedisBudgetStore(running.url, prefix=f"{{budget-{number}}}:", timeout_s=60),
        kind="redis", place=proxy.url,
    )  # fmt: skip
    rng = attack.rng
    try:
        with contextlib.closing(direct), attack.crew as crew:
            crew.wait()
            for _ in until_over(rng, 0.05, 0.25):
                match rng.choice(
                    [*["kill"] * 5, *["pause"] * 2, *["partition"] * 2, "restart", *["rob"] * 3, *["look"] * 10]
                ):
                    case "kill":
                        crew.kill_one(SPARED)
                        attack.start()
                    case "pause":
                        crew.pause_one(2 * TIMEOUT_S)
                    case "partition":
                        proxy.block(rng.uniform(0, 3 * TIMEOUT_S))
                    case "restart":
                        running.kill()
                        time.sleep(rng.uniform(0, 0.3))
                        running.start()
                        counts["server_kills"] += 1
                    case "rob":
                        attack.rob(direct)
                    case "look":
                        attack.look()
            proxy.calm = True
            attack.settle(names(proxy.stray))
    finally:
        proxy.stop()
        counts.update({name: proxy.counts[name] for name in ("connections", "requests", "partitions", *FAULTS)})


def names(requests: list[bytes]) -> set[str]:
    """The calls that these requests are about."""
    return {found.decode() for request in requests for found in re.findall(rb"\bs\d+-\d+-\d+\b", request)}
