"""Books on a Redis or Valkey server: for processes on any number of hosts."""

import asyncio
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.fork_safety import after_fork
from costlab._internal.masking import addressing, check_server_address
from costlab.errors import BudgetStoreError
from costlab.monitoring.budget import engine
from costlab.monitoring.budget.limits import Account, Limits
from costlab.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    from redis import ConnectionPool
    from redis.asyncio import Redis as AsyncRedis

T = TypeVar("T")
Arguments = tuple[str | int, ...]

SCHEMES: Final = ("redis", "rediss", "unix")
#: The place of a step's number among the arguments, and how long a writer may be silent and still be known.
NUMBER: Final = 6
SILENCE_S: Final = engine.LAPSED_KEPT_S - SECONDS_PER_DAY
#: The most connections that an event loop uses at once; further tasks wait for one.
MOST_AT_ONCE: Final = 100
NOT_CONNECTED: Final = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
KEYS: Final = ("books", "expiry", "audit")


class TooFewReplicasError(OSError):
    """What was done on the server may be lost with it."""


class RedisBudgetStore:
    """Books on a Redis or Valkey server. A script on the server decides, so that no one comes between.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0``; with ``rediss`` over TLS, with ``unix`` through a socket. Options of
        redis-py may follow: ``?ssl_ca_certs=/etc/ca.pem``.
    prefix : str
        What every key begins with; each budget has its own. The part in braces keeps the keys of one budget
        together on a cluster.
    timeout_s : float
        Seconds to wait for a connection and for an answer, > 0; one more attempt follows.
    replicas : int
        How many replicas have to confirm a change before it counts as done, >= 0; where fewer do within half of
        `timeout_s`, the store counts as out of reach.
    clock : callable, optional
        Seconds since 1970-01-01 UTC, for simulations; by default the server's clock says when reservations expire.
    **options
        Passed to redis-py as they are.

    Raises
    ------
    InvalidValueError
        If the URL has another scheme, or a number is outside its domain.

    Notes
    -----
    Every step may be sent twice and counts once, in whatever order its messages arrive: the token of a reservation is
    kept for an hour after its end.

    **What a server can lose** depends on how it keeps its data:

    ============================================== ==========================================================
    setting                                        can be lost
    ============================================== ==========================================================
    ``appendonly yes``, ``appendfsync always``     nothing in a crash of the server or the machine
    ``appendonly yes``, ``appendfsync everysec``   nothing in a crash of the server; a second or two in a
                                                   crash of the machine
    ``save`` alone                                 what came since the last snapshot: minutes
    neither                                        everything, with every restart
    a replica takes over                           what it had not received yet
    the same, with `replicas`                      nothing that was confirmed, if one of those takes over that
                                                   have it; a majority of them should be asked for
    ``maxmemory-policy`` other than ``noeviction`` everything, at any time
    ============================================== ==========================================================

    What is lost is noticed. A server that comes back empty is by every guard that knew it before, missing last writes
    by the first guard that had an answer to one of them, and the removal of some of the keys by the next step: what is
    reserved is then dropped together with the books, or from them. Each is written into the audit trail, and stops the
    budget unless the policy allows running without a store. Not noticed are lost writes of processes that have ended.

    One event loop at a time uses :meth:`transact_async`, over at most 100 connections, on which further tasks wait; a
    later one begins with new connections.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "{costlab:budget}:",
        timeout_s: float = 1.0,
        replicas: int = 0,
        clock: Callable[[], float] | None = None,
        **options: Any,
    ) -> None:
        with extra("redis"):
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        check_server_address(url, SCHEMES)
        self._timeout_s = checks.positive("timeout_s", timeout_s)
        self._replicas = checks.integer("replicas", replicas, at_least=0)
        self._url = url
        # A thread has a connection of its own, however many there are: redis-py 8 has 100, and an error for all others.
        self._options = {
            "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "decode_responses": True,
            "max_connections": 2**31, **options,
        }  # fmt: skip
        self._unknown_script = redis.exceptions.NoScriptError
        self._failures = (redis.RedisError, OSError)
        self._unanswered = (redis.ConnectionError, redis.TimeoutError, OSError)
        self._keys = tuple(prefix + key for key in KEYS)
        self._audit = self._keys[KEYS.index("audit")]
        self._codec = ScriptCodec(clock)
        text = (files("costlab.monitoring.budget") / "budget.lua").read_text(encoding="utf-8")
        # Clients open no connection before they need one, and repeat nothing by themselves.
        with addressing(url):
            self._client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **self._options)
            self._client.connection_pool.make_connection()  # which connects nothing
        self._script = self._client.register_script(text)
        self._evaluate: Arguments = ("EVALSHA", self._script.sha, len(self._keys), *self._keys)
        self._lines = _Lines(self._client.connection_pool, redis.ResponseError)
        self._async_client: AsyncRedis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def transact(self, limits: Limits, request: engine.BudgetRequest[T]) -> T:
        """Decide in the script on the server; sent a second time where the first gets no reply."""
        errors: list[Exception] = []
        while self._try_again(errors):
            arguments = self._codec.arguments(limits, request)
            try:
                answer = self._send(request, arguments)
            except self._failures as error:
                errors.append(error)
            else:
                return cast(T, self._codec.reply(request, arguments, answer))
        raise self._failed(errors) from errors[-1]

    async def transact_async(self, limits: Limits, request: engine.BudgetRequest[T]) -> T:
        """As :meth:`transact`, on connections of the running event loop."""
        errors: list[Exception] = []
        while self._try_again(errors):
            arguments = self._codec.arguments(limits, request)
            try:
                answer = await self._send_async(request, arguments)
            except self._failures as error:
                errors.append(error)
            else:
                return cast(T, self._codec.reply(request, arguments, answer))
        raise self._failed(errors) from errors[-1]

    def disconnect(self) -> None:
        """Close the connections; the books stay on the server."""
        self._lines.hang_up()
        self._client.close()

    async def adisconnect(self) -> None:
        """Close the connections of the event loop."""
        client, self._async_client, self._loop = self._async_client, None, None
        if client is not None:
            await client.aclose()

    def _send(self, request: object, arguments: Arguments) -> Any:
        if isinstance(request, engine.AuditRequest):
            return self._client.lrange(self._audit, 0, -1)
        if not self._replicas or isinstance(request, engine.StatusRequest):
            try:
                return self._lines.ask(self._evaluate, arguments)
            except self._unknown_script:
                self._client.script_load(self._script.script)
                return self._lines.ask(self._evaluate, arguments)
        while True:
            both = self._evaluate_and_wait(self._client.pipeline(transaction=False), arguments)
            try:
                answer, reached = both.execute()
            except self._unknown_script:
                self._client.script_load(self._script.script)
            else:
                return self._confirmed(answer, reached)

    async def _send_async(self, request: object, arguments: Arguments) -> Any:
        loop = asyncio.get_running_loop()
        if self._async_client is None or loop is not self._loop:  # connections belong to the loop that opened them
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._async_client = Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), **self._options)
            self._loop = loop
            self._async_script = self._async_client.register_script(self._script.script)
            self._slots = asyncio.Semaphore(min(MOST_AT_ONCE, self._async_client.connection_pool.max_connections))
        slots = self._slots
        async with asyncio.timeout(self._timeout_s):
            await slots.acquire()
        try:
            return await self._ask_async(self._async_client, request, arguments)
        finally:
            slots.release()

    async def _ask_async(self, client: "AsyncRedis", request: object, arguments: Arguments) -> Any:
        if isinstance(request, engine.AuditRequest):
            return await client.lrange(self._audit, 0, -1)
        if not self._replicas or isinstance(request, engine.StatusRequest):
            return await self._async_script(self._keys, arguments, client)
        while True:
            both = self._evaluate_and_wait(client.pipeline(transaction=False), arguments)
            try:
                answer, reached = await both.execute()
            except self._unknown_script:
                await client.script_load(self._script.script)
            else:
                return self._confirmed(answer, reached)

    def _evaluate_and_wait(self, pipeline: Any, arguments: Arguments) -> Any:
        pipeline.execute_command(*self._evaluate, *arguments)
        # Half the time, so that the answer comes before the connection is given up.
        pipeline.execute_command("WAIT", self._replicas, max(1, int(500 * self._timeout_s)))
        return pipeline

    def _confirmed(self, answer: Any, reached: int) -> Any:
        if reached < self._replicas:
            raise TooFewReplicasError(f"{reached} of {self._replicas} replicas confirmed the change")
        return answer

    def _try_again(self, errors: list[Exception]) -> bool:
        return not errors or (len(errors) == 1 and isinstance(errors[0], self._unanswered))

    def _failed(self, errors: list[Exception]) -> BudgetStoreError:
        words = str(errors[-1]) or f"no answer within {self._timeout_s:g} s"
        failed = BudgetStoreError(f"the budget's server failed: {words}")
        failed.may_have_arrived = any(
            isinstance(error, self._unanswered) and not isinstance(error.__context__, NOT_CONNECTED) for error in errors
        )
        return failed


class _Lines:
    """Connections that are kept at hand: the client's own way to one takes as long as the question itself.

    What is idle too long may be closed at the other end; a question on it fails, and with it all others are closed.
    """

    def __init__(self, pool: "ConnectionPool", refusal: type[Exception]) -> None:
        self._pool, self._refusal = pool, refusal
        self._idle: list[Any] = []
        after_fork(self._leave)

    def ask(self, command: Arguments, arguments: Arguments) -> Any:
        try:
            line = self._idle.pop()
        except IndexError:
            line = self._pool.get_connection()
        try:
            line.send_command(*command, *arguments)
            answer = line.read_response()
        except self._refusal:
            self._idle.append(line)
            raise
        except BaseException:
            self._idle.append(line)
            self.hang_up()
            raise
        self._idle.append(line)
        return answer

    def hang_up(self) -> None:
        """Close what is idle; the client's pool has it again."""
        with suppress(IndexError):
            while True:
                line = self._idle.pop()
                line.disconnect()
                self._pool.release(line)

    def _leave(self) -> None:
        """In a forked child: the connections are the parent's."""
        self._idle.clear()


class ScriptCodec:
    """Requests as arguments of the script, and its answers as replies.

    It remembers which books it was told of, and which of its own steps are in them.
    """

    def __init__(self, clock: Callable[[], float] | None) -> None:
        self._clock = clock
        # Who this is, the numbers of its steps, and the highest one that it knows to be done, since when.
        self._writer, self._numbers = secrets.token_hex(8), count(1)
        self._heard, self._heard_at_s = 0, time.monotonic()
        # The generation that it knows, or one that it offers, after a plus.
        self._generation = f"+{secrets.token_hex(8)}"
        self._plan: tuple[Limits | None, Arguments] = (None, ())

    def arguments(self, limits: Limits, request: object) -> Arguments:
        """What the script is called with."""
        match request:
            case engine.ReserveRequest(token, amount, priority, now_s, day, _, ttl_s):
                caps = (limit.micro_usd for limit in limits.by_priority[priority])
                return (*self._head("reserve", limits, day, now_s), token, amount, *caps, priority, repr(ttl_s))
            case engine.SettleRequest(token, actual, day, _, amount, booked, guard_s):
                spent = "" if actual is None else actual
                return (*self._head("settle", limits, day, guard_s), token, amount, spent, int(booked))
            case engine.ExtendRequest(token, day, _, amount, ttl_s):
                return (*self._head("extend", limits, day), token, amount, repr(ttl_s))
            case engine.ResetRequest(person, reason, extra_micro_usd, now_s, day, _):
                by = json.dumps(person), json.dumps(reason)
                return (*self._head("reset", limits, day, now_s), *by, extra_micro_usd)
            case engine.StatusRequest(day, _):
                return self._head("status", limits, day)
            case engine.AuditRequest():
                return ()
        raise TypeError(f"the script knows no {type(request).__name__}")

    def reply(
        self, request: object, arguments: Arguments, answer: Any
    ) -> engine.StoreReply | engine.Standing | tuple[engine.AuditEntry, ...]:
        """The sense of the answer to `request`."""
        if isinstance(answer, str):  # nothing but the outcome is new
            self._answered(arguments)
            return engine.ADMITTED if answer == "admitted" else engine.SETTLED
        if isinstance(request, engine.AuditRequest):
            return _entries(answer)
        if isinstance(request, engine.StatusRequest):
            stopped_by, of_day, of_month, now = answer
            return engine.Standing(stopped_by, _account(of_day), _account(of_month), float(now))
        if answer[0] == "clock":
            return engine.StoreReply("clock", now_s=float(answer[1]))
        self._answered(arguments)
        outcome, self._generation, *rest = answer
        entries: tuple[engine.AuditEntry, ...] = ()
        if "entries" in rest:
            place = rest.index("entries")
            rest, entries = rest[:place], _entries(rest[place + 1 :])
        if not rest:
            return engine.StoreReply(outcome, entries)
        name, cap, spent, reserved, stopped = rest
        return engine.StoreReply(outcome, entries, name, int(cap), int(spent), int(reserved), bool(stopped))

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock())

    def _answered(self, arguments: Arguments) -> None:
        self._heard = max(self._heard, cast(int, arguments[NUMBER]))
        self._heard_at_s = time.monotonic()

    def _head(self, step: str, limits: Limits, day: str, guard_s: float | None = None) -> Arguments:
        planned, plan = self._plan
        if planned is not limits:
            text = _plan(limits)
            plan = (text, hashlib.blake2s(text.encode(), digest_size=4).hexdigest())
            self._plan = (limits, plan)  # as a whole, so that threads need no lock
        if time.monotonic() - self._heard_at_s > SILENCE_S:
            self._heard = 0  # the server may have forgotten this writer by now
        steps = (self._writer, next(self._numbers), self._heard)
        return (step, self._generation, self._now(), *plan, *steps, day, "" if guard_s is None else repr(guard_s))


def _account(text: str) -> Account:
    spent, reserved, extra_micro_usd, presumed = map(int, text.split()[:4])
    return Account(spent, reserved, extra_micro_usd, presumed)


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
