"""What a plan may say, and what it is told when it may not."""

import re
from dataclasses import replace
from typing import Any

import pytest

from costlab.capstone import (
    TODAY,
    Api,
    CascadeServing,
    EndpointPlan,
    ExactCache,
    Fleet,
    FleetServing,
    Plan,
    SpendLimits,
    endpoint,
    model_qualities,
    model_quality,
    support_outcomes,
)
from costlab.capstone.terms import CACHE_STORE
from costlab.catalog import api_price, store_price
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.serving import model_spec
from costlab.synthetic import QUESTIONS


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Api("gpt-4p"), "unknown"),
        (lambda: Api("claude-haiku-4-5"), "unknown model"),
        (lambda: Api("gpt-4.1", batch=True, stable_prefix=True), "discounts do not add up"),
        (lambda: Api("gpt-4.1", batch=True, batch_clients=("data",)), "batch_clients must be empty where all requests"),
        (lambda: Api("gpt-4.1", batch_clients="data"), "batch_clients must be tuple, got 'data'"),  # type: ignore[arg-type]
        (lambda: Api("gpt-4.1", prefix_lifetime_s=3600), "prefix_lifetime_s must be 300 for gpt-4.1, got 3600"),
        (
            lambda: Api("claude-sonnet-4", prefix_lifetime_s=60),
            "prefix_lifetime_s must be 300 or 3600 for claude-sonnet-4",
        ),
        (lambda: Fleet("Llama-3.1-8B", "L4", in_flight=0), "in_flight must be a whole number >= 1, got 0"),
        (lambda: Fleet("Llama-3.1-8B", "L4", curve=1.1), "curve must be EngineCurve or None, got 1.1"),  # type: ignore[arg-type]
        (lambda: CascadeServing(("word", "ensemble"), (0.5,)), "unknown tier 'word'; did you mean 'words'"),
        (lambda: CascadeServing(("words", "words"), (0.5,)), "each once"),
        (lambda: CascadeServing(), None),
        (lambda: CascadeServing(thresholds=(0.5,)), "thresholds must be 2 numbers"),
        (lambda: CascadeServing(thresholds=(0.5, float("nan"))), "thresholds must be a finite number"),
        (lambda: CascadeServing(thresholds=0.5), "thresholds must be tuple, got 0.5"),  # type: ignore[arg-type]
        (lambda: CascadeServing("words", ()), "tiers must be tuple, got 'words'"),  # type: ignore[arg-type]
        (lambda: Api("gpt-4.1", batch="no"), "batch must be bool, got 'no'"),  # type: ignore[arg-type]
        (lambda: EndpointPlan(Api), "serve must be Api or CascadeServing or FleetServing"),  # type: ignore[arg-type]
        (lambda: EndpointPlan("gpt-4.1"), "serve must be Api or CascadeServing or FleetServing, got 'gpt-4.1'"),  # type: ignore[arg-type]
        (lambda: EndpointPlan(Api("gpt-4.1"), 1000), "cache must be ExactCache or None, got 1000"),  # type: ignore[arg-type]
        (lambda: ExactCache(10**400), "entries must be at most 1000000000, got 1000"),
        (lambda: Fleet("gpt-4o", "A10G"), "unknown model 'gpt-4o'"),
        (lambda: Fleet("Llama-3.1-8B", "L4", spot="yes"), "spot must be bool"),  # type: ignore[arg-type]
        (lambda: Fleet("Llama-3.1-8B", "L4", reserved=10**400), "reserved must be at most 1000000000, got 1000"),
        (lambda: SpendLimits(client_usd_per_day=float("nan")), "client_usd_per_day must be"),
        (lambda: replace(TODAY, limits=800), "limits must be SpendLimits, got 800"),  # type: ignore[arg-type]
        (lambda: replace(TODAY, fleets=None), "fleets must be Mapping, got None"),  # type: ignore[arg-type]
        (lambda: Plan(TODAY.endpoints, {"a100s": "A100"}), "fleets['a100s'] must be Fleet"),  # type: ignore[dict-item]
        (lambda: ExactCache(0), "entries must be a whole number >= 1, got 0"),
        (lambda: Fleet("Llama-3.1-8B", "A10"), "did you mean 'A10G'"),
        (lambda: Fleet("Llama-3.1-70B", "H100", "int4"), "weights must be one of bf16, fp8 for Llama-3.1-70B"),
        (lambda: Fleet("Llama-3.1-8B", "L4", reserved=-1), "reserved must be a whole number >= 0"),
        (lambda: SpendLimits(client_usd_per_day=-5), "client_usd_per_day must be"),
        (lambda: endpoint("serch"), "unknown endpoint 'serch'; did you mean 'search'"),
        (lambda: support_outcomes("train"), "unknown part 'train'"),
    ],
)
def test_parts_of_a_plan_are_checked(make: Any, said: str | None) -> None:
    if said is None:
        make()
        return
    with pytest.raises((InvalidValueError, UnknownNameError), match=re.escape(said)):
        make()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"searches": EndpointPlan(Api("gpt-4o"))}, "unknown endpoint 'searches'; did you mean 'search'"),
        ({"support": EndpointPlan(Api("gpt-4o"))}, "must be a CascadeServing, whose answers were measured"),
        ({"tags": EndpointPlan(CascadeServing())}, "must be an Api or FleetServing"),
        ({"tags": Api("gpt-4.1-nano")}, "endpoints['tags'] must be EndpointPlan"),
        ({"tags": EndpointPlan(Api("gpt-4.1-nano", batch_clients=("review",)))}, "did you mean 'reviews'"),
        ({"tags": EndpointPlan(FleetServing("a100"))}, "unknown fleet 'a100'; did you mean 'a100s'"),
    ],
)
def test_routes_fit_their_endpoints(changed: dict[str, Any], said: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError), match=re.escape(said)):
        Plan(endpoints={**TODAY.endpoints, **changed}, fleets=TODAY.fleets)


def test_every_endpoint_needs_a_route() -> None:
    with pytest.raises(InvalidValueError, match="none for agents, tags"):
        Plan(endpoints={name: TODAY.endpoints[name] for name in ("support", "texts", "search")}, fleets=TODAY.fleets)


def test_a_plan_is_what_was_checked_whatever_becomes_of_the_dictionaries() -> None:
    routes, fleets = dict(TODAY.endpoints), dict(TODAY.fleets)
    plan = Plan(routes, fleets)
    routes["agents"] = EndpointPlan(
        CascadeServing(("words",), ())
    )  # the cheapest answer of all, to questions that nobody asked
    fleets.clear()
    assert plan == TODAY
    with pytest.raises(TypeError, match="does not support item assignment"):
        plan.endpoints["agents"] = routes["agents"]  # type: ignore[index]


def test_every_model_with_a_quality_can_be_bought_or_run() -> None:
    qualities = model_qualities()
    assert list(qualities.values()) == sorted(qualities.values(), reverse=True)
    for name in qualities:
        assert model_spec(name).parameters if name.startswith("Llama") else api_price(name).input_usd_per_mtok


def test_quantization_never_adds_quality_and_int4_costs_more_than_int8() -> None:
    whole, int8, int4 = (model_quality("Llama-3.1-8B", weights) for weights in ("bf16", "int8", "int4"))
    assert whole == model_quality("Llama-3.1-8B", "fp8") > int8 > int4


def test_thresholds_are_chosen_on_questions_that_are_not_in_the_log() -> None:
    chosen, asked = support_outcomes("calibration"), support_outcomes("test")
    assert len(asked) == QUESTIONS != len(chosen)
    assert chosen.tiers == asked.tiers == ("words", "vectors", "ensemble")


def test_the_store_of_the_cache_is_in_the_catalogue() -> None:
    assert store_price(CACHE_STORE).usd_per_million_kb > 0
