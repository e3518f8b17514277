"""Books in one SQLite file: for all processes of a machine."""

import asyncio
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from costlab._internal import checks
from costlab._internal.fork_safety import after_fork
from costlab._internal.sqlite import FileKind, connect
from costlab.errors import BudgetStoreError
from costlab.monitoring.budget.engine import AuditEntry, BudgetRequest, StoredReservation
from costlab.monitoring.budget.limits import Account, Limits

T = TypeVar("T")

BUDGET: Final = FileKind(
    name="budget",
    application_id=0x636C6267,  # "clbg"
    version=1,
    schema="""
        CREATE TABLE accounts (period TEXT PRIMARY KEY, spent INTEGER, reserved INTEGER, extra INTEGER, lapsed INTEGER,
                               marks TEXT) WITHOUT ROWID;
        CREATE TABLE held (token TEXT PRIMARY KEY, amount INTEGER, day TEXT, month TEXT, expires_s REAL,
                           is_lapsed INTEGER) WITHOUT ROWID;
        CREATE INDEX held_expire ON held (is_lapsed, expires_s);
        CREATE TABLE unbooked (token TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL);
        CREATE TABLE stop (one INTEGER PRIMARY KEY CHECK (one = 1), stopped_by TEXT NOT NULL);
        INSERT INTO stop VALUES (1, '')
    """,
    error=BudgetStoreError,
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

    Raises
    ------
    BudgetStoreError
        If the file is torn, foreign or of a newer version. It is left as it is.

    Notes
    -----
    Each step is a transaction that holds the file's only write lock, so processes take turns. For asyncio it runs in a
    thread. After a fork the child makes its own store. A network drive is no place for the file.
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 5.0, power_cut_safe: bool = False) -> None:
        self.path = Path(path)
        checks.positive("timeout_s", timeout_s)
        synchronous = "FULL" if power_cut_safe else "NORMAL"
        self._file = connect(self.path, BUDGET, timeout_s=timeout_s, synchronous=synchronous)
        self._lock = Lock()
        self._usable = True
        after_fork(self._leave)

    def transact(self, limits: Limits, request: BudgetRequest[T]) -> T:
        """Decide in one immediate transaction."""
        if not self._usable:
            raise BudgetStoreError(f"the budget in {self.path.name} was closed, or opened before a fork; open it anew")
        with self._lock:
            try:
                self._file.execute("BEGIN IMMEDIATE")
                try:
                    books = _SqliteBooks(self._file)
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

    def __init__(self, file: sqlite3.Connection) -> None:
        self._run = file.execute
        self.stopped_by: str = self._run("SELECT stopped_by FROM stop").fetchone()[0]
        self._stopped_before = self.stopped_by
        self._accounts: dict[str, Account] = {}
        self._changed: dict[str, Account] = {}

    def finish(self) -> None:
        """Write what is written once a transaction."""
        for period, account in self._changed.items():
            row = (account.spent_micro_usd, account.reserved_micro_usd, account.extra_micro_usd)
            rest = (account.lapsed_micro_usd, " ".join(sorted(account.marks)))
            self._run("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)", (period, *row, *rest))
        if self.stopped_by != self._stopped_before:
            self._run("UPDATE stop SET stopped_by = ?", (self.stopped_by,))

    def account(self, period: str) -> Account | None:
        if period not in self._accounts:
            query = "SELECT spent, reserved, extra, lapsed, marks FROM accounts WHERE period = ?"
            row = self._run(query, (period,)).fetchone()
            if row is None:
                return None
            spent, reserved, extra, lapsed, marks = row
            self._accounts[period] = Account(spent, reserved, extra, lapsed, set(marks.split()))
        return self._accounts[period]

    def save(self, period: str, account: Account) -> None:
        self._accounts[period] = self._changed[period] = account

    def reservation(self, token: str) -> StoredReservation | None:
        row = self._run("SELECT * FROM held WHERE token = ?", (token,)).fetchone()
        return None if row is None else StoredReservation._make(row[1:])

    def keep(self, token: str, reservation: StoredReservation) -> None:
        self._run("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)", (token, *reservation))

    def forget(self, token: str) -> None:
        self._run("DELETE FROM held WHERE token = ?", (token,))

    def due(self, now_s: float) -> list[tuple[str, StoredReservation]]:
        query = "SELECT * FROM held WHERE is_lapsed = 0 AND expires_s <= ? ORDER BY expires_s"
        rows = self._run(query, (now_s,)).fetchall()
        return [(token, StoredReservation._make(rest)) for token, *rest in rows]

    def forget_lapsed(self, before_s: float) -> None:
        self._run("DELETE FROM held WHERE is_lapsed = 1 AND expires_s < ?", (before_s,))

    def is_first(self, token: str) -> bool:
        return self._run("INSERT OR IGNORE INTO unbooked VALUES (?)", (token,)).rowcount == 1

    def write(self, entry: AuditEntry) -> None:
        self._run("INSERT INTO audit (entry) VALUES (?)", (json.dumps(asdict(entry)),))

    def entries(self) -> tuple[AuditEntry, ...]:
        rows = self._run("SELECT entry FROM audit ORDER BY number").fetchall()
        return tuple(AuditEntry(**json.loads(text)) for (text,) in rows)
