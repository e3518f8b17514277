"""Counting requests in a data frame of any engine: one definition, the same integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.events import OUTCOMES
from costlab.monitoring.usage.columns import DEFAULTS, FAILED, REQUIRED, UsageError, require_columns
from costlab.monitoring.usage.totals import Usage, roll_up
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = ["GROUPS", "SPANS", "lazy_frame", "usage", "value_or_null"]

#: Lengths of the groups of time, in seconds; their keys are the second at which each begins.
SPANS: Final = {"minute": 60, "hour": SECONDS_PER_HOUR, "day": SECONDS_PER_DAY}

#: What requests may be grouped by. Days and hours are those of UTC.
GROUPS: Final = ("tier", "model", "tenant", "outcome", "priority", *SPANS)

#: Whole numbers up to here are exact in every engine, also where a column with gaps holds floating-point numbers.
MOST: Final = 2**53 - 1

#: Times from here on are milliseconds, say, that were taken for seconds.
YEAR_10000_S: Final = 253_402_300_800

VALUE: Final = "conversion_value_micro_usd"


def lazy_frame(frame: Any) -> Any:
    """A data frame of any engine as a lazy one of ``narwhals``."""
    nw = require("narwhals", "usage")
    try:
        return nw.from_native(frame).lazy()
    except TypeError:
        raise UsageError(f"a log is a data frame that narwhals knows, not {type(frame).__qualname__}") from None


def usage(frame: Any, by: Sequence[str] = ()) -> tuple[Usage, ...]:
    """What the requests of a log add up to, in all or by group.

    Parameters
    ----------
    frame : data frame
        A row a request, with the columns of :class:`costlab.events.RequestEvent`; the optional ones may be absent
        (``costlab.monitoring.usage.DEFAULTS``). It may be of pandas, Polars, PyArrow, DuckDB, PySpark, or what
        else ``narwhals`` takes. The engine does the counting; only the groups come back.
    by : sequence of str
        Some of `tier`, `model`, `tenant`, `outcome`, `priority`, `minute`, `hour`, `day`; empty for a single total.

    Returns
    -------
    tuple of Usage
        A group each, in the order of their keys. The same integers whichever the engine.

    Raises
    ------
    UsageError
        If a column is missing, or rows hold what no request can have: more cached than input tokens, negative numbers,
        an unknown outcome. All such rows are counted, none is dropped or mended.
    UnknownNameError
        If `by` names no group.
    MissingExtraError
        If ``narwhals``, or what it needs for this engine, is not installed.

    Notes
    -----
    Costs are summed as whole micro-dollars, so no order of summation changes the result. A null cost is a request
    without a known price: it is counted in `unpriced_requests`, and no figure in dollars contains it.

    Examples
    --------
    Two requests of one tier, of which one has no price. What does a request cost?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 60.0], "tier": ["large", "large"], "model": ["gpt-4o", "in-house"],
    ...     "input_tokens": [400, 400], "output_tokens": [200, 200], "cost_micro_usd": [3000, None],
    ... })
    >>> (large,) = usage(log, by=["tier"])
    >>> large.key, large.usd_per_request, large.unpriced_requests, large.unpriced_fraction
    (('large',), 0.003, 1, 0.5)
    """
    for name in by:
        checks.one_of("group", name, GROUPS)
    nw, lazy = require("narwhals", "usage"), lazy_frame(frame)
    schema = lazy.collect_schema()
    require_columns("the log", list(schema), REQUIRED)
    demands = _demands(nw, schema)
    columns = _columns(nw, schema, reduce(and_, demands.values()))
    # Grouping by the outcome as well is cheaper than a condition on it in every sum.
    keys = {f"key_{place}": _key(nw, schema, name) for place, name in enumerate([*by, "outcome"])}
    sums = [nw.col(name).sum().alias(f"sum_{name}") for name in columns if name != "time"]
    known = [nw.col(name).count().alias(f"known_{name}") for name in ("cost_micro_usd", VALUE, "latency_us")]
    ends = [nw.col("time").min().alias("first_s"), nw.col("time").max().alias("last_s")]
    found = lazy.select(**columns, **keys).group_by(*keys).agg(nw.len().alias("rows"), *sums, *known, *ends).collect()
    cells = []
    for row in found.iter_rows(named=True):
        if row["sum_bad"]:
            raise UsageError(_complaint(nw, lazy, demands))
        *key, outcome = (row[name] for name in keys)
        named = [int(part) * SPANS[name] if name in SPANS else part for name, part in zip(by, key, strict=True)]
        cells.append(_cell((*named, checks.one_of("outcome", outcome, OUTCOMES)), row))
    return roll_up(cells, *range(len(by)))


def value_or_null(nw: Any, schema: Mapping[str, Any], name: str) -> Any:
    """A column as an expression, or its default where it is absent; what is not a number is null."""
    if name not in schema:
        return nw.lit(DEFAULTS[name], dtype=nw.Float64 if DEFAULTS[name] is None else None)
    # Floating-point columns stand in for integers with gaps; there NaN is a gap too.
    return nw.when(~nw.col(name).is_nan()).then(nw.col(name)) if schema[name].is_float() else nw.col(name)


def _key(nw: Any, schema: Mapping[str, Any], name: str) -> Any:
    if name in SPANS:
        return (nw.col("time_s") / SPANS[name]).floor().cast(nw.Int64)
    return nw.col(name).cast(nw.String).fill_null("") if name in schema else nw.lit(DEFAULTS[name])


def _demands(nw: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What each row must meet, in words and as an expression; null is no."""

    def number(name: str, *, gaps: bool = False) -> Any:
        value = value_or_null(nw, schema, name)
        met = (value >= 0) & (value <= MOST)
        if schema[name].is_float() and name not in ("time_s", "latency_s"):
            met = met & (value == value.floor())
        return met | value.is_null() if gaps else met

    demands = {"time_s in seconds, from 1970 to the year 9999": number("time_s") & (nw.col("time_s") < YEAR_10000_S)}
    demands |= {f"{name} a whole number >= 0": number(name) for name in ("input_tokens", "output_tokens")}
    if "cached_input_tokens" in schema:
        cached, all_input = (value_or_null(nw, schema, name) for name in ("cached_input_tokens", "input_tokens"))
        part = number("cached_input_tokens") & (cached <= all_input)
        demands["cached_input_tokens between 0 and input_tokens, of which they are a part"] = part
    for name in ("cost_micro_usd", VALUE):
        if name in schema:
            demands[f"{name} a whole number >= 0, or none"] = number(name, gaps=True)
    if "latency_s" in schema:
        demands["latency_s a number >= 0, or none"] = number("latency_s", gaps=True)
    return demands


def _columns(nw: Any, schema: Mapping[str, Any], valid: Any) -> dict[str, Any]:
    """What is summed and counted; `bad` marks the rows that are not valid."""
    numbers = ("input_tokens", "cached_input_tokens", "output_tokens", "cost_micro_usd", VALUE)
    columns = {name: value_or_null(nw, schema, name) for name in numbers}
    tokens = columns["input_tokens"] + columns["output_tokens"]
    return {
        "time": nw.col("time_s"),
        **columns,
        "priced_tokens": nw.when(~columns["cost_micro_usd"].is_null()).then(tokens),
        # Microseconds as whole numbers, since a sum of fractions depends on the order.
        "latency_us": (value_or_null(nw, schema, "latency_s") * 1e6 + 0.5).floor(),
        "bad": nw.when(valid).then(nw.lit(0)).otherwise(nw.lit(1)),
    }


def _cell(key: tuple[Any, ...], row: Mapping[str, Any]) -> Usage:
    """A group of one outcome."""
    sums = {name.removeprefix("sum_"): int(value or 0) for name, value in row.items() if name.startswith("sum_")}
    del sums["bad"]
    rows, outcome = int(row["rows"]), key[-1]
    return Usage(
        key=key,
        requests=rows,
        unpriced_requests=rows - int(row["known_cost_micro_usd"]),
        cached_requests=rows * (outcome == "cached"),
        failed_requests=rows * (outcome in FAILED),
        refused_requests=rows * (outcome == "refused"),
        failed_cost_micro_usd=sums["cost_micro_usd"] * (outcome in FAILED),
        conversions=int(row[f"known_{VALUE}"]),
        timed_requests=int(row["known_latency_us"]),
        first_s=float(row["first_s"]),
        last_s=float(row["last_s"]),
        **sums,
    )


def _complaint(nw: Any, lazy: Any, demands: Mapping[str, Any]) -> str:
    """How many rows break which demand."""
    flags = {f"d{i}": nw.when(met).then(nw.lit(0)).otherwise(nw.lit(1)) for i, met in enumerate(demands.values())}
    (row,) = lazy.select(**flags).select(*(nw.col(name).sum() for name in flags)).collect().iter_rows(named=True)
    broken = [f"{int(row[flag])} rows without {words}" for flag, words in zip(flags, demands, strict=True) if row[flag]]
    return f"the log has {'; '.join(broken)}"
