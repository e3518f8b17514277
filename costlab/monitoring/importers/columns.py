"""Columns of any name and kind, turned into the package's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from costlab.monitoring.usage.columns import require_columns

__all__ = ["MICRO_USD", "STANDARD", "seconds", "standard_sql"]

#: Fields that a file may have, and which of them stand in for one another.
STANDARD: Final = (
    *("request_id", "time_s", "tier", "model", "input_tokens", "cached_input_tokens", "output_tokens"),
    *("cost_micro_usd", "cost_usd", "latency_s", "latency_ms", "outcome", "tenant"),
    *("conversion_value_micro_usd", "conversion_value_usd", "priority"),
)

TEXTS: Final = ("request_id", "tier", "model", "outcome", "tenant", "priority")
COUNTS: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "cost_micro_usd", "conversion_value_micro_usd")

#: An amount in USD as whole micro-dollars, rounded up as :func:`costlab.events.micro_usd` does: what floating point
#: adds by itself is forgiven, but nothing is rounded down to zero.
MICRO_USD: Final = (
    "CASE WHEN {0} > 0 THEN greatest(1, ceil({0} * 1e6 - greatest(1e-6, 1e-15 * {0} * 1e6))) ELSE {0} * 1e6 END"
)


def quoted(name: str) -> str:
    """A column's name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def seconds(column: str, kind: str) -> str:
    """SQL for a time in seconds since 1970 UTC, from a number, a time stamp or a text."""
    numbers = ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "UINTEGER", "UBIGINT", "HUGEINT")
    if kind in numbers or kind.startswith("DECIMAL"):
        return f"CAST({column} AS DOUBLE)"
    return f"epoch(CAST({column} AS TIMESTAMPTZ))"


def standard_sql(
    file: str, types: Mapping[str, str], columns: Mapping[str, str], *, cached_apart: bool
) -> tuple[str, tuple[str, ...]]:
    """The SQL that selects the standard columns, and notes on what was assumed."""
    require_columns(file, list(types), tuple(columns.values()))
    # A column counts under its own name unless another was named for the field, or it was named for another.
    names = {field: field for field in STANDARD if field in types and field not in columns.values()} | dict(columns)
    hint = "map columns with --column" if not columns else "map more columns with --column"
    require_columns(file, [*types, *columns], ("time_s", "model", "input_tokens", "output_tokens"), hint)
    sql: dict[str, str] = {}
    for field, name in names.items():
        column, kind = quoted(name), types[name]
        if field == "time_s":
            sql[field] = seconds(column, kind)
        elif field in TEXTS:
            sql[field] = f"CAST({column} AS VARCHAR)"
        elif field in COUNTS:
            sql[field] = column if "INT" in kind or kind in ("DOUBLE", "FLOAT") else f"CAST({column} AS BIGINT)"
        elif field == "latency_s":
            sql[field] = f"CAST({column} AS DOUBLE)"
        elif field == "latency_ms":
            sql["latency_s"] = f"CAST({column} AS DOUBLE) / 1000"
        else:
            # An amount in USD, where the file has none in micro-dollars.
            exact = field.replace("_usd", "_micro_usd")
            if exact not in names:
                sql[exact] = MICRO_USD.format(f"CAST({column} AS DOUBLE)")
    notes = []
    if "cost_micro_usd" not in sql:
        sql["cost_micro_usd"] = "CAST(NULL AS BIGINT)"
        notes.append("the file has no costs")
    if "tier" not in sql:
        sql["tier"] = sql["model"]
        notes.append("the file names no tiers; the model stands for the tier")
    if cached_apart and "cached_input_tokens" in sql:
        sql["input_tokens"] = f"({sql['input_tokens']} + coalesce({sql['cached_input_tokens']}, 0))"
        notes.append("cached input tokens were counted apart and are added to the input tokens")
    if "cached_input_tokens" in sql:
        sql["cached_input_tokens"] = f"coalesce({sql['cached_input_tokens']}, 0)"
    if "outcome" in sql:
        sql["outcome"] = f"coalesce({sql['outcome']}, 'ok')"
    return ", ".join(f"{expression} AS {field}" for field, expression in sql.items()), tuple(notes)
