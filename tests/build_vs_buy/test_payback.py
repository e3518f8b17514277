import math

import pytest
from hypothesis import given, strategies as st

from costlab.build_vs_buy import payback
from costlab.errors import InvalidValueError


def test_without_interest_it_is_a_division() -> None:
    back = payback(50_000, 2_000)
    assert back.months == 25
    assert back.net_usd == 36 * 2_000 - 50_000


def test_a_delay_comes_on_top() -> None:
    back = payback(50_000, 2_000, delay_months=4)
    assert back.months == 29
    assert back.net_usd == 32 * 2_000 - 50_000


def test_money_at_ten_per_cent_a_year_summed_month_by_month() -> None:
    """The integral against a sum over tenths of a month."""
    back = payback(50_000, 2_000, horizon_months=60, discount_per_year_fraction=0.1)
    steps = [i / 10 + 0.05 for i in range(600)]
    worth = sum(200 * 1.1 ** (-month / 12) for month in steps)
    assert math.isclose(back.net_usd, worth - 50_000, rel_tol=1e-4)
    paid = sum(200 * 1.1 ** (-month / 12) for month in steps if month < back.months)
    assert math.isclose(paid, 50_000, rel_tol=5e-3)


def test_a_loss_never_pays_back_and_interest_can_prevent_it() -> None:
    assert payback(1, 0).months == math.inf
    assert payback(1, -5).months == math.inf
    assert payback(1000, 1, discount_per_year_fraction=0.5).months == math.inf
    assert payback(0, -5).months == 0
    assert payback(1, 1, 36, 0.1, 1e6).months == math.inf


@given(
    st.just(0.0) | st.floats(1, 1e6),
    st.floats(1, 1e5),
    st.floats(1, 120),
    st.floats(0, 0.5),
    st.floats(0, 12),
    st.floats(0, 0.5),
)
def test_paid_back_within_the_horizon_means_a_net_gain(
    upfront: float, saving: float, horizon: float, rate: float, delay: float, other: float
) -> None:
    back = payback(upfront, saving, horizon, rate, delay)
    if not math.isclose(back.months, horizon, rel_tol=1e-6):
        assert (back.months < horizon) == (back.net_usd > -1e-6)
    low, high = sorted((rate, other))
    dearer = payback(upfront, saving, horizon, high, delay)
    assert dearer.net_usd <= payback(upfront, saving, horizon, low, delay).net_usd + 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1), "upfront_usd must be a number >= 0, got -1"),
        ((1, math.nan), "monthly_saving_usd must be a finite number, got nan"),
        ((1, 1, 0), "horizon_months must be a number > 0, got 0"),
        ((1, 1, 12, 10), "discount_per_year_fraction must be a fraction >= 0 and <= 1, got 10"),
        ((1, 1, 12, 0, -1), "delay_months must be a number >= 0, got -1"),
    ],
)
def test_bad_input_is_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        payback(*arguments)
    assert message in str(caught.value)
