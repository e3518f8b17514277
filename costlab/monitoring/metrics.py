"""Requests as metrics: for Prometheus to scrape, through OpenTelemetry, and beside a service from its ledger."""

from __future__ import annotations

import logging
import time
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
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

#: Upper ends in seconds: from a cache's millisecond to an answer that a person gives up waiting for.
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Name, help and unit. What is in USD is counted in micro-dollars. A further row needs its line in :meth:`_Sums.add`.
COUNTERS: Final = (
    ("costlab_requests", "Requests that ended.", "request"),
    ("costlab_unpriced_requests", "Requests whose cost is unknown. They are in no figure in USD.", "request"),
    ("costlab_cost_usd", "Cost of the requests that have a price, in USD.", "USD"),
    ("costlab_input_tokens", "Input tokens of every kind.", "token"),
    (
        "costlab_cached_input_tokens",
        "Input tokens read from the provider's prompt cache: a part of the input.",
        "token",
    ),
    ("costlab_output_tokens", "Output tokens of every kind.", "token"),
    ("costlab_conversions", "Requests that led to a conversion.", "conversion"),
    ("costlab_conversion_value_usd", "What the conversions earned, in USD.", "USD"),
    (
        "costlab_cache_write_tokens",
        "Input tokens written to the provider's prompt cache: a part of the input.",
        "token",
    ),
    ("costlab_cache_write_1h_tokens", "Those of them that are kept for an hour.", "token"),
    ("costlab_audio_input_tokens", "Input tokens that are audio: a part of the input.", "token"),
    ("costlab_cached_audio_input_tokens", "Those of them that were read from the prompt cache.", "token"),
    ("costlab_image_input_tokens", "Input tokens that are images: a part of the input.", "token"),
    ("costlab_reasoning_tokens", "Output tokens that the model thought in: a part of the output.", "token"),
    ("costlab_audio_output_tokens", "Output tokens that are audio: a part of the output.", "token"),
    ("costlab_image_output_tokens", "Output tokens that are images: a part of the output.", "token"),
)

# Where a counter is in a series' cell, by its row's name.
_PLACES: Final = {name: place for place, (name, *_) in enumerate(COUNTERS)}
_REQUESTS: Final = _PLACES["costlab_requests"]
_UNPRICED: Final = _PLACES["costlab_unpriced_requests"]
_COST: Final = _PLACES["costlab_cost_usd"]
_INPUT: Final = _PLACES["costlab_input_tokens"]
_CACHED: Final = _PLACES["costlab_cached_input_tokens"]
_OUTPUT: Final = _PLACES["costlab_output_tokens"]
_CONVERSIONS: Final = _PLACES["costlab_conversions"]
_VALUE: Final = _PLACES["costlab_conversion_value_usd"]

# The kinds of tokens that hardly any request has. An event without any of them has all these slots empty.
_RARE: Final = [
    (place, vars(RequestEvent)[name.removeprefix("costlab_")].__get__)
    for name, place in _PLACES.items()
    if place > _VALUE
]
_RARE_KIND: Final = _RARE[0][1]

LATENCY: Final = ("costlab_request_duration_seconds", "Seconds from request to answer.")
LABELS: Final = ("tier", "model", "outcome")

#: Seconds between two scrapes, as the exported configuration of Prometheus has it.
SCRAPE_INTERVAL_S: Final = 15.0

#: Where series beyond the allowed number are counted.
OTHER: Final = "other"

#: Sets of attributes that an instrument of OpenTelemetry's SDK tells apart; all further ones are one point.
OTEL_MAX_SETS: Final = 2000

#: Share of the series, or sets, that are allowed, at which the log says how many there are.
FULL_FRACTION: Final = 0.8

#: Bucket boundaries that OpenTelemetry's conventions recommend.
OTEL_TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
OTEL_DURATION_BUCKETS_S: Final = tuple(0.01 * 2**power for power in range(14))

Key = tuple[str, str, str]

_log = logging.getLogger("costlab.metrics")


class _Sums:
    """Sums over the requests of each tier, model and outcome, each of which is seen at 0 before it grows."""

    def __init__(
        self,
        series: Iterable[tuple[str, str]],
        buckets_s: Sequence[float],
        max_series: int,
        scrape_interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._interval = checks.non_negative("scrape_interval_s", scrape_interval_s)
        self.buckets = tuple(checks.positive("buckets_s", end) for end in buckets_s)
        if list(self.buckets) != sorted(set(self.buckets)):
            raise InvalidValueError("buckets_s", "rising", buckets_s)
        self._max = checks.integer("max_series", max_series, at_least=1)
        self._clock = clock
        self._lock = Lock()
        # For each series: the counters, the sum of latencies, and a count for each bucket and one beyond.
        self.latency_sum, self.first_bucket = len(COUNTERS), len(COUNTERS) + 1
        self._first_seen: dict[Key, float] = {}
        self._cells: dict[Key, list[float]] = {
            (_label(tier), _label(model), outcome): self._new_cell() for tier, model in series for outcome in OUTCOMES
        }

    def add(self, event: RequestEvent) -> Key:
        """Count one request, and return the series in which it was."""
        key: Key = (event.tier, event.model, event.outcome)
        cost, value, latency = event.cost_micro_usd, event.conversion_value_micro_usd, event.latency_s
        with self._lock:
            cell = self._cells.get(key)
            if cell is None:
                key, cell = self._cell(key)
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
            cell[self.latency_sum] += latency
            cell[self.first_bucket + bisect_left(self.buckets, latency)] += 1
            try:
                _RARE_KIND(event)
            except AttributeError:
                return key
            for place, count in _RARE:
                cell[place] += count(event)
        return key

    def _new_cell(self) -> list[float]:
        return [0] * len(COUNTERS) + [0.0] + [0] * (len(self.buckets) + 1)

    def _cell(self, key: Key) -> tuple[Key, list[float]]:
        key = (_label(key[0]), _label(key[1]), _label(key[2]))
        if key not in self._cells and len(self._cells) >= self._max:
            key = (OTHER, OTHER, key[2])
        if key not in self._cells:
            self._cells[key] = self._new_cell()
            if len(self._cells) == max(1, int(FULL_FRACTION * self._max)):
                _log.warning(
                    "%d of at most %d combinations of tier, model and outcome; further ones will be counted as %r",
                    len(self._cells), self._max, OTHER,
                )  # fmt: skip
        return key, self._cells[key]

    def shown(self) -> dict[Key, list[float]]:
        """The cells as whoever asks now is to see them."""
        now, nothing = self._clock(), self._new_cell()
        with self._lock:
            return {
                key: list(cell) if now - self._first_seen.setdefault(key, now) >= self._interval else nothing
                for key, cell in self._cells.items()
            }


class RequestMetrics:
    """A hook that counts requests for Prometheus.

    Parameters
    ----------
    registry : prometheus_client.CollectorRegistry
        Where the metrics are shown. Two of these in one registry are an error of that library.
    series : iterable of (str, str)
        Tiers and models whose series exist from the start.
    buckets_s : sequence of float
        Upper ends of the histogram of latencies, in seconds, rising.
    max_series : int
        Most combinations of tier, model and outcome, >= 1. Requests of further ones are counted as ``other``: a model
        name that a caller may choose must not fill the memory of a Prometheus server. At four fifths of them the log
        says so.
    scrape_interval_s : float
        The longest time between two scrapes of a Prometheus server, in seconds, >= 0. For this long a series is shown
        at 0, from its first scrape on, so that a second server, or a person who looks, does not take that from the
        first; with 0, what was counted is shown at once.
    clock : callable
        Gives seconds that never go back.

    Raises
    ------
    InvalidValueError, MissingExtraError
        If a number is outside its domain, or ``prometheus_client`` is not installed.

    Notes
    -----
    The labels are tier, model and outcome, no others: a label for each tenant would make as many time series as there
    are tenants. Money is summed in whole micro-dollars and shown in USD.

    ``increase`` and ``rate`` see changes between scrapes. Of a series that is first seen at 50 they know nothing, and
    no alarm fires on these 50 requests. So each series is first shown at 0, to every server that scrapes, and what was
    counted meanwhile at once afterwards: after a restart too, which a server then cannot mistake for growth. A series
    that is named beforehand has this behind it when its first request comes; for another, that one is seen up to an
    interval later. What a process counts in its first interval alone is lost with it.

    An event takes one look-up and one lock. Children of the library's own counters take 0.4 us each, and there are
    sixteen and a histogram here; so the sums are kept in one list a series and handed to the library when it is
    scraped. Its multi-process mode, which needs its own counters, is therefore not supported: let each process have
    its port.

    Examples
    --------
    What does Prometheus see of one request of 3,000 micro-dollars, at once and a scrape later?

    >>> from prometheus_client import CollectorRegistry
    >>> from costlab.events import RequestEvent
    >>> registry, now_s = CollectorRegistry(), [0.0]
    >>> metrics = RequestMetrics(registry, clock=lambda: now_s[0])
    >>> metrics(RequestEvent(
    ...     request_id="r-1", time_s=0.0, tier="large", model="gpt-4o", input_tokens=400, output_tokens=200,
    ...     cost_micro_usd=3000, latency_s=0.6, outcome="ok",
    ... ))
    >>> labels = {"tier": "large", "model": "gpt-4o", "outcome": "ok"}
    >>> registry.get_sample_value("costlab_cost_usd_total", labels)
    0.0
    >>> now_s = [15.0]
    >>> registry.get_sample_value("costlab_cost_usd_total", labels)
    0.003
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        series: Iterable[tuple[str, str]] = (),
        buckets_s: Sequence[float] = LATENCY_BUCKETS_S,
        max_series: int = 1000,
        scrape_interval_s: float = SCRAPE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        with extra("monitoring"):
            import prometheus_client  # noqa: F401 - needed when it is scraped
        self._sums = _Sums(series, buckets_s, max_series, scrape_interval_s, clock)
        registry.register(cast("Collector", self))

    def __call__(self, event: RequestEvent) -> None:
        """Count one request."""
        self._sums.add(event)

    def describe(self) -> Iterator[Metric]:
        """The metrics without values, by which a registry notices names that are taken."""
        return self._families({})

    def collect(self) -> Iterator[Metric]:
        """The metrics, for the registry."""
        return self._families(self._sums.shown())

    def _families(self, cells: Mapping[Key, list[float]]) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        for place, (name, text, unit) in enumerate(COUNTERS):
            counter = CounterMetricFamily(name, text, labels=LABELS)
            for key, cell in cells.items():
                counter.add_metric(key, _in_unit(cell[place], unit))
            yield counter
        histogram = HistogramMetricFamily(*LATENCY, labels=LABELS)
        ends = [*map(str, self._sums.buckets), "+Inf"]
        for key, cell in cells.items():
            counts = accumulate(cell[self._sums.first_bucket :])
            histogram.add_metric(key, list(zip(ends, counts, strict=True)), cell[self._sums.latency_sum])
        yield histogram


def _in_unit(count: float, unit: str) -> float:
    return count / MICRO_USD_PER_USD if unit == "USD" else count


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
    series, max_series, scrape_interval_s, clock
        As for :class:`RequestMetrics`; the interval is the longest between two exports, or two scrapes of what was
        exported.

    Raises
    ------
    InvalidValueError, MissingExtraError
        If a number is outside its domain, or OpenTelemetry is not installed.

    Notes
    -----
    Each counter of :class:`RequestMetrics` is here an instrument of the same name with a dot after the first word,
    ``costlab.cost_usd`` for ``costlab_cost_usd_total``, and has the attributes tier, model and outcome; so is the
    histogram of latencies, ``costlab.request.duration``. That is what they are called in Prometheus, whichever way
    OpenTelemetry's own translation takes them there, and one set of rules and dashboards is right for both. They come
    to the meter when it is read, and begin at 0 as they do in :class:`RequestMetrics`; the histograms, which no alarm
    reads, begin with their first request.

    ``gen_ai.client.token.usage`` and ``gen_ai.client.operation.duration`` follow the conventions, version 1.37 (status:
    development), with their boundaries where the SDK takes advice. Cached input tokens are a part of the input tokens
    and are not reported there again. The conventions have no cost.

    The SDK tells 2,000 sets of attributes of an instrument apart and adds all others up in one point without them. A
    model beyond `max_series` is ``other`` in all instruments; where a `provider` that is a function brings an
    instrument to four fifths of the 2,000, the log says so.

    References
    ----------
    .. [1] OpenTelemetry, "Semantic conventions for generative AI metrics", 2025,
       https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
    .. [2] OpenTelemetry, "Prometheus and OpenMetrics compatibility", 2025,
       https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """

    def __init__(
        self,
        meter_provider: MeterProvider,
        provider: str | Callable[[RequestEvent], str],
        operation: str = "chat",
        *,
        series: Iterable[tuple[str, str]] = (),
        max_series: int = 900,  # so that input and output of each fit into what the SDK tells apart
        scrape_interval_s: float = SCRAPE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        with extra("monitoring"):
            import opentelemetry.metrics  # noqa: F401 - else there is no provider
        meter = meter_provider.get_meter("costlab", __version__)
        self._provider, self._operation = provider, operation
        self._sums = _Sums(series, (), max_series, scrape_interval_s, clock)
        self._sets: dict[str, set[tuple[str, ...]]] = {}
        self._warned: set[str] = set()
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=OTEL_TOKEN_BUCKETS,
        )  # fmt: skip
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=OTEL_DURATION_BUCKETS_S,
        )  # fmt: skip
        name, text = LATENCY
        self._latency = meter.create_histogram(
            "costlab.request.duration", "s", text, explicit_bucket_boundaries_advisory=LATENCY_BUCKETS_S
        )
        for place, (name, text, unit) in enumerate(COUNTERS):
            meter.create_observable_counter(_dotted(name), [self._observe(place, unit)], f"{{{unit}}}", text)

    def __call__(self, event: RequestEvent) -> None:
        """Report one request."""
        key = self._sums.add(event)
        _, model, outcome = key
        self._latency.record(event.latency_s, dict(zip(LABELS, key, strict=True)))
        provider = _label(self._provider if isinstance(self._provider, str) else self._provider(event))
        attributes = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        failure = {} if outcome in ("ok", "cached") else {"error.type": outcome}
        self._notice("gen_ai.client.operation.duration", provider, model, *failure.values())
        self._duration.record(event.latency_s, {**attributes, **failure})
        # An answer from one's own cache asked no model for tokens.
        if outcome != "cached" and event.total_tokens:
            for kind, count in (("input", event.input_tokens), ("output", event.output_tokens)):
                self._notice("gen_ai.client.token.usage", provider, model, kind)
                self._tokens.record(count, {**attributes, "gen_ai.token.type": kind})

    def _observe(self, place: int, unit: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for key, cell in self._sums.shown().items():
                yield Observation(_in_unit(cell[place], unit), dict(zip(LABELS, key, strict=True)))

        return observe

    def _notice(self, instrument: str, *values: str) -> None:
        """Count the sets of attributes of an instrument, and say when the SDK will soon tell no more apart."""
        sets = self._sets.setdefault(instrument, set())
        if values not in sets and len(sets) < OTEL_MAX_SETS:
            sets.add(values)
            if len(sets) >= FULL_FRACTION * OTEL_MAX_SETS and instrument not in self._warned:
                self._warned.add(instrument)
                _log.warning(
                    "%s has %d sets of attributes; OpenTelemetry's SDK tells %d apart and adds up all others",
                    instrument, len(sets), OTEL_MAX_SETS,
                )  # fmt: skip


def _dotted(name: str) -> str:
    """OpenTelemetry's name of a metric that Prometheus calls `name`."""
    return name.replace("costlab_", "costlab.", 1)


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
    An event is new when it comes after the last one that was told, whatever its time: clocks differ, calls that took
    long are written late, and milliseconds are taken for seconds. A look at a ledger without news is one search. What
    was written while no one followed is told only where `since_s` reaches back to it.

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
