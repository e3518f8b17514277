"""One log as a data frame of each engine."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import needs

ROWS: dict[str, Any] = {
    "time_s": [0.0, 3599.0, 3600.0, 90000.0],
    "tier": ["small", "large", "large", "large"],
    "model": ["m", "gpt-4o", "gpt-4o", "in-house"],
    "input_tokens": [100, 1000, 2000, 4000],
    "cached_input_tokens": [0, 500, 0, 0],
    "output_tokens": [10, 100, 0, 400],
    "cost_micro_usd": [500, 3000, 5000, None],
    "latency_s": [0.1, 0.5, None, 1.0],
    "outcome": ["ok", "ok", "timeout", "ok"],
    "tenant": ["acme", "acme", "zeta", "zeta"],
    "conversion_value_micro_usd": [None, 2_000_000, None, None],
}


#: A log of GPU hours.
GPUS: dict[str, Any] = {
    "time_s": [0.0, 3600.0, 7200.0, 86400.0],
    "gpu": ["a", "a", "b", "b"],
    "hours": [1.0, 1.0, 2.0, 1.0],
    "usd_per_hour": [1.0, 1.0, 4.0, 4.0],
    "utilization_fraction": [0.0999, 0.1, 0.4, None],
}


def pandas_frame(rows: dict[str, Any]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)


def polars_frame(rows: dict[str, Any]) -> Any:
    needs.extra("polars", "test")
    import polars

    return polars.LazyFrame(rows)


def arrow_frame(rows: dict[str, Any]) -> Any:
    import pyarrow as pa

    return pa.table(rows)


def duckdb_frame(rows: dict[str, Any]) -> Any:
    import duckdb
    import pyarrow as pa

    return duckdb.connect().from_arrow(pa.table(rows))


ENGINES = [pandas_frame, polars_frame, arrow_frame, duckdb_frame]
Engine = Callable[[dict[str, Any]], Any]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__.removesuffix("_frame"))
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.param
    return made
