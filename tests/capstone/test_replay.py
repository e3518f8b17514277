"""ExactCache, guard and fleets of the replay, each against the real thing or by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from costlab.cache.economics import lru_replay
from costlab.calculator import best_commitment
from costlab.capstone import TODAY, Fleet, FleetBill, SpendLimits, endpoint, gpu_rates_usd_per_hour, request_log, terms
from costlab.capstone.replay import FleetDemand, cache_hits, fleet_bill, prefix_hits, replay_day
from costlab.capstone.scoring import admitted
from costlab.errors import PriceNotFoundError
from costlab.monitoring.budget import BudgetExceeded, BudgetGuard, BudgetPolicy, MemoryBudgetStore
from costlab.serving import EngineCurve, capacity, engine_curve, roofline
from costlab.token_economics import expected_hit_fraction, replayed_hit_fraction


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 40))
def test_the_cache_hits_as_often_as_the_exact_lru_replay(texts: list[int], entries: int) -> None:
    keys = np.array(texts, dtype=np.int64)
    assert cache_hits(keys, entries).sum() == lru_replay([keys], entries).hits


def test_what_may_not_be_shared_is_neither_found_nor_kept() -> None:
    assert cache_hits(np.array([-1, -1, 3, -1, 3]), 1).tolist() == [False, False, False, False, True]


@given(st.lists(st.tuples(st.floats(0, 2_000), st.integers(0, 3)), min_size=1, max_size=80), st.floats(1, 900))
def test_a_prefix_is_found_as_often_as_the_replay_of_lesson_10_says(
    calls: list[tuple[float, int]], lifetime_s: float
) -> None:
    calls.sort()
    times, keys = [time for time, _ in calls], [key for _, key in calls]
    found = prefix_hits(np.array(times), np.array(keys), lifetime_s)
    assert found.mean() == pytest.approx(replayed_hit_fraction(times, lifetime_s, keys=keys))


def test_the_texts_of_many_products_find_their_prefix_as_poisson_arrivals_would() -> None:
    log = request_log()
    rows, about = log.of("texts"), endpoint("texts")
    found = prefix_hits(log.time_s[rows], log.prefix[rows], 300.0).mean()
    rate = len(rows) / about.prefixes / (6 * 3600)
    assert found == pytest.approx(expected_hit_fraction(rate, 300.0), abs=0.01)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 60))
def test_a_limit_admits_what_the_budget_guard_admits_until_it_first_refuses(cents: list[int], limit: int) -> None:
    usd = np.array(cents) / 100
    policy = BudgetPolicy(daily_soft_usd=limit / 100, daily_hard_usd=limit / 100, monthly_usd=1000)
    guard = BudgetGuard(policy, MemoryBudgetStore(), clock=lambda: 1_800_000_000.0)

    def admits(amount: float) -> bool:
        try:
            with guard.reserve(amount) as reservation:
                reservation.settle(amount)
        except BudgetExceeded:
            return False
        return True

    real = [admits(amount) for amount in usd.tolist()]
    first_refused = real.index(False) if False in real else len(real)
    ours = admitted(SpendLimits(total_usd_per_day=limit / 100), np.zeros(len(usd), dtype=int), usd).tolist()
    assert ours == [place < first_refused for place in range(len(real))]


def test_one_clients_limit_stops_nobody_else() -> None:
    client, usd = np.array([0, 1] * 50), np.ones(100)
    usd[client == 0] = 100.0
    may = admitted(SpendLimits(client_usd_per_day=60.0), client, usd)
    assert not may[client == 0].any()
    assert may[client == 1].all()


def test_a_common_limit_is_used_up_by_whoever_asks_most() -> None:
    client, usd = np.array([0, 1] * 50), np.where(np.arange(100) % 2 == 0, 99.0, 1.0)
    may = admitted(SpendLimits(total_usd_per_day=500.0), client, usd)
    assert may[:10].all()
    assert not may[10:].any()


def bill(fleet: Fleet, per_hour: Sequence[int], name: str = "search") -> FleetBill:
    return fleet_bill(fleet, [FleetDemand(endpoint(name), tuple(per_hour), 240.0, 37.0)])


def test_a_fleet_follows_the_hours_and_has_a_spare_replica_only_while_it_serves() -> None:
    day = bill(Fleet("Llama-3.1-8B", "A10G", "int8"), [0] * 12 + [50_000] * 12)
    rate = day.requests_per_s["search"]
    serving = int(np.ceil(50_000 / 3600 / rate / 0.7))
    assert day.gpus_per_hour == day.needed_per_hour == (0,) * 12 + (serving + 1,) * 12
    assert day.usd_per_day == pytest.approx((serving + 1) * 12 * gpu_rates_usd_per_hour("A10G")["on_demand"])
    assert day.utilization_fraction == pytest.approx(50_000 / 3600 / rate / (serving + 1))


@pytest.mark.parametrize("reserved", range(6))
def test_a_reservation_costs_what_lesson_1_says(reserved: int) -> None:
    per_hour = [10_000] * 10 + [60_000] * 14
    needed = bill(Fleet("Llama-3.1-8B", "A10G", "int8"), per_hour).needed_per_hour
    rates = gpu_rates_usd_per_hour("A10G")
    day = bill(Fleet("Llama-3.1-8B", "A10G", "int8", reserved=reserved), per_hour)
    expected = best_commitment(needed, rates["on_demand"], rates["reserved"], gpus=reserved)
    assert day.usd_per_day == pytest.approx(expected.usd)


def test_a_year_has_the_list_price_of_the_machine_and_none_where_none_is_listed() -> None:
    rates = gpu_rates_usd_per_hour("A10G")  # g5.xlarge, and not the larger machines of the same GPU
    assert (rates["on_demand"], rates["reserved"]) == (1.006, 0.63378)
    assert "reserved" not in gpu_rates_usd_per_hour("H100")
    with pytest.raises(PriceNotFoundError, match="AWS lists no price for a year of an H100: set reserved to 0"):
        bill(Fleet("Llama-3.1-8B", "H100", "int8", reserved=1), [1_000] * 24)


def test_spot_is_cheaper_than_on_demand_by_less_than_its_price_says() -> None:
    per_hour = [60_000] * 6 + [0] * 18
    rates = gpu_rates_usd_per_hour("A10G")
    plain = bill(Fleet("Llama-3.1-8B", "A10G", "int8"), per_hour, "texts")
    spot = bill(Fleet("Llama-3.1-8B", "A10G", "int8", spot=True), per_hour, "texts")
    assert rates["spot"] / rates["on_demand"] < spot.usd_per_day / plain.usd_per_day < 1


def test_an_engine_is_as_much_slower_than_the_roofline_as_it_was_measured() -> None:
    day = bill(Fleet("Llama-3.1-8B", "A10G"), [1_000] * 24)
    in_flight, curve = day.in_flight["search"], engine_curve("A10G")
    assert curve is not None
    bound = capacity(roofline("Llama-3.1-8B", "A10G"), 240.0, 37.0, max_sequences=in_flight)
    assert bound.requests_per_s is not None
    assert bound.inter_token_s is not None
    assert day.requests_per_s["search"] == pytest.approx(bound.requests_per_s / curve.slowdown(in_flight))
    assert day.inter_token_s == pytest.approx(bound.inter_token_s * curve.slowdown(in_flight))
    assert day.inter_token_s <= endpoint("search").max_inter_token_s


def test_one_more_in_flight_than_the_limit_allows_says_why_and_what_would_do() -> None:
    kept = bill(Fleet("Llama-3.1-8B", "A10G"), [1_000] * 24)
    most = kept.in_flight["search"]
    assert bill(Fleet("Llama-3.1-8B", "A10G", in_flight=most), [1_000] * 24).reasons == ()
    full = bill(Fleet("Llama-3.1-8B", "A10G", in_flight=64), [1_000] * 24)
    assert full.requests_per_s["search"] > 3 * kept.requests_per_s["search"]
    (reason,) = full.reasons
    assert "search: with 64 requests in flight a token takes" in reason
    assert f"and 40 are allowed, so the limit holds {most} in flight" in reason


def test_an_engine_is_given_no_more_than_its_memory_holds() -> None:
    day = bill(Fleet("Llama-3.1-8B", "A10G", in_flight=10**6), [1_000] * 24, "texts")
    assert day.in_flight["texts"] < 1_000


def test_the_first_token_has_its_limit_too() -> None:
    prompts = FleetDemand(endpoint("search"), (100,) * 24, 7_500.0, 4_000.0)
    assert fleet_bill(Fleet("Llama-3.1-8B", "A100 80GB", in_flight=9), [prompts]).reasons == ()
    (reason,) = fleet_bill(Fleet("Llama-3.1-8B", "A100 80GB", in_flight=12), [prompts]).reasons
    assert "search: with 12 requests in flight the first token takes 0.50 s and 0.5 are allowed" in reason


def test_an_engine_that_is_too_slow_for_one_request_serves_nothing() -> None:
    day = bill(Fleet("Llama-3.1-8B", "A10G", curve=EngineCurve((1,), (2.0,))), [1_000] * 24)
    assert day.requests_per_s == {}
    assert "a lone request has a token every" in day.reasons[0]
    assert "as engines were measured" in day.reasons[0]


def test_a_gpu_that_nobody_measured_carries_the_range_of_others() -> None:
    day = bill(Fleet("Llama-3.1-8B", "A10G", "int8"), [1_000] * 24)
    low, high = day.requests_per_s_range["search"]
    assert 0 < low < day.requests_per_s["search"] < high
    assert bill(Fleet("Llama-3.1-8B", "A100 80GB"), [1_000] * 24).requests_per_s_range == {}


def test_what_does_not_fit_says_why_and_serves_nothing() -> None:
    day = bill(Fleet("Llama-3.1-70B", "T4"), [100] * 24)
    assert day.gpus_per_hour == (0,) * 24
    assert "search: no Llama-3.1-70B in bf16 on T4: the weights take" in day.reasons[0]


def test_a_gpu_that_nobody_offers_as_spot_is_an_error_not_a_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "current_gpu_prices", lambda snapshot: ())
    with pytest.raises(PriceNotFoundError, match="no spot price of an A10G at AWS"):
        bill(Fleet("Llama-3.1-8B", "A10G", "int8", spot=True), [100] * 24)
    assert bill(Fleet("Llama-3.1-8B", "A10G", "int8"), [100] * 24).usd_per_day > 0


def test_the_companys_eight_gpus_have_next_to_nothing_to_do() -> None:
    day = replay_day(TODAY, request_log()).fleets["a100s"]
    assert day.gpus_per_hour == (8,) * 24
    assert max(day.needed_per_hour) == 2
    assert 0.01 < day.utilization_fraction < 0.02
