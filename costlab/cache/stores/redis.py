"""Answers on a Redis or Valkey server, shared by every process that can reach it."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.masking import addressing, check_server_address, scheme
from costlab.cache.stores.memory import MAX_VALUE_BYTES, check_entry
from costlab.errors import CorruptedEntryError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio.connection import AbstractConnection

    Argument: TypeAlias = bytes | str | int
    Reply: TypeAlias = Any

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
    max_connections, max_value_bytes : int
        Most connections open at once, further calls wait for one; longest value accepted, in bytes.
    **options
        Passed to redis-py as they are.

    Raises
    ------
    MissingExtraError, InvalidValueError
        If redis-py is not installed; if the URL has another scheme, or a number is outside its domain.

    Notes
    -----
    Making the store opens no connection. The server forgets entries by itself: when they expire, and at its
    ``maxmemory`` by its ``maxmemory-policy``, which should be ``allkeys-lru`` or ``allkeys-lfu``. With ``noeviction``,
    the default, a full server refuses every write. One event loop at a time uses a store; a later one begins with new
    connections.

    A call that is given up closes its connection: the reply that comes late would be read as the next call's, and be
    another tenant's. Even if it were read, the checksum of the cache's entries would tell, as the key is part of
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
        with extra("redis"):
            from redis.exceptions import RedisError
        self._failures = (RedisError, OSError)  # a TimeoutError is an OSError
        check_server_address(url, SCHEMES)
        self._url, self._scheme, self._options = url, scheme(url), options
        self._entry, self._lock = f"{prefix}entry:", f"{prefix}lock:"
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._max_connections = checks.integer("max_connections", max_connections, at_least=1)
        self._max_value_bytes = checks.integer("max_value_bytes", max_value_bytes, at_least=1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(self._max_connections)
        with addressing(url):
            self._server = self._connect()

    async def get(self, key: str) -> bytes | None:
        """The bytes under `key`, or None where there are none or they expired."""
        try:
            value: bytes | None = await self._run("GET", self._entry + key)
        except StoreError as error:
            if str(error.__cause__).startswith("WRONGTYPE"):  # the server is well: someone put a list there, say
                raise CorruptedEntryError(f"no bytes under {key!r}") from error
            raise
        return value

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until the server evicts it."""
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
                async for key in self._server.keys(pattern):
                    found.add(key)
                    limit.reschedule(loop.time() + self._timeout_s)
        except self._failures as error:
            raise self._failed(error) from error
        return len(found)

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while someone holds it; it expires after `ttl_s` seconds."""
        token = secrets.token_hex(16)
        # Not repeated: had the first attempt reached the server, the second would find our own lock and wait for it.
        got = await self._run("SET", self._lock + key, token, "NX", "PX", _milliseconds(ttl_s), repeat=False)
        return token if got else None

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False where it expired or is another's by now."""
        return bool(await self._run("EVAL", RELEASE, 1, self._lock + key, token))

    async def aclose(self) -> None:
        """Close the connections. The entries stay on the server; a later call connects again."""
        server, self._server, self._loop = self._server, self._connect(), None
        await server.aclose()

    def _connect(self) -> _Server | _Cluster:
        """A server that no connection was opened to yet."""
        options = {
            "socket_timeout": None,  # the limit of the whole call covers it, and every timer costs microseconds
            "socket_connect_timeout": self._timeout_s,
            "max_connections": self._max_connections,
            **self._options,
        }
        return (_Cluster if self._scheme.endswith("+cluster") else _Server)(self._url, options)

    async def _run(self, *command: Argument, repeat: bool = True) -> Reply:
        self._enter_loop(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                return await self._server.execute(*command, repeat=repeat)
        except self._failures as error:
            raise self._failed(error) from error

    def _enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start again in another event loop: connections belong to the loop that opened them."""
        if loop is not self._loop:
            if self._loop is not None:
                self._server = self._connect()
            self._loop, self._slots = loop, asyncio.Semaphore(self._max_connections)

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"the cache server failed: {str(error) or f'no answer within {self._timeout_s:g} s'}")


class _Server:
    """Connections of redis-py to one server, the one used last on top.

    redis-py's own client adds to every call a lock, a look for stray bytes, metrics and a loop of retries: half of the
    call's time. Here a connection on which anything went wrong is closed, so that no reply can be left in it, and a
    call that finds its idle connection broken is repeated once on a new one: a server that was restarted leaves a stack
    of dead connections behind.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        with extra("redis"):
            from redis.asyncio import ConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import ConnectionError as BrokenError, ResponseError
        self._refusal, self._broken = ResponseError, BrokenError
        # The pool parses the URL and makes connections; it lends none, so the limit on them is the store's.
        self._pool = ConnectionPool.from_url(url, **({"retry": Retry(NoBackoff(), 0)} | options))
        self._pool.make_connection()  # which connects nothing, and knows the options
        self._idle: list[AbstractConnection] = []
        self._closed = False

    async def execute(self, *command: Argument, repeat: bool = True) -> Reply:
        """The server's reply; without `repeat` a broken connection is an error at once."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._talk(connection, command)
            except self._broken:
                await self._drop_idle()
                if not repeat:
                    raise
        return await self._talk(self._pool.make_connection(), command)

    async def keys(self, pattern: str) -> AsyncIterator[bytes]:
        """Every key that fits, some perhaps twice."""
        cursor = b"0"
        while True:
            cursor, keys = await self.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            for key in keys:
                yield key
            if cursor == b"0":
                break

    async def aclose(self) -> None:
        """Close the idle connections, and the others when their call is done."""
        self._closed = True
        await self._drop_idle()

    async def _talk(self, connection: AbstractConnection, command: tuple[Argument, ...]) -> Reply:
        try:
            await connection.send_command(*command, check_health=False)
            reply = await connection.read_response()
        except self._refusal:  # the server said no, in full
            self._idle.append(connection)
            raise
        except BaseException:  # given up in the middle: the reply may still come
            await connection.disconnect(nowait=True)
            raise
        if self._closed:
            await connection.disconnect()
        else:
            self._idle.append(connection)
        return reply

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)


class _Cluster:
    """A cluster, through redis-py's client, which follows the slots as they move."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        with extra("redis"):
            from redis.asyncio.cluster import ClusterNode, RedisCluster
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        first, *others = hosts.split(",")
        nodes = [ClusterNode(other.rpartition(":")[0], int(other.rpartition(":")[2])) for other in others]
        first_url = parts._replace(scheme=parts.scheme.removesuffix("+cluster"), netloc=user + at + first).geturl()
        # One repeat, because a call may have to follow a slot that moved.
        once = Retry(NoBackoff(), 1)
        self._client = RedisCluster.from_url(first_url, startup_nodes=nodes or None, **(options | {"retry": once}))

    async def execute(self, *command: Argument, repeat: bool = True) -> Reply:
        """The reply of the server that is responsible; redis-py decides about repeats."""
        return await self._client.execute_command(*command)

    async def keys(self, pattern: str) -> AsyncIterator[bytes]:
        """Every key that fits, on every server, some perhaps twice."""
        async for key in self._client.scan_iter(match=pattern, count=1000):
            yield key

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(1000 * seconds))
