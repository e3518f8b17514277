"""Requests through OpenTelemetry: the conventions for generative AI, and a cost metric of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from costlab import __version__
from costlab._internal.extras import require
from costlab.events import RequestEvent
from costlab.units import MICRO_USD_PER_USD

__all__ = ["OtelMetrics"]

#: Bucket boundaries that the conventions recommend.
TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
DURATION_BUCKETS_S: Final = tuple(0.01 * 2**power for power in range(14))


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

    Raises
    ------
    MissingExtraError
        If ``opentelemetry-api`` is not installed.

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
        self, meter_provider: Any, provider: str | Callable[[RequestEvent], str], operation: str = "chat"
    ) -> None:
        require("opentelemetry.metrics", "monitoring")
        meter = meter_provider.get_meter("costlab", __version__)
        self._provider, self._operation = provider, operation
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=list(TOKEN_BUCKETS),
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS_S),
        )
        self._cost = meter.create_counter(
            "costlab.request.cost", unit="{USD}", description="Cost of the requests that have a price."
        )
        self._unpriced = meter.create_counter(
            "costlab.request.unpriced", unit="{request}", description="Requests of which nobody knows the cost."
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
