"""Speed of the response cache, as ratios to floors measured in the same run: ``python benchmarks/cache.py``.

Each target runs in turn with its floor, on one thread, in rounds; the median of the rounds' ratios is printed beside
the target that the design sets. Absolute times drift with the machine, ratios far less: judge by the ratio. Where the
floor reads k times higher than the floor that the target was set with, so may the target.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis.asyncio

from costlab.cache import Answer, EmbeddedServer, MemoryStore, RedisStore, Request, ResponseCache, request_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS, CALLS, REDIS_CALLS = 15, 2000, 300
ANSWER = "Open Settings, then Security, and choose an app or a phone number for the second step. " * 6
PAYLOAD: dict[str, Any] = {
    "model": "support-small",
    "messages": [
        {"role": "system", "content": "You are the support desk of a cloud storage service. Be brief."},
        {"role": "user", "content": "How do I turn on two-factor sign-in for everybody in my team?"},
    ],
    "parameters": {"temperature": 0, "max_tokens": 300},
    "namespace": "acme",
    "version": "3",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One target against its floor, in microseconds a call."""

    target: str
    us: float
    floor: str
    floor_us: float
    ratio: float
    wanted: str


async def microseconds(call: Callable[[], Awaitable[object]], calls: int, clock: Callable[[], float]) -> float:
    """Microseconds of one call, on average over many in a row."""
    started = clock()
    for _ in range(calls):
        await call()
    return 1e6 * (clock() - started) / calls


async def compare(
    target: str,
    call: Callable[[], Awaitable[object]],
    floor: str,
    floor_call: Callable[[], Awaitable[object]],
    wanted: str,
    calls: int = CALLS,
    clock: Callable[[], float] = time.process_time,
) -> Row:
    """Both in turn, whoever comes first changing from round to round."""
    pairs = []
    for round_ in range(ROUNDS):
        one, two = (call, floor_call) if round_ % 2 else (floor_call, call)
        first, second = await microseconds(one, calls, clock), await microseconds(two, calls, clock)
        pairs.append((first, second) if round_ % 2 else (second, first))
    us, floor_us = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    return Row(target, us, floor, floor_us, statistics.median(a / b for a, b in pairs), wanted)


async def ask(_request: object) -> Answer:
    """A model that costs no time."""
    return Answer(ANSWER, 0.002)


async def canonical_json_and_hash() -> str:
    """What a key costs at least: sorted JSON and a hash."""
    return hashlib.sha256(json.dumps(PAYLOAD, sort_keys=True).encode()).hexdigest()


async def memory_rows() -> list[Row]:
    """An exact hit, from the finished request and from its parts, and its key alone."""
    cache, request = ResponseCache(MemoryStore()), Request(**PAYLOAD)
    await cache.get_or_call(request, ask)

    async def key() -> str:
        return request_key(request)

    async def hit() -> object:
        return await cache.get_or_call(request, ask)

    async def hit_with_request() -> object:
        return await cache.get_or_call(Request(**PAYLOAD), ask)

    floor = ("canonical JSON + hash", canonical_json_and_hash)
    return [
        await compare("key", key, *floor, ""),
        await compare("exact hit in memory, with its key", hit, *floor, "<= 8 us at a floor of 5 us"),
        await compare("the same, making the Request too", hit_with_request, *floor, ""),
    ]


async def flight_rows() -> list[Row]:
    """What a miss costs with single flight, and without; each request is another one."""
    caches = {flag: ResponseCache(MemoryStore(max_entries=100), single_flight=flag) for flag in (True, False)}
    numbers = iter(range(10**9))

    def miss(single_flight: bool) -> Callable[[], Awaitable[object]]:
        async def call() -> object:
            request = Request(model="m", messages=f"question {next(numbers)}")
            return await caches[single_flight].get_or_call(request, ask)

        return call

    row = await compare("miss with single flight", miss(True), "miss without", miss(False), "adds <= 20 us")
    return [row]


async def redis_rows() -> list[Row]:
    """An exact hit on a server, beside a GET of the same bytes by redis-py alone; in wall time, as both wait."""
    with EmbeddedServer() as server:
        store, bare = RedisStore(server.url), redis.asyncio.Redis.from_url(server.url)
        cache, request = ResponseCache(store), Request(**PAYLOAD)
        await cache.get_or_call(request, ask)
        key = "costlab:entry:" + request_key(request)

        async def hit() -> object:
            return await cache.get_or_call(request, ask)

        async def get() -> object:
            return await bare.get(key)

        rows = [
            await compare("exact hit on Redis", hit, "bare GET", get, "<= 1.15x", REDIS_CALLS, time.perf_counter),
            await compare("the same, this process's CPU", hit, "bare GET", get, "", REDIS_CALLS),
        ]
        await bare.aclose()
        await store.aclose()
        return rows


async def main() -> None:
    """Print a table, and with --json the same as one object."""
    rows = [*await memory_rows(), *await flight_rows(), *await redis_rows()]
    if "--json" in sys.argv:
        fields = Row.__slots__
        table = [{name: getattr(row, name) for name in fields} for row in rows]
        print(json.dumps({"rounds": ROUNDS, "calls": CALLS, "redis_calls": REDIS_CALLS, "rows": table}))
        return
    print(f"{'target':<36}{'us a call':>10}  {'floor':<24}{'us':>8}{'ratio':>8}  wanted (median of {ROUNDS} rounds)")
    for row in rows:
        print(f"{row.target:<36}{row.us:>10.2f}  {row.floor:<24}{row.floor_us:>8.2f}{row.ratio:>8.2f}  {row.wanted}")


if __name__ == "__main__":
    asyncio.run(main())
