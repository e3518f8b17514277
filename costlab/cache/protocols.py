"""What the response cache asks of its parts: a store of bytes, and a layer that knows which requests mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from costlab.cache.keys import Request

__all__ = ["CacheStore", "SemanticHit", "SemanticLayer"]


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
        ...

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put `value` under `key` for `ttl_s` seconds, or until evicted; what was there is replaced.

        Raises :class:`costlab.errors.EntryTooLargeError` above the store's limit; what was there then stays.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        ...

    async def len(self) -> int:
        """Number of entries that have not expired. Locks are not entries."""
        ...

    async def acquire(self, key: str, ttl_s: float) -> str | None:
        """A token for the lock `key`, or None while somebody holds it; it expires by itself after `ttl_s` seconds."""
        ...

    async def release(self, key: str, token: str) -> bool:
        """Give the lock back; False, and nothing done, where it expired or is another's by now."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and files. The entries stay, where the store outlives its process."""
        ...


@dataclass(frozen=True, slots=True)
class SemanticHit:
    """An earlier request that means the same.

    Attributes
    ----------
    key : str
        Its key: the answer is in the store under it, unless it expired meanwhile.
    similarity : float
        Cosine similarity of both texts, in -1..1.
    """

    key: str
    similarity: float


class SemanticLayer(Protocol):
    """Knows which requests mean the same. It keeps keys and vectors, never an answer.

    The request that it is given lies within the cache's namespace already. Two requests may share an answer only when
    ``request.scope`` is equal: that covers tenant, model, parameters, version and everything said before the last
    user message. What is compared is ``request.text``, that last message; where it is empty there is nothing to find.

    An exception never reaches the caller of the cache: it is counted, and the model is asked.
    """

    async def lookup(self, request: Request) -> SemanticHit | None:
        """The nearest remembered request of the same scope, if it is near enough to share its answer."""
        ...

    async def remember(self, request: Request, key: str) -> None:
        """Note that the answer to `request` is in the store under `key`; a second time changes nothing."""
        ...

    async def forget(self, key: str) -> None:
        """Drop what was remembered under `key`: its answer is gone, or was wrong. An unknown key is ignored."""
        ...
