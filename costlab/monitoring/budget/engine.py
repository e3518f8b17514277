"""What a reservation, a settlement and a reset do to a budget's books: pure decisions.

The memory and SQLite stores run them, each in one step; the script of the Redis store says the same in Lua, and tests
hold both together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from costlab._internal.text import printable
from costlab.events.request import Priority
from costlab.monitoring.budget.limits import Account, Level, Limit, Limits, decide
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_DAY

#: How long an expired reservation can still be put right: a month and some days, in seconds.
LAPSED_KEPT_S: Final = 35.0 * SECONDS_PER_DAY
#: How long the token of a settlement is kept, in seconds: the same settlement, said again later, counts again.
SETTLED_KEPT_S: Final = 3600.0
#: How far the clock of a guard may be from that of its store, in seconds, before the store's names the day.
CLOCK_TOLERANCE_S: Final = 60.0

#: A day or month was begun; a limit was reached; a request was refused by a limit; everything was stopped; a person
#: went on; the store lost its records.
Change = Literal["opened", "reached", "refusing", "stopped", "reset", "lost"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change of a budget's state, as the audit trail has it.

    Attributes
    ----------
    time_s : float
        When, in seconds since 1970-01-01 UTC, by the clock of the store.
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
        Who ended a stop, and why; what was lost, where it is not everything.
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
        spent, reserved = _dollars(self.spent_micro_usd, self.reserved_micro_usd)
        amounts = f"{spent} spent"
        if self.reserved_micro_usd:
            amounts += f", {reserved} reserved"
        (most,) = _dollars(self.limit_micro_usd)
        limit = f"{self.limit_name.replace('_', ' ')} limit of {most}"
        return {
            "opened": f"{self.period} begins",
            "reached": f"{limit} reached in {self.period}: {amounts}",
            "refusing": f"{limit} refuses work in {self.period}: {amounts}",
            "stopped": f"emergency stop: {self.limit_name.replace('_', ' ')} in {self.period}: {amounts}",
            "reset": f"emergency stop ended by {printable(self.person)}: {printable(self.reason)}",
            "lost": f"the store lost {self.reason or 'its records of what was spent'}",
        }[self.change]


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The state of a budget, in micro-dollars.

    Attributes
    ----------
    level : {'normal', 'soft', 'hard', 'stopped'}
        What runs: everything; no batch work; only essential work; nothing.
    day, month : str
        The day and month that are counted now.
    day_spent_micro_usd, day_reserved_micro_usd, month_spent_micro_usd, month_reserved_micro_usd : int
        What was spent in them, and what is reserved.
    day_presumed_micro_usd, month_presumed_micro_usd : int
        How much of what was spent is the estimate of calls whose reservation expired: no one has said yet what they
        cost. A settlement that comes late puts what they cost in its place.
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
    day_presumed_micro_usd: int
    month_presumed_micro_usd: int
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
    """A reservation as the store keeps it.

    One that has ``lapsed`` waits for a late settlement, one that is ``done`` for messages that arrive a second time;
    of this, `expires_s` is when it was closed.
    """

    amount_micro_usd: int
    day: str
    month: str
    expires_s: float
    state: Literal["open", "lapsed", "done"] = "open"


class Standing(NamedTuple):
    """The limit that stopped the budget, or the empty string, the accounts of a day and of its month, and the time.

    A guard whose clock is more than :data:`CLOCK_TOLERANCE_S` from `now_s`, the store's, has asked of another day.
    """

    stopped_by: str
    day: Account
    month: Account
    now_s: float


class StoreReply(NamedTuple):
    """What a store answers to a change: how it ended, and what was added to the audit trail.

    ``late`` is a settlement after its reservation expired or was forgotten, ``recorded`` one of a request that ran
    without a reservation, ``known`` one that was said before, ``running`` a reset without a stop. A refusal names the
    limit and what is spent and reserved in its day or month. ``clock`` is the reply to a guard whose clock is more than
    :data:`CLOCK_TOLERANCE_S` from the store's: nothing was decided, and `now_s` is the time.
    """

    outcome: Literal[
        "admitted", "refused", "clock", "settled", "late", "recorded", "released", "known", "extended", "reset",
        "running",
    ]  # fmt: skip
    entries: tuple[AuditEntry, ...] = ()
    limit_name: str = ""
    limit_micro_usd: int = 0
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    stopped: bool = False
    now_s: float = 0.0


#: The replies to most requests, which change nothing but amounts.
ADMITTED: Final = StoreReply("admitted")
SETTLED: Final = StoreReply("settled")
RELEASED: Final = StoreReply("released")
EXTENDED: Final = StoreReply("extended")
KNOWN: Final = StoreReply("known")


class Books(Protocol):
    """What a store keeps. Who runs a decision on it sees to it that no one else writes meanwhile.

    What lapsed :data:`LAPSED_KEPT_S` ago and was closed :data:`SETTLED_KEPT_S` ago goes by itself, sooner or later.
    """

    #: The time by the store's clock, in seconds since 1970-01-01 UTC: that of guards only names days.
    now_s: float
    #: The limit at which the budget was stopped, or the empty string.
    stopped_by: str

    def account(self, period: str) -> Account | None:
        """The account of a day or month, or None before its first request."""

    def save(self, period: str, account: Account) -> None:
        """Keep a changed account."""

    def reservation(self, token: str) -> StoredReservation | None:
        """The reservation of this token."""

    def keep(self, token: str, reservation: StoredReservation) -> None:
        """Keep a reservation that is open or has lapsed."""

    def close(self, token: str) -> None:
        """Keep of a reservation, if there was one, that it is done."""

    def due(self) -> Iterable[tuple[str, StoredReservation]]:
        """Open reservations with ``expires_s <= now_s``."""

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
        """Decide and write in one step that no one can come between; the same request again changes nothing."""

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """As :meth:`transact`, for an event loop."""


class ReserveRequest(NamedTuple):
    """May this be spent? Amounts in micro-dollars; `now_s` is the time by the guard, in seconds since 1970 in UTC."""

    token: str
    amount_micro_usd: int
    priority: Priority
    now_s: float
    day: str
    month: str
    ttl_s: float

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """Reserve the amount, if it fits."""
        if not agree(self.now_s, books.now_s):
            return StoreReply("clock", now_s=books.now_s)  # its day may be another
        _expire(books)
        if books.reservation(self.token) is not None:
            return ADMITTED  # it was asked before, and the reply was lost or this message late
        amount = self.amount_micro_usd
        step = _Step(books, amount)
        day, month = step.account(self.day), step.account(self.month)
        if books.stopped_by:
            limit, account, _ = step.stopping(limits, self.day, self.month)
            return step.refused(books.stopped_by, limit, account, stopped=True)
        limit, trips = decide(limits, self.priority, amount, day, month)
        if limit is None:
            day.reserved_micro_usd += amount
            month.reserved_micro_usd += amount
            books.keep(self.token, StoredReservation(amount, self.day, self.month, books.now_s + self.ttl_s))
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
    """So much was spent; None where a reservation is given up.

    Spend that had no reservation comes with the time by the guard as it is sent, in seconds since 1970 in UTC.
    """

    token: str
    actual_micro_usd: int | None
    day: str  # of the reservation: its spend belongs there, whenever it is settled
    month: str
    amount_micro_usd: int  # what was reserved
    booked: bool = True  # whether the store has admitted it: not where it could not be reached, or was not asked
    now_s: float | None = None

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """Settle or give up, once; what was spent is recorded in full, above the estimate and the limits too."""
        token, actual, day, month, amount, booked, now_s = self
        if now_s is not None and not agree(now_s, books.now_s):
            return StoreReply("clock", now_s=books.now_s)
        _expire(books)
        kept = books.reservation(token)
        if kept is not None and kept.state != "open":
            kept = _still(kept, books.now_s)
            if kept is not None and kept.state == "done":
                return KNOWN
        books.close(token)
        if kept is None and actual is None:
            return RELEASED
        step = _Step(books, actual or 0)
        for period, watched in ((day, limits.daily), (month, limits.monthly)):
            account = step.account(period)
            if kept is not None:
                account.take_back(amount, kept.state == "lapsed")
            if actual is not None:
                account.spent_micro_usd += actual
                step.watch(watched, account, period)
            books.save(period, account)
        if actual is None:
            return StoreReply("released", tuple(step.entries)) if step.entries else RELEASED
        if kept is not None and kept.state == "open":
            return StoreReply("settled", tuple(step.entries)) if step.entries else SETTLED
        return StoreReply("late" if kept is not None or booked else "recorded", tuple(step.entries))


class ExtendRequest(NamedTuple):
    """The call of a reservation goes on: it expires `ttl_s` seconds from now."""

    token: str
    day: str
    month: str
    amount_micro_usd: int
    ttl_s: float

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """Extend what is open; what lapsed, or was forgotten, is reserved again, whatever the limits say: it runs."""
        _expire(books)
        kept = books.reservation(self.token)
        if kept is not None:
            kept = _still(kept, books.now_s)
        if kept is not None and kept.state == "done":
            return KNOWN
        amount, day, month = self.amount_micro_usd, self.day, self.month
        books.keep(self.token, StoredReservation(amount, day, month, books.now_s + self.ttl_s))
        if kept is not None and kept.state == "open":
            return EXTENDED
        step = _Step(books, amount)
        for period, watched in ((day, limits.daily), (month, limits.monthly)):
            account = step.account(period)
            if kept is not None:
                account.take_back(amount, lapsed=True)
            account.reserved_micro_usd += amount
            step.watch(watched, account, period)
            books.save(period, account)
        return StoreReply("extended", tuple(step.entries)) if step.entries else EXTENDED


class ResetRequest(NamedTuple):
    """A person ends the emergency stop, and may raise the emergency limits of this day and month."""

    person: str
    reason: str
    extra_micro_usd: int
    now_s: float  # by the guard, in seconds since 1970 in UTC
    day: str
    month: str

    def decide(self, books: Books, limits: Limits) -> StoreReply:
        """End the emergency stop, if there is one."""
        if not agree(self.now_s, books.now_s):
            return StoreReply("clock", now_s=books.now_s)
        _expire(books)
        if not books.stopped_by:
            return StoreReply("running")
        step = _Step(books, self.extra_micro_usd)
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
    """The state of a day and its month is asked for."""

    day: str
    month: str

    def decide(self, books: Books, limits: Limits) -> Standing:
        """What is in the books, once what expired is taken for spent."""
        _expire(books)
        # Copies: the books in memory go on changing.
        accounts = (books.account(period) or Account() for period in (self.day, self.month))
        day, month = (replace(account, marks=set(account.marks)) for account in accounts)
        return Standing(books.stopped_by, day, month, books.now_s)


class AuditRequest(NamedTuple):
    """What has changed is asked."""

    def decide(self, books: Books, limits: Limits) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""
        return books.entries()


class _Step:
    """One decision while it is made: what it adds to the audit trail, and to the reply."""

    __slots__ = ("amount", "books", "entries")

    def __init__(self, books: Books, amount_micro_usd: int) -> None:
        self.books, self.amount = books, amount_micro_usd
        self.entries: list[AuditEntry] = []

    def account(self, period: str) -> Account:
        """The account of a day or month, begun where it is new."""
        account = self.books.account(period)
        if account is None:
            account = Account()
            self.books.save(period, account)
            self.write(AuditEntry(self.books.now_s, "opened", period=period))
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
        now_s, reserved = self.books.now_s, account.reserved_micro_usd
        self.write(AuditEntry(now_s, change, name, period, cap, spent, reserved, self.amount, *by))

    def write(self, entry: AuditEntry) -> None:
        self.entries.append(entry)
        self.books.write(entry)

    def refused(self, name: str, limit: Limit | None, account: Account, *, stopped: bool) -> StoreReply:
        """The reply to a reservation that does not fit."""
        cap, spent = 0 if limit is None else account.cap(limit), account.spent_micro_usd
        return StoreReply("refused", tuple(self.entries), name, cap, spent, account.reserved_micro_usd, stopped)


def agree(guard_s: float, store_s: float) -> bool:
    """Whether the clocks of a guard and its store are near enough for the guard's to name the day."""
    return -CLOCK_TOLERANCE_S <= guard_s - store_s <= CLOCK_TOLERANCE_S


def _still(kept: StoredReservation, now_s: float) -> StoredReservation | None:
    """What is still known of a reservation: what should be forgotten is, whether or not the store has got to it."""
    if kept.state == "open":
        return kept
    kept_s = SETTLED_KEPT_S if kept.state == "done" else LAPSED_KEPT_S
    return kept if kept.expires_s >= now_s - kept_s else None


def _expire(books: Books) -> None:
    """Take for spent what was reserved by those who neither settled nor gave up in time: the calls may have a bill."""
    for token, reservation in books.due():
        for period in (reservation.day, reservation.month):
            account = books.account(period) or Account()
            account.presume(reservation.amount_micro_usd)
            books.save(period, account)
        books.keep(token, reservation._replace(state="lapsed"))


def _dollars(*micro_usd: int) -> list[str]:
    """Amounts as people compare them: to the cent, or all to the micro-dollar where cents would hide something."""
    digits = 6 if any(amount % 10_000 for amount in micro_usd) else 2
    return [f"{amount / MICRO_USD_PER_USD:,.{digits}f} USD" for amount in micro_usd]
