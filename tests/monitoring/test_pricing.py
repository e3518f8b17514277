"""Costs that a log lacks, from the catalogue."""

import numpy as np
import pytest

from costlab.catalog import api_price
from costlab.events import micro_usd
from costlab.monitoring import aggregate, fill_costs
from costlab.synthetic import sample_log
from tests import needs
from tests.monitoring.frames import ROWS, Engine, engine

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
        "gpt-4o-mini": micro_usd("usd", small.usd(100, 10)),
        "gpt-4o": micro_usd("usd", large.usd(1000, 100, 500)) + 5000,
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
    wanted = sum(micro_usd("usd", price.usd(tokens, 100)) for tokens in (200_000, 200_001))
    assert found["gemini-2.5-pro"].cost_micro_usd == wanted
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


def test_a_log_without_gaps_comes_back_as_it_is() -> None:
    log = sample_log(np.random.default_rng(0), 100, unpriced_fraction=0.0)
    filled = fill_costs(log)
    assert filled.frame is log
    assert (filled.prices, filled.requests_priced, filled.unknown) == ((), 0, {})
