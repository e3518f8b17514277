"""A process that makes calls under a budget, and says what it is about to do, what it is billed and how it ended.

Run by the attacks on budgets. Budget after budget is spent to the brim: who is refused again and again goes on to the
next one. Its provider is the line that says so: whatever becomes of the process or of the books, the test has seen the
bill. A line has the budget's number, the call's name, what happened, and an amount in micro-dollars.
"""

import asyncio
import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

from costlab.errors import BudgetExceeded, BudgetStoreError
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetGuard, BudgetPolicy, RedisBudgetStore, SqliteBudgetStore
from costlab.units import MICRO_USD_PER_USD
from tests.stress.support import Mouth, full_disk

#: How calls end, and how often, of 1000. Settled with the bill; settled after the reservation expired; broken after or
#: before the provider carried it out; not sent, and given up; cancelled at any point; recorded, and not reserved.
FATES: Final = {
    "settled": 810, "slow": 3, "broken": 47, "unbilled": 30, "not sent": 50, "cancelled": 30, "recorded": 30,
}  # fmt: skip
ESTIMATES_MICRO_USD: Final = (1_000, 20_000)
#: So often in a row a budget refuses before one goes on to the next.
REFUSALS: Final = 4

#: The call that is being made: its name is the token of its reservation.
_call: ContextVar[str] = ContextVar("call")


class BrokenError(Exception):
    """The call failed."""


class Call(NamedTuple):
    """What is to happen."""

    name: str
    fate: str
    estimate: int
    bill: int
    takes_s: float

    @property
    def is_billed(self) -> bool:
        """Whether the provider carries it out."""
        return self.fate not in ("unbilled", "not sent")


class Spender:
    """The calls of one process.

    Parameters
    ----------
    job : dict
        Where the budgets are, its name and seed, and what else it is told.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.mouth, self.counts = job, Mouth(), Counter[str]()
        self.policy = BudgetPolicy(**job["policy"])
        self._lock = threading.Lock()
        #: Of budgets that are in use, or have something to say yet.
        self.guards: dict[int, Any] = {}
        #: How many threads are in which budget.
        self.users = Counter({job["budget"]: job["threads"]})
        self._newest = -1

    def guard_of(self, number: int) -> Any:
        """The guard of a budget."""
        with self._lock:
            while number not in self.guards:
                with suppress(BudgetStoreError):  # a file may be locked, or the disk full
                    self.guards[number] = self._new_guard(number)
            return self.guards[number]

    def arrived(self, number: int) -> None:
        """The store of a budget has answered: say so of the newest."""
        with self._lock:
            if number > self._newest:
                self._newest = number
                self.mouth.say(budget=number)

    def go_on(self, number: int) -> list[Any]:
        """A thread goes on to the next budget; the stores to close, of budgets that no thread will come to again.

        A guard is kept for threads that have yet to come: a new one would not know which books there were.
        """
        with self._lock:
            self.users[number] -= 1
            self.users[number + 1] += 1
            first = min(budget for budget, users in self.users.items() if users)
            over = [budget for budget, guard in self.guards.items() if budget < first and not guard.waiting]
            return [self.guards.pop(budget)._store for budget in over]

    def _new_guard(self, number: int) -> BudgetGuard | AsyncBudgetGuard:
        job, timeout_s = self.job, self.job["timeout_s"]
        store = (
            SqliteBudgetStore(Path(job["place"]) / f"budget-{number}", timeout_s=timeout_s)
            if job["kind"] == "sqlite"
            else RedisBudgetStore(job["place"], prefix=f"{{budget-{number}}}:", timeout_s=timeout_s)
        )
        kind = AsyncBudgetGuard if job["async"] else BudgetGuard
        return kind(self.policy, store, clock=lambda: time.time() + job["ahead_s"], new_token=_call.get)

    def next_call(self, rng: random.Random, budget: int, name: str) -> Call:
        """What is to happen next, said before it does."""
        fate = rng.choices(list(FATES), list(FATES.values()))[0]
        estimate = rng.randint(*ESTIMATES_MICRO_USD)
        takes_s = rng.uniform(0, 0.005)
        if fate == "slow":
            takes_s = rng.uniform(1, 1.5) * self.policy.reservation_ttl_s
        bill = rng.randint(estimate // 2, estimate)
        call = Call(f"{self.job['name']}-{name}", fate, estimate, bill, takes_s)
        _call.set(call.name)
        self.say(budget, call, "intended", call.estimate)
        return call

    def say(self, budget: int, call: Call, what: str, amount: int) -> None:
        """Say what happened: ``intended``, ``billed``, ``refused``, ``failed``, ``closed``, ``perhaps``."""
        self.mouth.line(f"{budget} {call.name} {what} {amount}")

    def closed(self, budget: int, call: Call, amount: int, guard: Any) -> None:
        """Its reservation was closed with so much; perhaps, where the store was ever out of reach, it waits yet."""
        self.say(budget, call, "perhaps" if guard.counts.store_failures else "closed", amount)

    def spend(self, thread: int) -> None:
        """Calls of one thread until it is over."""
        rng, number, budget, refused = random.Random(f"{self.job['seed']} {thread}"), 0, self.job["budget"], 0
        guard = self.guard_of(budget)
        while not self.mouth.over:
            number += 1
            call = self.next_call(rng, budget, f"{number}-{thread}")
            try:
                amount = self.make(budget, guard, call)
            except BudgetExceeded:
                refused += 1
                self.arrived(budget)
                self.say(budget, call, "refused", 0)
            except BudgetStoreError as error:
                self.counts["out_of_reach"] += 1
                self.say(budget, call, "failed" if error.may_have_arrived else "closed", 0)
                time.sleep(0.005)
            except BrokenError:
                self.closed(budget, call, call.estimate, guard)
            else:
                refused = 0
                self.arrived(budget)
                self.closed(budget, call, amount, guard)
            if refused >= REFUSALS:
                for store in self.go_on(budget):
                    store.disconnect()
                budget, refused = budget + 1, 0
                guard = self.guard_of(budget)

    def make(self, budget: int, guard: BudgetGuard, call: Call) -> int:
        """Make a call, and return what it was settled with."""
        if call.fate == "recorded":
            self.say(budget, call, "recorded", call.bill)
            guard.record(call.bill / MICRO_USD_PER_USD)
            return call.bill
        with guard.reserve(call.estimate / MICRO_USD_PER_USD) as reservation:
            if call.fate == "not sent":
                reservation.release()
                return 0
            if call.is_billed:
                self.say(budget, call, "billed", call.bill)
            time.sleep(call.takes_s)
            if call.fate in ("broken", "unbilled", "cancelled"):
                raise BrokenError
            reservation.settle(call.bill / MICRO_USD_PER_USD)
        return call.bill

    async def spend_async(self, thread: int) -> None:
        """As :meth:`spend`, in a task."""
        rng, number, budget, refused = random.Random(f"{self.job['seed']} {thread}"), 0, self.job["budget"], 0
        guard = self.guard_of(budget)
        while not self.mouth.over:
            number += 1
            call = self.next_call(rng, budget, f"{number}-{thread}")
            making = asyncio.create_task(self.make_async(budget, guard, call))
            if call.fate == "cancelled":
                await asyncio.sleep(rng.uniform(0, 0.01))
                making.cancel()
            try:
                amount = await making
            except BudgetExceeded:
                refused += 1
                self.arrived(budget)
                self.say(budget, call, "refused", 0)
            except BudgetStoreError as error:
                self.counts["out_of_reach"] += 1
                self.say(budget, call, "failed" if error.may_have_arrived else "closed", 0)
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.counts["cancelled"] += 1
            except BrokenError:
                self.closed(budget, call, call.estimate, guard)
            else:
                refused = 0
                self.arrived(budget)
                self.closed(budget, call, amount, guard)
            if refused >= REFUSALS:
                for store in self.go_on(budget):
                    await self.close(store)
                budget, refused = budget + 1, 0
                guard = self.guard_of(budget)
            await asyncio.sleep(0)

    async def close(self, store: Any) -> None:
        """Close a store of this event loop."""
        if self.job["kind"] == "redis":
            await store.adisconnect()
        store.disconnect()

    async def make_async(self, budget: int, guard: AsyncBudgetGuard, call: Call) -> int:
        """As :meth:`make`."""
        if call.fate == "recorded":
            self.say(budget, call, "recorded", call.bill)
            await guard.record(call.bill / MICRO_USD_PER_USD)
            return call.bill
        async with guard.reserve(call.estimate / MICRO_USD_PER_USD) as reservation:
            if call.fate == "not sent":
                await reservation.release()
                return 0
            if call.is_billed:
                self.say(budget, call, "billed", call.bill)
            await asyncio.sleep(call.takes_s)
            if call.fate in ("broken", "unbilled"):
                raise BrokenError
            await reservation.settle(call.bill / MICRO_USD_PER_USD)
        return call.bill

    def fill_disk(self) -> None:
        """Now and then no file can grow; in a thread of its own."""
        rng, folder = random.Random(self.job["seed"]), Path(self.job["place"])
        while not self.mouth.over:
            time.sleep(rng.uniform(0, 2))
            sizes = [file.stat().st_size for file in folder.glob(f"budget-{self._newest}*")]
            with full_disk(rng.randint(4096, max(8192, *sizes, 0))):
                self.counts["full_disks"] += 1
                time.sleep(rng.uniform(0, 0.05))

    def run(self) -> None:
        """Spend until it is over, and until nothing waits."""
        threads = range(self.job["threads"])
        with ThreadPoolExecutor() as pool:
            if self.job["kind"] == "sqlite":
                filling = pool.submit(self.fill_disk)
            if self.job["async"]:
                asyncio.run(self.run_async())
            else:
                for done in [pool.submit(self.spend, thread) for thread in threads]:
                    done.result()
            if self.job["kind"] == "sqlite":
                filling.result()
        for guard in self.guards.values():
            while not self.job["async"] and guard.waiting:
                guard.flush()
        self.mouth.say(finished=True, **self.counts)

    async def run_async(self) -> None:
        """As :meth:`run`, for tasks."""
        async with asyncio.TaskGroup() as group:
            for thread in range(self.job["threads"]):
                group.create_task(self.spend_async(thread))
        for guard in self.guards.values():
            while guard.waiting:
                await guard.flush()
            await self.close(guard._store)


if __name__ == "__main__":
    Spender(json.loads(sys.argv[1])).run()
