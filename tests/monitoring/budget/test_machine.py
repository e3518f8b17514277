"""Any sequence of reservations, settlements, expiries, new days and resets, against a model that keeps plain lists."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from costlab.monitoring.budget import BudgetExceeded, BudgetGuard, BudgetStore, Limits, MemoryBudgetStore, Reservation
from costlab.monitoring.budget.engine import BudgetRequest, Standing
from tests.monitoring.budget.support import Clock, policy

T = TypeVar("T")

ZONE = ZoneInfo("Europe/Berlin")
#: Two days before the clocks go forward, and a month ends soon after.
BEGIN_S = datetime(2026, 3, 27, 12, tzinfo=ZONE).timestamp()
TTL_S = 600.0
POLICY = policy(
    daily_soft_usd=8e-6, daily_hard_usd=10e-6, monthly_usd=25e-6, monthly_soft_usd=20e-6, timezone="Europe/Berlin",
    reservation_ttl_s=TTL_S,
)  # fmt: skip
CAPS = {"batch": (8, 20), "standard": (10, 25), "essential": (15, 38)}  # 25 x 1.5 = 37.5, rounded up
HARD = (10, 25)
Priority = st.sampled_from(["batch", "standard", "essential"])


@dataclass
class Open:
    """A reservation as the model knows it."""

    amount: int
    periods: tuple[str, str]
    expires_s: float
    real: Reservation


@dataclass
class Model:
    """Amounts in micro-dollars; what is used is added up anew each time."""

    spent: Counter[str] = field(default_factory=Counter)  # settled
    extra: Counter[str] = field(default_factory=Counter)
    open: list[Open] = field(default_factory=list)
    stopped: bool = False

    def reserved(self, period: str, now_s: float) -> int:
        return sum(one.amount for one in self.open if period in one.periods and one.expires_s > now_s)

    def presumed(self, period: str, now_s: float) -> int:
        return sum(one.amount for one in self.open if period in one.periods and one.expires_s <= now_s)

    def used(self, period: str, now_s: float) -> int:
        return self.spent[period] + self.reserved(period, now_s) + self.presumed(period, now_s)

    def refuses(self, amount: int, priority: str, periods: tuple[str, str], now_s: float) -> bool:
        """Whether this is refused; stops where that is due."""
        if self.stopped:
            return True
        for place, period in enumerate(periods):
            cap = CAPS[priority][place] + self.extra[period] * (priority == "essential")
            if self.used(period, now_s) + amount > cap:
                self.stopped = priority == "essential" and self.used(period, now_s) >= HARD[place]
                return True
        return False

    def stop_if_reached(self, periods: tuple[str, str], now_s: float) -> None:
        for place, period in enumerate(periods):
            if self.used(period, now_s) >= CAPS["essential"][place] + self.extra[period]:
                self.stopped = True


class Machine(RuleBasedStateMachine):
    """The guard on a store, beside the model."""

    new_store: Callable[..., Any] = MemoryBudgetStore

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.model = Clock(BEGIN_S), Model()
        self.guard = BudgetGuard(POLICY, type(self).new_store(clock=self.clock), clock=self.clock)
        self.refused = 0

    def periods(self) -> tuple[str, str]:
        wall = datetime.fromtimestamp(self.clock.now_s, ZONE)
        return wall.strftime("%Y-%m-%d"), wall.strftime("%Y-%m")

    @rule(amount=st.integers(0, 6), priority=Priority)
    def reserve(self, amount: int, priority: Any) -> None:
        periods, now_s = self.periods(), self.clock.now_s
        before = self.model.used(periods[0], now_s), self.model.used(periods[1], now_s)
        refuses = self.model.refuses(amount, priority, periods, now_s)
        if refuses:
            with pytest.raises(BudgetExceeded) as caught:
                self.guard.reserve(amount * 1e-6, priority)
            assert caught.value.spent_micro_usd + caught.value.reserved_micro_usd in before
            assert caught.value.stopped == self.model.stopped
            self.refused += 1
        else:
            real = self.guard.reserve(amount * 1e-6, priority)
            self.model.open.append(Open(amount, periods, now_s + TTL_S, real))
            self.model.stop_if_reached(periods, now_s)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), actual=st.one_of(st.none(), st.integers(0, 9)))
    def close(self, data: Any, actual: int | None) -> None:
        one = self.model.open.pop(data.draw(st.integers(0, len(self.model.open) - 1)))
        late = self.guard.counts.late
        if actual is None:
            one.real.release()
            return
        one.real.settle(actual * 1e-6)
        assert self.guard.counts.late - late == (one.expires_s <= self.clock.now_s)
        for period in one.periods:
            self.model.spent[period] += actual
        self.model.stop_if_reached(one.periods, self.clock.now_s)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data())
    def extend(self, data: Any) -> None:
        one = data.draw(st.sampled_from(self.model.open))
        one.real.extend()
        lapsed, one.expires_s = one.expires_s <= self.clock.now_s, self.clock.now_s + TTL_S
        if lapsed:
            self.model.stop_if_reached(one.periods, self.clock.now_s)

    @rule(amount=st.integers(1, 4))
    def record(self, amount: int) -> None:
        self.guard.record(amount * 1e-6)
        periods = self.periods()
        for period in periods:
            self.model.spent[period] += amount
        self.model.stop_if_reached(periods, self.clock.now_s)

    @rule(seconds=st.sampled_from([0.001, 60.0, 599.999, 600.0, 3600.0, 86400.0, 5 * 86400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(extra=st.sampled_from([0, 5]))
    def reset(self, extra: int) -> None:
        assert self.guard.reset("Ada", "tried", extra * 1e-6) == self.model.stopped
        if self.model.stopped:
            self.model.stopped = False
            for period in self.periods():
                self.model.extra[period] += extra

    @invariant()
    def the_books_agree(self) -> None:
        day, month = self.periods()
        now_s, status = self.clock.now_s, self.guard.status()
        assert (status.day, status.month) == (day, month)
        presumed = [self.model.presumed(period, now_s) for period in (day, month)]
        assert [status.day_presumed_micro_usd, status.month_presumed_micro_usd] == presumed
        assert status.day_spent_micro_usd == self.model.spent[day] + presumed[0]
        assert status.month_spent_micro_usd == self.model.spent[month] + presumed[1]
        assert status.day_reserved_micro_usd == self.model.reserved(day, now_s)
        assert status.month_reserved_micro_usd == self.model.reserved(month, now_s)
        assert (status.level == "stopped") == bool(status.stopped_by) == self.model.stopped
        counts = self.guard.counts
        assert (counts.refused, counts.store_failures) == (self.refused, 0)

    def teardown(self) -> None:
        entries = self.guard.audit()
        stops, resets = (sum(entry.change == change for entry in entries) for change in ("stopped", "reset"))
        assert stops - resets == self.model.stopped
        once = [e for e in entries if e.change in ("opened", "reached", "refusing") and "emergency" not in e.limit_name]
        assert len({(e.change, e.limit_name, e.period) for e in once}) == len(once)


class Twins:
    """Two stores that must say the same, word for word, and write the same audit trail."""

    def __init__(self, one: BudgetStore, other: BudgetStore) -> None:
        self.one, self.other = one, other

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        reply, other = self.one.transact(limits, request), self.other.transact(limits, request)
        assert unmarked(reply) == unmarked(other)
        return reply

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        return self.transact(limits, request)


def unmarked(reply: object) -> object:
    """A reply without what was told already, which stores keep in other ways; the audit trails show whether it was."""
    if isinstance(reply, Standing):
        return reply._replace(day=replace(reply.day, marks=set()), month=replace(reply.month, marks=set()))
    return reply


def run(new_store: Callable[..., Any], examples: int, steps: int) -> None:
    machine = type("Machine", (Machine,), {"new_store": staticmethod(new_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
def test_the_engine_does_what_the_model_does() -> None:
    run(MemoryBudgetStore, examples=200, steps=50)


@pytest.mark.slow
def test_every_store_does_what_the_engine_does(new_store: Callable[..., BudgetStore]) -> None:
    run(lambda clock: Twins(MemoryBudgetStore(clock=clock), new_store(clock=clock)), examples=60, steps=40)
