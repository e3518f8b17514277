"""Speed of budget guard and ledger, beside floors measured in the same run: ``make bench``.

What runs in one process is held against a lock, a dict look-up and an addition, in CPU time; what asks a Redis server
against two bare PINGs over the same connection, in wall time. Each target runs in turn with its floor; medians of the
rounds are printed.
"""

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from timing import ROUNDS, beside, seconds

from costlab.cache import EmbeddedServer
from costlab.events import Hooks, RequestEvent
from costlab.monitoring import Ledger
from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, MemoryBudgetStore, RedisBudgetStore, SqliteBudgetStore

POLICY = BudgetPolicy(daily_soft_usd=1e6, daily_hard_usd=5e6, monthly_usd=120e6)
LOCK, SPENT = threading.Lock(), {"2027-01-15": 0}


def floor() -> None:
    """What every guard in memory has to do at the least: look at a total and add to it, alone."""
    with LOCK:
        SPENT["2027-01-15"] = SPENT["2027-01-15"] + 17_000


def reserve_and_settle(guard: BudgetGuard) -> Callable[[], None]:
    """One guarded call."""

    def call() -> None:
        with guard.reserve(0.02) as reservation:
            reservation.settle(0.017)

    return call


def event(number: int) -> RequestEvent:
    """A request as a router makes it."""
    return RequestEvent(
        request_id=f"r-{number}", time_s=1.8e9, tier="small", model="gpt-4o-mini", input_tokens=1200,
        cached_input_tokens=1000, output_tokens=80, cost_micro_usd=153, latency_s=0.4, outcome="ok", tenant="acme",
    )  # fmt: skip


def compare(
    name: str, call: Callable[[], object], base: Callable[[], object], calls: int, clock: Callable[[], float], most: str
) -> None:
    """Print a target beside its floor."""
    seconds(call, calls // 10 + 1, clock)
    took, least, ratio = beside(call, base, calls, clock)
    print(f"{name:<34}{1e6 * took:>10.2f}{1e6 * least:>11.2f}{ratio:>8.2f}   {most}")


def emit_next(hooks: Hooks, left: Iterator[RequestEvent]) -> None:
    """Tell the hooks of one more event."""
    hooks.emit(next(left))


def ledger_rows(folder: Path) -> None:
    """Print what appending to the ledger takes: the mean over whole batches, writing included."""
    numbers = itertools.count()
    for batch, calls, most in ((256, 20_480, "<= 12 us with the Prometheus hook"), (1, 1000, "")):
        ledger = Ledger(folder / f"ledger-{batch}", batch_size=batch, flush_every_s=None)
        hooks = Hooks([ledger.append])
        samples = []
        for _ in range(ROUNDS):
            events = [event(next(numbers)) for _ in range(calls)]  # made before: the router makes them anyway
            left = iter(events)
            samples.append(1e6 * seconds(partial(emit_next, hooks, left), calls, time.process_time))
        ledger.close()
        spread = f"{min(samples):.2f}..{max(samples):.2f}"
        print(f"{f'ledger, batches of {batch}':<34}{statistics.median(samples):>10.2f}{spread:>19}   {most}")


def main() -> None:
    """Print the table."""
    print(f"{'target':<34}{'us a call':>10}{'floor us':>11}{'ratio':>8}   (median of {ROUNDS} rounds)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        memory = reserve_and_settle(BudgetGuard(POLICY, MemoryBudgetStore()))
        compare("reserve + settle, memory", memory, floor, 5000, time.process_time, "<= 10 us")
        store = SqliteBudgetStore(folder / "budget")
        compare("reserve + settle, SQLite", reserve_and_settle(BudgetGuard(POLICY, store)), floor, 500,
                time.process_time, "")  # fmt: skip
        store.disconnect()
        server = EmbeddedServer(folder=folder).start()
        try:
            redis = RedisBudgetStore(server.url, timeout_s=5)
            ping = redis._client.ping

            def two_round_trips() -> None:
                ping()
                ping()

            call = reserve_and_settle(BudgetGuard(POLICY, redis))
            compare("reserve + settle, Redis (wall)", call, two_round_trips, 1000, time.perf_counter, "ratio <= 2.2")
            BudgetGuard(POLICY, redis).record(POLICY.daily_soft_usd)
            compare("  the same above the soft limit", call, two_round_trips, 1000, time.perf_counter, "ratio <= 2.2")
            redis.disconnect()
        finally:
            server.stop()
        ledger_rows(folder)


if __name__ == "__main__":
    main()
