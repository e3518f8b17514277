"""A store that never raises: failures are counted, and the store is left alone for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from costlab.cache.breaker import CircuitBreaker
from costlab.cache.envelope import Entry, unpack
from costlab.errors import CorruptedEntryError, EntryTooLargeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from costlab.cache.protocols import CacheStore
    from costlab.cache.statistics import Recorder

__all__ = ["UNAVAILABLE", "ResilientStore"]

T = TypeVar("T")

#: The pause between two looks at another process's flight grows to this many times the first one.
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
        recorder: Recorder,
        secret: bytes,
        first_s: float,
        longest_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._get = store.get
        self._counts = recorder.counts
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
        """The right to call for `key`, or what somebody else's call stored meanwhile.

        Returns
        -------
        token : str or None
            To be given to :meth:`unlock`; None where nobody can be asked, or the other one took longer than `ttl_s`.
        entry : Entry or None
            As :meth:`read` returns it. Where there is one, nobody needs to call.
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
