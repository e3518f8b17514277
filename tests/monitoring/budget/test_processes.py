"""Many workers in many processes at once, and what happens to the books when servers and workers die."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.monitoring import Ledger
from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, BudgetStatus, RedisBudgetStore, SqliteBudgetStore
from tests.monitoring.budget.support import START_S
from tests.monitoring.servers import server_in

ROOT = Path(__file__).parents[3]
KINDS = ["sqlite", pytest.param("redis", marks=pytest.mark.redis)]


class Crew:
    """Worker processes that share a budget and a ledger."""

    def __init__(self, kind: str, folder: Path, **job: Any) -> None:
        self.ledger_path = folder / "ledger"
        # Real seconds, moved to a fixed morning: no test runs over midnight.
        self.job: dict[str, Any] = {
            "kind": kind,
            "ledger": str(self.ledger_path),
            "shift_s": time.time() - START_S,
            **job,
        }
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, processes: int, first: dict[str, Any] | None = None) -> None:
        for number in range(processes):
            job = json.dumps(self.job | {"name": f"w{number}"} | (first or {} if number == 0 else {}))
            command = [sys.executable, "-m", "tests.monitoring.budget.worker", job]
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def results(self) -> Counter[str]:
        """What the workers that live say when they are done, added up."""
        total: Counter[str] = Counter()
        for process in self.processes:
            said = process.communicate(timeout=120)[0]
            if process.returncode == 0:
                total.update(json.loads(said))
        return total

    def guard(self) -> BudgetGuard:
        store = SqliteBudgetStore if self.job["kind"] == "sqlite" else RedisBudgetStore
        shift_s = self.job["shift_s"]
        policy = BudgetPolicy(**self.job["policy"])

        def clock() -> float:
            return time.time() - float(shift_s)

        return BudgetGuard(policy, store(self.job["place"], timeout_s=60, clock=clock), clock=clock)

    def costs(self) -> dict[str, int]:
        """What the calls in the ledger cost, in micro-dollars."""
        with Ledger(self.ledger_path) as ledger:
            return {event.request_id: event.cost_micro_usd or 0 for event in ledger.events()}

    def status(self) -> BudgetStatus:
        """How the budget stands, asked by one who took no part."""
        guard = self.guard()
        status = guard.status()
        guard._store.disconnect()  # type: ignore[attr-defined]
        return status


@pytest.fixture
def crew(redis_server_if: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    crews: list[Crew] = []

    def make(kind: str, place: str | None = None, **job: Any) -> Crew:
        place = place or (str(tmp_path / "budget") if kind == "sqlite" else redis_server_if(kind))
        crews.append(Crew(kind, tmp_path, place=place, **job))
        return crews[-1]

    yield make
    for one in crews:
        for process in one.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def redis_server_if(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    servers: list[EmbeddedServer] = []

    def url(kind: str) -> str:
        servers.append(server_in(tmp_path).start())
        return servers[-1].url

    yield url
    for server in servers:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_64_workers_never_pass_the_limit_and_the_ledger_agrees(crew: Callable[..., Crew], kind: str) -> None:
    # 64 workers ask for 64 x 20 x 0.0055 dollars on average, 7 dollars; 4 are allowed.
    policy = {"daily_soft_usd": 4, "daily_hard_usd": 4, "monthly_usd": 100}
    workers = crew(kind, policy=policy, threads=8, calls=20, estimate_micro_usd=[1000, 9999])
    workers.start(processes=8)
    guard, used = workers.guard(), []
    while any(process.poll() is None for process in workers.processes):
        status = guard.status()
        used.append(status.day_spent_micro_usd + status.day_reserved_micro_usd)
        time.sleep(0.02)
    guard._store.disconnect()  # type: ignore[attr-defined]
    said = workers.results()
    assert all(process.returncode == 0 for process in workers.processes)
    assert max(used) <= 4_000_000
    status = workers.status()
    with Ledger(workers.ledger_path) as ledger:
        totals = ledger.totals()
    assert said["admitted"] + said["refused"] == 64 * 20
    assert said["refused"] > 100  # the limit was felt
    assert totals.requests == said["admitted"]
    assert status.day_spent_micro_usd == totals.cost_micro_usd == said["micro_usd"]
    assert 3_900_000 < status.day_spent_micro_usd <= 4_000_000
    assert (status.day_reserved_micro_usd, status.month_spent_micro_usd) == (0, status.day_spent_micro_usd)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_for_exactly_one_call_admits_exactly_one_of_64(crew: Callable[..., Crew], kind: str) -> None:
    policy = {"daily_soft_usd": 0.01, "daily_hard_usd": 0.01, "monthly_usd": 100}
    workers = crew(kind, policy=policy, threads=8, calls=1, estimate_micro_usd=[10_000, 10_000], call_s=0.1)
    workers.start(processes=8)
    said = workers.results()
    # It costs at least half of what is allowed, so there is no room for a second one after it either.
    assert (said["admitted"], said["refused"]) == (1, 63)
    assert workers.status().day_spent_micro_usd == said["micro_usd"]


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_the_books_survive_a_restart_of_redis_and_the_death_of_a_worker(
    crew: Callable[..., Crew], tmp_path: Path, crash: bool
) -> None:
    (tmp_path / "redis").mkdir()
    server = server_in(tmp_path / "redis", durable=True).start()
    policy = {"daily_soft_usd": 4, "daily_hard_usd": 4, "monthly_usd": 100, "reservation_ttl_s": 3.0}
    workers = crew(
        "redis", server.url, policy=policy, threads=4, calls=40, estimate_micro_usd=[1000, 9999], call_s=0.04,
        timeout_s=1.0,
    )  # fmt: skip
    try:
        workers.start(processes=5, first={"call_s": 0.3})  # of 300 ms it holds a reservation nearly all
        deadline = time.monotonic() + 60
        while not any(name.startswith("w0-") for name in workers.costs()):  # its first calls are about to be settled
            assert time.monotonic() < deadline
            time.sleep(0.01)
        victim = workers.processes[0]
        assert victim.poll() is None
        victim.send_signal(signal.SIGKILL)
        time.sleep(0.1)
        server.kill() if crash else server.stop()
        time.sleep(0.5)
        server.start()
        said = workers.results()
        assert [process.returncode for process in workers.processes] == [-signal.SIGKILL, 0, 0, 0, 0]
        assert said["unreachable"] > 0  # the outage was felt
        assert said["waiting"] == 0
        with Ledger(workers.ledger_path) as ledger:
            ledger.verify()
        costs = workers.costs()
        by_victim = sum(cost for name, cost in costs.items() if name.startswith("w0-"))
        by_others = sum(costs.values()) - by_victim
        # Each call of those that live is in the ledger, once.
        assert said["admitted"] == sum(not name.startswith("w0-") for name in costs)
        assert said["micro_usd"] == by_others
        time.sleep(3.0)  # what the dead worker had reserved expires
        status = workers.status()
        assert status.day_reserved_micro_usd == 0
        # Calls are in the ledger before they are settled: its four threads may have been between the two, or before.
        # What they had reserved is taken for spent.
        presumed = status.day_presumed_micro_usd
        assert 0 < presumed <= 4 * 9999
        settled_by_victim = status.day_spent_micro_usd - by_others - presumed
        assert by_victim - presumed <= settled_by_victim <= by_victim
        assert status.day_spent_micro_usd <= 4_000_000
        assert status.level in ("normal", "soft")
    finally:
        server.stop()
