"""Rows of a log that count: those that can be read, and tell a request for the first time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal.extras import extra
from costlab._internal.text import counted
from costlab.catalog.service_tiers import USUAL_TIERS
from costlab.errors import LogError
from costlab.events import micro_usd_column, rounded_up_pico_usd_column
from costlab.monitoring.importers.conversion import (
    BAD,
    DROPPED,
    FILE,
    HIDDEN,
    ROW,
    hints_sql,
    sql_among,
    sql_identifier,
    sql_text,
)
from costlab.monitoring.importers.log_files import LogFiles, RowTooLongError
from costlab.monitoring.importers.protocol import IN_USD, BadRow, LogRows, ReadCounts
from costlab.monitoring.usage import FAILED, LOG_COLUMNS, REQUIRED, ROUNDED_UP, LogFrame, demands_of, unmet

if TYPE_CHECKING:
    import duckdb
    from narwhals.typing import IntoLazyFrameT

#: This many rows that cannot be read are shown.
MAX_SHOWN: Final = 5

#: This many ids are compared at a time: 8 bytes each.
IDS_AT_A_TIME: Final = 2**24

TOKENS: Final = ("input_tokens", "output_tokens")

#: Where DuckDB notes what is no row of a CSV file.
REJECTS: Final = ("reject_errors", "reject_scans")

#: Whether a row of CSV is none because it was longer than was prepared for.
CUT_OFF: Final = "error_type IN ('UNQUOTED VALUE', 'LINE SIZE OVER MAXIMUM')"


class _ReadAgainError(Exception):
    """The files must be read in another way."""

    def __init__(self, files: LogFiles, *notes: str) -> None:
        super().__init__(*notes)
        self.files, self.notes = files, notes


@dataclass(frozen=True, slots=True)
class _Log:
    """A log while it is read.

    Attributes
    ----------
    read : callable
        Reads its files.
    table : str
        Where its rows are stored.
    of_requests : bool
        Whether they are requests; otherwise they only need to be readable.
    """

    read: Callable[[LogFiles], LogRows]
    table: str
    of_requests: bool

    def rows(self, files: LogFiles) -> tuple[duckdb.DuckDBPyRelation, LogRows]:
        """Its rows with all columns, and as they were read."""
        rows = self.read(files)
        return (_complete(rows.relation) if self.of_requests else rows.relation), rows

    def with_reasons(self, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """Rows with why each cannot be read, or is no request: null where it is one."""
        if self.of_requests:
            return with_reasons(rows)
        return rows if BAD in rows.columns else rows.project(f"*, CAST(NULL AS VARCHAR) AS {BAD}")


def counted_rows(
    files: LogFiles, read: Callable[[LogFiles], LogRows], table: str, *, of_requests: bool = True
) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...], ReadCounts]:
    """The rows of a log that count, with the columns of an event, notes on them, and what became of the others.

    Parameters
    ----------
    files : LogFiles
        What to read.
    read : callable
        Reads them.
    table : str
        A name of one's own for the rows where they are stored.
    of_requests : bool
        Whether they are requests; otherwise their columns are left as they are.

    Raises
    ------
    LogError
        If the files cannot be read, or more rows cannot than may be left out.
    """
    log = _Log(read, table, of_requests)
    notes: tuple[str, ...] = ()
    while True:
        try:
            return _counted(log, files, notes)
        except RowTooLongError:
            files = files.with_longer_rows()
        except _ReadAgainError as again:
            files, notes = again.files, (*notes, *again.notes)


#: Logs of up to this many rows are stored as they come out: to plan the expressions that would otherwise make them
#: again for every figure takes longer than to count them.
STORED_ROWS: Final = 100_000


def _counted(
    log: _Log, files: LogFiles, notes: tuple[str, ...]
) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...], ReadCounts]:
    import duckdb

    relation, rows = log.rows(files)
    notes = (*rows.notes, *notes)
    stored = bool({BAD, DROPPED} & set(relation.columns)) or files.options.max_bad_rows > 0 or not log.of_requests
    try:
        if stored:
            # Text is converted once; whoever counts the rows reads the result.
            relation = _stored(files, relation, log.table)
            dropped = _without_dropped(files, relation, log.table)
            counts = _without_bad(log, files) + ReadCounts(sum(dropped.values()), dropped=dropped)
        else:
            ((number,),) = relation.aggregate("count(*)").fetchall()
            counts = ReadCounts(number)
            if number <= STORED_ROWS:
                relation, stored = _stored(files, relation, log.table), True
        kept, counts = counts.kept, rows.read + counts
        if counts.bad_rows > files.options.max_bad_rows:
            raise LogError(complaint(files.name, counts))
        if log.of_requests and "request_id" in relation.columns and _repeats_ids(relation, kept):
            if not stored:
                relation = _stored(files, relation, log.table)
            repeated, odd = _without_repeated(files, log.table)
            counts, notes = replace(counts, repeated=counts.repeated + repeated), (*notes, *odd)
    except duckdb.Error as error:
        raise files.error(error) from error
    hidden = [name for name in HIDDEN if name in relation.columns]
    if hidden:
        relation = relation.project(f"* EXCLUDE ({', '.join(hidden)})")
    return relation, notes, replace(counts, files=len(files.paths))


def with_defaults(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With what an event assumes where rows tell nothing."""
    return _projected(rows, defaults_sql(rows.columns))


def _complete(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With what may be null or left out, as far as no figure can do without it."""
    rows = with_defaults(rows)
    return in_micro_usd(_projected(rows, complete_sql(rows.columns)))


def _projected(rows: duckdb.DuckDBPyRelation, sql: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    return rows.project(", ".join(f"{value} AS {sql_identifier(name)}" for name, value in sql.items()))


# What a row is taken to mean, said once for every engine that reads logs: SQL that DuckDB and Spark understand alike,
# over columns that have our names, and expressions of narwhals.

#: What rows that tell one request have in common. A credit may have the id of what it gives back.
SAME_REQUEST: Final = ("request_id", "coalesce(cost_micro_usd < 0, false)")

#: Which of them counts: that with the most output, since answers are written while they grow; of equals the last.
BEST_FIRST: Final = "output_tokens DESC NULLS LAST, input_tokens DESC NULLS LAST, (cost_micro_usd IS NULL)"


def defaults_sql(names: Sequence[str]) -> dict[str, str]:
    """SQL of columns with what an event assumes where a row tells nothing."""
    sql = {name: name for name in names}
    for name, column in LOG_COLUMNS.items():
        if name in sql and column.default is not None:
            default = sql_text(column.default) if isinstance(column.default, str) else str(column.default)
            sql[name] = f"coalesce({name}, {default})"
    if "service_tier" in sql:
        usual = sql_among(f"lower({sql['service_tier']})", USUAL_TIERS)
        sql["service_tier"] = f"CASE WHEN {usual} THEN 'standard' ELSE lower({sql['service_tier']}) END"
    sql["tier"] = "coalesce(tier, model)" if "tier" in sql else "model"
    return sql


def complete_sql(names: Sequence[str]) -> dict[str, str]:
    """SQL of columns with what a row may leave out because it failed, or is a credit.

    What failed may lack tokens, and without any it cost nothing unless that is told. A credit is about no tokens.
    """
    costs = [name for name in ("cost_micro_usd", "cost_usd") if name in names]
    failed = f"outcome IN {FAILED}" if "outcome" in names else "false"
    credit = " OR ".join(["false", *(f"{cost} < 0" for cost in costs)])
    # As conditions that begin with the column, DuckDB spares itself those of a file that has no such gaps.
    tokens = {name: f"CASE WHEN {name} IS NULL AND ({failed} OR {credit}) THEN 0 ELSE {name} END" for name in TOKENS}
    free = f"input_tokens IS NULL AND output_tokens IS NULL AND {failed}"
    if costs:
        cost = {costs[-1]: f"CASE WHEN {costs[-1]} IS NULL AND {free} THEN 0 ELSE {costs[-1]} END"}
    else:
        cost = {"cost_micro_usd": f"CASE WHEN {free} THEN CAST(0 AS BIGINT) END"}
    return {name: name for name in names if name not in tokens | cost} | tokens | cost


def in_micro_usd(rows: IntoLazyFrameT) -> IntoLazyFrameT:
    """Rows with the amounts in USD as whole micro-dollars; where both are told, the latter count."""
    with extra("usage"):
        import narwhals as nw
    frame = nw.from_native(rows)
    amounts = {exact: name for name, exact in IN_USD.items() if name in frame.collect_schema()}
    if not amounts:
        return rows
    exact = {name: micro_usd_column(nw.col(usd)) for name, usd in amounts.items()}
    if "cost_micro_usd" in amounts:
        exact[ROUNDED_UP] = rounded_up_pico_usd_column(nw.col(amounts["cost_micro_usd"]))
    both = {
        name: nw.coalesce(nw.col(name).cast(nw.Float64), told)
        for name, told in exact.items()
        if name in frame.collect_schema()
    }
    if "cost_micro_usd" in both:
        both[ROUNDED_UP] = nw.when(nw.col("cost_micro_usd").is_null()).then(exact[ROUNDED_UP])
    told: IntoLazyFrameT = frame.with_columns(**exact | both).drop(*amounts.values()).to_native()
    return told


def with_reasons(rows: IntoLazyFrameT) -> IntoLazyFrameT:
    """Rows with why each cannot be read, or can be no request, in a hidden column: null where it is one."""
    import narwhals as nw

    log = LogFrame("the log", rows, REQUIRED)
    reasons = [nw.col(BAD)] if BAD in log.schema else []
    for words, met in demands_of(log).items():
        reasons.append(nw.when(unmet(met) == 1).then(nw.lit(f"without {words}")))
    told: IntoLazyFrameT = nw.from_native(rows).with_columns(nw.coalesce(*reasons).alias(BAD)).to_native()
    return told


def odd_ids(number: int) -> tuple[str, ...]:
    """What is to be said of ids at rows that cannot be of one request."""
    ids = counted(number, "id stands", "ids stand")
    return (f"{ids} at rows of different models, of which one counts: do ids name requests?",) if number else ()


def _stored(files: LogFiles, rows: duckdb.DuckDBPyRelation, table: str) -> duckdb.DuckDBPyRelation:
    """The rows in a table on disk, in the order of the files."""
    database = files.scratch / "rows.duckdb"
    if not database.exists():
        files.connection.execute(f"ATTACH {sql_text(str(database))} AS stored")
    for name in (f"stored.{table}", *REJECTS):
        files.connection.execute(f"DROP TABLE IF EXISTS {name}")
    files.connection.execute("SET preserve_insertion_order = true")
    rows.create(f"stored.{table}")
    files.connection.execute("SET preserve_insertion_order = false")
    return files.connection.sql(f"FROM stored.{table}")


# Rows that are no requests, or cannot be read


def _without_dropped(files: LogFiles, rows: duckdb.DuckDBPyRelation, table: str) -> dict[str, int]:
    """Delete stored rows that are no requests; how many there were, by the reason."""
    if DROPPED not in rows.columns:
        return {}
    told = rows.filter(f"{DROPPED} IS NOT NULL").aggregate(f"{DROPPED} AS reason, count(*) AS number")
    dropped: dict[str, int] = dict(told.order("number DESC, reason").fetchall())
    if dropped:
        files.connection.execute(f"DELETE FROM stored.{table} WHERE {DROPPED} IS NOT NULL")
    return dropped


def _without_bad(log: _Log, files: LogFiles) -> ReadCounts:
    """Delete stored rows that cannot be read, or are no requests; how many there are, and which are the first."""
    rejected = _rejected(files)
    all_rows = log.with_reasons(files.connection.sql(f"SELECT rowid AS stored_row, * FROM stored.{log.table}"))
    ((read_rows, bad_rows, *hints),) = all_rows.aggregate(f"count(*), count({BAD}), {hints_sql()}").fetchall()
    if not bad_rows + len(rejected):
        return ReadCounts(read_rows)
    if bad_rows:
        _settle(files, *hints)
    bad = all_rows.filter(f"{BAD} IS NOT NULL")
    first = _first_bad(log, files, bad, rejected)
    if bad_rows:
        files.connection.execute(
            f"DELETE FROM stored.{log.table} WHERE rowid IN (SELECT stored_row FROM ({bad.sql_query()}))"
        )
    return ReadCounts(read_rows + len(rejected), bad_rows=bad_rows + len(rejected), bad=first)


def _rejected(files: LogFiles) -> list[tuple[str, int, str]]:
    """What is no row of CSV files: file, number among its records from 0, and why."""
    if files.kind != "csv":
        return []
    found = files.connection.sql(
        f"SELECT file_path, line - 2 AS record, any_value(error_message), bool_or({CUT_OFF}) "
        "FROM reject_errors JOIN reject_scans USING (scan_id, file_id) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    if files.row_bytes < files.max_row_bytes:
        cut_off = {Path(path) for path, _, _, cut in found if cut}
        if any(path.stat().st_size > files.row_bytes for path in cut_off):
            raise RowTooLongError(f"{files.name} has a row of more than {files.row_bytes:,} bytes")
    return [(path, record, why) for path, record, why, _ in found]


def _settle(files: LogFiles, comma: bool, point: bool, either: bool, first: int | None, second: int | None) -> None:
    """Raise where what could not be read shows how it must be, or asks for it.

    Parameters
    ----------
    comma, point, either : bool
        Whether numbers show a decimal comma, commas that group digits, or what may be either.
    first, second : int or None
        The largest first and second part of dates of figures alone, if there is one.
    """
    options = files.options
    if options.decimal is None and (comma != point):
        words = "comma" if comma else "point, and groups of digits with commas"
        again = replace(files, options=replace(options, decimal="," if comma else "."))
        raise _ReadAgainError(again, f"numbers are read with a decimal {words}, as some of them show")
    if options.decimal is None and either and not comma:
        raise LogError(
            f"{files.name} has numbers such as 1,234 or 1.000: say with --decimal which is the decimal separator"
        )
    if options.day_first is None and first is not None and second is not None:
        if first <= 12 and second <= 12:
            raise LogError(f"{files.name} has dates such as 01/10/2026: say --day-first or --month-first")
        if first <= 12 or second <= 12:
            words = "day" if first > 12 else "month"
            again = replace(files, options=replace(options, day_first=first > 12))
            raise _ReadAgainError(again, f"dates are read with the {words} first, as some of them show")


def _first_bad(
    log: _Log, files: LogFiles, bad: duckdb.DuckDBPyRelation, rejected: Sequence[tuple[str, int, str]]
) -> tuple[BadRow, ...]:
    """The first rows that cannot be read, with the lines on which they are."""
    found = [_bad_row(files, path, record, why) for path, record, why in rejected[:MAX_SHOWN]]
    if FILE not in bad.columns:
        shown = bad.order("stored_row").limit(MAX_SHOWN).project(f"stored_row, {BAD}")
        return (*found, *(BadRow(f"{files.name} row {row + 1}", why) for row, why in shown.fetchall()))
    for (path,) in (
        bad.aggregate(f"{FILE}, min(stored_row) AS place").order("place").limit(MAX_SHOWN).project(FILE).fetchall()
    ):
        # The file is read once more to number its rows, which takes longer than reading.
        one = replace(files, paths=(Path(path),), numbered=True)
        rows = log.with_reasons(log.rows(one)[0])
        if DROPPED in rows.columns:
            rows = rows.filter(f"{DROPPED} IS NULL")
        shown = rows.filter(f"{BAD} IS NOT NULL").order(ROW).limit(MAX_SHOWN).project(f"{ROW}, {BAD}")
        none = sorted(record for other, record, _ in rejected if other == path)
        for row, why in shown.fetchall():
            record = row
            for other in none:
                record += other <= record
            found.append(_bad_row(one, path, record, why))
        if len(found) >= MAX_SHOWN:
            break
    return tuple(found[:MAX_SHOWN])


def _bad_row(files: LogFiles, path: str, record: int, why: str) -> BadRow:
    lines = {} if files.kind == "parquet" else files.lines(Path(path), {record})
    where = f"line {lines[record]:,}" if record in lines else f"row {record + 1:,}"
    return BadRow(f"{Path(path).name} {where}", " ".join(why.split()))


def complaint(name: str, counts: ReadCounts) -> str:
    """What cannot be read, in one line."""
    shown = counts.bad[:MAX_SHOWN]
    told = "; ".join(f"{one.where}: {one.why}" for one in shown)
    more = f"; and {counts.bad_rows - len(shown):,} more" if counts.bad_rows > len(shown) else ""
    rows = "a row" if counts.bad_rows == 1 else f"{counts.bad_rows:,} rows"
    leaves = f"{counts.bad_rows} leaves {'it' if counts.bad_rows == 1 else 'them'} out"
    return f"{name} has {rows} that cannot be read: {told}{more} (--max-bad-rows {leaves})"


# Rows that tell a request again


def _repeats_ids(rows: duckdb.DuckDBPyRelation, number: int) -> bool:
    """Whether two rows have one id; of different ids that are hashed alike too, which is one log in thousands."""
    import numpy as np

    parts = number // IDS_AT_A_TIME + 1
    for part in range(parts):
        hashes = rows.filter("request_id <> ''").project("hash(request_id) AS hashed")
        if parts > 1:
            hashes = hashes.filter(f"hashed % {parts} = {part}")
        # In one piece, in place: half the memory of a sum of pieces.
        seen, end = np.empty(number if parts == 1 else number // parts * 2 + 1, dtype=np.uint64), 0
        for batch in hashes.to_arrow_reader(2**17):
            # Not with to_numpy, which loads pandas: 40 MB, and a quarter of a second.
            piece = np.from_dlpack(batch.column(0))
            seen[end : end + len(piece)] = piece
            end += len(piece)
        seen = seen[:end]
        seen.sort()
        if (seen[1:] == seen[:-1]).any():
            return True
    return False


def _without_repeated(files: LogFiles, table: str) -> tuple[int, tuple[str, ...]]:
    """Delete stored rows that tell a request again, how many there were, and what is odd about them."""
    same = ", ".join(SAME_REQUEST)
    ((odd,),) = files.connection.sql(
        f"SELECT count(*) FROM (SELECT 1 FROM stored.{table} WHERE request_id <> '' GROUP BY {same} "
        "HAVING min(model) <> max(model))"
    ).fetchall()
    deleted = files.connection.execute(
        f"DELETE FROM stored.{table} WHERE rowid IN (SELECT place FROM (SELECT rowid AS place, row_number() OVER "
        f"(PARTITION BY {same} ORDER BY {BEST_FIRST}, rowid DESC) AS rank "
        f"FROM stored.{table} WHERE request_id <> '') WHERE rank > 1)"
    )
    ((repeated,),) = deleted.fetchall()
    return repeated, odd_ids(odd)
