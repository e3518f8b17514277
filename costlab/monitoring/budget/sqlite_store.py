"""Books in one SQLite file: for all processes of a machine."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from costlab._internal import checks
from costlab._internal.fork_safety import after_fork
from costlab._internal.sqlite import FileKind, connect, upgrade
from costlab.errors import BudgetStoreError
from costlab.monitoring.budget.engine import (
    CLOCK_TOLERANCE_S,
    LAPSED_KEPT_S,
    SETTLED_KEPT_S,
    AuditEntry,
    BudgetRequest,
    StoredReservation,
)
from costlab.monitoring.budget.limits import Account, Limits

T = TypeVar("T")

BUDGET: Final = FileKind(
    name="budget",
    application_id=0x636C6267,  # "clbg"
    version=2,
    schema="""
        CREATE TABLE accounts (period TEXT PRIMARY KEY, spent INTEGER, reserved INTEGER, extra INTEGER,
                               presumed INTEGER, marks TEXT) WITHOUT ROWID;
        CREATE TABLE held (token TEXT PRIMARY KEY, amount INTEGER, day TEXT, month TEXT, expires_s REAL,
                           state TEXT) WITHOUT ROWID;
        CREATE INDEX held_expire ON held (state, expires_s);
        CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL);
        CREATE TABLE stop (one INTEGER PRIMARY KEY CHECK (one = 1), stopped_by TEXT NOT NULL,
                           time_s REAL NOT NULL DEFAULT 0);
        INSERT INTO stop (one, stopped_by) VALUES (1, '')
    """,
    error=BudgetStoreError,
    # What had lapsed was given back, and counts in full when it is settled.
    upgrades=(
        (
            "ALTER TABLE accounts RENAME COLUMN lapsed TO presumed",
            "UPDATE accounts SET presumed = 0",
            "DELETE FROM held WHERE is_lapsed = 1",
            "DROP INDEX held_expire",
            "ALTER TABLE held RENAME COLUMN is_lapsed TO state",
            "UPDATE held SET state = 'open'",
            "INSERT OR IGNORE INTO held SELECT token, 0, '', '', strftime('%s', 'now'), 'done' FROM unbooked",
            "CREATE INDEX held_expire ON held (state, expires_s)",
            "DROP TABLE unbooked",
            "ALTER TABLE stop ADD COLUMN time_s REAL NOT NULL DEFAULT 0",
        ),
    ),
)


class SqliteBudgetStore:
    """Books that all processes of a machine share, and that outlast them.

    Parameters
    ----------
    path : str or Path
        The file; it is made where it is missing.
    timeout_s : float
        Seconds to wait for other processes, > 0.
    power_cut_safe : bool
        Wait for the disk at each step, so that the books also survive a power cut unchanged.
    clock : callable
        Seconds since 1970-01-01 UTC, by the machine's clock; another one for simulations.

    Raises
    ------
    BudgetStoreError
        If the file is torn, foreign or of a newer version. It is left as it is.

    Notes
    -----
    Each step is a transaction that holds the file's only write lock, so processes take turns. For asyncio it runs in a
    thread. After a fork the child makes its own store. A network drive is no place for the file.

    The file holds the latest time, so that time never goes back: where the clock does, by a minute at most, the time
    is held until the clock has caught up; where it was set back further, reservations keep the time that they had left.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        timeout_s: float = 5.0,
        power_cut_safe: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        checks.positive("timeout_s", timeout_s)
        synchronous = "FULL" if power_cut_safe else "NORMAL"
        self._file = connect(self.path, BUDGET, timeout_s=timeout_s, synchronous=synchronous)
        self._lock = Lock()
        self._clock = clock
        self._usable = True
        self._upgrade()
        after_fork(self._leave)

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """Decide in one immediate transaction."""
        if not self._usable:
            raise BudgetStoreError(f"the budget in {self.path.name} was closed, or opened before a fork; open it again")
        with self._lock:
            try:
                self._file.execute("BEGIN IMMEDIATE")
                try:
                    books = _SqliteBooks(self._file, self._clock())
                    reply = request.decide(books, limits)
                    books.finish()
                    self._file.execute("COMMIT")
                except BaseException:
                    if self._file.in_transaction:
                        self._file.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise BudgetStoreError(f"the budget in {self.path.name} failed: {error}") from error
        return reply

    async def transact_async(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """As :meth:`transact`, in a thread."""
        return await asyncio.to_thread(self.transact, limits, request)

    def _upgrade(self) -> None:
        try:
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            if version < BUDGET.version:
                self._file.execute("BEGIN IMMEDIATE")
                upgrade(self._file, BUDGET)
                self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._file.close()
            raise BudgetStoreError(f"the budget in {self.path.name} failed: {error}") from error

    def disconnect(self) -> None:
        """Close the file; the books stay in it."""
        with self._lock:
            self._usable = False
            self._file.close()

    def _leave(self) -> None:
        """In a forked child: the open file is the parent's."""
        self._usable = False


class _SqliteBooks:
    """The books within a transaction; see :class:`~costlab.monitoring.budget.engine.Books`."""

    def __init__(self, file: sqlite3.Connection, now_s: float) -> None:
        self._run = file.execute
        self.stopped_by: str
        self.stopped_by, last_s = self._run("SELECT stopped_by, time_s FROM stop").fetchone()
        self.now_s = now_s
        if now_s < last_s:
            if last_s - now_s <= CLOCK_TOLERANCE_S:
                self.now_s = last_s  # time stands still until the clock has caught up
            else:  # it was set back: what is open keeps the time that it has left
                self._run("UPDATE held SET expires_s = expires_s - ?", (last_s - now_s,))
        # Once a second it is written down, and what is old is deleted.
        self._tick = not last_s <= self.now_s < last_s + 1.0
        self._stopped_before = self.stopped_by
        self._accounts: dict[str, Account] = {}
        self._changed: dict[str, Account] = {}

    def finish(self) -> None:
        """Write what is written once a transaction."""
        for period, account in self._changed.items():
            row = (account.spent_micro_usd, account.reserved_micro_usd, account.extra_micro_usd)
            rest = (account.presumed_micro_usd, " ".join(sorted(account.marks)))
            self._run("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)", (period, *row, *rest))
        if self._tick:
            query = "DELETE FROM held WHERE state = ? AND expires_s < ?"
            self._run(query, ("lapsed", self.now_s - LAPSED_KEPT_S))
            self._run(query, ("done", self.now_s - SETTLED_KEPT_S))
        if self._tick or self.stopped_by != self._stopped_before:
            self._run("UPDATE stop SET stopped_by = ?, time_s = ?", (self.stopped_by, self.now_s))

    def account(self, period: str) -> Account | None:
        if period not in self._accounts:
            query = "SELECT spent, reserved, extra, presumed, marks FROM accounts WHERE period = ?"
            row = self._run(query, (period,)).fetchone()
            if row is None:
                return None
            spent, reserved, extra, presumed, marks = row
            self._accounts[period] = Account(spent, reserved, extra, presumed, set(marks.split()))
        return self._accounts[period]

    def save(self, period: str, account: Account) -> None:
        self._accounts[period] = self._changed[period] = account

    def reservation(self, token: str) -> StoredReservation | None:
        row = self._run("SELECT * FROM held WHERE token = ?", (token,)).fetchone()
        return None if row is None else StoredReservation._make(row[1:])

    def keep(self, token: str, reservation: StoredReservation) -> None:
        self._run("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)", (token, *reservation))

    def close(self, token: str) -> None:
        change = "UPDATE held SET state = 'done', expires_s = ? WHERE token = ?"
        if not self._run(change, (self.now_s, token)).rowcount:
            self._run("INSERT INTO held VALUES (?, 0, '', '', ?, 'done')", (token, self.now_s))

    def due(self) -> list[tuple[str, StoredReservation]]:
        query = "SELECT * FROM held WHERE state = 'open' AND expires_s <= ? ORDER BY expires_s"
        rows = self._run(query, (self.now_s,)).fetchall()
        return [(token, StoredReservation._make(rest)) for token, *rest in rows]

    def write(self, entry: AuditEntry) -> None:
        self._run("INSERT INTO audit (entry) VALUES (?)", (json.dumps(asdict(entry)),))

    def entries(self) -> tuple[AuditEntry, ...]:
        rows = self._run("SELECT entry FROM audit ORDER BY number").fetchall()
        return tuple(AuditEntry(**json.loads(text)) for (text,) in rows)
