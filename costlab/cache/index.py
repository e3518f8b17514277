"""Vectors by the requests that they stand for, and the nearest of them: exactly, or nearly so for many."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXACT_ENTRIES", "ExactIndex", "HnswIndex", "Neighbour", "VectorIndex", "local_index"]

#: Up to so many vectors of 384 numbers in one scope, comparing with every one takes less time than an embedding.
EXACT_ENTRIES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A remembered request near the one asked.

    Attributes
    ----------
    key : str
        Its key in the store.
    text : str
        What it said.
    similarity : float
        Cosine similarity, in -1..1.
    """

    key: str
    text: str
    similarity: float


class VectorIndex(Protocol):
    """Finds the nearest vectors within a scope. Nothing of one scope is ever found from another."""

    async def add(self, scope: str, key: str, text: str, vector: NDArray[np.float32]) -> None:
        """Remember a vector of length 1 under `key`; a key that is there already is left as it is."""
        ...

    async def search(self, scope: str, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        """At most `count` neighbours, the nearest first."""
        ...

    async def remove(self, key: str) -> None:
        """Forget a key, known or not."""
        ...

    async def len(self) -> int:
        """Number of vectors, of all scopes."""
        ...


class _Shelf:
    """The vectors of one scope, one below the other; a removed row is filled with the last one."""

    def __init__(self, dimensions: int) -> None:
        self.keys: list[str] = []
        self.texts: list[str] = []
        self._rows = np.empty((16, dimensions), dtype=np.float32)
        self._row_of: dict[str, int] = {}

    def add(self, key: str, text: str, vector: NDArray[np.float32]) -> None:
        row = len(self.keys)
        if row == len(self._rows):
            self._rows = np.concatenate((self._rows, np.empty_like(self._rows)))
        self._rows[row] = vector
        self._row_of[key] = row
        self.keys.append(key)
        self.texts.append(text)

    def remove(self, key: str) -> None:
        row, last = self._row_of.pop(key), len(self.keys) - 1
        if row != last:
            self._rows[row] = self._rows[last]
            self.keys[row], self.texts[row] = self.keys[last], self.texts[last]
            self._row_of[self.keys[row]] = row
        self.keys.pop()
        self.texts.pop()

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        similarities = self._rows[: len(self.keys)] @ vector
        if count < len(similarities):
            best = np.argpartition(similarities, -count)[-count:]
        else:
            best = np.arange(len(similarities))
        order = best[np.argsort(-similarities[best])]
        return [Neighbour(self.keys[row], self.texts[row], float(similarities[row])) for row in order.tolist()]


class _Graph:
    """The vectors of one scope in a navigable graph; removed ones stay in it, and a graph half of them is made anew."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self.keys: list[str] = []
        self._texts: list[str] = []
        self._row_of: dict[str, int] = {}
        self._graph = self._new()

    def _new(self) -> Any:
        faiss = require("faiss", "semantic")
        graph = faiss.IndexHNSWFlat(self._dimensions, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 64
        return graph

    def add(self, key: str, text: str, vector: NDArray[np.float32]) -> None:
        self._row_of[key] = len(self.keys)
        self.keys.append(key)
        self._texts.append(text)
        self._graph.add(vector.reshape(1, -1))

    def remove(self, key: str) -> None:
        del self._row_of[key]
        if 2 * len(self._row_of) < len(self.keys) and len(self.keys) > 64:
            rows = list(self._row_of.values())
            vectors = np.stack([self._graph.reconstruct(row) for row in rows]) if rows else None
            self.keys, self._texts = [self.keys[row] for row in rows], [self._texts[row] for row in rows]
            self._row_of = {kept: row for row, kept in enumerate(self.keys)}
            self._graph = self._new()
            if vectors is not None:
                self._graph.add(vectors)

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        # As many more are asked for as may turn out to be removed, within reason.
        removed = len(self.keys) - len(self._row_of)
        found, rows = self._graph.search(vector.reshape(1, -1), min(len(self.keys), count + min(removed, 256)))
        near = [
            Neighbour(self.keys[row], self._texts[row], float(similarity))
            for row, similarity in zip(rows[0].tolist(), found[0].tolist(), strict=True)
            if row >= 0 and self._row_of.get(self.keys[row]) == row
        ]
        return near[:count]


class _LocalIndex:
    """What the indexes in this process share: a shelf a scope, and an end to growing."""

    _shelf: type[_Shelf] | type[_Graph]

    def __init__(self, dimensions: int, max_entries: int) -> None:
        self._dimensions = checks.integer("dimensions", dimensions, at_least=1)
        self._max_entries = checks.integer("max_entries", max_entries, at_least=1)
        self._scopes: dict[str, Any] = {}
        self._scope_of: OrderedDict[str, str] = OrderedDict()

    async def add(self, scope: str, key: str, text: str, vector: NDArray[np.float32]) -> None:
        """Remember a vector of length 1 under `key`; above `max_entries` the oldest is forgotten."""
        if key in self._scope_of:
            return
        while len(self._scope_of) >= self._max_entries:
            await self.remove(next(iter(self._scope_of)))
        if scope not in self._scopes:
            self._scopes[scope] = self._shelf(self._dimensions)
        self._scopes[scope].add(key, text, vector)
        self._scope_of[key] = scope

    async def search(self, scope: str, vector: NDArray[np.float32], count: int) -> list[Neighbour]:
        """At most `count` neighbours of this scope, the nearest first."""
        shelf = self._scopes.get(scope)
        return [] if shelf is None else shelf.nearest(vector, count)

    async def remove(self, key: str) -> None:
        """Forget a key, known or not."""
        scope = self._scope_of.pop(key, None)
        if scope is None:
            return
        self._scopes[scope].remove(key)
        if not self._scopes[scope].keys:
            del self._scopes[scope]

    async def len(self) -> int:
        """Number of vectors, of all scopes."""
        return len(self._scope_of)


class ExactIndex(_LocalIndex):
    """Every vector of the scope is compared, in one product of numpy: 0.5 ms for 10,000 of them.

    Parameters
    ----------
    dimensions : int
        Numbers in a vector.
    max_entries : int
        Vectors that are kept, of all scopes; the oldest go first.

    Examples
    --------
    >>> import asyncio
    >>> async def two_tenants():
    ...     index = ExactIndex(2)
    ...     await index.add("acme", "a", "how do I pay?", np.array([1, 0], dtype=np.float32))
    ...     await index.add("zeta", "z", "how do I pay?", np.array([1, 0], dtype=np.float32))
    ...     return await index.search("acme", np.array([0.6, 0.8], dtype=np.float32), 5)
    >>> [(near.key, round(near.similarity, 2)) for near in asyncio.run(two_tenants())]
    [('a', 0.6)]
    """

    _shelf = _Shelf

    def __init__(self, dimensions: int, max_entries: int = EXACT_ENTRIES) -> None:
        super().__init__(dimensions, max_entries)


class HnswIndex(_LocalIndex):
    """A navigable graph of faiss: nearly always the nearest vector, in well under a millisecond among a million.

    Parameters
    ----------
    dimensions : int
        Numbers in a vector.
    max_entries : int
        Vectors that are kept, of all scopes; the oldest go first.

    Raises
    ------
    MissingExtraError
        With the first vector, if faiss is not installed.

    References
    ----------
    Malkov and Yashunin (2018), Efficient and robust approximate nearest neighbor search using hierarchical navigable
    small world graphs, https://arxiv.org/abs/1603.09320
    """

    _shelf = _Graph

    def __init__(self, dimensions: int, max_entries: int = 1_000_000) -> None:
        super().__init__(dimensions, max_entries)


def local_index(dimensions: int, max_entries: int = EXACT_ENTRIES) -> ExactIndex | HnswIndex:
    """The index in this process for so many vectors: exact up to :data:`EXACT_ENTRIES`, faiss beyond."""
    return (ExactIndex if max_entries <= EXACT_ENTRIES else HnswIndex)(dimensions, max_entries)
