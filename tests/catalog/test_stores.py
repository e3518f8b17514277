from dataclasses import replace
from datetime import date

import pytest

from costlab.catalog import StorePrice, current_store_prices, stale_store_prices, store_price, store_prices
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError

ROW = StorePrice(
    snapshot="list", name="store", usd=0.1, per="gb_hour", usd_per_million_kb=0.0, provider="aws", region="us-east-1",
    checked=date(2026, 1, 1), kind="list_price", source_url="https://example.org/prices",
)  # fmt: skip


@pytest.mark.parametrize("price", store_prices(), ids=lambda p: p.name)
def test_rows_are_plausible_and_sourced(price: StorePrice) -> None:
    assert date(2025, 1, 1) < price.checked < date(2100, 1, 1)
    assert (price.kind == "lesson") == (price.snapshot == "lesson")
    if price.snapshot == "list":
        # Memory in a managed service: dearer than disk, cheaper than a dollar a GB and hour.
        assert 0.001 < price.usd_per_gb_hour < 1
        assert price.note.startswith("second-hand")


def test_every_name_has_one_row_a_day() -> None:
    keys = [(price.name, price.checked) for price in store_prices()]
    assert len(set(keys)) == len(keys)


def test_the_lesson_s_redis_is_600_to_900_times_too_cheap() -> None:
    # Fact check 5: 10 GB at $0.125 and $0.084 a GB-hour are $912.50 and $613.20 a month of 730 hours, not $1.
    month = {price.name: price.usd_per_hour(10) * 730 for price in current_store_prices()}
    assert month["redis"] == pytest.approx(1.00)
    assert month["elasticache-serverless-redis"] == pytest.approx(912.50)
    assert month["elasticache-serverless-valkey"] == pytest.approx(613.20)
    # 10 GB fit into one node, whose quarter is reserved.
    assert month["cache.r7g.large-redis"] == pytest.approx(0.219 * 730)


def test_stale_prices_depend_on_the_day_given() -> None:
    listed = [price for price in current_store_prices() if price.snapshot == "list"]
    newest, oldest = max(price.checked for price in listed), min(price.checked for price in listed)
    assert stale_store_prices(0, oldest) == ()
    stale = stale_store_prices(0, newest)
    assert {price.name for price in stale} == {price.name for price in listed if price.checked < newest}
    later = stale_store_prices(0, newest.replace(year=newest.year + 1))
    assert len(later) == len(listed)
    assert [price.checked for price in later] == sorted(price.checked for price in later)
    with pytest.raises(InvalidValueError, match="days must be a whole number >= 0, got -1"):
        stale_store_prices(-1, newest)


def test_valkey_is_cheaper_than_redis() -> None:
    for kind in ("elasticache-serverless", "cache.r7g.large"):
        assert store_price(f"{kind}-valkey").usd_per_gb_hour < store_price(f"{kind}-redis").usd_per_gb_hour


def test_minimum_and_whole_nodes_are_billed() -> None:
    assert store_price("elasticache-serverless-redis").billed_gb(0.01) == 1.0
    assert store_price("elasticache-serverless-redis").billed_gb(1.7) == 1.7
    node = store_price("cache.r7g.large-redis")
    assert node.node_gb == pytest.approx(13.07 * 1.073741824 * 0.75)
    assert node.usd_per_hour(0) == pytest.approx(0.219)
    assert node.usd_per_hour(3 * node.node_gb) == pytest.approx(3 * 0.219)
    assert node.usd_per_hour(3.01 * node.node_gb) == pytest.approx(4 * 0.219)


def test_a_transfer_is_billed_by_the_kb_and_one_kb_at_least() -> None:
    price = store_price("elasticache-serverless-redis")
    assert price.usd_per_transfer(3200) == pytest.approx(3.2 * 0.0034 / 1e6)
    assert price.usd_per_transfer(10) == pytest.approx(0.0034 / 1e6)
    assert store_price("cache.r7g.large-redis").usd_per_transfer(3200) == 0


def test_look_ups_say_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="unknown store 'rediss'; did you mean 'redis'"):
        store_price("rediss")
    with pytest.raises(PriceNotFoundError, match="no price for 'redis' on or before 2025-01-01"):
        store_price("redis", as_of="2025-01-01")
    assert current_store_prices("2026-01-31") == (store_price("redis"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usd": 0.0}, "usd must be a number > 0"),
        ({"per": "gb_day"}, "unknown unit 'gb_day'; known: gb_hour, gb_month"),
        ({"snapshot": "lists"}, "did you mean 'list'"),
        ({"kind": "list"}, "unknown kind 'list'; did you mean 'list_price'"),
        ({"usd_per_million_kb": -1.0}, "usd_per_million_kb must be a number >= 0"),
        ({"minimum_gb": -1.0}, "minimum_gb must be a number >= 0"),
        ({"per": "node_hour"}, "node_gib must be given for a price per node"),
        ({"node_gib": 3.0}, "node_gib must be given for a price per node and for no other"),
        ({"reserved_fraction": 1.0}, "reserved_fraction must be a fraction >= 0 and < 1"),
        ({"source_url": "aws"}, "source_url must be an https address for kind 'list_price'"),
        ({"kind": "estimate"}, "note must be given for kind 'estimate'"),
        ({"name": ""}, "name, provider and region must be given"),
    ],
)
def test_a_row_without_evidence_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError)) as caught:
        replace(ROW, **change)  # type: ignore[arg-type]
    assert message in str(caught.value)
