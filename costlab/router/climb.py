"""One request's way up the tiers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from costlab.errors import BudgetExceeded, BudgetStoreError, InvalidValueError
from costlab.router.models import ModelError, Prediction, Usage
from costlab.router.results import AttemptOutcome, CascadeFailedError
from costlab.router.trail import in_words

if TYPE_CHECKING:
    from costlab.events import Priority
    from costlab.router.books import Books
    from costlab.router.tiers import Tier
    from costlab.router.trail import Trail

__all__ = ["Ladder", "Refusal"]

#: What a guard raises instead of a reservation.
Refusal = BudgetExceeded | BudgetStoreError


class Step:
    """A tier in its place."""

    __slots__ = ("gate", "last", "place", "plain", "predict", "reserve_usd", "tier")

    def __init__(self, tier: Tier, last: bool, guarded: bool) -> None:
        reserve_usd = tier.reserve_usd
        if guarded and reserve_usd is None:
            raise InvalidValueError(f"{tier.name}: estimate_usd", "given where a guard meets a price per token", None)
        self.tier, self.last, self.reserve_usd = tier, last, reserve_usd or 0.0
        self.gate = None if last else tier.gate
        self.place = None if tier.max_concurrency is None else asyncio.Semaphore(tier.max_concurrency)
        self.predict = tier.model.predict
        # Most tiers have nothing to wait for but the model, and are then called without any detour.
        self.plain = not guarded and self.place is None and tier.timeout_s is None


class Ladder:
    """The tiers of a cascade, ready to be climbed.

    Parameters
    ----------
    tiers : sequence of Tier
        From the bottom up.
    books : Books, optional
        Where a budget is kept.
    """

    def __init__(self, tiers: Sequence[Tier], books: Books | None) -> None:
        last = len(tiers) - 1
        self._steps = tuple(Step(tier, i == last, books is not None) for i, tier in enumerate(tiers))
        self._books = books

    async def climb(self, trail: Trail, query: str, priority: Priority, first: int = 0, trusting: bool = False) -> Any:
        """The first answer that is kept, from step `first` upward; every one is where `trusting`.

        Who gave it, and whether for want of money, stands in the trail.

        Raises
        ------
        CascadeFailedError
            If the last step fails.
        BudgetExceeded, BudgetStoreError
            If the budget refuses, and there is no cheaper answer.
        """
        refusal: Refusal | None = None
        best: Prediction | None = None
        refused_usd = math.inf
        untried = list(self._steps[:first])
        for step in self._steps[first:] if first else self._steps:
            if step.reserve_usd >= refused_usd:  # what was too dear a moment ago need not be asked for again
                continue
            if step.gate is not None and not trusting and not await _lets_through(step, query, trail):
                untried.append(step)
                continue
            try:
                prediction = await self._attempt(step, query, priority, trail, trusting or step.last)
            except (BudgetExceeded, BudgetStoreError) as error:
                refusal, refused_usd = error, step.reserve_usd
                continue
            if prediction is None:
                continue
            # Confidences of different models do not compare, so the highest tier's answer counts as the best.
            best, trail.tier = prediction, step.tier
            if trusting or step.last or step.tier.keeps(prediction.confidence):
                return prediction.answer
        if refusal is None:
            raise AssertionError("the last step answers, raises or is refused")
        trail.degraded = True
        if best is not None:
            return best.answer
        cheaper = [step for step in untried if step.reserve_usd < refused_usd]
        return await self._make_do(cheaper, query, priority, trail, refusal)

    async def _make_do(
        self,
        steps: list[Step],
        query: str,
        priority: Priority,
        trail: Trail,
        refusal: Refusal,
    ) -> Any:
        """The answer of a step that was passed over before the budget refused: the dearest that it allows."""
        for step in sorted(steps, key=lambda step: step.reserve_usd, reverse=True):
            try:
                prediction = await self._attempt(step, query, priority, trail, True)
            except (BudgetExceeded, BudgetStoreError):
                continue
            if prediction is not None:
                trail.tier = step.tier
                return prediction.answer
        raise refusal

    async def _attempt(
        self, step: Step, query: str, priority: Priority, trail: Trail, trusting: bool
    ) -> Prediction | None:
        """What a step answers; None where it fails and there is another one above."""
        tier = step.tier
        try:
            if step.plain:
                trail.sent = True
                prediction = await step.predict(query)
            else:
                prediction = await self._call(step, query, priority, trail)
            confidence, usage = prediction.confidence, prediction.usage
            usd = tier.usd(usage)
        except Exception as error:
            # After the model was asked it is the model's own budget that refuses, and the model that fails.
            if isinstance(error, Refusal) and not trail.sent:
                trail.add(tier, "refused", 0.0, None, str(error))
                raise
            self._failed(step, trail, error)
            return None
        except asyncio.CancelledError as error:
            usd, billed = trail.bill or (_billed_usd(tier, error, trail.sent), None)
            trail.add(tier, "abandoned", usd, usage=billed)
            raise
        trail.add(tier, "answered" if trusting or tier.keeps(confidence) else "unsure", usd, confidence, "", usage)
        return prediction

    def _failed(self, step: Step, trail: Trail, error: Exception) -> None:
        outcome: AttemptOutcome = "timeout" if isinstance(error, TimeoutError) else "error"
        usd = _billed_usd(step.tier, error, trail.sent)
        trail.add(step.tier, outcome, usd, None, in_words(error), _usage(error))
        if step.last:
            raise CascadeFailedError("the last tier failed", tuple(trail.attempts), trail.cost_usd) from error

    async def _call(self, step: Step, query: str, priority: Priority, trail: Trail) -> Prediction:
        """A call in its place, within its time and its budget; the place comes first, so no money waits for it."""
        if step.place is None:
            return await self._pay(step, query, priority, trail)
        async with step.place:
            return await self._pay(step, query, priority, trail)

    async def _pay(self, step: Step, query: str, priority: Priority, trail: Trail) -> Prediction:
        tier, books = step.tier, self._books
        if books is None:
            trail.sent = True
            return await _in_time(step, query)
        owed_usd = trail.owed_usd
        reserved = await books.reserve(step.reserve_usd + owed_usd, priority)
        trail.owed_usd, trail.sent = 0.0, True
        try:
            prediction = await _in_time(step, query)
            usd = tier.usd(prediction.usage)
        except BaseException as error:
            usd = _billed_usd(tier, error, True)
            trail.bill = usd, _usage(error)
            await books.settle(reserved, owed_usd + usd)
            raise
        trail.bill = usd, prediction.usage
        await books.settle(reserved, owed_usd + usd)
        return prediction


async def _in_time(step: Step, query: str) -> Prediction:
    if step.tier.timeout_s is None:
        return await step.predict(query)
    async with asyncio.timeout(step.tier.timeout_s):
        return await step.predict(query)


def _usage(error: BaseException) -> Usage | None:
    return error.usage if isinstance(error, ModelError) else None


def _billed_usd(tier: Tier, error: BaseException, sent: bool) -> float:
    """What a call that ended with an error cost: what it says itself, or the tier where nobody can know."""
    usage = _usage(error)
    if usage is not None:
        return tier.usd(usage)
    if isinstance(error, ModelError):
        unknown = error.bill_unknown
    else:
        unknown = isinstance(error, TimeoutError | asyncio.CancelledError)
    return tier.abandoned_usd_per_request if unknown and sent else 0.0


async def _lets_through(step: Step, query: str, trail: Trail) -> bool:
    """What the gate says; where it says no, the attempt is over."""
    assert step.gate is not None  # noqa: S101 - asked only where there is one
    tier = step.tier
    trail.ask_gate(tier.gate_usd_per_request)
    try:
        verdict = step.gate(query)
        through = bool(await verdict if isawaitable(verdict) else verdict)
    except Exception as error:
        trail.gate_failed(error)
        return True
    except asyncio.CancelledError:
        trail.add(tier, "abandoned", 0.0)
        raise
    if not through:
        trail.add(tier, "skipped", 0.0)
    return through
