import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.calculator import (
    CommitmentBill,
    Machines,
    MachineSize,
    best_commitment,
    commitment_bill,
    commitment_break_even,
    cost_per_request,
    monthly_cost,
    saving_fraction,
    usd_per_useful_hour,
)
from costlab.catalog import COMMITMENTS, PRICINGS, GpuPrice, gpu_prices
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


@pytest.mark.parametrize("price", gpu_prices(), ids=lambda p: f"{p.snapshot}-{p.gpu}-{p.pricing}-{p.place}")
def test_every_catalogue_price_bills_whole_machines_for_the_hours_of_its_kind(price: GpuPrice) -> None:
    where = (price.snapshot, price.provider, price.region, price.checked, price.zone)
    unit = price.instance_gpus or 1
    bill = monthly_cost(price.gpu, unit, price.pricing, 10, 20, *where, gpus_per_replica=unit)
    hours = 720 if price.pricing in COMMITMENTS else 200
    assert bill.usd == pytest.approx(hours * unit * price.usd_per_hour, rel=1e-9)
    assert (bill.paid_gpus, bill.unused_gpus_usd) == (unit, 0.0)


# What a reservation of eight hours a day costs: 0.63 USD for each of 720 hours, and not for the 240 that are used.
def test_a_reservation_is_paid_for_every_hour_of_the_month() -> None:
    on_demand, reserved = (monthly_cost("A10G", 1, way, hours_per_day=8) for way in ("on_demand", "reserved_1y"))
    assert (on_demand.usd, reserved.usd) == (242.40, 453.60)
    assert saving_fraction(on_demand.usd, reserved.usd) == pytest.approx(-0.87, abs=0.005)
    assert (reserved.gpu_hours, reserved.used_gpu_hours) == (720, 240)
    assert reserved.unused_hours_usd == reserved.unused_usd == pytest.approx(302.40)
    assert reserved.utilization_fraction == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("days", "paid"), [(22, 30), (28, 30), (30, 30), (730 / 24, 730 / 24), (31, 31)], ids=lambda days: f"{days:g}"
)
def test_a_reserved_month_has_thirty_days_at_least(days: float, paid: float) -> None:
    assert monthly_cost("A10G", pricing="reserved_3y", hours_per_day=1, days_per_month=days).gpu_hours == (
        pytest.approx(24 * paid)
    )


# AWS rents p4d.24xlarge (8 A100) at 21.957642 and p6-b200.48xlarge (8 B200) at 113.9328 USD an hour; none is smaller.
@pytest.mark.parametrize(
    ("gpu", "gpus", "usd", "paid"),
    [("A100 40GB", 1, 15_810, 8), ("B200", 1, 82_032, 8), ("A100 40GB", 8, 15_810, 8), ("A100 40GB", 9, 31_619, 16)],
)
def test_a_machine_is_sold_whole(gpu: str, gpus: int, usd: float, paid: int) -> None:
    bill = monthly_cost(gpu, gpus, snapshot="list", provider="aws")
    assert bill.usd == pytest.approx(usd, abs=0.5)
    assert bill.paid_gpus == paid
    assert bill.unused_gpus_usd == pytest.approx(bill.usd * (paid - gpus) / paid)
    assert bill.unused_hours_usd == 0


def test_google_sells_the_same_gpu_one_by_one() -> None:
    bill = monthly_cost("A100 40GB", 3, snapshot="list", provider="gcp")
    assert bill.usd == pytest.approx(3 * 720 * 3.673385)
    assert bill.machines == (Machines(MachineSize(1, 3.673385, "a2-highgpu-1g"), 3),)


def test_where_no_machine_is_named_that_is_told_by_its_lack_of_a_name() -> None:
    (rented,) = monthly_cost("H100", 3).machines
    assert rented.size.name == ""
    assert monthly_cost("H100", 3, gpus_per_replica=2).paid_gpus == 4


@given(st.integers(1, 40), st.floats(0.1, 24), st.floats(1, 31), st.sampled_from(["on_demand", "reserved_1y"]))
def test_what_is_used_and_what_is_not_make_up_the_bill(gpus: int, hours: float, days: float, pricing: str) -> None:
    bill = monthly_cost("A10G", gpus, pricing, hours, days, "list", "aws", gpus_per_replica=3)
    used = bill.usd - bill.unused_usd
    assert used / bill.usd == pytest.approx(bill.utilization_fraction)
    assert min(bill.unused_gpus_usd, bill.unused_hours_usd) >= 0


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
        ({"gpus_per_replica": 0}, "gpus_per_replica must be a whole number >= 1, got 0"),
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


@given(demand_profiles, price, price, st.integers(1, 16))
def test_whole_machines_never_cost_less(demand: list[float], on_demand: float, committed: float, unit: int) -> None:
    best = best_commitment(demand, on_demand, committed, gpus_per_machine=unit)
    single = best_commitment(demand, on_demand, committed)
    assert best.gpus % unit == 0
    assert best.usd >= single.usd * (1 - 1e-9)
    assert best.on_demand_usd >= single.on_demand_usd * (1 - 1e-9)
    for level in range(0, int(max(demand)) + 2 * unit, unit):
        assert best.usd <= best_commitment(demand, on_demand, committed, level, unit).usd * (1 + 1e-9)


def test_a_level_between_two_machines_pays_the_larger() -> None:
    level = best_commitment([4] * 14 + [10] * 10, 1.01, 0.63, gpus=5, gpus_per_machine=8)
    assert level.gpus == 8
    assert level.usd == pytest.approx(0.63 * 8 * 24 + 1.01 * 8 * 10)  # ten GPUs by day take a second machine
    half_an_hour = best_commitment([0.5], 1.0, 1.0, gpus=0, gpus_per_machine=8)
    assert half_an_hour.usd == 4.0


# For half of the hour 8 GPUs in one machine of eight, for the other half 9 in two: on average 1.5 machines, 12 GPUs.
@pytest.mark.parametrize(
    ("wanted", "unit", "paid"),
    [(8.5, 8, 12.0), (16.25, 8, 18.0), (8.0, 8, 8.0), (0.25, 4, 1.0), (3.75, 2, 4.0), (2.5, 1, 2.5), (0.0, 8, 0.0)],
)
def test_a_fraction_of_a_gpu_takes_a_whole_machine_for_that_part_of_the_hour(
    wanted: float, unit: int, paid: float
) -> None:
    assert best_commitment([wanted], 1.0, 10.0, gpus_per_machine=unit).on_demand_usd == pytest.approx(paid)


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


def test_level_and_machine_are_whole_numbers() -> None:
    with pytest.raises(InvalidValueError, match="gpus_per_machine must be a whole number >= 1, got 0"):
        best_commitment([1], 1.0, 0.5, gpus_per_machine=0)
    with pytest.raises(InvalidValueError, match="gpus must be a whole number >= 0, got -1"):
        best_commitment([1], 1.0, 0.5, gpus=-1)


def test_a_commitment_at_a_discount_covers_more_than_its_face_value() -> None:
    # 7 USD at 30 % off buy what costs 10 on demand.
    assert commitment_bill(10.0, 0.30, 7.0) == CommitmentBill(10.0, 0.0, 0.0, 7.0)
    assert commitment_bill(4.0, 0.5, 0.0) == CommitmentBill(0.0, 0.0, 4.0, 4.0)


def test_prices_of_both_kinds_are_needed_for_a_break_even() -> None:
    with pytest.raises(InvalidValueError, match="on_demand_usd_per_hour must be a number > 0, got 0"):
        commitment_break_even(0, 1)
    with pytest.raises(InvalidValueError, match="committed_usd_per_hour must be a number > 0, got 0"):
        commitment_break_even(1, 0)


def test_no_bill_is_negative() -> None:
    with pytest.raises(InvalidValueError, match="usd must be a number >= 0, got -1"):
        saving_fraction(10, -1)
    with pytest.raises(InvalidValueError, match="gpu_usd must be a number >= 0, got -1"):
        cost_per_request(-1, 100, 10)
    with pytest.raises(InvalidValueError, match="usd_per_hour must be a number > 0, got 0"):
        usd_per_useful_hour(0, 0.5)


def test_commitment_bill_domain() -> None:
    with pytest.raises(InvalidValueError, match="demand_usd_per_hour must be a number >= 0, got -1"):
        commitment_bill(-1.0, 0.3, 1.0)
    with pytest.raises(InvalidValueError, match="commitment_usd_per_hour must be a number >= 0, got -1"):
        commitment_bill(1.0, 0.3, -1.0)
    with pytest.raises(InvalidValueError, match="discount_fraction must be a fraction >= 0 and < 1, got 1"):
        commitment_bill(1.0, 1, 1.0)
    with pytest.raises(InvalidValueError, match="discount_fraction must be a fraction >= 0 and < 1, got 30"):
        commitment_bill(1.0, 30, 1.0)
