import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.serving import replicas_needed, usd_per_mtok, usd_per_request

PRICE = st.floats(0.01, 1000)
RATE = st.floats(0.001, 1e5)
SHARE = st.floats(0.001, 1)


def test_a_dollar_an_hour_at_a_thousand_tokens_a_second() -> None:
    assert math.isclose(usd_per_mtok(3.6, 1000), 1.0)
    assert math.isclose(usd_per_request(3.6, 1), 0.001)


@given(PRICE, RATE, SHARE, SHARE)
def test_more_utilization_is_never_dearer(price: float, rate: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert usd_per_mtok(price, rate, high) <= usd_per_mtok(price, rate, low)
    assert usd_per_request(price, rate, high) <= usd_per_request(price, rate, low)


@given(PRICE, RATE, SHARE, st.floats(1, 1000))
def test_a_request_costs_its_tokens(price: float, rate: float, share: float, tokens: float) -> None:
    by_token = usd_per_mtok(price, rate * tokens, share) * tokens / 1e6
    assert math.isclose(by_token, usd_per_request(price, rate, share), rel_tol=1e-9)


@given(st.floats(0, 1e9), RATE, st.floats(1, 20), SHARE, st.integers(0, 5))
def test_the_fleet_serves_its_peak_and_not_one_replica_more(
    requests: float, rate: float, peak: float, load: float, spare: int
) -> None:
    fleet = replicas_needed(requests, rate, peak, load, spare)
    at_peak = requests / 86400 * peak
    assert fleet.total == fleet.serving + fleet.spare
    assert fleet.serving * rate * load >= at_peak * (1 - 1e-9)
    assert fleet.serving == 1 or (fleet.serving - 1) * rate * load < at_peak
    assert fleet.utilization_fraction <= fleet.peak_utilization_fraction * (1 + 1e-9)


def test_exact_fits_take_no_extra_replica() -> None:
    assert replicas_needed(3 * 86400, 1.0).total == 3
    # 0.1 requests a second with three times as many at the peak are three replicas of 0.1, and a rounding error more.
    assert 8640 / 86400 * 3 / 0.1 > 3
    assert replicas_needed(8640, 0.1, peak_to_mean=3).total == 3
    assert replicas_needed(8640 * (1 + 1e-9), 0.1, peak_to_mean=3).total == 4  # that is traffic, and no rounding error


def test_a_fleet_worked_out_by_hand() -> None:
    # 10 requests a second, 30 at the peak, on replicas that take 4 of 5: eight, and two spare ones.
    fleet = replicas_needed(864_000, 5, peak_to_mean=3, max_utilization_fraction=0.8, spare_replicas=2)
    assert (fleet.total, fleet.serving, fleet.spare) == (10, 8, 2)
    assert fleet.utilization_fraction == pytest.approx(10 / 50)
    assert fleet.peak_utilization_fraction == pytest.approx(30 / 40)
    assert replicas_needed(864_000, 5, at_least=4).serving == 4
    assert replicas_needed(864_000, 5, at_least=1).serving == 2


def test_the_largest_fleet_that_is_counted_is_counted() -> None:
    assert replicas_needed(86400 * 10**15, 1).total == pytest.approx(10**15)
    with pytest.raises(InvalidValueError, match="requests_per_day must be what"):
        replicas_needed(86400 * 1.01e15, 1)


def test_numpy_scalars_count_like_numbers() -> None:
    million: Any
    hundred: Any
    thousand: Any
    million, hundred, thousand = np.int32(1_000_000), np.float16(100), np.float16(1000)
    assert usd_per_mtok(1.0, million) == usd_per_mtok(1.0, 1_000_000)
    assert usd_per_request(1.0, hundred) == usd_per_request(1.0, 100)
    assert usd_per_mtok(1.0, thousand, 0.5) == usd_per_mtok(1.0, 1000, 0.5)


def test_no_traffic_needs_one_replica_unless_it_may_be_switched_off() -> None:
    assert replicas_needed(0, 1).total == 1
    off = replicas_needed(0, 1, at_least=0)
    assert (off.total, off.utilization_fraction, off.peak_utilization_fraction) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: usd_per_mtok(0, 1), "usd_per_hour must be a number > 0, got 0"),
        (lambda: usd_per_mtok(1, 0), "tokens_per_s must be a number > 0, got 0"),
        (lambda: usd_per_mtok(1, 1, 0), "utilization_fraction must be a fraction > 0 and <= 1, got 0"),
        (lambda: usd_per_request(1, 0), "capacity_requests_per_s must be a number > 0, got 0"),
        (lambda: replicas_needed(1, 0), "capacity_requests_per_s must be a number > 0, got 0"),
        (lambda: replicas_needed(-1, 1), "requests_per_day must be a number >= 0, got -1"),
        (lambda: replicas_needed(1e300, 1e-300), "requests_per_day must be what 1e+15 replicas can serve, got 1e+300"),
        (lambda: replicas_needed(1, 1, 0.9), "peak_to_mean must be a number >= 1, got 0.9"),
        (lambda: replicas_needed(1, 1, 1, 80), "max_utilization_fraction must be a fraction > 0 and <= 1, got 80"),
        (lambda: usd_per_request(0, 1), "usd_per_hour must be a number > 0, got 0"),
        (lambda: usd_per_request(1, 1, 0), "utilization_fraction must be a fraction > 0 and <= 1, got 0"),
        (lambda: replicas_needed(1, 1, 1, 0), "max_utilization_fraction must be a fraction > 0 and <= 1, got 0"),
        (lambda: replicas_needed(1, 1, at_least=-1), "at_least must be a whole number >= 0, got -1"),
        (lambda: replicas_needed(1, 1, spare_replicas=-1), "spare_replicas must be a whole number >= 0, got -1"),
        (lambda: replicas_needed(1, 1, spare_replicas=0.5), "spare_replicas must be a whole number >= 0, got 0.5"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        call()  # type: ignore[operator]
    assert message in str(caught.value)
