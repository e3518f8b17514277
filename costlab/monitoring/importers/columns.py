"""Logs with our own columns, or with others that are mapped to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab.errors import LogError
from costlab.monitoring.importers.conversion import Kind, select, sql_identifier, sql_text
from costlab.monitoring.importers.protocol import IN_USD, LogFormat, LogRows
from costlab.monitoring.usage import LOG_COLUMNS, require_columns

if TYPE_CHECKING:
    from costlab.monitoring.importers.log_files import LogFiles

_BY_TYPE: Final[dict[type, Kind]] = {str: "text", int: "whole", float: "number"}

#: What a file may call its columns, and what is in them: the fields of an event, and what stands in for one of them.
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
REQUIRED: Final = ("time_s", "model", "input_tokens", "output_tokens")


def read_columns(files: LogFiles) -> LogRows:
    """The rows, and notes on what was assumed."""
    present, mapping = files.column_names, files.options.columns
    if files.kind == "json" and not present:
        raise LogError(f"{files.name} cannot be read: it holds no JSON objects")
    require_columns(files.name, present, tuple(mapping.values()))
    hint = "map columns with --column" if not mapping else "map more columns with --column"
    require_columns(files.name, [*present, *mapping], REQUIRED, hint)
    # A column counts under its own name unless another was named for the field, or it was named for another. What is in
    # some objects of a JSON file only need not be in the first of them.
    there = FIELDS if files.kind == "json" else present
    names = {field: field for field in FIELDS if field in there and field not in mapping.values()} | dict(mapping)
    rows = files.table({name: KINDS[field] for field, name in names.items()})
    sql = {field: sql_identifier(name) for field, name in names.items()}
    if "latency_ms" in sql:
        in_ms = f"{sql.pop('latency_ms')} / 1000"
        sql["latency_s"] = f"coalesce({sql['latency_s']}, {in_ms})" if "latency_s" in sql else in_ms
    costs = {names[field] for field in ("cost_usd", "cost_micro_usd") if field in names}
    _require_dollars(files, costs)
    notes = []
    if not {"cost_micro_usd", "cost_usd"} & {*present, *mapping}:
        notes.append("the file has no costs")
    if "tier" not in {*present, *mapping}:
        notes.append("the file names no tiers; the model stands for the tier")
    apart = [sql[name] for name in ("cached_input_tokens", "cache_write_tokens") if name in sql]
    if files.options.cached_apart and apart:
        sql["input_tokens"] = " + ".join([sql["input_tokens"], *(f"coalesce({one}, 0)" for one in apart)])
        notes.append("cached input tokens were counted apart and are added to the input tokens")
    if "outcome" in sql:
        told = " ".join(f"WHEN {sql_text(other)} THEN {sql_text(ours)}" for other, ours in OUTCOMES.items())
        sql["outcome"] = f"CASE lower({sql['outcome']}) {told} ELSE {sql['outcome']} END"
    return LogRows(select(rows, sql), tuple(notes))


def _require_dollars(files: LogFiles, costs: set[str]) -> None:
    """Raise where a column of currencies says that costs are in another than dollars."""
    told = [name for name in files.column_names if name.casefold().replace("_", "") in CURRENCY]
    if not (costs and told):
        return
    rows = files.table(dict.fromkeys([told[0], *costs], "text"))
    currency = f"upper(trim({sql_identifier(told[0])}))"
    tells = " OR ".join(f"{sql_identifier(cost)} IS NOT NULL" for cost in costs)
    other = rows.filter(f"{currency} NOT IN ('', 'USD', 'US$', '$') AND ({tells})")
    ((count, example),) = files.fetch(other.aggregate(f"count(*), min({currency})"))
    if count:
        raise LogError(f"{files.name} has {count:,} costs in other currencies, such as {example}; only USD is read")


COLUMNS_FORMAT: Final = LogFormat(
    "columns",
    "own columns, or others with --column FIELD=NAME",
    lambda files: set(REQUIRED) <= set(files.column_names),
    read_columns,
)
