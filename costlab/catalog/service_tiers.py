"""What the tiers of an API's service cost beside its standard one: batch, flex and priority."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog.model_ids import FoundModel, find_model
from costlab.catalog.model_prices import quotient, times
from costlab.catalog.price_snapshot import api_snapshot
from costlab.catalog.prices import parse_day
from costlab.errors import PriceNotFoundError
from costlab.events.request import SERVICE_TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genai_prices.types import ModelPrice, PriceVariant, TieredPrices

    ListedPrice: TypeAlias = Decimal | TieredPrices

#: What vendors call the tier of service that is nothing special, or none in particular.
USUAL_TIERS: Final = ("", "standard", "default", "auto", "on_demand", "ondemand", "standard_only")

#: What the snapshot calls them, in the context for which a price holds.
_CONTEXTS: Final = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}

#: The row's factor of the prices that may have one of their own.
_FACTORS: Final = {
    "cache_read_mtok": "cached_input_factor",
    "cache_audio_read_mtok": "cached_input_factor",
    "cache_image_read_mtok": "cached_input_factor",
    "cache_write_mtok": "cache_write_factor",
    "cache_write_1h_mtok": "cache_write_factor",
}


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    return shipped_rows("costlab.catalog", "service_tiers.toml", "tier")


def prices_at(found: FoundModel, moment: datetime, tier: str = "standard") -> dict[str, ListedPrice]:
    """A model's prices at a moment and tier of service, by the snapshot's name for each (``input_mtok``, ...).

    The snapshot's own price of the tier holds where it has one. It has most since the day when someone looked, which
    is not the day when the tier began: before that day the standard price of the moment is multiplied by what the tier
    cost then. Where it has none, a row of ``service_tiers.toml`` gives the factor. What is asked for a request or a
    search is the same in every tier.

    Raises
    ------
    PriceNotFoundError
        If there is no price for the tier, or the tier did not exist yet.
    """
    checks.one_of("service tier", tier, SERVICE_TIERS)
    standard = _listed(found.model.get_prices(moment))
    if tier == "standard":
        return standard
    day, row = moment.date(), _row(found, tier)
    if row and "since" in row and day < row["since"]:
        raise PriceNotFoundError(f"no {tier} tier at {found.provider.id} before {row['since']}")
    # A provider that sells another's models at that one's price does not thereby have its tiers.
    variants = found.model.price_variants or () if found.owner is found.provider else ()
    known = [variant for variant in variants if variant.when == _CONTEXTS[tier]]
    if any(variant.constraint is None or variant.constraint.active(moment) for variant in known):
        return _listed(found.model.get_prices(moment, _CONTEXTS[tier]))
    if known:
        first = min(known, key=lambda variant: _start(variant) or day)
        return standard | _as_then(found, first, standard)
    if row:
        return {key: times(price, _factor(row, key)) for key, price in standard.items()}
    raise PriceNotFoundError(f"no price of the {tier} tier for {found.model.id!r} at {found.provider.id}")


def tier_start(found: FoundModel, tier: str) -> date | None:
    """The first day of a tier, where it is known: before it, :func:`prices_at` has none."""
    row = None if tier == "standard" else _row(found, tier)
    return None if row is None else row.get("since")


def tier_known_from(found: FoundModel, tier: str) -> date | None:
    """The first day for which the snapshot has a tier's own price; None where it has none, or does not say."""
    starts = [_start(one) for one in found.model.price_variants or () if one.when == _CONTEXTS[tier]]
    return min((day for day in starts if day is not None), default=None) if None not in starts else None


def service_tier_factor(
    provider: str | None, model: str, tier: str, day: date | str | None = None, kind: str = "input"
) -> float:
    """What a tier of service costs, as a multiple of the standard one.

    Parameters
    ----------
    provider, model : str
        As for :func:`costlab.catalog.api_price`.
    tier : {'standard', 'batch', 'flex', 'priority'}
        The tier.
    day : datetime.date or ISO date string, optional
        When; by default the snapshot's own day.
    kind : {'input', 'cache_read', 'cache_write', 'cache_write_1h', 'output'}
        Of which tokens: a tier may ask for cached ones what the standard one does.

    Raises
    ------
    PriceNotFoundError
        If there is no price for the tier or for the tokens, or the tier did not exist yet.
    UnknownNameError, AmbiguousPriceError
        As :func:`costlab.catalog.api_price`.

    Examples
    --------
    What does OpenAI ask for a batch, and for priority? And what for cached tokens of a batch at Google?

    >>> service_tier_factor("openai", "gpt-5-mini", "batch"), service_tier_factor("openai", "gpt-5-mini", "priority")
    (0.5, 1.8)
    >>> service_tier_factor("google", "gemini-2.5-pro", "batch", kind="cache_read")
    1.0
    """
    checks.one_of("kind of tokens", kind, ("input", "cache_read", "cache_write", "cache_write_1h", "output"))
    found = find_model(model, provider)
    moment = datetime.combine(parse_day("day", day) or api_snapshot().date, time(12), UTC)
    key = f"{kind}_mtok"
    at, standard = (prices_at(found, moment, one).get(key) for one in (tier, "standard"))
    if at is None or standard is None or not _base(standard):
        raise PriceNotFoundError(f"no price per {kind} token for {found.model.id!r} at {found.provider.id}")
    return float(_base(at) / _base(standard))


def _row(found: FoundModel, tier: str) -> Mapping[str, Any] | None:
    """The row of a tier: one that names the model before one for all of the provider, and of equals the newest."""
    rows = [
        row
        for row in _rows()
        if row["provider"] == found.provider.id
        and row["tier"] == tier
        and ("models" not in row or found.model.id in row["models"])
    ]
    return max(rows, key=lambda row: ("models" in row, row["checked"]), default=None)


def _factor(row: Mapping[str, Any], key: str) -> Decimal:
    if not key.endswith("_mtok"):
        return Decimal(1)
    name = _FACTORS.get(key) or ("output_factor" if key.startswith("output") else "factor")
    return quotient(row.get(name, row["factor"]))


def _as_then(found: FoundModel, variant: PriceVariant, now: Mapping[str, ListedPrice]) -> dict[str, ListedPrice]:
    """The prices of a tier before the snapshot has them: those of now, multiplied by what the tier cost at first."""
    start = datetime.combine(_start(variant) or date.max, time(12), UTC)
    then = _listed(found.model.get_prices(start))
    return {
        key: times(now[key], _base(price) / _base(then[key]))
        for key, price in _listed(variant.prices).items()
        if key in now and key in then and _base(then[key])
    }


def _start(variant: PriceVariant) -> date | None:
    return getattr(variant.constraint, "start_date", None)


def _base(price: ListedPrice) -> Decimal:
    return price if isinstance(price, Decimal) else price.base


def _listed(prices: ModelPrice) -> dict[str, ListedPrice]:
    return {key: price for key, price in vars(prices).items() if price is not None}
