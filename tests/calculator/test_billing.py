import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.calculator import (
    best_commitment,
    commitment_bill,
    commitment_break_even,
    cost_per_request,
    monthly_cost,
    saving_fraction,
    usd_per_useful_hour,
)
from costlab.catalog import PRICINGS, gpu_prices
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError

usd = st.floats(1e-4, 1e4)


# The worked values of the source lesson (S2), eight A10G around the clock for 30 days.
@pytest.mark.parametrize(
    ("pricing", "expected", "saved"),
    [
        ("on_demand", 5817.60, 0.0),
        ("spot", 1728.00, 0.70),
        ("reserved_1y", 3628.80, 0.38),
        ("reserved_3y", 2419.20, 0.58),
    ],
)
def test_lesson_bills_are_exact_to_the_cent(pricing: str, expected: float, saved: float) -> None:
    bill = monthly_cost("A10G", gpus=8, pricing=pricing)
    assert bill.usd == expected
    assert bill.gpu_hours == 8 * 720
    assert bill.price.pricing == pricing
    assert saving_fraction(5817.60, bill.usd) == pytest.approx(saved, abs=0.005)


def test_bill_is_the_correctly_rounded_decimal_product() -> None:
    assert 8.80 * 24 * 30 != 6336.0  # what binary floats make of it
    assert monthly_cost("H100").usd == 6336.0


def test_cloud_month_is_longer_than_the_lesson_month() -> None:
    ratio = monthly_cost("L4", days_per_month=730 / 24).usd / monthly_cost("L4").usd
    assert ratio == pytest.approx(730 / 720)


@given(st.integers(1, 500), st.floats(0.01, 24), st.floats(0.01, 31), st.sampled_from(PRICINGS))
def test_bill_is_additive_in_gpus(gpus: int, hours: float, days: float, pricing: str) -> None:
    one = monthly_cost("H100", 1, pricing, hours, days).usd
    assert monthly_cost("H100", gpus, pricing, hours, days).usd == pytest.approx(gpus * one, rel=1e-12)


def test_every_catalogue_price_bills_in_proportion() -> None:
    for price in gpu_prices():
        bill = monthly_cost(
            price.gpu, 2, price.pricing, 10, 20, price.snapshot, price.provider, price.region, price.checked, price.zone
        )
        assert bill.usd == pytest.approx(400 * price.usd_per_hour, rel=1e-12)


def test_numpy_numbers_are_numbers() -> None:
    assert monthly_cost("A10G", gpus=int(np.int64(8)), hours_per_day=float(np.float64(24))).usd == 5817.60
    price: Any = np.float32(4.0)
    assert usd_per_useful_hour(price, np.float64(0.5)) == 8.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpus": 0}, "gpus must be a whole number >= 1, got 0"),
        ({"gpus": -3}, "gpus must be a whole number >= 1, got -3"),
        ({"gpus": 2.5}, "gpus must be a whole number >= 1, got 2.5"),
        ({"gpus": True}, "gpus must be a whole number >= 1, got True"),
        ({"hours_per_day": 24.5}, "hours_per_day must be a number > 0 and <= 24, got 24.5"),
        ({"hours_per_day": 0}, "hours_per_day must be a number > 0 and <= 24, got 0"),
        ({"hours_per_day": math.nan}, "hours_per_day must be a number > 0 and <= 24, got nan"),
        ({"hours_per_day": "24"}, "hours_per_day must be a number > 0 and <= 24, got '24'"),
        ({"days_per_month": math.inf}, "days_per_month must be a number > 0 and <= 31, got inf"),
        ({"days_per_month": 10**400}, "days_per_month must be a number > 0 and <= 31, got 1000"),
    ],
)
def test_bad_numbers_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        monthly_cost("A10G", **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_bad_names_are_named() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown GPU 'A10'; did you mean 'A10G'\?"):
        monthly_cost("A10")
    with pytest.raises(UnknownNameError, match=r"unknown pricing 'ondemand'; did you mean 'on_demand'\?"):
        monthly_cost("A10G", pricing="ondemand")
    with pytest.raises(UnknownNameError, match=r"unknown snapshot 'lessons'; did you mean 'lesson'\?"):
        monthly_cost("A10G", snapshot="lessons")
    with pytest.raises(PriceNotFoundError, match="there is nothing for H200 in this snapshot"):
        monthly_cost("H200")


@given(usd, st.floats(0.001, 1), st.floats(0.001, 1))
def test_useful_hours_get_cheaper_with_utilization(price: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert usd_per_useful_hour(price, low) >= usd_per_useful_hour(price, high) >= price


def test_useful_hour_domain() -> None:
    with pytest.raises(InvalidValueError, match="utilization_fraction must be a fraction > 0 and <= 1, got 0"):
        usd_per_useful_hour(1.0, 0)
    with pytest.raises(InvalidValueError, match="utilization_fraction must be a fraction > 0 and <= 1, got 65"):
        usd_per_useful_hour(1.0, 65)  # a per cent is not a fraction


@given(usd, usd, st.floats(1, 1e9))
def test_cost_per_request_adds_up_to_the_bill(gpu: float, other: float, requests: float) -> None:
    assert cost_per_request(gpu, other, requests) * requests == pytest.approx(gpu + other)


def test_no_requests_is_an_error_not_zero() -> None:
    with pytest.raises(InvalidValueError, match="requests must be a number > 0, got 0"):
        cost_per_request(100, 0, 0)
    with pytest.raises(InvalidValueError, match="infrastructure_usd must be a number >= 0, got -1"):
        cost_per_request(100, -1, 10)


def test_saving_can_be_negative_but_needs_a_baseline() -> None:
    assert saving_fraction(100, 150) == -0.5
    with pytest.raises(InvalidValueError, match="baseline_usd must be a number > 0, got 0"):
        saving_fraction(0, 10)


demand_profiles = st.lists(st.one_of(st.integers(0, 30), st.floats(0, 30)), min_size=1, max_size=60)
price = st.floats(0.01, 100)


def test_break_even_of_the_lesson_reservation() -> None:
    assert commitment_break_even(1.01, 0.63) == pytest.approx(0.63 / 1.01)


def test_at_the_break_even_both_bills_agree() -> None:
    share = commitment_break_even(1.01, 0.63)
    on_demand = monthly_cost("A10G", hours_per_day=24 * share).usd
    assert on_demand == pytest.approx(monthly_cost("A10G", pricing="reserved_1y").usd)


def test_a_commitment_above_the_list_price_never_pays() -> None:
    # 98.32 was the price of a p5.48xlarge before June 2025; a 30 % discount on it is above today's on-demand price.
    assert commitment_break_even(55.04, 0.7 * 98.32) > 1


@given(demand_profiles, price, price)
def test_best_commitment_beats_every_other_level(demand: list[float], on_demand: float, committed: float) -> None:
    best = best_commitment(demand, on_demand, committed)
    scale = max(1.0, best.on_demand_usd)
    for level in range(int(max(demand)) + 3):
        other = best_commitment(demand, on_demand, committed, gpus=level)
        assert best.usd <= other.usd + 1e-9 * scale
    assert best.usd <= best.on_demand_usd + 1e-9 * scale


@given(demand_profiles, price, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_deeper_discount_never_lowers_the_level(demand: list[float], on_demand: float, a: float, b: float) -> None:
    expensive, cheap = max(a, b), min(a, b)
    assert best_commitment(demand, on_demand, cheap * on_demand).gpus >= (
        best_commitment(demand, on_demand, expensive * on_demand).gpus
    )


def test_level_is_a_quantile_of_the_demand() -> None:
    # Used in 30 % of the hours: pays at a committed price below 30 % of on-demand, not above.
    demand = [0] * 70 + [1] * 30
    assert best_commitment(demand, 1.0, 0.29).gpus == 1
    assert best_commitment(demand, 1.0, 0.31).gpus == 0


def test_equal_bills_promise_less() -> None:
    assert best_commitment([0, 1], 1.0, 0.5).gpus == 0


def test_no_demand_no_commitment() -> None:
    best = best_commitment([0, 0, 0], 1.0, 0.5)
    assert (best.gpus, best.usd, best.saving_fraction, best.utilization_fraction) == (0, 0.0, 0.0, 0.0)


def test_given_level_is_priced() -> None:
    level = best_commitment([4] * 14 + [10] * 10, 1.01, 0.63, gpus=10)
    assert level.usd == pytest.approx(0.63 * 10 * 24)
    assert level.utilization_fraction == pytest.approx((4 * 14 + 10 * 10) / 240)
    assert level.saving_fraction == pytest.approx(1 - 151.2 / (1.01 * 156))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1.0, 0.5), "demand_gpus must be a profile of at least one hour, got []"),
        (([1, -2], 1.0, 0.5), "demand_gpus[1] must be a number >= 0, got -2"),
        (([1, float("nan")], 1.0, 0.5), "demand_gpus[1] must be a number >= 0, got nan"),
        (([1], 0.0, 0.5), "on_demand_usd_per_hour must be a number > 0, got 0.0"),
        (([1], 1.0, -1), "committed_usd_per_hour must be a number > 0, got -1"),
    ],
)
def test_bad_profiles_are_named(arguments: tuple[list[float], float, float], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        best_commitment(*arguments)
    assert str(caught.value) == message


@given(st.floats(0, 1e4), st.floats(0, 0.95), st.floats(0, 1e4))
def test_commitment_bill_adds_up(demand: float, discount: float, commitment: float) -> None:
    bill = commitment_bill(demand, discount, commitment)
    assert bill.covered_usd_per_hour + bill.on_demand_usd_per_hour == pytest.approx(demand)
    paid_for_covered = bill.covered_usd_per_hour * (1 - discount)
    total = paid_for_covered + bill.unused_usd_per_hour + bill.on_demand_usd_per_hour
    assert bill.total_usd_per_hour == pytest.approx(total, abs=1e-9)
    assert bill.total_usd_per_hour >= commitment
    assert min(bill.unused_usd_per_hour, bill.on_demand_usd_per_hour) == pytest.approx(0, abs=1e-9)


def test_unused_commitment_is_paid() -> None:
    bill = commitment_bill(5.0, 0.30, 7.0)
    assert bill.total_usd_per_hour == 7.0
    assert bill.unused_usd_per_hour == pytest.approx(7.0 - 3.5)


def test_commitment_bill_domain() -> None:
    with pytest.raises(InvalidValueError, match="discount_fraction must be a fraction >= 0 and < 1, got 1"):
        commitment_bill(1.0, 1, 1.0)
    with pytest.raises(InvalidValueError, match="discount_fraction must be a fraction >= 0 and < 1, got 30"):
        commitment_bill(1.0, 30, 1.0)
