"""The source lesson's table S10: inputs that reproduce its dollars within 15 %."""

import pytest

from costlab.build_vs_buy import Scenario, scenarios

# Scenario, requests a day, API, self-hosted, GPUs, recommendation: as the source lesson has them.
TABLE = [
    ("chatbot, startup", 1_000, 90, 800, 1, "api"),
    ("chatbot, growth", 50_000, 4_500, 2_500, 4, "self-host"),
    ("chatbot, scale", 500_000, 45_000, 8_000, 12, "self-host"),
    ("classification", 1_000_000, 15_000, 1_500, 2, "self-host"),
    ("embeddings", 10_000_000, 3_000, 2_000, 3, "either"),
    ("image generation", 10_000, 12_000, 4_000, 6, "self-host"),
]


def test_the_claims_are_those_of_the_source_lesson() -> None:
    ours = [
        (s.name, s.requests_per_day, s.claimed_api_usd, s.claimed_self_hosted_usd, s.claimed_gpus, s.claimed_choice)
        for s in scenarios()
    ]
    assert ours == TABLE


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_both_bills_are_reproduced_within_15_per_cent(scenario: Scenario) -> None:
    assert abs(scenario.api_cost().usd_per_month / scenario.claimed_api_usd - 1) < 0.15
    assert abs(scenario.self_hosted_usd / scenario.claimed_self_hosted_usd - 1) < 0.15
