"""GPU hours: what they cost, and how many of them are idle."""

from typing import Any

import numpy as np
import pytest

from costlab.errors import LogError
from costlab.monitoring import gpu_usage
from costlab.synthetic import sample_gpu_hours
from tests import needs
from tests.monitoring.frames import GPUS, Engine, engine

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

__all__ = ["engine"]


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


def test_the_sample_service_wastes_what_it_was_made_to_waste() -> None:
    hours = sample_gpu_hours(np.random.default_rng(0), days=2, gpus=3, usd_per_hour=1.0)
    by_gpu = {one.key[0]: one for one in gpu_usage(hours, by=["gpu"])}
    assert by_gpu["a10g-2"].idle_hours > 20  # asleep 24 of 48 hours
    assert by_gpu["a10g-0"].hours == 48.0
