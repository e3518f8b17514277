"""Columns converted strictly by SQL: what does not convert is told, never guessed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import duckdb

#: What a column is converted to; see :meth:`LogFiles.table`.
Kind = Literal["text", "count", "whole", "number", "time", "json"]

#: Hidden columns of converted rows: why a row cannot be read, why it is no request, its file, and, where asked for, its
#: number there.
BAD: Final = "log_bad"
DROPPED: Final = "log_dropped"
FILE: Final = "log_file"
ROW: Final = "log_row"
HIDDEN: Final = (BAD, DROPPED, FILE, ROW)

#: Types of numbers as DuckDB names them; DECIMAL(p, s) too.
INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
NUMBERS: Final = (*INTEGERS, "UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE")

TYPES: Final[Mapping[Kind, str]] = {
    "text": "VARCHAR",
    "count": "BIGINT",
    "whole": "BIGINT",
    "number": "DOUBLE",
    "time": "DOUBLE",
    "json": "JSON",
}

#: What means no value where a number or a time is asked for.
NOTHING: Final = ("", "NULL", "null", "None", "NaN", "nan", "\\N")

#: What a value is not that does not convert.
NOT_A: Final[Mapping[Kind, str]] = {
    "count": "no whole number >= 0",
    "whole": "no whole number",
    "number": "no number",
    "time": "no time",
    "json": "no JSON",
}

#: What SQL calls :func:`json_of_python`, and :func:`costlab.catalog.is_own_server`.
OF_PYTHON: Final = "json_of_python"
OWN_SERVER: Final = "is_own_server"

#: Dates of spreadsheets, each with the times that may follow it: those that say themselves what is the day, and the
#: same by figures alone, day first and month first. Two figures of a year come first, since %Y takes two as well.
PLAIN_DATES: Final = ("%d.%m.%y", "%d.%m.%Y", "%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%b %d %Y", "%d %B %Y", "%B %d %Y")
DAY_FIRST: Final = ("%d/%m/%y", "%d/%m/%Y", "%d-%m-%y", "%d-%m-%Y")
MONTH_FIRST: Final = ("%m/%d/%y", "%m/%d/%Y", "%m-%d-%y", "%m-%d-%Y")
CLOCKS: Final = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


def sql_identifier(name: str) -> str:
    """A column's name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """A text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def sql_among(value: str, words: Iterable[str]) -> str:
    """Whether a value is one of some words.

    DuckDB 2.0.1 makes a join of ``IN`` with five words or more, after which rows are no longer in the order of the log.
    """
    return f"({' OR '.join(f'{value} = {sql_text(word)}' for word in words)})"


def sql_files(paths: Iterable[Path]) -> str:
    """A list of files as SQL takes it, in whose names no character is a pattern."""
    names = ("".join(f"[{one}]" if one in "*?[" else one for one in str(path)) for path in paths)
    return f"[{', '.join(map(sql_text, names))}]"


def select(rows: duckdb.DuckDBPyRelation, sql: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """Rows with other columns, name and expression of each; the hidden ones of :meth:`LogFiles.table` stay.

    A reader may give the columns `log_dropped`, why a row is no request, and `log_bad`, why it cannot be read; or null.
    Such rows are counted, and left out.
    """
    columns = dict(sql) | {name: name for name in HIDDEN if name in rows.columns}
    if BAD in sql and BAD in rows.columns:
        columns[BAD] = f"coalesce({BAD}, {sql[BAD]})"
    return rows.project(", ".join(f"{value} AS {sql_identifier(name)}" for name, value in columns.items()))


def duckdb_reason(error: Exception) -> str:
    """What DuckDB complains of, in one line: it quotes the query and gives advice in further ones."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines[1:] if "onvert" in line or "unicode" in line]
    return "; ".join([lines[0], *reasons[:1]]) if lines else type(error).__name__


def convert(
    rows: duckdb.DuckDBPyRelation, kinds: Mapping[str, Kind], decimal: str | None = None, day_first: bool | None = None
) -> duckdb.DuckDBPyRelation:
    """Columns of a relation, converted as :meth:`LogFiles.table` converts them; the hidden ones stay."""
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    columns: dict[str, str] = {}
    reasons = [BAD] if BAD in types else []
    for name, kind in kinds.items():
        if name not in types:
            columns[name] = f"CAST(NULL AS {TYPES[kind]})"
            continue
        columns[name], reason = _converted(name, types[name], kind, decimal, day_first)
        if reason:
            reasons.append(reason)
    columns |= {name: name for name in (FILE, ROW) if name in types}
    if reasons:
        told = ", ".join(reasons)
        columns[BAD] = f"CASE WHEN coalesce({told}) IS NOT NULL THEN concat_ws('; ', {told}) END"
    return rows.project(", ".join(f"{sql} AS {sql_identifier(name)}" for name, sql in columns.items()))


def wrong_count(where: str, texts: str) -> str:
    """SQL of what is wrong with counts, a list of texts such as JSON has them: null where nothing is, or a text.

    Parameters
    ----------
    where : str
        What tells them, for the message.
    texts : str
        SQL of the list; null is no count.
    """
    whole = "\\d+(\\.0*)?"
    fits = f"regexp_full_match(array_to_string({texts}, ' '), '(({whole})( ({whole}))*)?')"
    wrong = f"[one for one in CASE WHEN NOT {fits} THEN {texts} END if NOT regexp_full_match(one, '{whole}')][1]"
    told = f"{sql_text(where + ' tells ')} || chr(39) || left({wrong}, 40) || chr(39)"
    return f"{told} || {sql_text(', which is ' + NOT_A['count'])}"


def _converted(name: str, type_here: str, kind: Kind, decimal: str | None, day_first: bool | None) -> tuple[str, str]:
    """SQL of a converted column, and of what is wrong with a value: null where nothing is, empty if nothing can be."""
    column = sql_identifier(name)
    text = column if type_here == "VARCHAR" else f"CAST({column} AS VARCHAR)"
    if kind == "text":
        return text, ""
    if kind == "json" and type_here != "VARCHAR":
        return f"to_json({column})", ""
    if type_here in NUMBERS or type_here.startswith("DECIMAL"):
        if type_here in ("FLOAT", "DOUBLE") and kind != "time":
            # Gaps may be NaN. DuckDB 2.0.1 takes isnan to be false where a Parquet file's statistics know no NaN.
            value = f"CASE WHEN isfinite({column}) THEN CAST({column} AS DOUBLE) END"
            return value, f"CASE WHEN {value} < 0 THEN {_told(name, text, kind)} END" if kind == "count" else ""
        wanted = "BIGINT" if kind in ("count", "whole") and type_here in INTEGERS else "DOUBLE"
        value = column if type_here == wanted else f"CAST({column} AS {wanted})"
        below = f"CASE WHEN {column} < 0 THEN {_told(name, text, kind)} END" if kind == "count" else ""
        return value, below
    if kind == "time" and type_here.startswith(("TIMESTAMP", "DATE")):
        return f"epoch(CAST({column} AS TIMESTAMPTZ))", ""
    text = f"trim({text})"
    text = f"CASE WHEN NOT {sql_among(text, NOTHING)} THEN {text} END"
    value = {"time": _time(text, day_first), "json": _json(text)}.get(kind) or _number(text, kind, decimal)
    if kind == "count":
        value = f"CASE WHEN {value} >= 0 THEN {value} END"
    return value, f"CASE WHEN {text} IS NOT NULL AND {value} IS NULL THEN {_told(name, text, kind)} END"


def _told(name: str, text: str, kind: Kind) -> str:
    return f"{sql_text(name + ' ')} || chr(39) || left({text}, 40) || chr(39) || {sql_text(f' is {NOT_A[kind]}')}"


# DuckDB computes what stands in several places once, and for all rows, also where a CASE leaves most of them out. What
# is rare is therefore given null of the other rows instead of being put behind a condition.


def _number(text: str, kind: Kind, decimal: str | None) -> str:
    if kind == "number":
        money = f"CASE WHEN contains({text}, '$') THEN {text} END"
        text = f"coalesce(replace(replace({money}, 'US$', ''), '$', ''), {text})"
    if decimal == ",":
        # Spaces in numbers are of three kinds, and as good as points there.
        packed = f"regexp_replace({text}, '[ \\x{{A0}}\\x{{202F}}]', '.', 'g')"
        fits = "[+-]?(\\d+|\\d{1,3}(\\.\\d{3})+)(,\\d*)?([eE][+-]?\\d+)?"
        text = f"CASE WHEN regexp_full_match({packed}, '{fits}') THEN replace(replace({packed}, '.', ''), ',', '.') END"
    elif decimal == ".":
        grouped = f"CASE WHEN contains({text}, ',') THEN {text} END"
        fits = f"regexp_full_match({grouped}, '[+-]?\\d{{1,3}}(,\\d{{3}})+(\\.\\d*)?')"
        text = f"CASE WHEN {grouped} IS NULL THEN {text} WHEN {fits} THEN replace({grouped}, ',', '') END"
    elif kind in ("count", "whole"):
        # Whether 1.000 is one or a thousand is not to be seen.
        pointed = f"CASE WHEN contains({text}, '.') THEN {text} END"
        doubtful = f"regexp_full_match({pointed}, '[+-]?[1-9]\\d{{0,2}}(\\.\\d{{3}})+')"
        text = f"CASE WHEN {doubtful} IS DISTINCT FROM true THEN {text} END"
    number = f"TRY_CAST({text} AS DOUBLE)"
    if kind == "number":
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    whole = f"TRY_CAST({text} AS BIGINT)"
    return f"CASE WHEN {number} = {whole} THEN {whole} END"  # as the whole number of 1.5 is 2


def _json(text: str) -> str:
    """Also of JSON that was written as a text of JSON, and of Python's dictionaries, as pandas writes them to CSV."""
    valid = f"CASE WHEN json_valid({text}) THEN {text} END"
    whole = f"coalesce({valid}, nullif({OF_PYTHON}(CASE WHEN NOT json_valid({text}) THEN {text} END), ''))"
    inside = f"CASE WHEN json_type({whole}) = 'VARCHAR' THEN json_extract_string({whole}, '$') ELSE {whole} END"
    return f"TRY_CAST({inside} AS JSON)"


def json_of_python(text: str) -> str:
    """A dictionary that Python printed, as JSON; empty of anything else."""
    try:
        return json.dumps(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""


def _time(text: str, day_first: bool | None) -> str:
    by_figures = {None: (), True: DAY_FIRST, False: MONTH_FIRST}[day_first]
    formats = ", ".join(sql_text("".join(parts)) for parts in product((*PLAIN_DATES, *by_figures), CLOCKS))
    number = f"TRY_CAST({text} AS DOUBLE)"
    # DuckDB takes 10/1/26 for the 26th of January in the year 10.
    is_iso = f"({text} LIKE '____-__-__%' OR {text} LIKE '____/__/__%')"
    # BST is Bangladesh's time to DuckDB and Britain's to many; a place in the world (Europe/London) is one to all.
    ends_in_letter = f"right({text}, 1) NOT BETWEEN '0' AND '9' AND right({text}, 1) <> 'Z'"
    named = f"upper(CASE WHEN {ends_in_letter} THEN substr({text}, 11) END)"
    is_iso += f" AND coalesce(contains({named}, '/') OR regexp_full_match({named}, 'T?[^A-Z]*(Z|UTC|GMT)?'), true)"
    iso = f"TRY_CAST(CASE WHEN {is_iso} THEN {text} END AS TIMESTAMPTZ)"
    other = f"CASE WHEN NOT ({is_iso}) AND {number} IS NULL THEN replace({text}, ',', '') END"
    return (
        f"coalesce(CASE WHEN isfinite({number}) THEN {number} END, epoch({iso}), "
        f"epoch(try_strptime({other}, [{formats}])))"
    )


#: Reasons of :func:`convert` that show how numbers and dates are written: a decimal comma for sure, a decimal point for
#: sure, or what may be either; and dates of figures alone.
_NO_NUMBER: Final = r" '[+-]?(?:US)?\$?(?:{})' is no (?:whole )?number"
COMMA: Final = _NO_NUMBER.format(r"\d+,\d{1,2}|\d+,\d{4,}|0,\d+|\d{1,3}(?:[. \x{A0}\x{202F}]\d{3})+,\d+")
POINT: Final = _NO_NUMBER.format(r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}")
EITHER: Final = _NO_NUMBER.format(r"[1-9]\d{0,2}(?:,\d{3}|(?:\.\d{3})+)")
DATE: Final = r" '(\d{1,2})[/-](\d{1,2})[/-]\d{2,4}\b[^']*' is no time"


def hints_sql() -> str:
    """What the reasons of bad rows tell: whether each of the former is among them, and the largest parts of dates."""
    seen = [f"coalesce(bool_or(regexp_matches({BAD}, {sql_text(one)})), false)" for one in (COMMA, POINT, EITHER)]
    parts = [f"max(TRY_CAST(regexp_extract({BAD}, {sql_text(DATE)}, {part}) AS INTEGER))" for part in (1, 2)]
    return ", ".join([*seen, *parts])
