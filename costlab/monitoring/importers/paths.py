"""Files of logs: which a user means, and how they are written."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import IO, Final, Literal, cast

from costlab._internal.extras import extra
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

#: So much is looked at to tell what a file is.
HEAD_BYTES: Final = 65_536

#: What is looked at of an object that is longer than that: the names of its first fields.
BEGINNING_CHARACTERS: Final = 500
BEGINNING: Final = re.compile(r'"(\w+)"\s*:')

#: How compressed files begin, by the name that DuckDB has for it.
MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

#: Separators of CSV files.
SEPARATORS: Final = (",", ";", "\t", "|")


def kind_of(path: Path) -> Literal["csv", "json", "parquet"]:
    """How a file is written, by its ending; raises `LogError` where it is of no known kind."""
    kind = _kind_or_none(path)
    if kind is None:
        raise LogError(f"{path.name} is of no known kind; known: {', '.join(KINDS)}")
    return kind


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
        raise LogError(f"{path} is no regular file; a log is read more than once, so save it as a file first")
    kind_of(path)
    if not mode.st_size:
        raise LogError(f"{path.name} is empty")
    return (path,)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        # What Spark and others leave beside their files: _SUCCESS, .part-0.parquet.crc.
        if any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            continue
        if _kind_or_none(path) and path.is_file() and path.stat().st_size:
            yield path


def compression_of(path: Path) -> str:
    """`gzip`, `zstd` or `none`, whatever the file is called."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "none")


def open_bytes(path: Path) -> IO[bytes]:
    """As :meth:`LogFiles.open`."""
    raw = _decompressed(path)
    encoding = _encoding(raw.peek(4)[:4] if isinstance(raw, io.BufferedReader) else b"")
    if encoding is None:
        return raw
    if encoding == "utf-8":
        raw.read(len(codecs.BOM_UTF8))
        return raw
    text = codecs.EncodedFile(raw, "utf-8", encoding)
    return cast("IO[bytes]", text)


def _decompressed(path: Path) -> IO[bytes]:
    kind = compression_of(path)
    if kind == "gzip":
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(path)))
    if kind == "zstd":
        with extra("usage"):
            import pyarrow
        return io.BufferedReader(cast("io.RawIOBase", pyarrow.input_stream(str(path), compression="zstd")))
    return path.open("rb")


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
    """Whether DuckDB can read a text file as it is: UTF-8, compressed or not."""
    with _decompressed(path) as file:
        return _encoding(file.read(4)) in (None, "utf-8")


def head_of(path: Path) -> str:
    """The beginning of a text file; raises `LogError` where it cannot be decompressed."""
    try:
        with open_bytes(path) as file:
            return file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # there is no such file, or nobody may read it

        raise LogError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


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
