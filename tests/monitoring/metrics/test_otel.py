"""What OpenTelemetry sees of requests: the conventions' metrics, and ours for cost."""

from typing import Any

import pytest

from costlab.events import RequestEvent
from costlab.monitoring.metrics import OtelMetrics
from tests import needs
from tests.events.test_request import GOOD

needs.extra("opentelemetry", "monitoring")

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402


class Seen:
    """A hook with a reader behind it."""

    def __init__(self, provider: Any = "openai") -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.hook = OtelMetrics(self.meters, provider)

    def points(self) -> dict[str, tuple[str, list[Any]]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
        return {metric.name: (str(metric.unit), list(metric.data.data_points)) for metric in metrics}


BASE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}
OURS = BASE | {"costlab.tier": "small", "costlab.outcome": "ok"}


def test_tokens_and_duration_follow_the_conventions() -> None:
    seen = Seen()
    seen.hook(RequestEvent(**GOOD))
    points = seen.points()
    unit, tokens = points["gen_ai.client.token.usage"]
    assert unit == "{token}"
    found = {point.attributes["gen_ai.token.type"]: (dict(point.attributes), point.sum) for point in tokens}
    assert found == {
        "input": (BASE | {"gen_ai.token.type": "input"}, 1200),  # the cached 1,000 once
        "output": (BASE | {"gen_ai.token.type": "output"}, 80),
    }
    assert list(tokens[0].explicit_bounds)[:3] == [1, 4, 16]
    assert tokens[0].explicit_bounds[-1] == 67_108_864
    unit, durations = points["gen_ai.client.operation.duration"]
    assert (unit, dict(durations[0].attributes), durations[0].sum) == ("s", BASE, 0.4)
    assert durations[0].explicit_bounds[0] == 0.01
    assert durations[0].explicit_bounds[-1] == pytest.approx(81.92)


def test_cost_is_ours_and_unpriced_is_not_zero() -> None:
    seen = Seen()
    seen.hook(RequestEvent(**GOOD))
    seen.hook(RequestEvent(**GOOD | {"cost_micro_usd": None}))
    points = seen.points()
    unit, ((cost,), (lost,)) = (
        points["costlab.request.cost"][0],
        (
            points["costlab.request.cost"][1],
            points["costlab.request.unpriced"][1],
        ),
    )
    assert (unit, cost.value, dict(cost.attributes)) == ("{USD}", 0.000153, OURS)
    assert (lost.value, dict(lost.attributes)) == (1, OURS)


def test_failures_name_their_error_and_cached_answers_ask_no_model_for_tokens() -> None:
    seen = Seen(provider=lambda event: f"host of {event.model}")
    seen.hook(
        RequestEvent(**GOOD | {"outcome": "timeout", "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0})
    )
    seen.hook(RequestEvent(**GOOD | {"outcome": "cached"}))
    points = seen.points()
    assert "gen_ai.client.token.usage" not in points
    errors = {point.attributes.get("error.type") for point in points["gen_ai.client.operation.duration"][1]}
    assert errors == {"timeout", None}
    providers = {point.attributes["gen_ai.provider.name"] for point in points["gen_ai.client.operation.duration"][1]}
    assert providers == {"host of gpt-4o-mini"}
