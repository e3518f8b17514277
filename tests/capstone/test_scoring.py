"""What plans come to: today's bill, and why the easy plans fail."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from costlab.capstone import (
    BUDGET_USD_PER_MONTH,
    TODAY,
    Api,
    CascadeServing,
    EndpointPlan,
    ExactCache,
    Fleet,
    FleetServing,
    Plan,
    RequestLog,
    Score,
    SpendLimits,
    endpoint,
    memo,
    request_log,
    score,
)
from costlab.capstone.replay import prefix_hits
from costlab.capstone.terms import DAYS_PER_MONTH, PEOPLE_USD_PER_MONTH
from costlab.catalog import api_price
from costlab.errors import InvalidValueError
from costlab.token_economics import CacheRates


@pytest.fixture(scope="module")
def log() -> RequestLog:
    return request_log()


@pytest.fixture(scope="module")
def today(log: RequestLog) -> Score:
    return score(TODAY, log)


def changed(routes: Mapping[str, EndpointPlan], plan: Plan = TODAY) -> Plan:
    """A plan with some routes replaced, and without the fleets that are no longer used."""
    merged = {**plan.endpoints, **routes}
    used = {route.serve.fleet for route in merged.values() if isinstance(route.serve, FleetServing)}
    fleets = {name: fleet for name, fleet in plan.fleets.items() if name in used}
    return Plan(merged, fleets, plan.limits)


def changed_endpoint(name: str, *parts: Any) -> dict[str, dict[str, EndpointPlan]]:
    return {"endpoints": {**TODAY.endpoints, name: EndpointPlan(*parts)}}


def kinds(found: Score) -> set[str]:
    return {violation.split(":")[0] for violation in found.violations}


def test_the_company_pays_about_120_thousand_dollars_a_month(today: Score) -> None:
    assert today.usd_per_month == pytest.approx(120_000, rel=0.01)
    assert today.usd_per_month == today.today_usd_per_month == pytest.approx(sum(today.parts_usd.values()))
    assert kinds(today) == {"budget"}
    assert today.saving_fraction == 0.0


def test_a_month_of_tags_is_what_the_catalogue_says(log: RequestLog, today: Score) -> None:
    price, rows = api_price("gpt-4o-mini"), log.of("tags")
    usd = sum(price.usd(int(log.input_tokens[row]), int(log.output_tokens[row])) for row in rows[:1000].tolist())
    usd *= log.input_tokens[rows].sum() / log.input_tokens[rows[:1000]].sum()
    assert today.parts_usd["tags"] == pytest.approx(DAYS_PER_MONTH * float(usd), rel=0.01)
    assert today.parts_usd["support"] == pytest.approx(DAYS_PER_MONTH * 50_000 * 0.03)


def test_the_runaway_is_counted_once_a_month(log: RequestLog, today: Score) -> None:
    day = (today.usd_per_month - today.parts_usd["people"] - today.parts_usd["runaway"]) / DAYS_PER_MONTH
    assert today.runaway_day_usd == pytest.approx(day + today.parts_usd["runaway"])


def test_the_same_plan_has_the_same_score_to_the_last_cent(log: RequestLog, today: Score) -> None:
    assert score(TODAY) == today == score(TODAY, log)


def test_the_cheapest_model_everywhere_breaks_floors_and_privacy(log: RequestLog) -> None:
    nano = EndpointPlan(Api("gpt-4.1-nano"))
    routes = dict.fromkeys(("texts", "search", "agents", "tags"), nano)
    found = score(changed(routes | {"support": EndpointPlan(CascadeServing(("words",), ()))}), log)
    assert found.saving_fraction > 0.9
    assert kinds(found) == {"quality", "privacy"}
    assert [v for v in found.violations if "tags" in v] == []


def test_everything_on_gpus_of_ones_own_fails_on_quality(log: RequestLog) -> None:
    own = {"big": Fleet("Llama-3.1-70B", "H100", "fp8", gpus_per_replica=2), **TODAY.fleets}
    routes = {name: EndpointPlan(FleetServing("big")) for name in ("texts", "agents", "tags")}
    found = score(Plan({**TODAY.endpoints, **routes}, own), log)
    assert "quality: agents has 81.9%, the floor is 88.0%" in found.violations
    assert found.parts_usd["people"] == 2 * PEOPLE_USD_PER_MONTH


def test_one_limit_for_all_refuses_those_who_did_nothing(log: RequestLog) -> None:
    found = score(replace(TODAY, limits=SpendLimits(total_usd_per_day=4_000)), log)
    assert found.parts_usd["runaway"] < 2_000
    assert "guard" in kinds(found)
    assert found.refused_fraction > 0.3


def test_a_limit_for_each_client_stops_the_runaway_alone(log: RequestLog, today: Score) -> None:
    found = score(replace(TODAY, limits=SpendLimits(client_usd_per_day=800)), log)
    assert found.refused_fraction < 0.001
    assert found.parts_usd["runaway"] < 800 < today.parts_usd["runaway"]


def test_too_tight_a_limit_saves_by_refusing(log: RequestLog) -> None:
    found = score(replace(TODAY, limits=SpendLimits(client_usd_per_day=100)), log)
    assert found.saving_fraction > 0.5
    assert "guard" in kinds(found)


@pytest.mark.parametrize(
    ("fleet", "broken"),
    [
        (Fleet("Llama-3.1-8B", "A10G", "int8"), set()),
        (Fleet("Llama-3.1-8B", "A10G", "int4"), {"quality"}),
        (Fleet("Llama-3.1-8B", "A10G", "int8", spot=True), {"spot"}),
        (Fleet("Llama-3.1-8B", "L4"), {"capacity"}),
    ],
)
def test_search_finds_its_own_traps(log: RequestLog, fleet: Fleet, broken: set[str]) -> None:
    found = score(Plan({**TODAY.endpoints, "search": EndpointPlan(FleetServing("mine"))}, {"mine": fleet}), log)
    assert kinds(found) - {"budget"} == broken


def test_a_batch_is_half_the_price_and_too_late_for_people(log: RequestLog, today: Score) -> None:
    found = score(
        changed({"texts": EndpointPlan(Api("gpt-4o", batch=True)), "agents": EndpointPlan(Api("gpt-4o", batch=True))}),
        log,
    )
    assert found.parts_usd["texts"] == pytest.approx(today.parts_usd["texts"] / 2)
    assert kinds(found) == {"budget", "batch"}
    said = "batch: agents: answers to platform and payments and nightly-agent are due within 20 s"
    assert f"{said}, and a batch takes up to a day" in found.violations


def test_what_can_wait_goes_in_batches_and_the_rest_is_answered_at_once(log: RequestLog, today: Score) -> None:
    found = score(changed({"agents": EndpointPlan(Api("gpt-4o", batch_clients=("data",)))}), log)
    part, before = found.endpoints[3], today.endpoints[3]
    assert kinds(found) == {"budget"}
    assert part.batch_fraction == pytest.approx(endpoint("agents").clients["data"], abs=0.005)
    assert part.usd_per_month == pytest.approx(before.usd_per_month * (1 - part.batch_fraction / 2), rel=0.01)
    assert part.latency_s == pytest.approx(before.latency_s, rel=0.05)


def test_a_batch_saves_less_where_a_prompt_cache_would_have_been_read(log: RequestLog) -> None:
    def month(*, cached: bool, clients: tuple[str, ...]) -> float:
        serve = Api("gpt-4.1", stable_prefix=cached, batch_clients=clients)
        return score(changed({"agents": EndpointPlan(serve)}), log).parts_usd["agents"]

    plain, read = (month(cached=kept, clients=()) - month(cached=kept, clients=("data",)) for kept in (False, True))
    assert 0 < read < 0.4 * plain


def test_a_stable_prefix_is_billed_as_read_from_the_prompt_cache(log: RequestLog, today: Score) -> None:
    found = score(changed({"agents": EndpointPlan(Api("gpt-4o", stable_prefix=True))}), log)
    price = api_price("gpt-4o")
    assert price.input_usd_per_mtok is not None
    assert price.cached_input_usd_per_mtok is not None
    less = 4992 * (price.input_usd_per_mtok - price.cached_input_usd_per_mtok) / 1e6
    # The first request of the day finds nothing.
    assert today.parts_usd["agents"] - found.parts_usd["agents"] == pytest.approx(DAYS_PER_MONTH * 19_999 * less)


def test_a_write_costs_what_lesson_10_says(log: RequestLog) -> None:
    def month(**cache: Any) -> float:
        return score(changed({"texts": EndpointPlan(Api("claude-sonnet-4", **cache))}), log).parts_usd["texts"]

    price, about = api_price("claude-sonnet-4"), endpoint("texts")
    assert price.input_usd_per_mtok is not None
    prefix_usd = DAYS_PER_MONTH * about.requests * about.prefix_tokens * price.input_usd_per_mtok / 1e6
    rows = log.of("texts")
    for lifetime_s in (300, 3600):
        hits = prefix_hits(log.time_s[rows], log.prefix[rows], lifetime_s).mean()
        relative = CacheRates.of(price, lifetime_s).relative_cost(float(hits))
        more = month(stable_prefix=True, prefix_lifetime_s=lifetime_s) - month()
        assert more == pytest.approx(prefix_usd * (relative - 1), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "serve", "said"),
    [
        ("tags", Api("gpt-4.1-nano", stable_prefix=True), "share 120 tokens, and gpt-4.1-nano caches from 1,024 on"),
        ("search", Api("gpt-4.1-nano", stable_prefix=True), "share 0 tokens, and gpt-4.1-nano caches from 1,024 on"),
        (
            "texts",
            Api("claude-sonnet-4", stable_prefix=True),
            "is read 0.15 times for each write, and it pays from 0.28",
        ),
        ("texts", Api("claude-sonnet-4", stable_prefix=True, prefix_lifetime_s=3600), None),
        ("texts", Api("gpt-4.1-nano", stable_prefix=True), None),
        ("agents", Api("claude-sonnet-4", stable_prefix=True), None),
    ],
)
def test_a_prompt_cache_that_brings_nothing_says_why(log: RequestLog, name: str, serve: Api, said: str | None) -> None:
    found = score(changed({name: EndpointPlan(serve)}), log)
    told = [violation for violation in found.violations if violation.startswith("prompt cache:")]
    assert [said in one for one in told] == [True] if said else told == []


def test_an_engine_filled_beyond_its_limit_is_cheap_and_breaks_it(log: RequestLog) -> None:
    def found(in_flight: int | None) -> Score:
        fleets = {"mine": Fleet("Llama-3.1-8B", "A10G", in_flight=in_flight)}
        return score(Plan({**TODAY.endpoints, "search": EndpointPlan(FleetServing("mine"))}, fleets), log)

    kept, full = found(None), found(64)
    assert full.parts_usd["gpus"] < kept.parts_usd["gpus"]
    assert "capacity" not in kinds(kept)
    assert {"capacity", "latency"} <= kinds(full)


def test_a_cache_in_front_of_gpus_saves_nothing_unless_a_gpu_goes(log: RequestLog, today: Score) -> None:
    found = score(changed({"search": EndpointPlan(FleetServing("a100s"), ExactCache(100_000))}), log)
    assert found.endpoints[2].hit_rate_fraction > 0.4
    assert found.parts_usd["gpus"] == today.parts_usd["gpus"]
    assert found.usd_per_month > today.usd_per_month


def test_a_cached_answer_is_as_right_as_the_first_one(log: RequestLog, today: Score) -> None:
    found = score(changed({"support": EndpointPlan(CascadeServing(("ensemble",), ()), ExactCache(1000))}), log)
    before, after = today.endpoints[0], found.endpoints[0]
    assert after.quality_fraction == before.quality_fraction
    assert after.hit_rate_fraction == pytest.approx(0.4, abs=0.02)
    assert after.usd_per_month == pytest.approx(before.usd_per_month * (1 - after.hit_rate_fraction), rel=0.001)


def test_a_smaller_log_has_a_smaller_budget() -> None:
    found = score(TODAY, request_log(requests=20_000))
    assert found.budget_usd_per_month == pytest.approx(BUDGET_USD_PER_MONTH / 50)
    assert not found.passed
    assert score(TODAY, request_log(requests=20_000), budget_usd_per_month=1e9).budget_usd_per_month == 1e9


@pytest.mark.parametrize("plan", [..., None, TODAY.endpoints, "today"])
def test_only_a_plan_is_scored(plan: Any) -> None:
    with pytest.raises(InvalidValueError, match="plan must be Plan"):
        score(plan, request_log(requests=1000))


def test_a_ledger_is_no_log() -> None:
    with pytest.raises(InvalidValueError, match="log must be RequestLog"):
        score(TODAY, {"client": [0]})  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), -1.0])
def test_no_bill_is_within_a_budget_that_is_no_amount(budget: float) -> None:
    with pytest.raises(InvalidValueError, match="budget_usd_per_month must be"):
        score(TODAY, request_log(requests=1000), budget_usd_per_month=budget)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"limits": SpendLimits(client_usd_per_day=0.0)}, {"guard", "quality", "latency"}),
        (changed_endpoint("tags", Api("gpt-4o-mini"), ExactCache(10**9)), {"budget"}),
        ({"fleets": {"a100s": Fleet("Llama-3.1-8B", "A10G", "int8", reserved=10**9)}}, {"budget"}),
        (
            {"endpoints": {**TODAY.endpoints, "support": EndpointPlan(CascadeServing(thresholds=(1e300, -1e300)))}},
            {"budget", "quality"},
        ),
        (
            {"endpoints": {**TODAY.endpoints, "support": EndpointPlan(CascadeServing(("ensemble", "words"), (0.9,)))}},
            {"budget", "quality"},
        ),
    ],
)
def test_absurd_plans_break_something(log: RequestLog, change: dict[str, Any], broken: set[str]) -> None:
    assert kinds(score(replace(TODAY, **change), log)) == broken


def test_the_memo_carries_the_figures_and_leaves_the_judgement_open(today: Score) -> None:
    text = memo(today)
    assert f"From {today.usd_per_month:,.0f} to {today.usd_per_month:,.0f} USD a month, 0% less" in text
    assert "Not ready: it breaks a limit" in text
    assert all(violation in text for violation in today.violations)
    assert text.count("…") == 7
    assert "a100s: 8 GPUs at most" in text
