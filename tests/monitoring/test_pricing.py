"""Costs that a log lacks, from the catalogue."""

import math
import random
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from costlab.catalog import Discounts, api_models, api_price
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.monitoring import PriceChange, aggregate, fill_costs
from costlab.monitoring.usage import roll_up
from costlab.synthetic import sample_log
from tests import needs
from tests.monitoring.frames import ENGINES, ROWS, Engine, duckdb_frame, engine, pandas_frame

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

__all__ = ["engine"]


def test_gaps_are_filled_from_the_catalogue_with_cached_tokens_billed_once(engine: Engine) -> None:
    rows = ROWS | {
        "model": ["gpt-4o-mini", "gpt-4o", "gpt-4o", "in-house"],
        "cost_micro_usd": [None, None, 5000, None],
        "outcome": ["ok", "ok", "ok", "ok"],
    }
    filled = fill_costs(engine(rows))
    assert [price.model for price in filled.prices] == ["gpt-4o", "gpt-4o-mini"]
    assert filled.requests_priced == 2
    assert list(filled.unknown) == ["in-house"]
    small, large = api_price("gpt-4o-mini"), api_price("gpt-4o")
    wanted = {
        "gpt-4o-mini": round(1e6 * small.usd(100, 10)),
        "gpt-4o": round(1e6 * large.usd(1000, 100, 500)) + 5000,
        "in-house": 0,
    }
    found = aggregate(filled.frame, by=["model"])
    assert {one.key[0]: one.cost_micro_usd for one in found} == wanted
    assert {one.key[0]: one.unpriced_requests for one in found} == {"gpt-4o-mini": 0, "gpt-4o": 0, "in-house": 1}


def test_costs_that_are_there_are_left_alone_and_unserved_requests_are_not_priced(engine: Engine) -> None:
    rows = ROWS | {"model": ["gpt-4o"] * 4, "cost_micro_usd": [7, None, None, None], "input_tokens": [100, 1000, 9, 0]}
    rows |= {"cached_input_tokens": [0] * 4, "outcome": ["ok", "cached", "refused", "ok"]}
    (total,) = aggregate(fill_costs(engine(rows)).frame)
    assert (total.cost_micro_usd, total.unpriced_requests) == (7, 3)


def test_rates_of_long_requests_and_models_without_an_output_price(engine: Engine) -> None:
    rows = ROWS | {
        "model": ["gemini-2.5-pro", "gemini-2.5-pro", "text-embedding-ada-002", "text-embedding-ada-002"],
        "input_tokens": [200_000, 200_001, 5_000, 5_000],
        "output_tokens": [100, 100, 0, 10],
        "cached_input_tokens": [0] * 4,
        "cost_micro_usd": [None] * 4,
        "outcome": ["ok"] * 4,
    }
    price = api_price("gemini-2.5-pro")
    assert price.tiers[0].above_tokens == 200_000
    found = {one.key[0]: one for one in aggregate(fill_costs(engine(rows)).frame, by=["model"])}
    wanted = sum(price.usd(tokens, 100) for tokens in (200_000, 200_001))
    assert found["gemini-2.5-pro"].cost_micro_usd == math.floor(1e6 * wanted + 0.5)  # halves up
    # An embedding model is paid for its input alone, whatever a log says of its output.
    assert found["text-embedding-ada-002"].cost_micro_usd == 1000


def test_the_fee_of_a_request_is_billed_with_its_tokens(engine: Engine) -> None:
    count = 1_000
    rows = {
        "time_s": [0.0] * count,
        "tier": ["search"] * count,
        "model": ["sonar-pro"] * count,
        "input_tokens": [9] * count,
        "output_tokens": [150] * count,
        "cost_micro_usd": [None] * count,
    }
    (total,) = aggregate(fill_costs(engine(rows)).frame)
    assert api_price("sonar-pro").usd(9, 150) * count == pytest.approx(16.277)
    assert total.cost_usd == pytest.approx(16.28, abs=0.005)


#: Requests to models whose tokens cost less than a micro-dollar.
CHEAP = st.tuples(
    st.sampled_from(["text-embedding-3-small", "gpt-4o-mini", "gemini-2.5-flash-lite"]),
    st.integers(1, 3000),
    st.sampled_from(["ok", "error"]),
)


def check_sums(engine: Engine, requests: list[tuple[str, int, str]]) -> None:
    """Sums are those of the exact costs, rounded once, whichever way they are added up; above 0 they are at least 1."""
    columns = {
        "model": [model for model, _, _ in requests],
        "input_tokens": [tokens for _, tokens, _ in requests],
        "outcome": [outcome for _, _, outcome in requests],
    }
    filled = fill_costs(engine(log(len(requests), output_tokens=0, **columns)))
    exact = failed = Fraction(0)
    for model, tokens, outcome in requests:
        micro_usd = Fraction(api_price(model).usd(tokens, 0)) * 10**6
        exact, failed = exact + micro_usd, failed + micro_usd * (outcome == "error")
    noise = Fraction(len(requests), 10**6)
    for (total,) in (aggregate(filled.frame), roll_up(aggregate(filled.frame, by=["model", "outcome"]))):
        for found, wanted in ((total.cost_micro_usd, exact), (total.failed_cost_micro_usd, failed)):
            assert abs(found - wanted) <= Fraction(1, 2) + noise or (found == 1 and 0 < wanted < 1)


def test_sums_of_every_engine_are_rounded_once(engine: Engine) -> None:
    chance = random.Random(17)
    models = ("text-embedding-3-small", "gpt-4o-mini")
    check_sums(engine, [(chance.choice(models), chance.randint(1, 99), "ok") for _ in range(500)])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CHEAP, min_size=1, max_size=30))
def test_sums_are_rounded_once(requests: list[tuple[str, int, str]]) -> None:
    check_sums(duckdb_frame, requests)


def test_a_log_without_gaps_comes_back_as_it_is() -> None:
    log = sample_log(np.random.default_rng(0), 100, unpriced_fraction=0.0)
    filled = fill_costs(log)
    assert filled.frame is log
    assert (filled.prices, filled.requests_priced, filled.unknown) == ((), 0, {})


def noon(day: date) -> float:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


def log(count: int = 1, **columns: Any) -> dict[str, Any]:
    """A log of equal requests without costs, on 1 November 2026; a list is a column as it is."""
    rows: dict[str, Any] = {
        "time_s": noon(date(2026, 11, 1)), "tier": "t", "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100,
        "cost_micro_usd": None,
    }  # fmt: skip
    return {name: value if isinstance(value, list) else [value] * count for name, value in (rows | columns).items()}


def cost_usd(rows: dict[str, Any], **options: Any) -> float:
    (total,) = aggregate(fill_costs(duckdb_frame(rows), **options).frame)
    assert not total.unpriced_requests
    return total.cost_usd


def test_each_request_has_the_price_of_its_own_day(engine: Engine) -> None:
    # OpenAI cut gpt-5.6-luna on 30 July 2026: 100 requests a day from the 1st to the 30th.
    days = [noon(date(2026, 7, day)) for day in range(1, 31) for _ in range(100)]
    rows = log(3000, time_s=days, model="gpt-5.6-luna", input_tokens=20_000, output_tokens=1000)
    filled = fill_costs(engine(rows))
    (total,) = aggregate(filled.frame)
    assert total.cost_usd == pytest.approx(75.92)
    assert filled.pricing.changes == (PriceChange("gpt-5.6-luna", "openai", date(2026, 7, 30)),)
    assert "1 price changed within the log: gpt-5.6-luna on 2026-07-30" in filled.notes
    assert "priced from the catalogue (genai-prices 0.2.3, each at its own time): gpt-5.6-luna" in filled.notes[0]
    # With a day named, all have its price.
    assert cost_usd(rows, as_of="2026-07-30") == pytest.approx(15.60)
    fixed = fill_costs(engine(rows), as_of="2026-07-29")
    assert (fixed.pricing.changes, fixed.pricing.as_of) == ((), date(2026, 7, 29))


def test_a_price_that_changes_with_the_hour_is_the_hours(engine: Engine) -> None:
    # DeepSeek, deepseek-chat: 0.27 and 1.10 USD from 0:30 to 16:30 UTC, half of that at night.
    at = [datetime(2026, 11, 1, *clock, tzinfo=UTC).timestamp() for clock in ((0, 29), (0, 30), (16, 29), (16, 30))]
    rows = log(4, time_s=at, model="deepseek-chat", input_tokens=1_000_000, output_tokens=1_000_000)
    for day in (None, "2026-11-02"):
        filled = fill_costs(engine(rows), day)
        costs = [group.cost_micro_usd for group in aggregate(filled.frame, by=["minute"])]
        assert costs == [685_000, 1_370_000, 1_370_000, 685_000]
        assert filled.pricing.changes == ()


def test_written_tokens_cost_what_the_log_says_of_their_lifetime(engine: Engine) -> None:
    # Anthropic, Sonnet 4.5: 3 USD in, 15 out, 3.75 written for five minutes and 6 for an hour.
    rows = log(10, model="claude-sonnet-4-5", input_tokens=80_020, output_tokens=200, cache_write_tokens=80_000)
    filled = fill_costs(engine(rows))
    assert aggregate(filled.frame)[0].cost_usd == pytest.approx(3.0306)
    (assumption,) = filled.pricing.assumptions
    assert assumption.requests == 10
    assert assumption.usd == pytest.approx(3.0)
    assert "for an hour they would cost $4.80" in assumption.text
    assert any(note.startswith("assumed, for $3.00 of 10 requests: tokens written") for note in filled.notes)
    told = fill_costs(engine(rows | {"cache_write_1h_tokens": [80_000] * 10}))
    assert aggregate(told.frame)[0].cost_usd == pytest.approx(4.8306)
    short = fill_costs(engine(rows | {"cache_write_1h_tokens": [0] * 10}))
    assert aggregate(short.frame)[0].cost_usd == pytest.approx(3.0306)
    assert told.pricing.assumptions == short.pricing.assumptions == ()
    partly = fill_costs(engine(rows | {"cache_write_1h_tokens": [None] * 4 + [0] * 6}))
    assert partly.pricing.assumptions[0].requests == 4


@pytest.mark.parametrize(
    ("change", "usd"),
    [
        ({"model": "sonar-pro", "input_tokens": 9, "output_tokens": 150}, 0.016277),
        ({"model": "sonar-pro", "input_tokens": 9, "output_tokens": 150, "request_fee_micro_usd": 5000}, 0.007277),
        ({"model": "claude-sonnet-4-5", "searches": 2}, 0.003 + 0.0015 + 0.02),
        ({"model": "sonar-deep-research", "reasoning_tokens": 60}, None),
        ({"model": "gpt-4o-realtime-preview", "audio_input_tokens": 500, "audio_output_tokens": 50}, None),
        ({"model": "gpt-image-1", "image_input_tokens": 500}, None),
    ],
)
def test_every_kind_that_a_request_used_is_billed(engine: Engine, change: dict[str, Any], usd: float | None) -> None:
    if usd is None:
        kinds = {name: value for name, value in change.items() if name != "model"}
        usd = api_price(change["model"]).usd(1000, 100, **kinds)
        assert usd > 1.05 * api_price(change["model"]).usd(1000, 100) or "reasoning_tokens" in kinds
    (total,) = aggregate(fill_costs(engine(log(1, **change))).frame)
    assert total.cost_usd == pytest.approx(usd, abs=1e-6)


def test_who_serves_decides_on_the_price(engine: Engine) -> None:
    rows = log(3, model="gpt-oss-120b", provider=["cerebras", "fireworks-ai", "ovhcloud"], output_tokens=0)
    found = aggregate(fill_costs(engine(rows)).frame, by=["provider"])
    ours = {"cerebras": "cerebras", "fireworks-ai": "fireworks", "ovhcloud": "ovhcloud"}
    for group in found:
        wanted = api_price("gpt-oss-120b", ours[group.key[0]], "2026-11-01").usd(1000)
        assert group.cost_micro_usd == round(1e6 * wanted)
    assert len({group.cost_micro_usd for group in found}) > 1
    told = fill_costs(engine(rows), provider="cerebras")
    assert len({group.cost_micro_usd for group in aggregate(told.frame, by=["provider"])}) == 1
    with pytest.raises(UnknownNameError, match="unknown provider 'grok'; did you mean 'groq'"):
        fill_costs(engine(rows), provider="grok")


def test_a_provider_that_nobody_knows_leaves_the_price_to_the_models_name_and_says_so(engine: Engine) -> None:
    filled = fill_costs(engine(log(2, provider=["our-gateway", "openai"])))
    assert aggregate(filled.frame)[0].cost_usd == pytest.approx(2 * 0.0035)
    (assumption,) = filled.pricing.assumptions
    assert assumption.requests == 1
    assert assumption.usd == pytest.approx(0.0035)
    assert "no provider 'our-gateway'" in assumption.text


def test_servers_of_ones_own_send_no_bill_whatever_the_model_is_called(engine: Engine) -> None:
    rows = log(4, model=["gpt-4o", "my-model", "gpt-4o", "my-model"], provider=["hosted_vllm", "ollama", "openai", ""])
    filled = fill_costs(engine(rows))
    (total,) = aggregate(filled.frame)
    assert total.cost_usd == pytest.approx(0.0035)
    assert total.unpriced_requests == 1
    assert (filled.pricing.requests_own_server, filled.requests_priced) == (2, 1)
    assert any("2 requests went to servers of one's own" in note for note in filled.notes)
    assert list(filled.unknown) == ["my-model"]
    # A cost that somebody put down for them stays.
    kept = fill_costs(engine(rows | {"cost_micro_usd": [7, None, None, None]}), reprice=True)
    assert aggregate(kept.frame, by=["provider"])[1].cost_micro_usd == 7


def test_the_tier_of_service_that_was_used_is_paid(engine: Engine) -> None:
    rows = log(4, model="gpt-5-mini", service_tier=["standard", "batch", "flex", "priority"])
    whole = api_price("gpt-5-mini", as_of="2026-11-01").usd(1000, 100)
    found = aggregate(fill_costs(engine(rows)).frame, by=["service_tier"])
    factors = {"standard": 1, "batch": 0.5, "flex": 0.5, "priority": 1.8}
    for group in found:
        assert group.cost_micro_usd == round(1e6 * factors[group.key[0]] * whole)
    batch = aggregate(fill_costs(engine(rows), service_tier="batch").frame)[0]
    assert batch.cost_micro_usd == round(1e6 * 4 * 0.5 * whole)
    with pytest.raises(UnknownNameError, match="unknown service tier 'btach'; did you mean 'batch'"):
        fill_costs(engine(rows), service_tier="btach")


def test_a_tier_of_service_that_nobody_knows_is_priced_as_standard_and_says_so(engine: Engine) -> None:
    told = ["scale", "Scale", "auto-x", "default", "auto", "FLEX", "scale"]
    rows = log(7, model="gpt-5-mini", service_tier=told, cost_micro_usd=[None] * 6 + [1])
    filled = fill_costs(engine(rows))
    (total,) = aggregate(filled.frame)
    whole = 1e6 * api_price("gpt-5-mini", as_of="2026-11-01").usd(1000, 100)
    flex = 1e6 * api_price("gpt-5-mini", as_of="2026-11-01", service_tier="flex").usd(1000, 100)
    assert (total.cost_micro_usd, total.unpriced_requests) == (round(5 * whole + flex + 1), 0)
    assert filled.pricing.unknown_tiers == {"scale": 2, "auto-x": 1}
    assumed: dict[str, object] = {one.text: (one.requests, one.usd) for one in filled.pricing.assumptions}
    assert assumed == {
        f"the catalogue has no tier of service {tier!r}: its requests are priced as standard": (
            number, pytest.approx(number * whole / 1e6, abs=1e-6))
        for tier, number in (("auto-x", 1), ("scale", 2))
    }  # fmt: skip
    # Whoever says which tier it was has no need to assume one.
    said = fill_costs(engine(rows), service_tier="batch")
    assert (said.pricing.unknown_tiers, said.pricing.assumptions) == ({}, ())


def test_a_discount_is_taken_off_what_is_priced_here(engine: Engine) -> None:
    rows = log(2, cost_micro_usd=[None, 1000], provider=["openai", "openai"])
    filled = fill_costs(engine(rows), discount=0.12)
    assert aggregate(filled.frame)[0].cost_usd == pytest.approx(0.001 + 0.88 * 0.0035)
    assert any(note.startswith("negotiated: 12 % off") for note in filled.notes)
    azure = fill_costs(engine(rows), discount=Discounts(by_provider={"azure": 0.5}))
    assert aggregate(azure.frame)[0].cost_usd == pytest.approx(0.0045)
    with pytest.raises(InvalidValueError, match="discount must be"):
        fill_costs(engine(rows), discount=12)


def test_costs_that_are_there_are_replaced_where_that_is_asked_for(engine: Engine) -> None:
    rows = log(4, cost_micro_usd=[None, 1, -500, 9], model=["gpt-4o", "gpt-4o", "gpt-4o", "in-house"])
    filled = fill_costs(engine(rows), reprice=True)
    (total,) = aggregate(filled.frame)
    assert total.cost_micro_usd == 2 * 3500 - 500 + 9
    assert (filled.pricing.requests_priced, filled.pricing.requests_repriced) == (1, 1)
    assert "1 request with a cost, which is replaced, and 1 request without a cost were priced" in filled.notes[0]


def test_a_row_of_many_requests_is_priced_as_so_many(engine: Engine) -> None:
    long = log(1, model="gemini-2.5-pro", input_tokens=1_000_000, output_tokens=0, requests=5)
    filled = fill_costs(engine(long))
    assert filled.requests_priced == 5
    assert aggregate(filled.frame)[0].cost_usd == pytest.approx(1.25)  # each is short; one of a million would be 2.50
    fees = log(1, model="sonar-pro", input_tokens=9000, output_tokens=150_000, requests=1000)
    assert aggregate(fill_costs(engine(fees)).frame)[0].cost_usd == pytest.approx(16.277)


def test_a_deployment_is_the_model_behind_it(engine: Engine) -> None:
    rows = log(1, model="chat-prod", provider="azure")
    assert fill_costs(engine(rows)).unknown
    filled = fill_costs(engine(rows), deployments={"chat-prod": "gpt-4o"})
    assert aggregate(filled.frame)[0].cost_usd == pytest.approx(0.0035)


def test_a_deployment_that_no_request_names_is_told(engine: Engine) -> None:
    rows = engine(log(2, model=["azure/Chat-Prod", "gpt-4o"], provider="azure"))
    filled = fill_costs(rows, deployments={"chat-prod": "gpt-4o", "GPT-4o": "gpt-4o", "chat-prdo": "gpt-4o"})
    assert filled.pricing.unused_deployments == ("chat-prdo",)
    (said,) = (line for line in filled.pricing.notes if "--deployment" in line)
    assert said == "no request that wants a price is of 'chat-prdo', given as --deployment: is it the name in the log?"


def test_a_deployment_of_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    rows = duckdb_frame(log(1, model="chat-prod", provider="azure"))
    wrong = r"unknown model behind the deployment 'chat-prod': 'gpt-4oo'; did you mean 'gpt-4o'"
    for provider in (None, "azure", "openai"):
        with pytest.raises(UnknownNameError, match=wrong):
            fill_costs(rows, provider=provider, deployments={"chat-prod": "gpt-4oo"})
    with pytest.raises(UnknownNameError, match=r"behind the deployment 'never-seen': 'zzz'; known: "):
        fill_costs(rows, deployments={"never-seen": "zzz"})
    # What is known under the provider's name alone, at a gateway, on one's own server, or without a price of tokens.
    for model in ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "azure/gpt-4o", "ollama/llama3.2", "whisper-1"):
        fill_costs(rows, deployments={"chat-prod": model})
    served_by = duckdb_frame(log(1, model="chat-prod", provider="huggingface_novita"))
    fill_costs(served_by, deployments={"chat-prod": "deepseek-ai/DeepSeek-V3.2-Exp"})


def test_what_has_no_price_is_listed_with_its_reason_and_the_nearest_names(engine: Engine) -> None:
    rows = log(6, model=["gpt-4oo", "gpt-4oo", "whisper-1", "claude-3-haiku", "claude-3-haiku", "gpt-4o"],
               searches=[0, 0, 0, 1, 0, 0])  # fmt: skip
    filled = fill_costs(engine(rows))
    first, *others = filled.pricing.unpriced
    assert (first.model, first.requests, first.nearest[0]) == ("gpt-4oo", 2, "gpt-4o")
    assert [(one.model, one.requests) for one in others] == [("claude-3-haiku", 1), ("whisper-1", 1)]
    reasons = {one.model: one.reason for one in filled.pricing.unpriced}
    assert filled.requests_priced == 2
    assert "no price per input token for 'whisper-1'" in reasons["whisper-1"]
    assert "no price per search" in reasons["claude-3-haiku"]
    assert aggregate(filled.frame)[0].unpriced_requests == 4  # that of the search, not the other


def test_a_name_of_ones_own_is_asked_for_rather_than_guessed_at(engine: Engine) -> None:
    """Of two thousand names one is half like any other, as gpt-5-pro is like chat-prod."""
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
    rows = log(3, model=["chat-prod", profile, "claude-sonnett-4-5"], provider=["azure", "aws", ""])
    pricing = fill_costs(engine(rows)).pricing
    assert {one.model: one.nearest for one in pricing.unpriced} == {
        "chat-prod": (), profile: (), "claude-sonnett-4-5": ("claude-sonnet-4-5",),
    }  # fmt: skip
    assert "where a name is one's own, say which model stands behind it: --deployment" in "".join(pricing.notes)
    (why,) = [note for note in pricing.notes if note.startswith(f"no price for 1 request of {profile}")]
    assert why.count(profile) == 1  # named once
    behind = {"chat-prod": "gpt-4.1", profile: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}
    told = fill_costs(engine(rows), deployments=behind).pricing
    assert not any("--deployment" in note for note in told.notes)


def test_requests_after_the_catalogues_day_have_its_last_price_and_say_so(engine: Engine) -> None:
    rows = log(2, time_s=[noon(date(2026, 11, 9)), noon(date(2026, 12, 24))])
    filled = fill_costs(engine(rows))
    (assumption,) = filled.pricing.assumptions
    assert assumption.requests == 1
    assert assumption.usd == pytest.approx(0.0035)
    assert "prices have not changed since 2026-11-09" in assumption.text
    with pytest.raises(PriceNotFoundError, match="no API prices after 2026-11-09"):
        fill_costs(engine(rows), as_of="2026-12-24")


def test_requests_before_the_first_known_price_have_that_and_say_so(engine: Engine) -> None:
    """The snapshot's history begins on 22 May 2025; a name may tell the day of a release, a tier when it was seen."""
    days = [date(2025, 5, 21), date(2025, 5, 22), date(2025, 9, 28), date(2025, 9, 29), date(2026, 10, 13)]
    models = ["gpt-4o", "gpt-4o", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929", "gpt-5-mini"]
    rows = log(5, time_s=[noon(day) for day in days], model=models, service_tier=["standard"] * 4 + ["batch"])
    filled = fill_costs(engine(rows))
    (total,) = aggregate(filled.frame)
    assert total.unpriced_requests == 0
    (assumption,) = filled.pricing.assumptions
    assert assumption.text == (
        "the first known price holds for the time before it, too: gpt-4o (known since 2025-05-22), "
        "claude-sonnet-4-5 (known since 2025-09-29), gpt-5-mini at batch (known since 2026-10-14)"
    )
    early = [
        api_price(model, None, day, tier).usd(1000, 100)
        for model, day, tier in zip(models, days, rows["service_tier"], strict=True)
    ]
    assert assumption.requests == 3
    assert assumption.usd == pytest.approx(early[0] + early[2] + early[4], abs=3e-6)
    assert any("of 3 requests: the first known price" in note for note in filled.notes)
    # With a day named, it is the day that may be early; of today's all is known.
    (assumption,) = fill_costs(engine(rows), "2025-05-21").pricing.assumptions
    assert assumption.requests == 5
    assert fill_costs(engine(rows), "2026-11-01").pricing.assumptions == ()
    assert "no price is known before 2025-05-22; this is the first" in api_price("gpt-4o", as_of="2025-05-21").note
    assert "no price is known" not in api_price("gpt-4o", as_of="2025-05-22").note


def test_hundreds_of_models_are_told_apart() -> None:
    names = sorted(api_models("openrouter"))[::2]
    rows = log(len(names), model=names, provider="openrouter", input_tokens=1_000_000)
    filled = fill_costs(duckdb_frame(rows))
    found = {one.key[0]: one for one in aggregate(filled.frame, by=["model"])}
    assert len(found) == len(names) > 200
    for name in names:
        if name not in filled.unknown:
            usd = api_price(name, "openrouter", "2026-11-01").usd(1_000_000, 100)
            assert math.isclose(found[name].cost_usd, usd, abs_tol=1e-6), name
    assert fill_costs(pandas_frame(rows)).requests_priced == filled.requests_priced


def test_every_engine_prices_the_same() -> None:
    rng, count = np.random.default_rng(3), 2000
    models = ["gpt-4o", "claude-sonnet-4-5", "deepseek-chat", "gpt-5.6-luna", "sonar-pro", "gemini-2.5-pro", "nobody's"]
    tokens = rng.integers(1, 400_000, count)
    written = tokens // 3
    rows = log(
        count,
        time_s=(rng.uniform(noon(date(2026, 6, 1)), noon(date(2026, 11, 9)), count)).tolist(),
        model=rng.choice(models, count).tolist(),
        provider=rng.choice(["", "hosted_vllm", "somebody"], count, p=[0.8, 0.1, 0.1]).tolist(),
        service_tier=rng.choice(["standard", "batch"], count).tolist(),
        input_tokens=tokens.tolist(),
        cached_input_tokens=(tokens // 2).tolist(),
        cache_write_tokens=written.tolist(),
        cache_write_1h_tokens=[None if n % 3 == 0 else int(n) // 2 for n in written],
        output_tokens=rng.integers(0, 5000, count).tolist(),
        cost_micro_usd=[None if n % 4 else 5 for n in range(count)],
    )
    first, *others = (fill_costs(make(rows)) for make in ENGINES)
    totals = aggregate(first.frame, by=["model", "provider", "service_tier"])
    assert len(totals) > 20
    for other in others:
        assert other.pricing.unpriced == first.pricing.unpriced
        assert aggregate(other.frame, by=["model", "provider", "service_tier"]) == totals
        for one, same in zip(other.pricing.assumptions, first.pricing.assumptions, strict=True):
            assert one.requests == same.requests
            assert one.usd == pytest.approx(same.usd)
