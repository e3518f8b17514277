"""Books in the memory of one process: for one service, tests and simulations."""

import heapq
from collections.abc import Iterator
from threading import Lock
from typing import TypeVar

from costlab.monitoring.budget.engine import AuditEntry, BudgetRequest, StoredReservation
from costlab.monitoring.budget.limits import Account, Limits

T = TypeVar("T")


class MemoryBudgetStore:
    """Books that all threads of a process share, and that end with it.

    Notes
    -----
    After a restart of the process the budget begins anew, and after a fork each process has a budget of its own: what
    is shared or must last belongs into the SQLite or Redis store.
    """

    def __init__(self) -> None:
        self._books, self._lock = _MemoryBooks(), Lock()

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """Decide under the lock."""
        with self._lock:
            return request.decide(self._books, limits)

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """As :meth:`transact`."""
        return self.transact(limits, request)


class _MemoryBooks:
    """See :class:`~costlab.monitoring.budget.engine.Books`."""

    def __init__(self) -> None:
        self.stopped_by = ""
        self._entries: list[AuditEntry] = []
        self._accounts: dict[str, Account] = {}
        self._reservations: dict[str, StoredReservation] = {}
        self._by_expiry: list[tuple[float, str]] = []
        self._lapsed: list[tuple[float, str]] = []
        self._unbooked: set[str] = set()
        self.account = self._accounts.get
        self.reservation = self._reservations.get

    def save(self, period: str, account: Account) -> None:
        self._accounts[period] = account

    def keep(self, token: str, reservation: StoredReservation) -> None:
        self._reservations[token] = reservation
        heapq.heappush(self._lapsed if reservation.lapsed else self._by_expiry, (reservation.expires_s, token))

    def forget(self, token: str) -> None:
        del self._reservations[token]  # its place in the heap goes when it comes up

    def due(self, now_s: float) -> Iterator[tuple[str, StoredReservation]]:
        while self._by_expiry and self._by_expiry[0][0] <= now_s:
            token = heapq.heappop(self._by_expiry)[1]
            reservation = self._reservations.get(token)
            if reservation is not None and not reservation.lapsed:
                yield token, reservation

    def forget_lapsed(self, before_s: float) -> None:
        while self._lapsed and self._lapsed[0][0] < before_s:
            self._reservations.pop(heapq.heappop(self._lapsed)[1], None)

    def is_first(self, token: str) -> bool:
        first = token not in self._unbooked
        self._unbooked.add(token)
        return first

    def write(self, entry: AuditEntry) -> None:
        self._entries.append(entry)

    def entries(self) -> tuple[AuditEntry, ...]:
        return tuple(self._entries)
