"""A semantic layer that never raises and never crosses a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from costlab.cache.guard import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from costlab.cache.envelope import Entry
    from costlab.cache.guard import ResilientStore
    from costlab.cache.keys import Request
    from costlab.cache.protocols import SemanticHit, SemanticLayer
    from costlab.cache.statistics import Recorder

__all__ = ["GuardedLayer"]

T = TypeVar("T")


class GuardedLayer:
    """The semantic layer within one namespace. What it names is looked at before it is believed."""

    def __init__(self, layer: SemanticLayer, store: ResilientStore, recorder: Recorder, namespace: str) -> None:
        self._layer = layer
        self._store = store
        self._counts = recorder.counts
        self._namespace = namespace

    async def find(self, key: str, asked: Request) -> tuple[SemanticHit, Entry] | None:
        """A request that means the same with its answer, if the layer knows one and the store still has it.

        An entry says for which scope it was made. A layer that names another scope's entry, another tenant's say, made
        a mistake: it is counted, and nothing found.
        """
        if not asked.text:
            return None
        hit = await self._guarded(self._layer.lookup(asked.within(self._namespace)))
        if hit is None or hit.key == key:
            return None
        entry = await self._store.read(hit.key)
        if entry is None:
            await self.forget(hit.key)
            return None
        if entry is UNAVAILABLE:
            return None
        if entry.scope != asked.scope:
            self._counts["semantic_failures"] += 1
            return None
        return hit, entry

    async def remember(self, key: str, asked: Request) -> None:
        """Note that the answer to this request is in the store."""
        if asked.text:
            await self._guarded(self._layer.remember(asked.within(self._namespace), key))

    async def forget(self, key: str) -> None:
        """Note that it no longer is."""
        await self._guarded(self._layer.forget(key))

    async def _guarded(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except Exception:
            self._counts["semantic_failures"] += 1
            return None
