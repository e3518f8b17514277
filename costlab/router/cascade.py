"""The cascade: the cheapest tier first, the next when its answer is not trusted, and every attempt paid for."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Protocol

from costlab import checks
from costlab.cache import Answer, Request
from costlab.errors import BudgetExceededError, InvalidValueError
from costlab.events import Hook, Hooks, Outcome, Priority, RequestEvent, micro_usd
from costlab.router.models import ModelError, Prediction, Usage
from costlab.router.results import Attempt, CascadeFailedError, Routed
from costlab.router.tiers import Tier

__all__ = ["AnswerCache", "BudgetGate", "Cascade"]


class AnswerCache(Protocol):
    """What a cascade asks of a cache: :class:`costlab.cache.ResponseCache` has it."""

    async def get_or_call(self, request: Any, call: Callable[[Any], Any]) -> Any:
        """The answer from the cache, or from the call."""
        ...


class BudgetGate(Protocol):
    """What a cascade asks of a budget guard: :class:`costlab.monitoring.BudgetGuard` has it."""

    def reserve_async(self, estimate_usd: float, priority: Priority) -> AbstractAsyncContextManager[Any]:
        """A reservation to settle; raises :class:`BudgetExceededError` on entry."""
        ...


@dataclass(slots=True)
class _Trail:
    """What has happened to one request so far."""

    attempts: list[Attempt] = field(default_factory=list)
    usd: float = 0.0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def add(self, attempt: Attempt, usage: Usage | None = None) -> None:
        self.attempts.append(attempt)
        self.usd += attempt.usd
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.cached_input_tokens += usage.cached_input_tokens
            self.output_tokens += usage.output_tokens


@dataclass(frozen=True, slots=True)
class _Climbed:
    answer: Any
    tier: str
    degraded: bool = False


class _NotForOthersError(Exception):
    """Carries an answer that must not be cached past the cache, which keeps no errors."""

    def __init__(self, climbed: _Climbed) -> None:
        super().__init__("an answer that is not kept")
        self.climbed = climbed


class Cascade:
    """Routes each query through tiers of models, cheapest first.

    Parameters
    ----------
    tiers : sequence of Tier
        At least one, names used once; the last always answers.
    cache : AnswerCache, optional
        Asked before any tier. An answer that the budget degraded is not kept in it.
    cache_usd_per_lookup : float
        What a look-up costs, hit or miss, in USD, >= 0.
    cache_model : str
        The name under which answers are cached; change it when the tiers change, and old answers are left behind.
    guard : BudgetGate, optional
        Asked before every call. Where it refuses a dearer tier, the best answer so far is given (degraded); where
        there is none, its refusal is raised.
    hooks : iterable of callable
        Each is told of every request, as a :class:`costlab.events.RequestEvent`. One that fails is counted in `hooks`.
    deadline_s : float, optional
        Seconds for the whole route, > 0.
    clock, now, new_id : callable
        Seconds that never go back, for latencies; seconds since 1970, for events; and names for requests.

    Attributes
    ----------
    hooks : Hooks
        Those who are told; `hooks.failures` counts what failed.

    Raises
    ------
    InvalidValueError
        If there are no tiers, or a name is used twice.

    Examples
    --------
    A small model that is unsure, and a large one. What was paid?

    >>> import asyncio
    >>> from costlab.router import Cascade, Prediction, ScriptedModel, Tier
    >>> small = Tier(name="small", model=ScriptedModel(lambda q: Prediction("cat", 0.6)), price=0.0005, min_confidence=0.95)
    >>> large = Tier(name="large", model=ScriptedModel(lambda q: Prediction("dog", 0.99)), price=0.03)
    >>> routed = asyncio.run(Cascade([small, large]).route("Which animal barks?"))
    >>> routed.answer, routed.tier, routed.cost_usd, [attempt.outcome for attempt in routed.attempts]
    ('dog', 'large', 0.0305, ['unsure', 'answered'])
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        cache: AnswerCache | None = None,
        guard: BudgetGate | None = None,
        hooks: Iterable[Hook] = (),
        clock: Callable[[], float] = time.perf_counter,
        *,
        cache_usd_per_lookup: float = 0.0,
        cache_model: str = "cascade",
        deadline_s: float | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        names = [tier.name for tier in tiers]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError("tiers", "at least one, each name used once", names)
        self.tiers = tuple(tiers)
        self.hooks = Hooks(hooks)
        self._cache = cache
        self._lookup_usd = checks.non_negative("cache_usd_per_lookup", cache_usd_per_lookup)
        self._cache_model = cache_model
        self._guard = guard
        self._clock = clock
        self._now = now
        self._new_id = new_id
        self._deadline_s = None if deadline_s is None else checks.positive("deadline_s", deadline_s)
        self._places = [
            asyncio.Semaphore(tier.max_concurrency) if tier.max_concurrency is not None else None for tier in tiers
        ]

    async def route(self, query: str, priority: Priority = "standard", *, tenant: str = "") -> Routed:
        """The answer to a query, with what was paid for it.

        Parameters
        ----------
        query : str
            What is asked.
        priority : {'batch', 'standard', 'essential'}
            Passed to the budget guard.
        tenant : str
            Whose request it is: a part of the event, and of the cache that nobody else sees.

        Returns
        -------
        Routed

        Raises
        ------
        CascadeFailedError
            If the last tier fails, or the deadline passes.
        BudgetExceededError
            If the guard refuses before there is any answer.
        """
        started, trail = self._clock(), _Trail()
        outcome: Outcome = "error"
        tier = self.tiers[0].name
        try:
            if self._deadline_s is None:
                climbed = await self._answer(query, priority, tenant, trail)
            else:
                async with asyncio.timeout(self._deadline_s):
                    climbed = await self._answer(query, priority, tenant, trail)
            tier = climbed.tier
            outcome = "cached" if tier == "cache" else "ok"
            latency = self._clock() - started
            return Routed(climbed.answer, tier, trail.usd, latency, tuple(trail.attempts), climbed.degraded)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except BudgetExceededError:
            outcome = "refused"
            raise
        except TimeoutError:
            outcome = "timeout"
            message = f"no answer within {self._deadline_s:g} s" if self._deadline_s else "the last tier took too long"
            raise CascadeFailedError(message, tuple(trail.attempts), trail.usd) from None
        finally:
            if trail.attempts and outcome not in ("ok", "cached"):
                tier = trail.attempts[-1].tier
            self._tell(trail, tier, outcome, self._clock() - started, tenant, priority)

    def _tell(
        self, trail: _Trail, tier: str, outcome: Outcome, latency_s: float, tenant: str, priority: Priority
    ) -> None:
        self.hooks.emit(
            RequestEvent(
                request_id=self._new_id(),
                time_s=self._now(),
                tier=tier,
                model=tier,
                input_tokens=trail.input_tokens,
                cached_input_tokens=trail.cached_input_tokens,
                output_tokens=trail.output_tokens,
                cost_micro_usd=micro_usd("cost_usd", trail.usd),
                latency_s=latency_s,
                outcome=outcome,
                tenant=tenant,
                priority=priority,
            )
        )

    async def _answer(self, query: str, priority: Priority, tenant: str, trail: _Trail) -> _Climbed:
        if self._cache is None:
            return await self._climb(query, priority, trail)
        trail.usd += self._lookup_usd
        asked = False

        async def call(_request: Any) -> Answer:
            nonlocal asked
            asked = True
            before = trail.usd
            climbed = await self._climb(query, priority, trail)
            if climbed.degraded:
                raise _NotForOthersError(climbed)
            return Answer({"answer": climbed.answer, "tier": climbed.tier}, trail.usd - before)

        request = Request(model=self._cache_model, messages=query, namespace=tenant)
        try:
            found = await self._cache.get_or_call(request, call)
        except _NotForOthersError as error:
            return error.climbed
        tier = found.value["tier"] if asked else "cache"
        return _Climbed(found.value["answer"], tier)

    async def _climb(self, query: str, priority: Priority, trail: _Trail) -> _Climbed:
        best: tuple[float, _Climbed] | None = None
        for index, tier in enumerate(self.tiers):
            last = index == len(self.tiers) - 1
            if tier.gate is not None and not last and not await _lets_through(tier, query):
                trail.add(Attempt(tier.name, "skipped", tier.gate_usd_per_request))
                continue
            gate_usd = tier.gate_usd_per_request if tier.gate is not None and not last else 0.0
            started = self._clock()
            try:
                prediction = await self._call(index, tier, query, priority)
            except BudgetExceededError as error:
                trail.add(Attempt(tier.name, "refused", gate_usd, error=str(error)))
                if best is None:
                    raise
                return _Climbed(best[1].answer, best[1].tier, degraded=True)
            except Exception as error:
                usage = error.usage if isinstance(error, ModelError) else None
                ended: Any = "timeout" if isinstance(error, TimeoutError) else "error"
                words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                took = self._clock() - started
                trail.add(Attempt(tier.name, ended, gate_usd + tier.usd(usage), None, took, words), usage)
                if last:
                    failed = CascadeFailedError("the last tier failed", tuple(trail.attempts), trail.usd)
                    raise failed from error
                continue
            usd = gate_usd + tier.usd(prediction.usage)
            kept = last or prediction.confidence > tier.min_confidence
            took = self._clock() - started
            outcome: Any = "answered" if kept else "unsure"
            trail.add(Attempt(tier.name, outcome, usd, prediction.confidence, took), prediction.usage)
            climbed = _Climbed(prediction.answer, tier.name)
            if kept:
                return climbed
            if best is None or prediction.confidence >= best[0]:
                best = (prediction.confidence, climbed)
        raise AssertionError("the last tier answers or raises")

    async def _call(self, index: int, tier: Tier, query: str, priority: Priority) -> Prediction:
        place = self._places[index]
        if place is None and self._guard is None and tier.timeout_s is None:
            return await tier.model.predict(query)
        async with place or nullcontext():
            if self._guard is None:
                return await _within(tier, query)
            async with self._guard.reserve_async(tier.reserve_usd, priority) as reserved:
                try:
                    prediction = await _within(tier, query)
                except ModelError as error:
                    await reserved.settle(tier.usd(error.usage))
                    raise
                await reserved.settle(tier.usd(prediction.usage))
                return prediction


async def _within(tier: Tier, query: str) -> Prediction:
    if tier.timeout_s is None:
        return await tier.model.predict(query)
    async with asyncio.timeout(tier.timeout_s):
        return await tier.model.predict(query)


async def _lets_through(tier: Tier, query: str) -> bool:
    """What the gate says; one that fails lets the query through, since the tier can still decide by itself."""
    assert tier.gate is not None  # noqa: S101 - asked only where there is one
    try:
        verdict = tier.gate(query)
        return bool(await verdict if isawaitable(verdict) else verdict)
    except Exception:
        return True
