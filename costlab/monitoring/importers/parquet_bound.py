"""Parquet files that hold far more than they take: how long their texts are, told without unpacking them.

The end of a file says how much its pages hold, but a page may tell a text once and repeat it in every row: from a
dictionary, or as what a text has in common with the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from costlab._internal.extras import extra
from costlab.errors import LogError
from costlab.monitoring.importers.paths import FREE_BYTES, MAX_EXPANSION, FileState, expands

if TYPE_CHECKING:
    import pyarrow.parquet

#: So much is unpacked at once of texts that no dictionary holds.
BATCH_BYTES: Final = 2**24
#: This many rows are looked at together; of texts in a dictionary, each takes the four bytes of its number there.
BATCH_ROWS: Final = 2**16
#: Wider values of a fixed width are no numbers and no UUIDs, and count as texts.
NUMBER_BYTES: Final = 16

#: The encoding that tells of a text what differs from the one before.
SHARES_PREFIX: Final = "DELTA_BYTE_ARRAY"


@dataclass(frozen=True, slots=True)
class _Texts:
    """A column of texts in one row group."""

    reader: pyarrow.parquet.ParquetFile
    group: int
    name: str
    values: int
    #: No value is longer, by what the end of the file says.
    limit_bytes: int
    #: Whether a row may have several values.
    repeated: bool

    def longest_bytes(self) -> int:
        """The longest text of the dictionary; the limit where there is none. The first page alone is read."""
        from pyarrow import compute

        return max(
            (
                compute.max(compute.binary_length(leaf.dictionary)).as_py() or 0
                if _has_dictionary(leaf)
                else self.limit_bytes
                for leaf in next(self._batches(1), [])
            ),
            default=0,
        )

    def bytes_of_batches(self) -> Iterator[int]:
        """How much the texts take when each is stored by itself, some rows after the other."""
        from pyarrow import compute

        packed = all(map(_has_dictionary, next(self._batches(1), [])))
        if self.repeated and not packed:
            yield self.values * self.limit_bytes  # a single row may hold them all
            return
        for leaves in self._batches(BATCH_ROWS if packed else max(1, BATCH_BYTES // self.limit_bytes)):
            for leaf in leaves:
                inside = _has_dictionary(leaf)
                lengths = compute.binary_length(leaf.dictionary if inside else leaf)
                yield compute.sum(lengths.take(leaf.indices) if inside else lengths).as_py() or 0

    def _batches(self, rows: int) -> Iterator[list[Any]]:
        """Arrays of the texts themselves, out of the lists and structures they are in.

        Where several columns have one name, of all of them: then the dictionary of one alone is kept as it is.
        """
        for batch in self.reader.iter_batches(
            batch_size=rows, row_groups=[self.group], columns=[self.name], use_threads=False
        ):
            yield [leaf for column in batch.columns for leaf in _leaves_of(column)]


def _has_dictionary(leaf: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_dictionary(leaf.type))


def _leaves_of(column: Any) -> Iterator[Any]:
    import pyarrow
    from pyarrow import types

    if isinstance(column.type, pyarrow.BaseExtensionType):
        yield from _leaves_of(column.storage)
    elif types.is_struct(column.type):
        for part in column.flatten():
            yield from _leaves_of(part)
    elif types.is_nested(column.type):
        yield from _leaves_of(column.flatten())
    else:
        yield column


def require_bounded(path: Path) -> None:
    """Raise `LogError` where the columns of a Parquet file hold too many times what they take.

    The sizes of its pages, the numbers of its values and the ways they are written are those that its end tells. Where
    texts could be repeated so often that they go beyond the bound, the dictionaries are read; where those do not tell
    either, how often the rows have each text. No text is unpacked more often than it is stored.
    """
    _require_bounded(FileState.of(path))


@lru_cache(maxsize=1024)  # a reader asks several times
def _require_bounded(state: FileState) -> None:
    with extra("usage"):
        import pyarrow
        import pyarrow.parquet
    path, room = state.path, FREE_BYTES + MAX_EXPANSION * state.size
    try:
        found = pyarrow.parquet.read_metadata(path)
    except (pyarrow.ArrowException, OSError):
        return  # whoever reads it says what is wrong
    if sum(found.row_group(place).total_byte_size for place in range(found.num_row_groups)) > room:
        raise expands(path)
    try:
        if not _texts_fit(path, found, room):
            raise expands(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise LogError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _texts_fit(path: Path, found: Any, room: int) -> bool:
    """Whether the texts fit into a number of bytes, each as often as rows have it."""
    from pyarrow.parquet import ParquetFile

    chunks = [
        (group, found.row_group(group).column(place), found.schema.column(place))
        for group in range(found.num_row_groups)
        for place in range(found.num_columns)
        if _is_text(found.schema.column(place))
    ]
    if sum(chunk.num_values * _limit_bytes(chunk, column) for _, chunk, column in chunks) <= room:
        return True
    plain = {column.path for _, chunk, column in chunks if SHARES_PREFIX in chunk.encodings}
    names = {column.path for _, _, column in chunks if column.physical_type == "BYTE_ARRAY"} - plain
    limits: dict[tuple[int, str], int] = {}
    for group, chunk, column in chunks:
        limits[group, column.path] = max(limits.get((group, column.path), 0), _limit_bytes(chunk, column))
    with ParquetFile(path, read_dictionary=sorted(names), buffer_size=2**16) as reader:
        texts = [
            _Texts(
                reader,
                group,
                column.path,
                chunk.num_values,
                limits[group, column.path],
                column.max_repetition_level > 0,
            )
            for group, chunk, column in chunks
        ]
        at_most = {one: one.values * one.longest_bytes() for one in texts}
        total, counted = sum(at_most.values()), 0
        for one in sorted(texts, key=at_most.__getitem__, reverse=True):
            if total <= room:
                return True
            total -= at_most[one]
            for taken in one.bytes_of_batches():
                counted, total = counted + taken, total + taken
                if counted > room:
                    return False
    return total <= room


def _is_text(column: Any) -> bool:
    kind = column.physical_type
    return bool(kind == "BYTE_ARRAY" or (kind == "FIXED_LEN_BYTE_ARRAY" and column.length > NUMBER_BYTES))


def _limit_bytes(chunk: Any, column: Any) -> int:
    """No text of a column is longer than that; at least a byte."""
    return int(column.length if column.physical_type != "BYTE_ARRAY" else max(1, chunk.total_uncompressed_size))
