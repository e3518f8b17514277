"""Ways to a Redis or Valkey server: a stack of connections to one, or redis-py's client of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costlab._internal.extras import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["ClusterWay", "SingleWay"]


class SingleWay:
    """Connections of redis-py to one server, the one used last on top.

    redis-py's own client adds to every call a lock, a look for stray bytes, metrics and a loop of retries: half of the
    call's time. Here a connection on which anything went wrong is closed, so that no reply can be left in it, and a
    call that finds its idle connection broken is repeated once on a new one: a server that was restarted leaves a stack
    of dead connections behind.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        errors = require("redis.exceptions", "redis")
        self._refusal, self._broken = errors.ResponseError, errors.ConnectionError
        # The pool parses the URL and makes connections; it lends none, so the limit on them is the store's.
        self._pool = require("redis.asyncio", "redis").ConnectionPool.from_url(url, **options)
        self._idle: list[Any] = []
        self._closed = False

    async def execute(self, *command: Any, repeat: bool = True) -> Any:
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

    async def _talk(self, connection: Any, command: tuple[Any, ...]) -> Any:
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


class ClusterWay:
    """A cluster, through redis-py's client, which follows the slots as they move."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        cluster = require("redis.asyncio.cluster", "redis")
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        first, *others = hosts.split(",")
        nodes = [cluster.ClusterNode(other.rpartition(":")[0], int(other.rpartition(":")[2])) for other in others]
        one = parts._replace(scheme=parts.scheme.removesuffix("+cluster"), netloc=user + at + first).geturl()
        # One repeat, because a call may have to follow a slot that moved.
        once = require("redis.asyncio.retry", "redis").Retry(require("redis.backoff", "redis").NoBackoff(), 1)
        self._client = cluster.RedisCluster.from_url(one, startup_nodes=nodes or None, **(options | {"retry": once}))

    async def execute(self, *command: Any, repeat: bool = True) -> Any:
        """The reply of the server that is responsible; redis-py decides about repeats."""
        return await self._client.execute_command(*command)

    async def keys(self, pattern: str) -> AsyncIterator[bytes]:
        """Every key that fits, on every server, some perhaps twice."""
        async for key in self._client.scan_iter(match=pattern, count=1000):
            yield key

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
