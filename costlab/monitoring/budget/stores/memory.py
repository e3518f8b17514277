"""Books in the memory of one process: for one service, tests and simulations."""

import copy
import heapq
from collections.abc import Iterator
from threading import Lock

from costlab.monitoring.budget import engine
from costlab.monitoring.budget.limits import Account, Limits
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Close, Held, Restart

__all__ = ["MemoryBudgetStore"]


class MemoryBudgetStore:
    """Books that all threads of a process share, and that end with it.

    Notes
    -----
    After a restart of the process the budget begins anew, and after a fork each process has a budget of its own: what
    is shared or must last belongs into the SQLite or Redis store.
    """

    def __init__(self) -> None:
        self._books, self._lock = MemoryBooks(), Lock()

    def reserve(self, limits: Limits, ask: Ask) -> Answer:
        """Reserve an amount, if it fits; the same ask again changes nothing."""
        with self._lock:
            return engine.reserve(self._books, limits, ask)

    def close(self, limits: Limits, said: Close) -> Answer:
        """Settle or give up a reservation; the same again changes nothing."""
        with self._lock:
            return engine.close(self._books, limits, said)

    def restart(self, limits: Limits, ask: Restart) -> Answer:
        """End the emergency stop."""
        with self._lock:
            return engine.restart(self._books, limits, ask)

    def read(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """The limit that stopped the budget, or the empty string, and the accounts of a day and a month."""
        with self._lock:
            engine.expire(self._books, now_s)
            accounts = (self._books.account(day) or Account(), self._books.account(month) or Account())
            return self._books.stopped_by, (copy.deepcopy(accounts[0]), copy.deepcopy(accounts[1]))

    def audit(self) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""
        with self._lock:
            return tuple(self._books.entries)

    async def areserve(self, limits: Limits, ask: Ask) -> Answer:
        """As :meth:`reserve`."""
        return self.reserve(limits, ask)

    async def aclose(self, limits: Limits, said: Close) -> Answer:
        """As :meth:`close`."""
        return self.close(limits, said)

    async def arestart(self, limits: Limits, ask: Restart) -> Answer:
        """As :meth:`restart`."""
        return self.restart(limits, ask)

    async def aread(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """As :meth:`read`."""
        return self.read(now_s, day, month)

    async def aaudit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`audit`."""
        return self.audit()


class MemoryBooks:
    """See :class:`~costlab.monitoring.budget.engine.Books`."""

    def __init__(self) -> None:
        self.stopped_by = ""
        self.entries: list[AuditEntry] = []
        self._accounts: dict[str, Account] = {}
        self._held: dict[str, Held] = {}
        self._by_expiry: list[tuple[float, str]] = []
        self._lapsed: list[tuple[float, str]] = []
        self._unbooked: set[str] = set()
        self.account = self._accounts.get
        self.held = self._held.get

    def save(self, period: str, account: Account) -> None:
        self._accounts[period] = account

    def hold(self, token: str, held: Held) -> None:
        self._held[token] = held
        heapq.heappush(self._lapsed if held.lapsed else self._by_expiry, (held.expires_s, token))

    def release(self, token: str) -> None:
        del self._held[token]  # its place in the heap goes when it comes up

    def due(self, now_s: float) -> Iterator[tuple[str, Held]]:
        while self._by_expiry and self._by_expiry[0][0] <= now_s:
            token = heapq.heappop(self._by_expiry)[1]
            held = self._held.get(token)
            if held is not None and not held.lapsed:
                yield token, held

    def forget_lapsed(self, before_s: float) -> None:
        while self._lapsed and self._lapsed[0][0] < before_s:
            self._held.pop(heapq.heappop(self._lapsed)[1], None)

    def first_time(self, token: str) -> bool:
        first = token not in self._unbooked
        self._unbooked.add(token)
        return first

    def write(self, entry: AuditEntry) -> None:
        self.entries.append(entry)
