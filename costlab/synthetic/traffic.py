"""Seeded streams of requests: what is asked, in which words, and when."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["arrival_times", "paraphrase_stream", "reworded", "zipf_stream"]

#: Laws of the time between two requests: both have any coefficient of variation that bursts need.
LAWS: Final = ("gamma", "hyperexponential")


def zipf_stream(rng: np.random.Generator, *, unique: int, zipf: float, requests: int) -> NDArray[np.int64]:
    """Independent requests for things whose popularity falls as a power of their rank.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    unique : int
        Different things, >= 1.
    zipf : float
        Exponent of the popularity, >= 0; see :class:`costlab.cache.economics.ZipfTraffic`.
    requests : int
        Length of the stream, >= 0.

    Returns
    -------
    numpy.ndarray, shape (requests,)
        Ranks from 0, the most popular, to ``unique - 1``.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

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


def paraphrase_stream(
    rng: np.random.Generator, meanings: Sequence[str], *, zipf: float, requests: int
) -> NDArray[np.int64]:
    """A stream of queries in which meanings are popular by Zipf's law, and each comes in any of its wordings.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness. It also decides which meaning is popular: not always the first of the list.
    meanings : sequence of str
        What each query means, its intent or its paraphrase group: queries of one meaning are equally likely.
    zipf : float
        Exponent of the popularity of meanings, >= 0.
    requests : int
        Length of the stream, >= 0.

    Returns
    -------
    numpy.ndarray, shape (requests,)
        Positions in `meanings`, so in the list of queries that it belongs to.

    Raises
    ------
    InvalidValueError
        If there are no meanings, or a number is outside its domain.

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


def arrival_times(
    rng: np.random.Generator,
    *,
    requests_per_s: float,
    duration_s: float,
    cv: float = 1.0,
    law: str = "gamma",
    diurnal_fraction: float = 0.0,
    peak_s: float = 14 * SECONDS_PER_HOUR,
) -> NDArray[np.float64]:
    r"""When requests arrive: in bursts, and more of them by day than by night.

    Gaps are independent with mean 1 and coefficient of variation `cv` in a time that runs as fast as requests come,

    .. math:: \lambda(t) = \bar\lambda \left[1 + a \cos\frac{2\pi (t - t_\text{peak})}{24\,\text{h}}\right]

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    requests_per_s : float
        Mean rate over a day, > 0.
    duration_s : float
        Length of the stream in seconds, > 0; it begins at midnight.
    cv : float
        Standard deviation of the gaps over their mean, > 0: 1 is a Poisson stream, more comes in bursts, less is
        steadier.
    law : {'gamma', 'hyperexponential'}
        The gaps' distribution. A Gamma law makes bursts of requests that are almost simultaneous. The hyper-exponential
        one, for ``cv >= 1``, mixes a busy and a quiet Poisson stream with equal shares of the time.
    diurnal_fraction : float
        Swing of the rate over a day, a, in [0, 1): 0.5 has three times as many requests at the peak as at the bottom.
    peak_s : float
        Time of the peak in seconds after midnight.

    Returns
    -------
    numpy.ndarray
        Seconds from the beginning, ascending; about ``requests_per_s * duration_s`` of them.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    UnknownNameError
        If the law is neither.

    Examples
    --------
    Six requests a second with the gaps of a code assistant: how many come in the busiest of 600 seconds?

    >>> times = arrival_times(np.random.default_rng(4), requests_per_s=6, duration_s=600, cv=13)
    >>> int(np.bincount(times.astype(int)).max()) > 100
    True
    """
    rate = checks.positive("requests_per_s", requests_per_s)
    checks.positive("duration_s", duration_s)
    swing = checks.fraction("diurnal_fraction", diurnal_fraction, one=False)
    checks.finite("peak_s", peak_s)
    grid = np.linspace(0.0, duration_s, max(2, int(duration_s / 60) + 1))
    angle = 2 * np.pi / SECONDS_PER_DAY
    # The integral of the rate, in requests; where it reaches k, the k-th request comes.
    expected = rate * (grid + swing / angle * (np.sin(angle * (grid - peak_s)) + np.sin(angle * peak_s)))
    reached: list[NDArray[np.float64]] = []
    total = 0.0
    while total < expected[-1]:
        gaps = _gaps(rng, law, cv, int(expected[-1] - total) + 100)
        reached.append(total + np.cumsum(gaps))
        total = float(reached[-1][-1])
    counts = np.concatenate(reached)
    return np.asarray(np.interp(counts[counts < expected[-1]], expected, grid))


def _gaps(rng: np.random.Generator, law: str, cv: float, size: int) -> NDArray[np.float64]:
    checks.one_of("law", law, LAWS)
    square = checks.positive("cv", cv) ** 2
    if law == "gamma":
        return rng.gamma(1 / square, square, size)
    if cv < 1:
        raise InvalidValueError("cv", "a number >= 1 for hyper-exponential gaps", cv)
    busy = 0.5 * (1 + np.sqrt((square - 1) / (square + 1)))  # share of the gaps; balanced means
    mean = np.where(rng.random(size) < busy, 0.5 / busy, 0.5 / (1 - busy))
    return np.asarray(mean * rng.exponential(size=size))


_GREETINGS: Final = ("hi, ", "hello, ", "hey ", "Good morning. ", "quick question: ")
_THANKS: Final = (" thanks", " Thank you!", " pls", " please", " thx")


def reworded(rng: np.random.Generator, text: str) -> str:
    """The same query as somebody else might have typed it: other case or punctuation, a greeting, thanks, a slip.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    text : str
        The query.

    Returns
    -------
    str
        One to three such changes; the words stay, but for one that may lose or swap letters.

    Notes
    -----
    Made by a rule, and meant for traffic: real streams repeat a question in nearly the same words far more often than
    the support queries do, whose paraphrases share few. Nothing that such a rule made is in the data set.

    Examples
    --------
    >>> reworded(np.random.default_rng(5), "How do I turn on two-step sign-in?")
    'good morning. how do i turn on two-step sign-in?'
    """
    changes: tuple[Any, ...] = (_lower, _bare, _greet, _thank, _slip)
    for change in rng.choice(len(changes), size=int(rng.integers(1, 4)), replace=False):
        text = changes[int(change)](rng, text)
    return text


def _lower(_: np.random.Generator, text: str) -> str:
    return text.lower()


def _bare(_: np.random.Generator, text: str) -> str:
    return text.rstrip(".?!").replace(",", "")


def _greet(rng: np.random.Generator, text: str) -> str:
    return _GREETINGS[int(rng.integers(len(_GREETINGS)))] + text


def _thank(rng: np.random.Generator, text: str) -> str:
    return text + _THANKS[int(rng.integers(len(_THANKS)))]


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
