"""The record of what was served and what it cost: append-only, shared by processes, safe against their death."""

import atexit
import contextlib
import math
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from costlab._internal import checks
from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab._internal.fork_safety import after_fork
from costlab._internal.sqlite import FileKind, connect, upgrade
from costlab.errors import CostlabError, LedgerError
from costlab.events import COLUMNS, RARE_DEFAULTS, Column, RequestEvent, arrow_schema
from costlab.monitoring.row_count import RowCount
from costlab.units import MICRO_USD_PER_USD

#: Values as SQLite has them: of an event, in the order of its fields.
Row = tuple[Any, ...]

NAMES: Final = ", ".join(COLUMNS)
#: The last column of the files of costlab 1.0. Those after it have defaults, with which SQLite adds them.
LAST_OF_FIRST: Final = "priority"


def _definition(name: str, column: Column, *, added: bool) -> str:
    default = "NULL" if column.default is None else repr(column.default)
    return f"{name} {column.sql_type}{' UNIQUE' * (name == 'request_id')}{f' DEFAULT {default}' * added}"


ADDED: Final = tuple(COLUMNS)[list(COLUMNS).index(LAST_OF_FIRST) + 1 :]
DEFINITIONS: Final = {name: _definition(name, column, added=name in ADDED) for name, column in COLUMNS.items()}
#: The columns as a file of the first version is read, which no one has written to since.
FIRST_NAMES: Final = ", ".join(
    f"{DEFINITIONS[name].rpartition(' ')[2]} AS {name}" if name in ADDED else name for name in COLUMNS
)

#: The triggers hold for every program that opens the file, not only for this one.
LEDGER: Final = FileKind(
    name="ledger",
    application_id=0x636C6C67,  # "cllg"
    version=2,
    schema=f"""
        CREATE TABLE events (seq INTEGER PRIMARY KEY, {", ".join(DEFINITIONS.values())});
        CREATE INDEX events_time ON events (time_s);
        CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
        CREATE TRIGGER events_stand BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END
    """,
    error=LedgerError,
    upgrades=(tuple(f"ALTER TABLE events ADD COLUMN {DEFINITIONS[name]}" for name in ADDED),),
)


def _insert(columns: int) -> str:
    """Of the first columns, as many as given; the others get their defaults."""
    names, values = ", ".join(list(COLUMNS)[:columns]), ", ".join("?" * columns)
    return f"INSERT INTO events ({names}) VALUES ({values}) ON CONFLICT (request_id) DO NOTHING"  # noqa: S608


#: By the number of values in a row, as an event gives it.
INSERT: Final = {columns: _insert(columns) for columns in (len(COLUMNS), len(COLUMNS) - len(RARE_DEFAULTS))}
#: Where the events of a stretch of time lie; answered by the index alone.
SPAN: Final = "SELECT min(seq), max(seq) FROM events WHERE time_s >= ? AND time_s < ?"
PAGE: Final = """
    SELECT {}, seq FROM events WHERE seq >= ? AND seq <= ? AND time_s >= ? AND time_s < ? ORDER BY seq LIMIT ?
"""
PAGE_AFTER: Final = "SELECT {}, seq FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
#: The last row by number, which is how many there are: rows are numbered from 1 without gaps, and none is removed.
ROWS: Final = "SELECT ifnull(max(seq), 0) FROM events"
#: The number of the first event at or after a second, in the order of writing.
FIRST_AT: Final = "SELECT min(seq) FROM events WHERE time_s >= ?"
BITS: Final = 32


def _exact_sum(column: str) -> str:
    """Both halves of a sum. SQLite's own fails beyond 63 bits, so that two rows of an older ledger could forbid it."""
    return f"ifnull(sum({column} >> {BITS}), 0), ifnull(sum({column} & {2**BITS - 1}), 0)"


SUMMED: Final = (
    "cost_micro_usd", "input_tokens", "cached_input_tokens", "output_tokens", "conversion_value_micro_usd",
)  # fmt: skip
TOTALS: Final = f"""
    SELECT count(*), count(cost_micro_usd), count(conversion_value_micro_usd), min(time_s), max(time_s),
           {", ".join(map(_exact_sum, SUMMED))}
    FROM events WHERE time_s >= ? AND time_s < ?
"""  # noqa: S608

PAGE_ROWS = 10_000
ROW_GROUP_ROWS: Final = 131_072


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What the requests of a ledger, or of a stretch of time in it, add up to. Integers, hence exact.

    Attributes
    ----------
    requests, unpriced_requests : int
        All requests, however they ended, and those without a known price: they are in no sum of money.
    cost_micro_usd : int
        Cost of the priced requests in micro-dollars.
    input_tokens, cached_input_tokens, output_tokens : int
        Tokens; the cached ones are a part of the input tokens.
    conversions, conversion_value_micro_usd : int
        Requests that led to a conversion, and what they earned, in micro-dollars.
    first_time_s, last_time_s : float or None
        Least and greatest time, in seconds since 1970-01-01 UTC; None without requests.
    """

    requests: int
    unpriced_requests: int
    cost_micro_usd: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    conversions: int
    conversion_value_micro_usd: int
    first_time_s: float | None
    last_time_s: float | None

    @property
    def cost_usd(self) -> float:
        """Cost of the priced requests in USD."""
        return self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def unpriced_fraction(self) -> float:
        """Share of the requests without a price, in 0..1; 0 without requests."""
        return self.unpriced_requests / self.requests if self.requests else 0.0


class Ledger:
    """An append-only record of requests in one SQLite file, which any number of processes of a machine may write.

    Parameters
    ----------
    path : str or Path
        The file; it is made where it is missing.
    batch_size : int
        Events written together, >= 1. With 1 every :meth:`append` is written when it returns.
    flush_every_s : float or None
        A thread writes what waits after this many seconds, > 0; with None only :meth:`flush` and full batches do.
    max_pending : int
        Most events that wait while the file cannot be written; further ones are refused.
    timeout_s : float
        Seconds to wait for other processes that write.
    power_cut_safe : bool
        Wait for the disk at each batch, so that what was acknowledged also survives a power cut.
    create : bool
        Whether a missing file is made.

    Raises
    ------
    LedgerError
        If the file is torn, foreign or of a newer version. It is left as it is.

    Notes
    -----
    **What is acknowledged** is what :meth:`flush` has returned for: every event appended before it, by any thread. It
    survives the death of the process, ``kill -9`` included. An event that was appended and not yet flushed is lost
    with its process; there are at most `batch_size` of them, no older than `flush_every_s`.

    A request is written once. The same event again is ignored and counted; another one under the same request id is
    refused, and the first is kept. So a writer that does not know whether its last batch arrived sends it again.

    An event that no file can hold, which got past the checks of :class:`costlab.events.RequestEvent`, is left out
    alone: the others of its batch are written, and it is counted in :attr:`rejected`.

    A file beside it, with ``-rows`` after its name, says how many events it has. By it :meth:`verify` notices
    events that went with a damaged write-ahead log, of which SQLite says nothing. Copy both files, or neither.

    A file of costlab 1.0 is read as it is; the first event written to it gives it the columns that it lacks.

    One ledger serves all threads of a process; after a fork the child makes its own. The file needs a local disk:
    SQLite's locks do not work on network drives.

    References
    ----------
    SQLite, Write-Ahead Logging: https://www.sqlite.org/wal.html

    Examples
    --------
    What did the two requests of this ledger cost, and for how many is no price known?

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> event = dict(time_s=0.0, tier="small", model="m", input_tokens=9, output_tokens=1, latency_s=0.1, outcome="ok")
    >>> with Ledger(f"{folder.name}/ledger.sqlite") as ledger:
    ...     ledger.append(RequestEvent(request_id="r-1", cost_micro_usd=153, **event))
    ...     ledger.append(RequestEvent(request_id="r-2", cost_micro_usd=None, **event))
    ...     totals = ledger.totals()
    >>> totals.cost_usd, totals.unpriced_requests
    (0.000153, 1)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | Path,
        *,
        batch_size: int = 256,
        flush_every_s: float | None = 1.0,
        max_pending: int = 100_000,
        timeout_s: float = 5.0,
        power_cut_safe: bool = False,
        create: bool = True,
    ) -> None:
        self.path = Path(path)
        self._batch_size = checks.integer("batch_size", batch_size, at_least=1)
        self._max_pending = checks.integer("max_pending", max_pending, at_least=self._batch_size)
        checks.positive("timeout_s", timeout_s)
        every_s = None if flush_every_s is None else checks.positive("flush_every_s", flush_every_s)
        self._pending: list[RequestEvent] = []
        self._lock, self._writing = threading.Lock(), threading.Lock()  # of the list, and of the file
        self._duplicates = self._conflicts = self._rejected = self._failures = 0
        self._last_error: LedgerError | None = None
        synchronous = "FULL" if power_cut_safe else "NORMAL"
        self._file = connect(self.path, LEDGER, timeout_s=timeout_s, create=create, synchronous=synchronous)
        self._rows = RowCount(self.path)
        self._usable, self._forked = True, False
        self._is_current = False  # whether the file is known to have all columns
        atexit.register(self.close)
        after_fork(self._leave)
        self._closing = threading.Event()
        if every_s is not None:
            threading.Thread(target=self._flush_often, args=(every_s,), name="costlab-ledger", daemon=True).start()

    def append(self, event: RequestEvent) -> None:
        """Take `event` in; it is acknowledged by the next :meth:`flush`. Fit to be a hook.

        Raises
        ------
        LedgerError
            If the ledger is closed or was made before a fork; if `max_pending` events wait already, and this one is
            not taken in; or if this event filled a batch and the file could not be written: then the batch waits.
        """
        with self._lock:
            if not self._usable:
                raise self._unusable()
            if len(self._pending) >= self._max_pending:
                raise LedgerError(f"{len(self._pending)} events wait for {self.path.name}; this one was not taken in")
            self._pending.append(event)
            full = len(self._pending) % self._batch_size == 0
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what waits; when this returns, every event appended before it is in the file.

        Raises
        ------
        LedgerError
            If the file cannot be written: what waits goes on waiting. Or if the file has a request id with other
            values, or no file can hold an event: that event is dropped, and all others are written.
        """
        if not self._usable:
            raise self._unusable()
        unfit: list[tuple[RequestEvent, Exception]] = []
        with self._writing:
            batch: list[RequestEvent] = []
            try:
                with self._lock:
                    batch, self._pending = self._pending, []
                if not batch:
                    return
                try:
                    different = self._write(batch)
                except (sqlite3.OperationalError, OSError, MemoryError):  # no fault of an event
                    raise
                except Exception:
                    batch, unfit = _sort_out(batch)
                    if not unfit:
                        raise
                    self._rejected += len(unfit)
                    different = self._write(batch) if batch else []
            except BaseException as error:
                with self._lock:
                    self._pending[:0] = batch
                if not isinstance(error, Exception):
                    raise
                raise self._failed(f"{self.path.name} could not be written: {_in_a_line(error)}") from error
        if unfit:
            event, reason = unfit[0]
            raise self._failed(
                f"{len(unfit)} of the events were left out, as {self.path.name} cannot hold them, the first "
                f"{getattr(event, 'request_id', event)!r}: {_in_a_line(reason)}"
            ) from reason
        if different:
            raise self._failed(f"request id {different[0]!r} is in {self.path.name} with other values, which are kept")

    def events(self, since_s: float = -math.inf, until_s: float = math.inf) -> Iterator[RequestEvent]:
        """Events with `since_s` <= time < `until_s`, in the order in which they were written.

        Raises
        ------
        LedgerError
            If the file cannot be read; or, after all others were given, if rows in it are no events: written by another
            program, or by a costlab that took what is refused today.

        Notes
        -----
        Read in pages, so that a long reading holds no writer up; events that are written meanwhile may be among them.
        """
        first_wrong, wrong = None, 0
        for page in self.pages(since_s, until_s):
            for row in page:
                event = self._event(row)
                if isinstance(event, RequestEvent):
                    yield event
                else:
                    first_wrong, wrong = first_wrong or event, wrong + 1
        if first_wrong is not None:
            raise LedgerError(f"rows that are no events: {wrong}, the first of {first_wrong}")

    def last_sequence(self, since_s: float | None = None) -> int:
        """The number of the event that was written last, from 1 on; 0 without events.

        Parameters
        ----------
        since_s : float or None
            The one before the first event at or after this second instead, in the order of writing.
        """
        self.flush()
        (rows,) = self._read(ROWS, ())[0]
        first = None if since_s is None else self._read(FIRST_AT, (since_s,))[0][0]
        return int(rows if first is None else first - 1)

    def events_after(self, sequence: int) -> Iterator[tuple[int, RequestEvent | LedgerError]]:
        """Events in the order of writing with their numbers, from the one after `sequence` on, whatever their time.

        A row that is no event is replaced by what is wrong with it.
        """
        self.flush()
        while rows := self._page(PAGE_AFTER, (sequence, PAGE_ROWS)):
            for *row, sequence in rows:
                yield sequence, self._event(tuple(row))

    def pages(self, since_s: float = -math.inf, until_s: float = math.inf) -> Iterator[list[Row]]:
        """As :meth:`events`, as lists of rows with the values in the order of the event's fields."""
        self.flush()
        first, end = self._read(SPAN, (since_s, until_s))[0]
        # An event's place follows its time but for seconds, so the span holds little that is not wanted.
        while first is not None and (rows := self._page(PAGE, (first, end, since_s, until_s, PAGE_ROWS))):
            first = rows[-1][-1] + 1
            yield [row[:-1] for row in rows]

    def totals(self, since_s: float = -math.inf, until_s: float = math.inf) -> LedgerTotals:
        """Sums over the events with `since_s` <= time < `until_s`."""
        self.flush()
        requests, priced, conversions, first_s, last_s, *halves = self._read(TOTALS, (since_s, until_s))[0]
        sums = dict(
            zip(
                SUMMED, ((high << BITS) + low for high, low in zip(halves[::2], halves[1::2], strict=True)), strict=True
            )
        )
        return LedgerTotals(
            requests=requests,
            unpriced_requests=requests - priced,
            conversions=conversions,
            first_time_s=first_s,
            last_time_s=last_s,
            **sums,
        )

    def to_parquet(self, path: str | Path) -> int:
        """Write all events to a Parquet file, whole or not at all, and return their number."""
        with extra("monitoring"):
            import pyarrow
            from pyarrow.parquet import ParquetWriter
        schema, count = arrow_schema(), 0
        waiting: list[Row] = []
        with atomic_write(Path(path)) as file, ParquetWriter(file, schema) as writer:

            def write(rows: list[Row]) -> None:
                columns = zip(*rows, strict=True)
                arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

            for page in self.pages():
                waiting += page
                count += len(page)
                if len(waiting) >= ROW_GROUP_ROWS:
                    write(waiting)
                    waiting = []
            if waiting:
                write(waiting)
        return count

    def verify(self) -> None:
        """Read the whole file, and hold it against the count of its events that is kept beside it.

        Raises
        ------
        LedgerError
            If a page is damaged, or if events are missing that were in the file: SQLite leaves out what follows a
            damaged place of the write-ahead log, and an older copy of the file lacks them too.
        """
        known = self._rows.read()  # before the file, to which others may be writing
        state = self._read("PRAGMA integrity_check(1)", ())[0][0]
        if state != "ok":
            raise LedgerError(f"{self.path.name} is damaged: {state}")
        (rows,) = self._read(ROWS, ())[0]
        if missing := known.missing(rows):
            raise LedgerError(f"{self.path.name} has lost {missing} events that were written to it")

    @property
    def pending(self) -> int:
        """Events that wait to be written."""
        return len(self._pending)

    @property
    def duplicates(self) -> int:
        """Events that were in the file already, just as they came again."""
        return self._duplicates

    @property
    def conflicts(self) -> int:
        """Events that were dropped because the file had their request id with other values."""
        return self._conflicts

    @property
    def rejected(self) -> int:
        """Events that were dropped because no file can hold them."""
        return self._rejected

    @property
    def failures(self) -> int:
        """How often writing failed or found a conflict, in the flushing thread too."""
        return self._failures

    @property
    def last_error(self) -> LedgerError | None:
        """The last such failure, or None."""
        return self._last_error

    def close(self) -> None:
        """Write what waits and close the file; again is no error. Where the writing fails, the ledger stays open."""
        if not self._usable:
            return
        try:
            self.flush()
        finally:
            with self._writing, self._lock:
                self._usable = bool(self._pending)
                if not self._usable:
                    self._closing.set()
                    self._file.close()
                    self._rows.close()
            if not self._usable:
                atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, batch: list[RequestEvent]) -> list[str]:
        """Insert the batch in one transaction; the request ids that the file has with other values."""
        rows = [event.as_short_row() for event in batch]
        self._file.execute("BEGIN IMMEDIATE")
        try:
            if not self._is_current:
                upgrade(self._file, LEDGER)
            *others, last = rows
            written = 0
            if others:
                for size, same in groupby(others, len):
                    written += self._file.executemany(INSERT[size], same).rowcount
            one = self._file.execute(INSERT[len(last)], last)  # which tells the number of its row, without a question
            written += one.rowcount
            after: int = one.lastrowid if one.rowcount else self._file.execute(ROWS).fetchone()[0]  # type: ignore[assignment]
            lost = self._rows.check(after - written)
            known = [] if written == len(rows) else self._compare(batch)
            self._file.execute("COMMIT")
        except BaseException:
            self._is_current = False
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise
        self._is_current = True
        self._rows.note(after)
        if lost:
            self._failed(f"{self.path.name} has lost {lost} events that were written to it")
        self._conflicts += len(known)
        self._duplicates += len(rows) - written - len(known)
        return known

    def _compare(self, batch: list[RequestEvent]) -> list[str]:
        query = f"SELECT {NAMES} FROM events WHERE request_id = ?"  # noqa: S608
        known = (self._file.execute(query, (event.request_id,)).fetchone() for event in batch)
        return [event.request_id for event, row in zip(batch, known, strict=True) if row != event.as_row()]

    def _read(self, query: str, parameters: Row) -> list[Row]:
        if not self._usable:
            raise self._unusable()
        try:
            with self._writing:
                return self._file.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _event(self, row: Row) -> RequestEvent | LedgerError:
        try:
            return RequestEvent(**dict(zip(COLUMNS, row, strict=True)))
        except CostlabError as error:
            return LedgerError(f"request {row[0]!r} in {self.path.name}: {error}")

    def _unreadable(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(f"{self.path.name} could not be read: {error}")

    def _page(self, page: str, parameters: Row) -> list[Row]:
        """Rows of a file of whatever version: another process may be the first to write to an old one, at any time."""
        if not self._usable:
            raise self._unusable()
        try:
            with self._writing:
                self._file.execute("BEGIN")  # so that version and rows are of the same moment
                try:
                    (version,) = self._file.execute("PRAGMA user_version").fetchone()
                    query = page.format(NAMES if version > 1 else FIRST_NAMES)
                    try:
                        return self._file.execute(query, parameters).fetchall()
                    except sqlite3.OperationalError:  # another program's text, say, that is not UTF-8
                        self._file.text_factory = _decoded
                        return self._file.execute(query, parameters).fetchall()
                finally:
                    self._file.text_factory = str
                    self._file.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _flush_often(self, every_s: float) -> None:
        while not self._closing.wait(every_s):
            with contextlib.suppress(Exception):  # counted and kept by flush; the thread lives as long as the ledger
                self.flush()

    def _failed(self, message: str) -> LedgerError:
        error = LedgerError(message)
        with self._lock:
            self._failures += 1
            self._last_error = error
        return error

    def _leave(self) -> None:
        """In a forked child: the open file and what waits are the parent's, whose threads may hold the locks."""
        self._usable, self._forked = False, True
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def _unusable(self) -> LedgerError:
        reason = "was opened before a fork; open it in each process" if self._forked else "is closed"
        return LedgerError(f"the ledger {self.path.name} {reason}")


def _sort_out(batch: list[RequestEvent]) -> tuple[list[RequestEvent], list[tuple[RequestEvent, Exception]]]:
    """The events that a ledger can hold, and the others, each with the reason: found in a ledger in memory."""
    fit, unfit = [], []
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as trial:
        trial.executescript(LEDGER.schema)
        for event in batch:
            try:
                row = event.as_short_row()
                trial.execute(INSERT[len(row)], row)
            except Exception as reason:
                unfit.append((event, reason))
            else:
                fit.append(event)
    return fit, unfit


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
