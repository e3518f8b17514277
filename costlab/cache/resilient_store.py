"""A store that never raises: what it returns is verified, failures are counted, and it is left alone for a while.

An answer is stored as bytes with version and checksum, so that whatever else a store returns is told apart from it::

    4 bytes        "clc" (checked) or "cls" (signed), and the version of this form
    4 or 16 bytes  CRC-32 of key and payload; or, with a secret, their BLAKE2b keyed with it
    the rest       payload: MessagePack of [cost in USD or nil, scope, answer]

The key is part of what is summed up. An entry that lands under another key, by a mistake of the server, of the client
library or on purpose, is therefore no entry.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from hashlib import blake2b
from hmac import compare_digest
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from zlib import crc32

import msgpack

from costlab._internal import checks
from costlab.errors import CorruptedEntryError, EntryTooLargeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from costlab.cache.answers import CacheCounter
    from costlab.cache.stores import CacheStore

T = TypeVar("T")

CHECKED: Final = b"clc\x01"
SIGNED: Final = b"cls\x01"
CHECKED_HEAD: Final = len(CHECKED) + 4
SIGNED_HEAD: Final = len(SIGNED) + 16

_unpackb = msgpack.unpackb
_new = tuple.__new__


class Entry(NamedTuple):
    """What is kept of an answer. A named tuple, since making a dataclass takes longer than reading the bytes.

    Attributes
    ----------
    cost_usd, scope : float or None, str
        What the model's call cost; None where the caller did not say. :attr:`costlab.cache.Request.scope` of its
        request; empty where no other request may be given the answer.
    """

    cost_usd: float | None
    scope: str
    value: object


def pack(key: str, entry: Entry, secret: bytes = b"") -> bytes:
    """The bytes to keep under `key`.

    Raises TypeError, ValueError or OverflowError if the answer would not come back as it went in: it is not made of
    texts, bytes, numbers, lists and dicts.
    """
    # Strict types refuse a tuple, which would come back as a list, and subclasses, which would lose what they add.
    payload: bytes = msgpack.packb([entry.cost_usd, entry.scope, entry.value], strict_types=True)
    if secret:
        return _signed(key, payload, secret) + payload
    return _checked(key, payload) + payload


def unpack(key: str, data: bytes, secret: bytes = b"") -> Entry:
    """What :func:`pack` made `data` of.

    Raises :class:`CorruptedEntryError` if it did not: `data` is torn, foreign, of another version, stored under another
    key or with another secret.
    """
    if type(data) is not bytes:
        raise CorruptedEntryError(f"no bytes under {key!r}")
    if secret:
        payload = data[SIGNED_HEAD:]
        whole = compare_digest(data[:SIGNED_HEAD], _signed(key, payload, secret))
    else:
        payload = data[CHECKED_HEAD:]
        whole = data[:CHECKED_HEAD] == _checked(key, payload)
    if not whole:
        raise CorruptedEntryError(f"no answer of this version of costlab under {key!r}")
    try:
        cost_usd, scope, value = _unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError) as error:  # rubbish with the right checksum: someone made it
        raise CorruptedEntryError(f"an answer that cannot be read under {key!r}: {error}") from error
    # NaN, infinities and credits in one entry would spoil the sum of all savings; NaN compares with nothing.
    if not (cost_usd is None or (type(cost_usd) is float and 0.0 <= cost_usd < inf)) or type(scope) is not str:
        raise CorruptedEntryError(f"an answer without a cost or a scope under {key!r}")
    return _new(Entry, (cost_usd, scope, value))


def _checked(key: str, payload: bytes) -> bytes:
    return CHECKED + crc32(payload, crc32(key.encode())).to_bytes(4, "big")


def _signed(key: str, payload: bytes, secret: bytes) -> bytes:
    return SIGNED + blake2b(key.encode() + payload, digest_size=16, key=secret).digest()


class CircuitBreaker:
    """Lets every attempt through while all is well; after a failure one at a time, less and less often.

    Parameters
    ----------
    first_s, longest_s : float
        Seconds after the first failure until the next attempt, > 0; doubled by each further failure, up to the longest.
    clock : callable
        Seconds, never going back.

    Examples
    --------
    A store fails. May it be asked again at once, and after a second?

    >>> now = 0.0
    >>> breaker = CircuitBreaker(first_s=1.0, clock=lambda: now)
    >>> breaker.failed(breaker.ticket())
    >>> breaker.ticket() is None
    True
    >>> now = 1.0
    >>> breaker.ticket() is None
    False
    """

    __slots__ = ("_clock", "_delay_s", "_first_s", "_longest_s", "_next_at", "_round")

    def __init__(
        self, first_s: float = 0.1, longest_s: float = 30.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_s = checks.positive("first_s", first_s)
        self._longest_s = checks.positive("longest_s", longest_s)
        self._clock = clock
        self._delay_s = 0.0
        self._next_at = 0.0
        self._round = 1

    @property
    def closed(self) -> bool:
        """Whether all is well, as far as is known."""
        return self._delay_s == 0.0

    def ticket(self) -> int | None:
        """A ticket for one attempt, or None where it is too early; hand it back to :meth:`succeeded` or :meth:`failed`.

        An attempt that never reports back costs nothing but its turn: the next is let through after the same delay.
        """
        if self._delay_s:
            now = self._clock()
            if now < self._next_at:
                return None
            self._next_at = now + self._delay_s
        return self._round

    def succeeded(self, ticket: int | None) -> None:
        """The attempt was answered: all is well again, unless it began before the last failure."""
        if self._delay_s and ticket == self._round:
            self._delay_s = 0.0

    def failed(self, ticket: int | None) -> None:
        """The attempt failed. Of attempts that were under way together only the first lengthens the delay."""
        if ticket == self._round:
            self._round += 1
            self._delay_s = min(self._longest_s, 2 * self._delay_s or self._first_s)
            self._next_at = self._clock() + self._delay_s


#: The pause between two looks at another process's call grows to this many times the first one.
SLOWEST_POLL: Final = 16

#: What a store that did not answer brings: not even that there is no entry.
UNAVAILABLE: Final = Entry(None, "", None)


class ResilientStore:
    """A store behind two circuit breakers, one for reading and one for writing.

    They are separate because a full server refuses every write and still answers every read.
    """

    def __init__(
        self,
        store: CacheStore,
        counter: CacheCounter,
        secret: bytes,
        first_s: float,
        longest_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._get = store.get
        self._counts = counter.counts
        self._secret = secret
        self._reads = CircuitBreaker(first_s, longest_s, clock=clock)
        self._writes = CircuitBreaker(first_s, longest_s, clock=clock)

    async def read(self, key: str) -> Entry | None:
        """The entry under `key`; None where there is none that can be trusted; :data:`UNAVAILABLE` in an outage."""
        ticket = self._reads.ticket()
        if ticket is None:
            self._counts["store_skips"] += 1
            return UNAVAILABLE
        try:
            packed = await self._get(key)
            entry = None if packed is None else unpack(key, packed, self._secret)
        except CorruptedEntryError:  # the store answered, with something else
            self._counts["corrupted_entries"] += 1
            entry = None
        except Exception:
            self._counts["store_failures"] += 1
            self._reads.failed(ticket)
            return UNAVAILABLE
        self._reads.succeeded(ticket)
        return entry

    async def put(self, key: str, packed: bytes, ttl_s: float | None) -> bool:
        """Store an entry; whether that worked."""
        try:
            await self._write(self._store.set, key, packed, ttl_s)
        except EntryTooLargeError:
            self._counts["too_large_answers"] += 1
            return False
        except StoreError:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Remove an entry, if the store lets us."""
        with suppress(StoreError):
            await self._write(self._store.delete, key)

    async def lock(self, key: str, ttl_s: float, poll_s: float) -> tuple[str | None, Entry | None]:
        """The right to call for `key`, or what someone else's call stored meanwhile.

        The right is a token for :meth:`unlock`; None where no one can be asked, or the other one took longer than
        `ttl_s`. The entry is as :meth:`read` returns it. Where there is one, no one needs to call.
        """
        loop = asyncio.get_running_loop()
        ends, pause_s = loop.time() + ttl_s, poll_s
        while True:
            try:
                token = await self._write(self._store.acquire, key, ttl_s)
            except StoreError:
                return None, UNAVAILABLE
            # Between our first look and the lock, another process may have stored its answer and gone.
            entry = await self.read(key)
            if token is not None or (entry is not None and entry is not UNAVAILABLE) or loop.time() >= ends:
                return token, entry
            await asyncio.sleep(min(pause_s, max(0.0, ends - loop.time())))
            pause_s = min(2 * pause_s, SLOWEST_POLL * poll_s)

    async def unlock(self, key: str, token: str) -> None:
        """Give the right to call back."""
        with suppress(StoreError):
            await self._write(self._store.release, key, token)

    async def _write(self, operation: Callable[..., Awaitable[T]], *arguments: object) -> T:
        ticket = self._writes.ticket()
        if ticket is None:
            self._counts["store_skips"] += 1
            raise StoreError("the store failed shortly before")
        try:
            result = await operation(*arguments)
        except EntryTooLargeError:  # the store is well, and said so
            raise
        except Exception as error:
            self._counts["store_failures"] += 1
            self._writes.failed(ticket)
            raise StoreError("the store failed") from error
        self._writes.succeeded(ticket)
        return result
