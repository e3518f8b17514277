import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from costlab.build_vs_buy import break_even, break_even_requests_per_day, cost_curve, monthly_saving_usd, payback
from costlab.errors import InvalidValueError

API = st.floats(1e-6, 0.1)
HOUR = st.floats(0.1, 100)
RATE = st.floats(0.01, 1000)
FIXED = st.floats(0, 100_000)
DAYS = 730 / 24


def bill(api: float, hourly: float, rate: float, fixed: float, volume: float) -> tuple[float, float]:
    """Both bills at a volume, computed the long way."""
    replicas = max(1, math.ceil(volume / 86400 / rate * (1 - 1e-12)))
    return api * volume * DAYS, replicas * hourly * 730 + fixed


def test_one_replica_by_hand() -> None:
    # 1.01 x 730 = 737.30 a month, over 0.003 a request, in 730 / 24 days.
    even = break_even(0.003, 1.01, 2)
    assert math.isclose(even.requests_per_day, 737.30 / 0.003 / DAYS)
    assert math.isclose(even.utilization_fraction, even.requests_per_day / (2 * 86400))
    assert even.replicas == 1


def test_fixed_costs_are_spread_over_as_many_replicas_as_they_need() -> None:
    # A full replica saves 0.001 x 86,400 x 730/24 - 730 = 1,898 a month; 10,000 of fixed costs take six of them.
    even = break_even(0.001, 1, 1, fixed_usd_per_month=10_000)
    assert even.replicas == 6
    assert math.isclose(even.requests_per_day, (6 * 730 + 10_000) / 0.001 / DAYS)
    assert even.utilization_fraction < 1


def test_no_volume_pays_when_a_full_replica_costs_more_than_it_saves() -> None:
    never = break_even(0.0001, 1, 1)
    assert not never.reachable
    assert never.requests_per_day == math.inf
    assert math.isclose(never.utilization_fraction, 1 / 3600 / 0.0001)  # 278 % busy
    assert never.saving_at_capacity_fraction < 0
    assert break_even(0.001, 1, 1, marginal_usd_per_request=0.002).utilization_fraction == math.inf


def test_a_break_even_of_machines_with_spare_replicas_by_hand() -> None:
    # Two replicas a machine, one spare: one serves. 2 x 3.60 x 730 = 5,256 a month over 0.003 - 0.001 a request.
    even = break_even(0.003, 3.6, 2, 0, 0.001, replicas_per_machine=2, spare_replicas=1)
    assert (even.replicas, even.machines) == (1, 1)
    assert math.isclose(even.requests_per_day, 5256 / 0.002 / DAYS)
    assert math.isclose(even.utilization_fraction, 5256 / 0.002 / (2 * 3600 * 730))
    # Full, the two cost 0.001 a request, which one of them serves; and 0.001 on top.
    assert math.isclose(even.saving_at_capacity_fraction, 1 - 0.002 / 0.003)
    # 1,314 of fixed costs a month are 0.00025 for each of the 5,256,000 requests.
    fixed = break_even(0.003, 3.6, 2, 1314, 0.001, replicas_per_machine=2, spare_replicas=1)
    assert math.isclose(fixed.saving_at_capacity_fraction, 1 - 0.00225 / 0.003)


def test_a_contract_that_is_saved_pays_for_one_machine_and_no_further() -> None:
    """A full replica saves 1,000 a month; machines of two cost 3,000, and one of their replicas is spare."""
    rate, hour = 1000 / 0.001 / 3600 / 730, 1500 / 730
    how = {"replicas_per_machine": 2, "spare_replicas": 1}
    assert not break_even(0.001, hour, rate, api_fixed_usd_per_month=1500, **how).reachable
    even = break_even(0.001, hour, rate, api_fixed_usd_per_month=2500, **how)
    assert (even.machines, even.replicas) == (1, 1)
    assert math.isclose(even.requests_per_day, 500 / 0.001 / DAYS)


def test_a_gain_of_half_a_dollar_a_month_pays_in_the_end() -> None:
    # A full replica saves 730.50 of 730.00: two of them bring in the dollar of fixed costs.
    even = break_even(0.001, 1.0, 730.5 / 0.001 / 3600 / 730, fixed_usd_per_month=0.99)
    assert (even.reachable, even.replicas) == (True, 2)


@pytest.mark.parametrize("marginal", [0.003, 0.004])
def test_where_the_contract_pays_for_the_machine_the_first_request_does(marginal: float) -> None:
    """Though each request costs as much or more at home: the curve says up to where."""
    even = break_even(0.003, 1.01, 2, 0, marginal, api_fixed_usd_per_month=5_000)
    assert (even.reachable, even.requests_per_day, even.utilization_fraction, even.machines) == (True, 0, 0, 1)
    assert cost_curve(0.003, 1.01, 2, [1e6], 0, marginal, api_fixed_usd_per_month=5_000).self_hosting_wins[0].low == 0
    assert not break_even(0.003, 1.01, 2, 0, marginal, api_fixed_usd_per_month=700).reachable  # of 737.30


def test_where_nothing_pays_the_fewest_machines_are_told() -> None:
    never = break_even(0.0001, 1, 1, replicas_per_machine=2, spare_replicas=3)
    assert (never.reachable, never.machines, never.replicas) == (False, 2, 1)
    endless = break_even(0.003, 1.01, 2, fixed_usd_per_month=1e300)  # would pay, on more replicas than there are
    assert not endless.reachable
    assert endless.utilization_fraction > 1


@given(API, HOUR, RATE, FIXED)
def test_the_bills_are_equal_there_and_the_api_is_cheaper_below(
    api: float, hourly: float, rate: float, fixed: float
) -> None:
    even = break_even(api, hourly, rate, fixed)
    if not even.reachable:
        for volume in (rate * 86400, 10 * rate * 86400, 1e12):
            theirs, ours = bill(api, hourly, rate, fixed, volume)
            assert ours >= theirs * (1 - 1e-9)
        return
    theirs, ours = bill(api, hourly, rate, fixed, even.requests_per_day)
    assert math.isclose(theirs, ours, rel_tol=1e-6)
    for share in (0.1, 0.5, 0.9, 0.999):
        theirs, ours = bill(api, hourly, rate, fixed, share * even.requests_per_day)
        assert ours > theirs * (1 - 1e-9)
    assert even.saving_at_capacity_fraction >= -1e-9


@given(API, API, HOUR, RATE, FIXED)
def test_a_more_expensive_api_never_raises_the_break_even(
    a: float, b: float, hourly: float, rate: float, fixed: float
) -> None:
    cheap, expensive = sorted((a, b))
    lower = break_even(expensive, hourly, rate, fixed).requests_per_day
    assert lower <= break_even(cheap, hourly, rate, fixed).requests_per_day * (1 + 1e-9)


@given(API, HOUR, RATE, RATE, FIXED)
def test_a_faster_replica_never_raises_the_break_even(
    api: float, hourly: float, a: float, b: float, fixed: float
) -> None:
    slow, fast = sorted((a, b))
    lower = break_even(api, hourly, fast, fixed).requests_per_day
    assert lower <= break_even(api, hourly, slow, fixed).requests_per_day * (1 + 1e-9)


@given(API, HOUR, RATE, FIXED, st.floats(1, 5), st.integers(0, 2), st.sampled_from([1, 1, 4]))
def test_intervals_are_where_self_hosting_costs_no_more(
    api: float, hourly: float, rate: float, fixed: float, peak: float, spare: int, room: int
) -> None:
    largest = 20 * rate * 86400
    volumes = [largest * i / 200 for i in range(201)]
    curve = cost_curve(
        api, hourly, rate, volumes, fixed, peak_to_mean=peak, spare_replicas=spare, replicas_per_machine=room
    )
    assert curve.points[0].api_usd_per_month == 0
    assert curve.points[0].self_hosted_usd_per_month > 0  # without traffic the API wins
    for point in curve.points:
        volume = point.requests_per_day
        wins = point.self_hosted_usd_per_month <= point.api_usd_per_month
        inside = any(one.low <= volume <= one.high for one in curve.self_hosting_wins)
        close = any(
            math.isclose(volume, end, rel_tol=1e-6) for one in curve.self_hosting_wins for end in (one.low, one.high)
        )
        assert (
            wins == inside
            or close
            or math.isclose(point.self_hosted_usd_per_month, point.api_usd_per_month, rel_tol=1e-9)
        )


def test_each_replica_takes_the_load_that_it_may() -> None:
    # 10 USD an hour against half a cent: k replicas pay from 48,000 k a day on. Loaded to 90 % each takes 77,760.
    loaded, peaked = (
        cost_curve(0.005, 10, 1, [100_000], **how)  # type: ignore[arg-type]
        for how in ({"max_utilization_fraction": 0.9}, {"peak_to_mean": 1 / 0.9})
    )
    assert loaded == peaked
    ends = [end for span in loaded.self_hosting_wins for end in (span.low, span.high)]
    assert ends == pytest.approx([48_000, 77_760, 96_000, 100_000])
    (point,) = loaded.points
    assert point.replicas == 2
    assert point.api_usd_per_month == pytest.approx(100_000 * 0.005 * DAYS)
    assert point.self_hosted_usd_per_month == pytest.approx(2 * 10 * 730)
    assert cost_curve(0.005, 10, 1, [100_000], peak_to_mean=2).self_hosting_wins == ()


def test_a_small_api_with_a_dear_contract_is_beaten_at_small_volumes_alone() -> None:
    """Where a request costs more at home, what is left of the contract is used up by 4,262.70 / 0.001 of them."""
    curve = cost_curve(0.003, 1.01, 2, [1e6], 0, 0.004, api_fixed_usd_per_month=5_000)
    (span,) = curve.self_hosting_wins
    assert (span.low, span.high) == pytest.approx((0, 4262.70 / 0.001 / DAYS))
    # At the same price of a request it is used up by six replicas, and the seventh is too dear.
    (span,) = cost_curve(0.003, 1.01, 2, [2e6], 0, 0.003, api_fixed_usd_per_month=5_000).self_hosting_wins
    assert (span.low, span.high) == pytest.approx((0, 6 * 172_800))


@given(API, API, HOUR, RATE, FIXED, FIXED)
def test_intervals_hold_whichever_side_has_the_dearer_request(
    api: float, marginal: float, hourly: float, rate: float, fixed: float, api_fixed: float
) -> None:
    volumes = [4 * rate * 86400 * i / 40 for i in range(41)]
    curve = cost_curve(api, hourly, rate, volumes, fixed, marginal, api_fixed_usd_per_month=api_fixed)
    for point in curve.points:
        theirs, ours, volume = point.api_usd_per_month, point.self_hosted_usd_per_month, point.requests_per_day
        ends = [end for one in curve.self_hosting_wins for end in (one.low, one.high)]
        if not math.isclose(theirs, ours, rel_tol=1e-6) and not any(math.isclose(volume, end) for end in ends):
            assert any(one.low < volume < one.high for one in curve.self_hosting_wins) == (ours < theirs)


def test_what_is_saved_without_any_traffic_is_the_replica_less() -> None:
    assert monthly_saving_usd(0, 0.003, 1.01, 2, 100, spare_replicas=1, api_fixed_usd_per_month=40) == (
        pytest.approx(40 - 100 - 2 * 1.01 * 730)
    )


@given(API, HOUR, RATE, FIXED, st.integers(1, 8), st.integers(0, 10))
def test_whole_machines_cross_where_the_bills_say(
    api: float, hourly: float, rate: float, fixed: float, room: int, spare: int
) -> None:
    even = break_even(api, hourly, rate, fixed, replicas_per_machine=room, spare_replicas=spare)
    assert even.replicas == even.machines * room - spare

    def bills(volume: float) -> tuple[float, float]:
        (point,) = cost_curve(
            api, hourly, rate, [volume], fixed, spare_replicas=spare, replicas_per_machine=room
        ).points
        return point.api_usd_per_month, point.self_hosted_usd_per_month

    if not even.reachable:
        # Not even when the replicas of any number of machines are full.
        for machines in range(even.machines, even.machines + 4):
            theirs, ours = bills((machines * room - spare) * rate * 86400 * (1 - 1e-9))
            assert ours > theirs * (1 - 1e-6)
        return
    assume(even.machines < 1000)
    theirs, ours = bills(even.requests_per_day * (1 - 1e-9))
    assert math.isclose(theirs, ours, rel_tol=1e-6)
    for share in (0.1, 0.5, 0.9, 0.999):
        theirs, ours = bills(share * even.requests_per_day)
        assert ours > theirs * (1 - 1e-9)


def test_spare_replicas_stand_in_room_that_is_paid_anyway() -> None:
    plain = break_even(0.003, 1.01, 2, replicas_per_machine=8)
    spare = break_even(0.003, 1.01, 2, replicas_per_machine=8, spare_replicas=1)
    assert (spare.requests_per_day, spare.replicas) == (plain.requests_per_day, 7)
    # Where machines hold one replica each, a spare one is a fixed cost.
    alone = break_even(0.003, 1.01, 2, spare_replicas=1)
    assert math.isclose(alone.requests_per_day, break_even(0.003, 1.01, 2, 1.01 * 730).requests_per_day)


def test_the_first_interval_begins_at_the_break_even() -> None:
    curve = cost_curve(0.003, 1.01, 2, [1e6], fixed_usd_per_month=2000)
    assert math.isclose(curve.self_hosting_wins[0].low, break_even(0.003, 1.01, 2, 2000).requests_per_day)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "api_usd_per_request must be a number > 0, got 0"),
        ((1, -1, 1), "replica_usd_per_hour must be a number > 0, got -1"),
        ((1, 1, 0), "capacity_requests_per_s must be a number > 0, got 0"),
        ((1, 1, math.nan), "capacity_requests_per_s must be a number > 0, got nan"),
        ((1, 1, 1, -5), "fixed_usd_per_month must be a number >= 0, got -5"),
        ((1, 1, 1, 0, math.inf), "marginal_usd_per_request must be a number >= 0, got inf"),
        (("1", 1, 1), "api_usd_per_request must be a number > 0, got '1'"),
    ],
)
def test_bad_input_is_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        break_even(*arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_curves_need_volumes_that_some_fleet_can_serve() -> None:
    with pytest.raises(InvalidValueError, match="requests_per_day must be at least one volume"):
        cost_curve(1, 1, 1, [])
    with pytest.raises(InvalidValueError, match="requests_per_day must be volumes that 100000 replicas can serve"):
        cost_curve(1, 1, 1, [1e12])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"api_usd_per_request": 0}, "api_usd_per_request must be a number > 0, got 0"),
        ({"replica_usd_per_hour": 0}, "replica_usd_per_hour must be a number > 0, got 0"),
        ({"capacity_requests_per_s": 0}, "capacity_requests_per_s must be a number > 0, got 0"),
        ({"fixed_usd_per_month": -1}, "fixed_usd_per_month must be a number >= 0, got -1"),
        ({"marginal_usd_per_request": -1}, "marginal_usd_per_request must be a number >= 0, got -1"),
        ({"api_fixed_usd_per_month": -1}, "api_fixed_usd_per_month must be a number >= 0, got -1"),
        ({"replicas_per_machine": 0}, "replicas_per_machine must be a whole number >= 1, got 0"),
        ({"spare_replicas": -1}, "spare_replicas must be a whole number >= 0, got -1"),
    ],
)
def test_break_even_and_curve_refuse_the_same(change: dict[str, float], message: str) -> None:
    good: dict[str, float] = {"api_usd_per_request": 1, "replica_usd_per_hour": 1, "capacity_requests_per_s": 1}
    with pytest.raises(InvalidValueError, match=message):
        break_even(**{**good, **change})  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=message):
        cost_curve(**{**good, **change}, requests_per_day=[1])  # type: ignore[arg-type]


def test_the_largest_curve_is_drawn() -> None:
    full = 100_000 * 86_400.0
    assert cost_curve(1, 1, 1, [full]).self_hosting_wins[0].high == full


def test_absurd_but_valid_numbers_are_answered() -> None:
    assert break_even(1e-300, 1e300, 1e-300).reachable is False
    assert break_even(1e300, 1e-300, 1e300).reachable is True
    for absurd in (
        break_even(0.003, 1, 1e305),
        break_even(0.003, 1, 1e305, 0, 0.003),
        break_even(1e-300, 1e300, 1e-300),
    ):
        assert not any(math.isnan(value) for value in astuple(absurd))


def test_a_replica_that_is_just_worth_it_when_full_is_reachable() -> None:
    even = break_even(0.0005, 1.8, 1)  # 3,600 requests an hour save exactly 1.80
    assert even.reachable
    assert math.isclose(even.requests_per_day, 86_400)
    assert math.isclose(even.utilization_fraction, 1.0)


def test_what_the_api_costs_anyway_counts_for_self_hosting() -> None:
    assert break_even(0.003, 1.01, 2, 2_000, api_fixed_usd_per_month=2_000) == break_even(0.003, 1.01, 2)
    free = break_even(0.003, 1.01, 2, api_fixed_usd_per_month=5_000)
    assert free.reachable
    assert free.requests_per_day == 0
    (point,) = cost_curve(0.003, 1.01, 2, [0], api_fixed_usd_per_month=5_000).points
    assert point.api_usd_per_month == 5_000
    assert cost_curve(0.003, 1.01, 2, [1e5], api_fixed_usd_per_month=5_000).self_hosting_wins[0].low == 0
    assert break_even(0.003, 1.01, 2, fixed_usd_per_month=1e300).requests_per_day == math.inf


@given(
    st.floats(1e-6, 0.1), st.floats(0.1, 100), st.floats(0.01, 1000), st.floats(0, 1e5), st.floats(0, 0.05),
    st.sampled_from([1, 1, 8]),
)  # fmt: skip
def test_break_even_on_arrays_agrees(
    api: float, hour: float, rate: float, fixed: float, marginal: float, room: int
) -> None:
    scalar = break_even(api, hour, rate, fixed, marginal, 0.0, room, room - 1).requests_per_day
    (found,) = break_even_requests_per_day(np.array([api]), hour, rate, fixed, marginal, 0.0, room, room - 1)
    assert break_even_requests_per_day(api, hour, rate, fixed, marginal, 0.0, room, room - 1) == scalar
    if scalar < 1e12:  # beyond, one rounding error is a replica
        assert math.isclose(found, scalar, rel_tol=1e-9)
    else:
        assert found > 1e11


ROOM = st.sampled_from([1, 1, 2, 8])


@given(st.floats(0, 1e6), st.floats(1e-5, 0.1), st.floats(0.1, 50), st.floats(0.1, 50), st.floats(1, 6), ROOM)
def test_saving_on_arrays_agrees(volume: float, api: float, hour: float, rate: float, peak: float, room: int) -> None:
    (point,) = cost_curve(
        api, hour, rate, [volume], 500, 0.0, peak, max_utilization_fraction=0.8, spare_replicas=1,
        replicas_per_machine=room,
    ).points  # fmt: skip
    (found,) = monthly_saving_usd(np.array([volume]), api, hour, rate, 500, peak, 0.8, 1, 0.0, room)
    alone = monthly_saving_usd(volume, api, hour, rate, 500, peak, 0.8, 1, 0.0, room)
    assert math.isclose(alone, found, rel_tol=1e-12, abs_tol=1e-6)
    assert math.isclose(found, point.api_usd_per_month - point.self_hosted_usd_per_month, rel_tol=1e-9, abs_tol=1e-6)


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


def test_money_that_halves_every_year_by_hand() -> None:
    """Of 1,000 a month in the second year, a dollar is worth between 1/2 and 1/4: 1,000 x (1/2 - 1/4) x 12 / ln 2."""
    worth = 1000 * 0.25 * 12 / math.log(2)
    back = payback(worth, 1000, 24, 1.0, delay_months=12)
    assert back.months == pytest.approx(24)
    assert back.net_usd == pytest.approx(0, abs=1e-9)
    assert payback(0, 1000, 24, 1.0, delay_months=12).net_usd == pytest.approx(worth)
    assert payback(100, 1000, horizon_months=6, delay_months=12).net_usd == -100  # nothing is saved within the horizon


def test_what_eternity_is_just_worth_takes_for_ever() -> None:
    rate = math.log(2) / 12
    assert payback(1.0, rate, discount_per_year_fraction=1.0).months == math.inf
    assert payback(1.0, 1.01 * rate, discount_per_year_fraction=1.0).months < 100


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
    discounted_more = payback(upfront, saving, horizon, high, delay)
    assert discounted_more.net_usd <= payback(upfront, saving, horizon, low, delay).net_usd + 1e-6


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
def test_bad_input_of_a_payback_is_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        payback(*arguments)
    assert message in str(caught.value)
