"""What the tiers of an API's service cost beside its standard one: batch, flex and priority."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from costlab._internal import checks
from costlab.catalog.model_ids import FoundModel, find_model
from costlab.catalog.price_snapshot import api_snapshot
from costlab.catalog.prices import parse_day
from costlab.errors import PriceNotFoundError

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

    ListedPrice: TypeAlias = Decimal | TieredPrices

#: The tiers of service that a request may have used, as :class:`costlab.events.RequestEvent` calls them.
SERVICE_TIERS: Final = ("standard", "batch", "flex", "priority")

#: What the snapshot calls them, in the context for which a price holds.
_CONTEXTS: Final = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}


def prices_at(found: FoundModel, moment: datetime, tier: str = "standard") -> dict[str, ListedPrice]:
    """A model's prices at a moment and tier of service, by the snapshot's name for each (``input_mtok``, ...).

    Raises
    ------
    PriceNotFoundError
        If there is no price for the tier.
    """
    checks.one_of("service tier", tier, SERVICE_TIERS)
    if tier == "standard":
        return _listed(found.model.get_prices(moment))
    context = _CONTEXTS[tier]
    if any(variant.when == context for variant in found.model.price_variants or ()):
        return _listed(found.model.get_prices(moment, context))
    raise PriceNotFoundError(f"no price of the {tier} tier for {found.model.id!r} at {found.provider.id}")


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
        If there is no price for the tier.

    Examples
    --------
    >>> service_tier_factor("openai", "gpt-5-mini", "batch"), service_tier_factor("openai", "gpt-5-mini", "priority")
    (0.5, 1.8)
    """
    found = find_model(model, provider)
    moment = datetime.combine(parse_day("day", day) or api_snapshot().date, time(12), UTC)
    key = f"{kind}_mtok"
    at, standard = (prices_at(found, moment, one).get(key) for one in (tier, "standard"))
    if at is None or standard is None or not _base(standard):
        raise PriceNotFoundError(f"no price per {kind} token for {found.model.id!r} at {found.provider.id}")
    return float(_base(at) / _base(standard))


def _base(price: ListedPrice) -> Decimal:
    return price if isinstance(price, Decimal) else price.base


def _listed(prices: ModelPrice) -> dict[str, ListedPrice]:
    return {key: price for key, price in vars(prices).items() if price is not None}
