"""Sums of tokens and costs in metrics, of coding agents and by the conventions, where nothing tells the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from costlab.monitoring.importers.otlp_json import DataPoint, KeyValue, ResourceGroup

_HOUR_NS: Final = SECONDS_PER_HOUR * 1_000_000_000

_GEMINI: Final = {
    "input": ("input",),
    "output": ("output",),
    "thought": ("output", "reasoning"),
    "cache": ("cached",),
    "tool": ("input",),
}

#: What the kinds of tokens of a metric are a part of, by the metric and its attribute `type`: documentation of Claude
#: Code (monitoring), of Gemini CLI (telemetry), Codex (codex-rs/otel), and the conventions for metrics. Claude Code
#: counts input tokens without the cached ones, the others with them.
_TOKENS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "claude_code.token.usage": {
        "input": ("input",),
        "output": ("output",),
        "cacheRead": ("input", "cached"),
        "cacheCreation": ("input", "written"),
    },
    "gemini_cli.token.usage": _GEMINI,
    "qwen-code.token.usage": _GEMINI,
    "codex.turn.token_usage": {
        "input": ("input",),
        "cached_input": ("cached",),
        "output": ("output",),
        "reasoning_output": ("reasoning",),
    },
    "gen_ai.client.token.usage": {"input": ("input",), "output": ("output",)},
}
_COSTS: Final = ("claude_code.cost.usage",)
_REQUESTS: Final = ("gemini_cli.api.request.count", "qwen-code.api.request.count")
_PROVIDERS: Final = {"claude_code": "anthropic", "gemini_cli": "google", "codex": "openai"}

#: How a counter that starts again with each point is marked.
_DELTA: Final = (1, "1", "AGGREGATION_TEMPORALITY_DELTA")


@dataclass(slots=True)
class Sum:
    """What one service used of one model in an hour, as far as its metrics tell."""

    metric: str
    service: str
    provider: str
    model: str
    start_ns: int
    end_ns: int = 0
    requests: float = 0
    cost: float | None = None
    tokens: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Metrics:
    """The points of metrics so far, added up."""

    points: int = 0
    refused: int = 0
    _last: dict[tuple[object, ...], tuple[int, int, float, float]] = field(default_factory=dict)
    _sums: dict[tuple[str, str, str, int], Sum] = field(default_factory=dict)

    def add(self, group: ResourceGroup, refuse: Callable[[str], None]) -> None:
        """Take the metrics of a service; `refuse` is told why a point cannot be read."""
        resource = _plain(group.resource.attributes if group.resource else None)
        service = str(resource.get("costlab.tenant", resource.get("service.name", "")))
        instance = tuple(sorted((name, str(value)) for name, value in resource.items()))
        for scoped in group.scopeMetrics:
            for metric in scoped.metrics:
                data = metric.sum or metric.histogram
                if data is None or metric.name not in (*_TOKENS, *_COSTS, *_REQUESTS):
                    continue
                delta = data.aggregationTemporality in _DELTA
                for point in data.dataPoints:
                    self.points += 1
                    amount = _amount(point)
                    if amount is not None and amount < 0 and metric.name not in _COSTS:
                        self.refused += 1
                        refuse(f"a point of {metric.name} of {amount:g}, which is no count")
                        continue
                    self._add(metric.name, service, instance, point, delta=delta)

    def _add(self, name: str, service: str, instance: tuple[object, ...], point: DataPoint, *, delta: bool) -> None:
        attributes = _plain(point.attributes)
        amount = _amount(point)
        if amount is None or point.timeUnixNano is None:
            return
        series = (name, instance, *sorted((key, str(value)) for key, value in attributes.items()))
        start, time, more = point.startTimeUnixNano or 0, point.timeUnixNano, float(point.count or 0)
        last_start, last_time, last_amount, last_count = self._last.get(series, (start, -1, 0.0, 0.0))
        if time <= last_time:
            return  # delivered once more
        self._last[series] = (start, time, float(amount), more)
        if not delta and start == last_start:
            amount, more = max(0.0, amount - last_amount), max(0.0, more - last_count)
        model = str(
            attributes.get("model", attributes.get("gen_ai.response.model", attributes.get("gen_ai.request.model", "")))
        )
        family = name.partition(".")[0]
        provider = str(attributes.get("gen_ai.provider.name", attributes.get("gen_ai.system", "")))
        hour = time // _HOUR_NS
        key = (family, service, model, hour)
        total = self._sums.get(key)
        if total is None:
            total = self._sums[key] = Sum(
                family, service, provider or _PROVIDERS.get(family, ""), model or "unknown", hour * _HOUR_NS
            )
        total.end_ns = max(total.end_ns, time)
        if name in _COSTS:
            total.cost = (total.cost or 0.0) + amount
        elif name in _REQUESTS:
            total.requests += amount
        else:
            kind = str(attributes.get("type", attributes.get("token_type", attributes.get("gen_ai.token.type", ""))))
            for what in _TOKENS[name].get(kind, ()):
                total.tokens[what] = total.tokens.get(what, 0.0) + amount
            if kind == "input":
                total.requests += more

    def sums(self, services: set[str]) -> Iterator[Sum]:
        """What was used, by hour, service and model, by services other than those whose calls are known one by one."""
        own = {(one.service, one.model) for one in self._sums.values() if one.metric != "gen_ai"}
        for one in self._sums.values():
            # An agent that counts by the conventions, too, counts once.
            if one.service in services or (one.metric == "gen_ai" and (one.service, one.model) in own):
                continue
            if one.tokens or one.cost:
                yield one


def _amount(point: DataPoint) -> float | None:
    return next((one for one in (point.asInt, point.asDouble, point.sum) if one is not None), None)


def _plain(attributes: list[KeyValue] | None) -> dict[str, object]:
    return {
        pair.key: next(
            (
                one
                for one in (pair.value.stringValue, pair.value.intValue, pair.value.doubleValue, pair.value.boolValue)
                if one is not None
            ),
            None,
        )
        for pair in attributes or ()
    }
