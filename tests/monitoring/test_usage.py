"""One definition, the same numbers, whichever engine counts."""

import dataclasses
import importlib.util
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from costlab.errors import LogError, UnknownNameError
from costlab.events import COLUMNS
from costlab.monitoring import DEFAULTS, REQUIRED, aggregate, fill_costs, roll_up
from costlab.monitoring.usage import UsageTotals, count_groups, event_frame, require_columns
from costlab.synthetic import sample_log
from tests import needs
from tests.monitoring.frames import ENGINES, ROWS, Engine, duckdb_frame, engine, pandas_frame

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

__all__ = ["engine"]


def test_columns_are_the_fields_of_an_event() -> None:
    # A new field must be decided on: needed, or with a default.
    assert set(REQUIRED) | set(DEFAULTS) == {*COLUMNS, "requests"}
    assert not set(REQUIRED) & set(DEFAULTS)


def test_totals_by_hand(engine: Engine) -> None:
    (total,) = aggregate(engine(ROWS))
    assert (total.requests, total.unpriced_requests, total.failed_requests) == (4, 1, 1)
    assert (total.input_tokens, total.cached_input_tokens, total.output_tokens) == (7100, 500, 510)
    assert (total.cost_micro_usd, total.failed_cost_micro_usd) == (8500, 5000)
    assert (total.conversions, total.conversion_value_micro_usd) == (1, 2_000_000)
    assert (total.latency_us, total.timed_requests) == (1_600_000, 3)
    assert (total.first_s, total.last_s) == (0.0, 90000.0)
    # Unit economics: the request without a price is in none of them.
    assert total.usd_per_request == 0.0085 / 3
    assert total.usd_per_1k_tokens == 1000 * 0.0085 / (110 + 1100 + 2000)
    assert total.usd_per_conversion == 0.0085
    assert total.cost_of_revenue_fraction == 0.0085 / 2
    assert total.unpriced_fraction == 0.25


def totals(**counts: Any) -> UsageTotals:
    """Nothing but what is said."""
    fields = dict.fromkeys((field.name for field in dataclasses.fields(UsageTotals)), 0)
    return UsageTotals(**{**fields, "key": (), **counts})


def test_figures_by_hand() -> None:
    group = totals(
        requests=10, unpriced_requests=2, cost_micro_usd=4_000_000, priced_tokens=8_000, conversions=5,
        conversion_value_micro_usd=20_000_000, input_tokens=400, cached_input_tokens=100, latency_us=6_000_000,
        timed_requests=4,
    )  # fmt: skip
    assert (group.cost_usd, group.revenue_usd) == (4.0, 20.0)
    assert (group.priced_requests, group.unpriced_fraction, group.has_cost) == (8, 0.2, True)
    assert (group.usd_per_request, group.usd_per_1k_tokens) == (0.5, 0.5)
    assert (group.usd_per_conversion, group.revenue_usd_per_conversion) == (0.8, 4.0)
    assert group.cost_of_revenue_fraction == 0.2
    assert (group.cached_input_fraction, group.mean_latency_s) == (0.25, 1.5)


def test_of_nothing_there_is_no_mean() -> None:
    nothing = totals()
    assert (nothing.usd_per_request, nothing.usd_per_1k_tokens, nothing.usd_per_conversion) == (None,) * 3
    assert (nothing.revenue_usd_per_conversion, nothing.cost_of_revenue_fraction, nothing.mean_latency_s) == (None,) * 3
    assert (nothing.unpriced_fraction, nothing.cached_input_fraction, nothing.has_cost) == (0, 0, False)
    unpriced = totals(requests=3, unpriced_requests=3, conversions=1, conversion_value_micro_usd=5)
    assert (unpriced.usd_per_conversion, unpriced.cost_of_revenue_fraction, unpriced.has_cost) == (None, None, False)
    assert totals(cost_micro_usd=-1, credits=1).has_cost  # a refund is money
    assert totals(requests=1).has_cost  # free of charge, and that is known


@pytest.mark.parametrize(
    ("outcome", "cached", "failed", "refused"),
    [
        ("ok", 0, 0, 0),
        ("cached", 1, 0, 0),
        ("refused", 0, 0, 1),
        ("error", 0, 1, 0),
        ("timeout", 0, 1, 0),
        ("cancelled", 0, 1, 0),
    ],
)
def test_each_outcome_counts_as_what_it_is(outcome: str, cached: int, failed: int, refused: int) -> None:
    (total,) = aggregate(pandas_frame(ROWS | {"outcome": [outcome, "ok", "ok", "ok"]}))
    assert (total.cached_requests, total.failed_requests, total.refused_requests) == (cached, failed, refused)
    assert total.failed_cost_micro_usd == 500 * failed


def test_times_are_counted_in_whole_spans(engine: Engine) -> None:
    rows = ROWS | {"time_s": [59.999, 60.0, 86399.9, 86400.0]}
    assert [one.key for one in aggregate(engine(rows), by=["minute"])] == [(0,), (60,), (86340,), (86400,)]
    assert [(one.key, one.requests) for one in aggregate(engine(rows), by=["day"])] == [((0,), 3), ((86400,), 1)]


def test_latencies_are_rounded_to_microseconds_one_by_one() -> None:
    (total,) = aggregate(pandas_frame(ROWS | {"latency_s": [0.0000004, 0.0000006, 0.0000006, None]}))
    assert (total.latency_us, total.timed_requests) == (2, 3)


def test_a_time_lies_between_1970_and_the_year_9999() -> None:
    year_10000 = datetime(9999, 12, 31, tzinfo=UTC).timestamp() + 86400
    (total,) = aggregate(pandas_frame(ROWS | {"time_s": [0.0, 1.0, 2.0, year_10000 - 1]}))
    assert (total.first_s, total.last_s) == (0.0, year_10000 - 1)
    for bad in (-1.0, year_10000):
        with pytest.raises(LogError, match="1 row without time_s in seconds, from 1970 to the year 9999"):
            aggregate(pandas_frame(ROWS | {"time_s": [0.0, 1.0, 2.0, bad]}))


def test_a_count_is_exact_up_to_2_to_the_53_and_refused_beyond() -> None:
    most = 2**53 - 1
    (total,) = aggregate(pandas_frame(ROWS | {"input_tokens": [most] * 4, "cost_micro_usd": [most, -most, 0, 0]}))
    assert (total.input_tokens, total.credit_micro_usd) == (3 * most, most)  # the credit's tokens are no use
    for name in ("input_tokens", "cost_micro_usd"):
        with pytest.raises(LogError, match=f"1 row without {name} a whole number"):
            aggregate(pandas_frame(ROWS | {name: [2**53, 1000, 2000, 4000]}))


def test_sums_beyond_64_bits_are_right_in_every_engine(engine: Engine) -> None:
    rows = {name: [value] * 2000 for name, (value, *_) in ROWS.items()} | {"input_tokens": [2**53 - 1] * 2000}
    (total,) = aggregate(engine(rows))
    assert (total.input_tokens, total.output_tokens) == (2000 * (2**53 - 1), 20_000)


def test_a_gap_adds_nothing_to_sums_beyond_64_bits() -> None:
    rows = {name: [value] * 2001 for name, (value, *_) in ROWS.items()}
    (total,) = aggregate(duckdb_frame(rows | {"cost_micro_usd": [2**53 - 1] * 2000 + [None]}))
    assert (total.cost_micro_usd, total.unpriced_requests) == (2000 * (2**53 - 1), 1)


def test_what_is_assumed_where_a_log_says_nothing() -> None:
    assert DEFAULTS["requests"] == 1
    assert (DEFAULTS["cached_input_tokens"], DEFAULTS["searches"], DEFAULTS["outcome"]) == (0, 0, "ok")
    assert (DEFAULTS["latency_s"], DEFAULTS["cache_write_1h_tokens"]) == (None, None)
    plain = [field for field in dataclasses.fields(UsageTotals) if field.default is not dataclasses.MISSING]
    assert {field.name: field.default for field in plain} == dict.fromkeys(
        (
            "cache_write_tokens", "reasoning_tokens", "searches", "credits", "credit_micro_usd", "cost_rest_pico_usd",
            "failed_cost_rest_pico_usd", "priced_searches",
        ), 0,
    )  # fmt: skip


def test_of_no_events_there_is_a_table_all_the_same() -> None:
    assert event_frame([]).column_names == list(COLUMNS)
    assert aggregate(event_frame([])) == ()


def test_a_long_list_of_columns_is_cut_short() -> None:
    with pytest.raises(LogError, match=r"c38, c39$"):
        aggregate(pandas_frame({f"c{number}": [1] for number in range(40)}))
    many = {f"c{number}": [1] for number in range(44)}
    with pytest.raises(LogError) as caught:
        aggregate(pandas_frame(many))
    assert str(caught.value).endswith("c38, c39 and 4 more")
    with pytest.raises(LogError, match=f"it has {'x' * 60}…$"):
        aggregate(pandas_frame({"x" * 70: [1]}))
    with pytest.raises(LogError, match=r"it has none$"):
        aggregate(pandas_frame({}))
    with pytest.raises(LogError, match=f"it has {'x' * 60}$"):
        aggregate(pandas_frame({"x" * 60: [1]}))
    with pytest.raises(LogError, match=f"it has {'x' * 60}…$"):
        aggregate(pandas_frame({"x" * 61: [1]}))


def test_what_a_column_may_be_called_instead_is_guessed() -> None:
    with pytest.raises(LogError, match=r"has no column 'tier'; it has teir, model; say --column tier=teir$"):
        require_columns("a file", ["teir", "model"], ["tier", "model"], "say")
    with pytest.raises(LogError, match=r"has no column 'tier'; it has teir$"):
        require_columns("a file", ["teir"], ["tier"])
    with pytest.raises(LogError, match=r"has no column 'tier'; it has zzz; say --column tier=NAME$"):
        require_columns("a file", ["zzz"], ["tier"], "say")
    require_columns("a file", ["tier", "more"], ["tier"])


def test_groups_of_names_and_times(engine: Engine) -> None:
    frame = engine(ROWS)
    assert [(one.key, one.requests, one.cost_micro_usd) for one in aggregate(frame, by=["tier"])] == [
        (("large",), 3, 8000),
        (("small",), 1, 500),
    ]
    assert [(one.key, one.requests) for one in aggregate(frame, by=["hour"])] == [
        ((0,), 2),
        ((3600,), 1),
        ((90000,), 1),
    ]
    assert [one.key for one in aggregate(frame, by=["day", "tenant"])] == [(0, "acme"), (0, "zeta"), (86400, "zeta")]
    assert [one.key for one in aggregate(frame, by=["priority"])] == [("standard",)]  # a column that is absent


def test_a_group_in_which_nothing_has_a_price_has_no_figure_in_dollars(engine: Engine) -> None:
    found = {one.key[0]: one for one in aggregate(engine(ROWS), by=["model"])}
    lost = found["in-house"]
    assert (lost.cost_micro_usd, lost.unpriced_fraction) == (0, 1.0)
    assert (lost.usd_per_request, lost.usd_per_1k_tokens, lost.usd_per_conversion) == (None, None, None)


def test_optional_columns_may_be_absent(engine: Engine) -> None:
    (total,) = aggregate(engine({name: ROWS[name] for name in REQUIRED}))
    assert (total.requests, total.cached_input_tokens, total.failed_requests, total.conversions) == (4, 0, 0, 0)
    assert total.mean_latency_s is None


def test_a_credit_is_money_and_no_request(engine: Engine) -> None:
    rows = ROWS | {"cost_micro_usd": [500, 3000, -2000, None]}
    (total,) = aggregate(engine(rows))
    assert (total.requests, total.credits, total.credit_micro_usd) == (3, 1, 2000)
    assert (total.cost_micro_usd, total.failed_cost_micro_usd, total.failed_requests) == (1500, 0, 0)
    assert (total.input_tokens, total.priced_tokens, total.unpriced_requests) == (5100, 1210, 1)
    (twice,) = aggregate(engine(rows | {"cost_micro_usd": [500, -3000, -2000, None]}), by=["day"])[:1]
    assert (twice.credits, twice.credit_micro_usd, twice.requests) == (2, 5000, 1)
    small, large = sorted(aggregate(engine(rows), by=["tier"]), key=lambda group: -group.cost_micro_usd)[::-1]
    assert (small.key, small.cost_micro_usd, small.credits) == (("small",), 500, 0)
    assert (large.key, large.cost_micro_usd, large.credits) == (("large",), 1000, 1)


def test_a_row_may_be_the_sum_of_many_requests(engine: Engine) -> None:
    (total,) = aggregate(engine(ROWS | {"requests": [10, 200, 3000, 40_000]}))
    assert (total.requests, total.unpriced_requests, total.failed_requests) == (43_210, 40_000, 3000)
    assert (total.input_tokens, total.cost_micro_usd, total.priced_requests) == (7100, 8500, 3210)


def test_parts_of_the_tokens_are_added_up(engine: Engine) -> None:
    more = {"cache_write_tokens": [5, 60, 700, 0], "reasoning_tokens": [1, 20, 0, 300], "searches": [0, 0, 1, 2]}
    (total,) = aggregate(engine(ROWS | more))
    assert (total.cache_write_tokens, total.reasoning_tokens, total.searches) == (765, 321, 3)
    found = aggregate(engine(ROWS | {"provider": ["openai", "azure", None, "azure"]}), by=["provider"])
    assert [(group.key[0], group.requests) for group in found] == [("", 1), ("azure", 2), ("openai", 1)]


@pytest.mark.parametrize("kind", ["int32", "uint32", "uint16"])
def test_narrow_numbers_do_not_wrap_round(kind: str) -> None:
    import duckdb
    import pyarrow

    most = {"int32": 2**31 - 1, "uint32": 2**32 - 1, "uint16": 2**16 - 1}[kind]
    rows = {name: ROWS[name] for name in REQUIRED} | {"cached_input_tokens": [0] * 4}
    table = pyarrow.table(rows | {"input_tokens": pyarrow.array([most] * 4, getattr(pyarrow, kind)())})
    frames = [table, table.to_pandas(), duckdb.connect().from_arrow(table)]
    if importlib.util.find_spec("polars"):
        import polars

        frames.append(polars.from_arrow(table))
    for frame in frames:
        assert aggregate(frame)[0].input_tokens == 4 * most


def test_sums_have_as_many_digits_as_they_need() -> None:
    rows = {name: [value] * 2000 for name, (value, *_) in ROWS.items()} | {"input_tokens": [2**53 - 1] * 2000}
    (total,) = aggregate(duckdb_frame(rows))
    assert (total.input_tokens, total.cost_micro_usd) == (2000 * (2**53 - 1), 1_000_000)  # more than 64 bits hold


def test_what_is_not_a_number_is_a_gap() -> None:
    gaps = {"latency_s": [0.1, 0.5, math.nan, 1.0], "cost_micro_usd": [500.0, 3000.0, 5000.0, math.nan]}
    for make in (pandas_frame, duckdb_frame, ENGINES[2]):
        assert aggregate(make(ROWS | gaps), by=["model"]) == aggregate(make(ROWS), by=["model"])


def test_groups_may_be_too_many() -> None:
    groups = count_groups(pandas_frame(ROWS), ["tier", "hour"], 4)
    assert groups is not None
    assert groups.totals(["tier"]) == aggregate(pandas_frame(ROWS), by=["tier"])
    assert count_groups(pandas_frame(ROWS), ["tier", "hour"], 3) is None


def test_an_empty_log_has_no_groups(engine: Engine) -> None:
    frame = duckdb_frame(ROWS).filter("tier = 'none'").to_arrow_table()
    assert aggregate(frame) == ()
    assert aggregate(engine({name: ROWS[name] for name in ROWS}), by=["tier"]) != ()


@pytest.mark.parametrize("by", [[], ["tier"], ["tier", "model", "tenant"], ["hour", "tier"], ["day"], ["outcome"]])
def test_every_engine_counts_the_same(by: list[str]) -> None:
    log = sample_log(np.random.default_rng(7), 20_000, runaway=True)
    columns = {name: log[name].to_pylist() for name in log.column_names}
    first, *others = (aggregate(make(columns), by=by) for make in ENGINES)
    assert len(first) >= 1
    for other in others:
        assert other == first


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_counts_the_same() -> None:
    needs.program("java", install="apt-get install default-jre-headless")
    needs.extra("pyspark", "spark")
    from pyspark import sql

    log = sample_log(np.random.default_rng(7), 2_000)
    columns = {name: log[name].to_pylist() for name in log.column_names}
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "1").config("spark.driver.host", "127.0.0.1").getOrCreate()
    try:
        rows = list(zip(*columns.values(), strict=True))
        frame = session.createDataFrame(rows, schema=list(columns))
        for by in ([], ["tier", "model"], ["hour"]):
            assert aggregate(frame, by=by) == aggregate(pandas_frame(columns), by=by)
        assert aggregate(fill_costs(frame).frame) == aggregate(fill_costs(pandas_frame(columns)).frame)
    finally:
        session.stop()


def test_cells_roll_up_to_what_is_counted_directly() -> None:
    log = sample_log(np.random.default_rng(1), 5_000)
    cells = aggregate(log, by=["tier", "model", "tenant"])
    assert roll_up(cells, 0) == aggregate(log, by=["tier"])
    assert roll_up(cells, 2) == aggregate(log, by=["tenant"])
    assert roll_up(cells) == aggregate(log)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cached_input_tokens": [0, 1001, 0, 0]}, "1 row without cached_input_tokens between 0 and input_tokens"),
        ({"input_tokens": [100, 1000, -5, -6]}, "2 rows without input_tokens a whole number >= 0"),
        ({"output_tokens": [10, 100, 0, None]}, "1 row without output_tokens a whole number >= 0"),
        ({"cost_micro_usd": [500, -(2**53), 3, None]}, "1 row without cost_micro_usd a whole number, or none"),
        ({"cached_input_tokens": [0, -1, 0, 0]}, "1 row without cached_input_tokens a whole number >= 0"),
        (
            {"cache_write_tokens": [0, 501, 0, 0]},
            "1 row without cached_input_tokens and cache_write_tokens between 0 and input_tokens",
        ),
        ({"reasoning_tokens": [0, 101, 0, 0]}, "1 row without reasoning_tokens between 0 and output_tokens"),
        ({"cost_micro_usd": [500.0, 0.5, 3.0, None]}, "1 row without cost_micro_usd a whole number"),
        ({"time_s": [0.0, math.nan, 1.0, 2.0]}, "1 row without time_s in seconds, from 1970 to the year 9999"),
        ({"time_s": [0.0, 1.8e12, 1.0, 2.0]}, "1 row without time_s in seconds, from 1970 to the year 9999"),
        ({"latency_s": [0.1, -0.5, None, 1.0]}, "1 row without latency_s a number >= 0, or none"),
    ],
)
def test_rows_that_no_request_can_have_are_counted_and_refused(
    engine: Engine, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(LogError, match=message):
        aggregate(engine(ROWS | change))


def test_an_unknown_outcome_is_refused(engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="unknown outcome 'okay'; did you mean 'ok'"):
        aggregate(engine(ROWS | {"outcome": ["ok", "okay", "ok", "ok"]}))


def test_missing_columns_are_named(engine: Engine) -> None:
    rows = {name: values for name, values in ROWS.items() if name not in ("tier", "cost_micro_usd")}
    with pytest.raises(LogError, match=r"the log has no column 'tier', 'cost_micro_usd'; it has time_s, model"):
        aggregate(engine(rows))


def test_what_is_no_frame_and_no_group_is_refused() -> None:
    with pytest.raises(LogError, match="a log is a data frame that narwhals knows, not list"):
        aggregate([1, 2])  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown group 'teir'; did you mean 'tier'"):
        aggregate(pandas_frame(ROWS), by=["teir"])


@pytest.mark.parametrize(
    ("rests", "rounded", "rest"),
    [
        ((400_000, 400_000), 1, -200_000),  # trillionths of a dollar: 0.8 micro-dollars
        ((700_000, 800_000), 2, -500_000),
        ((700_000, 799_999), 1, 499_999),
        ((1, 2), 1, -999_997),  # more than nothing
        ((0, 0), 0, 0),
        ((-300_000, 400_000), 1, -900_000),
    ],
)
def test_what_groups_left_over_is_rounded_once_they_are_added(rests: tuple[int, int], rounded: int, rest: int) -> None:
    (group,) = aggregate(pandas_frame({name: values[:1] for name, values in ROWS.items()}), by=["tier"])
    one, other = (
        dataclasses.replace(group, cost_micro_usd=0, cost_rest_pico_usd=left, failed_cost_micro_usd=5) for left in rests
    )
    (added,) = roll_up([one, other])
    assert (added.cost_micro_usd, added.cost_rest_pico_usd) == (rounded, rest)
    assert (added.failed_cost_micro_usd, added.failed_cost_rest_pico_usd) == (10, 0)
