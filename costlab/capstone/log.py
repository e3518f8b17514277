"""The company's day: a million requests, who asks what and when, and a client that runs away at two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from costlab._internal import checks
from costlab.capstone.company import ENDPOINTS, REQUESTS, RUNAWAY_CLIENT, Endpoint
from costlab.synthetic.sample_log import INPUT_TOKENS, OUTPUT_TOKENS
from costlab.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR
from costlab.workload import Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RequestLog", "request_log"]

#: Log-spread of tokens around the median, in and out, as in the conversations of the Azure trace.
SPREAD: Final = (INPUT_TOKENS[1], OUTPUT_TOKENS[1])

#: Support questions that the tiers have never seen, in the recording.
QUESTIONS: Final = 936

#: The runaway: requests a second, the first second of the day, and tokens of history that each drags along.
RUNAWAY_REQUESTS_PER_S: Final = 2.0
RUNAWAY_S: Final = 14 * SECONDS_PER_HOUR
RUNAWAY_TOKENS: Final = 40_000

#: When the product texts are written, in hours: by night.
NIGHT_HOURS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class RequestLog:
    """Requests of one day, in the order of time; arrays of shape (requests,).

    Attributes
    ----------
    time_s : numpy.ndarray of float
        Seconds after midnight.
    endpoint, client : numpy.ndarray of int
        Places in ``ENDPOINTS`` and in `clients`.
    text : numpy.ndarray of int
        Requests of an endpoint with the same number ask the same, word for word; -1 where no answer may serve
        somebody else.
    question : numpy.ndarray of int
        Which of the recorded support questions it is; -1 at other endpoints.
    input_tokens, output_tokens : numpy.ndarray of int
        Tokens.
    runaway : numpy.ndarray of bool
        Whether it is one of the runaway client's repetitions.
    clients : tuple of str
        Names.
    """

    time_s: NDArray[np.float64]
    endpoint: NDArray[np.int64]
    client: NDArray[np.int64]
    text: NDArray[np.int64]
    question: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    runaway: NDArray[np.bool_]
    clients: tuple[str, ...]

    def __len__(self) -> int:
        """Requests, those of the runaway client included."""
        return len(self.time_s)

    def of(self, name: str) -> NDArray[np.intp]:
        """The places of the requests to an endpoint."""
        return np.flatnonzero(self.endpoint == [one.name for one in ENDPOINTS].index(name))


def request_log(seed: int = 10, requests: int = REQUESTS) -> RequestLog:
    """The company's day.

    Parameters
    ----------
    seed : int
        The same seed gives the same day. Scores are compared at the default.
    requests : int
        Ordinary requests, >= 1,000; the runaway client's come on top, in proportion.

    Returns
    -------
    RequestLog

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    Volumes, clients and limits are made up. Token lengths spread as in the Azure trace, hours follow a day whose peak
    is twice its mean, repeated texts follow Zipf's law. Lengths are drawn anew for each request, repeated ones
    included. Support questions are those of lesson 7's third part, with the answers that its tiers gave, each as
    likely as the others.

    Examples
    --------
    How many requests of a day of 10,000 does the runaway client send, and how large are they?

    >>> log = request_log(requests=10_000)
    >>> int(log.runaway.sum()), int(np.median(log.input_tokens[log.runaway])) > 30_000
    (720, True)
    """
    checks.integer("seed", seed)
    scale = checks.integer("requests", requests, at_least=1000) / REQUESTS
    rng = np.random.default_rng(seed)
    clients = tuple(name for one in ENDPOINTS for name in one.clients)
    parts = [_requests(rng, place, one, round(one.requests * scale), clients) for place, one in enumerate(ENDPOINTS)]
    parts.append(_runaway(rng, scale, clients))
    whole = _Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.argsort(whole.time_s, kind="stable")
    return RequestLog(**{name: column[order] for name, column in whole._asdict().items()}, clients=clients)


class _Columns(NamedTuple):
    time_s: NDArray[Any]
    endpoint: NDArray[Any]
    client: NDArray[Any]
    text: NDArray[Any]
    question: NDArray[Any]
    input_tokens: NDArray[Any]
    output_tokens: NDArray[Any]
    runaway: NDArray[Any]


def _requests(rng: np.random.Generator, place: int, one: Endpoint, count: int, clients: tuple[str, ...]) -> _Columns:
    time_s = rng.uniform(0, NIGHT_HOURS * SECONDS_PER_HOUR, count) if one.name == "texts" else _times(rng, count)
    first = clients.index(next(iter(one.clients)))
    client = first + rng.choice(len(one.clients), count, p=list(one.clients.values()))
    question = np.full(count, -1)
    if one.name == "support":
        asked = question = rng.integers(0, QUESTIONS, count)
    else:
        asked = _zipf(rng, one.texts, count)
    text = np.where(rng.random(count) < one.repeated_fraction, asked, -1)
    tokens_in = _tokens(rng, one.input_tokens, SPREAD[0], count) + one.prefix_tokens
    tokens_out = _tokens(rng, one.output_tokens, SPREAD[1], count)
    looped = np.zeros(count, dtype=bool)
    return _Columns(time_s, np.full(count, place), client, text, question, tokens_in, tokens_out, looped)


def _runaway(rng: np.random.Generator, scale: float, clients: tuple[str, ...]) -> _Columns:
    agents = next(place for place, one in enumerate(ENDPOINTS) if RUNAWAY_CLIENT in one.clients)
    count = round(RUNAWAY_REQUESTS_PER_S * (SECONDS_PER_DAY - RUNAWAY_S) * scale)
    time_s = rng.uniform(RUNAWAY_S, SECONDS_PER_DAY, count)
    nothing = np.full(count, -1)
    tokens_in = RUNAWAY_TOKENS + _tokens(rng, ENDPOINTS[agents].input_tokens, SPREAD[0], count)
    tokens_out = _tokens(rng, ENDPOINTS[agents].output_tokens, SPREAD[1], count)
    client = np.full(count, clients.index(RUNAWAY_CLIENT))
    looped = np.ones(count, dtype=bool)
    return _Columns(time_s, np.full(count, agents), client, nothing, nothing, tokens_in, tokens_out, looped)


def _times(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    curve = np.array(Workload(1.0, input_tokens=1.0, peak_to_mean=2.0).hourly_requests_per_s())
    per_hour = rng.multinomial(count, curve / curve.sum())
    hours: NDArray[np.float64] = np.repeat(np.arange(HOURS_PER_DAY), per_hour) + rng.random(count)
    return hours * SECONDS_PER_HOUR


def _tokens(rng: np.random.Generator, median: float, spread: float, count: int) -> NDArray[np.int64]:
    return np.maximum(1, rng.lognormal(np.log(median), spread, count)).astype(np.int64)


def _zipf(rng: np.random.Generator, texts: int, count: int) -> NDArray[np.int64]:
    """Numbers below `texts`, the k-th in proportion to 1/k."""
    shares = np.cumsum(1.0 / np.arange(1, texts + 1))
    drawn: NDArray[np.int64] = np.searchsorted(shares, rng.random(count) * shares[-1]).astype(np.int64)
    return drawn
