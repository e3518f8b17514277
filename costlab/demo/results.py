"""What the played day came to, and how it stands at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from costlab.monitoring import Report

__all__ = ["Bill", "DemoResult", "Moment"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What the day cost one way, and how good the answers were.

    Attributes
    ----------
    ordinary_usd, runaway_usd : float
        Cost of the ordinary requests, and of the runaway client's loop, in USD.
    ordinary, answered, right : int
        Ordinary requests; those that got an answer; and those that got the right one.
    """

    ordinary_usd: float
    runaway_usd: float
    ordinary: int
    answered: int
    right: int

    @property
    def usd(self) -> float:
        """Both together, in USD."""
        return self.ordinary_usd + self.runaway_usd

    @property
    def quality_fraction(self) -> float:
        """Right answers over ordinary requests, of which those that were refused got none."""
        return self.right / self.ordinary if self.ordinary else 0.0

    @property
    def answered_quality_fraction(self) -> float:
        """Right answers over those that were given."""
        return self.right / self.answered if self.answered else 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """How the day stands.

    Attributes
    ----------
    time_s : float
        Seconds since midnight.
    done, total : int
        Requests so far, and of the day.
    here, baseline : Bill
        So far: of the service, and of everything at the large model.
    outcomes : mapping of str to int
        Requests by the tier that answered, ``cache`` among them, and those ``refused``.
    degraded : int
        Answers that were cheaper than they would have been, for want of budget.
    levels : mapping of str to str
        For each client, how its budget stands: ``normal``, ``soft``, ``hard`` or ``stopped``.
    alerts : tuple of str
        What the guards have said, each with its time of day and client.
    """

    time_s: float
    done: int
    total: int
    here: Bill
    baseline: Bill
    outcomes: Mapping[str, int]
    degraded: int
    levels: Mapping[str, str]
    alerts: tuple[str, ...]

    @property
    def hit_rate_fraction(self) -> float:
        """Answers from the cache over all requests."""
        return self.outcomes["cache"] / self.done if self.done else 0.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The whole day.

    Attributes
    ----------
    requests, seed : int
        As they were asked for.
    end : Moment
        How it ended.
    hard_usd : mapping of str to float
        Each client's daily budget, in USD.
    refused_from_s : float or None
        When the runaway client was first refused, in seconds after midnight.
    report : Report
        The report of the ledger.
    recorded_on : str
        When the models' answers were recorded, as an ISO date.
    """

    requests: int
    seed: int
    end: Moment
    hard_usd: Mapping[str, float]
    refused_from_s: float | None
    report: Report
    recorded_on: str

    @property
    def saved_usd(self) -> float:
        """What the service costs less than the baseline, in USD."""
        return self.end.baseline.usd - self.end.here.usd

    @property
    def saving_fraction(self) -> float:
        """That over the baseline's bill."""
        return self.saved_usd / self.end.baseline.usd

    @property
    def ordinary_saving_fraction(self) -> float:
        """What is saved on the ordinary requests alone, those included that a budget refused."""
        return 1.0 - self.end.here.ordinary_usd / self.end.baseline.ordinary_usd
