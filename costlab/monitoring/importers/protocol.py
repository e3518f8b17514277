"""What a reader of a log format takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from costlab.events import COLUMNS

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles

#: Amounts in USD that a reader may give for ours in micro-dollars.
IN_USD: Final = {name.replace("_micro_usd", "_usd"): name for name in COLUMNS if name.endswith("_micro_usd")}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read.

    Attributes
    ----------
    where : str
        File and line, as "bill.csv line 17", or what else names the row.
    why : str
        What is wrong with it.
    """

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """What became of the rows of a log. Each that is not left out is a request, a credit, or a sum of requests.

    Attributes
    ----------
    rows : int
        Rows of the files: lines of a table, spans, entries of a session.
    repeated : int
        Those that tell a request again that another row tells as well or better.
    dropped : mapping of str to int
        Those that are no request, by the reason.
    bad_rows : int
        Those that could not be read.
    bad : tuple of BadRow
        The first of the latter.
    files : int
        How many files they come from.
    """

    rows: int = 0
    repeated: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    bad_rows: int = 0
    bad: tuple[BadRow, ...] = ()
    files: int = 0

    @property
    def kept(self) -> int:
        """Rows that count."""
        return self.rows - self.repeated - self.bad_rows - sum(self.dropped.values())

    def __add__(self, other: ReadCounts) -> ReadCounts:
        """The counts of two logs together."""
        dropped = dict(self.dropped)
        for reason, number in other.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
        return ReadCounts(
            rows=self.rows + other.rows,
            repeated=self.repeated + other.repeated,
            dropped=dropped,
            bad_rows=self.bad_rows + other.bad_rows,
            bad=self.bad + other.bad,
            files=self.files + other.files,
        )


@dataclass(frozen=True, slots=True)
class LogRows:
    """What a reader gives: the rest is done for all formats alike (see :func:`costlab.monitoring.open_log`).

    Attributes
    ----------
    relation : duckdb.DuckDBPyRelation
        A row a request, in the order of the log. Its columns are fields of :class:`costlab.events.RequestEvent` in
        their types, `cost_usd` and `conversion_value_usd` (float) in place of the amounts in micro-dollars, and
        `requests` (int) where a row is a sum of several. What the format does not know is left out, or null; it must
        have `time_s`, `model`, `input_tokens` and `output_tokens`. Rows with one `request_id` are one request.
    notes : tuple of str
        What was understood or assumed, for the reader of the figures.
    read : ReadCounts
        What the reader itself left out: `dropped`, `repeated`, `bad_rows` with `bad`, and `rows`, their sum. The rows
        of the relation, and those of them that cannot be read or repeat others, are counted afterwards.
    """

    relation: duckdb.DuckDBPyRelation
    notes: tuple[str, ...] = ()
    read: ReadCounts = field(default_factory=ReadCounts)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A format of logs.

    Attributes
    ----------
    name : str
        As ``--format`` takes it.
    title : str
        What it is, in a line.
    looks_like : callable
        Whether files are of the format, from what :class:`LogFiles` tells without reading them: `head`,
        `column_names`, `kind`.
    read : callable
        Reads them.
    answer_ids : tuple of str
        Columns of the rows, also beside the fields of an event, with the ids that the provider gave an answer, such as
        ``chatcmpl-...`` or ``msg_...``: by them it is found in logs of other formats.
    """

    name: str
    title: str
    looks_like: Callable[[LogFiles], bool]
    read: Callable[[LogFiles], LogRows]
    answer_ids: tuple[str, ...] = ()
