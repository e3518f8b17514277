"""Prices of models that the snapshot lacks or has only for another place: dated rows of ``model_prices.toml``."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from costlab._internal.rows import shipped_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

#: The snapshot's name of each price that a row may have.
_KEYS: Final = {
    "input_usd_per_mtok": "input_mtok",
    "cached_input_usd_per_mtok": "cache_read_mtok",
    "cache_write_usd_per_mtok": "cache_write_mtok",
    "cache_write_1h_usd_per_mtok": "cache_write_1h_mtok",
    "output_usd_per_mtok": "output_mtok",
}

#: Regions of a cloud that a group of regions consists of, where its name does not begin theirs.
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {"apac": ("ap-",), "jp": ("ap-northeast-1", "ap-northeast-3")}


@cache
def _rows(table: str) -> tuple[dict[str, Any], ...]:
    return shipped_rows("costlab.catalog", "model_prices.toml", table)


@cache
def added_models(provider: str) -> tuple[ModelInfo, ...]:
    """The models that the rows add to a provider's of the snapshot, each with all its prices by their first day."""
    from genai_prices.types import ClauseEquals, ClauseOr, ConditionalPrice, ModelInfo, StartDateConstraint

    prices: dict[str, list[ConditionalPrice]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for row in _rows("price"):
        if row["provider"] == provider:
            since = StartDateConstraint(row["since"]) if "since" in row else None
            prices.setdefault(row["model"], []).append(ConditionalPrice(since, prices=_price(row)))
            rows[row["model"]] = row
    return tuple(
        ModelInfo(
            name,
            ClauseOr([ClauseEquals(spelling) for spelling in (name, *row.get("aliases", ()))]),
            price_comments=row["source_url"],
            prices=prices[name],
        )
        for name, row in rows.items()
    )


def in_region(provider: str, model: ModelInfo, region: str) -> tuple[ModelInfo, bool]:
    """A model at the price of the region where it was called, and whether a row of ours gives it.

    Without such a row the model comes back as it is.
    """
    for row in _rows("regional_price"):
        if row["provider"] == provider and row["model"] == model.id and _is_in(provider, region, row["regions"]):
            return replace(model, prices=_price(row), price_variants=None, price_comments=row["source_url"]), True
    for row in _rows("uplift"):
        listed = "models" not in row or model.id in row["models"]
        if row["provider"] == provider and listed and _is_in(provider, region, row["regions"]):
            return replace(scaled(model, quotient(row["factor"])), price_comments=row["source_url"]), True
    return model, False


def scaled(model: ModelInfo, factor: Decimal) -> ModelInfo:
    """A model whose tokens cost a multiple of what they do."""
    prices = model.prices
    return replace(
        model,
        prices=[replace(one, prices=_times(one.prices, factor)) for one in prices]
        if isinstance(prices, list)
        else _times(prices, factor),
        price_variants=[replace(one, prices=_times(one.prices, factor)) for one in model.price_variants or ()],
    )


def quotient(factor: float | str) -> Decimal:
    """A row's factor: a number, or one divided by another in the form ``"0.05/0.09"``."""
    above, _, below = str(factor).partition("/")
    return Decimal(above) / Decimal(below or 1)


def times(price: Decimal | TieredPrices, factor: Decimal) -> Decimal | TieredPrices:
    """A price, or all of a tiered one, multiplied."""
    if isinstance(price, Decimal):
        return price * factor
    tiers = [replace(tier, price=tier.price * factor) for tier in price.tiers]
    return replace(price, base=price.base * factor, tiers=tiers)


def _times(prices: ModelPrice, factor: Decimal) -> ModelPrice:
    # What is asked for a request or a search is the same everywhere.
    return type(prices)(
        **{
            key: times(price, factor) if price is not None and key.endswith("_mtok") else price
            for key, price in vars(prices).items()
        }
    )


def _price(row: Mapping[str, Any]) -> ModelPrice:
    from genai_prices.types import ModelPrice

    return ModelPrice(**{key: Decimal(str(row[name])) for name, key in _KEYS.items() if name in row})


def _is_in(provider: str, region: str, regions: list[str]) -> bool:
    """Whether a region is one of those, or within one: ``eu-central-1`` is in ``eu``."""
    if regions == ["regional"]:
        return region != "global"
    return region in regions or (
        provider == "aws"
        and region.startswith(tuple(start for one in regions for start in _GROUPS.get(one, (f"{one}-",))))
    )
