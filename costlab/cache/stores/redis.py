"""Answers on a Redis or Valkey server, shared by every process that can reach it."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.cache.stores.connections import ClusterWay, SingleWay
from costlab.cache.stores.limits import MAX_VALUE_BYTES, check_entry
from costlab.errors import CorruptedEntryError, InvalidValueError, StoreError

__all__ = ["RedisStore"]

SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

#: Delete the lock if it is still ours. Only a script does both in one step on every server since Redis 2.6.
RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


class RedisStore:
    """A store on a Redis or Valkey server, or on a cluster of them.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0``; with ``rediss`` over TLS, with ``unix`` through a socket. A cluster is
        ``redis+cluster://host:port,host:port`` (or ``rediss+cluster``): any of its servers, they know the others. User
        and password are those of an ACL. Options of redis-py may follow: ``?ssl_ca_certs=/etc/ca.pem``.
    prefix : str
        What every key on the server begins with, so that other applications may use the same server.
    timeout_s : float
        Seconds after which a call gives up: the wait for a connection, connecting and the answer together.
    max_connections : int
        Most connections open at once; further calls wait for one.
    max_value_bytes : int
        Longest value accepted, in bytes.
    **options
        Passed to redis-py as they are.

    Raises
    ------
    MissingExtraError
        If redis-py is not installed.
    InvalidValueError
        If the URL has another scheme, or a number is outside its domain.

    Notes
    -----
    Making the store opens no connection. The server forgets entries by itself: when they expire, and at its
    ``maxmemory`` by its ``maxmemory-policy``, which should be ``allkeys-lru`` or ``allkeys-lfu``. With ``noeviction``,
    the default, a full server refuses every write. One event loop at a time uses a store; a later one begins with new
    connections.

    A call that is given up closes its connection: the reply that comes late would be read as the next call's, and be
    another tenant's. Were it read all the same, the checksum of the cache's entries would tell, as the key is part of
    it.

    References
    ----------
    redis-py, issue 2665 (2023), replies that reached the wrong request after one was cancelled:
    https://github.com/redis/redis-py/issues/2665
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "costlab:",
        timeout_s: float = 0.5,
        max_connections: int = 32,
        max_value_bytes: int = MAX_VALUE_BYTES,
        **options: Any,
    ) -> None:
        errors = require("redis.exceptions", "redis")
        self._failures = (errors.RedisError, OSError)  # a TimeoutError is an OSError
        scheme = url.partition("://")[0]
        if scheme not in SCHEMES:
            # The URL itself may hold a password, which has no place in a log.
            raise InvalidValueError("the scheme of url", f"one of {', '.join(SCHEMES)}", scheme[:20])
        self._url, self._scheme, self._options = url, scheme, options
        self._entry, self._lock = f"{prefix}entry:", f"{prefix}lock:"
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._max_connections = checks.integer("max_connections", max_connections, at_least=1)
        self._max_value_bytes = checks.integer("max_value_bytes", max_value_bytes, at_least=1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(self._max_connections)
        self._way = self._connect()

    async def get(self, key: str) -> bytes | None:
        """The bytes under `key`, or None where there are none or they expired.

        Raises
        ------
        CorruptedEntryError
            If what is there is not bytes.
        StoreError
            If the server does not answer in time.
        """
        try:
            value: bytes | None = await self._run("GET", self._entry + key)
        except StoreError as error:
            if str(error.__cause__).startswith("WRONGTYPE"):  # the server is well: somebody put a list there, say
                raise CorruptedEntryError(f"no bytes under {key!r}") from error
            raise
        return value

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until the server evicts it.

        Raises
        ------
        EntryTooLargeError
            If `value` is longer than `max_value_bytes`.
        InvalidValueError
            If `ttl_s` is not > 0.
        StoreError
            If the server refuses or does not answer in time.
        """
        check_entry(value, ttl_s, self._max_value_bytes)
        expiry = () if ttl_s is None else ("PX", _milliseconds(ttl_s))
        await self._run("SET", self._entry + key, value, *expiry)

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        return bool(await self._run("DEL", self._entry + key))

    async def len(self) -> int:
        """Number of entries that have not expired, by walking through all keys of the server: for tests and reports."""
        pattern = "".join(f"\\{c}" if c in "*?[]^\\" else c for c in self._entry) + "*"
        found = set()
        loop = asyncio.get_running_loop()
        self._enter_loop(loop)
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._slots:
                async for key in self._way.keys(pattern):
                    found.add(key)
                    limit.reschedule(loop.time() + self._timeout_s)
        except self._failures as error:
            raise self._failed(error) from error
        return len(found)

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while somebody holds it; it expires after `ttl_s` seconds."""
        token = secrets.token_hex(16)
        # Not repeated: had the first attempt reached the server, the second would find our own lock and wait for it.
        got = await self._run("SET", self._lock + key, token, "NX", "PX", _milliseconds(ttl_s), repeat=False)
        return token if got else None

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False where it expired or is another's by now."""
        return bool(await self._run("EVAL", RELEASE, 1, self._lock + key, token))

    async def aclose(self) -> None:
        """Close the connections. The entries stay on the server; a later call connects again."""
        way, self._way, self._loop = self._way, self._connect(), None
        await way.aclose()

    def _connect(self) -> SingleWay | ClusterWay:
        """A way to the server that has not opened a connection yet."""
        never = require("redis.asyncio.retry", "redis").Retry(require("redis.backoff", "redis").NoBackoff(), 0)
        options = {
            "socket_timeout": None,  # the limit of the whole call covers it, and every timer costs microseconds
            "socket_connect_timeout": self._timeout_s,
            "max_connections": self._max_connections,
            "retry": never,
            **self._options,
        }
        return (ClusterWay if self._scheme.endswith("+cluster") else SingleWay)(self._url, options)

    async def _run(self, *command: Any, repeat: bool = True) -> Any:
        self._enter_loop(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                return await self._way.execute(*command, repeat=repeat)
        except self._failures as error:
            raise self._failed(error) from error

    def _enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew where the event loop is another than before: connections belong to the loop that opened them."""
        if loop is not self._loop:
            if self._loop is not None:
                self._way = self._connect()
            self._loop, self._slots = loop, asyncio.Semaphore(self._max_connections)

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"the cache server failed: {str(error) or f'no answer within {self._timeout_s:g} s'}")


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(1000 * seconds))
