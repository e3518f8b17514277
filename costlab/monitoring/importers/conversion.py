"""Columns converted strictly by SQL: what does not convert is told, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import duckdb

#: What a column is converted to; see :meth:`LogFiles.table`.
Kind = Literal["text", "whole", "number", "time", "json"]

#: Hidden columns of converted rows: why a row cannot be read, and the file it is from.
BAD: Final = "log_bad"
FILE: Final = "log_file"

#: Types of numbers as DuckDB names them; DECIMAL(p, s) too.
INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
NUMBERS: Final = (*INTEGERS, "UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE")

#: What stands for no value where a number or a time is asked for.
NOTHING: Final = "('', 'NULL', 'null', 'None', 'NaN', 'nan', '\\N')"

TYPES: Final[Mapping[Kind, str]] = {
    "text": "VARCHAR",
    "whole": "BIGINT",
    "number": "DOUBLE",
    "time": "DOUBLE",
    "json": "JSON",
}

#: What a value is not that does not convert.
NOT_A: Final[Mapping[Kind, str]] = {"whole": "no whole number", "number": "no number", "time": "no time"}


def sql_identifier(name: str) -> str:
    """A column's name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """A text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def sql_files(paths: Iterable[Path]) -> str:
    """A list of files as SQL takes it, in whose names no character is a pattern."""
    names = ("".join(f"[{one}]" if one in "*?[" else one for one in str(path)) for path in paths)
    return f"[{', '.join(map(sql_text, names))}]"


def select(rows: duckdb.DuckDBPyRelation, sql: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """Rows with other columns, name and expression of each; the hidden ones of :meth:`LogFiles.table` stay."""
    hidden = [name for name in (BAD, FILE) if name in rows.columns]
    return rows.project(
        ", ".join([*(f"{expression} AS {sql_identifier(name)}" for name, expression in sql.items()), *hidden])
    )


def duckdb_reason(error: Exception) -> str:
    """What DuckDB complains of, in one line: it quotes the query and gives advice in further ones."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines[1:] if "onvert" in line or "unicode" in line]
    return "; ".join([lines[0], *reasons[:1]]) if lines else type(error).__name__


def convert(rows: duckdb.DuckDBPyRelation, kinds: Mapping[str, Kind]) -> duckdb.DuckDBPyRelation:
    """Columns of a relation, converted as :meth:`LogFiles.table` converts them; the hidden ones stay."""
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    columns: dict[str, str] = {}
    reasons = [BAD] if BAD in types else []
    for name, kind in kinds.items():
        if name not in types:
            columns[name] = f"CAST(NULL AS {TYPES[kind]})"
            continue
        columns[name], reason = converted(sql_identifier(name), types[name], kind, name)
        if reason:
            reasons.append(reason)
    hidden = {FILE: FILE} if FILE in types else {}
    if reasons:
        hidden[BAD] = f"coalesce({', '.join(reasons)})"
    return rows.project(", ".join(f"{sql} AS {sql_identifier(name)}" for name, sql in (columns | hidden).items()))


def converted(column: str, kind_here: str, kind: Kind, name: str) -> tuple[str, str]:
    """SQL of a converted column, and of what is wrong with a value: null where nothing is, empty if nothing can be."""
    numeric = kind_here in NUMBERS or kind_here.startswith("DECIMAL")
    moment = kind_here.startswith(("TIMESTAMP", "DATE"))
    if kind == "text":
        return (column if kind_here == "VARCHAR" else f"CAST({column} AS VARCHAR)"), ""
    if kind == "json":
        return (f"TRY_CAST({column} AS JSON)" if kind_here == "VARCHAR" else f"to_json({column})"), ""
    if numeric and kind == "whole" and kind_here in INTEGERS:
        return (column if kind_here == "BIGINT" else f"CAST({column} AS BIGINT)"), ""
    if numeric:
        return (column if kind_here == "DOUBLE" else f"CAST({column} AS DOUBLE)"), ""
    if kind == "time" and moment:
        return f"epoch(CAST({column} AS TIMESTAMPTZ))", ""
    text = f"trim({column if kind_here == 'VARCHAR' else f'CAST({column} AS VARCHAR)'})"
    text = f"CASE WHEN {text} NOT IN {NOTHING} THEN {text} END"
    whole, number = f"TRY_CAST({text} AS BIGINT)", f"TRY_CAST({text} AS DOUBLE)"
    value = {
        "whole": f"CASE WHEN {number} = {whole} THEN {whole} END",  # as 1.5 is 2 otherwise
        "number": f"CASE WHEN isfinite({number}) THEN {number} END",
        "time": f"coalesce({number}, epoch(TRY_CAST({text} AS TIMESTAMPTZ)))",
    }[kind]
    told = f"{sql_text(name)} || ' ''' || left({text}, 40) || ''' is {NOT_A[kind]}'"
    return value, f"CASE WHEN {text} IS NOT NULL AND {value} IS NULL THEN {told} END"
