"""A day at the support desk: what customers type, a model that knows every answer, and a cache in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costlab._internal import checks
from costlab.cache import Answer, Request
from costlab.datasets import support_queries
from costlab.synthetic.arrivals import ManualClock, day_arrivals
from costlab.synthetic.contents import RETYPED_FRACTION, SUPPORT_ZIPF, paraphrase_stream, reworded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from costlab.cache import ResponseCache


@dataclass(frozen=True, slots=True)
class SupportDay:
    """The requests of one day.

    Attributes
    ----------
    times_s, texts : tuple of float, of str
        When they come, in seconds after midnight, ascending, and what they say.
    meanings : mapping of str to str
        What each text asks for: two texts of one meaning need the same answer.
    """

    times_s: tuple[float, ...]
    texts: tuple[str, ...]
    meanings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CacheDay:
    """What a cache did with a day.

    Attributes
    ----------
    requests, exact_hits, semantic_hits, wrong : int
        Requests, those answered without a call, and answers given that belong to another meaning.
    hit_rate_fraction, false_hit_fraction : float
        Hits over requests, and wrong answers over hits; 0 where there is none.
    """

    requests: int
    exact_hits: int
    semantic_hits: int
    wrong: int
    hit_rate_fraction: float
    false_hit_fraction: float

    @property
    def hits(self) -> int:
        """Exact and semantic hits together."""
        return self.exact_hits + self.semantic_hits


def support_day(
    rng: np.random.Generator,
    *,
    split: str = "test",
    requests: float = 3000,
    zipf: float = SUPPORT_ZIPF,
    retyped_fraction: float = RETYPED_FRACTION,
) -> SupportDay:
    """A day of Zipf and paraphrase traffic over the support queries.

    These are assumptions, and the hit rates on such a day follow from them: no estimate of a real desk's traffic.


    Parameters
    ----------
    split : {'train', 'calibration', 'test'}
        The queries that customers draw their words from.
    requests : float
        Expected number of requests, > 0; they come as a Poisson stream, more of them by day than by night.
    zipf : float
        Exponent of the popularity of meanings, >= 0.
    retyped_fraction : float
        Share of the requests that are typed again, see :func:`costlab.synthetic.reworded`, which may leave a
        text as it was; the others are word for word as in the data.

    """
    checks.positive("requests", requests)
    checks.fraction("retyped_fraction", retyped_fraction)
    times = day_arrivals(rng, requests)
    queries = support_queries().split(split)
    meanings = [query.meaning for query in queries]
    chosen = paraphrase_stream(rng, meanings, zipf=zipf, requests=len(times)).tolist()
    texts = [
        reworded(rng, queries[k].text) if anew else queries[k].text
        for k, anew in zip(chosen, (rng.random(len(chosen)) < retyped_fraction).tolist(), strict=True)
    ]
    meaning_of = {text: meanings[k] for text, k in zip(texts, chosen, strict=True)}
    return SupportDay(tuple(times.tolist()), tuple(texts), meaning_of)


async def cache_replay(
    day: SupportDay, cache_of: Callable[[Callable[[], float]], ResponseCache], *, call_usd: float = 0.0
) -> CacheDay:
    """What a cache does with a day, each request at its time by a manual clock, so that a day takes a moment.

    `cache_of` makes the cache, given the clock: for what expires, and for its statistics. A call of the model costs
    `call_usd`, takes no time, and is never wrong.

    Examples
    --------
    Does an exact cache give wrong answers?

    >>> import asyncio
    >>> import numpy as np
    >>> from costlab.cache import MemoryStore, ResponseCache
    >>> day = support_day(np.random.default_rng(4), requests=500)
    >>> cache_day = asyncio.run(
    ...     cache_replay(day, lambda clock: ResponseCache(MemoryStore(clock=clock), clock=clock))
    ... )
    >>> cache_day.exact_hits > 0, cache_day.wrong
    (True, 0)
    """
    clock = ManualClock(0.0)
    cache = cache_of(clock)

    async def model(request: Request) -> Answer:
        return Answer(day.meanings[request.text], call_usd)

    wrong = 0
    for clock.now_s, text in zip(day.times_s, day.texts, strict=True):
        answer = await cache.get_or_call(Request(model="desk", messages=text), model)
        wrong += answer.value != day.meanings[text]
    stats = cache.statistics()
    return CacheDay(
        requests=stats.requests,
        exact_hits=stats.exact_hits,
        semantic_hits=stats.semantic_hits,
        wrong=wrong,
        hit_rate_fraction=stats.hits / stats.requests if stats.requests else 0.0,
        false_hit_fraction=wrong / stats.hits if stats.hits else 0.0,
    )
