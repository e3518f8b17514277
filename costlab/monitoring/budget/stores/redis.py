"""Books on a Redis or Valkey server: for processes on any number of hosts."""

import asyncio
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.errors import BudgetStoreError, InvalidValueError
from costlab.monitoring.budget.limits import Account, Limits
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Close, Restart
from costlab.monitoring.budget.stores.script import KEYS, Words, entries, script

__all__ = ["RedisBudgetStore"]

SCHEMES: Final = ("redis", "rediss", "unix")


class RedisBudgetStore:
    """Books on a Redis or Valkey server. A script on the server decides, so that nobody comes between.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0``; with ``rediss`` over TLS, with ``unix`` through a socket. Options of
        redis-py may follow: ``?ssl_ca_certs=/etc/ca.pem``.
    prefix : str
        What every key begins with; each budget has its own. What stands in braces keeps the keys of one budget
        together on a cluster.
    timeout_s : float
        Seconds to wait for a connection and for an answer, > 0; one more attempt follows.
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
    Every step may be sent twice and counts once, so an answer that is lost on the way does no harm.

    The server must keep its data: ``appendonly yes``, with ``appendfsync always`` where not even the last second before
    a crash may be lost. A server that comes back empty is noticed by every guard that knew it before, is written into
    the audit trail, and stops the budget unless the policy allows running without a store. Not noticed are the last
    writes that a replica had not received when it took over, and evictions: use ``maxmemory-policy noeviction``.

    One event loop at a time uses the methods that begin with ``a``; a later one begins with new connections.
    """

    def __init__(self, url: str, *, prefix: str = "{costlab:budget}:", timeout_s: float = 1.0, **options: Any) -> None:
        redis = require("redis", "redis")
        if (scheme := url.partition("://")[0]) not in SCHEMES:
            # The URL itself may hold a password, which has no place in a log.
            raise InvalidValueError("the scheme of url", f"one of {', '.join(SCHEMES)}", scheme[:20])
        checks.positive("timeout_s", timeout_s)
        self._url, self._timeout_s = url, timeout_s
        self._options = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "decode_responses": True,
            **options,
        }
        self._failures = (redis.RedisError, OSError)
        self._unanswered = (redis.ConnectionError, redis.TimeoutError, OSError)
        self._not_loaded = redis.exceptions.NoScriptError
        self._keys = tuple(prefix + key for key in KEYS)
        self._words, self._script = Words(), script()
        self._client = self._connect("redis")
        self._sha = self._client.register_script(self._script).sha
        self._async_client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def reserve(self, limits: Limits, ask: Ask) -> Answer:
        """Reserve an amount, if it fits; the same ask again changes nothing."""
        return self._words.answer(self._run(*[self._words.reserve(limits, ask)] * 2))

    def close(self, limits: Limits, said: Close) -> Answer:
        """Settle or give up a reservation; the same again changes nothing."""
        return self._words.answer(self._run(*self._close_twice(limits, said)))

    def restart(self, limits: Limits, ask: Restart) -> Answer:
        """End the emergency stop."""
        return self._words.answer(self._run(*[self._words.restart(limits, ask)] * 2))

    def read(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """The limit that stopped the budget, or the empty string, and the accounts of a day and a month."""
        return Words.accounts(self._run(*[self._words.read(now_s, day)] * 2))

    def audit(self) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""
        try:
            return entries(self._client.lrange(self._keys[KEYS.index("audit")], 0, -1))
        except self._failures as error:
            raise self._failed(error) from error

    async def areserve(self, limits: Limits, ask: Ask) -> Answer:
        """As :meth:`reserve`."""
        return self._words.answer(await self._arun(*[self._words.reserve(limits, ask)] * 2))

    async def aclose(self, limits: Limits, said: Close) -> Answer:
        """As :meth:`close`."""
        return self._words.answer(await self._arun(*self._close_twice(limits, said)))

    async def arestart(self, limits: Limits, ask: Restart) -> Answer:
        """As :meth:`restart`."""
        return self._words.answer(await self._arun(*[self._words.restart(limits, ask)] * 2))

    async def aread(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """As :meth:`read`."""
        return Words.accounts(await self._arun(*[self._words.read(now_s, day)] * 2))

    async def aaudit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`audit`."""
        try:
            return entries(await self._client_here().lrange(self._keys[KEYS.index("audit")], 0, -1))
        except self._failures as error:
            raise self._failed(error) from error

    def disconnect(self) -> None:
        """Close the connections; the books stay on the server."""
        self._client.close()

    async def adisconnect(self) -> None:
        """Close the connections of the event loop."""
        client, self._async_client, self._loop = self._async_client, None, None
        if client is not None:
            await client.aclose()

    def _close_twice(self, limits: Limits, said: Close) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """A settlement, and how it is said when nobody knows whether it was heard."""
        return self._words.close(limits, said), self._words.close(limits, said._replace(again=True))

    def _run(self, arguments: tuple[Any, ...], repeated: tuple[Any, ...]) -> Any:
        try:
            try:
                return self._evaluate(arguments)
            except self._unanswered:
                return self._evaluate(repeated)
        except self._failures as error:
            raise self._failed(error) from error

    def _evaluate(self, arguments: tuple[Any, ...]) -> Any:
        try:
            return self._client.evalsha(self._sha, len(KEYS), *self._keys, *arguments)
        except self._not_loaded:
            return self._client.eval(self._script, len(KEYS), *self._keys, *arguments)

    async def _arun(self, arguments: tuple[Any, ...], repeated: tuple[Any, ...]) -> Any:
        try:
            try:
                return await self._aevaluate(arguments)
            except self._unanswered:
                return await self._aevaluate(repeated)
        except self._failures as error:
            raise self._failed(error) from error

    async def _aevaluate(self, arguments: tuple[Any, ...]) -> Any:
        client = self._client_here()
        try:
            return await client.evalsha(self._sha, len(KEYS), *self._keys, *arguments)
        except self._not_loaded:
            return await client.eval(self._script, len(KEYS), *self._keys, *arguments)

    def _client_here(self) -> Any:
        """The client of the running event loop: connections belong to the loop that opened them."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._async_client, self._loop = self._connect("redis.asyncio"), loop
        return self._async_client

    def _connect(self, module: str) -> Any:
        """A client that has not opened a connection yet, and that repeats nothing by itself."""
        retry = require(f"{module}.retry", "redis").Retry(require("redis.backoff", "redis").NoBackoff(), 0)
        return require(module, "redis").Redis.from_url(self._url, retry=retry, **self._options)

    def _failed(self, error: Exception) -> BudgetStoreError:
        return BudgetStoreError(f"the budget's server failed: {error or f'no answer within {self._timeout_s:g} s'}")
