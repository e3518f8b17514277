"""Settled once, whatever becomes of a request, its answer, its task and its server on the way."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.errors import BudgetStoreError
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetGuard, MemoryBudgetStore, RedisBudgetStore
from costlab.monitoring.budget.engine import SettleRequest
from tests.monitoring.budget.network import Fate, Line
from tests.monitoring.budget.support import Clock, policy, refused_by, spend

TIMEOUT_S = 0.5


@pytest.fixture
def line(server: EmbeddedServer) -> Iterator[Line]:
    line = Line(server.port)
    yield line
    line.close()


@pytest.fixture
def store(line: Line) -> Iterator[RedisBudgetStore]:
    store = RedisBudgetStore(line.url, timeout_s=TIMEOUT_S, clock=Clock())
    yield store
    store.disconnect()


def books(guard: BudgetGuard) -> tuple[int, int]:
    """What is spent and reserved, in micro-dollars."""
    status = guard.status()
    return status.day_spent_micro_usd, status.day_reserved_micro_usd


@pytest.mark.redis
@pytest.mark.parametrize("fates", [["late"], ["unanswered"], ["late", "unanswered"], ["late", "late"]], ids=str)
def test_a_settlement_counts_once_though_it_arrives_after_its_repetition(
    line: Line, store: RedisBudgetStore, fates: list[Fate]
) -> None:
    guard = BudgetGuard(policy(), store, clock=Clock())
    reservation = guard.reserve(10)
    line.fates.extend(fates)
    reservation.settle(10)
    assert guard.waiting == len(fates) - 1
    guard.flush()
    line.arrive()
    assert books(guard) == (10_000_000, 0)
    line.fates.extend(fates)
    guard.record(0.5)
    guard.flush()
    line.arrive()
    assert books(guard) == (10_500_000, 0)


@pytest.mark.redis
def test_a_reservation_that_arrives_after_its_call_was_settled_holds_nothing(
    line: Line, store: RedisBudgetStore
) -> None:
    guard = BudgetGuard(policy(), store, clock=Clock())
    spend(guard, 1)
    line.fates.append("late")
    spend(guard, 5)
    line.arrive()
    assert books(guard) == (6_000_000, 0)


@pytest.mark.redis
@pytest.mark.parametrize("first", ["reservation", "release"])
def test_a_refused_call_holds_nothing_though_its_reservation_arrives_later(
    line: Line, store: RedisBudgetStore, first: str
) -> None:
    guard = BudgetGuard(policy(), store, clock=Clock())
    spend(guard, 1)
    line.fates.extend(["late", "late"])
    with pytest.raises(BudgetStoreError, match="the budget's server failed"):
        guard.reserve(5)
    assert guard.waiting == 1
    if first == "reservation":
        line.arrive()
        assert books(guard) == (1_000_000, 5_000_000)
    spend(guard, 1)
    line.arrive()
    assert guard.waiting == 0
    assert books(guard) == (2_000_000, 0)


@pytest.mark.redis
def test_attempts_that_reach_no_server_leave_nothing_to_be_said(server: EmbeddedServer) -> None:
    store = RedisBudgetStore(server.url, clock=Clock())
    guard = BudgetGuard(policy(), store, clock=Clock())
    server.stop()
    for _ in range(20):
        with pytest.raises(BudgetStoreError):
            guard.reserve(1)
    assert guard.waiting == 0
    store.disconnect()


@pytest.mark.redis
def test_an_unguarded_call_is_spent_once_though_its_reservation_arrives_later(
    line: Line, store: RedisBudgetStore
) -> None:
    guard = BudgetGuard(policy(on_store_failure="allow"), store, clock=Clock())
    spend(guard, 1)
    for arrives_first in (True, False):
        line.fates.extend(["late", "late"])
        reservation = guard.reserve(4)
        assert not reservation.guarded
        if arrives_first:
            line.arrive()
        reservation.settle(3)
        line.arrive()
    assert books(guard) == (7_000_000, 0)


@pytest.mark.redis
@pytest.mark.parametrize("tried", [False, True], ids=["settled after", "settled meanwhile"])
def test_what_is_settled_during_an_outage_is_not_forgotten_with_its_reservation(
    server: EmbeddedServer, tried: bool
) -> None:
    """10 calls of a dollar, while the server loses everything: none of 10 more dollars is left."""
    store = RedisBudgetStore(server.url, clock=Clock())
    guard = BudgetGuard(policy(on_store_failure="allow"), store, clock=Clock())
    held = [guard.reserve(1) for _ in range(10)]
    server.stop()
    if tried:
        for reservation in held:
            reservation.settle(1)
        guard.flush()
        assert guard.waiting == 10
    server.start()
    if not tried:
        for reservation in held:
            reservation.settle(1)
    guard.flush()
    assert guard.waiting == 0
    assert books(guard) == (10_000_000, 0)
    assert refused_by(guard, 0.000001) == "daily_hard"
    assert guard.counts.late == 10
    store.disconnect()


class Slow(MemoryBudgetStore):
    """Takes its time, before it does what it is asked or after."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.before, self.asked = before, asyncio.Event()

    async def transact_async(self, limits: Any, request: Any) -> Any:
        self.asked.set()
        if self.before:
            await asyncio.sleep(0.01)
        reply = self.transact(limits, request)
        if not self.before:
            await asyncio.sleep(0.01)
        return reply


@pytest.mark.anyio
@pytest.mark.parametrize("before", [True, False], ids=["not heard yet", "heard"])
@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_cancelled_settlement_is_carried_out(before: bool, steps: int) -> None:
    store = Slow(before)
    guard = AsyncBudgetGuard(policy(daily_soft_usd=1e3, daily_hard_usd=1e3, monthly_usd=1e3), store, clock=Clock())
    held = [await guard.reserve(1) for _ in range(100)]
    tasks = [asyncio.create_task(reservation.settle(0.5)) for reservation in held]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    while guard._under_way:  # of those that were cancelled before they began
        await asyncio.sleep(0.001)
    status = await guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (50_000_000, 0)
    assert (guard.waiting, guard.counts.store_failures) == (0, 0)


def test_what_is_on_its_way_when_the_event_loop_ends_is_carried_out_or_waits() -> None:
    guard = AsyncBudgetGuard(policy(), Slow(True), clock=Clock())

    async def program() -> None:
        held = [await guard.reserve(1) for _ in range(6)]
        begun = [asyncio.create_task(reservation.settle(0.5)) for reservation in held[:2]]
        await asyncio.sleep(0.001)
        unbegun = [asyncio.create_task(reservation.settle(0.5)) for reservation in held[2:4]]
        unawaited = [reservation.settle(0.5) for reservation in held[4:]]
        for coroutine in unawaited:
            coroutine.close()
        assert len([*begun, *unbegun]) == 4

    async def later() -> int:
        await guard.flush()
        return (await guard.status()).day_spent_micro_usd

    asyncio.run(program())
    assert asyncio.run(later()) == 3_000_000
    assert guard.waiting == 0


@pytest.mark.anyio
@pytest.mark.parametrize("before", [True, False], ids=["not heard yet", "heard"])
async def test_a_task_that_is_cancelled_while_it_reserves_leaves_nothing_behind(before: bool) -> None:
    store = Slow(before)
    guard = AsyncBudgetGuard(policy(), store, clock=Clock())
    entered = False

    async def call() -> None:
        nonlocal entered
        async with guard.reserve(2):
            entered = True

    task = asyncio.create_task(call())
    await store.asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not entered
    status = await guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (0, 0)


class Interrupted(MemoryBudgetStore):
    """Somebody presses Ctrl-C while it works, before it does what it is asked or after."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.before, self.interrupts = before, 0

    def transact(self, limits: Any, request: Any) -> Any:
        interrupt, self.interrupts = self.interrupts > 0, max(0, self.interrupts - 1)
        if interrupt and self.before:
            raise KeyboardInterrupt
        reply = super().transact(limits, request)
        if interrupt:
            raise KeyboardInterrupt
        return reply


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_interrupted_program_forgets_no_settlement_and_keeps_no_reservation(before: bool) -> None:
    store = Interrupted(before)
    guard = BudgetGuard(policy(), store, clock=Clock())
    reservation = guard.reserve(2)
    store.interrupts = 1
    with pytest.raises(KeyboardInterrupt):
        reservation.settle(1)
    store.interrupts = 1
    with pytest.raises(KeyboardInterrupt):
        guard.reserve(3)
    assert guard.waiting == 2
    guard.flush()
    assert (guard.waiting, *books(guard)) == (0, 1_000_000, 0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_waits_goes_on_waiting_where_telling_it_fails(error: type[BaseException]) -> None:
    class Broken(MemoryBudgetStore):
        broken = False

        def transact(self, limits: Any, request: Any) -> Any:
            if self.broken and isinstance(request, SettleRequest):
                raise error
            return super().transact(limits, request)

    store = Broken()
    guard = BudgetGuard(policy(), store, clock=Clock())
    held = [guard.reserve(1), guard.reserve(1)]
    store.broken = True
    for reservation in held:
        with pytest.raises(error):
            reservation.settle(1)
    with pytest.raises(error):
        guard.flush()
    assert guard.waiting == 2
    store.broken = False
    guard.flush()
    assert books(guard) == (2_000_000, 0)


def test_a_failure_to_extend_is_counted_and_leaves_nothing_to_be_said() -> None:
    class Down(MemoryBudgetStore):
        def transact(self, limits: Any, request: Any) -> Any:
            raise BudgetStoreError("no connection")

    guard = BudgetGuard(policy(on_store_failure="allow"), Down(), clock=Clock())
    guard.reserve(1).extend()
    assert (guard.counts.store_failures, guard.waiting) == (2, 0)
