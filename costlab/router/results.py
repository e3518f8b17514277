"""What came of a request that went through a cascade."""

from dataclasses import dataclass
from typing import Any, Literal

from costlab.errors import CostlabError

__all__ = ["Attempt", "CascadeFailedError", "Routed"]

#: How an attempt ended: its answer was kept; not trusted; its gate sent the query on; the model failed; it took too
#: long; the budget refused it.
AttemptOutcome = Literal["answered", "unsure", "skipped", "error", "timeout", "refused"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One tier's part in a request.

    Attributes
    ----------
    tier : str
        Which tier.
    outcome : {'answered', 'unsure', 'skipped', 'error', 'timeout', 'refused'}
        How it ended.
    usd : float
        What it cost, its gate included.
    confidence : float or None
        How sure the model was; None where it gave no answer.
    latency_s : float
        Seconds that it took.
    error : str
        What went wrong; empty otherwise.
    """

    tier: str
    outcome: AttemptOutcome
    usd: float
    confidence: float | None = None
    latency_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Routed:
    """An answer, who gave it, and what was paid on the way.

    Attributes
    ----------
    answer : Any
        The answer.
    tier : str
        The tier that gave it, or ``cache``.
    cost_usd : float
        Look-up, gates and every attempt together.
    latency_s : float
        Seconds from request to answer.
    attempts : tuple of Attempt
        Every tier tried, in order; empty for an answer from the cache.
    degraded : bool
        True when the budget refused a dearer tier, and an answer that is not trusted was given instead.
    """

    answer: Any
    tier: str
    cost_usd: float
    latency_s: float
    attempts: tuple[Attempt, ...]
    degraded: bool = False


class CascadeFailedError(CostlabError, RuntimeError):
    """No tier answered: the last one failed, or the deadline passed.

    Attributes
    ----------
    attempts : tuple of Attempt
        The whole trail.
    cost_usd : float
        What was paid all the same.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...], cost_usd: float) -> None:
        trail = ", ".join(f"{a.tier}: {a.outcome}" + (f" ({a.error})" if a.error else "") for a in attempts)
        super().__init__(f"{message}: {trail or 'nothing was tried'}")
        self.attempts = attempts
        self.cost_usd = cost_usd
