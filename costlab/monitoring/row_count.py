"""How many rows a ledger has, kept beside it: what SQLite does not say when a write-ahead log was damaged."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: A line for the rows that were written, one for those that were found to be lost; each number has a place of its own.
LINE: Final = b"%20d rows\n"
LINE_BYTES: Final = len(LINE % 0)
CONTENT: Final = re.compile(rb" *(\d+) rows\n(?: *(\d+) rows\n)?")


@dataclass(frozen=True, slots=True)
class KnownRows:
    """What is known of a ledger's rows beside it.

    Attributes
    ----------
    written, lost : int
        Rows that have been in the file, without those that were found to be lost before; and those.
    """

    written: int
    lost: int

    def missing(self, rows: int) -> int:
        """How many rows have been lost, where the file has a given number."""
        return self.lost + max(0, self.written - rows)


class RowCount:
    """The count of a ledger's rows, in a small file beside it.

    Parameters
    ----------
    ledger : Path
        The ledger's file; the count's has ``-rows`` after the name.

    Notes
    -----
    :meth:`check` is called by a writer that has SQLite's lock, :meth:`note` by one that has just given it back. So the
    count is never of more rows than were committed, and no one is blamed for what was not written. Two writers may note
    in the wrong order; the next check puts that right. Where the file cannot be written, the ledger does without.
    """

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(f"{ledger.name}-rows")
        self._ledger = ledger
        self._file: int | None = None
        # The count in the file where this writer was the last to change it, as far as it knows.
        self._noted: int | None = None

    def read(self) -> KnownRows:
        """What is known; nothing where the file is missing or torn."""
        try:
            return _parse(self.path.read_bytes())
        except OSError:
            return KnownRows(0, 0)

    # Both for every batch, which may be of one event: so without a file object, and without asking what is known.
    def check(self, rows: int) -> int:
        """Hold the ledger's rows against the count, which then begins with them; how many were found to be lost."""
        if rows == self._noted:
            return 0
        try:
            file = self._file if self._file is not None else self._open()
            known = _parse(_read_at(file, 2 * LINE_BYTES, 0))
            lost = max(0, known.written - rows)
            if known.written != rows:
                _write_at(file, LINE % rows + LINE % (known.lost + lost), 0)
        except OSError:
            return 0
        return lost

    def note(self, rows: int) -> None:
        """Set how many rows there are now."""
        line = LINE % rows
        self._noted = None
        try:
            file = self._file if self._file is not None else self._open()
            found = _read_at(file, LINE_BYTES, 0)
            if found < line:  # of one width, so that bytes compare as numbers
                _write_at(file, line, 0)
        except OSError:
            return
        if found <= line:  # otherwise others wrote more rows, or rows were lost: the next check looks
            self._noted = rows

    def close(self) -> None:
        """Give the file back; it is opened again when it is needed."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        mode = self._ledger.stat().st_mode & 0o666  # whoever may write the one may write the other
        # Kept open: opening it takes longer than all else here.
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), mode)
        return self._file


def _seek_and_read(file: int, size: int, place: int) -> bytes:
    os.lseek(file, place, os.SEEK_SET)
    return os.read(file, size)


def _seek_and_write(file: int, data: bytes, place: int) -> int:
    os.lseek(file, place, os.SEEK_SET)
    return os.write(file, data)


# In one step where that can be, which it cannot on Windows.
_read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)
_write_at: Callable[[int, bytes, int], int] = getattr(os, "pwrite", _seek_and_write)


def _parse(content: bytes) -> KnownRows:
    found = CONTENT.match(content)
    return KnownRows(0, 0) if found is None else KnownRows(int(found[1]), int(found[2] or 0))
