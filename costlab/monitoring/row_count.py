"""How many rows a ledger has, kept beside it: what SQLite does not say when a write-ahead log was damaged."""

import contextlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: A line for the rows that were written, one for those that were found to be lost; each number has a place of its own.
LINE: Final = "{:>20} rows\n"
LINE_BYTES: Final = len(LINE.format(0))
CONTENT: Final = re.compile(rb" *(\d+) rows\n(?: *(\d+) rows\n)?")


@dataclass(frozen=True, slots=True)
class KnownRows:
    """What is known of a ledger's rows beside it.

    Attributes
    ----------
    written, lost : int
        Rows that have stood in the file, without those that were found to be lost before; and those.
    """

    written: int
    lost: int

    def missing(self, rows: int) -> int:
        """How many rows have been lost, where the file has so many."""
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
        self._file: io.FileIO | None = None

    def read(self) -> KnownRows:
        """What is known; nothing where the file is missing or torn."""
        try:
            return _parse(self.path.read_bytes())
        except OSError:
            return KnownRows(0, 0)

    def check(self, rows: int) -> int:
        """Hold the ledger's rows against the count, which then begins with them; how many were found to be lost."""
        with contextlib.suppress(OSError):
            told = self._read(LINE_BYTES)
            if told == LINE.format(rows).encode():
                return 0
            known = _parse(self._read(2 * LINE_BYTES))
            lost = max(0, known.written - rows)
            if known.written != rows:
                self._write(LINE.format(rows) + LINE.format(known.lost + lost))
            return lost
        return 0

    def note(self, rows: int) -> None:
        """There are so many rows now."""
        with contextlib.suppress(OSError):
            line = LINE.format(rows)
            if self._read(LINE_BYTES) < line.encode():  # of one width, so that bytes compare as numbers
                self._write(line)

    def close(self) -> None:
        """Give the file back; it is opened again when it is needed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, size: int) -> bytes:
        file = self._opened()
        file.seek(0)
        return file.read(size)

    def _write(self, lines: str) -> None:
        file = self._opened()
        file.seek(0)
        file.write(lines.encode())

    def _opened(self) -> io.FileIO:
        if self._file is None:  # kept open: opening it takes longer than all else here
            mode = self._ledger.stat().st_mode & 0o666  # whoever may write the one may write the other
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), mode)
            self._file = io.FileIO(descriptor, "r+")
        return self._file


def _parse(content: bytes) -> KnownRows:
    found = CONTENT.match(content)
    return KnownRows(0, 0) if found is None else KnownRows(int(found[1]), int(found[2] or 0))
