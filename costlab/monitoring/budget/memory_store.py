"""Books in the memory of one process: for one service, tests and simulations."""

import heapq
import math
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import TypeVar

from costlab.monitoring.budget.engine import LAPSED_KEPT_S, SETTLED_KEPT_S, AuditEntry, BudgetRequest, StoredReservation
from costlab.monitoring.budget.limits import Account, Limits

T = TypeVar("T")


class MemoryBudgetStore:
    """Books that all threads of a process share, and that end with it.

    Parameters
    ----------
    clock : callable, optional
        Seconds since 1970-01-01 UTC; by default the clock of the first guard that is given the store.

    Notes
    -----
    After a restart of the process the budget starts again, and after a fork each process has a budget of its own: what
    is shared or must last belongs in the SQLite or Redis store.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self._books, self._lock = _MemoryBooks(), Lock()
        self._clock, self._has_clock = clock or time.time, clock is not None

    def offer_clock(self, clock: Callable[[], float]) -> None:
        """Go by this clock from now on, unless there was another before."""
        if not self._has_clock:
            self._clock, self._has_clock = clock, True

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """Decide under the lock."""
        with self._lock:
            books = self._books
            books.now_s = self._clock()
            return request.decide(books, limits)

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """As :meth:`transact`."""
        return self.transact(limits, request)


class _MemoryBooks:
    """See :class:`~costlab.monitoring.budget.engine.Books`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stopped_by = ""
        self._entries: list[AuditEntry] = []
        self._accounts: dict[str, Account] = {}
        self._reservations: dict[str, StoredReservation] = {}
        self._by_expiry: list[tuple[float, str]] = []
        self._lapsed: list[tuple[float, str]] = []
        # When tokens were closed, in two halves: the older one is forgotten as a whole. Texts and numbers alone are
        # nothing that the garbage collector would look through.
        self._done: dict[str, float] = {}
        self._done_before: dict[str, float] = {}
        self._done_since_s = -math.inf
        self.account = self._accounts.get

    def save(self, period: str, account: Account) -> None:
        self._accounts[period] = account

    def reservation(self, token: str) -> StoredReservation | None:
        reservation = self._reservations.get(token)
        if reservation is None:
            closed_s = self._done.get(token, self._done_before.get(token))
            if closed_s is not None:
                return StoredReservation(0, "", "", closed_s, "done")
        return reservation

    def keep(self, token: str, reservation: StoredReservation) -> None:
        # What it was before goes from its queue when it comes up there.
        self._reservations[token] = reservation
        _, _, _, expires_s, state = reservation
        if state == "open":
            heapq.heappush(self._by_expiry, (expires_s, token))
        else:
            heapq.heappush(self._lapsed, (expires_s, token))
            while self._lapsed and self._lapsed[0][0] < self.now_s - LAPSED_KEPT_S:
                expires_s, token = heapq.heappop(self._lapsed)
                kept = self._reservations.get(token)
                if kept is not None and kept.state == "lapsed" and kept.expires_s == expires_s:
                    del self._reservations[token]

    def close(self, token: str) -> None:
        now_s = self.now_s
        self._reservations.pop(token, None)
        if now_s - self._done_since_s > SETTLED_KEPT_S:
            self._done_before, self._done, self._done_since_s = self._done, {}, now_s
        self._done[token] = now_s

    def due(self) -> Iterable[tuple[str, StoredReservation]]:
        return self._expiring() if self._by_expiry and self._by_expiry[0][0] <= self.now_s else ()

    def _expiring(self) -> Iterator[tuple[str, StoredReservation]]:
        while self._by_expiry and self._by_expiry[0][0] <= self.now_s:
            token = heapq.heappop(self._by_expiry)[1]
            reservation = self._reservations.get(token)
            if reservation is not None and reservation.state == "open" and reservation.expires_s <= self.now_s:
                yield token, reservation

    def write(self, entry: AuditEntry) -> None:
        self._entries.append(entry)

    def entries(self) -> tuple[AuditEntry, ...]:
        return tuple(self._entries)
