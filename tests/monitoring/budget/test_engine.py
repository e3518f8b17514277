"""The engine's decisions on their own: levels, what is told, and what a store answers."""

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from costlab.monitoring.budget import Account, AuditEntry, BudgetExceeded, BudgetGuard, MemoryBudgetStore, decide
from costlab.monitoring.budget.engine import (
    LAPSED_KEPT_S,
    SETTLED_KEPT_S,
    AuditRequest,
    BudgetRequest,
    ExtendRequest,
    ReserveRequest,
    SettleRequest,
    StatusRequest,
    StoredReservation,
    StoreReply,
)
from costlab.monitoring.budget.limits import Calendar, Limit, level, time_zone
from tests.monitoring.budget.support import START_S, Clock, policy, spend

DAY, MONTH = "2027-01-15", "2027-01"


@pytest.mark.parametrize(
    ("spent", "reserved", "expected"),
    [
        (7_999_999, 0, "normal"),
        (8_000_000, 0, "soft"),
        (0, 8_000_000, "soft"),
        (9_999_999, 0, "soft"),
        (4_000_000, 6_000_000, "hard"),
        (15_000_000, 0, "hard"),  # nobody has stopped it
    ],
)
def test_the_level_is_that_of_what_is_spent_and_reserved(spent: int, reserved: int, expected: str) -> None:
    limits, used = policy(monthly_usd=1000).limits, Account(spent, reserved)
    assert level(limits, used, Account(), stopped=False) == expected
    assert level(limits, used, used, stopped=True) == "stopped"


@pytest.mark.parametrize(("spent", "expected"), [(79, "normal"), (80, "soft"), (99, "soft"), (100, "hard")])
def test_the_months_level_counts_alike(spent: int, expected: str) -> None:
    limits = policy(monthly_soft_usd=80).limits
    assert level(limits, Account(), Account(spent * 10**6), stopped=False) == expected


def test_only_the_limit_that_stops_is_raised_by_a_person() -> None:
    limits, raised = policy().limits, Account(extra_micro_usd=5_000_000)
    caps = {limit.name: raised.cap(limit) for limit in (*limits.daily, *limits.monthly)}
    assert caps == {
        "daily_soft": 8_000_000,
        "daily_hard": 10_000_000,
        "daily_emergency": 20_000_000,
        "monthly": 100_000_000,
        "monthly_emergency": 155_000_000,
    }
    assert limits.named("daily_hard") == limits.daily[1]
    assert limits.named("monthly") == limits.monthly[0]
    assert limits.named("weekly") is None


def test_what_is_told_names_limit_period_and_amounts() -> None:
    entry = AuditEntry(0.0, "reached", "daily_soft", DAY, 8_000_000, 8_010_000, 1_500_000)
    assert str(entry) == f"daily soft limit of 8.00 USD reached in {DAY}: 8.01 USD spent, 1.50 USD reserved"
    assert str(replace(entry, change="refusing", reserved_micro_usd=0)) == (
        f"daily soft limit of 8.00 USD refuses work in {DAY}: 8.01 USD spent"
    )
    assert str(replace(entry, change="stopped")).startswith(
        f"emergency stop: daily soft in {DAY}: 8.01 USD spent, 1.50"
    )
    assert str(AuditEntry(0.0, "lost")) == "the store lost its records of what was spent"
    assert str(AuditEntry(0.0, "reset", person="Ada\x1b[31m", reason="a\ntest")) == (
        r"emergency stop ended by Ada\x1b[31m: a\ntest"
    )


@pytest.mark.parametrize(
    ("micro_usd", "shown"),
    [(0, "0.00"), (10_000, "0.01"), (5_000, "0.005000"), (1, "0.000001"), (1_234_560_000, "1,234.56")],
)
def test_dollars_are_shown_to_the_cent_and_beyond_where_that_hides_something(micro_usd: int, shown: str) -> None:
    entry = AuditEntry(0.0, "refusing", "monthly", MONTH, 0, micro_usd)
    assert str(entry).endswith(f": {shown} USD spent")


def test_amounts_of_one_entry_have_as_many_digits() -> None:
    entry = AuditEntry(0.0, "reached", "daily_soft", DAY, 400_000_000, 399_991_600, 30_000)
    assert str(entry).endswith(f"limit of 400.00 USD reached in {DAY}: 399.991600 USD spent, 0.030000 USD reserved")


def test_the_trail_of_a_day_from_its_beginning_to_the_stop_and_on() -> None:
    """Nine dollars, two for essential work, five more; a person adds five; then what may be spent is spent."""
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    guard = BudgetGuard(policy(), store, clock=clock)
    spend(guard, 9)
    spend(guard, 2, "essential")
    spend(guard, 4, "essential")
    assert guard.status().stopped_by == "daily_emergency"
    guard.reset("Ada", "a test", extra_usd=5)
    spend(guard, 4.999999, "essential")
    assert guard.status().stopped_by == ""
    spend(guard, 0.000001, "essential")
    told = [(one.change, one.limit_name, one.period, one.limit_micro_usd, one.spent_micro_usd + one.reserved_micro_usd)
            for one in store.transact(policy().limits, AuditRequest())]  # fmt: skip
    assert told == [
        ("opened", "", DAY, 0, 0),
        ("opened", "", MONTH, 0, 0),
        ("reached", "daily_soft", DAY, 8_000_000, 9_000_000),
        ("reached", "daily_hard", DAY, 10_000_000, 11_000_000),
        ("reached", "daily_emergency", DAY, 15_000_000, 15_000_000),
        ("stopped", "daily_emergency", DAY, 15_000_000, 15_000_000),
        ("reset", "daily_emergency", DAY, 20_000_000, 15_000_000),
        ("reached", "daily_emergency", DAY, 20_000_000, 20_000_000),
        ("stopped", "daily_emergency", DAY, 20_000_000, 20_000_000),
    ]
    assert guard.status().month_spent_usd == guard.status().day_spent_usd == 20.0


@pytest.mark.parametrize("side", [-1, 1])
def test_a_guards_clock_may_be_a_minute_off(side: int) -> None:
    store, limits = MemoryBudgetStore(clock=Clock()), policy().limits
    asked = {
        off_s: store.transact(
            limits, ReserveRequest(f"after {off_s}", 1, "standard", START_S + side * off_s, DAY, MONTH, 600.0)
        )
        for off_s in (60.0, 60.5)
    }
    assert [reply.outcome for reply in asked.values()] == ["admitted", "clock"]
    assert asked[60.5].now_s == START_S


def test_what_fits_stops_nothing() -> None:
    assert decide(policy().limits, "essential", 1, Account(), Account()) == (None, False)


def test_a_status_is_of_its_moment() -> None:
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    guard, limits = BudgetGuard(policy(), store, clock=clock), policy().limits
    spend(guard, 1)
    before = store.transact(limits, StatusRequest(DAY, MONTH))
    spend(guard, 8)
    assert (before.day.spent_micro_usd, before.day.marks) == (1_000_000, set())
    assert store.transact(limits, StatusRequest(DAY, MONTH)).day.marks == {"reached:daily_soft"}
    assert store.transact(limits, StatusRequest("2027-02-01", "2027-02")).month == Account()


def test_what_expired_can_be_put_right_until_its_longest_month_is_over_and_a_settlement_repeated_for_an_hour() -> None:
    assert 31 * 86400 < LAPSED_KEPT_S < 62 * 86400
    assert SETTLED_KEPT_S == 3600


@pytest.mark.parametrize("late_s", [1.0, 86400.0, 31 * 86400.0])
def test_a_reservation_that_lapsed_is_not_forgotten_at_once(late_s: float) -> None:
    """The answer of a call that took a day, or until the bill came, still takes the place of its estimate."""
    clock = Clock()
    guard = BudgetGuard(policy(), MemoryBudgetStore(clock=clock), clock=clock)
    reservation = guard.reserve(5)
    clock.now_s += 600 + late_s
    guard.status()  # others ask meanwhile
    reservation.settle(2)
    clock.now_s = START_S
    status = guard.status()
    assert (status.day_spent_micro_usd, status.day_presumed_micro_usd) == (2_000_000, 0)


def test_a_call_that_goes_on_after_all_was_forgotten_is_reserved_anew_and_told() -> None:
    """5 dollars were presumed long ago and stay; the call holds 5 more of its day, beside the 2 of another."""
    clock, told = Clock(), list[AuditEntry]()
    store = MemoryBudgetStore(clock=clock)
    guard = BudgetGuard(policy(), store, clock=clock, on_alert=told.append)
    slow = guard.reserve(5)
    clock.now_s += 600 + LAPSED_KEPT_S + 1
    spend(guard, 1)  # another day's
    slow.extend()
    day = store.transact(policy().limits, StatusRequest(DAY, MONTH)).day
    assert (day.spent_micro_usd, day.presumed_micro_usd, day.reserved_micro_usd) == (5_000_000, 5_000_000, 5_000_000)
    assert [(entry.change, entry.limit_name) for entry in told] == [
        ("reached", "daily_soft"),
        ("reached", "daily_hard"),
    ]
    slow.settle(1)
    day = store.transact(policy().limits, StatusRequest(DAY, MONTH)).day
    assert (day.spent_micro_usd, day.presumed_micro_usd, day.reserved_micro_usd) == (6_000_000, 5_000_000, 0)


def test_a_call_that_goes_on_holds_its_amount_beside_others() -> None:
    clock = Clock()
    guard = BudgetGuard(policy(), MemoryBudgetStore(clock=clock), clock=clock)
    slow = guard.reserve(3)
    clock.now_s += 600
    quick = guard.reserve(2)
    slow.extend()
    assert (guard.status().day_reserved_micro_usd, guard.status().day_spent_micro_usd) == (5_000_000, 0)
    quick.release()
    assert guard.status().day_reserved_micro_usd == 3_000_000


def test_a_stop_of_the_month_is_told_with_the_months_amounts() -> None:
    clock = Clock()
    guard = BudgetGuard(policy(daily_hard_usd=90, monthly_usd=100), MemoryBudgetStore(clock=clock), clock=clock)
    for _ in range(2):
        spend(guard, 75, "essential")
        clock.now_s += 86400
    with pytest.raises(BudgetExceeded) as caught:
        guard.reserve(1)
    assert (caught.value.limit_name, caught.value.stopped) == ("monthly_emergency", True)
    assert caught.value.spent_micro_usd == 150_000_000  # of the new day nothing is spent
    guard.reset("Ada", "a test")
    assert (guard.audit()[-1].period, guard.audit()[-1].spent_micro_usd) == (MONTH, 150_000_000)


def test_a_stop_for_lost_records_is_about_no_limit_and_ended_like_any_other() -> None:
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    guard = BudgetGuard(policy(), store, clock=clock)
    spend(guard, 1)
    store._books.stopped_by = "lost_records"  # as a store does that has noticed
    with pytest.raises(BudgetExceeded) as caught:
        guard.reserve(1)
    assert (caught.value.limit_name, caught.value.limit_micro_usd) == ("lost_records", 0)
    assert caught.value.spent_micro_usd == 1_000_000
    guard.reset("Ada", "counted anew")
    entry = guard.audit()[-1]
    assert (entry.limit_name, entry.limit_micro_usd, entry.period) == ("lost_records", 0, DAY)


def test_what_two_calls_hold_counts_in_day_and_month() -> None:
    """Reserved, lapsed and settled: both accounts have the sum of both calls all the time."""
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    guard, limits = BudgetGuard(policy(), store, clock=clock), policy().limits

    def accounts() -> set[tuple[int, int, int]]:
        standing = store.transact(limits, StatusRequest(DAY, MONTH))
        found = (standing.day, standing.month)
        return {(one.reserved_micro_usd, one.spent_micro_usd, one.presumed_micro_usd) for one in found}

    first, second = guard.reserve(3), guard.reserve(4)
    assert accounts() == {(7_000_000, 0, 0)}
    clock.now_s += 600
    assert accounts() == {(0, 7_000_000, 7_000_000)}
    first.settle(1)
    assert accounts() == {(0, 5_000_000, 4_000_000)}
    second.release()
    assert accounts() == {(0, 1_000_000, 0)}


def test_the_months_limits_are_watched_as_something_is_reserved() -> None:
    clock, told = Clock(), list[AuditEntry]()
    store = MemoryBudgetStore(clock=clock)
    guard = BudgetGuard(policy(daily_hard_usd=90, monthly_usd=100), store, clock=clock, on_alert=told.append)
    spend(guard, 80)
    clock.now_s += 86400
    guard.reserve(20)
    about_the_month = [(one.change, one.limit_name, one.period, one.requested_micro_usd) for one in told if
                       one.period == MONTH]  # fmt: skip
    assert about_the_month == [("reached", "monthly", MONTH, 20_000_000)]
    with pytest.raises(BudgetExceeded) as caught:
        guard.reserve(1)
    assert (caught.value.limit_name, caught.value.spent_micro_usd, caught.value.reserved_micro_usd) == (
        "monthly", 80_000_000, 20_000_000,
    )  # fmt: skip
    assert not caught.value.stopped


def test_a_person_may_raise_the_limit_twice() -> None:
    clock = Clock()
    guard = BudgetGuard(policy(), MemoryBudgetStore(clock=clock), clock=clock)
    spend(guard, 15, "essential")
    guard.reset("Ada", "a test", extra_usd=2)
    spend(guard, 2, "essential")
    guard.reset("Ada", "a test", extra_usd=3)
    spend(guard, 2.999999, "essential")
    assert guard.status().stopped_by == ""
    spend(guard, 0.000001, "essential")
    assert guard.status().stopped_by == "daily_emergency"


def test_what_a_reply_leaves_out_is_nothing() -> None:
    assert StoreReply("settled") == ("settled", (), "", 0, 0, 0, False, 0.0)
    assert AuditEntry(1.0, "lost") == AuditEntry(1.0, "lost", "", "", 0, 0, 0, 0, "", "")
    assert not Limit("daily_soft", monthly=False, micro_usd=1).stops


def test_a_settlement_that_lets_a_limit_be_reached_is_told_with_its_amount() -> None:
    clock, told = Clock(), list[AuditEntry]()
    guard = BudgetGuard(policy(), MemoryBudgetStore(clock=clock), clock=clock, on_alert=told.append)
    guard.reserve(1).settle(9)
    assert [(one.change, one.limit_name, one.requested_micro_usd) for one in told] == [
        ("reached", "daily_soft", 9_000_000)
    ]


def _ask(store: MemoryBudgetStore, request: BudgetRequest[StoreReply]) -> StoreReply:
    return store.transact(policy().limits, request)


def _reserve(token: str, usd: float, day: str = DAY, month: str = MONTH, now_s: float = START_S) -> ReserveRequest:
    return ReserveRequest(token, round(usd * 1e6), "standard", now_s, day, month, 600.0)


def _settle(token: str, usd: float | None, reserved_usd: float = 1, **more: bool) -> SettleRequest:
    return SettleRequest(
        token, None if usd is None else round(usd * 1e6), DAY, MONTH, round(reserved_usd * 1e6), **more
    )


def _books(store: MemoryBudgetStore) -> tuple[int, int, int]:
    day = store.transact(policy().limits, StatusRequest(DAY, MONTH)).day
    return day.reserved_micro_usd, day.spent_micro_usd, day.presumed_micro_usd


def test_a_call_that_is_settled_cannot_be_extended() -> None:
    store = MemoryBudgetStore(clock=Clock())
    _ask(store, _reserve("a", 3))
    assert _ask(store, _settle("a", 1, 3)).outcome == "settled"
    assert _ask(store, ExtendRequest("a", DAY, MONTH, 3_000_000, 600.0)).outcome == "known"
    assert _books(store) == (0, 1_000_000, 0)


def test_what_was_never_reserved_is_given_up_without_a_trace() -> None:
    store = MemoryBudgetStore(clock=Clock())
    assert _ask(store, _settle("none", None)) == StoreReply("released")
    assert store.transact(policy().limits, AuditRequest()) == ()


def test_a_day_begins_once_though_its_first_requests_are_refused() -> None:
    store = MemoryBudgetStore(clock=Clock())
    for token in "ab":
        assert _ask(store, _reserve(token, 11)).outcome == "refused"
    opened = [one.period for one in store.transact(policy().limits, AuditRequest()) if one.change == "opened"]
    assert opened == [DAY, MONTH]


def test_a_refusal_by_the_day_names_what_the_day_has_used_and_what_has_lapsed_as_spent() -> None:
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    _ask(store, _reserve("yesterday's", 5, "2027-01-14"))
    _ask(store, SettleRequest("yesterday's", 5_000_000, "2027-01-14", MONTH, 5_000_000))
    _ask(store, _reserve("a", 7))
    clock.now_s += 600
    refused = _ask(store, _reserve("b", 4, now_s=clock.now_s))
    assert refused.outcome == "refused"
    assert (refused.limit_name, refused.spent_micro_usd, refused.reserved_micro_usd) == ("daily_hard", 7_000_000, 0)
    (told,) = [one for one in refused.entries if one.change == "refusing"]
    assert (told.period, told.spent_micro_usd) == (DAY, 7_000_000)


@pytest.mark.parametrize(
    ("booked", "outcome"), [({}, "late"), ({"booked": True}, "late"), ({"booked": False}, "recorded")]
)
def test_spend_without_a_reservation_is_late_where_there_was_one(booked: dict[str, bool], outcome: str) -> None:
    assert _ask(MemoryBudgetStore(clock=Clock()), _settle("forgotten", 1, **booked)).outcome == outcome


def test_a_settlement_of_what_lapsed_is_late_whether_or_not_the_guard_knew_of_the_reservation() -> None:
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    _ask(store, _reserve("a", 3))
    clock.now_s += 600
    assert _ask(store, _settle("a", 1, 3, booked=False)).outcome == "late"
    assert _books(store) == (0, 1_000_000, 0)


def test_a_release_that_begins_a_day_tells_of_it() -> None:
    store = MemoryBudgetStore(clock=Clock())
    _ask(store, _reserve("a", 3))
    reply = _ask(store, SettleRequest("a", None, "2027-01-16", MONTH, 3_000_000))
    assert [(one.change, one.period) for one in reply.entries] == [("opened", "2027-01-16")]


@pytest.mark.parametrize(
    ("kept_s", "state", "settled"),
    [
        (SETTLED_KEPT_S, "done", "known"),
        (SETTLED_KEPT_S + 1, "done", "late"),
        (LAPSED_KEPT_S, "lapsed", "late"),
        (LAPSED_KEPT_S + 1, "lapsed", "late"),
    ],
)
def test_what_should_be_forgotten_counts_as_forgotten_though_the_store_still_has_it(
    kept_s: float, state: Any, settled: str
) -> None:
    """The amount of what lapsed is taken back while it is known, and stays when it no longer is."""
    store = MemoryBudgetStore(clock=Clock())
    account = Account(spent_micro_usd=3_000_000, presumed_micro_usd=3_000_000 * (state == "lapsed"))
    for period in (DAY, MONTH):
        store._books.save(period, replace(account))
    store._books._reservations["a"] = StoredReservation(3_000_000, DAY, MONTH, START_S - kept_s, state)
    assert _ask(store, _settle("a", 1, 3)).outcome == settled
    taken_back = 3_000_000 * (state == "lapsed" and kept_s == LAPSED_KEPT_S)
    more = 1_000_000 * (settled != "known")
    assert _books(store)[1] == 3_000_000 + more - taken_back


@pytest.mark.parametrize(("kept_s", "spent"), [(LAPSED_KEPT_S, 0), (LAPSED_KEPT_S + 1, 3_000_000)])
def test_what_goes_on_takes_the_place_of_what_lapsed_while_that_is_known(kept_s: float, spent: int) -> None:
    store = MemoryBudgetStore(clock=Clock())
    for period in (DAY, MONTH):
        store._books.save(period, Account(spent_micro_usd=3_000_000, presumed_micro_usd=3_000_000))
    store._books._reservations["a"] = StoredReservation(3_000_000, DAY, MONTH, START_S - kept_s, "lapsed")
    assert _ask(store, ExtendRequest("a", DAY, MONTH, 3_000_000, 600.0)).outcome == "extended"
    assert _books(store) == (3_000_000, spent, spent)


def test_what_lapses_is_spent_though_its_account_was_lost() -> None:
    clock = Clock()
    store = MemoryBudgetStore(clock=clock)
    _ask(store, _reserve("a", 3))
    store._books._accounts.clear()
    clock.now_s += 600
    assert _books(store)[1:] == (3_000_000, 3_000_000)


def test_a_person_raises_the_months_emergency_limit_alone() -> None:
    limits = policy(daily_hard_usd=90, monthly_usd=100).limits
    raised = Account(spent_micro_usd=100_000_000, extra_micro_usd=50_000_000)
    assert decide(limits, "standard", 1, Account(), raised).limit == limits.named("monthly")
    assert decide(limits, "essential", 1, Account(), raised).limit is None


def test_the_first_second_of_all_has_a_day_and_utc_needs_no_database() -> None:
    assert Calendar("UTC").periods(0.5) == ("1970-01-01", "1970-01")
    assert time_zone("UTC") is UTC
