"""The ledger as a Parquet file, which every data frame library reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import require
from costlab.monitoring.ledger.schema import COLUMNS

__all__ = ["to_parquet"]

ROW_GROUP_ROWS = 131_072


def to_parquet(pages: Iterable[list[tuple[Any, ...]]], path: Path) -> int:
    """Write pages of rows to `path`, whole or not at all, and return the number of rows.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    arrow, parquet = require("pyarrow", "monitoring"), require("pyarrow.parquet", "monitoring")
    types = {"TEXT": arrow.string(), "REAL": arrow.float64(), "INTEGER": arrow.int64()}
    schema = arrow.schema(
        [arrow.field(name, types[kind.split()[0]], nullable="NOT NULL" not in kind) for name, kind in COLUMNS.items()]
    )
    count, waiting = 0, []
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:

        def write(rows: list[tuple[Any, ...]]) -> None:
            columns = zip(*rows, strict=True)
            arrays = [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))

        for page in pages:
            waiting += page
            count += len(page)
            if len(waiting) >= ROW_GROUP_ROWS:
                write(waiting)
                waiting = []
        if waiting:
            write(waiting)
    return count
