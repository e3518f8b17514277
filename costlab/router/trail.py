"""What a request has come to and paid so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costlab.router.results import Attempt, AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from costlab.router.models import Usage
    from costlab.router.tiers import Tier

__all__ = ["Trail", "in_words"]

_NO_BILL: tuple[float, Usage | None] | None = None


class Trail:
    """What has happened to one request so far.

    Attributes
    ----------
    attempts : list of Attempt
        One for each tier that it came to.
    tier : Tier or None
        Who gave the best answer so far.
    degraded : bool
        Whether the budget allowed no better one.
    cost_usd : float
        What it cost.
    owed_usd : float
        The part of it that no budget guard has heard of yet.
    input_tokens, cached_input_tokens, output_tokens : int
        Of all attempts together.
    asked : bool
        Whether it came to the tiers: not where a cache answered, or an equal request under way.
    sent : bool
        Whether a model has been asked in the attempt under way, and may send a bill for it.
    bill : (float, Usage or None) or None
        That bill, in USD and tokens, where it came before the attempt was over.
    """

    __slots__ = (
        "_clock", "_gate_error", "_gate_usd", "_since_s", "asked", "attempts", "bill", "cached_input_tokens",
        "cost_usd", "degraded", "input_tokens", "output_tokens", "owed_usd", "sent", "tier",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float], started_s: float) -> None:
        self.attempts: list[Attempt] = []
        self.tier: Tier | None = None
        self.degraded = self.asked = False
        self.cost_usd = self.owed_usd = self._gate_usd = 0.0
        self.input_tokens = self.cached_input_tokens = self.output_tokens = 0
        self.sent, self.bill = False, _NO_BILL
        self._clock, self._since_s, self._gate_error = clock, started_s, ""

    def look_up(self, usd: float) -> None:
        """Something was asked that is no tier: a cache, a score."""
        self.cost_usd += usd
        self.owed_usd += usd

    def ask_gate(self, usd: float) -> None:
        """A gate was asked; its cost belongs to the attempt that follows."""
        self._gate_usd = usd
        self.owed_usd += usd

    def gate_failed(self, error: Exception) -> None:
        """The gate raised instead of an answer; the attempt that follows says so."""
        self._gate_error = f"the gate failed ({in_words(error)})"

    def add(
        self,
        tier: Tier,
        outcome: AttemptOutcome,
        usd: float,
        confidence: float | None = None,
        error: str = "",
        usage: Usage | None = None,
    ) -> None:
        """An attempt ended, whose call cost `usd`."""
        now_s = self._clock()
        usd += self._gate_usd
        attempt = Attempt(tier.name, outcome, usd, confidence, now_s - self._since_s, error or self._gate_error)
        self.attempts.append(attempt)
        self.cost_usd += usd
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.cached_input_tokens += usage.cached_input_tokens
            self.output_tokens += usage.output_tokens
        self._since_s, self._gate_usd, self._gate_error = now_s, 0.0, ""
        self.sent, self.bill = False, _NO_BILL


def in_words(error: BaseException) -> str:
    """An error as one reads it in a log."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
