"""Requests drawn by Zipf's law, any number of them for any number of things, in memory that grows with neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from costlab._internal import checks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from costlab.cache.economics import ZipfTraffic

__all__ = ["zipf_requests"]


def zipf_requests(
    rng: np.random.Generator, traffic: ZipfTraffic, requests: int, chunk: int = 1 << 16
) -> Iterator[NDArray[np.int64]]:
    """Independent requests for things whose popularity falls as a power of their rank, in parts.

    :func:`costlab.synthetic.zipf_stream` gives as many at once. For a million things it takes several times
    as long, and its memory grows.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    traffic : ZipfTraffic
        How many things there are, and the exponent of their popularity.
    requests : int
        Length of the stream, >= 0.
    chunk : int
        Length of a part, >= 1; the last may be shorter.

    Yields
    ------
    numpy.ndarray
        Ranks from 0, the most popular.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    References
    ----------
    Hoermann and Derflinger (1996), Rejection-inversion to generate variates from monotone discrete distributions,
    ACM TOMACS 6(3), https://doi.org/10.1145/235025.235029

    Examples
    --------
    How often is the most popular of a billion things asked, with exponent 1?

    >>> from costlab.cache.economics import ZipfTraffic
    >>> parts = zipf_requests(np.random.default_rng(4), ZipfTraffic.of(10**9, 1.0), requests=100_000)
    >>> round(sum(int((ranks == 0).sum()) for ranks in parts) / 100_000, 3)
    0.046
    """
    checks.integer("requests", requests)
    checks.integer("chunk", chunk, at_least=1)
    return _parts(rng, traffic.unique, traffic.zipf, requests, chunk)


def _parts(rng: np.random.Generator, unique: int, s: float, requests: int, chunk: int) -> Iterator[NDArray[np.int64]]:
    # The sum over the ranks is bounded by the area under x**-s, in which points are drawn by inversion. A rank is kept
    # if its point fell into the rank's own part of the area, which all but a few do.
    def area(x: Any) -> Any:
        return np.log(x) if s == 1 else np.expm1((1 - s) * np.log(x)) / (1 - s)

    def inverse(y: Any) -> Any:
        return np.exp(y) if s == 1 else np.exp(np.log1p(np.maximum((1 - s) * y, -1 + 1e-15)) / (1 - s))

    low, high = float(area(1.5)) - 1.0, float(area(unique + 0.5))
    near = 2.0 - float(inverse(area(2.5) - 2.0**-s))
    kept = np.empty(0, dtype=np.int64)
    while requests:
        size = min(chunk, requests)
        while len(kept) < size:
            y = high + rng.random(chunk) * (low - high)
            x = inverse(y)
            rank = np.clip(np.rint(x), 1, unique)
            keep = rank - x <= near
            unsure = np.flatnonzero(~keep)
            keep[unsure] = y[unsure] >= area(rank[unsure] + 0.5) - rank[unsure] ** -s
            kept = np.concatenate([kept, rank[keep].astype(np.int64) - 1])
        yield kept[:size]
        kept, requests = kept[size:], requests - size
