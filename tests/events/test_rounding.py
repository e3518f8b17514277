"""One rule for whole micro-dollars: a number, an array and a column of each engine give the same."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from costlab.errors import InvalidValueError
from costlab.events import micro_usd, micro_usd_column
from tests import needs

#: Amounts in USD, and what they are counted as.
TABLE: dict[float, int] = {
    0.0: 0,
    5e-324: 1,
    1e-13: 1,  # no cost becomes zero
    1e-12: 1,
    1e-9: 1,
    1e-6: 1,
    1.0000000001e-6: 1,  # what floating point adds is forgiven
    1.01e-6: 2,
    0.1 + 0.2: 300_000,
    0.000153: 153,
    2.00001e-6: 3,
    12.5: 12_500_000,
    1234.56789: 1_234_567_890,
    9_007_199_254.0: 9_007_199_254_000_000,
}

AMOUNTS = st.one_of(st.floats(0.0, 9e9), st.floats(0.0, 1e-5), st.integers(0, 10**9).map(lambda micro: micro * 1e-6))


def columns(amounts: list[float | None]) -> dict[str, Any]:
    """The amounts in a data frame of each engine."""
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    table = pa.table({"usd": pa.array(amounts, pa.float64())})
    frames = {"pandas": pd.DataFrame({"usd": amounts}, dtype=float), "polars": pl.LazyFrame({"usd": amounts})}
    return frames | {"pyarrow": table, "duckdb": duckdb.connect().from_arrow(table)}


def rounded(frame: Any) -> list[int | None]:
    import narwhals as nw

    column = nw.from_native(frame).lazy().select(micro=micro_usd_column(nw.col("usd"))).collect()["micro"]
    return [None if value is None or math.isnan(value) else int(value) for value in column.to_list()]


@pytest.mark.parametrize(("usd", "micro"), TABLE.items())
def test_a_number(usd: float, micro: int) -> None:
    assert micro_usd("x_usd", usd) == micro


def test_an_array() -> None:
    counted = micro_usd("x_usd", np.array(list(TABLE)))
    assert counted.dtype == np.int64
    assert counted.tolist() == list(TABLE.values())


@pytest.mark.parametrize("engine", ["pandas", "polars", "pyarrow", "duckdb"])
def test_a_column(engine: str) -> None:
    for module in ("narwhals", "pyarrow", "duckdb"):
        needs.extra(module, "usage")
    needs.extra("pandas", "plots")
    needs.extra("polars", "test")
    frames = columns([*TABLE, None])
    assert rounded(frames[engine]) == [*TABLE.values(), None]


@given(st.lists(AMOUNTS, min_size=1, max_size=30))
@example([0.1 + 0.2, 1e-13, 0.000153])
@settings(max_examples=50, deadline=None)
def test_all_forms_agree_with_the_number(amounts: list[float]) -> None:
    wanted = [micro_usd("x_usd", usd) for usd in amounts]
    assert micro_usd("x_usd", np.array(amounts)).tolist() == wanted
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    pytest.importorskip("pandas")
    for engine, frame in columns(list(amounts)).items():
        assert rounded(frame) == wanted, engine


@given(st.decimals(0, 10_000, places=6))
def test_amounts_of_whole_micro_dollars_are_exact(usd: Decimal) -> None:
    assert micro_usd("x_usd", float(usd)) == usd * 10**6


@given(st.floats(1e-30, 1e8))
def test_amounts_are_never_rounded_down_to_less_than_noise_and_never_to_zero(usd: float) -> None:
    amount = micro_usd("x_usd", usd)
    assert amount >= 1
    assert usd * 1e6 * (1 - 1e-14) - 1e-6 <= amount <= usd * 1e6 + 1


def test_amounts_that_cannot_be_kept_exactly_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="x_usd must be at most 9007199255 USD"):
        micro_usd("x_usd", 1e10)
    with pytest.raises(InvalidValueError, match="x_usd must be a number >= 0, got -1"):
        micro_usd("x_usd", -1)
    for wrong in (-1.0, math.nan, math.inf, 1e10):
        with pytest.raises(InvalidValueError, match="x_usd must be numbers >= 0 and at most 9007199255 USD"):
            micro_usd("x_usd", np.array([1.0, wrong]))
