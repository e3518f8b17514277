"""Books on a Redis or Valkey server: for processes on any number of hosts."""

import asyncio
import json
import secrets
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import BudgetStoreError, InvalidValueError
from costlab.monitoring.budget import engine
from costlab.monitoring.budget.limits import Account, Limits

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

T = TypeVar("T")
Arguments = tuple[str | int, ...]

SCHEMES: Final = ("redis", "rediss", "unix")
KEYS: Final = ("books", "expiry", "audit", "lapsed")


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
    InvalidValueError
        If the URL has another scheme, or a number is outside its domain.

    Notes
    -----
    Every step may be sent twice and counts once, so an answer that is lost on the way does no harm.

    The server must keep its data: ``appendonly yes``, with ``appendfsync always`` where not even the last second before
    a crash may be lost. A server that comes back empty is noticed by every guard that knew it before, is written into
    the audit trail, and stops the budget unless the policy allows running without a store. Not noticed are the last
    writes that a replica had not received when it took over, and evictions: use ``maxmemory-policy noeviction``.

    One event loop at a time uses :meth:`transact_async`; a later one begins with new connections.
    """

    def __init__(self, url: str, *, prefix: str = "{costlab:budget}:", timeout_s: float = 1.0, **options: Any) -> None:
        with extra("redis"):
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        if (scheme := url.partition("://")[0]) not in SCHEMES:
            # The URL itself may hold a password, which has no place in a log.
            raise InvalidValueError("the scheme of url", f"one of {', '.join(SCHEMES)}", scheme[:20])
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._url = url
        self._options = {
            "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "decode_responses": True, **options,
        }  # fmt: skip
        self._failures = (redis.RedisError, OSError)
        self._unanswered = (redis.ConnectionError, redis.TimeoutError, OSError)
        self._keys = tuple(prefix + key for key in KEYS)
        self._audit = self._keys[KEYS.index("audit")]
        self._codec = ScriptCodec()
        text = (files("costlab.monitoring.budget") / "budget.lua").read_text(encoding="utf-8")
        # Clients open no connection before they need one, and repeat nothing by themselves.
        self._client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **self._options)
        self._script = self._client.register_script(text)
        self._async_client: AsyncRedis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def transact(self, limits: Limits, request: engine.BudgetRequest[T]) -> T:
        """Decide in the script on the server; sent a second time where no reply comes to the first."""
        try:
            try:
                reply = self._send(limits, request)
            except self._unanswered:
                reply = self._send(limits, _repeated(request))
        except self._failures as error:
            raise self._failed(error) from error
        return cast(T, self._codec.reply(request, reply))

    async def transact_async(self, limits: Limits, request: engine.BudgetRequest[T]) -> T:
        """As :meth:`transact`, on connections of the running event loop."""
        try:
            try:
                reply = await self._send_async(limits, request)
            except self._unanswered:
                reply = await self._send_async(limits, _repeated(request))
        except self._failures as error:
            raise self._failed(error) from error
        return cast(T, self._codec.reply(request, reply))

    def disconnect(self) -> None:
        """Close the connections; the books stay on the server."""
        self._client.close()

    async def adisconnect(self) -> None:
        """Close the connections of the event loop."""
        client, self._async_client, self._loop = self._async_client, None, None
        if client is not None:
            await client.aclose()

    def _send(self, limits: Limits, request: object) -> Any:
        if isinstance(request, engine.AuditRequest):
            return self._client.lrange(self._audit, 0, -1)
        return self._script(self._keys, self._codec.arguments(limits, request), self._client)

    async def _send_async(self, limits: Limits, request: object) -> Any:
        loop = asyncio.get_running_loop()
        if self._async_client is None or loop is not self._loop:  # connections belong to the loop that opened them
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._async_client = Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), **self._options)
            self._loop = loop
            self._async_script = self._async_client.register_script(self._script.script)
        if isinstance(request, engine.AuditRequest):
            return await self._async_client.lrange(self._audit, 0, -1)
        return await self._async_script(self._keys, self._codec.arguments(limits, request), self._async_client)

    def _failed(self, error: Exception) -> BudgetStoreError:
        return BudgetStoreError(f"the budget's server failed: {error or f'no answer within {self._timeout_s:g} s'}")


class ScriptCodec:
    """Requests as arguments of the script, and its answers as replies; remembers which books it was told of."""

    def __init__(self) -> None:
        # The generation that it knows, or one that it offers, after a plus.
        self._generation = f"+{secrets.token_hex(8)}"
        self._plan: tuple[Limits | None, Arguments] = (None, ())

    def arguments(self, limits: Limits, request: object) -> Arguments:
        """What the script is called with."""
        match request:
            case engine.ReserveRequest(token, amount, priority, now_s, day, _, expires_s):
                caps = (limit.micro_usd for limit in limits.by_priority[priority])
                return (*self._head("reserve", now_s, limits, day), token, amount, repr(expires_s), *caps, priority)
            case engine.SettleRequest(token, actual, now_s, day, _, amount, again, unbooked):
                spent = "" if actual is None else actual
                return (*self._head("settle", now_s, limits, day), token, amount, spent, int(again), int(unbooked))
            case engine.ResetRequest(person, reason, extra_micro_usd, now_s, day, _):
                by = (json.dumps(person), json.dumps(reason))
                return (*self._head("reset", now_s, limits, day), *by, extra_micro_usd)
            case engine.StatusRequest(now_s, day, _):
                return ("status", self._generation, repr(now_s), "{}", day)
        raise TypeError(f"the script knows no {type(request).__name__}")

    def reply(
        self, request: object, answer: Any
    ) -> engine.StoreReply | engine.Standing | tuple[engine.AuditEntry, ...]:
        """The sense of the answer to `request`."""
        if isinstance(answer, str):  # nothing but the outcome is new
            return engine.ADMITTED if answer == "admitted" else engine.SETTLED
        if isinstance(request, engine.AuditRequest):
            return _entries(answer)
        if isinstance(request, engine.StatusRequest):
            stopped_by, *accounts = answer
            return engine.Standing(stopped_by, *map(_account, accounts))
        outcome, self._generation, *rest = answer
        entries: tuple[engine.AuditEntry, ...] = ()
        if "entries" in rest:
            place = rest.index("entries")
            rest, entries = rest[:place], _entries(rest[place + 1 :])
        if not rest:
            return engine.StoreReply(outcome, entries)
        name, cap, spent, reserved, stopped = rest
        return engine.StoreReply(outcome, entries, name, int(cap), int(spent), int(reserved), bool(stopped))

    def _head(self, step: str, now_s: float, limits: Limits, day: str) -> Arguments:
        planned, plan = self._plan
        if planned is not limits:
            plan = (_plan(limits), limits.daily[0].micro_usd, limits.monthly[0].micro_usd)
            self._plan = (limits, plan)  # as a whole, so that threads need no lock
        text, low_day, low_month = plan
        return (step, self._generation, repr(now_s), text, day, low_day, low_month)


def _repeated(request: object) -> object:
    """The request as it is sent when nobody knows whether it was heard; the others may be sent twice as they are."""
    return request._replace(again=True) if isinstance(request, engine.SettleRequest) else request


def _account(text: str) -> Account:
    spent, reserved, extra_micro_usd, lapsed = map(int, text.split())
    return Account(spent, reserved, extra_micro_usd, lapsed)


def _entries(texts: Iterable[str]) -> tuple[engine.AuditEntry, ...]:
    """Audit entries as the script writes them."""
    return tuple(engine.AuditEntry(**json.loads(text)) for text in texts)


def _plan(limits: Limits) -> str:
    """The limits as the script reads them, where one is met."""
    every = (*limits.daily, *limits.monthly)
    places = {priority: [1 + every.index(limit) for limit in pair] for priority, pair in limits.by_priority.items()}
    return json.dumps(
        {
            "stops_when_lost": limits.stops_when_lost,
            "limits": [(limit.name, 1 + limit.monthly, limit.micro_usd, int(limit.stops)) for limit in every],
            "by": places,
            "hard": [limit.micro_usd for limit in limits.hard],
        }
    )
