"""What a plan comes to."""

from dataclasses import dataclass

from costlab.capstone.fleets import FleetBill

__all__ = ["EndpointScore", "Score"]


@dataclass(frozen=True, slots=True)
class EndpointScore:
    """An endpoint under a plan.

    Attributes
    ----------
    name : str
        Which.
    usd_per_month : float
        Calls, tiers and cache of 30 ordinary days, in USD; GPUs of one's own are in the score's `fleets`.
    usd_per_request : float
        Mean over the ordinary requests, GPUs aside.
    quality_fraction, quality_floor : float
        Share of right answers, or MMLU, and the least that is allowed.
    latency_s, latency_limit_s : float
        95th percentile from request to answer, and its limit, in seconds.
    hit_rate_fraction : float
        Share of the ordinary requests that the cache answered.
    """

    name: str
    usd_per_month: float
    usd_per_request: float
    quality_fraction: float
    quality_floor: float
    latency_s: float
    latency_limit_s: float
    hit_rate_fraction: float


@dataclass(frozen=True, slots=True)
class Score:
    """What a plan comes to.

    Attributes
    ----------
    usd_per_month : float
        Thirty days, one of them with the runaway client, in USD.
    today_usd_per_month : float
        The same with what the company does today.
    budget_usd_per_month : float
        What the controller allows.
    endpoints : tuple of EndpointScore
        In the order of today's bill.
    fleets : mapping of str to FleetBill
        GPUs of one's own, by the plan's names.
    parts_usd : mapping of str to float
        Where a month's money goes: every endpoint, ``gpus``, ``people`` and ``runaway``.
    runaway_day_usd : float
        What the worst day costs, in USD.
    refused_fraction : float
        Share of the ordinary requests refused, on the worse of the two kinds of day.
    violations : tuple of str
        What the plan breaks, in words; empty when it stands.
    """

    usd_per_month: float
    today_usd_per_month: float
    budget_usd_per_month: float
    endpoints: tuple[EndpointScore, ...]
    fleets: dict[str, FleetBill]
    parts_usd: dict[str, float]
    runaway_day_usd: float
    refused_fraction: float
    violations: tuple[str, ...]

    @property
    def saving_fraction(self) -> float:
        """Share of today's bill that is saved; negative where the plan costs more."""
        return 1.0 - self.usd_per_month / self.today_usd_per_month

    @property
    def passed(self) -> bool:
        """Whether the plan breaks nothing, the budget included."""
        return not self.violations
