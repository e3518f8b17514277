"""Requests as metrics: for Prometheus to scrape, through OpenTelemetry, and beside a service from its ledger."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol, cast

from costlab import __version__
from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError, LedgerError
from costlab.events import OUTCOMES, RequestEvent
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

#: Upper ends in seconds: from a cache's millisecond to an answer that a person gives up waiting for.
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Name, help, and the factor from what is counted to what is shown. A further row needs its line in
#: :meth:`RequestMetrics.__call__`.
COUNTERS: Final = (
    ("costlab_requests", "Requests that ended.", 1.0),
    ("costlab_unpriced_requests", "Requests of which nobody knows the cost. They are in no figure in USD.", 1.0),
    ("costlab_cost_usd", "Cost of the requests that have a price, in USD.", 1 / MICRO_USD_PER_USD),
    ("costlab_input_tokens", "Input tokens, those read from the prompt cache included.", 1.0),
    (
        "costlab_cached_input_tokens",
        "Input tokens read from the provider's prompt cache: a part of the input tokens.",
        1.0,
    ),
    ("costlab_output_tokens", "Output tokens.", 1.0),
    ("costlab_conversions", "Requests that led to a conversion.", 1.0),
    ("costlab_conversion_value_usd", "What the conversions earned, in USD.", 1 / MICRO_USD_PER_USD),
)

# Where a counter stands in a series' cell, by its row's name.
_PLACES: Final = {name: place for place, (name, *_) in enumerate(COUNTERS)}
_REQUESTS: Final = _PLACES["costlab_requests"]
_UNPRICED: Final = _PLACES["costlab_unpriced_requests"]
_COST: Final = _PLACES["costlab_cost_usd"]
_INPUT: Final = _PLACES["costlab_input_tokens"]
_CACHED: Final = _PLACES["costlab_cached_input_tokens"]
_OUTPUT: Final = _PLACES["costlab_output_tokens"]
_CONVERSIONS: Final = _PLACES["costlab_conversions"]
_VALUE: Final = _PLACES["costlab_conversion_value_usd"]

LATENCY: Final = ("costlab_request_duration_seconds", "Seconds from request to answer.")
LABELS: Final = ("tier", "model", "outcome")

#: Where series beyond the allowed number are counted.
OTHER: Final = "other"

#: Bucket boundaries that OpenTelemetry's conventions recommend.
OTEL_TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
OTEL_DURATION_BUCKETS_S: Final = tuple(0.01 * 2**power for power in range(14))


class RequestMetrics:
    """A hook that counts requests for Prometheus.

    Parameters
    ----------
    registry : prometheus_client.CollectorRegistry
        Where the metrics are shown. Two of these in one registry are an error of that library.
    series : iterable of (str, str)
        Tiers and models whose series exist from the start, at zero. A series that only begins with its first request
        hides that request from ``increase`` and ``rate``, which see changes.
    buckets_s : sequence of float
        Upper ends of the histogram of latencies, in seconds, rising.
    max_series : int
        Most combinations of tier, model and outcome, >= 1. Requests of further ones are counted as ``other``: a model
        name that a caller may choose must not fill the memory of a Prometheus server.

    Raises
    ------
    InvalidValueError, MissingExtraError
        If a number is outside its domain, or ``prometheus_client`` is not installed.

    Notes
    -----
    The labels are tier, model and outcome, no others: a label for each tenant would make as many time series as there
    are tenants. Money is summed in whole micro-dollars and shown in USD.

    An event takes one look-up and one lock. Children of the library's own counters take 0.4 us each, and there are
    eight and a histogram here; so the sums are kept in one list a series and handed to the library when it is scraped.
    Its multi-process mode, which needs its own counters, is therefore not supported: let each process have its port.

    Examples
    --------
    What does Prometheus see of one request of 3,000 micro-dollars?

    >>> from prometheus_client import CollectorRegistry
    >>> from costlab.events import RequestEvent
    >>> registry = CollectorRegistry()
    >>> metrics = RequestMetrics(registry)
    >>> metrics(RequestEvent(
    ...     request_id="r-1", time_s=0.0, tier="large", model="gpt-4o", input_tokens=400, output_tokens=200,
    ...     cost_micro_usd=3000, latency_s=0.6, outcome="ok",
    ... ))
    >>> registry.get_sample_value("costlab_cost_usd_total", {"tier": "large", "model": "gpt-4o", "outcome": "ok"})
    0.003
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        series: Iterable[tuple[str, str]] = (),
        buckets_s: Sequence[float] = LATENCY_BUCKETS_S,
        max_series: int = 1000,
    ) -> None:
        with extra("monitoring"):
            import prometheus_client  # noqa: F401 - needed when it is scraped
        self._buckets = tuple(checks.positive("buckets_s", end) for end in buckets_s)
        if list(self._buckets) != sorted(set(self._buckets)):
            raise InvalidValueError("buckets_s", "rising", buckets_s)
        self._max = checks.integer("max_series", max_series, at_least=1)
        self._lock = Lock()
        # For each series: the counters, the sum of latencies, and a count for each bucket and one beyond.
        self._latency_sum, self._first_bucket = len(COUNTERS), len(COUNTERS) + 1
        self._cells: dict[tuple[str, str, str], list[float]] = {
            (_label(tier), _label(model), outcome): self._new_cell() for tier, model in series for outcome in OUTCOMES
        }
        registry.register(cast("Collector", self))

    def __call__(self, event: RequestEvent) -> None:
        """Count one request."""
        key = (event.tier, event.model, event.outcome)
        cost, value, latency = event.cost_micro_usd, event.conversion_value_micro_usd, event.latency_s
        with self._lock:
            cell = self._cells.get(key) or self._cell(key)
            cell[_REQUESTS] += 1
            if cost is None:
                cell[_UNPRICED] += 1
            else:
                cell[_COST] += cost
            cell[_INPUT] += event.input_tokens
            cell[_CACHED] += event.cached_input_tokens
            cell[_OUTPUT] += event.output_tokens
            if value is not None:
                cell[_CONVERSIONS] += 1
                cell[_VALUE] += value
            cell[self._latency_sum] += latency
            cell[self._first_bucket + bisect_left(self._buckets, latency)] += 1

    def _new_cell(self) -> list[float]:
        return [0] * len(COUNTERS) + [0.0] + [0] * (len(self._buckets) + 1)

    def _cell(self, key: tuple[str, str, str]) -> list[float]:
        key = (_label(key[0]), _label(key[1]), _label(key[2]))
        if key not in self._cells and len(self._cells) >= self._max:
            key = (OTHER, OTHER, key[2])
        return self._cells.setdefault(key, self._new_cell())

    def describe(self) -> Iterator[Metric]:
        """The metrics without values, by which a registry notices names that are taken."""
        return self._families({})

    def collect(self) -> Iterator[Metric]:
        """The metrics, for the registry."""
        with self._lock:
            cells = {key: list(cell) for key, cell in self._cells.items()}
        return self._families(cells)

    def _families(self, cells: Mapping[tuple[str, str, str], list[float]]) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        for place, (name, text, factor) in enumerate(COUNTERS):
            counter = CounterMetricFamily(name, text, labels=LABELS)
            for key, cell in cells.items():
                counter.add_metric(key, cell[place] * factor)
            yield counter
        histogram = HistogramMetricFamily(*LATENCY, labels=LABELS)
        ends = [*map(str, self._buckets), "+Inf"]
        for key, cell in cells.items():
            counts = accumulate(cell[self._first_bucket :])
            histogram.add_metric(key, list(zip(ends, counts, strict=True)), cell[self._latency_sum])
        yield histogram


def _label(value: object) -> str:
    """As the library can show it: one name that it cannot encode would spoil every scrape from then on."""
    return str(value).encode("utf-8", "replace").decode()


class OtelMetrics:
    """A hook that reports requests to an OpenTelemetry meter.

    Parameters
    ----------
    meter_provider : opentelemetry.metrics.MeterProvider
        Where the instruments are made.
    provider : str or callable
        ``gen_ai.provider.name``, which the conventions demand and an event does not hold: the name (``openai``), or a
        function of the event that gives it.
    operation : str
        ``gen_ai.operation.name``: ``chat``, ``embeddings``, ...

    Notes
    -----
    ``gen_ai.client.token.usage`` and ``gen_ai.client.operation.duration`` follow the conventions, version 1.37 (status:
    development), with their boundaries where the SDK takes advice. Cached input tokens are a part of the input tokens
    and are not reported again. The conventions have no cost: ``costlab.request.cost`` counts USD, and
    ``costlab.request.unpriced`` the requests without a price; both have ``costlab.tier`` and ``costlab.outcome``.

    References
    ----------
    .. [1] OpenTelemetry, "Semantic conventions for generative AI metrics", 2025,
       https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
    """

    def __init__(
        self, meter_provider: MeterProvider, provider: str | Callable[[RequestEvent], str], operation: str = "chat"
    ) -> None:
        with extra("monitoring"):
            import opentelemetry.metrics  # noqa: F401 - else there is no provider
        meter = meter_provider.get_meter("costlab", __version__)
        self._provider, self._operation = provider, operation
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=OTEL_TOKEN_BUCKETS,
        )  # fmt: skip
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=OTEL_DURATION_BUCKETS_S,
        )  # fmt: skip
        self._cost = meter.create_counter("costlab.request.cost", "{USD}", "Cost of the requests that have a price.")
        self._unpriced = meter.create_counter(
            "costlab.request.unpriced", "{request}", "Requests of which nobody knows the cost."
        )

    def __call__(self, event: RequestEvent) -> None:
        """Report one request."""
        attributes = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": self._provider if isinstance(self._provider, str) else self._provider(event),
            "gen_ai.request.model": event.model,
        }
        failure = {} if event.outcome in ("ok", "cached") else {"error.type": event.outcome}
        self._duration.record(event.latency_s, {**attributes, **failure})
        # An answer from one's own cache asked no model for tokens.
        if event.outcome != "cached" and event.total_tokens:
            self._tokens.record(event.input_tokens, {**attributes, "gen_ai.token.type": "input"})
            self._tokens.record(event.output_tokens, {**attributes, "gen_ai.token.type": "output"})
        ours = {**attributes, "costlab.tier": event.tier, "costlab.outcome": event.outcome}
        if event.cost_micro_usd is None:
            self._unpriced.add(1, ours)
        else:
            self._cost.add(event.cost_micro_usd / MICRO_USD_PER_USD, ours)


class EventSource(Protocol):
    """What can be followed: :class:`costlab.monitoring.ledger.Ledger`, or what has these two methods of it."""

    def last_sequence(self, since_s: float | None = None) -> int:
        """The number of the event written last, or of the last one before the first at or after a second."""

    def events_after(self, sequence: int) -> Iterable[tuple[int, RequestEvent | LedgerError]]:
        """Events with their numbers, in the order of writing, from the one after a number on."""


class LedgerFollower:
    """Tells a hook of each event that is new in a ledger: metrics in a process beside the service that writes it.

    Parameters
    ----------
    ledger, hook : EventSource and callable
        What to read, and what is called with each event, once.
    since_s : float or None
        Begins with the first event at or after this second, >= 0, in the order of writing; with None, with the first
        that is written from now on.

    Notes
    -----
    An event is new when it stands after the last one that was told, whatever its time: clocks differ, calls that took
    long are written late, and milliseconds are taken for seconds. A look at a ledger without news is one search.

    Attributes
    ----------
    skipped : int
        Rows that are no events, of which the hook was not told.
    last_error : LedgerError or None
        What was wrong with the last of them.

    Examples
    --------
    >>> from costlab.events import RequestEvent
    >>> event = RequestEvent(
    ...     request_id="r-1", time_s=10.0, tier="small", model="m", input_tokens=1, output_tokens=1,
    ...     cost_micro_usd=1, latency_s=0.1, outcome="ok",
    ... )
    >>> class Written:
    ...     def last_sequence(self, since_s=None): return 0
    ...     def events_after(self, sequence): return [(1, event)][sequence:]
    >>> seen = []
    >>> follower = LedgerFollower(Written(), seen.append)
    >>> follower.poll(), follower.poll(), len(seen)
    (1, 0, 1)
    """

    def __init__(
        self, ledger: EventSource, hook: Callable[[RequestEvent], object], since_s: float | None = None
    ) -> None:
        self._ledger, self._hook = ledger, hook
        since_s = None if since_s is None else checks.non_negative("since_s", since_s)
        self._sequence = ledger.last_sequence(since_s)
        self.skipped = 0
        self.last_error: LedgerError | None = None

    def poll(self) -> int:
        """Tell the hook of what is new, and return how many events that were."""
        new = 0
        for sequence, event in self._ledger.events_after(self._sequence):
            self._sequence = sequence  # before the hook, so that one which fails is not told of this event for ever
            if isinstance(event, RequestEvent):
                self._hook(event)
                new += 1
            else:
                self.skipped, self.last_error = self.skipped + 1, event
        return new
