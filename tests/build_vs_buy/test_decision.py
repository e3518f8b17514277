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


#: 100 USD a month against what a test wants: nothing but fixed costs.
FLAT = Workload(0, 400, 200)


def flat(name: str, usd: float, upfront: float = 0.0) -> ApiOption:
    return ApiOption(name, 0.0, upfront, usd)


def fleet(usd: float, upfront: float = 0.0, weeks: float = 1.0) -> SelfHostOption:
    """One replica, of next to nothing beside its fixed costs."""
    return SelfHostOption("own", 1e-12, 1.0, upfront, usd, weeks_to_production=weeks)


def test_what_differs_by_the_tie_is_equal_and_by_more_is_not() -> None:
    limits = Constraints(tie_fraction=0.5)
    assert recommend(FLAT, [flat("API", 100), fleet(149)], limits).choice == "either"
    assert recommend(FLAT, [flat("API", 150), fleet(100)], limits).choice == "either"
    assert recommend(FLAT, [flat("API", 100), fleet(151)], limits).choice == "api"
    assert recommend(FLAT, [flat("API", 151), fleet(100)], limits).choice == "self-host"


def test_a_tie_says_how_close_it_is_and_what_the_other_costs_more() -> None:
    found = recommend(FLAT, [flat("API", 1000), fleet(1040)])
    assert found.choice == "either"
    assert found.reasons == (
        "API costs 1,000 USD a month all in, own 1,040 USD a month: 4% more",
        "differences up to 10% decide nothing",
    )
    assert found.saving_usd_per_month == pytest.approx(40)
    free = recommend(FLAT, [flat("API", 0), fleet(0)], Constraints(tie_fraction=1.0))
    assert free.choice == "api"  # the replica costs next to nothing, and that is infinitely more


def test_the_dearer_kind_is_named_with_its_cost() -> None:
    found = recommend(FLAT, [fleet(1000), flat("API", 2000), flat("another", 3000)])
    assert found.choice == "self-host"
    assert found.reasons == ("own costs 1,000 USD a month all in; API 2,000 USD a month",)
    assert found.saving_usd_per_month == pytest.approx(1000)
    assert [cost.name for cost in found.options] == ["own", "API", "another"]
    alone = recommend(FLAT, [flat("API", 2000)])
    assert (alone.choice, alone.saving_usd_per_month) == ("api", 0)
    assert alone.reasons == ("API is the only kind left, at 2,000 USD a month all in",)


def test_limits_that_are_just_met_are_met() -> None:
    own = fleet(100, upfront=40_000, weeks=6)
    assert Constraints(max_upfront_usd=40_000, deadline_weeks=6).broken_by(own) == ()
    assert len(Constraints(max_upfront_usd=39_999, deadline_weeks=5.9).broken_by(own)) == 2
    assert len(Constraints(max_upfront_usd=39_999, deadline_weeks=5.9).broken_by(own, late=False)) == 1
    mine = ApiOption("a model of one's own at an API", 0.001, data_leaves=False, customizable=True)
    assert Constraints(data_must_stay=True, needs_customization=True, has_ml_team=False).broken_by(mine) == ()


def test_upfront_spending_is_spread_over_the_horizon() -> None:
    cost = option_cost(FLAT, fleet(100, upfront=2400), Constraints(horizon_months=24))
    assert cost.all_in_usd_per_month == pytest.approx(200)
    assert (cost.upfront_usd, cost.usd_per_request) == (2400, math.inf)


def test_a_staged_move_may_use_all_the_money_there_is() -> None:
    start, later = flat("API", 10_000, upfront=30_000), fleet(100, upfront=10_000, weeks=20)
    limits = Constraints(deadline_weeks=6, max_upfront_usd=40_000)
    staged = recommend(FLAT, [start, later], limits)
    assert staged.choice == "hybrid"
    assert staged.reasons[0].endswith("but is not ready in time")
    assert recommend(FLAT, [start, later], replace(limits, max_upfront_usd=39_999)).choice == "api"


def test_a_pair_pays_for_both_before_the_first_request() -> None:
    base = SelfHostOption("own", 8.0, 4.0, upfront_usd=30_000)
    both: list[ApiOption | SelfHostOption] = [ApiOption("API", 0.0016, upfront_usd=30_000), base]

    def pair(limit: float) -> tuple[str, ...]:
        found = recommend(chat(1_000_000, 3), both, Constraints(max_upfront_usd=limit))
        (hybrid,) = [cost for cost in found.options if cost.kind == "hybrid"]
        assert hybrid.upfront_usd == 60_000
        return hybrid.ruled_out

    assert pair(60_000) == ()
    assert pair(59_999) == ("both together take 60,000 USD upfront, of 59,999 allowed",)
    assert pair(20_000) == ("it takes 30,000 USD upfront, of 20,000 allowed",)


def test_a_pair_by_hand() -> None:
    """Even traffic of 1.5 a second: a replica of 1 a second serves two thirds, at 0.001 each; the API the rest."""
    own = SelfHostOption("own", 1.0, 1.0, 3600, 50, 0.001, max_utilization_fraction=1.0, spare_replicas=1)
    api = ApiOption("API", 0.01, 36, 7)
    found = recommend(chat(1.5 * 86400), [api, own])
    (pair,) = [cost for cost in found.options if cost.kind == "hybrid"]
    requests = 3600 * 730
    assert pair.replicas == 2
    assert pair.running_usd_per_month == pytest.approx(2 * 730 + 50 + 7 + requests * (0.001 + 0.5 * 0.01))
    assert pair.all_in_usd_per_month == pytest.approx(pair.running_usd_per_month + 3636 / 36)
    assert pair.usd_per_request == pytest.approx(pair.all_in_usd_per_month / (1.5 * requests))
    assert pair.name == "own for 67% of the requests, API for the rest"
    # By four a machine: one that only half a replica more would use costs 4 x 730, and saves 2,628 of the API.
    by_four, api = replace(own, gpus_per_machine=4, spare_replicas=0), ApiOption("API", 0.002)
    (pair,) = [cost for cost in recommend(chat(5.5 * 86400), [api, by_four]).options if cost.kind == "hybrid"]
    assert pair.replicas == 4
    assert pair.unused_usd_per_month == 0


def test_a_shape_that_is_not_known_is_not_shared() -> None:
    base = SelfHostOption("own", 8.0, 4.0)
    kinds = [
        {cost.kind for cost in recommend(chat(1_000_000, peak), [ApiOption("API", 0.0016), base]).options}
        for peak in (12, 12.5)
    ]
    assert kinds == [{"api", "self-host", "hybrid"}, {"api", "self-host"}]


def test_gpus_that_fit_no_replica_are_paid_by_those_that_do() -> None:
    # Of eight GPUs two replicas of three use six: each pays for four. One of twelve takes two machines.
    three = replace(OWN, replica_usd_per_hour=3.0, gpus_per_replica=3, gpus_per_machine=8)
    assert (three.replicas_per_machine, three.place_usd_per_hour) == (2, 4.0)
    twelve = replace(OWN, replica_usd_per_hour=12.0, gpus_per_replica=12, gpus_per_machine=8)
    assert (twelve.replicas_per_machine, twelve.place_usd_per_hour) == (1, 16.0)
    alone = replace(OWN, replica_usd_per_hour=3.0, gpus_per_replica=3)
    assert (alone.replicas_per_machine, alone.place_usd_per_hour) == (1, 3.0)


def test_what_each_request_costs_beside_the_replicas_is_counted() -> None:
    cost = option_cost(chat(1000), replace(OWN, marginal_usd_per_request=0.01))
    assert cost.running_usd_per_month == pytest.approx(1.01 * 730 + 3000 + 1000 * 730 / 24 * 0.01)


@pytest.mark.parametrize("field", ["usd_per_request", "upfront_usd", "fixed_usd_per_month", "weeks_to_production"])
def test_no_field_of_an_api_is_negative(field: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{field} must be a number >= 0, got -1"):
        replace(API, **{field: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replica_usd_per_hour": 0}, "replica_usd_per_hour must be a number > 0, got 0"),
        ({"upfront_usd": -1}, "upfront_usd must be a number >= 0, got -1"),
        ({"fixed_usd_per_month": -1}, "fixed_usd_per_month must be a number >= 0, got -1"),
        ({"marginal_usd_per_request": -1}, "marginal_usd_per_request must be a number >= 0, got -1"),
        ({"weeks_to_production": -1}, "weeks_to_production must be a number >= 0, got -1"),
        ({"max_utilization_fraction": 0}, "max_utilization_fraction must be a fraction > 0 and <= 1, got 0"),
        ({"spare_replicas": -1}, "spare_replicas must be a whole number >= 0, got -1"),
        ({"gpus_per_replica": 0}, "gpus_per_replica must be a whole number >= 1, got 0"),
        ({"gpus_per_machine": 0}, "gpus_per_machine must be a whole number >= 1, got 0"),
    ],
)
def test_fleets_are_checked(change: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        replace(OWN, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deadline_weeks": 0}, "deadline_weeks must be a number > 0, got 0"),
        ({"max_upfront_usd": -1}, "max_upfront_usd must be a number >= 0, got -1"),
        ({"horizon_months": 0}, "horizon_months must be a number > 0, got 0"),
    ],
)
def test_constraints_are_checked(change: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Constraints(**change)  # type: ignore[arg-type]


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
