"""Speed of emitting an event to the metrics, beside one increment of the library's own counter: ``make bench``."""

from collections.abc import Callable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Counter
from timing import ROUNDS, beside

from costlab.events import Hooks, RequestEvent
from costlab.monitoring import OtelMetrics, RequestMetrics

CALLS = 50_000
EVENT = RequestEvent(
    request_id="r-1",
    time_s=0.0,
    tier="large",
    model="gpt-4o",
    input_tokens=400,
    output_tokens=200,
    cost_micro_usd=3000,
    latency_s=0.6,
    outcome="ok",
)
CHILD = Counter("floor", "One counter.", ["tier", "model", "outcome"], registry=CollectorRegistry())
FLOOR = CHILD.labels("large", "gpt-4o", "ok")
PROMETHEUS = RequestMetrics(CollectorRegistry())
OTEL = OtelMetrics(MeterProvider([InMemoryMetricReader()]), "openai")
HOOKS = Hooks([PROMETHEUS])

TARGETS: dict[str, tuple[Callable[[], object], str]] = {
    "Prometheus hook": (lambda: PROMETHEUS(EVENT), "2"),
    "emitted through Hooks": (lambda: HOOKS.emit(EVENT), ""),
    "OpenTelemetry hook": (lambda: OTEL(EVENT), ""),
    "labelled look-up alone": (lambda: CHILD.labels("large", "gpt-4o", "ok").inc(), ""),
}


def main() -> None:
    """Print a table; the floor is one increment of one cached child."""
    print(f"{'target':<24}{'us a call':>11}{'at most':>9}{'floor us':>10}{'ratio':>8}   (median of {ROUNDS} rounds)")
    for name, (call, most) in TARGETS.items():
        took, floor, ratio = beside(call, FLOOR.inc, CALLS)
        print(f"{name:<24}{1e6 * took:>11.2f}{most:>9}{1e6 * floor:>10.3f}{ratio:>8.1f}")


if __name__ == "__main__":
    main()
