"""What guards of both kinds do before and after they ask the store."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from costlab._internal import checks
from costlab._internal.fork_safety import UniqueNames
from costlab.errors import BudgetExceeded, BudgetStoreError, InvalidValueError
from costlab.events import PRIORITIES, Priority, micro_usd
from costlab.monitoring.budget.calendar import Calendar, Periods
from costlab.monitoring.budget.limits import Account, level
from costlab.monitoring.budget.policy import BudgetPolicy
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, BudgetStatus, Close, Restart
from costlab.monitoring.budget.stores.protocol import BudgetStore

__all__ = ["Alert", "Desk", "GuardCounts"]

_log = logging.getLogger("costlab.budget")

#: What is called with each change of a budget's state.
Alert = Callable[[AuditEntry], object]


@dataclass(frozen=True, slots=True)
class GuardCounts:
    """What a guard has done since it was made.

    Attributes
    ----------
    admitted, refused : int
        Requests that the store admitted, and refused.
    unguarded : int
        Requests that ran although the store could not be reached, because the policy allows it.
    late : int
        Settlements that came after their reservation had expired.
    store_failures : int
        How often the store could not be asked.
    alert_failures : int
        How often `on_alert` raised.
    """

    admitted: int = 0
    refused: int = 0
    unguarded: int = 0
    late: int = 0
    store_failures: int = 0
    alert_failures: int = 0


class Desk:
    """The part of a guard that asks nobody; see :class:`BudgetGuard`."""

    def __init__(
        self,
        policy: BudgetPolicy,
        store: BudgetStore,
        *,
        clock: Callable[[], float] = time.time,
        on_alert: Alert | None = None,
        new_token: Callable[[], str] | None = None,
    ) -> None:
        self.policy = policy
        self._store = store
        self._limits = policy.limits
        self._clock = clock
        self._calendar = Calendar(policy.timezone)
        self._on_alert = on_alert
        self._new_token = new_token or UniqueNames()
        self._waiting: deque[Close] = deque()
        self._counts = dict.fromkeys(GuardCounts.__dataclass_fields__, 0)
        self._out = False
        self._last_error: BudgetStoreError | None = None
        self._lock = Lock()

    @property
    def counts(self) -> GuardCounts:
        """What this guard has done since it was made."""
        with self._lock:
            return GuardCounts(**self._counts)

    @property
    def waiting(self) -> int:
        """Settlements that the store has not heard yet."""
        return len(self._waiting)

    @property
    def last_store_error(self) -> BudgetStoreError | None:
        """Why the store could not be asked the last time, or None."""
        return self._last_error

    def _now(self) -> tuple[float, Periods]:
        now_s = self._clock()
        return now_s, self._calendar.periods(now_s)

    def _ask(self, estimate_usd: float, priority: Priority) -> Ask:
        amount = micro_usd("estimate_usd", estimate_usd)
        if priority not in PRIORITIES:
            checks.one_of("priority", priority, PRIORITIES)
        now_s = self._clock()
        day, month = self._calendar.periods(now_s)
        return Ask(self._new_token(), amount, priority, now_s, day, month, now_s + self.policy.reservation_ttl_s)

    def _spend(self, actual_usd: float) -> Close:
        amount, (now_s, periods) = micro_usd("actual_usd", actual_usd), self._now()
        return Close(self._new_token(), amount, now_s, *periods, amount, unbooked=True)

    def _restart(self, person: str, reason: str, extra_usd: float) -> Restart:
        for name, text in (("person", person), ("reason", reason)):
            if not isinstance(text, str) or not text.strip():
                raise InvalidValueError(name, "a text that is not empty", text)
        extra, (now_s, periods) = micro_usd("extra_usd", extra_usd), self._now()
        return Restart(person, reason, extra, now_s, *periods)

    def _admit(self, ask: Ask, answer: Answer) -> None:
        """Count and tell, and raise where the answer is no."""
        self._heard(answer)
        if answer.outcome == "admitted":
            self._count("admitted")
            return
        self._count("refused")
        raise BudgetExceeded(
            answer.limit_name, answer.limit_micro_usd, answer.spent_micro_usd, answer.reserved_micro_usd,
            ask.amount_micro_usd, answer.stopped,
        )  # fmt: skip

    def _closed(self, answer: Answer) -> None:
        self._heard(answer)
        if answer.outcome == "late":
            self._count("late")

    def _restarted(self, answer: Answer) -> bool:
        self._heard(answer)
        return answer.outcome == "reset"

    def _status(self, periods: Periods, stopped_by: str, accounts: tuple[Account, Account]) -> BudgetStatus:
        day, month = accounts
        return BudgetStatus(
            level=level(self._limits, day, month, bool(stopped_by)),
            day=periods.day,
            month=periods.month,
            day_spent_micro_usd=day.spent_micro_usd,
            day_reserved_micro_usd=day.reserved_micro_usd,
            month_spent_micro_usd=month.spent_micro_usd,
            month_reserved_micro_usd=month.reserved_micro_usd,
            day_lapsed_micro_usd=day.lapsed_micro_usd,
            month_lapsed_micro_usd=month.lapsed_micro_usd,
            stopped_by=stopped_by,
        )

    def _heard(self, answer: Answer) -> None:
        """The store answered: tell what changed."""
        if self._out:
            self._out = False
            _log.warning("the budget's store answers again")
        for entry in answer.entries:
            if entry.change == "opened":
                continue
            _log.warning("budget: %s", entry)
            if self._on_alert is not None:
                try:
                    self._on_alert(entry)
                except Exception:
                    self._count("alert_failures")

    def _unreachable(self, error: BudgetStoreError) -> None:
        """Do what the policy says, and say so: raise, or return where the request may run all the same."""
        self._missed(error)
        if self.policy.on_store_failure == "refuse":
            raise error
        self._count("unguarded")

    def _wait(self, said: Close, error: BudgetStoreError) -> None:
        self._missed(error)
        self._waiting.append(said._replace(again=True))

    def _missed(self, error: BudgetStoreError) -> None:
        self._count("store_failures")
        self._last_error = error
        if not self._out:
            self._out = True
            does = "nothing is admitted" if self.policy.on_store_failure == "refuse" else "everything runs UNGUARDED"
            _log.error("%s; until it answers %s", error, does)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
