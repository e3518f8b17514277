"""What a reservation, a settlement and a reset do to a budget's books: pure decisions.

The memory and SQLite stores run them, each in one step; the script of the Redis store says the same in Lua, and tests
hold both together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from costlab.events.request import Priority
from costlab.monitoring.budget.limits import Account, Level, Limit, Limits, decide
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_DAY

#: How long an expired reservation can still be settled as itself: a week, in seconds.
LAPSED_KEPT_S: Final = 7.0 * SECONDS_PER_DAY

#: A day or month was begun; a limit was reached; a request was refused by a limit; everything was stopped; a person
#: went on; the store lost its records.
Change = Literal["opened", "reached", "refusing", "stopped", "reset", "lost"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change of a budget's state, as it stands in the audit trail.

    Attributes
    ----------
    time_s : float
        When, in seconds since 1970-01-01 UTC, by the clock of the guard that caused it.
    change : {'opened', 'reached', 'refusing', 'stopped', 'reset', 'lost'}
        What changed. ``reached`` and ``refusing`` are written once a limit in its day or month.
    limit_name : str
        The limit, where it is about one.
    period : str
        The day or month, as ``2026-03-29`` or ``2026-03``.
    limit_micro_usd, spent_micro_usd, reserved_micro_usd : int
        The limit, what was spent and what was reserved in the period, in micro-dollars.
    requested_micro_usd : int
        The amount that caused the change, in micro-dollars: of a request, of a settlement, or added by a person.
    person, reason : str
        Who ended a stop, and why.
    """

    time_s: float
    change: Change
    limit_name: str = ""
    period: str = ""
    limit_micro_usd: int = 0
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    requested_micro_usd: int = 0
    person: str = ""
    reason: str = ""

    def __str__(self) -> str:
        amounts = f"{_dollars(self.spent_micro_usd)} spent"
        if self.reserved_micro_usd:
            amounts += f", {_dollars(self.reserved_micro_usd)} reserved"
        limit = f"{self.limit_name.replace('_', ' ')} limit of {_dollars(self.limit_micro_usd)}"
        return {
            "opened": f"{self.period} begins",
            "reached": f"{limit} reached in {self.period}: {amounts}",
            "refusing": f"{limit} refuses work in {self.period}: {amounts}",
            "stopped": f"emergency stop: {self.limit_name.replace('_', ' ')} in {self.period}: {amounts}",
            "reset": f"emergency stop ended by {self.person}: {self.reason}",
            "lost": "the store lost its records of what was spent",
        }[self.change]


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a budget stands, in micro-dollars.

    Attributes
    ----------
    level : {'normal', 'soft', 'hard', 'stopped'}
        What runs: everything; no batch work; only essential work; nothing.
    day, month : str
        The day and month that are counted now.
    day_spent_micro_usd, day_reserved_micro_usd, month_spent_micro_usd, month_reserved_micro_usd : int
        What was settled in them, and what is reserved.
    day_lapsed_micro_usd, month_lapsed_micro_usd : int
        Reservations of theirs that expired.
    stopped_by : str
        The limit at which the emergency stop was made, or ``lost_records``; empty while there is none.
    """

    level: Level
    day: str
    month: str
    day_spent_micro_usd: int
    day_reserved_micro_usd: int
    month_spent_micro_usd: int
    month_reserved_micro_usd: int
    day_lapsed_micro_usd: int
    month_lapsed_micro_usd: int
    stopped_by: str

    @property
    def day_spent_usd(self) -> float:
        """What was spent today, in USD."""
        return self.day_spent_micro_usd / MICRO_USD_PER_USD

    @property
    def month_spent_usd(self) -> float:
        """What was spent this month, in USD."""
        return self.month_spent_micro_usd / MICRO_USD_PER_USD


class StoredReservation(NamedTuple):
    """A reservation as the store keeps it; one that expired is kept for a while, for a late settlement."""

    amount_micro_usd: int
    day: str
    month: str
    expires_s: float
    lapsed: bool = False


class Standing(NamedTuple):
    """The limit that stopped the budget, or the empty string, and the accounts of a day and of its month."""

    stopped_by: str
    day: Account
    month: Account


class StoreReply(NamedTuple):
    """What a store answers to a change: how it ended, and what was added to the audit trail.

    ``late`` is a settlement after its reservation expired, ``known`` one that was said before, ``running`` a reset
    without a stop. A refusal names the limit and what is spent and reserved in its day or month.
    """

    outcome: Literal["admitted", "refused", "settled", "late", "released", "known", "reset", "running"]
    entries: tuple[AuditEntry, ...] = ()
    limit_name: str = ""
    limit_micro_usd: int = 0
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    stopped: bool = False


#: The replies to most requests, which change nothing but amounts.
ADMITTED: Final = StoreReply("admitted")
SETTLED: Final = StoreReply("settled")


class Books(Protocol):
    """What a store keeps. Who runs a decision on it sees to it that nobody else writes meanwhile."""

    #: The limit at which the budget was stopped, or the empty string.
    stopped_by: str

    def account(self, period: str) -> Account | None:
        """The account of a day or month, or None before its first request."""

    def save(self, period: str, account: Account) -> None:
        """Keep a changed account."""

    def reservation(self, token: str) -> StoredReservation | None:
        """The reservation of this token."""

    def keep(self, token: str, reservation: StoredReservation) -> None:
        """Keep a reservation, or what became of it."""

    def forget(self, token: str) -> None:
        """Forget a reservation."""

    def due(self, now_s: float) -> Iterable[tuple[str, StoredReservation]]:
        """Reservations with ``expires_s <= now_s`` that have not lapsed yet."""

    def forget_lapsed(self, before_s: float) -> None:
        """Forget lapsed reservations that expired before this."""

    def is_first(self, token: str) -> bool:
        """Whether this is the first settlement of a request that ran without a reservation; it is from now on."""

    def write(self, entry: AuditEntry) -> None:
        """Add to the audit trail."""

    def entries(self) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""


class BudgetRequest(Protocol[T_co]):
    """A step of a budget. The set is closed, as the script of the Redis store has to know each of them."""

    def decide(self, books: Books, limits: Limits) -> T_co:
        """The reply, after what it says was done to the books."""


class BudgetStore(Protocol):
    """Keeps the books of one budget; raises :class:`~costlab.errors.BudgetStoreError` where it cannot be asked."""

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """Decide and write in one step that nobody can come between; the same request again changes nothing."""

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """As :meth:`transact`, for an event loop."""


class ReserveRequest(NamedTuple):
    """May this be spent? Amounts in micro-dollars, times in seconds since 1970-01-01 UTC."""

    token: str
    amount_micro_usd: int
    priority: Priority
    now_s: float
    day: str
    month: str
    expires_s: float

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """Reserve the amount, if it fits."""
        _expire(books, self.now_s)
        if books.reservation(self.token) is not None:
            return ADMITTED  # it was asked before, and the reply was lost on the way
        amount = self.amount_micro_usd
        step = _Step(books, self.now_s, amount)
        day, month = step.account(self.day), step.account(self.month)
        if books.stopped_by:
            limit, account, _ = step.stopping(limits, self.day, self.month)
            return step.refused(books.stopped_by, limit, account, stopped=True)
        limit, trips = decide(limits, self.priority, amount, day, month)
        if limit is None:
            day.reserved_micro_usd += amount
            month.reserved_micro_usd += amount
            books.keep(self.token, StoredReservation(amount, self.day, self.month, self.expires_s))
            step.watch(limits.daily, day, self.day)
            step.watch(limits.monthly, month, self.month)
            books.save(self.day, day)
            books.save(self.month, month)
            return StoreReply("admitted", tuple(step.entries)) if step.entries else ADMITTED
        account, period = (month, self.month) if limit.monthly else (day, self.day)
        step.tell("refusing", limit, account, period)
        if trips:
            step.stop(limit, account, period)
        books.save(period, account)
        return step.refused(limit.name, limit, account, stopped=trips)


class SettleRequest(NamedTuple):
    """So much was spent; None where a reservation is given up."""

    token: str
    actual_micro_usd: int | None
    now_s: float
    day: str  # of the reservation: its spend belongs there, whenever it is settled
    month: str
    amount_micro_usd: int  # what was reserved
    again: bool = False  # whether it may have been said before
    unbooked: bool = False  # whether it ran without a reservation, because the store could not be reached

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """Settle or give up; what was spent is recorded in full, above the estimate and the limits too."""
        _expire(books, self.now_s)
        reservation = books.reservation(self.token)
        actual = self.actual_micro_usd
        if reservation is None:
            known = not books.is_first(self.token) if self.unbooked and actual is not None else self.again
            if actual is None or known:
                return StoreReply("known" if known else "released")
            reservation = StoredReservation(0, self.day, self.month, self.now_s, lapsed=True)
        else:
            books.forget(self.token)
        step = _Step(books, self.now_s, actual or 0)
        for period, watched in ((reservation.day, limits.daily), (reservation.month, limits.monthly)):
            account = step.account(period)
            if not reservation.lapsed:
                account.reserved_micro_usd -= reservation.amount_micro_usd
            if actual is not None:
                account.spent_micro_usd += actual
                step.watch(watched, account, period)
            books.save(period, account)
        if actual is None:
            return StoreReply("released", tuple(step.entries))
        if step.entries or reservation.lapsed:
            return StoreReply("late" if reservation.lapsed else "settled", tuple(step.entries))
        return SETTLED


class ResetRequest(NamedTuple):
    """A person ends the emergency stop, and may raise the emergency limits of this day and month."""

    person: str
    reason: str
    extra_micro_usd: int
    now_s: float
    day: str
    month: str

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """End the emergency stop, if there is one."""
        _expire(books, self.now_s)
        if not books.stopped_by:
            return StoreReply("running")
        step = _Step(books, self.now_s, self.extra_micro_usd)
        for period, watched in ((self.day, limits.daily), (self.month, limits.monthly)):
            account = step.account(period)
            account.extra_micro_usd += self.extra_micro_usd
            # Told once, unless a person has dealt with it.
            stops = [limit.name for limit in watched if limit.stops]
            account.marks -= {f"{change}:{name}" for change in ("reached", "refusing") for name in stops}
            books.save(period, account)
        limit, account, period = step.stopping(limits, self.day, self.month)
        step.add("reset", books.stopped_by, limit, account, period, self.person, self.reason)
        books.stopped_by = ""
        return StoreReply("reset", tuple(step.entries))


class StatusRequest(NamedTuple):
    """How a day and its month stand is asked."""

    now_s: float
    day: str
    month: str

    def decide(self, books: Books, limits: Limits) -> Standing:
        """What is in the books, once expired reservations are given back."""
        _expire(books, self.now_s)
        day, month = (books.account(period) or Account() for period in (self.day, self.month))
        # Copies: the books in memory go on changing.
        return Standing(books.stopped_by, *(replace(account, marks=set(account.marks)) for account in (day, month)))


class AuditRequest(NamedTuple):
    """What has changed is asked."""

    def decide(self, books: Books, limits: Limits) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""
        return books.entries()


class _Step:
    """One decision while it is made: what it adds to the audit trail, and to the reply."""

    __slots__ = ("amount", "books", "entries", "now_s")

    def __init__(self, books: Books, now_s: float, amount_micro_usd: int) -> None:
        self.books, self.now_s, self.amount = books, now_s, amount_micro_usd
        self.entries: list[AuditEntry] = []

    def account(self, period: str) -> Account:
        """The account of a day or month, begun where it is new."""
        account = self.books.account(period)
        if account is None:
            account = Account()
            self.books.save(period, account)
            self.write(AuditEntry(self.now_s, "opened", period=period))
        return account

    def stopping(self, limits: Limits, day: str, month: str) -> tuple[Limit | None, Account, str]:
        """The limit that stopped the budget (none where records were lost), and the account and period it is about."""
        limit = limits.named(self.books.stopped_by)
        period = month if limit is not None and limit.monthly else day
        return limit, self.books.account(period) or Account(), period

    def watch(self, limits: tuple[Limit, ...], account: Account, period: str) -> None:
        """Tell of limits that are reached for the first time, and stop at the emergency limit."""
        used = account.spent_micro_usd + account.reserved_micro_usd
        for limit in limits:
            if used < limit.micro_usd:  # those that follow are higher
                return
            if used >= account.cap(limit):
                self.tell("reached", limit, account, period)
                if limit.stops and not self.books.stopped_by:
                    self.stop(limit, account, period)

    def tell(self, change: Change, limit: Limit, account: Account, period: str) -> None:
        """Write of a limit once in its day or month."""
        mark = f"{change}:{limit.name}"
        if mark not in account.marks:
            account.marks.add(mark)
            self.add(change, limit.name, limit, account, period)

    def stop(self, limit: Limit, account: Account, period: str) -> None:
        """Stop everything."""
        self.books.stopped_by = limit.name
        self.add("stopped", limit.name, limit, account, period)

    def add(self, change: Change, name: str, limit: Limit | None, account: Account, period: str, *by: str) -> None:
        """Write of a limit as its account is now; `by` are person and reason."""
        cap, spent = 0 if limit is None else account.cap(limit), account.spent_micro_usd
        self.write(
            AuditEntry(self.now_s, change, name, period, cap, spent, account.reserved_micro_usd, self.amount, *by)
        )

    def write(self, entry: AuditEntry) -> None:
        self.entries.append(entry)
        self.books.write(entry)

    def refused(self, name: str, limit: Limit | None, account: Account, *, stopped: bool) -> StoreReply:
        """The reply to a reservation that does not fit."""
        cap, spent = 0 if limit is None else account.cap(limit), account.spent_micro_usd
        return StoreReply("refused", tuple(self.entries), name, cap, spent, account.reserved_micro_usd, stopped)


def _expire(books: Books, now_s: float) -> None:
    """Give back what was reserved by those who neither settled nor gave up in time."""
    any_due = False
    for token, reservation in books.due(now_s):
        any_due = True
        for period in (reservation.day, reservation.month):
            account = books.account(period) or Account()
            account.reserved_micro_usd -= reservation.amount_micro_usd
            account.lapsed_micro_usd += reservation.amount_micro_usd
            books.save(period, account)
        books.keep(token, reservation._replace(lapsed=True))
    if any_due:
        books.forget_lapsed(now_s - LAPSED_KEPT_S)


def _dollars(micro_usd: int) -> str:
    """As people read it; to the micro-dollar where cents would hide something."""
    return f"{micro_usd / MICRO_USD_PER_USD:,.{2 if micro_usd % 10_000 == 0 else 6}f} USD"
