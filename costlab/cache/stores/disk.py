"""Answers in one file that outlives its process: the default where there is no server."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from costlab._internal import checks
from costlab._internal.sqlite import FileKind, connect
from costlab.cache.stores.memory import MAX_VALUE_BYTES, check_entry
from costlab.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FILE_KIND: Final = FileKind(
    name="cache",
    application_id=0x636C6162,  # "clab"
    version=1,
    # `stored` grows with every write, so that its least is the entry that was stored longest ago.
    schema="""
        CREATE TABLE entries (
            stored INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, expires_at REAL
        );
        CREATE INDEX entries_expire ON entries (expires_at) WHERE expires_at IS NOT NULL;
        CREATE TABLE locks (key TEXT PRIMARY KEY, token TEXT NOT NULL, expires_at REAL NOT NULL)
    """,
    error=StoreError,
    fill_empty=True,
)
LOCK: Final = """
    INSERT INTO locks (key, token, expires_at) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
    WHERE locks.expires_at <= ? RETURNING token
"""


class DiskStore:
    """A bounded store in one SQLite file, shared by any number of processes of this machine.

    Parameters
    ----------
    path : str or Path
        The file; it is made where it is missing, its folder too, and filled where it is empty.
    max_bytes : int
        Size of the file in bytes above which entries go: what expired first, then what was stored longest ago.
    timeout_s, max_value_bytes : float, int
        Seconds after which a call gives up, the wait for other processes included; longest value accepted, in bytes.
    clock : callable
        Seconds that all processes agree on and that a restart does not reset: the time of day.

    Notes
    -----
    The file is in WAL mode with ``synchronous = NORMAL``. What was stored survives the end of the process, ``kill -9``
    included; a power cut may lose the last entries and never tears one. Every call runs on the store's own thread, so
    a slow disk delays those who ask for an entry and not the event loop. A network drive is no place for the file:
    SQLite's locks do not work there.

    The file is opened by the first call, and again by the first after :meth:`aclose`. No one but its owner can read it:
    what models answered is as confidential as what was asked (mode 0600; a file that was there with a wider one
    gets it when its owner opens it).
    """

    def __init__(
        self,
        path: str | Path,
        max_bytes: int = 2**30,
        *,
        timeout_s: float = 1.0,
        max_value_bytes: int = MAX_VALUE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._max_bytes = checks.integer("max_bytes", max_bytes, at_least=1)
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._max_value_bytes = checks.integer("max_value_bytes", max_value_bytes, at_least=1)
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None

    async def get(self, key: str) -> bytes | None:
        """The bytes under `key`, or None where there are none or they expired."""
        query = "SELECT value FROM entries WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)"
        row = await self._first(query, key, self._clock())
        return bytes(row[0]) if row else None

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until evicted."""
        check_entry(value, ttl_s, self._max_value_bytes)
        now = self._clock()
        entry = (key, value, None if ttl_s is None else now + ttl_s)

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT OR REPLACE INTO entries (key, value, expires_at) VALUES (?, ?, ?)", entry)
                if self._used_bytes(database) > self._max_bytes:
                    self._evict(database, now)

        await self._run(write)

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        return await self._first("DELETE FROM entries WHERE key = ? RETURNING key", key) is not None

    async def len(self) -> int:
        """Number of entries that have not expired."""
        query = "SELECT count(*) FROM entries WHERE expires_at IS NULL OR expires_at > ?"
        (count,) = await self._first(query, self._clock()) or (0,)
        return int(count)

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while someone holds it; it expires after `ttl_s` seconds."""
        now, token = self._clock(), secrets.token_hex(16)
        return token if await self._first(LOCK, key, token, now + ttl_s, now) else None

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False where it expired or is another's by now."""
        now = self._clock()
        row = await self._first("DELETE FROM locks WHERE key = ? AND token = ? RETURNING expires_at", key, token)
        return row is not None and now < row[0]

    async def aclose(self) -> None:
        """Close the file. The entries stay in it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def _first(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """The first row that a statement gives, or None."""
        row: tuple[Any, ...] | None = await self._run(lambda database: database.execute(statement, values).fetchone())
        return row

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work` on the database, done on the store's own thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="costlab-cache")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._with_database, work)
        except StoreError:
            raise
        except (sqlite3.Error, OSError) as error:  # a TimeoutError is an OSError
            raise StoreError(f"the cache in {self._path} failed: {error or 'it took too long'}") from error

    def _with_database(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives up a little before the caller does, so that nothing is written after an error was reported.
            self._database = connect(self._path, FILE_KIND, timeout_s=0.8 * self._timeout_s)
            _make_private(self._path)
            self._database.execute("DELETE FROM entries WHERE expires_at <= ?", (self._clock(),))
        return work(self._database)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _used_bytes(self, database: sqlite3.Connection) -> int:
        pages, free, page_bytes = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    def _evict(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM entries WHERE expires_at <= ?", (now,))
        database.execute("DELETE FROM locks WHERE expires_at <= ?", (now,))
        # The newest entry always stays, otherwise a limit below one entry would make every call a loop without end.
        oldest = "DELETE FROM entries WHERE stored IN (SELECT stored FROM entries ORDER BY stored LIMIT ?)"
        while self._used_bytes(database) > self._max_bytes:
            (entries,) = database.execute("SELECT count(*) FROM entries").fetchone()
            if entries <= 1:
                break
            database.execute(oldest, (max(1, entries // 20),))


def _make_private(path: Path) -> None:
    """Leave a database, its log and its index to their owner; a new log or index takes the database's mode."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        # Another user's file stays as that user has it, and the log may have gone since.
        with contextlib.suppress(PermissionError, FileNotFoundError):
            if name.stat().st_mode & 0o077:
                name.chmod(0o600)
