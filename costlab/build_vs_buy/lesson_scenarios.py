"""The source lesson's six scenarios, with inputs that reproduce its dollars."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from costlab._internal.rows import shipped_rows
from costlab.calculator import monthly_cost
from costlab.catalog import ApiCost, api_cost
from costlab.units import LESSON_DAYS_PER_MONTH
from costlab.workload import Workload

#: The source lesson calls its prices those of early 2026.
AS_OF: Final = "2026-01-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the source lesson's comparison.

    Attributes
    ----------
    name, requests_per_day
        What it is, and its volume.
    claimed_api_usd, claimed_self_hosted_usd, claimed_gpus, claimed_choice
        The lesson's bills in USD a month, its number of GPUs, and its advice: ``api``, ``self-host`` or ``either``.
    api_model, input_tokens, output_tokens, images
        What reproduces the API's bill.
    gpu, other_usd_per_month
        The GPU whose on-demand price in the lesson's own table reproduces the self-hosted bill, and what must be added
        to it, in USD.
    note : str
        What the reproduction shows.
    """

    name: str
    requests_per_day: float
    claimed_api_usd: float
    claimed_self_hosted_usd: float
    claimed_gpus: int
    claimed_choice: str
    api_model: str
    gpu: str
    other_usd_per_month: float
    note: str
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    images: float = 0.0

    @property
    def workload(self) -> Workload:
        """The traffic, in a month of 30 days."""
        return Workload(
            self.requests_per_day,
            self.input_tokens,
            self.output_tokens,
            images=self.images,
            days_per_month=LESSON_DAYS_PER_MONTH,
        )

    def api_cost(self, as_of: str = AS_OF) -> ApiCost:
        """The API's bill, recomputed at the prices of a day."""
        return api_cost(self.workload, self.api_model, "openai", as_of)

    @property
    def self_hosted_usd(self) -> float:
        """The self-hosted bill, recomputed from the lesson's GPUs at the lesson's price and what it adds to them."""
        return monthly_cost(self.gpu, gpus=self.claimed_gpus).usd + self.other_usd_per_month


@cache
def scenarios() -> tuple[Scenario, ...]:
    """The six scenarios, in the lesson's order.

    Examples
    --------
    How far are the recomputed bills from the lesson's, at most?

    >>> bills = [(s.api_cost().usd_per_month, s.claimed_api_usd) for s in scenarios()]
    >>> bills += [(s.self_hosted_usd, s.claimed_self_hosted_usd) for s in scenarios()]
    >>> f"{max(abs(ours / claimed - 1) for ours, claimed in bills):.0%}"
    '9%'
    """
    return tuple(Scenario(**row) for row in shipped_rows("costlab.build_vs_buy", "scenarios.toml", "scenario"))
