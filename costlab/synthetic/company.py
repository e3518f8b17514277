"""A company's day: five endpoints, who asks them what and when, and a client that runs away at two. All is made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.synthetic.arrivals import hourly_arrivals
from costlab.synthetic.contents import INPUT_TOKENS, OUTPUT_TOKENS, token_lengths, zipf_stream
from costlab.synthetic.service import RUNAWAY_S
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ENDPOINTS", "QUESTIONS", "REQUESTS", "RUNAWAY_CLIENT", "Endpoint", "RequestLog", "endpoint", "request_log"]

#: Requests of an ordinary day.
REQUESTS: Final = 1_000_000

#: Whose agent repeats itself from 14:00 to midnight, each time with its whole history: requests a second, and tokens
#: of history that each drags along.
RUNAWAY_CLIENT: Final = "nightly-agent"
RUNAWAY_REQUESTS_PER_S: Final = 2.0
RUNAWAY_TOKENS: Final = 40_000

#: Support questions that the tiers have never seen, in the recording.
QUESTIONS: Final = 936

#: When the product texts are written, in hours: by night.
NIGHT_HOURS: Final = 6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the company serves under one name.

    Attributes
    ----------
    name, what : str
        Name, and what it does.
    requests : int
        On an ordinary day of a million requests.
    input_tokens, output_tokens : float
        Median tokens of a request, without the prefix, and of its answer.
    clients : mapping of str to float
        Who asks, with the share of the requests.
    quality_floor : float
        Least quality, in 0..1: share of right answers for ``support``, MMLU of the model for the others. For support
        it is today's on the same questions, less this many.
    latency_limit_s : float
        Limit of the 95th percentile from request to answer, in seconds.
    repeated_fraction : float
        Share of the requests whose answer may serve somebody else; the others carry a name or an order number.
    texts : int
        How many different texts the repeated ones are drawn from, the k-th in proportion to 1/k; for ``support``, the
        recorded questions, each as likely as the others.
    prefix_tokens : int
        How many tokens at the beginning of every request are the same.
    private : bool
        Whether the requests may not leave the company.
    max_ttft_s, max_inter_token_s : float
        What a model of one's own must keep to stay within the latency limit.
    """

    name: str
    what: str
    requests: int
    input_tokens: float
    output_tokens: float
    clients: Mapping[str, float] = field(hash=False)
    quality_floor: float
    latency_limit_s: float
    repeated_fraction: float = 0.0
    texts: int = 1
    prefix_tokens: int = 0
    private: bool = False
    max_ttft_s: float = 1.0
    max_inter_token_s: float = 0.05


#: In the order of today's bill.
ENDPOINTS: Final = (
    Endpoint(
        name="support",
        what="says what a customer's question is about",
        requests=50_000,
        input_tokens=400,
        output_tokens=20,
        clients={"web": 0.5, "app": 0.3, "mail": 0.2},
        quality_floor=0.01,
        latency_limit_s=0.6,
        repeated_fraction=0.4,
    ),
    Endpoint(
        name="texts",
        what="writes product texts, overnight",
        requests=80_000,
        input_tokens=1_000,
        output_tokens=550,
        clients={"catalogue": 0.7, "partners": 0.3},
        quality_floor=0.65,
        latency_limit_s=86_400.0,
        max_ttft_s=10.0,
        max_inter_token_s=0.2,
    ),
    Endpoint(
        name="search",
        what="rewrites the words that people search for; may not leave the company",
        requests=350_000,
        input_tokens=200,
        output_tokens=30,
        clients={"shop": 0.8, "market": 0.2},
        quality_floor=0.67,
        latency_limit_s=4.0,
        repeated_fraction=0.6,
        texts=200_000,
        private=True,
        max_ttft_s=0.5,
        max_inter_token_s=0.04,
    ),
    Endpoint(
        name="agents",
        what="agents that write and review code",
        requests=20_000,
        input_tokens=3_500,
        output_tokens=500,
        clients={"platform": 0.4, "payments": 0.3, "data": 0.25, RUNAWAY_CLIENT: 0.05},
        quality_floor=0.88,
        latency_limit_s=20.0,
        prefix_tokens=5_000,
    ),
    Endpoint(
        name="tags",
        what="tags tickets and reviews",
        requests=500_000,
        input_tokens=350,
        output_tokens=8,
        clients={"tickets": 0.6, "reviews": 0.4},
        quality_floor=0.80,
        latency_limit_s=5.0,
        repeated_fraction=0.3,
        texts=50_000,
    ),
)


def endpoint(name: str) -> Endpoint:
    """The endpoint of that name.

    Raises
    ------
    UnknownNameError
        If there is none; the message suggests the nearest.
    """
    known = {about.name: about for about in ENDPOINTS}
    return known[checks.one_of("endpoint", name, known)]


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
        return np.flatnonzero(self.endpoint == [about.name for about in ENDPOINTS].index(name))


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
    clients = tuple(name for about in ENDPOINTS for name in about.clients)
    parts = [_ordinary(rng, place, round(about.requests * scale), clients) for place, about in enumerate(ENDPOINTS)]
    parts.append(_runaway(rng, scale, clients))
    names = [column.name for column in fields(RequestLog) if column.name != "clients"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(columns["time_s"], kind="stable")
    return RequestLog(**{name: column[order] for name, column in columns.items()}, clients=clients)


def _ordinary(rng: np.random.Generator, place: int, requests: int, clients: tuple[str, ...]) -> RequestLog:
    about = ENDPOINTS[place]
    if about.name == "texts":
        time_s = rng.uniform(0, NIGHT_HOURS * SECONDS_PER_HOUR, requests)
    else:
        time_s = hourly_arrivals(rng, requests) * SECONDS_PER_HOUR
    first = clients.index(next(iter(about.clients)))
    client = first + rng.choice(len(about.clients), requests, p=list(about.clients.values()))
    question = np.full(requests, -1)
    if about.name == "support":
        asked = question = rng.integers(0, QUESTIONS, requests)
    else:
        asked = zipf_stream(rng, unique=about.texts, zipf=1.0, requests=requests)
    text = np.where(rng.random(requests) < about.repeated_fraction, asked, -1)
    tokens = _tokens(rng, about, about.prefix_tokens, requests)
    return RequestLog(
        time_s, np.full(requests, place), client, text, question, *tokens, np.zeros(requests, dtype=bool), clients
    )


def _runaway(rng: np.random.Generator, scale: float, clients: tuple[str, ...]) -> RequestLog:
    place, about = next((k, about) for k, about in enumerate(ENDPOINTS) if RUNAWAY_CLIENT in about.clients)
    requests = round(RUNAWAY_REQUESTS_PER_S * (SECONDS_PER_DAY - RUNAWAY_S) * scale)
    time_s = rng.uniform(RUNAWAY_S, SECONDS_PER_DAY, requests)
    client, nothing = np.full(requests, clients.index(RUNAWAY_CLIENT)), np.full(requests, -1)
    tokens = _tokens(rng, about, RUNAWAY_TOKENS, requests)
    return RequestLog(
        time_s, np.full(requests, place), client, nothing, nothing, *tokens, np.ones(requests, dtype=bool), clients
    )


def _tokens(
    rng: np.random.Generator, about: Endpoint, history: int, requests: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens in and out: medians of the endpoint's own, spread as in the conversations of the Azure trace."""
    read = history + token_lengths(rng, about.input_tokens, INPUT_TOKENS[1], requests)
    return read, token_lengths(rng, about.output_tokens, OUTPUT_TOKENS[1], requests)
