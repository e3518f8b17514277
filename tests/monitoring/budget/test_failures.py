"""What a guard does when its store fails, and what the store has forgotten when it comes back."""

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.errors import BudgetStoreError, InvalidValueError
from costlab.monitoring import Ledger
from costlab.monitoring.budget import (
    AsyncBudgetGuard,
    AuditEntry,
    BudgetExceeded,
    BudgetGuard,
    GuardCounts,
    RedisBudgetStore,
    SqliteBudgetStore,
)
from costlab.monitoring.budget.engine import SettleRequest, StatusRequest
from tests import needs
from tests.monitoring.budget.support import Clock, policy, refused_by, spend
from tests.monitoring.budget.worker import event
from tests.monitoring.servers import server_in

DAY = StatusRequest("2027-01-15", "2027-01")


@pytest.fixture
def durable_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, which keeps its data."""
    (tmp_path / "durable").mkdir()
    running = server_in(tmp_path / "durable", durable=True).start()
    yield running
    running.stop()


@pytest.fixture
def connect(server: EmbeddedServer) -> Iterator[Callable[[], RedisBudgetStore]]:
    made: list[RedisBudgetStore] = []

    def make() -> RedisBudgetStore:
        made.append(RedisBudgetStore(server.url, timeout_s=5, clock=Clock()))
        return made[-1]

    yield make
    for store in made:
        store.disconnect()


class Severed:
    """Lines on which answers are lost, or commands do not arrive, so often."""

    def __init__(self, lines: Any, lost: int = 0, unsent: int = 0) -> None:
        self.lines, self.lost, self.unsent = lines, lost, unsent

    def ask(self, *arguments: Any) -> Any:
        if self.unsent:
            self.unsent -= 1
            raise ConnectionError("not sent")
        answer = self.lines.ask(*arguments)
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the answer is lost")
        return answer


def sever(store: RedisBudgetStore, lines: Any, **fault: int) -> None:
    severed: Any = Severed(lines, **fault)
    store._lines = severed


@pytest.mark.redis
def test_without_its_store_a_guard_refuses_and_says_so(
    durable_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisBudgetStore(durable_server.url, timeout_s=5, clock=Clock())
    guard = BudgetGuard(policy(), store, clock=Clock())
    spend(guard, 1)
    durable_server.stop()
    with caplog.at_level(logging.WARNING, "costlab.budget"):
        for _ in range(3):
            with pytest.raises(BudgetStoreError, match="the budget's server failed"):
                guard.reserve(1)
        assert [record.message.endswith("until it answers nothing is admitted") for record in caplog.records] == [True]
        assert (guard.counts.store_failures, guard.counts.unguarded) == (3, 0)
        assert isinstance(guard.last_store_error, BudgetStoreError)
        durable_server.start()
        guard.reserve(1)
    assert "the budget's store answers again" in caplog.messages
    store.disconnect()


@pytest.mark.redis
def test_a_policy_may_allow_to_run_unguarded_and_the_spend_is_recorded_later(
    server: EmbeddedServer, connect: Callable[[], RedisBudgetStore], caplog: pytest.LogCaptureFixture
) -> None:
    guard = BudgetGuard(policy(on_store_failure="allow"), connect(), clock=Clock())
    server.stop()
    with caplog.at_level(logging.ERROR, "costlab.budget"):
        with guard.reserve(1) as early:
            early.settle(0.7)
        late = guard.reserve(1)
    assert "everything runs UNGUARDED" in caplog.text
    assert not early.guarded
    assert (guard.counts.unguarded, guard.counts.admitted, guard.waiting) == (2, 0, 1)
    server.start()
    late.settle(0.4)
    assert guard.waiting == 0
    assert guard.status().day_spent_micro_usd == 1_100_000


@pytest.mark.redis
def test_a_settlement_that_could_not_be_said_waits_and_counts_once(durable_server: EmbeddedServer) -> None:
    store = RedisBudgetStore(durable_server.url, timeout_s=5, clock=Clock())
    guard = BudgetGuard(policy(), store, clock=Clock())
    reservations = [guard.reserve(1) for _ in range(3)]
    durable_server.stop()
    reservations[0].settle(0.5)
    reservations[1].release()
    assert guard.waiting == 2
    guard.flush()  # still nothing
    assert guard.waiting == 2
    durable_server.start()
    reservations[2].settle(0.25)
    assert guard.waiting == 0
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (750_000, 0)
    store.disconnect()


@pytest.mark.redis
@pytest.mark.parametrize("fault", [{"lost": 1}, {"unsent": 1}], ids=str)
def test_an_answer_or_a_command_that_is_lost_on_the_way_changes_nothing(
    connect: Callable[[], RedisBudgetStore], fault: dict[str, int]
) -> None:
    store = connect()
    guard = BudgetGuard(policy(), store, clock=Clock())
    spend(guard, 1)
    healthy: Any = store._lines
    sever(store, healthy, **fault)
    reservation = guard.reserve(2)
    assert guard.status().day_reserved_micro_usd == 2_000_000
    sever(store, healthy, **fault)
    reservation.settle(1.5)
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (2_500_000, 0)
    sever(store, healthy, **fault)
    guard.record(0.25)
    assert guard.status().day_spent_micro_usd == 2_750_000
    assert guard.counts.store_failures == 0
    store._lines = healthy


@pytest.mark.redis
def test_both_attempts_lost_and_said_again_later_count_once(connect: Callable[[], RedisBudgetStore]) -> None:
    store = connect()
    guard = BudgetGuard(policy(), store, clock=Clock())
    first, second = guard.reserve(2), guard.reserve(2)
    healthy: Any = store._lines
    sever(store, healthy, lost=2)
    first.settle(1)  # was done, but nobody knows
    sever(store, healthy, unsent=2)
    second.settle(1)  # was not done
    store._lines = healthy
    assert guard.waiting == 2
    guard.flush()
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (2_000_000, 0)


@pytest.mark.redis
def test_a_server_that_lost_its_records_stops_the_budget_once(
    server: EmbeddedServer, connect: Callable[[], RedisBudgetStore], tmp_path: Path
) -> None:
    alerts: list[AuditEntry] = []
    old = [BudgetGuard(policy(), connect(), clock=Clock(), on_alert=alerts.append) for _ in range(2)]
    with Ledger(tmp_path / "ledger") as ledger:
        for number, guard in enumerate(old):
            spend(guard, 4)
            ledger.append(event(f"r-{number}", 4_000_000))
        server.stop()
        server.start()
        with pytest.raises(BudgetExceeded, match="emergency stop") as caught:
            old[0].reserve(1)
        assert caught.value.limit_name == "lost_records"
        new = BudgetGuard(policy(), connect(), clock=Clock())
        assert refused_by(new, 1) == "lost_records"
        # A person enters what the ledger knows, and goes on.
        new.record(ledger.totals().cost_usd)
        assert new.reset("Ada", "entered from the ledger")
    assert refused_by(new, 3) == "daily_hard"
    for guard in (*old, new):  # the second old guard notices too, and there is nothing left to do
        assert refused_by(guard, 2) == ""
    assert [entry.change for entry in alerts if entry.change != "reached"] == ["lost", "stopped"]


@pytest.mark.redis
def test_where_running_without_a_store_is_allowed_lost_records_are_told_and_stop_nothing(
    server: EmbeddedServer, connect: Callable[[], RedisBudgetStore]
) -> None:
    alerts: list[AuditEntry] = []
    guard = BudgetGuard(policy(on_store_failure="allow"), connect(), clock=Clock(), on_alert=alerts.append)
    spend(guard, 4)
    server.stop()
    server.start()
    spend(guard, 4)
    assert [str(entry) for entry in alerts] == ["the store lost its records of what was spent"]


@pytest.mark.redis
def test_a_server_that_forgot_the_script_is_told_again(connect: Callable[[], RedisBudgetStore]) -> None:
    store = connect()
    guard = BudgetGuard(policy(), store, clock=Clock())
    spend(guard, 1)
    store._client.script_flush()
    spend(guard, 1)
    assert guard.status().day_spent_micro_usd == 2_000_000


@pytest.mark.redis
@pytest.mark.parametrize("spent", [0, 8.5, 10.5], ids=["below", "above soft", "above hard"])
def test_a_call_costs_the_server_no_more_commands_whatever_limit_it_has_passed(
    connect: Callable[[], RedisBudgetStore], spent: float
) -> None:
    store = connect()
    guard = BudgetGuard(policy(), store, clock=Clock())
    guard.record(spent)
    spend(guard, 0.01, "essential")
    store._client.config_resetstat()
    for _ in range(5):  # of the first 16 steps, none looks for what is to be forgotten
        spend(guard, 0.01, "essential")
    calls = {name: stats["calls"] for name, stats in store._client.info("commandstats").items()}
    scripts = ("hmget", "hset", "zadd", "zscore")  # the store of this test has a clock of its own
    assert [calls[f"cmdstat_{name}"] for name in scripts] == [10, 10, 10, 5]
    assert set(calls) <= {f"cmdstat_{name}" for name in (*scripts, "evalsha", "config|resetstat", "time")}


@pytest.mark.redis
@pytest.mark.anyio
async def test_the_asynchronous_guard_keeps_what_it_could_not_say(durable_server: EmbeddedServer) -> None:
    store = RedisBudgetStore(durable_server.url, timeout_s=5, clock=Clock())
    guard = AsyncBudgetGuard(policy(), store, clock=Clock())
    async with guard.reserve(2) as first:
        durable_server.stop()
        await first.settle(1)
    with pytest.raises(BudgetStoreError):
        await guard.reserve(1)
    assert guard.waiting == 1
    durable_server.start()
    async with guard.reserve(1):
        pass
    assert guard.waiting == 0
    assert (await guard.status()).day_spent_micro_usd == 2_000_000
    await store.adisconnect()
    store.disconnect()


@pytest.mark.redis
@pytest.mark.anyio
async def test_many_tasks_at_once_are_no_failure_of_the_store(connect: Callable[[], RedisBudgetStore]) -> None:
    store = connect()
    guard = AsyncBudgetGuard(policy(on_store_failure="allow"), store, clock=Clock())
    await asyncio.gather(*(guard.reserve(0.05) for _ in range(300)), return_exceptions=True)
    await store.adisconnect()
    assert guard.counts == GuardCounts(admitted=200, refused=100)


@pytest.mark.redis
def test_many_threads_at_once_are_no_failure_of_the_store(
    server: EmbeddedServer, connect: Callable[[], RedisBudgetStore]
) -> None:
    guard = BudgetGuard(policy(), connect(), clock=Clock())
    guard.status()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)  # so that all of them wait for it together
    try:
        threads = [threading.Thread(target=guard.record, args=(0.1,)) for _ in range(150)]
        for thread in threads:
            thread.start()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert guard.counts.store_failures == 0
    assert guard.status().day_spent_micro_usd == 15_000_000


def test_an_address_is_checked_and_its_password_kept_out_of_the_error() -> None:
    needs.extra("redis", "redis")
    with pytest.raises(
        InvalidValueError, match="the scheme of url must be one of redis, rediss, unix, got 'http'"
    ) as e:
        RedisBudgetStore("http://:secret@host")
    assert "secret" not in str(e.value)
    with pytest.raises(InvalidValueError, match="timeout_s must be a number > 0"):
        RedisBudgetStore("redis://host", timeout_s=0)


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()
    before = (tmp_path / "ledger").read_bytes()
    with pytest.raises(BudgetStoreError, match="ledger is no budget, but another program's file"):
        SqliteBudgetStore(tmp_path / "ledger")
    assert (tmp_path / "ledger").read_bytes() == before


def test_a_file_that_another_process_holds_is_a_store_failure(tmp_path: Path) -> None:
    store = SqliteBudgetStore(tmp_path / "budget", timeout_s=0.01, clock=Clock())
    guard = BudgetGuard(policy(), store, clock=Clock())
    reservation = guard.reserve(1)
    blocker = sqlite3.connect(tmp_path / "budget", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(BudgetStoreError, match="the budget in budget failed: database is locked"):
        guard.reserve(1)
    reservation.settle(0.5)
    blocker.execute("ROLLBACK")
    blocker.close()
    guard.flush()
    assert guard.status().day_spent_micro_usd == 500_000
    store.disconnect()
    with pytest.raises(BudgetStoreError, match="was closed, or opened before a fork"):
        guard.reserve(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after_a_fork_a_file_is_not_used_and_names_are_new(tmp_path: Path) -> None:
    store = SqliteBudgetStore(tmp_path / "budget", clock=Clock())
    guard = BudgetGuard(policy(), store, clock=Clock())
    token = guard.reserve(1).request.token
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            guard.reserve(1)
        except BudgetStoreError:
            os.write(writing, guard._new_token().encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(reading, 100).decode()
    assert of_child
    assert of_child.split("-")[0] != token.split("-")[0]
    os.close(reading)
    os.close(writing)
    store.disconnect()


def test_a_file_of_the_version_before_is_read_as_it_is(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "budget")) as file:
        file.executescript(
            """
            CREATE TABLE accounts (period TEXT PRIMARY KEY, spent INTEGER, reserved INTEGER, extra INTEGER,
                                   lapsed INTEGER, marks TEXT) WITHOUT ROWID;
            CREATE TABLE held (token TEXT PRIMARY KEY, amount INTEGER, day TEXT, month TEXT, expires_s REAL,
                               is_lapsed INTEGER) WITHOUT ROWID;
            CREATE INDEX held_expire ON held (is_lapsed, expires_s);
            CREATE TABLE unbooked (token TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL);
            CREATE TABLE stop (one INTEGER PRIMARY KEY CHECK (one = 1), stopped_by TEXT NOT NULL);
            INSERT INTO stop VALUES (1, '');
            INSERT INTO accounts VALUES ('2027-01-15', 3000000, 2000000, 0, 4000000, ''),
                                        ('2027-01', 3000000, 2000000, 0, 0, '');
            INSERT INTO held VALUES ('open', 2000000, '2027-01-15', '2027-01', 9000000000, 0),
                                    ('expired', 4000000, '2027-01-15', '2027-01', 1799999000, 1);
            INSERT INTO unbooked VALUES ('ran');
            PRAGMA application_id = 1668047463; PRAGMA user_version = 1
            """
        )
    limits = policy().limits
    for _ in range(2):  # the second one finds what the first made of it
        store = SqliteBudgetStore(tmp_path / "budget")
        day = store.transact(limits, DAY).day
        assert (day.spent_micro_usd, day.reserved_micro_usd, day.presumed_micro_usd) == (3_000_000, 2_000_000, 0)
        store.disconnect()
    store = SqliteBudgetStore(tmp_path / "budget")
    said = [("open", 1_500_000), ("expired", 4_000_000), ("ran", 9_000_000), ("open", 1_500_000)]
    settlements = [SettleRequest(token, spent, "2027-01-15", "2027-01", spent) for token, spent in said]
    settlements[0] = settlements[0]._replace(amount_micro_usd=2_000_000)
    assert [store.transact(limits, one).outcome for one in settlements] == ["settled", "late", "known", "known"]
    day = store.transact(limits, DAY).day
    assert (day.spent_micro_usd, day.reserved_micro_usd) == (8_500_000, 0)
    store.disconnect()


@pytest.mark.parametrize(("back_s", "left_s"), [(30.0, 130.0), (86400.0, 100.0)])
def test_a_file_knows_how_late_it_is(tmp_path: Path, back_s: float, left_s: float) -> None:
    """A clock that is set back, by little and by much, and another process that goes by it."""
    clock = Clock()
    store = SqliteBudgetStore(tmp_path / "budget", clock=clock)
    BudgetGuard(policy(), store, clock=clock).reserve(5)
    clock.now_s += 500
    BudgetGuard(policy(), store, clock=clock).status()
    store.disconnect()
    clock.now_s -= back_s
    other = SqliteBudgetStore(tmp_path / "budget", clock=clock)
    guard = BudgetGuard(policy(), other, clock=clock)
    spend(guard, 1)
    clock.now_s += left_s - 1
    assert other.transact(policy().limits, DAY).day.reserved_micro_usd == 5_000_000
    clock.now_s += 1
    assert other.transact(policy().limits, DAY).day.reserved_micro_usd == 0
    other.disconnect()
