import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.workload import Workload


def test_a_month_has_730_hours_unless_said_otherwise() -> None:
    chat = Workload(1000, 400, 200)
    assert math.isclose(chat.hours_per_month, 730)
    assert math.isclose(chat.requests_per_month, 1000 * 730 / 24)
    assert Workload(1000, 400, 200, days_per_month=30).requests_per_month == 30_000


def test_cached_tokens_are_part_of_the_input() -> None:
    assert Workload(1, 400, cached_input_fraction=0.25).cached_input_tokens == 100


def test_a_million_a_day_is_11_6_a_second() -> None:
    assert math.isclose(Workload(1e6, 1, peak_to_mean=3).peak_requests_per_s, 3e6 / 86400)


@given(st.floats(1.0, 12.0), st.floats(1.0, 1e9))
def test_the_day_has_the_mean_and_the_peak_that_were_asked_for(peak: float, requests: float) -> None:
    work = Workload(requests, 1, peak_to_mean=peak)
    day = work.hourly_requests_per_s()
    assert len(day) == 24
    assert math.isclose(sum(day) / 24, work.mean_requests_per_s, rel_tol=1e-9)
    assert math.isclose(max(day), work.peak_requests_per_s, rel_tol=1e-9)
    assert max(day) == day[14]
    assert min(day) >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"requests_per_day": -1}, "requests_per_day must be a number >= 0, got -1"),
        ({"requests_per_day": math.nan}, "requests_per_day must be a number >= 0, got nan"),
        ({"requests_per_day": True}, "requests_per_day must be a number >= 0, got True"),
        ({"input_tokens": math.inf}, "input_tokens must be a number >= 0, got inf"),
        ({"cached_input_fraction": 30}, "cached_input_fraction must be a fraction >= 0 and <= 1, got 30"),
        ({"peak_to_mean": 0.5}, "peak_to_mean must be a number >= 1, got 0.5"),
        ({"days_per_month": 32}, "days_per_month must be a number > 0 and <= 31, got 32"),
        ({"input_tokens": 0, "output_tokens": 0}, "input_tokens must be given where no output tokens"),
    ],
)
def test_bad_traffic_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Workload(**{"requests_per_day": 10, "input_tokens": 5, "output_tokens": 5, **arguments})
    assert message in str(caught.value)


def test_a_burst_is_not_the_shape_of_a_day() -> None:
    with pytest.raises(InvalidValueError, match="peak_to_mean must be at most 12 for a curve by the hour, got 13"):
        Workload(10, 5, peak_to_mean=13).hourly_requests_per_s()


def test_traffic_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Workload(10, 5).requests_per_day = 5  # type: ignore[misc]
