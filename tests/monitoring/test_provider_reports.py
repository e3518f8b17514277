"""What providers' own APIs report: pages after the types of openai 3.57.0 and anthropic 2.14.0, and Anthropic's pages.

platform.claude.com/docs/en/api/admin/usage_report and .../cost_report, read on 2026-11-30: "amount" is cents as a
decimal text. Line items of OpenAI's costs are called after the model and the kind of token.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.monitoring import Report, UsageLog, aggregate, build_report, fill_costs, open_log, report_lines
from costlab.monitoring.report.render import facts
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

DAY = 1_793_664_000  # 2026-11-03

#: A result of /v1/organization/usage/completions, grouped by model, project and tier.
COMPLETIONS: dict[str, Any] = {
    "object": "organization.usage.completions.result",
    "input_tokens": 1_000_000,
    "input_cached_tokens": 400_000,
    "input_uncached_tokens": 600_000,
    "input_cache_write_tokens": 0,
    "output_tokens": 50_000,
    "num_model_requests": 500,
    "model": "gpt-5-mini-2025-08-07",
    "project_id": "proj_shop",
    "service_tier": "default",
    "batch": False,
}
EMBEDDINGS = {
    "object": "organization.usage.embeddings.result",
    "input_tokens": 1_000_000,
    "num_model_requests": 10,
    "model": "text-embedding-3-small",
    "project_id": "proj_search",
}
COST: dict[str, Any] = {
    "object": "organization.costs.result",
    "amount": {"value": 0.25, "currency": "usd"},
    "line_item": "gpt-5-mini-2025-08-07, cached input",
    "project_id": "proj_shop",
    "quantity": 600_000,
    "quantity_unit": "tokens",
}

#: The example of Anthropic's page, and one of its cost report.
MESSAGES: dict[str, Any] = {
    "uncached_input_tokens": 1500,
    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
    "cache_read_input_tokens": 200,
    "output_tokens": 500,
    "server_tool_use": {"web_search_requests": 10},
    "api_key_id": "apikey_01",
    "workspace_id": "wrkspc_01",
    "model": "claude-sonnet-4-5-20250929",
    "service_tier": "standard",
    "context_window": "0-200k",
}
AMOUNT: dict[str, Any] = {
    "amount": "123.78912",
    "currency": "USD",
    "cost_type": "tokens",
    "description": "Claude Sonnet 4.5 Usage - Input Tokens",
    "model": "claude-sonnet-4-5-20250929",
    "token_type": "uncached_input_tokens",
    "service_tier": "standard",
    "context_window": "0-200k",
    "workspace_id": "wrkspc_01",
}


def openai_page(*results: object, day: int = 0) -> dict[str, Any]:
    start = DAY + day * 86_400
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def anthropic_page(*results: object, day: int = 3) -> dict[str, Any]:
    times = {"starting_at": f"2026-11-{day:02d}T00:00:00Z", "ending_at": f"2026-11-{day + 1:02d}T00:00:00Z"}
    return {"data": [times | {"results": results}], "has_more": False, "next_page": None}


def opened(tmp_path: Path, *pages: object, name: str = "pages.json") -> UsageLog:
    path = tmp_path / name
    path.write_text(json.dumps(pages[0], indent=2) if len(pages) == 1 else "\n".join(map(json.dumps, pages)))
    return open_log(path)


def report_of(log: UsageLog) -> Report:
    filled = fill_costs(log.frame)
    return build_report(filled.frame, notes=(*log.notes, *filled.notes), pricing=filled.pricing, read=log.read)


def test_openai_usage_is_priced_by_model_and_tier_at_its_day(tmp_path: Path) -> None:
    images = {"object": "organization.usage.images.result", "images": 3, "num_model_requests": 3, "model": "dall-e-3"}
    free = {"object": "organization.usage.moderations.result", "input_tokens": 9, "num_model_requests": 1,
            "model": "omni-moderation-latest"}  # fmt: skip
    page = openai_page(COMPLETIONS, COMPLETIONS | {"batch": True}, EMBEDDINGS, images, free)
    log = opened(tmp_path, page)
    assert log.format == "openai-usage"
    assert list(log.read.dropped.values()) == [1]
    report = report_of(log)
    mini = api_price("gpt-5-mini", "openai").usd(1_000_000, 50_000, 400_000, requests=500)
    small = api_price("text-embedding-3-small", "openai").usd(1_000_000, 0)
    # Batch is half of that; moderation is free.
    assert report.total.cost_micro_usd == round(1e6 * (mini + mini / 2 + small))
    assert (report.total.requests, report.total.unpriced_requests) == (1011, 0)
    assert {tenant.key[0] for tenant in report.tenants} == {"proj_shop", "proj_search", ""}


def test_costs_are_the_dollars_where_usage_is_told_too(tmp_path: Path) -> None:
    output = COST | {"amount": {"value": "0.1", "currency": "usd"}, "line_item": "gpt-5-mini-2025-08-07, output"}
    later = openai_page(COMPLETIONS, day=5)
    both = report_of(opened(tmp_path, openai_page(COMPLETIONS), openai_page(COST, output), later, name="b.jsonl"))
    priced = round(1e6 * api_price("gpt-5-mini", "openai").usd(1_000_000, 50_000, 400_000, requests=500))
    # The sixth day has no costs: its usage is priced.
    assert both.total.cost_micro_usd == 350_000 + priced
    assert (both.total.requests, both.total.input_tokens, both.total.output_tokens) == (1000, 2_000_000, 100_000)
    assert [model.key[0] for model in both.models] == ["gpt-5-mini-2025-08-07"]
    # Costs alone: their quantities are the tokens.
    alone = report_of(opened(tmp_path, openai_page(COST, output | {"quantity": 50, "quantity_unit": "1000_tokens"})))
    total = alone.total
    assert (total.cost_micro_usd, total.requests) == (350_000, 0)
    assert (total.input_tokens, total.cached_input_tokens, total.output_tokens) == (600_000, 600_000, 50_000)


def test_pages_that_overlap_count_once_and_grow(tmp_path: Path) -> None:
    """Today's bucket is asked for again an hour later."""
    grown = COMPLETIONS | {"output_tokens": 60_000, "num_model_requests": 600}
    log = opened(tmp_path, openai_page(COMPLETIONS), openai_page(grown), openai_page(COMPLETIONS), name="p.jsonl")
    (total,) = aggregate(log.frame)
    assert (total.requests, total.output_tokens, log.read.repeated) == (600, 60_000, 2)


def test_audio_of_older_answers_stood_beside_the_text(tmp_path: Path) -> None:
    audio = {"input_audio_tokens": 50, "output_audio_tokens": 5}
    text = {"input_tokens": 100, "input_cached_tokens": 0, "output_tokens": 10, "num_model_requests": 1}
    old = {"object": COMPLETIONS["object"], "model": "gpt-4o-audio-preview"} | text | audio
    (total,) = aggregate(opened(tmp_path, openai_page(old)).frame)
    assert (total.input_tokens, total.output_tokens) == (150, 15)
    new = old | {"input_uncached_tokens": 90, "input_cached_audio_tokens": 10, "input_cached_tokens": 10}
    (total,) = aggregate(opened(tmp_path, openai_page(new)).frame)
    assert (total.input_tokens, total.output_tokens) == (100, 10)


def test_anthropic_usage_with_lifetimes_searches_and_tiers(tmp_path: Path) -> None:
    pages = [anthropic_page(MESSAGES, MESSAGES | {"service_tier": "batch"})]
    log = opened(tmp_path, *pages)
    assert log.format == "anthropic-usage"
    (total,) = aggregate(fill_costs(log.frame).frame)
    tokens = 1500 * 3 + 500 * 3.75 + 1000 * 6 + 200 * 0.3 + 500 * 15  # USD a million
    assert total.cost_micro_usd == int(tokens + tokens / 2 + 2 * 0.1e6 + 0.5)  # halves up
    assert (total.input_tokens, total.cached_input_tokens, total.cache_write_tokens) == (6400, 400, 3000)
    assert (total.requests, total.searches) == (0, 20)
    assert any("counts no requests" in note for note in log.notes)
    report = report_of(log)
    assert any(note.startswith("sums that count no requests were priced from the catalogue") for note in report.notes)
    # Most of the cost are the searches, and none of it is laid on the tokens.
    (kinds,) = [words for name, words in facts(report) if name == "by kind of token"]
    assert kinds.endswith("for output, $0.20 for 20 searches")


def test_a_sum_without_requests_is_short_unless_its_window_is_told(tmp_path: Path) -> None:
    """Above 200,000 tokens a request to Sonnet 4.5 costs twice as much; ten million in a day may be short ones."""
    many = MESSAGES | {"uncached_input_tokens": 10_000_000, "cache_read_input_tokens": 0, "output_tokens": 0,
                       "cache_creation": {}, "server_tool_use": {"web_search_requests": 0}}  # fmt: skip
    filled = fill_costs(opened(tmp_path, anthropic_page(many)).frame)
    (total,) = aggregate(filled.frame)
    assert total.cost_usd == pytest.approx(30.0)
    (assumed,) = [one for one in filled.pricing.assumptions if "mean length" in one.text]
    assert assumed.usd == pytest.approx(30.0)
    assert any(note.startswith("assumed, for $30.00: sums") for note in filled.notes)
    long = opened(tmp_path, anthropic_page(many | {"context_window": "200k-1M"}))
    (total,) = aggregate(fill_costs(long.frame).frame)
    assert total.requests == 1
    assert total.cost_usd == pytest.approx(60.0)


def test_anthropic_costs_are_cents_and_leave_the_priority_tier_out(tmp_path: Path) -> None:
    search = {"amount": "50", "currency": "USD", "cost_type": "web_search", "description": "Web Search Usage"}
    usage = anthropic_page(MESSAGES, MESSAGES | {"service_tier": "priority"})
    report = report_of(opened(tmp_path, usage, anthropic_page(AMOUNT, search), name="pages.jsonl"))
    assert report.total.cost_micro_usd == 1_237_891 + 500_000
    assert {model.key[0]: model.cost_micro_usd for model in report.models} == {
        "claude-sonnet-4-5-20250929": 1_237_891,
        "Web Search Usage": 500_000,
    }
    # Nobody tells what the priority tier cost, which is no zero.
    lines = [line for line in report_lines(report, "pages", 200) if isinstance(line, str)]
    assert any("unpriced: sums of claude-sonnet-4-5-20250929" in line for line in lines)
    # The newer reports count requests, and have list prices too.
    newer = {"amount": "90.5", "list_amount": "100", "currency": "USD", "requests": 7, "model": "claude-opus-5"}
    total = report_of(opened(tmp_path, anthropic_page(newer))).total
    assert (total.cost_micro_usd, total.requests) == (905_000, 7)


def test_what_a_report_does_not_tell_is_said(tmp_path: Path) -> None:
    page = openai_page(COMPLETIONS | {"model": None})
    log = opened(tmp_path, page)
    assert any("group_by=model" in note for note in log.notes)
    assert list(fill_costs(log.frame).unknown) == ["(all models)"]
    euro = openai_page(COST | {"amount": {"value": 1, "currency": "eur"}})
    with pytest.raises(LogError, match=r"pages.json has costs in eur; only USD is read"):
        opened(tmp_path, euro)
    spoiled = openai_page(COMPLETIONS | {"output_tokens": "many"})
    with pytest.raises(LogError, match="output_tokens 'many' is no whole number"):
        opened(tmp_path, spoiled)
    with pytest.raises(LogError, match="without time_s"):
        opened(tmp_path, {"data": [{"object": "bucket"}]}, openai_page(COMPLETIONS), name="p.jsonl")
    us = anthropic_page(MESSAGES | {"inference_geo": "us", "speed": "fast", "model": "claude-opus-5-5"})
    log = opened(tmp_path, us)
    assert any("1.1 times" in note for note in log.notes)
    assert list(fill_costs(log.frame).unknown) == ["claude-opus-5-5-fast"]
