"""Speed of the cascade beside a cascade made by hand, in one run: ``make bench``.

The models answer at once, so what is timed is the router alone. In turn with each target runs its floor, on one thread
and in CPU time; medians of the rounds are printed. Absolute times drift with the machine, ratios far less.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from timing import ROUNDS, beside

from costlab.cache import Answer, MemoryStore, Request, ResponseCache, request_key
from costlab.events import RequestEvent
from costlab.router import Cascade, Prediction, Tier

CALLS = 5000
PRICES, THRESHOLDS = (0.0001, 0.0005, 0.003, 0.03), (0.95, 0.95, 0.85, 0.0)
QUERY = "How do I turn on two-factor sign-in for everybody in my team?"
UNSURE = Prediction("an answer", 0.5)


class Instant:
    """A model that takes no time."""

    async def predict(self, _query: str) -> Prediction:
        """Always the same."""
        return UNSURE


class Dictionary:
    """A cache whose key is the query itself, so that a hit costs nothing but the router's part."""

    def __init__(self) -> None:
        self.answers: dict[Any, Answer] = {}

    async def get_or_call(self, request: Request, call: Callable[[Any], Awaitable[Answer]]) -> Answer:
        """The answer, asked for once."""
        found = self.answers.get(request.messages)
        if found is None:
            found = self.answers[request.messages] = await call(request)
        return found


@dataclass(slots=True)
class Total:
    """A hook that adds up."""

    micro_usd: int = 0

    def __call__(self, event: RequestEvent) -> None:
        """One more."""
        self.micro_usd += event.cost_micro_usd or 0


def many(call: Callable[[], Awaitable[object]]) -> Callable[[], None]:
    """So many calls in a row in one event loop, whose start would otherwise cost more than the calls."""

    async def row() -> None:
        for _ in range(CALLS):
            await call()

    return lambda: asyncio.run(row())


def by_hand(model: Instant, total: Total) -> Callable[[], Awaitable[object]]:
    """The least that a cascade does: ask, compare, add up."""

    async def call() -> tuple[str, float]:
        usd, answer = 0.0, ""
        for price, threshold in zip(PRICES, THRESHOLDS, strict=True):
            prediction = await model.predict(QUERY)
            usd += price
            answer = prediction.answer
            if prediction.confidence > threshold:
                break
        total.micro_usd += round(1e6 * usd)
        return answer, usd

    return call


def models_alone(model: Instant) -> Callable[[], Awaitable[object]]:
    """The four models without anything around them."""

    async def call() -> None:
        for _ in PRICES:
            await model.predict(QUERY)

    return call


def compare(
    name: str, call: Callable[[], Awaitable[object]], floor: str, base: Callable[[], Awaitable[object]], most: str
) -> None:
    """Print a target beside its floor, and what it takes above it."""
    many(call)()
    took, least, ratio = beside(many(call), many(base), 1)
    us, floor_us = 1e6 * took / CALLS, 1e6 * least / CALLS
    print(f"{name:<38}{us:>8.2f}  {floor:<22}{floor_us:>7.2f}{us - floor_us:>9.2f}{ratio:>8.2f}   {most}")


def main() -> None:
    """Print the table."""
    model = Instant()
    tiers = [Tier(f"tier {i}", model, *two) for i, two in enumerate(zip(PRICES, THRESHOLDS, strict=True))]
    ready = Dictionary()
    plain, kept = Cascade(tiers, hooks=[Total()]), Cascade(tiers, ready, hooks=[Total()])
    cache = ResponseCache(MemoryStore())
    behind = Cascade(tiers, cache, hooks=[Total()], cache_model="cascade")
    request = Request(model="cascade", messages=QUERY)

    async def ask(_request: Request) -> Answer:
        return Answer("an answer", 0.03)

    async def dictionary() -> object:
        return await ready.get_or_call(request, ask)

    async def key() -> str:
        return request_key(request)

    print(
        f"{'target':<38}{'us':>8}  {'floor':<22}{'us':>7}{'above':>9}{'ratio':>8}   wanted (median of {ROUNDS} rounds)"
    )
    hand = by_hand(model, Total())
    compare(
        "route, four tiers that all miss",
        lambda: plain.route(QUERY),
        "four models",
        models_alone(model),
        "<= 15 us above",
    )
    compare("the same", lambda: plain.route(QUERY), "cascade by hand", hand, "")
    compare("route, a hit with a ready key", lambda: kept.route(QUERY), "the cache alone", dictionary, "<= 5 us")
    compare("route, a hit in a ResponseCache", lambda: behind.route(QUERY), "the cache alone",
            lambda: cache.get_or_call(request, ask), "")  # fmt: skip
    compare("the same", lambda: behind.route(QUERY), "its key alone", key, "")


if __name__ == "__main__":
    main()
