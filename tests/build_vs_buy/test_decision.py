import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from costlab.build_vs_buy import ApiOption, Constraints, SelfHostOption, option_cost, recommend
from costlab.errors import InvalidValueError
from costlab.workload import Workload

API = ApiOption("API", 0.003)
OWN = SelfHostOption("own", 1.01, 2.0, upfront_usd=50_000, fixed_usd_per_month=3_000)


def chat(requests: float, peak: float = 1.0) -> Workload:
    return Workload(requests, 400, 200, peak_to_mean=peak)


@pytest.mark.parametrize(
    ("requests", "choice"), [(0, "api"), (1_000, "api"), (55_000, "either"), (200_000, "self-host")]
)
def test_volume_decides(requests: float, choice: str) -> None:
    assert recommend(chat(requests), [API, OWN]).choice == choice


def test_costs_by_hand() -> None:
    cost = option_cost(chat(100_000, 3), OWN)
    # 100,000 a day are 3.47 a second at the peak; loaded to 80 % a replica takes 1.6: three replicas.
    assert cost.replicas == 3
    assert math.isclose(cost.running_usd_per_month, 3 * 1.01 * 730 + 3_000)
    assert math.isclose(cost.all_in_usd_per_month, cost.running_usd_per_month + 50_000 / 36)
    assert math.isclose(cost.usd_per_request * 100_000 * 730 / 24, cost.all_in_usd_per_month)


def test_machines_are_rented_whole() -> None:
    by_eight = replace(OWN, gpus_per_machine=8)
    cost = option_cost(chat(100_000, 3), by_eight)
    assert cost.replicas == 3
    assert math.isclose(cost.running_usd_per_month, 8 * 1.01 * 730 + 3_000)
    assert math.isclose(cost.unused_usd_per_month, 5 * 1.01 * 730)
    # Of eight GPUs two replicas of three leave two empty, and a third replica takes a second machine.
    of_three = replace(OWN, replica_usd_per_hour=3.03, gpus_per_replica=3, gpus_per_machine=8)
    assert of_three.replicas_per_machine == 2
    assert math.isclose(option_cost(chat(100_000, 3), of_three).running_usd_per_month, 16 * 1.01 * 730 + 3_000)
    assert math.isclose(option_cost(chat(100_000, 3), of_three).unused_usd_per_month, 7 * 1.01 * 730)
    # A replica of sixteen takes two machines of eight.
    of_sixteen = replace(OWN, replica_usd_per_hour=16.16, gpus_per_replica=16, gpus_per_machine=8)
    assert (of_sixteen.replicas_per_machine, of_sixteen.place_usd_per_hour) == (1, 16.16)


@given(st.floats(1e3, 1e6), st.floats(1, 5), st.integers(0, 2), st.sampled_from([1, 2, 4, 8]))
def test_the_best_pair_fills_its_machines(requests: float, peak: float, spare: int, room: int) -> None:
    own = SelfHostOption("own", 2.0, 1.0, spare_replicas=spare, gpus_per_machine=room)
    work = chat(requests, peak)
    pairs = [cost for cost in recommend(work, [API, own]).options if cost.kind == "hybrid"]
    full = option_cost(work, own).replicas - spare
    day, load = work.hourly_requests_per_s(), 0.8

    def bill(replicas: int) -> float:
        served = sum(min(rate, replicas * load) for rate in day) / sum(day)
        machines = -(-(replicas + spare) // room)
        return machines * room * 2.0 * 730 + (1 - served) * 0.003 * work.requests_per_month

    bills = [bill(replicas) for replicas in range(1, full)]
    assert len(pairs) == bool(bills)
    if bills:
        assert math.isclose(pairs[0].running_usd_per_month, min(bills), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("limits", "choice", "reason"),
    [
        (Constraints(data_must_stay=True), "self-host", "API is out: requests would reach a third party"),
        (Constraints(needs_customization=True), "self-host", "API is out: only the API's parameters can be changed"),
        (Constraints(has_ml_team=False), "api", "own is out: there is no team to run model servers"),
        (Constraints(max_upfront_usd=10_000), "api", "own is out: it takes 50,000 USD upfront, of 10,000 allowed"),
        (Constraints(data_must_stay=True, has_ml_team=False), "none", "nothing meets the constraints"),
    ],
)
def test_constraints_decide_before_money(limits: Constraints, choice: str, reason: str) -> None:
    found = recommend(chat(50_000), [API, OWN], limits)
    assert found.choice == choice
    assert reason in found.reasons


def test_what_pays_but_is_not_ready_in_time_comes_later() -> None:
    found = recommend(chat(500_000), [API, OWN], Constraints(deadline_weeks=6))
    assert found.choice == "hybrid"
    assert "begin with API, move when own is ready" in found.reasons
    # Where it would not pay anyway, the deadline changes nothing.
    assert recommend(chat(5_000), [API, OWN], Constraints(deadline_weeks=6)).choice == "api"


def test_a_sharp_peak_is_cheaper_at_the_api() -> None:
    """Replicas for the base, the API for a peak of three times the mean: cheaper than either alone."""
    cheap_base = SelfHostOption("own", 8.0, 4.0, fixed_usd_per_month=100)
    found = recommend(chat(1_000_000, 3), [ApiOption("API", 0.0016), cheap_base])
    assert found.choice == "hybrid"
    kinds = {cost.kind: cost for cost in found.options}
    assert kinds["hybrid"].all_in_usd_per_month * 1.1 < kinds["api"].all_in_usd_per_month
    assert kinds["hybrid"].all_in_usd_per_month * 1.1 < kinds["self-host"].all_in_usd_per_month
    assert "% of the requests, API for the rest" in kinds["hybrid"].name


def test_even_traffic_can_be_shared_too() -> None:
    """One full replica, and the API for the rest, where a second replica would be nearly empty."""
    own = SelfHostOption("own", 10, 1, max_utilization_fraction=1.0)
    costs = [recommend(chat(90_000, peak), [ApiOption("API", 0.005), own]) for peak in (1.0, 1.0001)]
    assert [found.choice for found in costs] == ["hybrid", "hybrid"]
    assert math.isclose(costs[0].options[0].running_usd_per_month, 7300 + 3600 * 0.005 * 730 / 24, rel_tol=1e-6)


def test_a_large_fleet_is_priced_at_once() -> None:
    """A billion replicas and a shape of 24 hours: the best share is found without trying each."""
    own = SelfHostOption("own", 1.0, 2.0)
    assert recommend(chat(1e13, 2), [ApiOption("API", 0.003), own]).options


def test_a_late_option_is_weighed_against_all_that_are_ready() -> None:
    expensive = SelfHostOption("rented", 30.0, 2.0, weeks_to_production=2)
    found = recommend(chat(500_000), [API, OWN, expensive], Constraints(deadline_weeks=6))
    assert found.choice == "hybrid"
    assert "begin with API, move when own is ready" in found.reasons


def test_money_upfront_is_counted_for_both_parts_of_a_staged_move() -> None:
    start = ApiOption("API", 0.003, upfront_usd=30_000)
    later = SelfHostOption("own", 1.01, 2.0, upfront_usd=30_000)
    limits = Constraints(deadline_weeks=6, max_upfront_usd=40_000)
    assert recommend(chat(500_000), [start, later], limits).choice == "api"


def test_a_share_of_the_traffic_needs_servers_in_time_as_well() -> None:
    base = SelfHostOption("own", 8.0, 4.0, fixed_usd_per_month=100)
    found = recommend(chat(1_000_000, 3), [ApiOption("API", 0.0016), base], Constraints(deadline_weeks=6))
    (hybrid,) = [cost for cost in found.options if cost.kind == "hybrid"]
    assert hybrid.ruled_out == ("it takes 19.5 weeks and is wanted in 6",)


def test_both_need_what_each_needs() -> None:
    cheap_base = SelfHostOption("own", 8.0, 4.0, fixed_usd_per_month=100)
    found = recommend(chat(1_000_000, 3), [ApiOption("API", 0.0016), cheap_base], Constraints(data_must_stay=True))
    assert found.choice == "self-host"
    assert {cost.kind for cost in found.options if cost.ruled_out} == {"api", "hybrid"}


@given(
    st.floats(0, 1e7),
    st.floats(1, 12),
    st.floats(1e-5, 0.05),
    st.floats(0.1, 50),
    st.floats(0.05, 50),
    st.floats(0, 2e4),
    st.floats(0, 1e5),
)
def test_the_recommended_kind_is_within_the_tie_of_the_cheapest(
    requests: float, peak: float, api: float, hour: float, rate: float, fixed: float, upfront: float
) -> None:
    options: list[ApiOption | SelfHostOption] = [
        ApiOption("API", api),
        SelfHostOption("own", hour, rate, upfront, fixed),
    ]
    found = recommend(chat(requests, peak), options)
    cheapest = found.options[0].all_in_usd_per_month
    kinds = {cost.kind: cost.all_in_usd_per_month for cost in found.options}
    if found.choice == "either":
        low, high = sorted((kinds["api"], kinds["self-host"]))
        assert high <= low * 1.1 * (1 + 1e-9)
    else:
        assert kinds[found.choice] <= cheapest * 1.1 * (1 + 1e-9)
    assert found.reasons
    if requests == 0:
        assert found.choice == "api"


def test_options_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="options must be at least one, each name used once"):
        recommend(chat(1), [])
    with pytest.raises(InvalidValueError, match="each name used once"):
        recommend(chat(1), [API, API])
    with pytest.raises(InvalidValueError, match="usd_per_request must be a number >= 0, got -1"):
        ApiOption("x", -1)
    with pytest.raises(InvalidValueError, match="capacity_requests_per_s must be a number > 0, got 0"):
        SelfHostOption("x", 1, 0)
    with pytest.raises(InvalidValueError, match="tie_fraction must be a fraction >= 0 and <= 1, got 10"):
        Constraints(tie_fraction=10)
