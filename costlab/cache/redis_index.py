"""Vectors inside a Redis 8 server, in its vector sets: one index for every process that can reach it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.cache.index import Neighbour

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RedisVectorIndex"]


class RedisVectorIndex:
    """An index in the vector sets of Redis, version 8.2 or newer; Valkey has none.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0`` or ``rediss://`` for TLS.
    prefix : str
        What every key on the server begins with. A scope is a set of its own.
    timeout_s : float
        Seconds after which a call gives up.
    ttl_s : float, optional
        Seconds after which a scope to which nothing was added is dropped: the cache's ``ttl_s``, after which none of
        its answers is left. Single vectors do not expire; the cache forgets one when it finds its answer gone.

    Raises
    ------
    MissingExtraError
        If redis-py is not installed.

    Notes
    -----
    Vectors are kept as they are (``NOQUANT``), so that a threshold fitted in this process holds on the server too. The
    search is approximate, as in :class:`costlab.cache.index.HnswIndex`. The text stands beside its vector, for the
    guards.

    References
    ----------
    Redis, Vector sets (read 2026), https://redis.io/docs/latest/develop/data-types/vector-sets/
    """

    def __init__(
        self, url: str, *, prefix: str = "costlab:", timeout_s: float = 0.5, ttl_s: float | None = None
    ) -> None:
        timeout = checks.positive("timeout_s", timeout_s)
        self._ttl_ms = None if ttl_s is None else max(1, round(1000 * checks.positive("ttl_s", ttl_s)))
        self._vectors, self._scopes = f"{prefix}vectors:", f"{prefix}vector-scopes"
        self._client = require("redis.asyncio", "redis").Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout
        )

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
        if scope is not None:
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


def _rows(reply: Any) -> list[tuple[bytes, Any, bytes]]:
    """A reply as redis-py gives it: newer editions make a mapping of it, older ones leave it flat."""
    if isinstance(reply, dict):
        return [(key, score, attributes) for key, (score, attributes) in reply.items()]
    return list(zip(reply[::3], reply[1::3], reply[2::3], strict=True))
