"""What a store of answers is, and the simplest one: in this process's memory."""

from __future__ import annotations

import math
import time
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from cachetools import TLRUCache

from costlab._internal import checks
from costlab.errors import EntryTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest answer of today's models, 128k tokens of about 4 bytes, fits twice.
MAX_VALUE_BYTES: Final = 1_000_000


class CacheStore(Protocol):
    """Bytes under text keys, for a time, and locks that expire.

    A store answers or raises within its own time-out; it never waits for ever. Whatever goes wrong is raised as
    :class:`costlab.errors.StoreError`; a caller that wants to live without the store catches that. Every store passes
    one suite, ``tests/cache/test_stores.py``.
    """

    async def get(self, key: str) -> bytes | None:
        """The bytes under `key`, or None where there are none or they expired.

        May raise :class:`costlab.errors.CorruptedEntryError` where something is there that is not bytes.
        """

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until evicted; what was there is replaced.

        Raises :class:`costlab.errors.EntryTooLargeError` above the store's limit, and
        :class:`costlab.errors.InvalidValueError` for a `ttl_s` that is not > 0; what was there then stays.
        """

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""

    async def len(self) -> int:
        """Number of entries that have not expired. Locks are not entries."""

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while someone holds it; it expires by itself after `ttl_s` seconds."""

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False, and nothing done, where it expired or is another's by now."""

    async def aclose(self) -> None:
        """Let go of connections and files. The entries stay, where the store outlives its process."""


def check_entry(value: bytes, ttl_s: float | None, max_value_bytes: int) -> None:
    """Raise unless `value` is short enough and `ttl_s` a time, as :meth:`CacheStore.set` says."""
    if len(value) > max_value_bytes:
        raise EntryTooLargeError(len(value), max_value_bytes)
    if ttl_s is not None:
        checks.positive("ttl_s", ttl_s)


class MemoryStore:
    """A bounded store in memory: what expired goes first, then what was not used for longest.

    Parameters
    ----------
    max_entries, max_bytes : int
        Most entries kept, and most bytes, keys and values together, both >= 1. Python's own objects add about 400 bytes
        an entry.
    max_value_bytes : int
        Longest value accepted, in bytes.
    clock : callable
        Seconds, never going back.

    Notes
    -----
    One event loop uses it, and it ends with its process. Several processes that should pay once together need a
    :class:`DiskStore` or a :class:`RedisStore`.
    """

    def __init__(
        self,
        max_entries: int = 100_000,
        max_bytes: int = 256 * 2**20,
        *,
        max_value_bytes: int = MAX_VALUE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = checks.integer("max_entries", max_entries, at_least=1)
        self._max_value_bytes = checks.integer("max_value_bytes", max_value_bytes, at_least=1)
        self._clock = clock
        self._entries: TLRUCache[str, tuple[bytes, float, int]] = TLRUCache(
            checks.integer("max_bytes", max_bytes, at_least=1),
            ttu=lambda _key, entry, _now: entry[1],
            timer=clock,
            getsizeof=lambda entry: entry[2],
        )
        self._locks: dict[str, tuple[str, float]] = {}
        self._tokens = count(1)

    async def get(self, key: str) -> bytes | None:
        """The bytes under `key`, or None where there are none or they expired."""
        try:
            return self._entries[key][0]
        except KeyError:
            return None

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until evicted."""
        entries = self._entries
        check_entry(value, ttl_s, min(self._max_value_bytes, int(entries.maxsize) - len(key)))
        while len(entries) >= self._max_entries and key not in entries:
            entries.popitem()
        expires_at = math.inf if ttl_s is None else self._clock() + ttl_s
        entries[key] = (value, expires_at, len(key) + len(value))

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        return self._entries.pop(key, None) is not None

    async def len(self) -> int:
        """Number of entries that have not expired."""
        self._entries.expire()
        return len(self._entries)

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while someone holds it; it expires after `ttl_s` seconds."""
        now = self._clock()
        held = self._locks.get(key)
        if held is not None and now < held[1]:
            return None
        token = str(next(self._tokens))
        self._locks[key] = (token, now + ttl_s)
        return token

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False where it expired or is another's by now."""
        held = self._locks.get(key)
        if held is None or held[0] != token:
            return False
        del self._locks[key]
        return self._clock() < held[1]

    async def aclose(self) -> None:
        """Nothing to let go of: the entries stay until the store itself goes."""
