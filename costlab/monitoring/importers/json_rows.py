"""Rows that are within the documents of JSON files, such as the pages that an API answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from costlab.monitoring.importers.conversion import HIDDEN, Kind, sql_identifier, sql_text

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles


def members(rows: duckdb.DuckDBPyRelation, field: str, *, keep: str = "") -> duckdb.DuckDBPyRelation:
    """What is in a field of the column `json`, a row for each member of a list.

    What lacks the field is a row itself, so that a file may hold pages as well as what is on them. An empty list has
    no rows.

    Parameters
    ----------
    rows : duckdb.DuckDBPyRelation
        With the column `json`, as :meth:`LogFiles.objects` gives it.
    field : str
        The field's name.
    keep : str
        The name of a column for what the field was in; empty where that is not needed.
    """
    place = sql_text(f"$.{field}")
    inside = (
        f"CASE json_type(json, {place}) WHEN 'ARRAY' THEN json_extract(json, {sql_text(f'$.{field}[*]')}) "
        f"WHEN 'OBJECT' THEN [json_extract(json, {place})] ELSE [json] END"
    )
    kept = f"json AS {keep}, " if keep else ""
    others = ", ".join(name for name in rows.columns if name != "json")
    return rows.project(f"unnest({inside}) AS json, {kept}{others}")


def fields(
    files: LogFiles, rows: duckdb.DuckDBPyRelation, kinds: Mapping[str, Kind], paths: Mapping[str, str] | None = None
) -> duckdb.DuckDBPyRelation:
    """Fields of the column `json`, strictly converted as :meth:`LogFiles.table` does it.

    Parameters
    ----------
    files : LogFiles
        What the rows are of.
    rows : duckdb.DuckDBPyRelation
        With the column `json`.
    kinds : mapping of str to str
        The kind of each field.
    paths : mapping of str to str, optional
        An expression for each field that is not in `json` under its own name.
    """
    sql = {name: f"json_extract_string(json, {sql_text(f'$.{name}')})" for name in kinds} | dict(paths or {})
    columns = [f"{value} AS {sql_identifier(name)}" for name, value in sql.items()]
    hidden = [name for name in HIDDEN if name in rows.columns]
    return files.convert(rows.project(", ".join([*columns, *hidden])), kinds)
