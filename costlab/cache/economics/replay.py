"""A stream of requests through an LRU cache, exactly, tens of millions of them in seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Requests looked at together: enough to hide the price of numpy's calls, few enough to stay in the processor's cache.
BATCH_REQUESTS: Final = 1 << 16

#: A cache smaller than this is faster played one request after the other: it is in the processor's cache itself.
SMALL_ENTRIES: Final = 400

#: The greatest number that may stand for a thing.
MAX_THING: Final = 10**9


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A stream that went through a cache: its length, and how many of it found their answer."""

    requests: int
    hits: int

    @property
    def hit_rate_fraction(self) -> float:
        """Share of the requests that found their answer; NaN for none."""
        return self.hits / self.requests if self.requests else float("nan")


def lru_replay(stream: Iterable[NDArray[np.int64]], entries: int) -> ReplayResult:
    """Requests through an empty LRU cache that holds `entries` answers.

    Parameters
    ----------
    stream : iterable of numpy.ndarray of int
        What is asked, in parts: numbers from 0 to 10^9 that stand for the different things, best without gaps, since
        memory grows with the greatest of them (8 to 16 bytes each). It does not grow with the length of the stream.
    entries : int
        Size of the cache in answers, >= 1.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    A request is a hit when fewer than `entries` other things were asked since the same thing was asked last. So within
    a short part of the stream almost all are decided by the time of their last request alone: those later than what
    the part's end drops are hits, those earlier than what its start had dropped are misses. Only the few between are
    played one by one.

    Examples
    --------
    Two answers fit. Which of the requests for 0, 1, 0, 2, 1 and 0 are hits?

    >>> lru_replay([np.array([0, 1, 0, 2, 1, 0])], entries=2)
    ReplayResult(requests=6, hits=1)
    """
    checks.integer("entries", entries, at_least=1)
    small = entries < SMALL_ENTRIES
    cache = _SequentialLru(entries) if small else _BatchLru(entries)
    step = BATCH_REQUESTS if small else min(BATCH_REQUESTS, entries)
    requests = hits = 0
    for keys in stream:
        part = np.asarray(keys)
        whole = part.ndim == 1 and part.dtype.kind in "iu"
        if not whole or (part.size and not 0 <= part.min() <= part.max() <= MAX_THING):
            raise InvalidValueError("stream", "arrays of whole numbers from 0 to 10^9", part)
        for start in range(0, len(part), step):
            hits += cache.hits(part[start : start + step].astype(np.int64))
        requests += len(part)
    return ReplayResult(requests, hits)


class _SequentialLru:
    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._held: OrderedDict[int, None] = OrderedDict()

    def hits(self, keys: NDArray[np.int64]) -> int:
        """Hits of some further requests."""
        held, refresh, hits = self._held, self._held.move_to_end, 0
        for key in keys.tolist():
            if key in held:
                refresh(key)
                hits += 1
            else:
                held[key] = None
                if len(held) > self._entries:
                    held.popitem(last=False)
        return hits


class _BatchLru:
    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._now = 0
        #: When each thing was asked last, and since when a thing must have been asked to be held.
        self._last = np.full(1024, -1, dtype=np.int64)
        self._oldest = 0
        self._held: list[NDArray[np.int64]] = []
        self._count = 0

    def hits(self, keys: NDArray[np.int64]) -> int:
        """Hits of some further requests, at most as many as the cache has entries."""
        size, bits = len(keys), len(keys).bit_length()
        self._grow(int(keys.max()) + 1)
        # Sorted by thing and then by place; one sort of packed numbers takes a fifth of the time of an argsort.
        packed = np.sort(keys << bits | np.arange(size))
        things, places = packed >> bits, packed & ((1 << bits) - 1)
        begins = np.flatnonzero(np.concatenate([[True], things[1:] != things[:-1]]))
        asked, first = things[begins], places[begins]
        before = self._last[asked]
        self._last[asked] = self._now + places[np.append(begins[1:], size) - 1]
        self._now += size
        known = before >= self._oldest
        missing = asked[~known]
        # Asked twice within the part: fewer other things between than the cache holds.
        sure = size - len(missing)
        self._held.append(missing)
        self._count += len(missing)
        over = self._count - self._entries
        if over <= 0:
            return sure
        held = np.concatenate(self._held)
        last = self._last[held]
        oldest = np.partition(last, over)[over]
        kept = last >= oldest
        between = known & (before < oldest)
        lost = 0
        if between.any():
            # Who may be dropped, in the order of it: those that were dropped, and those asked again meanwhile.
            queue = np.sort(np.concatenate([last[~kept], before[between]]))
            order = np.argsort(first[between])
            turn = np.searchsorted(queue, before[between][order])
            misses = np.searchsorted(np.sort(first[~known]), first[between][order])
            free = self._entries - (self._count - len(missing))
            lost = _lost(turn.tolist(), (misses - free).tolist())
        self._held, self._count, self._oldest = [held[kept]], self._entries, int(oldest)
        return sure - lost

    def _grow(self, size: int) -> None:
        if size > len(self._last):
            grown = np.full(max(size, 2 * len(self._last)), -1, dtype=np.int64)
            grown[: len(self._last)] = self._last
            self._last = grown


def _lost(turns: list[int], dropped: list[int]) -> int:
    """How many things are dropped before they are asked again.

    Each is the one whose turn to be dropped comes after `turns` others, and is asked when this many were `dropped` for
    things that had not been held. One that is lost drops a further one; one that is asked in time is passed over.
    """
    lost = passed = 0
    saved: list[int] = []
    for turn, count in zip(turns, dropped, strict=True):
        reached = count + lost + passed
        while saved and saved[0] < reached:
            heappop(saved)
            passed += 1
            reached += 1
        if turn < reached:
            lost += 1
        else:
            heappush(saved, turn)
    return lost
