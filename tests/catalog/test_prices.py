from dataclasses import replace
from datetime import date, datetime

import pytest

from costlab.catalog import (
    PRICINGS,
    GpuPrice,
    StorePrice,
    current_gpu_prices,
    current_store_prices,
    gpu,
    gpu_machines,
    gpu_price,
    gpu_prices,
    stale_gpu_prices,
    stale_store_prices,
    store_price,
    store_prices,
)
from costlab.catalog.prices import newest_rows
from costlab.errors import AmbiguousPriceError, InvalidValueError, PriceNotFoundError, UnknownNameError

ROW = GpuPrice(
    snapshot="list", gpu="A10G", pricing="on_demand", usd_per_hour=1.0, provider="aws", region="us-east-1",
    checked=date(2025, 1, 1), kind="list_price", source_url="https://example.org/prices",
    instance="g5.xlarge", instance_gpus=1,
)  # fmt: skip

# Table S1 of the source lesson, in the order of PRICINGS.
S1 = {
    "T4": (0.53, 0.16, 0.33, 0.22),
    "A10G": (1.01, 0.30, 0.63, 0.42),
    "L4": (0.81, 0.24, 0.51, 0.34),
    "A100_40": (3.67, 1.10, 2.29, 1.53),
    "A100_80": (4.90, 1.47, 3.06, 2.04),
    "H100": (8.80, 2.64, 5.50, 3.67),
}


def test_lesson_snapshot_is_the_lesson_table() -> None:
    assert len(gpu_prices("lesson")) == len(S1) * len(PRICINGS)
    for name, row in S1.items():
        assert tuple(gpu_price(name, pricing).usd_per_hour for pricing in PRICINGS) == row


@pytest.mark.parametrize("price", gpu_prices(), ids=lambda p: f"{p.snapshot}-{p.gpu}-{p.pricing}-{p.place}")
def test_rows_are_plausible_and_sourced(price: GpuPrice) -> None:
    assert 0.05 < price.usd_per_hour < 25
    assert date(2023, 1, 1) < price.checked < date(2100, 1, 1)
    assert (price.kind == "lesson") == (price.snapshot == "lesson")
    if price.snapshot == "list":
        assert price.source_url.startswith("https://")
        assert price.instance
    if price.instance_usd_per_hour is not None:
        assert price.instance_gpus is not None
        assert price.usd_per_hour == pytest.approx(price.instance_usd_per_hour / price.instance_gpus, rel=1e-9)


def test_evidence_names_kind_and_day() -> None:
    assert ROW.evidence == "list price of 2025-01-01"
    claimed = gpu_price("A10G")
    assert claimed.evidence == f"price of the source lesson of {claimed.checked}"
    store = store_price("elasticache-serverless-valkey")
    assert store.evidence == f"list price of {store.checked}"


def test_cheaper_ways_to_buy_are_cheaper() -> None:
    # Spot may cost as much as on-demand where it is scarce, but not more.
    current = current_gpu_prices()
    for price in current:
        for other in current:
            same = (price.snapshot, price.gpu, price.provider, price.region, price.instance)
            if same == (other.snapshot, other.gpu, other.provider, other.region, other.instance):
                if (price.pricing, other.pricing) == ("on_demand", "spot"):
                    assert other.usd_per_hour <= price.usd_per_hour
                if (price.pricing, other.pricing) == ("reserved_1y", "reserved_3y"):
                    assert other.usd_per_hour < price.usd_per_hour


def test_every_series_has_one_row_a_day() -> None:
    keys = [(*price.series, price.checked) for price in gpu_prices()]
    assert len(set(keys)) == len(keys)


def test_newest_row_wins_and_as_of_looks_back() -> None:
    newer = replace(ROW, usd_per_hour=2.0, checked=date(2026, 1, 1))
    elsewhere = replace(ROW, region="eu-west-1")
    rows = [newer, ROW, elsewhere]
    assert newest_rows(rows, None) == (newer, elsewhere)
    assert newest_rows(rows, date(2025, 12, 31)) == (ROW, elsewhere)
    assert newest_rows(rows, date(2026, 1, 1)) == (newer, elsewhere)
    assert newest_rows(rows, date(2024, 12, 31)) == ()


def test_as_of_before_the_first_row_finds_nothing() -> None:
    assert gpu_price("A10G", as_of="2026-01-01").usd_per_hour == 1.01
    assert gpu_price("A10G", as_of=datetime(2026, 1, 1, 12)).usd_per_hour == 1.01
    with pytest.raises(PriceNotFoundError, match="as_of='2025-12-31'"):
        gpu_price("A10G", as_of=date(2025, 12, 31))
    with pytest.raises(InvalidValueError, match="as_of must be a date such as 2026-01-31, got 'yesterday'"):
        gpu_price("A10G", as_of="yesterday")


def test_a_choice_of_providers_is_the_callers() -> None:
    with pytest.raises(AmbiguousPriceError, match="name the provider"):
        gpu_price("A100 40GB", snapshot="list")
    aws = gpu_price("A100 40GB", snapshot="list", provider="aws")
    gcp = gpu_price("A100 40GB", snapshot="list", provider="gcp")
    assert aws.usd_per_hour < gcp.usd_per_hour
    assert aws.instance == "p4d.24xlarge"


def test_a_gpu_in_machines_of_several_sizes_has_one_price_and_a_row_for_each_size() -> None:
    sizes = gpu_machines("A10G", snapshot="list", provider="aws")
    assert [(row.instance, row.instance_gpus) for row in sizes] == [
        ("g5.xlarge", 1),
        ("g5.12xlarge", 4),
        ("g5.48xlarge", 8),
    ]
    assert gpu_price("A10G", snapshot="list", provider="aws") == sizes[0]
    assert gpu_price("A10G", snapshot="list", instance="g5.48xlarge") == sizes[2]
    # Of equal prices per GPU that of the largest machine; the lesson's table names none.
    assert gpu_price("H100", snapshot="list").instance == "p5.48xlarge"
    assert gpu_price("H100").machine_usd_per_hour is None
    with pytest.raises(UnknownNameError, match=r"unknown instance 'g5\.24xlarge'; did you mean .*'g5\.12xlarge'"):
        gpu_price("A10G", snapshot="list", instance="g5.24xlarge")


def test_missing_prices_say_what_there_is() -> None:
    with pytest.raises(PriceNotFoundError, match=r"no price for \('H100', 'on_demand', .*provider='azur'.*there is"):
        gpu_price("H100", snapshot="list", provider="azur")
    with pytest.raises(PriceNotFoundError, match="there is on_demand from lesson/unstated"):
        gpu_price("T4", region="us-east-1")
    with pytest.raises(PriceNotFoundError, match=r"; snapshot 'list' has it$"):
        gpu_price("H100", provider="aws")
    with pytest.raises(PriceNotFoundError, match=r"in this snapshot; snapshot 'list' has it$"):
        gpu_price("H200", snapshot="lesson")
    with pytest.raises(PriceNotFoundError, match=r"and 2 more$"):
        gpu_price("H100", snapshot="list", provider="azur")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usd_per_hour": 0.0}, "usd_per_hour must be a number > 0"),
        ({"usd_per_hour": float("nan")}, "usd_per_hour must be a number > 0"),
        ({"kind": "list_prize"}, "unknown kind 'list_prize'; did you mean 'list_price'"),
        ({"pricing": "spott"}, "did you mean 'spot'"),
        ({"snapshot": "lists"}, "did you mean 'list'"),
        ({"gpu": "A100_40"}, "gpu must be the canonical name 'A100 40GB'"),
        ({"source_url": ""}, "source_url must be an https address for kind 'list_price'"),
        ({"kind": "estimate"}, "note must be given for kind 'estimate'"),
        ({"region": ""}, "provider and region must be given"),
        ({"instance": "", "instance_gpus": None}, "instance must be given for a row of snapshot 'list'"),
        ({"instance_gpus": None}, "instance_gpus must be given with the instance, and only then, got None"),
        ({"instance_gpus": 0}, "instance_gpus must be a whole number >= 1"),
    ],
)
def test_a_row_without_evidence_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError)) as caught:
        replace(ROW, **change)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_stale_prices_depend_on_the_day_given() -> None:
    listed = current_gpu_prices("list")
    newest = max(price.checked for price in listed)
    oldest = min(price.checked for price in listed)
    assert stale_gpu_prices(0, newest.replace(year=newest.year + 1)) != ()
    assert stale_gpu_prices(0, oldest) == ()
    stale = stale_gpu_prices(0, newest)
    assert [price.checked for price in stale] == sorted(price.checked for price in stale)
    assert all(price.checked < newest and price.kind != "lesson" for price in stale)
    with pytest.raises(InvalidValueError, match="days must be a whole number >= 0, got -1"):
        stale_gpu_prices(-1, newest)


def test_specs_exist_for_every_priced_gpu() -> None:
    assert all(gpu(price.gpu).name == price.gpu for price in gpu_prices())


def test_rows_are_appended_never_changed() -> None:
    from tools.price_rows import current_lines, recorded

    current = current_lines()
    assert [entry for entry in recorded() if entry not in current] == [], "append a row instead of changing one"
    assert [entry for entry in current if entry not in recorded()] == [], "run python -m tools.price_rows"


STORE = StorePrice(
    snapshot="list", name="store", usd=0.1, per="gb_hour", usd_per_million_kb=0.0, provider="aws", region="us-east-1",
    checked=date(2026, 1, 1), kind="list_price", source_url="https://example.org/prices",
)  # fmt: skip


@pytest.mark.parametrize("price", store_prices(), ids=lambda p: p.name)
def test_rows_of_stores_are_plausible_and_sourced(price: StorePrice) -> None:
    assert date(2025, 1, 1) < price.checked < date(2100, 1, 1)
    assert (price.kind == "lesson") == (price.snapshot == "lesson")
    if price.snapshot == "list":
        # Memory in a managed service: more expensive than disk, cheaper than a dollar a GB and hour.
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


def test_stale_prices_of_stores_depend_on_the_day_given() -> None:
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
def test_a_store_without_evidence_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError)) as caught:
        replace(STORE, **change)  # type: ignore[arg-type]
    assert message in str(caught.value)
