"""The six metrics, GPU hours, and the filling of prices."""

from typing import Any

import numpy as np
import pytest

from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.events import micro_usd
from costlab.monitoring import aggregate, fill_costs, gpu_usage, key_metrics
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs
from tests.monitoring.usage.test_usage import ENGINES, ROWS, Engine, engine

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

__all__ = ["engine"]

GPUS: dict[str, Any] = {
    "time_s": [0.0, 3600.0, 7200.0, 86400.0],
    "gpu": ["a", "a", "b", "b"],
    "hours": [1.0, 1.0, 2.0, 1.0],
    "usd_per_hour": [1.0, 1.0, 4.0, 4.0],
    "utilization_fraction": [0.0999, 0.1, 0.4, None],
}


def test_gpu_hours_by_hand(engine: Engine) -> None:
    (total,) = gpu_usage(engine(GPUS))
    assert (total.hours, total.known_hours) == (5.0, 4.0)
    # Below 10 % is idle, from 10 % to below 40 % underused; an unknown hour is neither.
    assert (total.idle_hours, total.underused_hours) == (1.0, 1.0)
    assert (total.cost_usd, total.idle_cost_usd) == (14.0, 1.0)
    assert total.utilization_fraction == pytest.approx((0.0999 + 0.1 + 0.8) / 4)
    assert [(one.key, one.cost_usd) for one in gpu_usage(engine(GPUS), by=["day"])] == [((0,), 10.0), ((86400,), 4.0)]
    assert [(one.key, one.hours) for one in gpu_usage(engine(GPUS), by=["gpu"])] == [(("a",), 2.0), (("b",), 3.0)]


@pytest.mark.parametrize(
    "change",
    [
        {"utilization_fraction": [50.0, 0.1, 0.2, 0.3]},  # percent
        {"hours": [1.0, -1.0, 1.0, 1.0]},
        {"usd_per_hour": [1.0, None, 1.0, 1.0]},
    ],
)
def test_hours_that_cannot_be_are_refused(engine: Engine, change: dict[str, Any]) -> None:
    with pytest.raises(LogError, match="1 or more rows without time, hours and usd_per_hour >= 0"):
        gpu_usage(engine(GPUS | change))
    with pytest.raises(LogError, match="the log of GPU hours has no column 'gpu'"):
        gpu_usage(engine({name: values for name, values in GPUS.items() if name != "gpu"}))


def test_the_six_metrics_by_hand(engine: Engine) -> None:
    found = key_metrics(engine(ROWS), engine(GPUS))
    assert found.cost_per_request_usd == 0.0085 / 3
    assert found.gpu_cost_per_request_usd == 14.0 / 3  # the timeout was not served
    assert found.daily_gpu_spend_usd == {0: 10.0, 86400: 4.0}
    assert found.cost_by_tier_usd == {"large": 0.008, "small": 0.0005}
    assert found.requests_by_tier_fraction == {"large": 0.75, "small": 0.25}
    assert found.cost_per_conversion_usd == 0.0085
    assert found.cost_of_revenue_fraction == 0.00425
    assert found.idle_gpu_hours == 1.0
    assert (found.unpriced_requests, found.unpriced_fraction) == (1, 0.25)


def test_the_gpu_bill_is_added_only_where_it_is_apart() -> None:
    frame, hours = ENGINES[0](ROWS), ENGINES[0](GPUS)
    assert key_metrics(frame, hours, gpu_bill_apart=True).cost_per_request_usd == pytest.approx((0.0085 + 14) / 3)
    alone = key_metrics(frame)
    assert (alone.gpu_cost_per_request_usd, alone.idle_gpu_hours, alone.gpu_utilization_fraction) == (None, None, None)


def test_where_nothing_has_a_price_no_metric_in_dollars_is_zero() -> None:
    found = key_metrics(ENGINES[0](ROWS | {"cost_micro_usd": [None] * 4}))
    assert found.unpriced_fraction == 1.0
    assert (found.cost_per_request_usd, found.cost_per_conversion_usd, found.cost_of_revenue_fraction) == (None,) * 3


def test_the_sample_service_wastes_what_it_was_made_to_waste() -> None:
    hours = sample_gpu_hours(np.random.default_rng(0), days=2, gpus=3, usd_per_hour=1.0)
    by_gpu = {one.key[0]: one for one in gpu_usage(hours, by=["gpu"])}
    assert by_gpu["a10g-2"].idle_hours > 20  # asleep 24 of 48 hours
    assert by_gpu["a10g-0"].hours == 48.0


def test_gaps_are_filled_from_the_catalogue_with_cached_tokens_billed_once(engine: Engine) -> None:
    rows = ROWS | {
        "model": ["gpt-4o-mini", "gpt-4o", "gpt-4o", "in-house"],
        "cost_micro_usd": [None, None, 5000, None],
        "outcome": ["ok", "ok", "ok", "ok"],
    }
    filled = fill_costs(engine(rows))
    assert [price.model for price in filled.prices] == ["gpt-4o", "gpt-4o-mini"]
    assert filled.requests_priced == 2
    assert list(filled.unknown) == ["in-house"]
    small, large = api_price("gpt-4o-mini"), api_price("gpt-4o")
    wanted = {
        "gpt-4o-mini": micro_usd("usd", small.usd(100, 10)),
        "gpt-4o": micro_usd("usd", large.usd(1000, 100, 500)) + 5000,
        "in-house": 0,
    }
    found = aggregate(filled.frame, by=["model"])
    assert {one.key[0]: one.cost_micro_usd for one in found} == wanted
    assert {one.key[0]: one.unpriced_requests for one in found} == {"gpt-4o-mini": 0, "gpt-4o": 0, "in-house": 1}


def test_costs_that_are_there_are_left_alone_and_unserved_requests_are_not_priced(engine: Engine) -> None:
    rows = ROWS | {"model": ["gpt-4o"] * 4, "cost_micro_usd": [7, None, None, None], "input_tokens": [100, 1000, 9, 0]}
    rows |= {"cached_input_tokens": [0] * 4, "outcome": ["ok", "cached", "refused", "ok"]}
    (total,) = aggregate(fill_costs(engine(rows)).frame)
    assert (total.cost_micro_usd, total.unpriced_requests) == (7, 3)


def test_rates_of_long_requests_and_models_without_an_output_price(engine: Engine) -> None:
    rows = ROWS | {
        "model": ["gemini-2.5-pro", "gemini-2.5-pro", "text-embedding-ada-002", "text-embedding-ada-002"],
        "input_tokens": [200_000, 200_001, 5_000, 5_000],
        "output_tokens": [100, 100, 0, 10],
        "cached_input_tokens": [0] * 4,
        "cost_micro_usd": [None] * 4,
        "outcome": ["ok"] * 4,
    }
    price = api_price("gemini-2.5-pro")
    assert price.tiers[0].above_tokens == 200_000
    found = {one.key[0]: one for one in aggregate(fill_costs(engine(rows)).frame, by=["model"])}
    wanted = sum(micro_usd("usd", price.usd(tokens, 100)) for tokens in (200_000, 200_001))
    assert found["gemini-2.5-pro"].cost_micro_usd == wanted
    # Output of a model without an output price: that request stays unpriced.
    assert found["text-embedding-ada-002"].unpriced_requests == 1


def test_the_fee_of_a_request_is_billed_with_its_tokens(engine: Engine) -> None:
    count = 1_000
    rows = {
        "time_s": [0.0] * count,
        "tier": ["search"] * count,
        "model": ["sonar-pro"] * count,
        "input_tokens": [9] * count,
        "output_tokens": [150] * count,
        "cost_micro_usd": [None] * count,
    }
    (total,) = aggregate(fill_costs(engine(rows)).frame)
    assert api_price("sonar-pro").usd(9, 150) * count == pytest.approx(16.277)
    assert total.cost_usd == pytest.approx(16.28, abs=0.005)


def test_a_log_without_gaps_comes_back_as_it_is() -> None:
    log = sample_log(np.random.default_rng(0), 100, unpriced_fraction=0.0)
    filled = fill_costs(log)
    assert filled.frame is log
    assert (filled.prices, filled.requests_priced, filled.unknown) == ((), 0, {})
