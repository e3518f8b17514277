"""What finds requests that mean the same: by sentence vectors, a fitted threshold and paraphrase checks."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from cachetools import LRUCache

from costlab._internal.checks import finite, integer
from costlab.cache.semantic.embedding import unseen
from costlab.cache.semantic.index import Neighbour, VectorIndex, local_index
from costlab.cache.semantic.paraphrase import DEFAULT_CHECKS, ParaphraseCheck, refusal_reasons
from costlab.cache.semantic.threshold import Lookup, ThresholdFit
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from costlab.cache.keys import Request
    from costlab.cache.semantic.embedding import Embedder

MAX_VECTORS = 1024


@dataclass(frozen=True, slots=True)
class SemanticHit:
    """An earlier request that means the same.

    Attributes
    ----------
    key, similarity : str, float
        Its key: the answer is in the store under it, unless it expired meanwhile. Cosine similarity of both texts, in
        -1..1.
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

    async def remember(self, request: Request, key: str) -> None:
        """Note that the answer to `request` is in the store under `key`; a second time changes nothing."""

    async def forget(self, key: str) -> None:
        """Drop what was remembered under `key`: its answer is gone, or was wrong. An unknown key is ignored."""


@dataclass(frozen=True, slots=True)
class ConsideredNeighbour:
    """A remembered request that a look-up considered: whether it is near enough, and the checks' reasons against it."""

    neighbour: Neighbour
    near_enough: bool
    refusals: tuple[str, ...]


class EmbeddingLayer:
    """A semantic layer for :class:`costlab.cache.ResponseCache`.

    Of the nearest remembered requests of the same scope, the first that no paraphrase check refuses is the hit, if it
    is near enough.

    Parameters
    ----------
    embedder : Embedder
        Makes vectors.
    threshold : ThresholdFit or float
        Similarity from which on two requests mean the same: as fitted, or a number of one's own, about which nothing is
        guaranteed.
    index : VectorIndex, optional
        Keeps the vectors; by default in this process, exactly.
    checks, candidates : sequence of ParaphraseCheck, int
        What may refuse a hit; a fit holds for the checks it was made with. Neighbours that are looked at, >= 1.

    Raises
    ------
    InvalidValueError
        If a fit found no threshold, or was made with another embedder, or a number is outside its domain.

    Notes
    -----
    The embedder runs in a thread, so that the event loop goes on meanwhile. A text's vector is kept for a while: what
    is looked up and not found is usually remembered right after.

    A text that the embedder says it does not see all of (:class:`SeeingEmbedder`) is neither looked up nor remembered:
    two long texts with another task at their end have one vector, and so have any two of unknown words.

    The default checks know English. Between texts that are not known to be English there is no hit but that of a text
    typed again; see :func:`unguarded_language`.
    """

    def __init__(
        self,
        embedder: Embedder,
        threshold: ThresholdFit | float,
        *,
        index: VectorIndex | None = None,
        checks: Sequence[ParaphraseCheck] = DEFAULT_CHECKS,
        candidates: int = 5,
    ) -> None:
        if isinstance(threshold, ThresholdFit):
            if threshold.threshold is None:
                raise InvalidValueError("threshold", f"one that was found ({threshold.reason})", None)
            if threshold.embedder not in ("", embedder.name):
                raise InvalidValueError("threshold", f"fitted on {embedder.name!r}", threshold.embedder)
            threshold = threshold.threshold
        self._threshold = finite("threshold", threshold)
        self._embedder = embedder
        self._index = local_index(embedder.dimensions) if index is None else index
        self._checks = tuple(checks)
        self._candidates = integer("candidates", candidates, at_least=1)
        self._vectors: LRUCache[str, NDArray[np.float32] | None] = LRUCache(MAX_VECTORS)
        self._refusals: Counter[str] = Counter()
        self._unseen: Counter[str] = Counter()

    @property
    def refusals(self) -> dict[str, int]:
        """How often checks refused a neighbour that was near enough, by the beginning of their reasons."""
        return dict(self._refusals)

    @property
    def unseen(self) -> dict[str, int]:
        """How many texts were not embedded as the embedder does not see all of them, by the beginning of the reason."""
        return dict(self._unseen)

    async def lookup(self, request: Request) -> SemanticHit | None:
        """The nearest remembered request of the same scope, if it is near enough and no check refuses it."""
        for near in await self._near(request):
            if near.similarity < self._threshold:
                break
            refusals = refusal_reasons(request.text, near.text, self._checks)
            if not refusals:
                return SemanticHit(near.key, near.similarity)
            self._refusals.update(reason.partition(":")[0] for reason in refusals)
        return None

    async def consider(self, request: Request) -> tuple[ConsideredNeighbour, ...]:
        """The nearest remembered requests of the same scope, with what speaks against each: to see why."""
        return tuple(
            ConsideredNeighbour(
                near, near.similarity >= self._threshold, refusal_reasons(request.text, near.text, self._checks)
            )
            for near in await self._near(request)
        )

    async def _near(self, request: Request) -> list[Neighbour]:
        if not request.text:
            return []
        vector = await self._vector(request.text)
        return [] if vector is None else await self._index.search(request.scope, vector, self._candidates)

    async def remember(self, request: Request, key: str) -> None:
        """Note that the answer to `request` is in the store under `key`; a second time changes nothing."""
        if request.text and (vector := await self._vector(request.text)) is not None:
            await self._index.add(request.scope, key, request.text, vector)

    async def forget(self, key: str) -> None:
        """Drop what was remembered under `key`; an unknown key is ignored."""
        await self._index.remove(key)

    async def _vector(self, text: str) -> NDArray[np.float32] | None:
        """The vector of a text; None where it would not represent the whole text."""
        if text in self._vectors:
            return self._vectors[text]
        reason, vector = await asyncio.to_thread(self._embed, text)
        if reason:
            self._unseen[reason.partition(":")[0]] += 1
        self._vectors[text] = vector
        return vector

    def _embed(self, text: str) -> tuple[str, NDArray[np.float32] | None]:
        reason = unseen(self._embedder, text)
        return reason, None if reason else self._embedder.embed([text])[0]


def labelled_lookups(
    embedder: Embedder,
    cached: Sequence[tuple[str, str]],
    asked: Sequence[tuple[str, str]],
    *,
    checks: Sequence[ParaphraseCheck] = DEFAULT_CHECKS,
    candidates: int = 5,
) -> tuple[Lookup, ...]:
    """Look-ups with hindsight, for :func:`fit_threshold`: what a layer would answer, and whether rightly.

    Parameters
    ----------
    embedder : Embedder
        Makes vectors.
    cached, asked : sequence of (str, str)
        What the cache holds, and what is looked up: a text, and a label that two texts share when one answer is right
        for both. A text that is also cached would be an exact hit and is left out.
    checks, candidates
        As the layer will have them.

    Raises
    ------
    InvalidValueError
        If nothing is cached.
    """
    if not cached:
        raise InvalidValueError("cached", "not empty", cached)
    held = {text for text, _ in cached}
    new = [(text, label) for text, label in asked if text not in held]
    vectors = embedder.embed([text for text, _ in cached])
    similarities = embedder.embed([text for text, _ in new]) @ vectors.T
    count = min(integer("candidates", candidates, at_least=1), len(cached))
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    seen = cache(lambda text: not unseen(embedder, text))
    lookups = []
    for row, (text, label) in enumerate(new):
        lookup = Lookup(-1.0, False)
        for column in nearest[row].tolist():
            if not seen(text) or not seen(cached[column][0]):
                continue
            if not refusal_reasons(text, cached[column][0], checks):
                lookup = Lookup(float(similarities[row, column]), cached[column][1] == label)
                break
        lookups.append(lookup)
    return tuple(lookups)
