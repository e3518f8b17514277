"""Files of logs: which a user means, and how they are written."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import hashlib
import io
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import IO, Any, Final, Literal, Self, cast

from costlab._internal.extras import extra
from costlab._internal.plain_files import not_plain
from costlab.errors import LogError

#: Endings of the files that are read, and how they are written.
KINDS: Final[Mapping[str, Literal["csv", "json", "parquet"]]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
COMPRESSED: Final = (".gz", ".zst")

#: What to do about files that people have of other kinds.
HINTS: Final = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as CSV"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz"), "unpack it, or compress each file by gzip or zstd"),
    **dict.fromkeys((".txt", ".log"), "name it after how it is written: .csv for a table, .jsonl for lines of JSON"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "a ledger of costlab is written to Parquet by Ledger.to_parquet"),
}

#: So much is looked at to tell what a file is.
HEAD_BYTES: Final = 65_536

#: What is looked at of an object that is longer than that: the names of its first fields.
BEGINNING_CHARACTERS: Final = 500
BEGINNING: Final = re.compile(r'"(\w+)"\s*:')

#: How compressed files begin, by the name that DuckDB has for it.
MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

#: Compressed files may hold this much, and beyond it this many times what they take. Logs shrink to a tenth, and rarely
#: to a fiftieth; what was made to fill memory or disk of who opens it shrinks to a thousandth.
FREE_BYTES: Final = 16 * 2**20
MAX_EXPANSION: Final = 100

#: No row of a table of text or of a compressed file is longer than that, and no line of a session: what is refused for
#: it takes little more memory.
MAX_LINE_BYTES: Final = 32 * 2**20

#: Separators of CSV files.
SEPARATORS: Final = (",", ";", "\t", "|")


def kind_of(path: Path) -> Literal["csv", "json", "parquet"]:
    """How a file is written, by its ending; raises `LogError` where it is of no known kind."""
    kind = _kind_or_none(path)
    if kind is None:
        raise LogError(f"{path.name} is of no known kind; known: {', '.join(KINDS)}{_hint(path)}")
    return kind


def _hint(path: Path) -> str:
    """What to do about a file whose ending tells no kind that is read."""
    ending = path.suffix.lower()
    if ending in COMPRESSED:
        return f", each also with {ending} behind it: name the file after what is in it, as {path.stem}.csv{ending}"
    return f"; {HINTS[ending]}" if ending in HINTS else ""


def _kind_or_none(path: Path) -> Literal["csv", "json", "parquet"] | None:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSED]
    return KINDS.get(suffixes[-1] if suffixes else "")


def find_files(path: Path) -> tuple[Path, ...]:
    """The files that a user means by a path: itself, or all below a folder that are of a known kind.

    Raises
    ------
    LogError
        If a file is empty, of no known kind or no regular file, or a folder holds none.
    OSError
        If there is no such file.
    """
    mode = path.stat()
    if stat.S_ISDIR(mode.st_mode):
        found = tuple(sorted(_below(path)))
        if not found:
            raise LogError(f"{path} is a folder without a file of a known kind; known: {', '.join(KINDS)}")
        return found
    if not stat.S_ISREG(mode.st_mode):
        raise LogError(not_plain(path))
    kind_of(path)
    if not mode.st_size:
        raise LogError(f"{path.name} is empty")
    return (path,)


def passed_over(folder: Path) -> tuple[Path, ...]:
    """What is called as a log in a folder and is none that can be read: pipes, sockets, links that lead nowhere."""
    return tuple(sorted(path for path in _named_below(folder) if not path.is_file() and not path.is_dir()))


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in _named_below(folder) if path.is_file() and path.stat().st_size)


def _named_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        # What Spark and others leave beside their files: _SUCCESS, .part-0.parquet.crc.
        if any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            continue
        if _kind_or_none(path):
            yield path


def copies(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Files whose content an earlier one has too, each behind that one.

    Only files of equal length are read, and those of one folder whose names differ by a compression's ending alone.
    """
    by_length: dict[int, list[Path]] = {}
    by_name: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        by_length.setdefault(path.stat().st_size, []).append(path)
        unpacked = path.name.removesuffix(path.suffix) if path.suffix.lower() in COMPRESSED else path.name
        by_name.setdefault((path.parent, unpacked), []).append(path)
    for alike in by_length.values():
        yield from _copies_among(alike, lambda path: path.open("rb"))
    for alike in by_name.values():
        yield from _copies_among(alike, _decompressed)


def _copies_among(paths: Sequence[Path], opened: Callable[[Path], BufferedReader]) -> Iterator[tuple[Path, Path]]:
    seen: dict[bytes, Path] = {}
    for path in paths if len(paths) > 1 else ():
        # Whoever reads a file that cannot be unpacked says what is wrong with it.
        with contextlib.suppress(LogError, OSError, EOFError, zlib.error), opened(path) as file:
            earlier = seen.setdefault(hashlib.file_digest(file, "sha256").digest(), path)
            if earlier is not path:
                yield earlier, path


def compression_of(path: Path) -> str:
    """`gzip`, `zstd` or `none`, whatever the file is called."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "none")


def open_bytes(path: Path) -> IO[bytes]:
    """As :meth:`LogFiles.open`."""
    raw = _decompressed(path)
    encoding = _encoding(raw.peek(4)[:4])
    if encoding is None:
        return raw
    if encoding == "utf-8":
        raw.read(len(codecs.BOM_UTF8))
        return raw
    text = codecs.EncodedFile(raw, "utf-8", encoding)
    return cast("IO[bytes]", text)


class _Bounded(io.RawIOBase):
    """What a compressed file holds, as far as that is a multiple of its size that logs have."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._left = FREE_BYTES + MAX_EXPANSION * path.stat().st_size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, target: Any) -> int:
        """As many bytes as there are; none at the end."""
        piece = self._stream.read(len(target))
        self._left -= len(piece)
        if self._left < 0:
            raise expands(self._path)
        target[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Give the file back."""
        self._stream.close()
        super().close()


def expands(path: Path) -> LogError:
    """What is said of a file that holds more than a log does."""
    return LogError(
        f"{path.name} holds more than {MAX_EXPANSION} times what it takes, as files do that are made to do harm; "
        "if you know what it is, unpack it first"
    )


def _decompressed(path: Path) -> BufferedReader:
    kind = compression_of(path)
    if kind == "none":
        return path.open("rb")
    if kind == "gzip":
        stream = cast("IO[bytes]", gzip.open(path))  # noqa: SIM115 - open until what wraps it is closed
    else:
        with extra("usage"):
            import pyarrow
        stream = cast("IO[bytes]", pyarrow.input_stream(str(path), compression="zstd"))
    return BufferedReader(_Bounded(stream, path), 2**17)


def _encoding(head: bytes) -> str | None:
    """What a file is written in where it is not plain UTF-8: `utf-8` with a mark, `utf-16`, or one half of it."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # No text that we read begins with a character outside ASCII, or holds the character 0.
    zeros = "".join("0" if byte == 0 else "x" for byte in head)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)


def is_plain(path: Path) -> bool:
    """Whether DuckDB can read a text file as it is: UTF-8, and not compressed, since what it unpacks has no bound."""
    if compression_of(path) != "none":
        return False
    with path.open("rb") as file:
        return _encoding(file.read(4)) in (None, "utf-8")


def head_of(path: Path) -> str:
    """The beginning of a text file; raises `LogError` where it cannot be decompressed."""
    try:
        with open_bytes(path) as file:
            return file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # there is no such file, or no one may read it

        raise LogError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file is known by before and after it is read: its place on the disk, its size and its last change."""

    path: Path
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The present state; raises `OSError` where the file is gone."""
        found = path.stat()
        return cls(path, found.st_ino, found.st_size, found.st_mtime_ns)

    def grown(self) -> bool:
        """Whether the file was written on since; raises `LogError` where it is another than it was."""
        try:
            now = self.of(self.path)
        except OSError:
            raise LogError(f"{self.path.name} was taken away while it was read; read a copy of it") from None
        longer = now.inode == self.inode and now.size > self.size and kind_of(self.path) != "parquet"
        if now != self and not longer:
            raise LogError(f"{self.path.name} was changed while it was read; read it again, or a copy of it")
        return longer


def lines_of(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The lines of a file, none of which is longer than a row may be."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise LogError(f"{name} has a line of more than {MAX_LINE_BYTES:,} bytes")
        yield line


def require_lines(path: Path) -> None:
    """Raise `LogError` where a line of a plain text is longer than a row: DuckDB leaves out a last one unsaid."""
    step, size = MAX_LINE_BYTES // 2, path.stat().st_size
    with path.open("rb") as file:
        for begin in range(0, max(0, size - step) + 1, step):
            # Every line that is too long spans one of these steps, and most steps end with the first look.
            file.seek(begin)
            last, place = begin, begin
            while place < min(size, begin + step) and last == begin:
                last += file.read(2**16).find(b"\n") + 1
                place += 2**16
            if last == begin and place - begin >= step and _runs_on(file, begin, size):
                raise LogError(f"{path.name} has a line of more than {MAX_LINE_BYTES:,} bytes")


def _runs_on(file: IO[bytes], inside: int, size: int) -> bool:
    """Whether the line at a place is too long."""
    begin = max(0, inside - MAX_LINE_BYTES)
    file.seek(begin)
    before = file.read(inside - begin)
    begin += before.rfind(b"\n") + 1
    file.seek(begin)
    line = file.read(MAX_LINE_BYTES + 1)
    return len(line) > MAX_LINE_BYTES and b"\n" not in line and begin + len(line) <= size


def json_layout(head: str) -> str:
    """One document a line, an array of them, or documents over several lines."""
    text = head.lstrip()
    if text.startswith("["):
        return "array"
    first, newline, _ = text.partition("\n")
    if not newline:
        return "newline_delimited"
    try:
        json.loads(first)
    except ValueError:
        return "unstructured"
    return "newline_delimited"


def csv_layout(path: Path) -> tuple[str, tuple[str, ...], int]:
    """Separator, names of the columns, and lines before them, of a table of text."""
    lines = head_of(path).splitlines()
    skip = 0
    separators: Sequence[str] = SEPARATORS
    if lines and lines[0].lower().startswith("sep="):  # what spreadsheets are told by
        skip, separators = 1, (lines[0][4:5],)
    parsed = {one: next(csv.reader(lines[skip:], delimiter=one), []) for one in separators}
    separator = max(separators, key=lambda one: len(parsed[one]))
    names: list[str] = []
    for place, name in enumerate(parsed[separator]):
        wanted = name.strip() or f"column {place + 1}"
        free = (f"{wanted} ({number})" for number in count(2))
        taken = {one.casefold() for one in names}  # to DuckDB, Cost and cost are one name
        names.append(
            wanted if wanted.casefold() not in taken else next(one for one in free if one.casefold() not in taken)
        )
    return separator, tuple(names), skip


def signature(path: Path) -> tuple[str, ...]:
    """What a file begins with, as far as it tells the format: names of columns, or of the first object's fields."""
    kind = kind_of(path)
    if kind == "csv":
        return csv_layout(path)[1]
    if kind == "parquet":
        return ()
    text = head_of(path).lstrip().removeprefix("[").lstrip()
    try:
        first, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return ("", *BEGINNING.findall(text[:BEGINNING_CHARACTERS]))  # longer than was looked at
    except RecursionError:
        raise LogError(f"{path.name} is nested too deeply") from None
    return tuple(sorted(first)) if isinstance(first, dict) else ()
