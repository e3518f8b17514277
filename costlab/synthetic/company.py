"""A company's day: five endpoints, who asks them what and when, and a client that runs away at two. All is made up."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.synthetic.arrivals import hourly_arrivals
from costlab.synthetic.contents import INPUT_TOKENS, OUTPUT_TOKENS, token_lengths, zipf_stream
from costlab.synthetic.service import RUNAWAY_S
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Requests of an ordinary day.
REQUESTS: Final = 1_000_000

#: Whose agent repeats itself from 14:00 to midnight: requests a second, and tokens of history that each drags along.
RUNAWAY_CLIENT: Final = "nightly-agent"
RUNAWAY_REQUESTS_PER_S: Final = 2.0
RUNAWAY_TOKENS: Final = 40_000

#: Support questions that the tiers have never seen, in the recording.
QUESTIONS: Final = 936

#: When the product texts are written, in seconds after midnight: by night.
NIGHT_S: Final = 6 * SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the company serves under one name.

    Attributes
    ----------
    name, what, requests : str, str, int
        Name, what it does, and how often on an ordinary day of a million requests.
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
        Share of the requests whose answer may serve someone else; the others carry a name or an order number.
    texts : int
        How many different texts the repeated ones are drawn from, the k-th in proportion to 1/k; for ``support``, the
        recorded questions, each as likely as the others.
    prefix_tokens, prefixes : int
        How many tokens at the beginning of a request are shared with others, and how many different such beginnings
        there are, each as likely as the others.
    can_wait : tuple of str
        The clients that need their answers within a day only, not within the latency limit.
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
    prefixes: int = 1
    can_wait: tuple[str, ...] = ()
    private: bool = False
    max_ttft_s: float = 1.0
    max_inter_token_s: float = 0.05


_TABLES: Final = tomllib.loads((files("costlab.synthetic") / "endpoints.toml").read_text(encoding="utf-8"))

#: In the order of today's bill.
ENDPOINTS: Final = tuple(
    Endpoint(name, **{**table, "can_wait": tuple(table.get("can_wait", ()))}) for name, table in _TABLES.items()
)


def endpoint(name: str) -> Endpoint:
    """The endpoint of that name; of an unknown one the error suggests the nearest."""
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
        someone else.
    question : numpy.ndarray of int
        Which of the recorded support questions it is; -1 at other endpoints.
    prefix : numpy.ndarray of int
        Requests of an endpoint with the same number begin with the same `prefix_tokens`.
    input_tokens, output_tokens, runaway : numpy.ndarray of int, of bool
        Tokens, and whether it is one of the runaway client's repetitions.
    clients : tuple of str
        Their names.
    """

    time_s: NDArray[np.float64]
    endpoint: NDArray[np.int64]
    client: NDArray[np.int64]
    text: NDArray[np.int64]
    question: NDArray[np.int64]
    prefix: NDArray[np.int64]
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

    Token lengths spread as in the Azure trace, hours follow a day whose peak is twice its mean, repeated texts follow
    Zipf's law. Lengths are drawn for each request, repeated ones included. Support questions are those of lesson
    7's third part, with the answers that its tiers gave, each as likely as the others.

    Parameters
    ----------
    seed, requests : int
        The same seed gives the same day, >= 0; scores are compared at the default. Ordinary requests, >= 1,000; the
        runaway client's come on top, in proportion.

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
    # By a generator of its own, so that everything else is drawn as if no endpoint had several prefixes.
    kinds = np.array([about.prefixes for about in ENDPOINTS])[columns["endpoint"]]
    columns["prefix"] = np.random.default_rng([seed, 1]).integers(0, kinds)
    order = np.argsort(columns["time_s"], kind="stable")
    return RequestLog(**{name: column[order] for name, column in columns.items()}, clients=clients)


def _ordinary(rng: np.random.Generator, place: int, count: int, clients: tuple[str, ...]) -> RequestLog:
    about = ENDPOINTS[place]
    by_night = about.name == "texts"
    time_s = rng.uniform(0, NIGHT_S, count) if by_night else hourly_arrivals(rng, count) * SECONDS_PER_HOUR
    first = clients.index(next(iter(about.clients)))
    client = first + rng.choice(len(about.clients), count, p=list(about.clients.values()))
    if about.name == "support":
        asked = question = rng.integers(0, QUESTIONS, count)
    else:
        asked, question = zipf_stream(rng, unique=about.texts, zipf=1.0, requests=count), np.full(count, -1)
    text = np.where(rng.random(count) < about.repeated_fraction, asked, -1)
    return _part(rng, place, time_s, client, text, question, clients)


def _runaway(rng: np.random.Generator, scale: float, clients: tuple[str, ...]) -> RequestLog:
    count = round(RUNAWAY_REQUESTS_PER_S * (SECONDS_PER_DAY - RUNAWAY_S) * scale)
    place = next(place for place, about in enumerate(ENDPOINTS) if RUNAWAY_CLIENT in about.clients)
    time_s = rng.uniform(RUNAWAY_S, SECONDS_PER_DAY, count)
    client, nothing = np.full(count, clients.index(RUNAWAY_CLIENT)), np.full(count, -1)
    return _part(rng, place, time_s, client, nothing, nothing, clients, runaway=True)


def _part(
    rng: np.random.Generator,
    place: int,
    time_s: NDArray[np.float64],
    client: NDArray[np.int64],
    text: NDArray[np.int64],
    question: NDArray[np.int64],
    clients: tuple[str, ...],
    *,
    runaway: bool = False,
) -> RequestLog:
    """An endpoint's requests, their tokens drawn: medians of its own, spread as in the conversations of the trace."""
    about, count = ENDPOINTS[place], len(time_s)
    history = RUNAWAY_TOKENS if runaway else about.prefix_tokens
    read = history + token_lengths(rng, about.input_tokens, INPUT_TOKENS[1], count)
    written = token_lengths(rng, about.output_tokens, OUTPUT_TOKENS[1], count)
    places, looped = np.full(count, place), np.full(count, runaway)
    return RequestLog(
        time_s, places, client, text, question, np.zeros(count, dtype=int), read, written, looped, clients
    )
