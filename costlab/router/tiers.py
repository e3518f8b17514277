"""A tier: a model, its price, and when its answer is trusted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costlab import checks
from costlab.catalog import ApiPrice

if TYPE_CHECKING:
    from costlab.router.models import Model, Usage

__all__ = ["Gate", "Price", "Tier"]

#: What a call costs: USD per request, or an API's price per token.
Price = float | ApiPrice
#: Whether a tier should be tried on a query at all; async or not.
Gate = Callable[[str], bool | Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One model of a cascade.

    Parameters
    ----------
    name : str
        What to call it, in results and metrics.
    model : Model
        Who answers.
    price : float or ApiPrice
        USD per request, >= 0; or an API's rates, applied to the usage that the model reports.
    min_confidence : float
        An answer is kept when its confidence is *greater*, in 0..1; without meaning at the last tier, which always
        answers.
    gate : callable, optional
        Asked before the model: False sends the query on to the next tier untried.
    gate_usd_per_request : float
        What asking the gate costs, in USD, >= 0.
    estimate_usd : float, optional
        What to reserve of a budget before a call; by default the price per request. Needed with a price per token and a
        budget guard.
    timeout_s : float, optional
        Seconds after which the call is given up and the next tier tried, > 0.
    max_concurrency : int, optional
        Calls under way at a time, >= 1; further ones wait their turn.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain.
    """

    name: str
    model: Model
    price: Price
    min_confidence: float = 0.0
    gate: Gate | None = None
    gate_usd_per_request: float = 0.0
    estimate_usd: float | None = None
    timeout_s: float | None = None
    max_concurrency: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.price, ApiPrice):
            checks.non_negative("price", self.price)
        checks.fraction("min_confidence", self.min_confidence)
        checks.non_negative("gate_usd_per_request", self.gate_usd_per_request)
        if self.estimate_usd is not None:
            checks.non_negative("estimate_usd", self.estimate_usd)
        if self.timeout_s is not None:
            checks.positive("timeout_s", self.timeout_s)
        if self.max_concurrency is not None:
            checks.whole("max_concurrency", self.max_concurrency, at_least=1)

    def usd(self, usage: Usage | None) -> float:
        """What a call costs that reports this usage; None is a failed call that was billed nothing."""
        if usage is None:
            return 0.0
        if isinstance(self.price, ApiPrice):
            return self.price.usd(usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
        return self.price

    @property
    def reserve_usd(self) -> float:
        """What to reserve of a budget before a call."""
        if self.estimate_usd is not None:
            return self.estimate_usd
        return 0.0 if isinstance(self.price, ApiPrice) else self.price
