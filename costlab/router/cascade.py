"""The cascade: the cheapest tier first, the next when its answer is not trusted, and every attempt paid for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from costlab._internal import checks
from costlab._internal.fork_safety import UniqueNames
from costlab.cache import Answer, Request
from costlab.errors import BudgetExceeded, BudgetStoreError, InvalidValueError
from costlab.events import PRIORITIES, Hook, Hooks, Outcome, Priority, RequestEvent, micro_usd
from costlab.router.books import Books
from costlab.router.climb import Ladder
from costlab.router.results import CascadeFailedError, Routed
from costlab.router.trail import Trail

if TYPE_CHECKING:
    from costlab.router.books import Guard
    from costlab.router.tiers import Tier

__all__ = ["AnswerCache", "Cascade"]


class AnswerCache(Protocol):
    """What a cascade asks of a cache: :class:`costlab.cache.ResponseCache` has it."""

    async def get_or_call(self, request: Request, call: Callable[[Any], Any]) -> Any:
        """An object with the answer as its ``value``: from the cache, or from ``await call(request)``."""
        ...


class Cascade:
    """Routes each query through tiers of models, cheapest first.

    Parameters
    ----------
    tiers : sequence of Tier
        At least one, names used once, none called ``cache``; the last always answers.
    cache : AnswerCache, optional
        Asked before any tier. An answer that the budget degraded is not kept in it.
    guard : Guard, optional
        Asked before every call. Where it refuses, a cheaper answer is given, if there is one: see the notes.
    hooks : iterable of callable
        Each is told of every request, as a :class:`costlab.events.RequestEvent`. One that fails is counted in `hooks`.
    clock : callable
        Seconds that never go back, for latencies.
    cache_usd_per_lookup : float
        What a look-up costs, hit or miss, in USD, >= 0.
    cache_model : str, optional
        The name under which answers are cached; by default made of the tiers' names. Change it when models or
        thresholds change, and old answers are left behind.
    deadline_s : float, optional
        Seconds for the whole route, > 0.
    now : callable
        Seconds since 1970-01-01 UTC, for events.
    new_id : callable, optional
        Makes a name for each request, unique among all that write to one ledger.

    Attributes
    ----------
    tiers : tuple of Tier
        As they were given.
    hooks : Hooks
        Those who are told; `hooks.failures` counts what failed.

    Raises
    ------
    InvalidValueError
        If there are no tiers, a name is used twice, a number is outside its domain, or a guard meets a tier of which
        nobody says what a call can cost.

    Notes
    -----
    **What a request costs** is the look-up, every gate that was asked and every call that was billed: of the tiers
    tried in vain as of the one that answered. A hit costs its look-up. Equal requests at one time make one call, if the
    cache does so, and the one that makes it pays. The event names the tier that answered (the last one that was tried,
    where none did), with the cost and the tokens of all.

    **When the budget refuses a call**, tiers that would reserve as much or more are left out. The answer is then the
    best that there is: of a tier above, if it is cheaper; the last one that was not trusted; or that of the dearest
    tier passed over before. Only without any is the refusal raised. Look-ups and gates are told to the guard together
    with the next call, or at the end, so that guard and ledger agree.

    **A tier that fails** or takes too long sends the query on. It is paid for where it was billed: by the usage in its
    :class:`ModelError`, or, where it was given up or its answer was lost, by `abandoned_usd_per_request`.

    **A request that is cancelled** gives up its place at the model, settles its reservation and is told to the hooks.
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
    ('dog', 'large', 0.0305, ['unsure', 'answered'])
    """

    #: Begins the name under which answers are cached: another way of choosing tiers gives other answers.
    _KIND: ClassVar[str] = "cascade"

    def __init__(
        self,
        tiers: Sequence[Tier],
        cache: AnswerCache | None = None,
        guard: Guard | None = None,
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
        self._books = None if guard is None else Books(guard)
        self._ladder = Ladder(tiers, self._books)
        self._answer = self._climb if cache is None else partial(self._look_up, cache)

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
            If the last tier fails, or the deadline passes; with the whole trail.
        costlab.errors.BudgetExceeded, costlab.errors.BudgetStoreError
            If the guard refuses, or cannot ask its store and its policy is to refuse, and there is no cheaper answer.
        InvalidValueError, UnknownNameError
            If the tenant is no text, or there is no such priority.
        """
        if priority not in PRIORITIES:
            checks.one_of("priority", priority, PRIORITIES)
        if not isinstance(tenant, str):
            raise InvalidValueError("tenant", "a text", tenant)
        clock = self._clock
        started_s = clock()
        trail = Trail(clock, started_s)
        outcome: Outcome = "error"
        latency_s: float | None = None
        try:
            if self._deadline_s is None:
                answer = await self._answer(trail, query, priority, tenant)
            else:
                answer = await self._in_time(self._deadline_s, trail, query, priority, tenant)
            latency_s = clock() - started_s
            outcome, name = ("cached", "cache") if trail.tier is None else ("ok", trail.tier.name)
            return Routed(answer, name, trail.cost_usd, latency_s, tuple(trail.attempts), trail.degraded)
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
                trail.tier = self._last_tried(trail)
            tier = trail.tier
            self.hooks.emit(
                RequestEvent(
                    request_id=self._new_id(),
                    time_s=self._now(),
                    tier="cache" if tier is None else tier.name,
                    model="cache" if tier is None else tier.model_name,
                    input_tokens=trail.input_tokens,
                    cached_input_tokens=trail.cached_input_tokens,
                    output_tokens=trail.output_tokens,
                    cost_micro_usd=micro_usd("cost_usd", trail.cost_usd),
                    latency_s=latency_s,
                    outcome=outcome,
                    tenant=tenant,
                    priority=priority,
                )
            )
            if trail.owed_usd and self._books is not None:
                await self._books.record(trail.owed_usd)

    async def drain(self) -> None:
        """Wait until the guard has heard all of cancelled requests too; before the event loop ends, say."""
        if self._books is not None:
            await self._books.drain()

    def _last_tried(self, trail: Trail) -> Tier:
        name = trail.attempts[-1].tier if trail.attempts else self.tiers[0].name
        return next(tier for tier in self.tiers if tier.name == name)

    async def _in_time(self, deadline_s: float, trail: Trail, query: str, priority: Priority, tenant: str) -> Any:
        try:
            async with asyncio.timeout(deadline_s) as limit:
                return await self._answer(trail, query, priority, tenant)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"no answer within {deadline_s:g} s"
            raise CascadeFailedError(message, tuple(trail.attempts), trail.cost_usd) from error

    async def _look_up(self, cache: AnswerCache, trail: Trail, query: str, priority: Priority, tenant: str) -> Any:
        trail.cost_usd = trail.owed_usd = self._lookup_usd
        request = Request(model=self._cache_model, messages=query, namespace=tenant)
        try:
            found = await cache.get_or_call(request, partial(self._ask, trail, query, priority, tenant))
        except (_NotKept, BudgetExceeded, BudgetStoreError) as error:
            if not trail.asked:  # an equal request of another priority was refused; this one may still be admitted
                return await self._climb(trail, query, priority, tenant)
            if isinstance(error, _NotKept):
                return error.answer
            raise
        except CascadeFailedError as error:
            if trail.asked:
                raise
            raise CascadeFailedError(f"an equal request under way: {error}", (), trail.cost_usd) from error
        return found.value

    async def _ask(self, trail: Trail, query: str, priority: Priority, tenant: str, _request: Request) -> Answer:
        """What the cache calls where it has no answer."""
        trail.asked, before_usd = True, trail.cost_usd
        answer = await self._climb(trail, query, priority, tenant)
        if trail.degraded:
            raise _NotKept(answer)
        return Answer(answer, trail.cost_usd - before_usd)

    def _climb(self, trail: Trail, query: str, priority: Priority, _tenant: str) -> Awaitable[Any]:
        return self._ladder.climb(trail, query, priority)


def _timed_out(error: CascadeFailedError) -> bool:
    cause = error.__cause__
    return _timed_out(cause) if isinstance(cause, CascadeFailedError) else isinstance(cause, TimeoutError)


class _NotKept(Exception):  # noqa: N818 - no error: it passes a degraded answer by the cache, which keeps no exceptions
    """An answer that the next request should not be given."""

    def __init__(self, answer: Any) -> None:
        super().__init__("an answer that is not kept")
        self.answer = answer
