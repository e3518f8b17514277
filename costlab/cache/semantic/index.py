"""Vectors by the requests that they stand for, and the nearest of them: exactly, or nearly so for many."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.masking import addressing, check_server_address

if TYPE_CHECKING:
    import faiss
    from numpy.typing import NDArray

#: Up to this many vectors of 384 numbers in one scope, comparing with every one takes less time than an embedding.
EXACT_ENTRIES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A remembered request near the one asked: its key in the store, its text, and the cosine similarity in -1..1."""

    key: str
    text: str
    similarity: float


class VectorIndex(Protocol):
    """Finds the nearest vectors within a scope. Nothing of one scope is ever found from another."""

    async def add(self, scope: str, key: str, text: str, vector: NDArray[np.float32]) -> None:
        """Remember a vector of length 1 under `key`; a key that is there already is left as it is."""

    async def search(self, scope: str, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        """At most `count` neighbours, the nearest first."""

    async def remove(self, key: str) -> None:
        """Forget a key, known or not."""

    async def len(self) -> int:
        """Number of vectors, of all scopes."""


class _ExactScope:
    """The vectors of one scope, one below the other; a removed row is filled with the last one."""

    def __init__(self, dimensions: int) -> None:
        self.keys: list[str] = []
        self.texts: list[str] = []
        self._rows = np.empty((16, dimensions), dtype=np.float32)
        self._row_of: dict[str, int] = {}

    def add(self, key: str, text: str, vector: NDArray[np.float32]) -> None:
        row = self._row_of[key] = len(self.keys)
        if row == len(self._rows):
            self._rows = np.concatenate((self._rows, np.empty_like(self._rows)))
        self._rows[row] = vector
        self.keys.append(key)
        self.texts.append(text)

    def remove(self, key: str) -> None:
        row = self._row_of.pop(key)
        last_key, last_text = self.keys.pop(), self.texts.pop()
        if last_key != key:
            self._rows[row] = self._rows[len(self.keys)]
            self.keys[row], self.texts[row], self._row_of[last_key] = last_key, last_text, row

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        similarities = self._rows[: len(self.keys)] @ vector
        best = np.arange(len(similarities))
        if count < len(similarities):
            best = np.argpartition(similarities, -count)[-count:]
        order = best[np.argsort(-similarities[best])]
        return [Neighbour(self.keys[row], self.texts[row], float(similarities[row])) for row in order.tolist()]


class _GraphScope:
    """The vectors of one scope in a navigable graph; removed ones stay, and half of them mean a new graph."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self.keys: list[str] = []
        self._texts: list[str] = []
        self._row_of: dict[str, int] = {}
        self._graph = self._new()

    def _new(self) -> faiss.IndexHNSWFlat:
        with extra("semantic"):
            import faiss
        graph = faiss.IndexHNSWFlat(self._dimensions, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 64
        return graph

    def add(self, key: str, text: str, vector: NDArray[np.float32]) -> None:
        self._row_of[key] = len(self.keys)
        self.keys.append(key)
        self._texts.append(text)
        self._graph.add(vector.reshape(1, -1))

    def remove(self, key: str) -> None:
        del self._row_of[key]
        if 2 * len(self._row_of) < len(self.keys) and len(self.keys) > 64:
            rows = list(self._row_of.values())
            vectors = [self._graph.reconstruct(row) for row in rows]
            self.keys, self._texts = [self.keys[row] for row in rows], [self._texts[row] for row in rows]
            self._row_of = {kept: row for row, kept in enumerate(self.keys)}
            self._graph = self._new()
            if vectors:
                self._graph.add(np.stack(vectors))

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        # As many more are asked for as may turn out to be removed, within reason.
        removed = len(self.keys) - len(self._row_of)
        similarities, rows = self._graph.search(vector.reshape(1, -1), min(len(self.keys), count + min(removed, 256)))
        near = [
            Neighbour(self.keys[row], self._texts[row], float(similarity))
            for row, similarity in zip(rows[0].tolist(), similarities[0].tolist(), strict=True)
            if row >= 0 and self._row_of.get(self.keys[row]) == row
        ]
        return near[:count]


class _LocalIndex:
    """What the indexes in this process share: vectors by scope, and an end to growing."""

    def __init__(self, scope_type: type[_ExactScope | _GraphScope], dimensions: int, max_entries: int) -> None:
        self._scope_type = scope_type
        self._dimensions = checks.integer("dimensions", dimensions, at_least=1)
        self._max_entries = checks.integer("max_entries", max_entries, at_least=1)
        self._scopes: dict[str, _ExactScope | _GraphScope] = {}
        self._scope_of: OrderedDict[str, str] = OrderedDict()

    async def add(self, scope: str, key: str, text: str, vector: NDArray[np.float32]) -> None:
        """Remember a vector of length 1 under `key`; above `max_entries` the oldest is forgotten."""
        if key in self._scope_of:
            return
        while len(self._scope_of) >= self._max_entries:
            await self.remove(next(iter(self._scope_of)))
        if scope not in self._scopes:
            self._scopes[scope] = self._scope_type(self._dimensions)
        self._scopes[scope].add(key, text, vector)
        self._scope_of[key] = scope

    async def search(self, scope: str, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        """At most `count` neighbours of this scope, the nearest first."""
        vectors = self._scopes.get(scope)
        return [] if vectors is None else vectors.nearest(vector, count)

    async def remove(self, key: str) -> None:
        """Forget a key, known or not."""
        scope = self._scope_of.pop(key, None)
        if scope is not None:
            self._scopes[scope].remove(key)
            if not self._scopes[scope].keys:
                del self._scopes[scope]

    async def len(self) -> int:
        """Number of vectors, of all scopes."""
        return len(self._scope_of)


class ExactIndex(_LocalIndex):
    """Every vector of the scope is compared, in one product of numpy: 0.5 ms for 10,000 of them.

    Parameters
    ----------
    dimensions, max_entries : int
        Numbers in a vector, and vectors that are kept, of all scopes; the oldest go first.

    Examples
    --------
    >>> import asyncio
    >>> async def two_tenants():
    ...     index = ExactIndex(2)
    ...     await index.add("acme", "a", "how do I pay?", np.array([1, 0], dtype=np.float32))
    ...     await index.add("zeta", "z", "how do I pay?", np.array([1, 0], dtype=np.float32))
    ...     return await index.search("acme", np.array([0.6, 0.8], dtype=np.float32), 5)
    >>> [(near.key, round(near.similarity, 2)) for near in asyncio.run(two_tenants())]
    [('a', 0.6)]
    """

    def __init__(self, dimensions: int, max_entries: int = EXACT_ENTRIES) -> None:
        super().__init__(_ExactScope, dimensions, max_entries)


class HnswIndex(_LocalIndex):
    """A navigable graph of faiss: nearly always the nearest vector, in well under a millisecond among a million.

    Parameters
    ----------
    dimensions, max_entries : int
        Numbers in a vector, and vectors that are kept, of all scopes; the oldest go first.

    Raises
    ------
    MissingExtraError
        With the first vector, if faiss is not installed.

    References
    ----------
    Malkov and Yashunin (2018), Efficient and robust approximate nearest neighbor search using hierarchical navigable
    small world graphs, https://arxiv.org/abs/1603.09320
    """

    def __init__(self, dimensions: int, max_entries: int = 1_000_000) -> None:
        super().__init__(_GraphScope, dimensions, max_entries)


def local_index(dimensions: int, max_entries: int = EXACT_ENTRIES) -> ExactIndex | HnswIndex:
    """The index in this process for a number of vectors: exact up to `EXACT_ENTRIES`, faiss beyond."""
    return (ExactIndex if max_entries <= EXACT_ENTRIES else HnswIndex)(dimensions, max_entries)


class RedisVectorIndex:
    """An index in the vector sets of Redis, version 8.2 or newer; Valkey has none.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0`` or ``rediss://`` for TLS.
    prefix : str
        What every key on the server begins with. A scope is a set of its own.
    timeout_s, ttl_s : float, optional
        Seconds after which a call gives up; and after which a scope to which nothing was added is dropped: the cache's
        ``ttl_s``, after which none of its answers is left. Single vectors do not expire; the cache forgets one when it
        finds its answer gone.

    Notes
    -----
    Vectors are kept as they are (``NOQUANT``), so that a threshold fitted in this process holds on the server too. The
    search is approximate, as in :class:`HnswIndex`. The text is kept beside its vector, for the paraphrase checks.

    References
    ----------
    Redis, Vector sets (read 2026), https://redis.io/docs/latest/develop/data-types/vector-sets/
    """

    def __init__(
        self, url: str, *, prefix: str = "costlab:", timeout_s: float = 0.5, ttl_s: float | None = None
    ) -> None:
        check_server_address(url, ("redis", "rediss", "unix"))
        timeout = checks.positive("timeout_s", timeout_s)
        self._ttl_ms = None if ttl_s is None else max(1, round(1000 * checks.positive("ttl_s", ttl_s)))
        self._vectors, self._scopes = f"{prefix}vectors:", f"{prefix}vector-scopes"
        with extra("redis"):
            from redis.asyncio import Redis
        with addressing(url):
            self._client = Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
            self._client.connection_pool.make_connection()  # which connects nothing

    async def add(self, scope: str, key: str, text: str, vector: NDArray[np.float32]) -> None:
        """Remember a vector of length 1 under `key`; a key that is there already is left as it is."""
        name = self._vectors + scope
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(self._scopes, key, scope)
            pipe.execute_command(
                "VADD", name, "FP32", _bytes(vector), key, "NOQUANT", "SETATTR", json.dumps({"text": text})
            )
            if self._ttl_ms is not None:
                pipe.pexpire(name, self._ttl_ms)
                pipe.pexpire(self._scopes, self._ttl_ms)
            await pipe.execute()

    async def search(self, scope: str, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        """At most `count` neighbours of this scope, the nearest first."""
        checks.integer("count", count, at_least=1)
        reply = await self._client.execute_command(
            "VSIM", self._vectors + scope, "FP32", _bytes(vector), "WITHSCORES", "WITHATTRIBS", "COUNT", count
        )
        return [
            # The server's score of a vector is (1 + cosine) / 2.
            Neighbour(key.decode(), json.loads(attributes)["text"], 2 * float(score) - 1)
            for key, score, attributes in _rows(reply)
        ]

    async def remove(self, key: str) -> None:
        """Forget a key, known or not."""
        scope = await self._client.hget(self._scopes, key)
        if isinstance(scope, bytes):
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.execute_command("VREM", self._vectors + scope.decode(), key)
                pipe.hdel(self._scopes, key)
                await pipe.execute()

    async def len(self) -> int:
        """Number of vectors, of all scopes; those of a scope that expired count until the last one has."""
        return int(await self._client.hlen(self._scopes))

    async def aclose(self) -> None:
        """Close the connections. The vectors stay."""
        await self._client.aclose()


def _bytes(vector: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def _rows(reply: Any) -> list[tuple[bytes, float, bytes]]:
    """A reply as redis-py gives it: newer editions make a mapping of it, older ones leave it flat."""
    if isinstance(reply, dict):
        return [(key, score, attributes) for key, (score, attributes) in reply.items()]
    return list(zip(reply[::3], reply[1::3], reply[2::3], strict=True))
