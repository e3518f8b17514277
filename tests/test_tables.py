from typing import Any

import pytest

from costlab.catalog import current_gpu_prices, gpu, gpus
from costlab.errors import InvalidValueError, UnknownNameError
from tests import needs

needs.extra("pandas", "plots")

from costlab.monitoring import Timeline, alert_rules, incidents  # noqa: E402
from costlab.tables import gpu_price_table, gpu_spec_table, incidents_table, unit_price_table  # noqa: E402


def test_lesson_table_has_a_row_per_gpu_with_kind_and_date() -> None:
    table: Any = gpu_price_table("lesson")
    assert list(table.columns) == ["on_demand", "spot", "reserved_1y", "reserved_3y", "kind", "checked"]
    assert list(table.index.get_level_values("gpu")) == ["T4", "A10G", "L4", "A100 40GB", "A100 80GB", "H100"]
    assert set(table["kind"]) == {"lesson"}
    assert table["on_demand"].tolist()[1] == 1.01


def test_every_current_price_is_in_the_table() -> None:
    table: Any = gpu_price_table()
    prices = table[["on_demand", "spot", "reserved_1y", "reserved_3y"]]
    assert prices.notna().sum().sum() == len(current_gpu_prices())
    # A price that nobody has is missing, not zero.
    assert not (prices == 0).any().any()


def test_table_of_some_gpus_and_of_a_past_day() -> None:
    assert set(gpu_price_table("list", ["A100_40"]).index.get_level_values("gpu")) == {"A100 40GB"}
    assert set(gpu_price_table("list", as_of="2025-06-30").index.get_level_values("place")) == {"gcp/us-central1"}
    assert gpu_price_table("list", as_of="2020-01-01").empty
    with pytest.raises(UnknownNameError, match="unknown GPU 'A10'"):
        gpu_price_table("list", ["A10"])


def test_spec_table_shows_what_the_data_sheets_state() -> None:
    table: Any = gpu_spec_table()
    assert list(table.index) == [spec.name for spec in gpus()]
    assert table.loc["H100", "bf16"] == gpu("H100").dense_tflops("bf16")
    assert table["bf16"].isna()["T4"]


def test_unit_prices_follow_from_price_and_data_sheet() -> None:
    row = unit_price_table({"A10G": 3.6}, precision="fp16").loc["A10G"]
    # 3.6 USD an hour is 0.001 USD a second: 600 GB read, 70e12 operations, or 1/3600 of an hour of 24 GB.
    assert row["usd_per_gb_hour"] == pytest.approx(3.6 / 24)
    assert row["usd_per_pb_read"] == pytest.approx(0.001 / 600e9 * 1e15)
    assert row["usd_per_eflop"] == pytest.approx(0.001 / 70e12 * 1e18)


def test_unit_prices_refuse_what_is_unknown() -> None:
    with pytest.raises(InvalidValueError, match="T4 data sheet states"):
        unit_price_table({"T4": 0.5}, precision="bf16")
    with pytest.raises(InvalidValueError, match=r"usd_per_hour\['T4'\] must be a number > 0, got 0"):
        unit_price_table({"T4": 0})


def test_an_alarm_that_still_lasts_has_no_end_in_the_table() -> None:
    times_s = tuple(60.0 * minute for minute in range(122))
    line = Timeline("costlab:gpu_utilization_each:now", "a", times_s, (*[0.05] * 120, 0.01, 0.02))
    (row,) = incidents_table(incidents(alert_rules(), [line])).to_dict("records")
    assert row == {"fired": "02:00", "until": "", "rule": "GpuIdle", "of": "a", "worst": 0.01, "severity": "ticket"}
    assert list(incidents_table([]).columns) == list(row)
