"""Requests as Prometheus counters and a histogram."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.errors import InvalidValueError
from costlab.events import OUTCOMES, RequestEvent
from costlab.units import MICRO_USD_PER_USD

__all__ = ["LATENCY_BUCKETS_S", "RequestMetrics"]

#: Upper ends in seconds: from a cache's millisecond to an answer that a person gives up waiting for.
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Name, help, and the factor from what is counted to what is shown.
COUNTERS: Final = (
    ("costlab_requests", "Requests that ended.", 1),
    ("costlab_unpriced_requests", "Requests of which nobody knows the cost. They are in no figure in USD.", 1),
    ("costlab_cost_usd", "Cost of the requests that have a price, in USD.", 1 / MICRO_USD_PER_USD),
    ("costlab_input_tokens", "Input tokens, those read from the prompt cache included.", 1),
    (
        "costlab_cached_input_tokens",
        "Input tokens read from the provider's prompt cache: a part of the input tokens.",
        1,
    ),
    ("costlab_output_tokens", "Output tokens.", 1),
    ("costlab_conversions", "Requests that led to a conversion.", 1),
    ("costlab_conversion_value_usd", "What the conversions earned, in USD.", 1 / MICRO_USD_PER_USD),
)
LATENCY: Final = ("costlab_request_duration_seconds", "Seconds from request to answer.")
LABELS: Final = ("tier", "model", "outcome")

#: Where series beyond the allowed number are counted.
OTHER: Final = "other"


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
    InvalidValueError
        If a number is outside its domain.
    MissingExtraError
        If ``prometheus_client`` is not installed.

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
        registry: Any,
        *,
        series: Iterable[tuple[str, str]] = (),
        buckets_s: Sequence[float] = LATENCY_BUCKETS_S,
        max_series: int = 1000,
    ) -> None:
        self._core = require("prometheus_client.core", "monitoring")
        self._buckets = tuple(checks.positive("buckets_s", end) for end in buckets_s)
        if list(self._buckets) != sorted(set(self._buckets)):
            raise InvalidValueError("buckets_s", "rising", buckets_s)
        self._max = checks.integer("max_series", max_series, at_least=1)
        self._lock = Lock()
        # For each series: the counters, the sum of latencies, and a count for each bucket and one beyond.
        self._cells: dict[tuple[str, str, str], list[Any]] = {}
        for tier, model in series:
            for outcome in OUTCOMES:
                self._cells[tier, model, outcome] = self._new_cell()
        registry.register(self)

    def __call__(self, event: RequestEvent) -> None:
        """Count one request."""
        key = (event.tier, event.model, event.outcome)
        cost, value, latency = event.cost_micro_usd, event.conversion_value_micro_usd, event.latency_s
        with self._lock:
            cell = self._cells.get(key) or self._cell(key)
            cell[0] += 1
            if cost is None:
                cell[1] += 1
            else:
                cell[2] += cost
            cell[3] += event.input_tokens
            cell[4] += event.cached_input_tokens
            cell[5] += event.output_tokens
            if value is not None:
                cell[6] += 1
                cell[7] += value
            cell[8] += latency
            cell[9 + bisect_left(self._buckets, latency)] += 1

    def _new_cell(self) -> list[Any]:
        return [0] * 8 + [0.0] + [0] * (len(self._buckets) + 1)

    def _cell(self, key: tuple[str, str, str]) -> list[Any]:
        if len(self._cells) >= self._max:
            key = (OTHER, OTHER, key[2])
        return self._cells.setdefault(key, self._new_cell())

    def describe(self) -> Iterator[Any]:
        """The metrics without values, by which a registry notices names that are taken."""
        return self._families({})

    def collect(self) -> Iterator[Any]:
        """The metrics, for the registry."""
        with self._lock:
            cells = {key: list(cell) for key, cell in self._cells.items()}
        return self._families(cells)

    def _families(self, cells: dict[tuple[str, str, str], list[Any]]) -> Iterator[Any]:
        for place, (name, words, factor) in enumerate(COUNTERS):
            counter = self._core.CounterMetricFamily(name, words, labels=LABELS)
            for key, cell in cells.items():
                counter.add_metric(key, cell[place] * factor)
            yield counter
        histogram = self._core.HistogramMetricFamily(*LATENCY, labels=LABELS)
        ends = [str(end) for end in self._buckets] + ["+Inf"]
        for key, cell in cells.items():
            counts, total = [], 0
            for end, count in zip(ends, cell[9:], strict=True):
                total += count
                counts.append((end, total))
            histogram.add_metric(key, counts, cell[8])
        yield histogram
