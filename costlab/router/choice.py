"""Routing up front: one tier is chosen from a score of the query, and only that one is paid for."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.router.cascade import AnswerCache, Cascade

if TYPE_CHECKING:
    from costlab.events import Hook, Priority
    from costlab.router.books import Guard
    from costlab.router.tiers import Tier
    from costlab.router.trail import Trail

__all__ = ["ScoreRouter"]


class ScoreRouter(Cascade):
    """Sends each query to the tier that its score says will do, with all else as in a :class:`Cascade`.

    Parameters
    ----------
    tiers : sequence of Tier
        From the cheapest to the best. Their thresholds and gates are without meaning here.
    score : callable
        How easy a query is thought to be; async or not. Where it fails or gives NaN, the last tier is chosen.
    cuts : sequence of float, length tiers - 1
        Falling, as in :func:`play_routed`: a score above the first cut goes to the first tier, above the second to the
        second, and so on.
    cache, guard, hooks, clock
        As for :class:`Cascade`.
    score_usd_per_request : float
        What scoring costs, in USD, >= 0. An answer from the cache needs none.
    **settings
        The other parameters of :class:`Cascade`.

    Raises
    ------
    InvalidValueError
        As for :class:`Cascade`, and if the cuts do not fit the tiers or rise.

    Notes
    -----
    A tier that fails sends the query on to the next one. When the budget refuses the chosen tier, the dearest of those
    below answers that it allows.

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
        guard: Guard | None = None,
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

    async def _climb(self, trail: Trail, query: str, priority: Priority, _tenant: str) -> Any:
        trail.look_up(self._score_usd)
        try:
            found = self._score(query)
            score = float(await found if isawaitable(found) else found)
        except Exception:
            score = math.nan
        first = sum(not score > cut for cut in self._cuts)
        return await self._ladder.climb(trail, query, priority, first, True)
