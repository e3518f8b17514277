import pytest
from hypothesis import given, strategies as st

from costlab.calculator import best_commitment, commitment_bill, commitment_break_even, monthly_cost
from costlab.errors import InvalidValueError

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
    dear, cheap = max(a, b), min(a, b)
    assert best_commitment(demand, on_demand, cheap * on_demand).gpus >= (
        best_commitment(demand, on_demand, dear * on_demand).gpus
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
