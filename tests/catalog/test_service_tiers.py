"""Batch, flex and priority: what the providers' price lists say, by model, kind of tokens and day."""

import math
import tomllib
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from genai_prices import Usage
from genai_prices.data import providers as snapshot

from costlab.catalog import api_price, service_tier_factor
from costlab.catalog.model_ids import find_model
from costlab.catalog.provider_ids import providers
from costlab.catalog.service_tiers import _CONTEXTS, prices_at
from costlab.errors import PriceNotFoundError, UnknownNameError
from costlab.events import SERVICE_TIERS


@pytest.mark.parametrize(
    ("provider", "model", "tier", "kind", "factor"),
    [
        # OpenAI's pages of prices and of priority processing: gpt-5-mini 0.25, flex and batch 0.125, priority 0.45.
        ("openai", "gpt-5-mini", "batch", "input", 0.5),
        ("openai", "gpt-5-mini", "flex", "output", 0.5),
        ("openai", "gpt-5-mini", "priority", "input", 1.8),
        ("openai", "gpt-5-mini", "priority", "cache_read", 1.8),
        ("openai", "gpt-5.5", "priority", "input", 2.5),
        ("openai", "gpt-4.1", "priority", "output", 1.75),
        ("openai", "gpt-4o-mini", "batch", "input", 0.5),
        ("openai", "gpt-5-mini", "standard", "input", 1.0),
        # OpenAI's fine-tuned models: gpt-4.1 3 USD, in a batch 1.50; read from the cache 0.75 and 0.50.
        ("openai", "ft:gpt-4.1-2025-04-14:acme::1", "batch", "input", 0.5),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::1", "batch", "cache_read", 0.5 / 0.75),
        # Anthropic: half of everything, cache reads and writes included.
        ("anthropic", "claude-sonnet-4-5", "batch", "output", 0.5),
        ("anthropic", "claude-sonnet-4-5", "batch", "cache_read", 0.5),
        ("anthropic", "claude-sonnet-4-5", "batch", "cache_write_1h", 0.5),
        ("anthropic", "claude-3-5-haiku-20241022", "batch", "cache_write", 0.5),
        # Google: the discounts of cache and batch do not stack, that of the cache holds; priority 1.8 times.
        ("google", "gemini-2.5-pro", "batch", "input", 0.5),
        ("google", "gemini-2.5-pro", "batch", "cache_read", 1.0),
        ("google", "gemini-2.5-pro", "flex", "cache_read", 1.0),
        ("google", "gemini-3.1-flash-lite", "flex", "cache_read", 0.5),
        ("google", "gemini-2.5-flash", "priority", "output", 1.8),
        ("google", "claude-sonnet-4-5@20250929", "batch", "cache_read", 0.5),
        # Mistral, Groq (flex is as on demand), xAI (a fifth off), Together, Fireworks (gpt-oss-120b: 0.15, 0.18).
        ("mistral", "mistral-small-2506", "batch", "output", 0.5),
        ("groq", "openai/gpt-oss-120b", "batch", "cache_read", 1.0),
        ("groq", "llama-3.3-70b-versatile", "flex", "output", 1.0),
        ("x-ai", "grok-4.3", "batch", "input", 0.8),
        ("together", "openai/gpt-oss-120b", "batch", "input", 0.5),
        ("fireworks", "gpt-oss-120b", "priority", "input", 1.2),
        ("fireworks", "gpt-oss-120b", "batch", "input", 0.5),
        # Clouds: half for a batch; Bedrock's flex 0.5 and priority 1.75; Azure's priority as OpenAI's.
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "batch", "input", 0.5),
        ("aws", "amazon.nova-pro-v1:0", "flex", "input", 0.5),
        ("aws", "eu.amazon.nova-pro-v1:0", "priority", "output", 1.75),
        ("azure", "gpt-4o", "batch", "input", 0.5),
        ("azure", "gpt-5-mini", "priority", "input", 1.8),
        ("azure", "azure/eu/gpt-5-mini", "priority", "input", 1.8),
    ],
)
def test_a_tier_costs_what_the_provider_says(provider: str, model: str, tier: str, kind: str, factor: float) -> None:
    assert math.isclose(service_tier_factor(provider, model, tier, kind=kind), factor, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("openai", "gpt-4o", "flex"),  # not on the list of flex processing
        ("anthropic", "claude-sonnet-4-5", "priority"),  # sold as committed capacity
        ("perplexity", "sonar", "batch"),
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "flex"),
        ("openrouter", "openai/gpt-4o-mini", "batch"),
        ("azure", "gpt-4o", "priority"),  # OpenAI has it, Azure not
    ],
)
def test_a_tier_that_a_provider_does_not_price_has_no_price(provider: str, model: str, tier: str) -> None:
    with pytest.raises(PriceNotFoundError, match=f"no price of the {tier} tier for"):
        service_tier_factor(provider, model, tier)


def test_a_tier_has_no_price_before_it_began() -> None:
    # Together announced its batches on 11 June 2025.
    assert service_tier_factor("together", "openai/gpt-oss-120b", "batch", "2025-06-11") == 0.5
    with pytest.raises(PriceNotFoundError, match="no batch tier at together before 2025-06-11"):
        service_tier_factor("together", "openai/gpt-oss-120b", "batch", "2025-06-10")


def test_before_the_snapshot_has_a_tier_it_costs_the_same_share() -> None:
    # The snapshot has priority prices since somebody looked, 12 October 2026; o3 was more expensive until June 2025.
    assert service_tier_factor("openai", "o3", "priority", "2026-10-12") == 1.75
    assert service_tier_factor("openai", "o3", "priority", "2025-06-01") == 1.75
    early = prices_at(find_model("o3", "openai"), datetime(2025, 6, 1, tzinfo=UTC), "priority")
    assert early["input_mtok"] == 17.5


def test_a_tier_of_the_snapshot_is_the_snapshots_price() -> None:
    """All variants of the snapshot, on a day when they hold: the price of a request, token kinds included."""
    moment = datetime(2026, 11, 9, 12, tzinfo=UTC)
    usage = Usage(input_tokens=3000, cache_read_tokens=1000, output_tokens=500)
    compared = 0
    for provider in snapshot:
        for model in provider.models:
            for tier, context in _CONTEXTS.items():
                live = [one for one in model.price_variants or () if one.when == context]
                if not any(one.constraint is None or one.constraint.active(moment) for one in live):
                    continue
                found = find_model(model.id, provider.id)
                if found.model.prices != model.prices:
                    continue  # a name that our rows price
                ours = prices_at(found, moment, tier)
                theirs = vars(model.get_prices(moment, context))
                assert ours == {key: price for key, price in theirs.items() if price is not None}
                if "input_mtok" in ours and "changes with the hour" not in api_price(model.id, provider.id).note:
                    total = model.calc_price(usage, provider, genai_request_timestamp=moment, price_context=context)
                    usd = api_price(model.id, provider.id, moment.date(), tier).usd(3000, 500, 1000)
                    assert math.isclose(usd, float(total.total_price), rel_tol=1e-12), (model.id, tier)
                compared += 1
    assert compared > 150


def test_a_regions_price_has_its_tiers() -> None:
    # AWS: Nova Pro in Europe 1.05 USD; flex half of that.
    found = find_model("eu.amazon.nova-pro-v1:0", "aws")
    now = datetime(2026, 11, 9, tzinfo=UTC)
    assert float(prices_at(found, now, "flex")["input_mtok"]) == pytest.approx(0.525)  # type: ignore[arg-type]
    assert api_price("eu.amazon.nova-pro-v1:0", "aws").input_usd_per_mtok == 1.05


def test_unknown_names_are_told() -> None:
    with pytest.raises(UnknownNameError, match="unknown service tier 'scale'; known: standard, batch, flex, priority"):
        service_tier_factor("openai", "gpt-4o", "scale")
    with pytest.raises(UnknownNameError, match="unknown kind of tokens 'images'"):
        service_tier_factor("openai", "gpt-4o", "batch", kind="images")
    with pytest.raises(PriceNotFoundError, match="no price per cache_write token for 'gpt-4o'"):
        service_tier_factor("openai", "gpt-4o", "batch", kind="cache_write")


def test_each_row_is_dated_and_sourced_and_of_a_known_model() -> None:
    rows = tomllib.loads((files("costlab.catalog") / "service_tiers.toml").read_text(encoding="utf-8"))["tier"]
    for row in rows:
        assert row["tier"] in SERVICE_TIERS[1:]
        assert row["source_url"].startswith("https://")
        assert row["checked"].year == 2026
        assert set(row) <= {
            "provider", "tier", "models", "factor", "output_factor", "cached_input_factor", "cache_write_factor",
            "since", "checked", "source_url", "note",
        }  # fmt: skip
        sellers = [providers()[name] for name in (row["provider"], "openai", "anthropic")]
        assert set(row.get("models", ())) <= {model.id for seller in sellers for model in seller.models}
    # No two rows say different things of one model.
    named = [(row["provider"], row["tier"], model, row["checked"]) for row in rows for model in row.get("models", [""])]
    assert len(named) == len(set(named))
