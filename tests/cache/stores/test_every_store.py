"""What every store promises, tried on all of them: in memory, on disk, on Valkey, on Redis."""

from __future__ import annotations

import asyncio

import pytest

from costlab.cache import CacheStore
from costlab.errors import EntryTooLargeError, InvalidValueError
from tests.cache.support import SHARED_KINDS, Backend

pytestmark = pytest.mark.anyio

STRANGE_KEYS = ["", " ", "a b", "*", "[a-z]", "ключ", "\n", "k" * 2000, "costlab:entry:x"]


async def test_what_is_stored_comes_back(backend: Backend) -> None:
    async with backend.store() as store:
        values = [b"", b"\x00\xff\r\n", bytes(range(256)) * 400]
        for number, value in enumerate(values):
            await store.set(str(number), value)
        assert [await store.get(str(number)) for number in range(len(values))] == values
        assert await store.get("absent") is None


@pytest.mark.parametrize("key", STRANGE_KEYS, ids=lambda key: repr(key[:12]))
async def test_any_text_is_a_key(backend: Backend, key: str) -> None:
    async with backend.store() as store:
        await store.set(key, b"one")
        assert await store.get(key + "x") is None
        assert await store.get(key) == b"one"
        assert await store.delete(key)


async def test_set_replaces_value_and_lifetime(backend: Backend) -> None:
    async with backend.store() as store:
        await store.set("k", b"old", ttl_s=0.2)
        await store.set("k", b"new")
        await backend.pass_s(0.3)
        assert await store.get("k") == b"new"
        assert await store.len() == 1


async def test_entries_expire_and_are_no_longer_counted(backend: Backend) -> None:
    async with backend.store() as store:
        await store.set("short", b"x", ttl_s=0.2)
        await store.set("long", b"x", ttl_s=60)
        await store.set("ever", b"x")
        assert await store.len() == 3
        await backend.pass_s(0.3)
        assert await store.get("short") is None
        assert await store.get("long") == b"x"
        assert await store.len() == 2


async def test_delete_says_whether_there_was_anything(backend: Backend) -> None:
    async with backend.store() as store:
        await store.set("k", b"x")
        assert [await store.delete("k"), await store.delete("k")] == [True, False]
        assert await store.get("k") is None
        assert await store.len() == 0


async def test_too_large_values_are_refused_and_the_old_one_stays(backend: Backend) -> None:
    async with backend.store(max_value_bytes=100) as store:
        await store.set("k", b"x" * 100)
        with pytest.raises(EntryTooLargeError, match="an entry must be at most 100 bytes, got 101"):
            await store.set("k", b"y" * 101)
        assert await store.get("k") == b"x" * 100


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), True])
async def test_a_lifetime_is_a_time(backend: Backend, ttl_s: float) -> None:
    async with backend.store() as store:
        with pytest.raises(InvalidValueError, match="ttl_s must be a number > 0"):
            await store.set("k", b"x", ttl_s)
        assert await store.len() == 0


async def test_a_lock_has_one_holder(backend: Backend) -> None:
    async with backend.store() as store:
        tokens = await asyncio.gather(*(store.acquire("k", 30) for _ in range(50)))
        (token,) = [token for token in tokens if token is not None]
        assert await store.acquire("other", 30) is not None
        assert not await store.release("k", token + "x")
        assert await store.acquire("k", 30) is None
        assert await store.release("k", token)
        assert not await store.release("k", token)
        assert await store.acquire("k", 30) is not None


async def test_a_lock_expires_and_its_old_token_opens_nothing(backend: Backend) -> None:
    async with backend.store() as store:
        old = await store.acquire("k", 0.2)
        assert old is not None
        await backend.pass_s(0.3)
        assert await store.acquire("k", 30) is not None
        assert not await store.release("k", old)
        assert await store.acquire("k", 30) is None


async def test_locks_are_not_entries(backend: Backend) -> None:
    async with backend.store() as store:
        token = await store.acquire("k", 30)
        assert await store.get("k") is None
        assert await store.len() == 0
        await store.set("k", b"x")
        assert token is not None
        assert await store.release("k", token)
        assert await store.get("k") == b"x"


async def test_many_at_once_get_their_own(backend: Backend) -> None:
    async def one(store: CacheStore, number: int) -> None:
        key, value = f"k{number}", f"value {number}".encode()
        await store.set(key, value, ttl_s=60)
        for _ in range(3):
            assert await store.get(key) == value

    async with backend.store() as store:
        await asyncio.gather(*(one(store, number) for number in range(200)))
        assert await store.len() == 200


def test_a_store_outlives_event_loops_and_its_own_end(backend: Backend) -> None:
    store = backend.make()

    async def write() -> None:
        await store.set("k", b"x")

    async def read_close_and_read() -> list[bytes | None]:
        first = await store.get("k")
        await store.aclose()
        await store.aclose()
        second = await store.get("k")
        await store.aclose()
        return [first, second]

    async def write_and_close() -> None:
        await write()
        await store.aclose()

    asyncio.run(write_and_close())
    assert asyncio.run(read_close_and_read()) == [b"x", b"x"]


@pytest.mark.parametrize("backend", SHARED_KINDS, indirect=True)
async def test_two_stores_of_one_place_share_entries_and_locks(backend: Backend) -> None:
    async with backend.store() as one:
        two = backend.make()
        await one.set("k", b"x")
        assert await two.get("k") == b"x"
        token = await one.acquire("k", 30)
        assert token is not None
        assert await two.acquire("k", 30) is None
        assert await two.release("k", token)
        await two.aclose()
