"""Numbers of any type add up to what Python adds up, whichever engine counts: none wraps round, none is rounded."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from costlab.errors import LogError
from costlab.monitoring import aggregate, build_report, fill_costs, focus_table, gpu_usage, key_metrics
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")
needs.extra("polars", "test")

import duckdb  # noqa: E402
import pandas as pd  # noqa: E402
import polars  # noqa: E402
import pyarrow as pa  # noqa: E402

#: Types of numbers, and the largest and the least that each holds, no request having more than 2^53 - 1 of anything.
EXACT = 2**53 - 1
TYPES: dict[str, tuple[Any, int, int]] = {
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), 0, 2**bits - 1) for bits in (8, 16, 32)},
    "int64": (pa.int64(), -EXACT, EXACT),
    "uint64": (pa.uint64(), 0, EXACT),
    "float32": (pa.float32(), -(2**24), 2**24),
    "float64": (pa.float64(), -(2**45), 2**45),  # sums of floats are exact up to 2^53
    "decimal": (pa.decimal128(18, 2), -(2**45), 2**45),
    "wide decimal": (pa.decimal128(38, 9), -(2**45), 2**45),
}


def pandas_objects(table: pa.Table) -> Any:
    """Gaps and decimals as Python has them."""
    return pd.DataFrame({name: pd.Series(table[name].to_pylist(), dtype=object) for name in table.column_names})


ENGINES: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": lambda table: table.to_pandas(),
    "pandas of arrow": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas of objects": pandas_objects,
    "polars": polars.DataFrame,
    "polars, lazy": lambda table: polars.DataFrame(table).lazy(),
    "pyarrow": lambda table: table,
    "duckdb": lambda table: duckdb.connect().from_arrow(table),
}


def column(kind: str, values: list[int | None]) -> pa.Array:
    exact = [None if value is None else Decimal(value) for value in values] if "decimal" in kind else values
    return pa.array(exact, TYPES[kind][0])


@st.composite
def logs(draw: st.DrawFn, most: int) -> tuple[dict[str, list[Any]], pa.Table]:
    """Rows of a log, near the ends of what the types of their columns hold, and the same as a table."""
    rows = draw(st.integers(2, 6))
    kinds = {name: draw(st.sampled_from(sorted(TYPES))) for name in ("in", "out", "cost", "value", "requests")}

    def numbers(kind: str, least: int) -> list[int]:
        low, high = max(TYPES[kind][1], -most), min(TYPES[kind][2], most)
        ends = st.sampled_from([high, high - 1, max(low, least), 0])
        return draw(st.lists(ends | st.integers(max(low, least), high), min_size=rows, max_size=rows))

    gaps = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    plain: dict[str, list[Any]] = {
        "time_s": [float(place) for place in range(rows)],
        "tier": ["ab"[place % 2] for place in range(rows)],
        "model": ["m"] * rows,
        "input_tokens": numbers(kinds["in"], 0),
        "output_tokens": numbers(kinds["out"], 0),
        "cost_micro_usd": [None if gap else n for gap, n in zip(gaps, numbers(kinds["cost"], -EXACT), strict=True)],
        "conversion_value_micro_usd": numbers(kinds["value"], 0),
        "requests": numbers(kinds["requests"], 0),
    }
    typed = zip(("input_tokens", "output_tokens", "cost_micro_usd", "conversion_value_micro_usd", "requests"),
                kinds.values(), strict=True)  # fmt: skip
    table = pa.table(plain | {name: column(kind, plain[name]) for name, kind in typed})
    return plain, table


def added(plain: dict[str, list[Any]]) -> tuple[int, ...]:
    """Input and output tokens, priced tokens, cost, credits and requests as Python adds them up."""
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    use = [row for row in rows if row["cost_micro_usd"] is None or row["cost_micro_usd"] >= 0]
    priced = [row for row in use if row["cost_micro_usd"] is not None]
    return (
        sum(row["input_tokens"] for row in use),
        sum(row["output_tokens"] for row in use),
        sum(row["input_tokens"] + row["output_tokens"] for row in priced),
        sum(row["cost_micro_usd"] or 0 for row in rows),
        -sum(row["cost_micro_usd"] for row in rows if (row["cost_micro_usd"] or 0) < 0),
        sum(row["requests"] for row in use),
    )


def told(total: Any) -> tuple[int, ...]:
    return (
        total.input_tokens,
        total.output_tokens,
        total.priced_tokens,
        total.cost_micro_usd,
        total.credit_micro_usd,
        total.requests,
    )


@pytest.mark.parametrize("engine", ENGINES)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_numbers_of_every_type_add_up(engine: str, data: st.DataObject) -> None:
    # Objects, and whole numbers with gaps, are floating-point numbers there, of which sums are exact up to 2^53.
    plain, table = data.draw(logs(2**45 if engine in ("pandas", "pandas of objects") else EXACT))
    (total,) = aggregate(ENGINES[engine](table))
    assert told(total) == added(plain)


#: A log whose sums outgrow eight bits, column by column, and whose dollars differ from tier to tier.
SMALL: dict[str, list[Any]] = {
    "time_s": [100, 120, 90, 110],
    "tier": ["a", "b", "b", "a"],
    "model": ["gpt-4o", "gpt-4o", "x", "claude-sonnet-4-5"],
    "input_tokens": [120, 100, 90, 127],
    "cached_input_tokens": [0, 20, 0, 0],
    "cache_write_tokens": [0, 0, 5, 100],
    "output_tokens": [10, 100, 0, 40],
    "cost_micro_usd": [100, 120, -50, None],
    "latency_s": [1, 2, None, 1],
    "conversion_value_micro_usd": [None, 100, None, 127],
    "requests": [100, 1, 1, 120],
}
NAMES = ("tier", "model")


def small(kind: str) -> pa.Table:
    unsigned = kind.startswith("uint")
    return pa.table({
        name: values if name in NAMES else column("int8" if unsigned and name == "cost_micro_usd" else kind, values)
        for name, values in SMALL.items()
    })  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["int8", "uint8", "uint16", "float32", "decimal", "wide decimal"])
def test_every_way_in_takes_every_type(engine: str, kind: str) -> None:
    def figures(frame: Any) -> list[object]:
        filled = fill_costs(frame)
        report = build_report(frame)
        parts = [report.tiers, report.models, report.trend, report.savings, focus_table(frame).to_pylist()]
        return [*parts, key_metrics(frame), aggregate(filled.frame, by=["tier", "hour"]), filled.pricing]

    assert figures(ENGINES[engine](small(kind))) == figures(small("int64"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["int8", "uint8", "uint32", "float32", "decimal"])
def test_gpu_hours_are_taken_in_every_type(engine: str, kind: str) -> None:
    rows = {
        "time_s": [0, 100, 120],
        "hours": [100, 120, 90],
        "usd_per_hour": [3, 4, 5],
        "utilization_fraction": [0, 1, 1],
    }
    typed = {name: column(kind, list(values)) for name, values in rows.items()}
    (total,) = gpu_usage(ENGINES[engine](pa.table(typed | {"gpu": ["a", "a", "b"]})))
    assert (total.hours, total.idle_hours, total.cost_usd) == (310.0, 100.0, 300.0 + 480.0 + 450.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_beyond_64_bits_do_not_wrap_round(engine: str) -> None:
    rows = 3000
    plain = {"time_s": [1.0] * rows, "tier": ["a"] * rows, "model": ["m"] * rows, "output_tokens": [1] * rows}
    table = pa.table(plain | {"input_tokens": [EXACT] * rows, "cost_micro_usd": [EXACT, -EXACT, 7] * (rows // 3)})
    if engine == "pandas of objects":
        pytest.skip("they are read as floating-point numbers, of which sums are exact up to 2^53")
    (total,) = aggregate(ENGINES[engine](table))
    assert total.input_tokens == rows // 3 * 2 * EXACT
    assert (total.cost_micro_usd, total.credit_micro_usd) == (rows // 3 * 7, rows // 3 * EXACT)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "pandas of objects"])
@pytest.mark.parametrize("name", ["input_tokens", "cost_micro_usd", "latency_s"])
def test_what_holds_no_numbers_is_counted_and_refused(engine: str, name: str) -> None:
    for values in (["1", "2", "3", None], [True, False, True, True]):
        table = small("int64").drop_columns([name]).append_column(name, pa.array(values))
        rows = 4 if name == "input_tokens" or True in values else 3
        with pytest.raises(LogError, match=f"{rows} rows without {name} a number, but (String|Boolean)"):
            aggregate(ENGINES[engine](table))


def test_objects_that_are_no_numbers_are_refused() -> None:
    frame = small("int64").to_pandas().astype({"input_tokens": object})
    frame.loc[1, "input_tokens"] = "many"
    with pytest.raises(LogError, match="the log has what is no number in the column 'input_tokens'"):
        aggregate(frame)
