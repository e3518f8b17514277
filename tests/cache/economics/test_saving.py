import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from costlab.cache.economics import CacheCosts, ZipfTraffic, best_cache_size, break_even_hit_rate, lru_cache, net_saving
from costlab.catalog import StorePrice, current_store_prices, store_price
from costlab.errors import InvalidValueError

PRICES = st.floats(1e-6, 1)
NOTHING_OR_A_PRICE = st.just(0.0) | PRICES
COSTS = st.builds(
    CacheCosts, call_usd=PRICES, lookup_usd=NOTHING_OR_A_PRICE, write_usd=NOTHING_OR_A_PRICE,
    embedding_usd=NOTHING_OR_A_PRICE, false_hit_fraction=st.just(0.0) | st.floats(0.001, 1),
    wrong_answer_usd=NOTHING_OR_A_PRICE,
)  # fmt: skip
REQUESTS, RATES = st.floats(1, 1e6), st.floats(0.001, 0.999)


def test_every_term_by_hand() -> None:
    costs = CacheCosts(
        call_usd=0.03, lookup_usd=0.00001, write_usd=0.00002, embedding_usd=0.0001, false_hit_fraction=0.1,
        wrong_answer_usd=0.25,
    )  # fmt: skip
    day = net_saving(costs, requests=1000, hit_rate_fraction=0.4, store_usd=2.0)
    assert (day.hits, day.without_cache_usd) == (400, 30)
    assert day.calls_avoided_usd == pytest.approx(12)
    assert day.embeddings_usd == pytest.approx(0.1)
    assert day.lookups_usd == pytest.approx(0.01)
    assert day.writes_usd == pytest.approx(0.012)
    assert day.wrong_answers_usd == pytest.approx(10)
    assert day.net_usd == pytest.approx(12 - 0.1 - 2 - 0.01 - 0.012 - 10)
    assert day.saving_fraction == pytest.approx(day.net_usd / 30)


def test_what_is_not_said_costs_nothing() -> None:
    plain = CacheCosts(call_usd=0.5)
    assert (plain.hit_usd, plain.request_usd) == (0.5, 0)
    assert CacheCosts(call_usd=0.5, false_hit_fraction=1.0).hit_usd == 0.5
    assert CacheCosts(call_usd=0.5, wrong_answer_usd=9.0).hit_usd == 0.5


def test_a_hit_rate_that_pays_by_hand() -> None:
    # Each request costs 0.004, and a tenth of a cent of the store's 10 dollars; a hit is worth 0.03 + 0.002 - 0.012.
    costs = CacheCosts(
        call_usd=0.03, lookup_usd=0.001, write_usd=0.002, embedding_usd=0.001, false_hit_fraction=0.1,
        wrong_answer_usd=0.12,
    )  # fmt: skip
    assert break_even_hit_rate(costs, requests=10_000, store_usd=10) == pytest.approx(0.005 / 0.02)
    for requests, store_usd, name in ((0, 1, "requests"), (1, -1, "store_usd")):
        with pytest.raises(InvalidValueError, match=f"{name} must be a number"):
            break_even_hit_rate(costs, requests=requests, store_usd=store_usd)
        with pytest.raises(InvalidValueError, match=f"{name} must be a number"):
            net_saving(costs, requests=requests, hit_rate_fraction=0.5, store_usd=store_usd)


@given(COSTS, REQUESTS, RATES, NOTHING_OR_A_PRICE)
def test_saving_is_below_the_hit_rate_whenever_anything_costs_anything(
    costs: CacheCosts, requests: float, rate: float, store_usd: float
) -> None:
    saved = net_saving(costs, requests=requests, hit_rate_fraction=rate, store_usd=store_usd)
    paid = (saved.embeddings_usd, saved.store_usd, saved.lookups_usd, saved.writes_usd, saved.wrong_answers_usd)
    if any(term > 0 for term in paid):
        assert saved.saving_fraction < rate
    else:
        assert saved.saving_fraction == pytest.approx(rate)
    assert saved.net_usd == pytest.approx(saved.calls_avoided_usd - sum(paid))


@given(COSTS, REQUESTS, NOTHING_OR_A_PRICE)
def test_at_the_break_even_hit_rate_nothing_is_saved(costs: CacheCosts, requests: float, store_usd: float) -> None:
    needed = break_even_hit_rate(costs, requests=requests, store_usd=store_usd)
    if needed <= 1:
        saved = net_saving(costs, requests=requests, hit_rate_fraction=needed, store_usd=store_usd)
        assert saved.net_usd == pytest.approx(0, abs=1e-9 * saved.without_cache_usd)
    else:
        assume(costs.hit_usd > 0 or needed == math.inf)
        saved = net_saving(costs, requests=requests, hit_rate_fraction=1, store_usd=store_usd)
        assert saved.net_usd < 0 or (saved.net_usd == 0 and costs.hit_usd == 0)  # a hit may be worth just nothing


def test_no_hit_rate_pays_when_wrong_answers_cost_more_than_calls() -> None:
    costs = CacheCosts(call_usd=0.03, false_hit_fraction=0.05, wrong_answer_usd=1.0)
    assert break_even_hit_rate(costs, requests=1e6, store_usd=0) == math.inf
    few, many = (net_saving(costs, requests=1e6, hit_rate_fraction=h, store_usd=0).net_usd for h in (0.1, 0.9))
    assert many < few < 0


def brute_force(traffic: ZipfTraffic, costs: CacheCosts, price: StorePrice, period: dict[str, float]) -> float:
    """The best net saving over every size there is."""
    best = -math.inf
    for entries in range(1, traffic.unique + 1):
        cache = lru_cache(traffic, entries, period.get("lifetime_requests"))
        rate = cache.hit_rate_fraction if cache.first_hit_rate_fraction is None else cache.first_hit_rate_fraction
        store_usd = price.usd_per_hour(entries * period["entry_bytes"] / 1e9) * period["hours"]
        net = net_saving(costs, requests=period["requests"], hit_rate_fraction=rate, store_usd=store_usd).net_usd
        best = max(best, net)
    return best


@pytest.mark.parametrize("name", [price.name for price in current_store_prices()])
@pytest.mark.parametrize("lifetime", [{}, {"lifetime_requests": 400.0}])
@pytest.mark.parametrize("call_usd", [0.0005, 0.02])
def test_the_best_size_is_the_best_of_all_sizes(name: str, lifetime: dict[str, float], call_usd: float) -> None:
    # Entries of 100 MB, so that minimum, nodes and price all matter among 150 of them.
    traffic, costs, price = ZipfTraffic(150, 0.8), CacheCosts(call_usd=call_usd), store_price(name)
    period = {"requests": 20_000.0, "hours": 24.0, "entry_bytes": 1e8, **lifetime}
    found = best_cache_size(traffic, costs, price, **period)
    assert found.saving.net_usd == pytest.approx(brute_force(traffic, costs, price, period), rel=2e-5)
    assert found.pays == (found.saving.net_usd > 0)
    assert found.pays == (found.saving.hit_rate_fraction > found.break_even_hit_rate)


def test_the_lesson_s_price_and_a_real_one_choose_different_sizes() -> None:
    traffic, costs = ZipfTraffic(5_000_000, 0.8), CacheCosts(call_usd=0.0005)
    sizes = [
        best_cache_size(traffic, costs, store_price(name), requests=1e5, hours=24, entry_bytes=20_000)
        for name in ("redis", "elasticache-serverless-redis")
    ]
    assert sizes[0].entries > 10 * sizes[1].entries
    assert sizes[0].pays
    assert sizes[0].saving.net_usd > sizes[1].saving.net_usd


def test_a_cache_that_saves_just_what_it_costs_does_not_pay() -> None:
    """The one thing that is ever asked is held, and its one call costs as much as the store."""
    price = store_price("elasticache-serverless-redis")
    call_usd = price.usd_per_hour(4000 / 1e9) * 24
    found = best_cache_size(
        ZipfTraffic(1, 1.0), CacheCosts(call_usd=call_usd), price, requests=1, hours=24, entry_bytes=4000
    )
    assert (found.saving.net_usd, found.break_even_hit_rate, found.pays) == (0, 1, False)
    assert (found.entries, found.gb, found.billed_gb) == (1, 4e-6, price.billed_gb(4e-6))


def test_a_cache_whose_hits_lose_money_is_as_small_as_it_can_be() -> None:
    costs = CacheCosts(call_usd=0.01, false_hit_fraction=0.1, wrong_answer_usd=1)
    found = best_cache_size(
        ZipfTraffic(100, 1.0), costs, store_price("redis"), requests=1e6, hours=24, entry_bytes=4000
    )
    assert (found.entries, found.pays, found.break_even_hit_rate) == (1, False, math.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"call_usd": 0.0}, "call_usd must be a number > 0, got 0.0"),
        ({"lookup_usd": -1.0}, "lookup_usd must be a number >= 0, got -1.0"),
        ({"false_hit_fraction": 1.5}, "false_hit_fraction must be a fraction >= 0 and <= 1, got 1.5"),
        ({"wrong_answer_usd": math.nan}, "wrong_answer_usd must be a number >= 0, got nan"),
    ],
)
def test_costs_outside_their_domain(change: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        replace(CacheCosts(call_usd=0.03), **change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requests": 0}, "requests must be a number > 0, got 0"),
        ({"hours": -1}, "hours must be a number > 0, got -1"),
        ({"entry_bytes": 0}, "entry_bytes must be a number > 0, got 0"),
        ({"lifetime_requests": 0}, "lifetime_requests must be a number > 0, got 0"),
    ],
)
def test_periods_outside_their_domain(change: dict[str, Any], message: str) -> None:
    period = {"requests": 1e5, "hours": 24, "entry_bytes": 4000, **change}
    with pytest.raises(InvalidValueError) as caught:
        best_cache_size(ZipfTraffic(10, 1), CacheCosts(call_usd=1), store_price("redis"), **period)
    assert message in str(caught.value)
    with pytest.raises(InvalidValueError, match="hit_rate_fraction must be a fraction"):
        net_saving(CacheCosts(call_usd=1), requests=1, hit_rate_fraction=1.1, store_usd=0)
