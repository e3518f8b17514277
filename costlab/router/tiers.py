"""A tier: a model, its price, and when its answer is trusted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from costlab._internal import checks
from costlab.catalog import ApiPrice, api_price
from costlab.errors import AmbiguousPriceError, InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.router.policy import is_trusted

if TYPE_CHECKING:
    from costlab.router.models.protocol import Model, TokenUsage

#: What a call costs: USD per request, or an API's price per token.
Price = float | ApiPrice
#: Whether a tier should be tried on a query at all; async or not.
Gate = Callable[[str], bool | Awaitable[bool]]


@cache
def _as_served(price: ApiPrice, service_tier: str) -> ApiPrice:
    """The price of the tier that was used; the tier's own where the catalogue has none, as for rates of one's own."""
    try:
        there = api_price(price.model, price.provider, price.as_of, service_tier)
    except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
        return price
    return there.discounted(price.discount_fraction)


@dataclass(frozen=True, slots=True)
class Tier:
    """One model of a cascade.

    Parameters
    ----------
    name, model : str, Model
        What to call it in results and events, not empty, and who answers.
    price : float or ApiPrice
        USD per request, >= 0; or an API's rates, applied to the usage that the model reports, at the tier of service
        that it says was used.
    min_confidence : float
        An answer is kept when its confidence is *greater*, in 0..1; without meaning at the last tier, which always
        answers.
    gate : callable, optional
        Asked before the model: False sends the query on to the next tier untried. One that fails lets the query
        through, since the tier can still decide by itself; the attempt says so. Not asked at the last tier.
    gate_usd_per_request : float
        What asking the gate costs, in USD, >= 0.
    estimate_usd : float, optional
        What to reserve of a budget before a call: the most that it can cost, >= 0. By default the price per request;
        with a price per token a budget guard needs it.
    timeout_s : float, optional
        Seconds after which a call is given up and the next tier tried, > 0. Waiting for a slot does not count.
    abandoned_usd_per_request : float, optional
        What a call is taken to cost that was given up, after a time-out or because the request was cancelled, whose
        answer was lost on its way, or that ended with an error which does not say what was billed, in USD, >= 0: the
        provider may have finished it and sent a bill, and no one on this side can know. By default what is reserved for
        it where a budget guard watches, and nothing without one.
    max_concurrency : int, optional
        Calls under way at a time, >= 1; further ones wait their turn.

    Examples
    --------
    The small tier of the source lesson. Is an answer kept that is exactly as sure as it asks for?

    >>> from costlab.router import ScriptedModel
    >>> small = Tier("small", ScriptedModel({}), 0.0005, 0.95)
    >>> small.keeps(0.95), small.keeps(0.951), small.keeps(float("nan"))
    (False, True, False)
    """

    name: str
    model: Model
    price: Price
    min_confidence: float = 0.0
    gate: Gate | None = None
    gate_usd_per_request: float = 0.0
    estimate_usd: float | None = None
    timeout_s: float | None = None
    abandoned_usd_per_request: float | None = None
    max_concurrency: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidValueError("name", "a text that is not empty", self.name)
        if not isinstance(self.price, ApiPrice):
            object.__setattr__(self, "price", checks.non_negative("price", self.price))
        checks.fraction("min_confidence", self.min_confidence)
        for name in ("gate_usd_per_request", "abandoned_usd_per_request"):
            if (usd := getattr(self, name)) is not None:
                object.__setattr__(self, name, checks.non_negative(name, usd))
        if self.estimate_usd is not None:
            checks.non_negative("estimate_usd", self.estimate_usd)
        if self.timeout_s is not None:
            checks.positive("timeout_s", self.timeout_s)
        if self.max_concurrency is not None:
            checks.integer("max_concurrency", self.max_concurrency, at_least=1)

    def keeps(self, confidence: float) -> bool:
        """Whether an answer of this confidence is trusted; NaN never is."""
        return is_trusted(confidence, self.min_confidence)

    def usd(self, usage: TokenUsage | None) -> float:
        """What a call costs that reports this usage; None is a failed call that was billed nothing."""
        if usage is None:
            return 0.0
        price = self.price
        if not isinstance(price, ApiPrice):
            return price
        if usage.service_tier is not None and usage.service_tier != price.service_tier:
            price = _as_served(price, usage.service_tier)
        counts = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
        parts: dict[str, float] = dict(usage.parts)
        if price.usd_per_search is None:  # the call was made and has a bill: what has a price is booked
            parts.pop("searches", None)
        if usage.request_fee_usd is not None:
            parts["request_fee_usd"] = usage.request_fee_usd
        return price.usd(*counts, **parts) if parts else price.usd(*counts)

    @property
    def model_name(self) -> str:
        """The name by which events call the model, as in the catalogue where its price is from there."""
        return self.price.model if isinstance(self.price, ApiPrice) else self.name

    @property
    def provider_name(self) -> str:
        """The provider, as in the catalogue; empty where the price is not from there."""
        return self.price.provider if isinstance(self.price, ApiPrice) and self.price.snapshot.version else ""

    @property
    def reserve_usd(self) -> float | None:
        """What to reserve of a budget before a call; None where no one has said."""
        if self.estimate_usd is not None:
            return self.estimate_usd
        return None if isinstance(self.price, ApiPrice) else self.price
