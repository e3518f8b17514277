"""What a guard promises, on every store."""

import asyncio
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.monitoring.budget import (
    AsyncBudgetGuard,
    AuditEntry,
    BudgetExceeded,
    BudgetGuard,
    BudgetReservationError,
    BudgetStore,
    BudgetStoreError,
    MemoryBudgetStore,
    RedisBudgetStore,
    SqliteBudgetStore,
)
from costlab.monitoring.budget.engine import (
    CLOCK_TOLERANCE_S,
    LAPSED_KEPT_S,
    SETTLED_KEPT_S,
    SettleRequest,
    StatusRequest,
)
from costlab.monitoring.budget.guard import given_up
from tests.monitoring.budget.support import START_S, Clock, policy, refused_by, spend


@pytest.fixture
def alerts() -> list[AuditEntry]:
    return []


@pytest.fixture
def guard(store: BudgetStore, clock: Clock, alerts: list[AuditEntry]) -> BudgetGuard:
    return BudgetGuard(policy(), store, clock=clock, on_alert=alerts.append)


def changes(entries: Any) -> list[tuple[str, str]]:
    return [(entry.change, entry.limit_name) for entry in entries]


def test_what_is_reserved_counts_until_it_is_settled(guard: BudgetGuard) -> None:
    first, second = guard.reserve(6), guard.reserve(4)
    assert refused_by(guard, 0.000001) == "daily_hard"
    first.settle(2.5)
    second.release()
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (2_500_000, 0)
    assert (status.month_spent_micro_usd, status.day_spent_usd, status.month_spent_usd) == (2_500_000, 2.5, 2.5)
    assert refused_by(guard, 7.5) == ""


def test_a_refusal_carries_limit_spent_reserved_and_requested(guard: BudgetGuard) -> None:
    spend(guard, 5)
    guard.reserve(2)
    with pytest.raises(BudgetExceeded) as caught:
        guard.reserve(3.25)
    error = pickle.loads(pickle.dumps(caught.value))  # as a pool of processes hands it on
    assert (error.limit_name, error.limit_usd, error.spent_usd) == ("daily_hard", 10.0, 5.0)
    assert (error.reserved_usd, error.requested_usd, error.stopped) == (2.0, 3.25, False)
    assert (error.limit_micro_usd, error.requested_micro_usd) == (10_000_000, 3_250_000)
    expected = "3.25 USD refused by the daily hard limit of 10 USD: 5 USD are spent and 2 USD reserved"
    assert str(error) == str(caught.value) == expected


def test_who_runs_at_each_level(guard: BudgetGuard) -> None:
    assert guard.status().level == "normal"
    spend(guard, 8)
    assert guard.status().level == "soft"
    assert [refused_by(guard, 0.5, p) for p in ("batch", "standard", "essential")] == ["daily_soft", "", ""]
    spend(guard, 2)
    assert guard.status().level == "hard"
    assert [refused_by(guard, 0.5, p) for p in ("batch", "standard", "essential")] == ["daily_soft", "daily_hard", ""]


def test_the_month_alike(store: BudgetStore, clock: Clock) -> None:
    guard = BudgetGuard(policy(monthly_usd=25, monthly_soft_usd=18), store, clock=clock)
    for _ in range(2):
        spend(guard, 9)
        clock.now_s += 86400
    assert [refused_by(guard, 0.5, p) for p in ("batch", "standard", "essential")] == ["monthly_soft", "", ""]
    spend(guard, 7)
    assert [refused_by(guard, 0.5, p) for p in ("batch", "standard", "essential")] == ["monthly_soft", "monthly", ""]
    clock.now_s += 20 * 86400  # February
    assert guard.status().month == "2027-02"
    assert [refused_by(guard, 0.5, p) for p in ("batch", "standard", "essential")] == ["", "", ""]


def test_each_limit_is_told_once_a_day_however_many_guards_there_are(
    store: BudgetStore, clock: Clock, alerts: list[AuditEntry]
) -> None:
    guards = [BudgetGuard(policy(), store, clock=clock, on_alert=alerts.append) for _ in range(3)]
    for guard in guards:
        spend(guard, 3)
    assert changes(alerts) == [("reached", "daily_soft")]
    for guard in guards:
        assert refused_by(guard, 0.1, "batch") == "daily_soft"
        assert refused_by(guard, 1.1) == "daily_hard"
    assert changes(alerts[1:]) == [("refusing", "daily_soft"), ("refusing", "daily_hard")]
    clock.now_s += 86400
    spend(guards[0], 8)
    assert changes(alerts[3:]) == [("reached", "daily_soft")]
    assert alerts[3].period == "2027-01-16"
    assert str(alerts[3]) == "daily soft limit of 8.00 USD reached in 2027-01-16: 0.00 USD spent, 8.00 USD reserved"


def test_at_150_percent_everything_stops_until_a_person_resets(
    guard: BudgetGuard, clock: Clock, alerts: list[AuditEntry]
) -> None:
    spend(guard, 10)
    spend(guard, 5, "essential")
    assert guard.status().level == "stopped"
    assert changes(alerts)[-2:] == [("reached", "daily_emergency"), ("stopped", "daily_emergency")]
    for priority in ("batch", "standard", "essential"):
        assert refused_by(guard, 0.000001, priority) == "daily_emergency"
    clock.now_s += 3 * 86400  # a new day ends nothing
    with pytest.raises(BudgetExceeded, match=r"0.1 USD refused by the emergency stop \(daily emergency, 15 USD\)") as e:
        guard.reserve(0.1)
    assert e.value.stopped
    assert guard.reset("Ada", "the runaway client is switched off")
    assert not guard.reset("Ada", "again")
    assert refused_by(guard, 0.1) == ""
    last = guard.audit()[-1]
    assert (last.change, last.person, last.reason) == ("reset", "Ada", "the runaway client is switched off")
    assert last.time_s == clock.now_s


def test_a_runaway_essential_client_is_stopped_even_if_its_costs_never_meet_the_limit_exactly(
    guard: BudgetGuard,
) -> None:
    for _ in range(21):
        spend(guard, 0.7, "essential")  # 14.70 of 15 dollars
    assert guard.status().level == "hard"
    assert refused_by(guard, 0.7, "essential") == "daily_emergency"
    assert guard.status().level == "stopped"
    assert refused_by(guard, 0.000001, "essential") == "daily_emergency"


def test_a_reset_on_the_same_day_may_raise_the_emergency_limit_and_no_other(guard: BudgetGuard) -> None:
    spend(guard, 10)
    spend(guard, 5, "essential")
    guard.reset("Ada", "a look at the logs")
    assert refused_by(guard, 1, "essential") == "daily_emergency"  # the limits still hold
    assert guard.status().level == "stopped"
    guard.reset("Ada", "the hospital needs it today", extra_usd=2)
    spend(guard, 1.5, "essential")
    assert refused_by(guard, 0.1) == "daily_hard"
    assert refused_by(guard, 0.6, "essential") == "daily_emergency"
    assert [e.requested_micro_usd for e in guard.audit() if e.change == "reset"] == [0, 2_000_000]


def test_a_reset_takes_for_spent_what_has_expired_before_it_is_written_down(guard: BudgetGuard, clock: Clock) -> None:
    guard.reserve(3, "essential")
    guard.record(12)
    clock.now_s += 600
    assert guard.reset("Ada", "the client died")
    last = guard.audit()[-1]
    assert (last.spent_micro_usd, last.reserved_micro_usd) == (15_000_000, 0)
    assert str(guard.audit()[-2]).endswith("12.00 USD spent, 3.00 USD reserved")


@pytest.mark.parametrize(("person", "reason", "extra"), [("", "x", 0), ("Ada", " ", 0), ("Ada", "x", -1)])
def test_a_reset_needs_a_person_and_a_reason(guard: BudgetGuard, person: str, reason: str, extra: float) -> None:
    with pytest.raises(InvalidValueError, match=r"person must|reason must|extra_usd must"):
        guard.reset(person, reason, extra)


def test_names_with_quotes_and_umlauts_survive_the_audit_trail(guard: BudgetGuard) -> None:
    spend(guard, 10)
    spend(guard, 5, "essential")
    guard.reset('Jürgen "Jo" \\ Müller', "line\nbreak %s {} 🙂")
    assert (guard.audit()[-1].person, guard.audit()[-1].reason) == ('Jürgen "Jo" \\ Müller', "line\nbreak %s {} 🙂")


def test_a_call_that_costs_more_than_estimated_is_recorded_in_full(guard: BudgetGuard) -> None:
    with guard.reserve(1) as reservation:
        reservation.settle(12)
    assert guard.status().day_spent_micro_usd == 12_000_000
    assert refused_by(guard, 0.000001) == "daily_hard"


def test_a_settlement_at_150_percent_stops(guard: BudgetGuard) -> None:
    guard.reserve(1).settle(14.999999)
    assert guard.status().level == "hard"
    guard.record(0.000001)
    assert guard.status().level == "stopped"


def test_a_block_that_settles_nothing_costs_its_estimate_however_it_ends(guard: BudgetGuard) -> None:
    with guard.reserve(2):
        pass
    for error in (ZeroDivisionError, TimeoutError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), guard.reserve(1):
            raise error
    with pytest.raises(InvalidValueError, match="actual_usd must be"), guard.reserve(0.5) as reservation:
        reservation.settle(float("nan"))
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (6_500_000, 0)


def test_what_was_not_sent_is_released_and_costs_nothing(guard: BudgetGuard) -> None:
    with suppress(ConnectionRefusedError), guard.reserve(3) as reservation:
        reservation.release()
        raise ConnectionRefusedError
    assert (reservation.state, reservation.actual_micro_usd) == ("released", None)
    with guard.reserve(3) as reservation:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            reservation.settle(0.25)  # who knows the bill says it
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (250_000, 0)


def test_calls_that_end_before_they_are_settled_do_not_pass_the_limit(guard: BudgetGuard) -> None:
    """50 calls, estimated at 1 dollar and billed at 0.90, of which this side hears nothing but errors."""
    billed = 0.0
    for _ in range(50):
        with suppress(BudgetExceeded, OSError), guard.reserve(1):
            billed += 0.9
            raise ConnectionResetError
    assert billed == pytest.approx(9.0)
    assert guard.status().day_spent_micro_usd == 10_000_000


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["cancelled", "timed out", "failed"])
async def test_neither_do_those_whose_caller_is_gone(new_store: Callable[..., BudgetStore], end: str) -> None:
    clock = Clock()
    store = new_store(clock=clock)
    guard = AsyncBudgetGuard(policy(), store, clock=clock)
    sent = 0

    async def call() -> None:
        nonlocal sent
        sent += 1
        if end == "failed":
            raise ConnectionResetError
        await asyncio.sleep(60)

    async def request() -> None:
        async with guard.reserve(1), asyncio.timeout(0.01 if end == "timed out" else None):
            await call()

    for _ in range(12):  # one after the other: what is still open would hold the others up by itself
        admitted = guard.counts.admitted
        task = asyncio.create_task(request())
        while end == "cancelled" and not task.done() and sent == admitted:
            await asyncio.sleep(0)
        if end == "cancelled":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sent == 10
    status = await guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (10_000_000, 0)
    assert (guard.counts.admitted, guard.counts.refused) == (10, 2)
    await spent_and_disconnected(guard, store)


@pytest.mark.anyio
async def test_an_asynchronous_call_that_was_not_sent_is_released(new_store: Callable[..., BudgetStore]) -> None:
    clock = Clock()
    store = new_store(clock=clock)
    guard = AsyncBudgetGuard(policy(), store, clock=clock)
    with suppress(ConnectionRefusedError):
        async with guard.reserve(3) as reservation:
            await reservation.release()
            raise ConnectionRefusedError
    status = await guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (0, 0)
    await spent_and_disconnected(guard, store)


def test_a_reservation_is_closed_once(guard: BudgetGuard) -> None:
    with guard.reserve(2) as reservation:
        reservation.settle(1)
        with pytest.raises(BudgetReservationError, match="was settled already"):
            reservation.settle(1)
        with pytest.raises(BudgetReservationError, match="was settled already"):
            reservation.release()
    assert guard.status().day_spent_micro_usd == 1_000_000
    assert (reservation.estimate_micro_usd, reservation.actual_micro_usd) == (2_000_000, 1_000_000)


def test_a_call_that_is_tried_again_reserves_again(guard: BudgetGuard) -> None:
    # One reservation let any number of calls through, of which one counted.
    for end in ("settle", "release", "neither"):
        reservation = guard.reserve(1)
        with reservation:
            if end != "neither":
                reservation.settle(1) if end == "settle" else reservation.release()
        before = guard.status().day_spent_micro_usd
        with pytest.raises(BudgetReservationError, match="already; each call reserves its own"), reservation:
            pytest.fail("it ran")
        assert guard.status().day_spent_micro_usd == before


@pytest.mark.anyio
async def test_an_asynchronous_call_that_is_tried_again_reserves_again(new_store: Callable[..., BudgetStore]) -> None:
    store = new_store()
    guard = AsyncBudgetGuard(policy(), store)
    pending = guard.reserve(1)
    async with pending as reservation:
        await reservation.settle(1)
    with pytest.raises(BudgetReservationError, match="made already; each call reserves its own"):
        async with pending:
            pytest.fail("it ran")
    refused = guard.reserve(100)
    with pytest.raises(BudgetExceeded):
        await refused
    with pytest.raises(BudgetReservationError):
        await refused
    assert await spent_and_disconnected(guard, store) == 1_000_000


def test_a_wrong_amount_leaves_the_reservation_open(guard: BudgetGuard) -> None:
    reservation = guard.reserve(2)
    with pytest.raises(InvalidValueError, match="actual_usd must be a number >= 0, got -1"):
        reservation.settle(-1)
    reservation.settle(1)
    assert guard.status().day_spent_micro_usd == 1_000_000


def test_arguments_are_checked_before_the_store_is_asked(guard: BudgetGuard) -> None:
    with pytest.raises(InvalidValueError, match="estimate_usd must be a number >= 0, got nan"):
        guard.reserve(float("nan"))
    with pytest.raises(UnknownNameError, match="unknown priority 'esential'; did you mean 'essential'"):
        guard.reserve(1, "esential")  # type: ignore[arg-type]
    assert guard.audit() == ()


def test_what_a_dead_process_had_reserved_is_taken_for_spent_and_said_to_be(guard: BudgetGuard, clock: Clock) -> None:
    guard.reserve(7)
    clock.now_s += 599.999
    assert guard.status().day_reserved_micro_usd == 7_000_000
    clock.now_s += 0.001
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (7_000_000, 0)
    assert (status.day_presumed_micro_usd, status.month_presumed_micro_usd) == (7_000_000, 7_000_000)
    assert refused_by(guard, 3.000001) == "daily_hard"
    assert refused_by(guard, 3) == ""


@pytest.mark.parametrize("actual", [2.0, 5.0, 0.0, None])
@pytest.mark.parametrize("later_s", [600.0, 86400.0, LAPSED_KEPT_S])
def test_a_late_word_replaces_the_estimate_once_and_on_its_own_day(
    guard: BudgetGuard, store: BudgetStore, clock: Clock, actual: float | None, later_s: float
) -> None:
    reservation, limits = guard.reserve(3), policy().limits
    clock.now_s += later_s
    spend(guard, 1)
    reservation.release() if actual is None else reservation.settle(actual)
    assert guard.counts.late == (actual is not None)
    micro_usd = None if actual is None else round(actual * 1e6)
    for said in (micro_usd, micro_usd, 9_000_000):  # again, and something else
        assert store.transact(limits, given_up(reservation.request)._replace(actual_micro_usd=said)).outcome == "known"
    status = store.transact(limits, StatusRequest("2027-01-15", "2027-01"))
    assert status.day.spent_micro_usd == (micro_usd or 0) + (1_000_000 if later_s == 600 else 0)
    assert (status.day.reserved_micro_usd, status.day.presumed_micro_usd, status.month.presumed_micro_usd) == (0, 0, 0)


def test_a_word_that_comes_when_all_is_forgotten_counts_in_full(guard: BudgetGuard, clock: Clock) -> None:
    reservation = guard.reserve(3)
    clock.now_s += 600 + LAPSED_KEPT_S + 86400
    reservation.settle(2)
    assert guard.counts.late == 1
    clock.now_s = START_S + 86399 - 8 * 3600
    assert guard.status().day_spent_micro_usd == 3_000_000 + 2_000_000


def test_a_call_that_goes_on_extends_its_reservation(guard: BudgetGuard, clock: Clock) -> None:
    reservation = guard.reserve(4)
    for _ in range(5):
        clock.now_s += 599
        reservation.extend()
    status = guard.status()
    assert (status.day_reserved_micro_usd, status.day_spent_micro_usd) == (4_000_000, 0)
    clock.now_s += 600  # too late, and yet
    assert guard.status().day_presumed_micro_usd == 4_000_000
    reservation.extend()
    status = guard.status()
    assert (status.day_reserved_micro_usd, status.day_spent_micro_usd) == (4_000_000, 0)
    assert status.day_presumed_micro_usd == 0
    reservation.settle(1)
    assert guard.status().day_spent_micro_usd == 1_000_000
    assert guard.counts.late == 0
    with pytest.raises(BudgetReservationError, match="was settled already"):
        reservation.extend()


def test_no_guards_clock_makes_the_reservations_of_others_expire(store: BudgetStore, clock: Clock) -> None:
    ahead = Clock(clock.now_s + 660)
    guards = [BudgetGuard(policy(), store, clock=each) for each in (clock, ahead)]
    held = [guards[0].reserve(1) for _ in range(10)]
    assert refused_by(guards[1], 0.000001) == "daily_hard"
    status = guards[1].status()
    assert (status.day_reserved_micro_usd, status.day_presumed_micro_usd) == (10_000_000, 0)
    for reservation in held:
        reservation.settle(1)
    assert guards[0].counts.late == 0
    assert refused_by(guards[1], 0.000001) == "daily_hard"


@pytest.mark.parametrize(
    ("off_s", "admitted"), [(-CLOCK_TOLERANCE_S, 2), (-61, 1), (61, 1), (86400, 1), (40 * 86400, 1)]
)
def test_a_guard_whose_clock_is_off_goes_by_the_stores_day(
    store: BudgetStore, clock: Clock, off_s: float, admitted: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now_s = START_S + 16 * 3600 + (0 if off_s < 0 else -1)  # midnight, or the second before
    guards = [BudgetGuard(policy(), store, clock=Clock(clock.now_s + off)) for off in (0, off_s)]
    spend(guards[0], 10)
    assert [refused_by(guard, 1) == "" for guard in guards].count(True) == admitted - 1
    assert (guards[1].status().day == guards[0].status().day) == (admitted == 1)
    assert len(caplog.messages) == 3 + (admitted == 1)  # soft and hard limit reached, refusing; and the clock
    if admitted == 1:
        assert "from the store's, which is gone by" in caplog.text


OFF_S = [-40 * 86_400, -86_400, -61, 61, 86_400, 40 * 86_400]


def at_the_turn_of_the_day(off_s: float) -> Clock:
    """A clock at a time at which one that is so far off shows another day."""
    return Clock(START_S + 16 * 3600 - (off_s > 0))


@pytest.mark.parametrize("off_s", OFF_S)
def test_what_is_recorded_counts_on_the_stores_day(new_store: Callable[..., BudgetStore], off_s: float) -> None:
    clock = at_the_turn_of_the_day(off_s)
    store = new_store(clock=clock)
    right, off = (BudgetGuard(policy(), store, clock=Clock(clock.now_s + by_s)) for by_s in (0, off_s))
    off.record(9.5)
    assert refused_by(right, 5) == "daily_hard"
    assert (off.waiting, right.status().day_spent_usd) == (0, 9.5)


@pytest.mark.parametrize("off_s", OFF_S)
def test_a_reset_raises_the_limits_of_the_stores_day(new_store: Callable[..., BudgetStore], off_s: float) -> None:
    clock = at_the_turn_of_the_day(off_s)
    store = new_store(clock=clock)
    right, off = (BudgetGuard(policy(), store, clock=Clock(clock.now_s + by_s)) for by_s in (0, off_s))
    right.record(15)
    assert refused_by(right, 1, "essential") == "daily_emergency"
    assert off.reset("Ada", "the bill is known", extra_usd=10)
    assert refused_by(right, 10, "essential") == ""
    assert refused_by(right, 10.000001, "essential") == "daily_emergency"


@pytest.mark.parametrize("off_s", OFF_S)
def test_the_status_is_of_the_stores_day(new_store: Callable[..., BudgetStore], off_s: float) -> None:
    clock = at_the_turn_of_the_day(off_s)
    store = new_store(clock=clock)
    right, off = (BudgetGuard(policy(), store, clock=Clock(clock.now_s + by_s)) for by_s in (0, off_s))
    spend(right, 3)
    assert off.status() == right.status()
    assert off.status().day_spent_usd == 3


@pytest.mark.anyio
@pytest.mark.parametrize("first", ["record", "reset", "status"])
async def test_an_asynchronous_guard_goes_by_the_stores_day_from_its_first_step(
    new_store: Callable[..., BudgetStore], first: str
) -> None:
    store: Any = new_store(clock=Clock())
    right = BudgetGuard(policy(), store, clock=Clock())
    guard = AsyncBudgetGuard(policy(), store, clock=Clock(START_S + 86_400))
    if first == "record":
        await guard.record(9.5)
        assert refused_by(right, 5) == "daily_hard"
    elif first == "reset":
        right.record(15)
        assert await guard.reset("Ada", "the bill is known", extra_usd=10)
        assert refused_by(right, 10, "essential") == ""
    assert await guard.status() == right.status()
    if hasattr(store, "adisconnect"):
        await store.adisconnect()


class Telling:
    """A store that counts what it is asked, and can be out of reach."""

    def __init__(self, store: BudgetStore) -> None:
        self.store, self.asked, self.is_down = store, 0, False

    def transact(self, limits: Any, request: Any) -> Any:
        self.asked += 1
        if self.is_down:
            raise BudgetStoreError("no connection")
        return self.store.transact(limits, request)

    async def transact_async(self, limits: Any, request: Any) -> Any:
        return self.transact(limits, request)


@pytest.mark.anyio
@pytest.mark.parametrize(("off_s", "asked"), [(-CLOCK_TOLERANCE_S, 1), (CLOCK_TOLERANCE_S, 1), (61, 2)])
async def test_a_guard_asks_once_and_a_second_time_only_to_hear_the_time(
    new_store: Callable[..., BudgetStore], off_s: float, asked: int
) -> None:
    store, clock = Telling(new_store(clock=Clock())), Clock(START_S + off_s)
    steps: dict[str, tuple[Any, ...]] = {"record": (1,), "reset": ("Ada", "no stop"), "status": ()}
    for name, arguments in steps.items():
        guard, other = (kind(policy(), store, clock=clock) for kind in (BudgetGuard, AsyncBudgetGuard))
        for expected in (asked, 1):  # from then on the time is known
            store.asked = 0
            getattr(guard, name)(*arguments)
            assert store.asked == expected
            store.asked = 0
            await getattr(other, name)(*arguments)
            assert store.asked == expected


@pytest.mark.parametrize("off_s", [-86_400, 0, 86_400])
def test_what_waits_to_be_recorded_keeps_the_day_on_which_it_was_made(
    new_store: Callable[..., BudgetStore], off_s: float
) -> None:
    clock, own = Clock(), Clock(START_S + off_s)
    store = Telling(new_store(clock=clock))
    guard = BudgetGuard(policy(), store, clock=own)
    store.is_down = True
    guard.record(4)
    store.is_down = False
    for each in (clock, own):
        each.now_s += 86_400
    spend(guard, 1)  # hears the time, and says what waits
    assert guard.waiting == 0
    limits = policy().limits
    days = [store.transact(limits, StatusRequest(day, "2027-01")).day for day in ("2027-01-15", "2027-01-16")]
    assert [day.spent_micro_usd for day in days] == [4_000_000, 1_000_000]


def test_what_was_recorded_by_a_clock_that_was_put_right_is_not_of_a_day_to_come(
    new_store: Callable[..., BudgetStore],
) -> None:
    own = Clock(START_S + 86_400)
    store = Telling(new_store(clock=Clock()))
    guard = BudgetGuard(policy(), store, clock=own)
    store.is_down = True
    guard.record(9.5)
    store.is_down, own.now_s = False, START_S
    guard.flush()
    assert refused_by(guard, 5) == "daily_hard"


def test_what_is_recorded_counts_once_whatever_day_it_is_sent_with(store: BudgetStore, clock: Clock) -> None:
    request = SettleRequest("bill", 2_000_000, "2027-01-15", "2027-01", 2_000_000, False, clock())
    again = request._replace(day="2027-01-16")
    assert [store.transact(policy().limits, each).outcome for each in (request, again)] == ["recorded", "known"]


def test_a_store_that_tells_another_time_each_time_decides_nothing(new_store: Callable[..., BudgetStore]) -> None:
    passing = Clock()

    def leaping() -> float:
        passing.now_s += 86_400
        return passing.now_s

    store = new_store(clock=leaping)
    guard = BudgetGuard(policy(), store, clock=Clock())
    for step in (lambda: guard.reserve(1), lambda: guard.reset("Ada", "it is over")):
        with pytest.raises(BudgetStoreError, match="tells another time with every reply"):
            step()
    guard.record(1)
    assert (guard.waiting, guard.counts.store_failures) == (1, 2)


def test_spend_belongs_to_the_day_of_its_reservation(store: BudgetStore, clock: Clock) -> None:
    # Berlin's night of 2026-03-29 has 23 hours: its midnight is 23:00 UTC before and 22:00 UTC after.
    midnight_s = datetime(2026, 3, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    clock.now_s = midnight_s - 1
    guard = BudgetGuard(policy(timezone="Europe/Berlin"), store, clock=clock)
    late = guard.reserve(9)
    clock.now_s = midnight_s
    assert refused_by(guard, 10) == ""  # the new day is whole
    late.settle(9)
    assert guard.status().day_spent_micro_usd == 0
    assert guard.status().month_spent_micro_usd == 9_000_000
    clock.now_s = midnight_s - 23 * 3600  # 29 March has begun, and it is one day with the second before its end
    assert (guard.status().day, guard.status().day_spent_micro_usd) == ("2026-03-29", 9_000_000)
    clock.now_s -= 1
    assert guard.status().day == "2026-03-28"


def test_a_clock_that_goes_back_over_midnight_finds_the_old_day_as_it_was(guard: BudgetGuard, clock: Clock) -> None:
    spend(guard, 10)
    clock.now_s += 86400
    spend(guard, 1)
    clock.now_s -= 86400
    assert refused_by(guard, 0.1) == "daily_hard"


def test_requests_that_cost_nothing_run_until_a_limit_is_passed(guard: BudgetGuard) -> None:
    spend(guard, 10)
    assert refused_by(guard, 0) == ""
    guard.record(0.000001)
    assert refused_by(guard, 0) == "daily_hard"


def test_an_alert_that_fails_breaks_no_request(store: BudgetStore, clock: Clock) -> None:
    def broken(entry: AuditEntry) -> None:
        raise RuntimeError(entry.change)

    guard = BudgetGuard(policy(), store, clock=clock, on_alert=broken)
    spend(guard, 8)
    assert guard.counts.alert_failures == 1
    assert guard.status().day_spent_micro_usd == 8_000_000


def test_the_same_ask_again_reserves_once(store: BudgetStore, clock: Clock) -> None:
    guard = BudgetGuard(policy(), store, clock=clock, new_token=lambda: "always-the-same")
    guard.reserve(4)
    guard.reserve(4)
    assert guard.status().day_reserved_micro_usd == 4_000_000


def test_the_same_settlement_again_counts_once(guard: BudgetGuard, store: BudgetStore) -> None:
    limits = policy().limits
    request = guard.reserve(1)._end(1_000_000)  # as the guard would say it
    assert [store.transact(limits, request).outcome for _ in range(2)] == ["settled", "known"]
    unbooked = request._replace(token="ran-unguarded", booked=False)
    assert [store.transact(limits, unbooked).outcome for _ in range(2)] == ["recorded", "known"]
    assert guard.status().day_spent_micro_usd == 2_000_000


def test_a_reservation_that_arrives_after_its_end_reserves_nothing(guard: BudgetGuard, store: BudgetStore) -> None:
    limits = policy().limits
    settled, released = guard.reserve(1), guard.reserve(2)
    settled.settle(1)
    released.release()
    never_heard = released.request._replace(token="given-up-first")
    store.transact(limits, given_up(never_heard))
    for request in (settled.request, released.request, never_heard):
        assert store.transact(limits, request).outcome == "admitted"
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (1_000_000, 0)


def test_a_settlement_whose_reservation_is_unknown_counts_once(guard: BudgetGuard, store: BudgetStore) -> None:
    request = guard.reserve(1)._end(1_000_000)._replace(token="forgotten")
    assert [store.transact(policy().limits, request).outcome for _ in range(2)] == ["late", "known"]
    assert guard.status().day_spent_micro_usd == 1_000_000


def test_tokens_are_kept_for_an_hour_and_no_longer(guard: BudgetGuard, store: BudgetStore, clock: Clock) -> None:
    request, limits = guard.reserve(1)._end(1_000_000), policy().limits
    assert store.transact(limits, request).outcome == "settled"
    clock.now_s += SETTLED_KEPT_S
    assert store.transact(limits, request).outcome == "known"
    clock.now_s += SETTLED_KEPT_S  # in memory they are kept by the hour
    for _ in range(10):  # the server looks at every eighth
        clock.now_s += 2
        spend(guard, 0.1)
    assert tokens(store) <= 11
    clock.now_s += SETTLED_KEPT_S + 2
    for _ in range(10):
        spend(guard, 0.01)
    assert tokens(store) <= 20
    clock.now_s += SETTLED_KEPT_S + 2
    for _ in range(10):
        spend(guard, 0.01)
    assert tokens(store) <= 20


def test_tokens_are_known_where_a_simulation_begins_at_0() -> None:
    store, limits = MemoryBudgetStore(clock=lambda: 0.0), policy().limits
    request = BudgetGuard(policy(), store, clock=lambda: 0.0).reserve(1)._end(1_000_000)
    assert [store.transact(limits, request).outcome for _ in range(2)] == ["settled", "known"]


def tokens(store: BudgetStore) -> int:
    """How many reservations, open and closed, a store keeps."""
    if isinstance(store, MemoryBudgetStore):
        books = store._books
        return len(books._reservations) + len(books._done) + len(books._done_before)
    if isinstance(store, SqliteBudgetStore):
        (count,) = store._file.execute("SELECT count(*) FROM held").fetchone()
        return int(count)
    assert isinstance(store, RedisBudgetStore)
    return int(store._client.zcard(store._keys[1])) - 1  # the name of the books


def test_amounts_beyond_double_precision_in_text_are_exact(store: BudgetStore, clock: Clock) -> None:
    huge = policy(daily_soft_usd=4e9, daily_hard_usd=4e9, monthly_usd=4e9, emergency_fraction=2)
    guard = BudgetGuard(huge, store, clock=clock)
    with guard.reserve(3_999_999_999.999999) as reservation:
        reservation.settle(3_999_999_999.999999)
    assert guard.status().day_spent_micro_usd == 3_999_999_999_999_999
    assert refused_by(guard, 0.000001) == ""
    assert refused_by(guard, 0.000002) == "daily_hard"


@pytest.mark.parametrize("threads", [1, 16])
def test_a_limit_for_one_call_admits_one_of_many(store: BudgetStore, clock: Clock, threads: int) -> None:
    guard = BudgetGuard(policy(daily_soft_usd=1, daily_hard_usd=1), store, clock=clock)
    barrier = threading.Barrier(threads)

    def call(_: int) -> bool:
        barrier.wait()
        try:
            guard.reserve(0.6)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(call, range(threads))) == 1
    assert (guard.counts.admitted, guard.counts.refused) == (1, threads - 1)


@pytest.mark.anyio
async def test_the_asynchronous_guard_is_the_same(new_store: Callable[..., BudgetStore], clock: Clock) -> None:
    store = new_store(clock=clock)
    alerts: list[AuditEntry] = []
    guard = AsyncBudgetGuard(policy(), store, clock=clock, on_alert=alerts.append)
    async with guard.reserve(6) as reservation:
        await reservation.settle(5)
    async with guard.reserve(1, priority="batch"):
        pass
    with suppress(ZeroDivisionError):
        async with guard.reserve(1) as failed:
            await failed.release()
            raise ZeroDivisionError
    kept = await guard.reserve(2)
    with pytest.raises(BudgetExceeded, match="daily soft limit"):
        async with guard.reserve(0.5, "batch"):
            raise AssertionError
    results = await asyncio.gather(*(guard.reserve(1.5) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(result, BudgetExceeded) for result in results) == 1
    await kept.release()
    with pytest.raises(BudgetReservationError, match="was released already"):
        await kept.settle(1)
    await guard.record(9)
    assert (await guard.status()).level == "stopped"
    assert await guard.reset("Ada", "checked", extra_usd=1)
    assert [e.change for e in await guard.audit()][-1] == "reset"
    status = await guard.status()
    assert (status.day_spent_micro_usd, status.day_reserved_micro_usd) == (15_000_000, 1_500_000)
    assert ("stopped", "daily_emergency") in changes(alerts)
    assert BudgetGuard(policy(), store, clock=clock).status().day_spent_micro_usd == 15_000_000
    assert await spent_and_disconnected(guard, store) == 15_000_000
    # The same guard in another event loop, which is in another thread here.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, spent_and_disconnected(guard, store)).result() == 15_000_000


async def spent_and_disconnected(guard: AsyncBudgetGuard, store: Any) -> int:
    spent = (await guard.status()).day_spent_micro_usd
    if hasattr(store, "adisconnect"):
        await store.adisconnect()
    return spent


def test_entries_of_the_audit_trail_say_what_happened() -> None:
    entry = AuditEntry(0.0, "opened", period="2027-01")
    assert str(entry) == "2027-01 begins"
    entry = replace(entry, change="stopped", limit_name="monthly_emergency", spent_micro_usd=180_000 * 10**6)
    assert str(entry) == "emergency stop: monthly emergency in 2027-01: 180,000.00 USD spent"
    assert str(replace(entry, change="reset", person="Ada", reason="why")) == "emergency stop ended by Ada: why"
