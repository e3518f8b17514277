"""Logs with our own columns, or with others that are mapped to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from costlab._internal.text import counted
from costlab.errors import LogError
from costlab.monitoring.importers.conversion import BAD, Kind, select, sql_identifier, sql_text
from costlab.monitoring.importers.protocol import IN_USD, LogFormat, LogRows
from costlab.monitoring.usage import LOG_COLUMNS, require_columns

if TYPE_CHECKING:
    from costlab.monitoring.importers.log_files import LogFiles

_BY_TYPE: Final[dict[type, Kind]] = {str: "text", int: "whole", float: "number"}

#: What a file may call its columns, and what is in them: the fields of an event, and what may be used for one of them.
KINDS: Final[dict[str, Kind]] = {
    **{name: _BY_TYPE[column.type] for name, column in LOG_COLUMNS.items()},
    **dict.fromkeys((*IN_USD, "latency_ms"), "number"),
    "time_s": "time",
}
FIELDS: Final = tuple(KINDS)
#: What others call an outcome.
OUTCOMES: Final = {
    **dict.fromkeys(("success", "succeeded", "successful"), "ok"),
    **dict.fromkeys(("failure", "failed"), "error"),
    "canceled": "cancelled",
}

#: What a file may call the column of its currencies, but for capitals and underscores.
CURRENCY: Final = ("currency", "costcurrency", "billingcurrency", "currencycode")
#: This many columns that are not read are named.
MAX_UNREAD: Final = 8

#: What data frames call the numbers of their rows, which no one misses.
ROW_NAMES: Final = ("", "index", "Unnamed: 0", "__index_level_0__")

REQUIRED: Final = ("time_s", "model", "input_tokens", "output_tokens")

#: Fields that tell a cost, and parts of the input tokens that some logs count beside them.
COSTS: Final = ("cost_usd", "cost_micro_usd")
APART: Final = ("cached_input_tokens", "cache_write_tokens")


def read_columns(files: LogFiles) -> LogRows:
    """The rows, and notes on what was assumed."""
    present, options = files.column_names, files.options
    if files.kind == "json" and not present:
        raise LogError(f"{files.name} cannot be read: it holds no JSON objects")
    names = field_names(files.name, present, options.columns, all_fields=files.kind == "json")
    rows = files.table({name: KINDS[field] for field, name in names.items()})
    costs = {names[field] for field in COSTS if field in names}
    currency = currency_column(present)
    if currency is not None and costs:
        told = files.table(dict.fromkeys([currency, *costs], "text"))
        other, example = other_currency_sql(sql_identifier(currency), map(sql_identifier, costs))
        ((count, one),) = files.fetch(told.filter(other).aggregate(f"count(*), min({example})"))
        require_dollars(files.name, count, one)
    sql = fields_sql({field: sql_identifier(name) for field, name in names.items()}, cached_apart=options.cached_apart)
    return LogRows(select(rows, sql), notes_on(present, names, cached_apart=options.cached_apart))


# What follows is said once for every engine that reads columns: SQL that DuckDB and Spark understand alike.


def field_names(
    name: str, present: Sequence[str], mapping: Mapping[str, str], *, all_fields: bool = False
) -> dict[str, str]:
    """The file's name of each of our fields.

    Parameters
    ----------
    name : str
        The log's name, for messages.
    present : sequence of str
        The columns of the file.
    mapping : mapping of str to str
        Names of fields that the file calls otherwise.
    all_fields : bool
        Whether fields may be there that `present` lacks: what is in some objects of a JSON file only need not be in the
        first of them.

    Raises
    ------
    LogError
        If a column is missing.
    """
    require_columns(name, present, tuple(mapping.values()))
    hint = "map columns with" if not mapping else "map more columns with"
    require_columns(name, [*present, *mapping], REQUIRED, hint)
    # A column counts under its own name unless another was named for the field, or it was named for another.
    there = FIELDS if all_fields else present
    return {field: field for field in FIELDS if field in there and field not in mapping.values()} | dict(mapping)


def fields_sql(columns: Mapping[str, str], *, cached_apart: bool) -> dict[str, str]:
    """SQL of each field of a log, from SQL of the converted columns that give one."""
    sql = dict(columns)
    if "latency_ms" in sql:
        in_ms = f"{sql.pop('latency_ms')} / 1000"
        sql["latency_s"] = f"coalesce({sql['latency_s']}, {in_ms})" if "latency_s" in sql else in_ms
    apart = [sql[name] for name in APART if name in sql]
    if cached_apart and apart:
        # Their sum would hide it.
        sql[BAD] = f"CASE WHEN {sql['input_tokens']} < 0 THEN 'input_tokens below 0' END"
        sql["input_tokens"] = " + ".join([sql["input_tokens"], *(f"coalesce({one}, 0)" for one in apart)])
    if "outcome" in sql:
        told = " ".join(f"WHEN {sql_text(other)} THEN {sql_text(ours)}" for other, ours in OUTCOMES.items())
        sql["outcome"] = f"CASE lower({sql['outcome']}) {told} ELSE {sql['outcome']} END"
    return sql


def notes_on(present: Sequence[str], names: Mapping[str, str], *, cached_apart: bool) -> tuple[str, ...]:
    """What was assumed of a log with these columns, of which those in `names` are read, each as a field."""
    known = {field for field, name in names.items() if name in present or name != field}
    notes = []
    if not {*COSTS} & known:
        notes.append("the file has no costs")
    if "tier" not in known:
        notes.append("the file names no tiers; the model stands for the tier")
    # What is called in another way is easily taken for read, a column `cost` above all.
    if unread := [name for name in present if name not in {*names.values(), *ROW_NAMES}]:
        more = f" and {len(unread) - MAX_UNREAD} more" if len(unread) > MAX_UNREAD else ""
        notes.append(f"columns that were not read: {', '.join(unread[:MAX_UNREAD])}{more} (--column FIELD=NAME)")
    if cached_apart and {*APART} & {*names}:
        notes.append("cached input tokens were counted apart and are added to the input tokens")
    return tuple(notes)


def currency_column(present: Sequence[str]) -> str | None:
    """The column that names the currency of costs, if there is one."""
    return next((name for name in present if name.casefold().replace("_", "") in CURRENCY), None)


def other_currency_sql(currency: str, costs: Iterable[str]) -> tuple[str, str]:
    """Whether a row has a cost that is not in dollars, and its currency: SQL, from that of the columns, all text."""
    told = " OR ".join(f"{cost} IS NOT NULL" for cost in costs)
    currency = f"upper(trim({currency}))"
    return f"{currency} NOT IN ('', 'USD', 'US$', '$') AND ({told})", currency


def require_dollars(name: str, others: int, example: str | None) -> None:
    """Raise where some costs are in another currency than dollars."""
    if others:
        raise LogError(f"{name} has {counted(others, 'cost')} in other currencies, such as {example}; only USD is read")


COLUMNS_FORMAT: Final = LogFormat(
    "columns",
    "own columns, or others with --column FIELD=NAME",
    lambda files: set(REQUIRED) <= set(files.column_names),
    read_columns,
    answer_ids=("request_id",),
)
