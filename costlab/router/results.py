"""What came of a request that went through a cascade."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from costlab.errors import CostlabError
from costlab.events import micro_usd

__all__ = ["Attempt", "AttemptOutcome", "CascadeFailedError", "Routed"]

#: How an attempt ended: its answer was kept; not trusted; its gate sent the query on; the model failed; it took too
#: long; the budget refused it; the whole request was cancelled or out of time meanwhile.
AttemptOutcome = Literal["answered", "unsure", "skipped", "error", "timeout", "refused", "abandoned"]


@dataclass(frozen=True, slots=True, init=False)
class Attempt:
    """One tier's part in a request.

    Attributes
    ----------
    tier : str
        Which tier.
    outcome : {'answered', 'unsure', 'skipped', 'error', 'timeout', 'refused', 'abandoned'}
        How it ended.
    cost_usd : float
        What it cost, its gate included.
    confidence : float or None
        How sure the model was; None where it gave no answer.
    latency_s : float
        Seconds that it took, with its gate and the wait for a place.
    error : str
        What went wrong; empty otherwise.
    """

    tier: str
    outcome: AttemptOutcome
    cost_usd: float
    confidence: float | None = None
    latency_s: float = 0.0
    error: str = ""

    def __init__(
        self,
        tier: str,
        outcome: AttemptOutcome,
        cost_usd: float,
        confidence: float | None = None,
        latency_s: float = 0.0,
        error: str = "",
    ) -> None:
        # The constructor of a frozen dataclass looks every field up by name, which for four attempts is a tenth of a
        # route whose models answer at once.
        set_tier, set_outcome, set_cost, set_confidence, set_latency, set_error = _ATTEMPT
        set_tier(self, tier)
        set_outcome(self, outcome)
        set_cost(self, cost_usd)
        set_confidence(self, confidence)
        set_latency(self, latency_s)
        set_error(self, error)


_ATTEMPT: Final = tuple(getattr(Attempt, name).__set__ for name in Attempt.__slots__)


@dataclass(frozen=True, slots=True, init=False)
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
        Every tier that the request came to, in order; empty for an answer from the cache.
    degraded : bool
        True when the budget refused the tier that should have answered, and a cheaper one's answer was given instead.
    """

    answer: Any
    tier: str
    cost_usd: float
    latency_s: float
    attempts: tuple[Attempt, ...]
    degraded: bool = False

    def __init__(
        self,
        answer: Any,
        tier: str,
        cost_usd: float,
        latency_s: float,
        attempts: tuple[Attempt, ...],
        degraded: bool = False,
    ) -> None:
        set_answer, set_tier, set_cost, set_latency, set_attempts, set_degraded = _ROUTED  # as for attempts
        set_answer(self, answer)
        set_tier(self, tier)
        set_cost(self, cost_usd)
        set_latency(self, latency_s)
        set_attempts(self, attempts)
        set_degraded(self, degraded)

    @property
    def cost_micro_usd(self) -> int:
        """The cost in whole micro-dollars, rounded up as in the request's event, so that totals agree exactly."""
        return micro_usd("cost_usd", self.cost_usd)


_ROUTED: Final = tuple(getattr(Routed, name).__set__ for name in Routed.__slots__)


class CascadeFailedError(CostlabError, RuntimeError):
    """No tier answered: the last one failed, or the deadline passed.

    Attributes
    ----------
    attempts : tuple of Attempt
        The whole trail; empty where the request only waited for an equal one, which failed.
    cost_usd : float
        What this request paid all the same.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...], cost_usd: float) -> None:
        trail = ", ".join(f"{a.tier}: {a.outcome}" + (f" ({a.error})" if a.error else "") for a in attempts)
        super().__init__(f"{message}: {trail}" if trail else message)
        self.message = message
        self.attempts = attempts
        self.cost_usd = cost_usd

    def __reduce__(self) -> tuple[type["CascadeFailedError"], tuple[str, tuple[Attempt, ...], float]]:
        # Workers hand exceptions to their parent by pickle, which would call the class with the whole message alone.
        return type(self), (self.message, self.attempts, self.cost_usd)
