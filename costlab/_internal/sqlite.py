"""SQLite files of costlab's own: made whole or not at all, and never opened when they are something else."""

import contextlib
import os
import sqlite3
import struct
import tempfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

MAGIC: Final = b"SQLite format 3\0"
HEADER_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file: what its header says, and the tables that a new one gets.

    Attributes
    ----------
    name : str
        As error messages call it: ``ledger``.
    application_id : int
        Number in the header that says whose file it is.
    version : int
        Number in the header that says which tables it has; newer ones are refused.
    schema : str
        SQL that makes the tables.
    error : type of exception
        What is raised where a file cannot be used.
    fill_empty : bool
        Whether an empty file is a new one; otherwise it counts as torn.
    upgrades : tuple of tuple of str
        Statements that :func:`upgrade` runs: from version 1 to 2, from 2 to 3, and so on.
    """

    name: str
    application_id: int
    version: int
    schema: str
    error: type[Exception]
    fill_empty: bool = False
    upgrades: tuple[tuple[str, ...], ...] = ()


def connect(
    path: Path, kind: FileKind, *, timeout_s: float, create: bool = True, synchronous: str = "NORMAL"
) -> sqlite3.Connection:
    """A connection to the file, which is made where it is missing; threads may take turns with it.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.
    kind : FileKind
        What it must be.
    timeout_s : float
        Seconds to wait for other processes that write.
    create : bool
        Whether a missing file is made.
    synchronous : {'NORMAL', 'FULL'}
        With FULL what was committed survives a power cut too, at a few milliseconds for each commit.

    Raises
    ------
    Exception
        `kind.error`, if the file is missing and may not be made, torn, foreign or of another version. The file is read
        and not written until that is known.
    OSError
        If the folder is missing or cannot be written.

    Notes
    -----
    A new file is made beside its place and then linked there, so that a second process finds a whole one or none.
    """
    if create and not path.exists():
        _make(path, kind)
    elif create and kind.fill_empty and path.is_file() and not path.stat().st_size:
        _fill(path, kind, timeout_s)
    _check_header(path, kind)
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise kind.error(f"{path.name} cannot be used as {_a(kind)}: {error}") from error
    return connection


def upgrade(connection: sqlite3.Connection, kind: FileKind) -> None:
    """Give a file of an older version the tables of today, unless it has them; within a transaction that can write."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < kind.version:
        for statement in chain.from_iterable(kind.upgrades[version - 1 :]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {kind.version}")


def _make(path: Path, kind: FileKind) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".new")
    os.close(descriptor)
    try:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as connection:
            # In this order nothing is left for the closing to write, which does not say when the disk is full.
            connection.executescript(_script(kind))
            connection.execute("PRAGMA journal_mode = WAL")
        with contextlib.suppress(FileExistsError):  # another process was faster, and its file is as good
            os.link(name, path)
    except sqlite3.Error as error:
        raise kind.error(f"{path.name} cannot be made: {error}") from error
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            Path(name + end).unlink(missing_ok=True)


def _fill(path: Path, kind: FileKind, timeout_s: float) -> None:
    """Make an empty file whole, in place: another process may have it open.

    The lock is kept between the tables and the change of mode, for which SQLite waits for no one: others would get in.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=timeout_s, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.executescript(_script(kind))
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            if not path.stat().st_size:  # otherwise another process was faster
                raise kind.error(f"{path.name} cannot be made {_a(kind)}: {error}") from error


def _script(kind: FileKind) -> str:
    header = f"PRAGMA application_id = {kind.application_id}; PRAGMA user_version = {kind.version}"
    return f"BEGIN EXCLUSIVE; {kind.schema}; {header}; COMMIT;"


def _check_header(path: Path, kind: FileKind) -> None:
    """Look at the first 100 bytes, without SQLite, which might put a file right that it takes for its own."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise kind.error(f"{path.name} is no {kind.name}, but a folder or a device; name a file")
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except FileNotFoundError:
        raise kind.error(f"there is no {kind.name} at {path}") from None
    if not MAGIC.startswith(header[: len(MAGIC)]):
        raise _foreign(path, kind)
    if len(header) < HEADER_BYTES:
        raise kind.error(f"{path.name} is a torn {kind.name}: it ends after {len(header)} bytes; restore or remove it")
    page_bytes, pages = struct.unpack(">H", header[16:18])[0], struct.unpack(">I", header[28:32])[0]
    application, version = (struct.unpack(">I", header[at : at + 4])[0] for at in (68, 60))
    if application != kind.application_id or version < 1:
        raise _foreign(path, kind)
    if version > kind.version:
        raise kind.error(
            f"{path.name} was written by a newer costlab (version {version}, this one knows {kind.version})"
        )
    # While a log lies beside it, the file alone may be behind, and SQLite brings it up to date. In this order: who has
    # removed the log since has made the file whole before.
    expected = pages * (65536 if page_bytes == 1 else page_bytes)
    if not _has_log(path) and path.stat().st_size < expected:
        raise kind.error(
            f"{path.name} is a torn {kind.name}: {path.stat().st_size} bytes of {expected}; restore it from a copy"
        )


def _foreign(path: Path, kind: FileKind) -> Exception:
    return kind.error(f"{path.name} is no {kind.name}, but another program's file; name another")


def _has_log(path: Path) -> bool:
    """Whether a log lies beside the file: a write-ahead log, or the journal of one that is just being filled."""
    for end in ("-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            if path.with_name(path.name + end).stat().st_size:
                return True
    return False


def _a(kind: FileKind) -> str:
    return f"{'an' if kind.name[0] in 'aeiou' else 'a'} {kind.name}"
