"""The six metrics of the source lesson."""

import pytest

from costlab.monitoring import key_metrics
from tests import needs
from tests.monitoring.frames import ENGINES, GPUS, ROWS, Engine, engine

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

__all__ = ["engine"]


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


def test_what_was_refused_failed_or_given_up_was_not_served() -> None:
    found = key_metrics(ENGINES[0](ROWS | {"outcome": ["ok", "refused", "timeout", "cached"]}), ENGINES[0](GPUS))
    assert found.gpu_cost_per_request_usd == 14.0 / 2
    assert found.cost_per_request_usd == 0.0085 / 3  # paid for all the same
    for outcome in ("refused", "error", "cancelled"):
        nothing = key_metrics(ENGINES[0](ROWS | {"outcome": [outcome] * 4}), ENGINES[0](GPUS))
        assert nothing.gpu_cost_per_request_usd is None


def test_gpus_work_the_hours_of_which_it_is_known() -> None:
    found = key_metrics(ENGINES[0](ROWS), ENGINES[0](GPUS))
    assert found.gpu_utilization_fraction == pytest.approx((0.0999 + 0.1 + 2 * 0.4) / 4)  # nobody knows of the fifth


def test_an_empty_log_has_no_figures_and_its_gpus_are_idle_all_the_same() -> None:
    empty = key_metrics(ENGINES[0](ROWS).iloc[:0], ENGINES[0](GPUS))
    assert (empty.cost_per_request_usd, empty.gpu_cost_per_request_usd, empty.cost_per_conversion_usd) == (None,) * 3
    assert (empty.unpriced_requests, empty.unpriced_fraction, empty.idle_gpu_hours) == (0, 0.0, 1.0)
    assert (empty.cost_by_tier_usd, empty.requests_by_tier_fraction) == ({}, {})
    refund = key_metrics(ENGINES[0]({**ROWS, "cost_micro_usd": [-1, -2, -3, -4]}))
    assert (refund.requests_by_tier_fraction, refund.cost_per_request_usd) == ({}, None)


def test_the_gpu_bill_is_added_only_where_it_is_apart() -> None:
    frame, hours = ENGINES[0](ROWS), ENGINES[0](GPUS)
    assert key_metrics(frame, hours, gpu_bill_apart=True).cost_per_request_usd == pytest.approx((0.0085 + 14) / 3)
    alone = key_metrics(frame)
    assert (alone.gpu_cost_per_request_usd, alone.idle_gpu_hours, alone.gpu_utilization_fraction) == (None, None, None)


def test_where_nothing_has_a_price_no_metric_in_dollars_is_zero() -> None:
    found = key_metrics(ENGINES[0](ROWS | {"cost_micro_usd": [None] * 4}))
    assert found.unpriced_fraction == 1.0
    assert (found.cost_per_request_usd, found.cost_per_conversion_usd, found.cost_of_revenue_fraction) == (None,) * 3
