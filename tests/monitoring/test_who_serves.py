"""Who served a request decides what it costs: the same names at several providers, and at nobody's."""

import pytest

from costlab.monitoring import aggregate, fill_costs
from tests import needs
from tests.monitoring.frames import pandas_frame

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pandas", "plots")

#: A million input tokens each: provider as OpenTelemetry calls it, model, and the bill in USD. Bedrock asks 3.30 for
#: its regional id, Fireworks 0.15 for gpt-oss-120b; OpenAI and Azure ask the same for an embedding.
SIX = (
    ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.30),
    ("openai", "text-embedding-3-small", 0.02),
    ("azure.ai.openai", "text-embedding-3-small", 0.02),
    ("anthropic", "claude-3-7-sonnet-20250219", 3.00),
    ("anthropic", "claude-3-5-haiku-20241022", 0.80),
    ("fireworks", "gpt-oss-120b", 0.15),
)


def log(providers: list[str], models: list[str]) -> dict[str, list[object]]:
    count = len(models)
    same: dict[str, object] = {
        "time_s": 1_790_000_000.0, "tier": "chat", "input_tokens": 1_000_000, "cached_input_tokens": 0,
        "output_tokens": 0, "cost_micro_usd": None, "outcome": "ok",
    }  # fmt: skip
    return {name: [value] * count for name, value in same.items()} | {"provider": [*providers], "model": [*models]}


def costs(frame: object) -> list[int]:
    import pandas

    assert isinstance(frame, pandas.DataFrame)
    return [int(cost) for cost in frame["cost_micro_usd"]]


def test_each_provider_is_asked_for_its_own_price() -> None:
    filled = fill_costs(pandas_frame(log([one for one, _, _ in SIX], [model for _, model, _ in SIX])))
    assert filled.unknown == {}
    (total,) = aggregate(filled.frame)
    assert (total.cost_micro_usd, total.unpriced_requests) == (7_290_000, 0)
    assert costs(filled.frame) == [round(1e6 * usd) for _, _, usd in SIX]


@pytest.mark.parametrize("provider", ["hosted_vllm", "ollama", "ollama_chat", "llamafile"])
def test_a_server_of_ones_own_has_no_bill_whatever_its_model_is_called(provider: str) -> None:
    filled = fill_costs(pandas_frame(log([provider, "openai"], ["gpt-4o", "gpt-4o"])))
    assert costs(filled.frame) == [0, 2_500_000]
    assert filled.pricing.requests_own_server == 1


def test_a_provider_without_prices_here_leaves_its_requests_unpriced() -> None:
    filled = fill_costs(pandas_frame(log(["deepinfra"], ["meta-llama/Meta-Llama-3.1-8B-Instruct"])))
    assert list(filled.unknown.values()) == ["the catalogue has no prices of the provider 'deepinfra'"]
    assert filled.requests_priced == 0
    # What its maker alone sells is priced as there, which is an assumption.
    filled = fill_costs(pandas_frame(log(["somebody"], ["gpt-4o"])))
    assert costs(filled.frame) == [2_500_000]
    assert ["somebody" in one.text for one in filled.pricing.assumptions] == [True]
