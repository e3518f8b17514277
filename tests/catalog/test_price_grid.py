"""One formula, the library's own: every model of the snapshot, over a grid of usages, as number, array and column."""

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pytest
from genai_prices import Usage
from genai_prices.data import providers

from costlab.catalog import ApiPrice, api_price, api_snapshot
from costlab.errors import InvalidValueError, PriceNotFoundError
from tests import needs

#: What the library calls the parts of a request.
THEIR_NAMES: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "cached_audio_input_tokens": "cache_audio_read_tokens",
    "image_input_tokens": "input_image_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_output_tokens": "output_image_tokens",
    "searches": "web_searches",
}

PLAIN: Final = {"input_tokens": 1000, "output_tokens": 500}
GRID: Final[tuple[dict[str, int], ...]] = (
    {"input_tokens": 1000, "output_tokens": 0},
    {"input_tokens": 0, "output_tokens": 500},
    PLAIN,
    PLAIN | {"cached_input_tokens": 400},
    PLAIN | {"cached_input_tokens": 1000},
    PLAIN | {"cached_input_tokens": 300, "cache_write_tokens": 500},
    PLAIN | {"cache_write_tokens": 1000, "cache_write_1h_tokens": 600},
    PLAIN | {"reasoning_tokens": 400},
    PLAIN | {"audio_input_tokens": 600, "audio_output_tokens": 300},
    PLAIN | {"audio_input_tokens": 600, "cached_input_tokens": 500, "cached_audio_input_tokens": 200},
    PLAIN | {"image_input_tokens": 600, "image_output_tokens": 300},
    PLAIN | {"searches": 3},
)
#: By the hour: at night, at noon, and in an hour in which DeepSeek's other models are dear.
HOURS: Final = (0, 2, 12, 17)

#: Where the two differ, and why.
EXCEPTIONS: Final = {
    "no price per input token": "the library leaves out what it has no price for: speech sold by the hour, pages, what "
    "is listed without any price; here that is refused, since an unknown price is not zero",
    "no price per search": "the library leaves out what it has no price for; here that is refused",
}


def usages(price: ApiPrice) -> list[dict[str, int]]:
    """The grid, and requests at and beside each length at which the price changes."""
    ends = [
        {
            "input_tokens": tokens, "output_tokens": 500, "cached_input_tokens": tokens // 2,
            "cache_write_tokens": tokens // 4, "cache_write_1h_tokens": tokens // 8,
        }
        for tier in price.tiers
        for tokens in (tier.above_tokens - 1, tier.above_tokens, tier.above_tokens + 1)
    ]  # fmt: skip
    return [*GRID, *ends]


def test_every_model_costs_what_the_library_says_for_every_usage() -> None:
    day, compared, excepted = api_snapshot().date, 0, Counter[str]()
    for provider in providers:
        for model in provider.models:
            hourly = "start_time" in str(model.prices)
            for hour in HOURS if hourly else HOURS[2:3]:
                moment = datetime(day.year, day.month, day.day, hour, 45, tzinfo=UTC)
                try:
                    price = api_price(model.id, provider.id, moment)
                except PriceNotFoundError:
                    excepted["no price per input token"] += 1
                    continue
                assert price.model == model.id
                rows = usages(price)
                theirs, ours = [], []
                for usage in rows:
                    named = Usage(**{THEIR_NAMES[name]: count for name, count in usage.items()})
                    theirs.append(float(model.calc_price(named, provider, genai_request_timestamp=moment).total_price))
                    if "searches" in usage and price.usd_per_search is None:
                        with pytest.raises(InvalidValueError, match="no price per search"):
                            price.usd(**usage)
                        excepted["no price per search"] += 1
                        ours.append(theirs[-1])
                    else:
                        ours.append(price.usd(**usage))
                assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15), (provider.id, model.id, hour)
                priced = [row for row in rows if price.usd_per_search is not None or "searches" not in row]
                arrays = {name: np.array([row.get(name, 0) for row in priced]) for name in THEIR_NAMES}
                wanted = [usd for usd, row in zip(theirs, rows, strict=True) if row in priced]
                assert price.usd(**arrays) == pytest.approx(wanted, rel=1e-12, abs=1e-15), (provider.id, model.id)
                compared += len(priced)
    assert compared > 20_000
    assert set(excepted) == set(EXCEPTIONS)
    # Both are counted, lest a mistake hide among them.
    assert 0.05 < excepted["no price per input token"] / len([m for p in providers for m in p.models]) < 0.1
    assert excepted["no price per search"] < compared / 10


@pytest.mark.parametrize("tier", ["batch", "flex", "priority"])
def test_a_tier_of_service_costs_what_the_library_says(tier: str) -> None:
    day, compared = api_snapshot().date, 0
    moment = datetime(day.year, day.month, day.day, 12, 45, tzinfo=UTC)
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    for provider in providers:
        for model in provider.models:
            if not any(variant.when == context for variant in model.price_variants or ()):
                continue
            try:
                price = api_price(model.id, provider.id, moment, tier)
            except PriceNotFoundError as error:
                assert "no price per input token" in str(error)  # noqa: PT017 - the reason matters, not that there is one
                continue
            assert price.service_tier == tier
            for usage in usages(price):
                if "searches" in usage:
                    continue
                named = Usage(**{THEIR_NAMES[name]: count for name, count in usage.items()})
                theirs = model.calc_price(
                    named, provider, genai_request_timestamp=moment, price_context=context
                ).total_price
                assert math.isclose(price.usd(**usage), float(theirs), rel_tol=1e-12), (provider.id, model.id)
                compared += 1
    assert compared > 200


def test_a_column_costs_what_its_rows_cost() -> None:
    """On a query of DuckDB, for a model of every shape that a price has."""
    needs.extra("narwhals", "usage")
    duckdb = pytest.importorskip("duckdb")
    import narwhals as nw
    import pyarrow

    shapes: dict[object, ApiPrice] = {}
    for provider in providers:
        for model in provider.models:
            try:
                price = api_price(model.id, provider.id)
            except PriceNotFoundError:
                continue
            kinds = [
                name for name in ApiPrice.__dataclass_fields__ if "_usd_per_mtok" in name or name.startswith("usd_")
            ]
            shape = (tuple(bool(getattr(price, name)) for name in kinds), len(price.tiers))
            shapes.setdefault(shape, price)
    assert len(shapes) > 20
    for price in shapes.values():
        rows = [row for row in usages(price) if price.usd_per_search is not None or "searches" not in row]
        table = pyarrow.table({name: [row.get(name, 0) for row in rows] for name in THEIR_NAMES})
        columns: dict[str, Any] = {name: nw.col(name).cast(nw.Float64) for name in THEIR_NAMES}
        tokens_in, out, cached = (columns.pop(name) for name in list(columns)[:3])
        usd = price.usd_of_columns(
            tokens_in,
            out,
            cached,
            lambda condition, value, other: (
                nw.when(~condition).then(other) if value is None else nw.when(condition).then(value).otherwise(other)
            ),
            **columns,
        )
        frame: Any = nw.from_native(duckdb.connect().from_arrow(table))
        found = [row[0] for row in frame.select(usd=usd).collect().iter_rows()]
        assert found == pytest.approx([price.usd(**row) for row in rows], rel=1e-12, abs=1e-15), price.model
