"""What is asked: how popular it is, in which words, and how many tokens it and its answer have."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from costlab.cache.economics import ZipfTraffic

#: Median and log-spread of tokens in and out, from the Azure LLM trace of conversations: p50 and p99 are 1,020 and
#: 4,142 in, 129 and 601 out.
INPUT_TOKENS: Final = (1020.0, 0.602)
OUTPUT_TOKENS: Final = (129.0, 0.661)

#: At the support desk: exponent of the popularity of meanings, and the share of requests that are typed again.
SUPPORT_ZIPF: Final = 0.9
RETYPED_FRACTION: Final = 0.8


def token_lengths(rng: np.random.Generator, median: float, log_spread: float, requests: int) -> NDArray[np.int64]:
    """Numbers of tokens by a log-normal law, each at least 1; shape (requests,)."""
    return np.maximum(1, rng.lognormal(np.log(median), log_spread, requests)).astype(np.int64)


def zipf_stream(rng: np.random.Generator, *, unique: int, zipf: float, requests: int) -> NDArray[np.int64]:
    """Independent requests for things whose popularity falls as a power of their rank, 0 being the most popular.

    Parameters
    ----------
    unique, requests : int
        Different things, >= 1, and length of the stream, >= 0.
    zipf : float
        Exponent of the popularity, >= 0; see :class:`costlab.cache.economics.ZipfTraffic`.

    Examples
    --------
    A thousand requests for a hundred things: how often is the most popular asked?

    >>> stream = zipf_stream(np.random.default_rng(4), unique=100, zipf=1.0, requests=1000)
    >>> int((stream == 0).sum())
    181
    """
    checks.integer("unique", unique, at_least=1)
    checks.integer("requests", requests)
    weights = np.arange(1, unique + 1, dtype=np.float64) ** -checks.non_negative("zipf", zipf)
    reached = np.cumsum(weights)
    ranks = np.searchsorted(reached, rng.random(requests) * reached[-1], side="right")
    return np.asarray(ranks, dtype=np.int64)


def zipf_requests(
    rng: np.random.Generator, traffic: ZipfTraffic, requests: int, chunk: int = 1 << 16
) -> Iterator[NDArray[np.int64]]:
    """Ranks of independent requests for things whose popularity falls as a power of their rank, in parts.

    :func:`zipf_stream` gives as many at once; for a million things it takes several times as long, and more memory.

    Parameters
    ----------
    traffic : ZipfTraffic
        How many things there are, and the exponent of their popularity.
    requests, chunk : int
        Length of the stream, >= 0, and of a part, >= 1; the last may be shorter.

    References
    ----------
    Hoermann and Derflinger (1996), Rejection-inversion to generate variates from monotone discrete distributions,
    ACM TOMACS 6(3), https://doi.org/10.1145/235025.235029

    Examples
    --------
    How often is the most popular of a billion things asked, with exponent 1?

    >>> from costlab.cache.economics import ZipfTraffic
    >>> parts = zipf_requests(np.random.default_rng(4), ZipfTraffic(10**9, 1.0), requests=100_000)
    >>> round(sum(int((ranks == 0).sum()) for ranks in parts) / 100_000, 3)
    0.046
    """
    checks.integer("requests", requests)
    checks.integer("chunk", chunk, at_least=1)
    return _parts(rng, traffic.unique, traffic.zipf, requests, chunk)


def _parts(rng: np.random.Generator, unique: int, s: float, requests: int, chunk: int) -> Iterator[NDArray[np.int64]]:
    # The sum over the ranks is bounded by the area under x**-s, in which points are drawn by inversion. A rank is kept
    # if its point fell into the rank's own part of the area, which all but a few do.
    def area(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(x) if s == 1 else np.expm1((1 - s) * np.log(x)) / (1 - s)

    def inverse(y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(y) if s == 1 else np.exp(np.log1p(np.maximum((1 - s) * y, -1 + 1e-15)) / (1 - s))

    low, high = float(area(np.asarray(1.5))) - 1.0, float(area(np.asarray(unique + 0.5)))
    near = 2.0 - float(inverse(area(np.asarray(2.5)) - 2.0**-s))
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


def paraphrase_stream(
    rng: np.random.Generator, meanings: Sequence[str], *, zipf: float, requests: int
) -> NDArray[np.int64]:
    """A stream of places in `meanings` that are popular by Zipf's law, and each comes in any of its wordings.

    Parameters
    ----------
    rng : numpy.random.Generator
        It also decides which meaning is popular: not always the first of the list.
    meanings : sequence of str
        What each query means, its intent or its paraphrase group: queries of one meaning are equally likely.
    zipf, requests : float, int
        Exponent of the popularity of meanings, and length of the stream, >= 0.

    Examples
    --------
    >>> from costlab.datasets import support_queries
    >>> queries = support_queries().split("test", in_scope=True)
    >>> stream = paraphrase_stream(np.random.default_rng(4), [q.intent for q in queries], zipf=0.9, requests=3)
    >>> [queries[position].intent for position in stream]
    ['move_two_step_to_new_phone', 'give_edit_access', 'upgrade_to_family']
    """
    if not meanings:
        raise InvalidValueError("meanings", "not empty", meanings)
    wordings: dict[str, list[int]] = defaultdict(list)
    for position, meaning in enumerate(meanings):
        wordings[meaning].append(position)
    by_rank = [np.array(wordings[meaning]) for meaning in rng.permutation(sorted(wordings))]
    ranks = zipf_stream(rng, unique=len(by_rank), zipf=zipf, requests=requests)
    sizes = np.array([len(positions) for positions in by_rank])
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    chosen = first[ranks] + rng.integers(sizes[ranks])
    return np.concatenate(by_rank)[chosen].astype(np.int64)


def reworded(rng: np.random.Generator, text: str) -> str:
    """The same query as someone else might have typed it: other case or punctuation, a greeting, thanks, a slip.

    One to three such changes; the words stay, but for one that may lose or swap letters.

    Made by a rule, and meant for traffic: real streams repeat a question in nearly the same words far more often than
    the support queries do, whose paraphrases share few. Nothing that such a rule made is in the data set.

    Examples
    --------
    >>> reworded(np.random.default_rng(5), "How do I turn on two-step sign-in?")
    'good morning. how do i turn on two-step sign-in?'
    """
    for change in rng.choice(len(_CHANGES), size=int(rng.integers(1, 4)), replace=False):
        text = _CHANGES[int(change)](rng, text)
    return text


def _slip(rng: np.random.Generator, text: str) -> str:
    """One word of six letters or more loses a letter or has two swapped; its first and last letter stay."""
    words = text.split(" ")
    long = [k for k, word in enumerate(words) if len(word) >= 6 and word.isalpha()]
    if not long:
        return text
    k = long[int(rng.integers(len(long)))]
    word, at = words[k], int(rng.integers(1, len(words[k]) - 2))
    words[k] = word[:at] + (word[at + 1 :] if rng.random() < 0.5 else word[at + 1] + word[at] + word[at + 2 :])
    return " ".join(words)


_GREETINGS: Final = ("hi, ", "hello, ", "hey ", "Good morning. ", "quick question: ")
_THANKS: Final = (" thanks", " Thank you!", " pls", " please", " thx")
_CHANGES: Final[tuple[Callable[[np.random.Generator, str], str], ...]] = (
    lambda _, text: text.lower(),
    lambda _, text: text.rstrip(".?!").replace(",", ""),
    lambda rng, text: _GREETINGS[int(rng.integers(len(_GREETINGS)))] + text,
    lambda rng, text: text + _THANKS[int(rng.integers(len(_THANKS)))],
    _slip,
)
