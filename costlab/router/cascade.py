"""The cascade: the cheapest tier first, the next when its answer is not trusted, and every attempt paid for."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from costlab._internal import checks
from costlab._internal.fork_safety import UniqueNames
from costlab.cache import Answer, Request
from costlab.errors import BudgetExceeded, BudgetStoreError, InvalidValueError
from costlab.events import PRIORITIES, Hook, Hooks, Outcome, Priority, RequestEvent, ServedAs, micro_usd
from costlab.router.budgeted_calls import BudgetedCalls
from costlab.router.models.protocol import ModelError, Prediction, TokenUsage
from costlab.router.policy import AttemptOutcome, NextStep, chosen_tier, first_step, next_step
from costlab.router.routes import Attempt, CascadeFailedError, Routed

if TYPE_CHECKING:
    from costlab.router.budgeted_calls import BudgetGuardLike
    from costlab.router.tiers import Gate, Tier

#: What a budget guard raises instead of a reservation.
Refusal = BudgetExceeded | BudgetStoreError

FIRST_STEP: Final = first_step()


class Slot:
    """A tier as the runner calls it: one that has nothing to wait for but its model is called without any detour."""

    def __init__(self, tier: Tier, gate: Gate | None, budgeted: bool) -> None:
        self.tier, self.gate, self.predict = tier, gate, tier.model.predict
        # What a call costs whose bill no one knows. A guard was told the most that it can be: that much is gone then.
        by_default = tier.reserve_usd if budgeted else None
        self.unknown_usd = (
            tier.abandoned_usd_per_request if tier.abandoned_usd_per_request is not None else by_default or 0.0
        )
        self.places = None if tier.max_concurrency is None else asyncio.Semaphore(tier.max_concurrency)
        self.plain = not budgeted and self.places is None and tier.timeout_s is None

    def bill(self, error: BaseException, sent: bool) -> tuple[float, TokenUsage | None]:
        """What a call that ended with an error cost: what it says itself, or what is taken where no one can know."""
        if isinstance(error, ModelError) and not error.bill_unknown:
            return self.tier.usd(error.usage), error.usage
        return self.unknown_usd if sent else 0.0, None

    async def predict_in_time(self, query: str) -> Prediction:
        """The model's answer, given up after the tier's time-out."""
        if self.tier.timeout_s is None:
            return await self.predict(query)
        async with asyncio.timeout(self.tier.timeout_s):
            return await self.predict(query)


class RouteState:
    """How far one request has got, and what it has paid so far."""

    # Defaults of the class: most requests change few of them, and a hit none.
    tier: Tier | None = None  # who gave the answer; None for the cache
    answer: object = None
    refusal: Refusal | None = None  # what the budget guard said
    degraded = False  # whether it allowed no better answer
    complete = True  # whether the answer is whole
    asked = False  # whether the request came to the tiers: not where a cache answered, or an equal one under way
    cost_usd = 0.0
    owed_usd = 0.0  # the part of the cost that no budget guard has heard of yet
    input_tokens = cached_input_tokens = output_tokens = 0  # of all attempts together
    parts: Mapping[str, Any] = MappingProxyType({})  # what else they used, by the name of an event's field
    service_tier: ServedAs = "standard"  # of the last of them
    # Of the attempt under way: whether a model was asked, and may send a bill; and that bill, where it came already.
    sent = False
    bill: tuple[float, TokenUsage | None] | None = None
    _gate_usd, _gate_error = 0.0, ""

    def __init__(self, clock: Callable[[], float], started_s: float) -> None:
        self.attempts: list[Attempt] = []
        self._clock, self._since_s = clock, started_s

    def pay(self, usd: float) -> None:
        """Something was asked that is no tier: a cache, a score."""
        self.cost_usd += usd
        self.owed_usd += usd

    async def passes_gate(self, gate: Gate, query: str, usd: float) -> bool:
        """What a gate says. Its cost, and its error where it fails, belong to the attempt that it begins."""
        self._gate_usd = usd
        self.owed_usd += usd
        try:
            verdict = gate(query)
            return bool(await verdict if isawaitable(verdict) else verdict)
        except Exception as error:
            self._gate_error = f"the gate failed ({_in_words(error)})"
            return True

    def end_attempt(
        self,
        tier: Tier,
        outcome: AttemptOutcome,
        usd: float,
        usage: TokenUsage | None = None,
        confidence: float | None = None,
        error: str = "",
    ) -> None:
        """Write down an attempt whose call cost `usd`."""
        now_s = self._clock()
        usd += self._gate_usd
        attempt = Attempt(tier.name, outcome, usd, confidence, now_s - self._since_s, error or self._gate_error)
        self.attempts.append(attempt)
        self.cost_usd += usd
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.cached_input_tokens += usage.cached_input_tokens
            self.output_tokens += usage.output_tokens
            if usage.parts:
                self.parts = {**self.parts, **{name: n + self.parts.get(name, 0) for name, n in usage.parts.items()}}
            self.service_tier = usage.service_tier or "standard"
        self._since_s, self._gate_usd, self._gate_error = now_s, 0.0, ""
        self.sent, self.bill = False, None


class CascadeRunner:
    """Takes requests through the tiers, as :func:`costlab.router.policy.next_step` decides.

    Where a score has `chosen` the tier, no gate is asked, and every whole answer is trusted.
    """

    def __init__(self, tiers: Sequence[Tier], budget: BudgetedCalls | None, chosen: bool) -> None:
        if budget is not None:
            for tier in tiers:
                if tier.reserve_usd is None:
                    name = f"{tier.name}: estimate_usd"
                    raise InvalidValueError(name, "given where a guard meets a price per token", None)
        gates = [None if chosen else tier.gate for tier in tiers[:-1]] + [None]
        self._slots = tuple(Slot(tier, gate, budget is not None) for tier, gate in zip(tiers, gates, strict=True))
        self._thresholds = () if chosen else tuple(tier.min_confidence for tier in tiers[:-1])
        self._reserve_usd = tuple(0.0 if budget is None else tier.reserve_usd or 0.0 for tier in tiers)
        self._budget = budget

    async def run(self, state: RouteState, query: str, priority: Priority, step: NextStep = FIRST_STEP) -> object:
        """The answer that is served; who gave it, and whether for want of money, is in the state."""
        while True:
            slot = self._slots[step.tier]
            tier = slot.tier
            outcome: AttemptOutcome = "answered"
            prediction = usage = failure = None
            usd, confidence = 0.0, math.nan
            try:
                if (
                    slot.gate is not None
                    and step.action == "ask"
                    and not await state.passes_gate(slot.gate, query, tier.gate_usd_per_request)
                ):
                    outcome = "skipped"
                else:
                    if slot.plain:
                        state.sent = True
                        prediction = await slot.predict(query)
                    else:
                        prediction = await self._call(slot, state, query, priority)
                    confidence, usage = prediction.confidence, prediction.usage
                    usd = tier.usd(usage)
            except asyncio.CancelledError as error:
                state.end_attempt(tier, "abandoned", *(state.bill or slot.bill(error, state.sent)))
                raise
            except Exception as error:
                failure, prediction = error, None
                # After the model was asked it is the model's own budget that refuses, and the model that fails.
                if isinstance(error, Refusal) and not state.sent:
                    outcome = "refused"
                else:
                    outcome = "timeout" if isinstance(error, TimeoutError) else "error"
                    usd, usage = state.bill or slot.bill(error, state.sent)

            if prediction is not None and not prediction.complete:
                outcome = "incomplete"
            after = next_step(step, outcome, confidence, self._thresholds, self._reserve_usd)
            if prediction is not None:
                kept = after.action == "serve"
                if prediction.complete:
                    outcome = "answered" if kept else "escalated"
                if prediction.complete or kept or state.tier is None:
                    state.tier, state.answer, state.complete = tier, prediction.answer, prediction.complete
                state.end_attempt(tier, outcome, usd, usage, confidence)
            else:
                words = "" if failure is None else str(failure) if outcome == "refused" else _in_words(failure)
                state.end_attempt(tier, outcome, usd, usage, None, words)
                if isinstance(failure, Refusal) and outcome == "refused" and step.action == "ask":
                    state.refusal = failure
            step = after
            if step.action == "ask":
                continue
            if step.action == "fall_back":
                state.degraded = True
            elif step.action == "serve":
                return state.answer
            elif step.action == "serve_degraded":
                state.degraded = True
                return state.answer
            elif step.action == "fail" or state.refusal is None:
                raise CascadeFailedError("the last tier failed", tuple(state.attempts), state.cost_usd) from failure
            else:
                raise state.refusal

    async def _call(self, slot: Slot, state: RouteState, query: str, priority: Priority) -> Prediction:
        """A call in its slot, within its time and its budget; the slot comes first, so no money waits for it."""
        if slot.places is None:
            return await self._pay(slot, state, query, priority)
        async with slot.places:
            return await self._pay(slot, state, query, priority)

    async def _pay(self, slot: Slot, state: RouteState, query: str, priority: Priority) -> Prediction:
        tier, budget = slot.tier, self._budget
        if budget is None:
            state.sent = True
            return await slot.predict_in_time(query)
        owed_usd = state.owed_usd
        reservation = await budget.reserve((tier.reserve_usd or 0.0) + owed_usd, priority)
        state.owed_usd, state.sent = 0.0, True
        try:
            prediction = await slot.predict_in_time(query)
            state.bill = tier.usd(prediction.usage), prediction.usage
        except BaseException as error:
            state.bill = slot.bill(error, sent=True)
            raise
        finally:
            if state.bill is not None:
                await budget.settle(reservation, owed_usd + state.bill[0])
        return prediction


def _in_words(error: BaseException) -> str:
    """An error as one reads it in a log."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class AnswerCache(Protocol):
    """What a cascade asks of a cache: :class:`costlab.cache.ResponseCache` has it."""

    async def get_or_call(self, request: Request, call: Callable[[Request], Awaitable[Answer]]) -> Any:
        """An object with the answer as its ``value``: from the cache, or from ``await call(request)``."""
        ...


class Cascade:
    """Routes each query through tiers of models, cheapest first.

    Parameters
    ----------
    tiers : sequence of Tier
        At least one, names used once, none called ``cache``; the last always answers.
    cache : AnswerCache, optional
        Asked before any tier. An answer that the budget degraded, or that was cut off, is not kept in it.
    guard : BudgetGuardLike, optional
        Asked before every call; each tier must then say what a call can cost. Where it refuses, a cheaper answer is
        given, if there is one: see the notes.
    hooks : iterable of callable
        Each is told of every request, as a :class:`costlab.events.RequestEvent`. One that fails is counted in `hooks`.
    clock, now : callable
        Seconds that never go back, for latencies; seconds since 1970-01-01 UTC, for events.
    cache_usd_per_lookup : float
        What a look-up costs, hit or miss, in USD, >= 0.
    cache_model : str, optional
        The name under which answers are cached; by default made of the tiers' names. Change it when models or
        thresholds change, and old answers are left behind.
    deadline_s : float, optional
        Seconds for the whole route, > 0.
    new_id : callable, optional
        Makes a name for each request, unique among all that write to one ledger.

    Attributes
    ----------
    tiers, hooks : tuple of Tier, Hooks
        As they were given; `hooks.failures` counts what failed.

    Notes
    -----
    **What a request costs** is the look-up, every gate that was asked and every call that was billed: of the tiers
    tried in vain as of the one that answered. A hit costs its look-up. Equal requests at one time make one call, if the
    cache does so, and the one that makes it pays. The event names the tier that answered (the last one that was tried,
    where none did), with the cost and the tokens of all.

    **When the budget refuses a call**, tiers that would reserve as much or more are left out. The answer is then the
    best that there is: of a tier above, if it is cheaper; the last one that was not trusted; or that of the most
    expensive tier passed over before. Only without any is the refusal raised. Look-ups and gates are told to the guard
    together with the next call, or at the end, so that guard and ledger agree.

    **An answer that was cut off**, by a limit of tokens or a filter, sends the query on whatever its confidence, and
    where a score chose the tier too. Where there is no further tier it is given, with `complete` false.

    **A tier that fails** or takes too long sends the query on. It is paid for where it was billed: by the usage in its
    :class:`ModelError`, or, where it was given up, its answer was lost or its error does not say, by
    `abandoned_usd_per_request`; with a guard that is by default the whole estimate.

    **A request that is cancelled** gives up its slot, settles its reservation and is told to the hooks.
    What a guard on a slow store has not heard then, :meth:`drain` waits for.

    One event loop uses a cascade.

    Examples
    --------
    A small model that is unsure, and a large one. What was paid?

    >>> import asyncio
    >>> from costlab.router import Cascade, Prediction, ScriptedModel, Tier
    >>> small = Tier("small", ScriptedModel({"Which animal barks?": Prediction("cat", 0.6)}), 0.0005, 0.95)
    >>> large = Tier("large", ScriptedModel({"Which animal barks?": Prediction("dog", 0.99)}), 0.03)
    >>> routed = asyncio.run(Cascade([small, large]).route("Which animal barks?"))
    >>> routed.answer, routed.tier, routed.cost_usd, [attempt.outcome for attempt in routed.attempts]
    ('dog', 'large', 0.0305, ['escalated', 'answered'])
    """

    #: Begins the name under which answers are cached: another way of choosing tiers gives other answers.
    _KIND: ClassVar[str] = "cascade"

    def __init__(
        self,
        tiers: Sequence[Tier],
        cache: AnswerCache | None = None,
        guard: BudgetGuardLike | None = None,
        hooks: Iterable[Hook] = (),
        clock: Callable[[], float] = time.perf_counter,
        *,
        cache_usd_per_lookup: float = 0.0,
        cache_model: str | None = None,
        deadline_s: float | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        names = [tier.name for tier in tiers]
        if not names or len({*names, "cache"}) <= len(names):
            raise InvalidValueError("tiers", "at least one, each name used once, none of them 'cache'", names)
        self.tiers = tuple(tiers)
        self.hooks = Hooks(hooks)
        self._lookup_usd = checks.non_negative("cache_usd_per_lookup", cache_usd_per_lookup)
        self._cache_model = f"{self._KIND}: {', '.join(names)}" if cache_model is None else cache_model
        self._clock, self._now, self._new_id = clock, now, new_id or UniqueNames()
        self._deadline_s = None if deadline_s is None else checks.positive("deadline_s", deadline_s)
        self._budget = None if guard is None else BudgetedCalls(guard)
        self._runner = CascadeRunner(tiers, self._budget, chosen=self._KIND != Cascade._KIND)
        self._answer = self._ask_tiers if cache is None else partial(self._look_up, cache)

    async def route(self, query: str, priority: Priority = "standard", *, tenant: str = "") -> Routed:
        """The answer to a query, with what was paid for it.

        Parameters
        ----------
        query, priority : str
            What is asked; ``batch``, ``standard`` or ``essential``, for the budget guard.
        tenant : str
            Whose request it is: a part of the event, and of the cache that no one else sees.

        Raises
        ------
        CascadeFailedError
            If the last tier fails, or the deadline passes; with all attempts.
        costlab.errors.BudgetExceeded, costlab.errors.BudgetStoreError
            If the guard refuses, or cannot ask its store and its policy is to refuse, and there is no cheaper answer.
        """
        if priority not in PRIORITIES:
            checks.one_of("priority", priority, PRIORITIES)
        if not (isinstance(tenant, str) and checks.utf8(tenant)):  # now, and not when the event is made and all is paid
            raise InvalidValueError("tenant", "a text that UTF-8 can hold", tenant)
        clock = self._clock
        started_s = clock()
        state = RouteState(clock, started_s)
        outcome: Outcome = "error"
        latency_s: float | None = None
        try:
            if self._deadline_s is None:
                answer = await self._answer(state, query, priority, tenant)
            else:
                answer = await self._in_time(self._deadline_s, state, query, priority, tenant)
            latency_s = clock() - started_s
            outcome, name = ("cached", "cache") if state.tier is None else ("ok", state.tier.name)
            attempts = tuple(state.attempts)
            return Routed(answer, name, state.cost_usd, latency_s, attempts, state.degraded, state.complete)
        except CascadeFailedError as error:
            outcome = "timeout" if _timed_out(error) else "error"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except (BudgetExceeded, BudgetStoreError):
            outcome = "refused"
            raise
        finally:
            if latency_s is None:
                latency_s = clock() - started_s
                state.tier = self._last_tried(state)
            tier = state.tier
            event = RequestEvent(
                request_id=self._new_id(),
                time_s=self._now(),
                tier="cache" if tier is None else tier.name,
                model="cache" if tier is None else tier.model_name,
                input_tokens=state.input_tokens,
                cached_input_tokens=state.cached_input_tokens,
                output_tokens=state.output_tokens,
                cost_micro_usd=micro_usd("cost_usd", state.cost_usd),
                latency_s=latency_s,
                outcome=outcome,
                tenant=tenant,
                priority=priority,
                provider="" if tier is None else tier.provider_name,
                service_tier=state.service_tier,
            )
            if state.parts:
                event = replace(event, **state.parts)
            self.hooks.emit(event)
            if state.owed_usd and self._budget is not None:
                await self._budget.record(state.owed_usd)

    async def drain(self) -> None:
        """Wait until the guard has heard all of cancelled requests too; before the event loop ends, say."""
        if self._budget is not None:
            await self._budget.drain()

    def _last_tried(self, state: RouteState) -> Tier:
        name = state.attempts[-1].tier if state.attempts else self.tiers[0].name
        return next(tier for tier in self.tiers if tier.name == name)

    async def _in_time(
        self, deadline_s: float, state: RouteState, query: str, priority: Priority, tenant: str
    ) -> object:
        try:
            async with asyncio.timeout(deadline_s) as limit:
                return await self._answer(state, query, priority, tenant)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"no answer within {deadline_s:g} s"
            raise CascadeFailedError(message, tuple(state.attempts), state.cost_usd) from error

    async def _look_up(
        self, cache: AnswerCache, state: RouteState, query: str, priority: Priority, tenant: str
    ) -> object:
        state.cost_usd = state.owed_usd = self._lookup_usd
        request = Request(model=self._cache_model, messages=query, namespace=tenant)
        try:
            cached = await cache.get_or_call(request, partial(self._ask_for_cache, state, query, priority, tenant))
        except (BudgetExceeded, BudgetStoreError):
            if not state.asked:  # an equal request of another priority was refused; this one may still be admitted
                return await self._ask_tiers(state, query, priority, tenant)
            if state.degraded and state.tier is not None:
                return state.answer
            raise
        except CascadeFailedError as error:
            if state.asked:
                raise
            raise CascadeFailedError(f"an equal request under way: {error}", (), state.cost_usd) from error
        return cached.value

    async def _ask_for_cache(
        self, state: RouteState, query: str, priority: Priority, tenant: str, _request: Request
    ) -> Answer:
        """What the cache calls where it has no answer; a refusal instead of a degraded one, which no one else gets."""
        state.asked, before_usd = True, state.cost_usd
        answer = await self._ask_tiers(state, query, priority, tenant)
        if state.degraded and state.refusal is not None:
            raise state.refusal
        return Answer(answer, state.cost_usd - before_usd, state.complete)

    def _ask_tiers(self, state: RouteState, query: str, priority: Priority, _tenant: str) -> Awaitable[object]:
        return self._runner.run(state, query, priority)


def _timed_out(error: CascadeFailedError) -> bool:
    cause = error.__cause__
    return _timed_out(cause) if isinstance(cause, CascadeFailedError) else isinstance(cause, TimeoutError)


class ScoreRouter(Cascade):
    """Sends each query to the tier that its score says will do, with all else as in a :class:`Cascade`.

    Parameters
    ----------
    tiers : sequence of Tier
        From the cheapest to the best. Their thresholds and gates are without meaning here.
    score : callable
        How easy a query is thought to be; async or not. Where it fails or gives NaN, the last tier is chosen.
    cuts : sequence of float, length tiers - 1
        Falling, as in :func:`evaluate_routing`: a score above the first cut goes to the first tier, above the second to
        the second, and so on.
    score_usd_per_request : float
        What scoring costs, in USD, >= 0. An answer from the cache needs none.
    cache, guard, hooks, clock, **settings
        As for :class:`Cascade`.

    Notes
    -----
    A tier that fails sends the query on to the next one. When the budget refuses the chosen tier, the most expensive of
    those below answers that it allows.

    Examples
    --------
    Short questions go to the small model. Who answers, and at what price?

    >>> import asyncio
    >>> from costlab.router import Prediction, ScriptedModel, Tier
    >>> small = Tier("small", ScriptedModel(lambda query: Prediction("yes", 0.6)), 0.0005)
    >>> large = Tier("large", ScriptedModel(lambda query: Prediction("it depends", 0.9)), 0.03)
    >>> router = ScoreRouter([small, large], lambda query: -len(query), [-20])
    >>> async def both():
    ...     return [await router.route(query) for query in ("Is it on?", "How do I move all my files to another team?")]
    >>> [(routed.tier, routed.cost_usd) for routed in asyncio.run(both())]
    [('small', 0.0005), ('large', 0.03)]
    """

    _KIND: ClassVar[str] = "chosen by score"

    def __init__(
        self,
        tiers: Sequence[Tier],
        score: Callable[[str], float | Awaitable[float]],
        cuts: Sequence[float],
        cache: AnswerCache | None = None,
        guard: BudgetGuardLike | None = None,
        hooks: Iterable[Hook] = (),
        clock: Callable[[], float] = time.perf_counter,
        *,
        score_usd_per_request: float = 0.0,
        **settings: Any,
    ) -> None:
        super().__init__(tiers, cache, guard, hooks, clock, **settings)
        fall = all(before >= after for before, after in pairwise(cuts)) and not any(map(math.isnan, cuts))
        if len(cuts) != len(tiers) - 1 or not fall:
            raise InvalidValueError("cuts", f"{len(tiers) - 1} falling numbers, one per tier but the last", tuple(cuts))
        self._score, self._cuts = score, tuple(cuts)
        self._score_usd = checks.non_negative("score_usd_per_request", score_usd_per_request)

    async def _ask_tiers(self, state: RouteState, query: str, priority: Priority, _tenant: str) -> object:
        state.pay(self._score_usd)
        try:
            verdict = self._score(query)
            score = float(await verdict if isawaitable(verdict) else verdict)
        except Exception:
            score = math.nan
        return await self._runner.run(state, query, priority, first_step(chosen_tier(score, self._cuts)))
