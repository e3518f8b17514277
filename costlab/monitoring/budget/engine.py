"""What a reservation, a settlement and a reset do to a budget's books. Every store follows it.

The memory and SQLite stores run it; the script of the Redis store says the same in Lua, and tests hold both together.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from costlab.monitoring.budget.limits import Account, Limit, Limits, decide
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Change, Close, Held, Restart
from costlab.units import SECONDS_PER_DAY

__all__ = ["ADMITTED", "LAPSED_KEPT_S", "SETTLED", "Books", "close", "expire", "reserve", "restart"]

#: How long an expired reservation can still be settled as itself: a week, in seconds.
LAPSED_KEPT_S: Final = 7.0 * SECONDS_PER_DAY

#: The answers of most steps, which change nothing but amounts.
ADMITTED: Final = Answer("admitted")
SETTLED: Final = Answer("settled")


class Books(Protocol):
    """What a store keeps. The engine's caller sees to it that nobody else writes meanwhile."""

    #: The limit at which the budget was stopped, or the empty string.
    stopped_by: str

    def account(self, period: str) -> Account | None:
        """The account of a day or month, or None before its first request."""

    def save(self, period: str, account: Account) -> None:
        """Keep a changed account."""

    def held(self, token: str) -> Held | None:
        """The reservation of this token."""

    def hold(self, token: str, held: Held) -> None:
        """Keep a reservation, or what became of it."""

    def release(self, token: str) -> None:
        """Forget a reservation."""

    def due(self, now_s: float) -> Iterable[tuple[str, Held]]:
        """Reservations with ``expires_s <= now_s`` that have not lapsed yet."""

    def forget_lapsed(self, before_s: float) -> None:
        """Forget lapsed reservations that expired before this."""

    def first_time(self, token: str) -> bool:
        """Whether this is the first settlement of a request that ran without a reservation; it is from now on."""

    def write(self, entry: AuditEntry) -> None:
        """Add to the audit trail."""


def reserve(books: Books, limits: Limits, ask: Ask) -> Answer:
    """Reserve an amount, if it fits."""
    expire(books, ask.now_s)
    if books.held(ask.token) is not None:
        return Answer("admitted")  # it was asked before, and the answer was lost on the way
    entries: list[AuditEntry] = []
    day = _opened(books, ask.day, ask.now_s, entries)
    month = _opened(books, ask.month, ask.now_s, entries)
    amount = ask.amount_micro_usd
    if books.stopped_by:
        limit = limits.named(books.stopped_by)
        account = month if limit is not None and limit.monthly else day
        cap = 0 if limit is None else account.cap(limit)
        return _refused(books.stopped_by, cap, account, entries, stopped=True)
    limit, trips = decide(limits, ask.priority, amount, day, month)
    if limit is None:
        day.reserved_micro_usd += amount
        month.reserved_micro_usd += amount
        books.hold(ask.token, Held(amount, ask.day, ask.month, ask.expires_s))
        _watch(books, limits.daily, day, ask.day, ask.now_s, amount, entries)
        _watch(books, limits.monthly, month, ask.month, ask.now_s, amount, entries)
        books.save(ask.day, day)
        books.save(ask.month, month)
        return Answer("admitted", tuple(entries)) if entries else ADMITTED
    account, period = (month, ask.month) if limit.monthly else (day, ask.day)
    _tell(books, "refusing", limit, account, period, ask.now_s, amount, entries)
    if trips:
        _stop(books, limit, account, period, ask.now_s, amount, entries)
    books.save(period, account)
    return _refused(limit.name, account.cap(limit), account, entries, stopped=trips)


def close(books: Books, limits: Limits, said: Close) -> Answer:
    """Settle or give up a reservation; what was spent is recorded in full, above the estimate and the limits too."""
    expire(books, said.now_s)
    held = books.held(said.token)
    actual = said.actual_micro_usd
    if held is None:
        known = not books.first_time(said.token) if said.unbooked and actual is not None else said.again
        if actual is None or known:
            return Answer("known" if known else "cancelled")
        held = Held(0, said.day, said.month, said.now_s, lapsed=True)
    else:
        books.release(said.token)
    entries: list[AuditEntry] = []
    for period, watched in ((held.day, limits.daily), (held.month, limits.monthly)):
        account = _opened(books, period, said.now_s, entries)
        if not held.lapsed:
            account.reserved_micro_usd -= held.amount_micro_usd
        if actual is not None:
            account.spent_micro_usd += actual
            _watch(books, watched, account, period, said.now_s, actual, entries)
        books.save(period, account)
    if actual is None:
        return Answer("cancelled", tuple(entries))
    if entries or held.lapsed:
        return Answer("late" if held.lapsed else "settled", tuple(entries))
    return SETTLED


def expire(books: Books, now_s: float) -> None:
    """Give back what was reserved by those who neither settled nor gave up in time."""
    any_due = False
    for token, held in books.due(now_s):
        any_due = True
        for period in (held.day, held.month):
            account = books.account(period) or Account()
            account.reserved_micro_usd -= held.amount_micro_usd
            account.lapsed_micro_usd += held.amount_micro_usd
            books.save(period, account)
        books.hold(token, held._replace(lapsed=True))
    if any_due:
        books.forget_lapsed(now_s - LAPSED_KEPT_S)


def restart(books: Books, limits: Limits, ask: Restart) -> Answer:
    """End the emergency stop."""
    if not books.stopped_by:
        return Answer("running")
    entries: list[AuditEntry] = []
    for period, watched in ((ask.day, limits.daily), (ask.month, limits.monthly)):
        account = _opened(books, period, ask.now_s, entries)
        account.extra_micro_usd += ask.extra_micro_usd
        # Told once, unless a person has dealt with it.
        account.marks -= {
            f"{change}:{limit.name}" for change in ("reached", "refusing") for limit in watched if limit.stops
        }
        books.save(period, account)
    limit = limits.named(books.stopped_by)
    period = ask.month if limit is not None and limit.monthly else ask.day
    account = books.account(period) or Account()
    entry = _entry("reset", books.stopped_by, limit, account, period, ask.now_s, ask.extra_micro_usd, ask)
    books.stopped_by = ""
    books.write(entry)
    return Answer("reset", (*entries, entry))


def _opened(books: Books, period: str, now_s: float, entries: list[AuditEntry]) -> Account:
    account = books.account(period)
    if account is None:
        account = Account()
        books.save(period, account)
        entries.append(AuditEntry(now_s, "opened", period=period))
        books.write(entries[-1])
    return account


def _watch(
    books: Books, limits: tuple[Limit, ...], account: Account, period: str, now_s: float, amount: int,
    entries: list[AuditEntry],
) -> None:  # fmt: skip
    """Tell of limits that are reached for the first time, and stop at the emergency limit."""
    used = account.spent_micro_usd + account.reserved_micro_usd
    for limit in limits:
        if used < limit.micro_usd:  # those that follow are higher
            return
        if used >= account.cap(limit):
            _tell(books, "reached", limit, account, period, now_s, amount, entries)
            if limit.stops and not books.stopped_by:
                _stop(books, limit, account, period, now_s, amount, entries)


def _tell(
    books: Books, change: Change, limit: Limit, account: Account, period: str, now_s: float, amount: int,
    entries: list[AuditEntry],
) -> None:  # fmt: skip
    mark = f"{change}:{limit.name}"
    if mark not in account.marks:
        account.marks.add(mark)
        entries.append(_entry(change, limit.name, limit, account, period, now_s, amount))
        books.write(entries[-1])


def _stop(
    books: Books, limit: Limit, account: Account, period: str, now_s: float, amount: int, entries: list[AuditEntry]
) -> None:
    books.stopped_by = limit.name
    entries.append(_entry("stopped", limit.name, limit, account, period, now_s, amount))
    books.write(entries[-1])


def _entry(
    change: Change, name: str, limit: Limit | None, account: Account, period: str, now_s: float, amount: int,
    by: Restart | None = None,
) -> AuditEntry:  # fmt: skip
    return AuditEntry(
        now_s,
        change,
        name,
        period,
        0 if limit is None else account.cap(limit),
        account.spent_micro_usd,
        account.reserved_micro_usd,
        amount,
        "" if by is None else by.person,
        "" if by is None else by.reason,
    )


def _refused(name: str, cap: int, account: Account, entries: list[AuditEntry], *, stopped: bool) -> Answer:
    return Answer("refused", tuple(entries), name, cap, account.spent_micro_usd, account.reserved_micro_usd, stopped)
