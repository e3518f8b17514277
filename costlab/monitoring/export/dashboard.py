"""The Grafana dashboard: its panels as data, and its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from costlab._internal.extras import require

__all__ = ["DATASOURCE_UID", "Panel", "dashboard_json", "panels"]

#: By this name the dashboard finds the Prometheus that the exported provisioning declares.
DATASOURCE_UID: Final = "costlab-prometheus"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of the dashboard.

    Attributes
    ----------
    title, description : str
        What it shows, and when to worry.
    kind : {'stat', 'timeseries'}
        One number, or a line over time.
    unit : str
        As Grafana calls it.
    queries : tuple of (str, str)
        PromQL, and the words of the legend.
    threshold : float or None
        Drawn in red from here on, where there is one.
    """

    title: str
    description: str
    kind: Literal["stat", "timeseries"]
    unit: str
    queries: tuple[tuple[str, str], ...]
    threshold: float | None = None


def panels() -> tuple[Panel, ...]:
    """The panels: the six metrics of the source lesson (S8), and what is needed to understand them."""
    per_conversion = "sum(increase({0}[1d])) / sum(increase(costlab_conversions_total[1d]))"
    quantile = "histogram_quantile({0}, sum by (le) (rate(costlab_request_duration_seconds_bucket[5m])))"
    return (
        Panel(
            "Cost per request",
            "Mean of five minutes, of requests with a price. Alert above $0.05 for an hour.",
            "stat",
            "currencyUSD",
            (("costlab:cost_usd_per_request:5m", "USD a request"),),
            0.05,
        ),
        Panel(
            "GPU utilization",
            "Mean of all GPUs. Target 65 to 80 %; below 40 % for 30 minutes scale down, above 90 % for 10 scale up.",
            "stat",
            "percentunit",
            (("costlab:gpu_utilization:now", "mean"),),
            0.9,
        ),
        Panel(
            "GPU spending of 24 hours, of budget",
            "Alert above 120 %.",
            "stat",
            "percentunit",
            (("costlab:gpu_spend_of_budget:1d", "of the daily budget"),),
            1.2,
        ),
        Panel(
            "Cost of revenue",
            "Cost over what conversions earned, last 24 hours. Target below 5 %.",
            "stat",
            "percentunit",
            (("costlab:cost_of_revenue_fraction:1d", "of revenue"),),
            0.05,
        ),
        Panel(
            "Unpriced requests",
            "Share of requests of which nobody knows the cost. No figure in dollars contains them.",
            "stat",
            "percentunit",
            (("costlab:unpriced_fraction:1h", "of requests"),),
            0.01,
        ),
        Panel(
            "Idle GPUs",
            "GPUs below 10 % utilization now. Alert where one is idle for two hours.",
            "stat",
            "none",
            (("count(costlab:gpu_utilization_each:now < 0.1) or vector(0)", "GPUs"),),
            1,
        ),
        Panel(
            "Cost by tier",
            "Of the last hour.",
            "timeseries",
            "currencyUSD",
            (("costlab:tier_cost_usd:1h", "{{tier}}"),),
        ),
        Panel(
            "Requests by tier",
            "Of the last hour. Alert where the dearest tier serves more than 15 %.",
            "timeseries",
            "percentunit",
            (("costlab:tier_requests_fraction:1h", "{{tier}}"),),
            0.15,
        ),
        Panel(
            "Cost per conversion",
            "Of the last 24 hours.",
            "timeseries",
            "currencyUSD",
            (
                (per_conversion.format("costlab_cost_usd_total"), "cost"),
                (per_conversion.format("costlab_conversion_value_usd_total"), "revenue"),
            ),
        ),
        Panel(
            "Utilization of each GPU",
            "A GPU whose utilization cannot be read is missing here; see the panel beside.",
            "timeseries",
            "percentunit",
            (("costlab:gpu_utilization_each:now", "GPU {{gpu}}"),),
        ),
        Panel(
            "GPUs without a known utilization",
            "NVML knows none under MIG, for example.",
            "timeseries",
            "none",
            (("count(costlab_gpu_utilization_known == 0) or vector(0)", "GPUs"),),
        ),
        Panel(
            "GPU price an hour",
            "What runs now.",
            "timeseries",
            "currencyUSD",
            (("sum(costlab_gpu_price_usd_per_hour)", "USD an hour"),),
        ),
        Panel(
            "Tokens a second",
            "Cached input tokens are a part of the input tokens.",
            "timeseries",
            "short",
            (
                ("sum(rate(costlab_input_tokens_total[5m]))", "input"),
                ("sum(rate(costlab_cached_input_tokens_total[5m]))", "of these cached"),
                ("sum(rate(costlab_output_tokens_total[5m]))", "output"),
            ),
        ),
        Panel(
            "Requests a second by outcome",
            "Refused ones were not admitted by a budget.",
            "timeseries",
            "reqps",
            (("sum by (outcome) (rate(costlab_requests_total[5m]))", "{{outcome}}"),),
        ),
        Panel(
            "Latency",
            "From request to answer.",
            "timeseries",
            "s",
            ((quantile.format(0.5), "median"), (quantile.format(0.99), "99 %")),
        ),
    )


def dashboard_json() -> str:
    """The dashboard as JSON that Grafana imports or is provisioned with.

    Raises
    ------
    MissingExtraError
        If ``grafana-foundation-sdk`` is not installed.
    """
    dashboard = _sdk("dashboard")
    built = dashboard.Dashboard("What the AI service costs").uid("costlab").tags(["costlab"])
    built = built.time("now-24h", "now").refresh("1m").timezone("utc").readonly()
    for place, panel in enumerate(panels()):
        built = built.with_panel(_panel(panel).height(4 if panel.kind == "stat" else 8).span(4 if place < 6 else 8))
    encoder = require("grafana_foundation_sdk.cog.encoder", "dashboards").JSONEncoder
    text = encoder(sort_keys=True, indent=2).encode(built.build())
    return json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def _sdk(name: str) -> Any:
    return require(f"grafana_foundation_sdk.builders.{name}", "dashboards")


def _panel(panel: Panel) -> Any:
    models = require("grafana_foundation_sdk.models.dashboard", "dashboards")
    common = require("grafana_foundation_sdk.models.common", "dashboards")
    source = models.DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)
    built = _sdk(panel.kind).Panel().title(panel.title).description(panel.description).unit(panel.unit)
    built = built.datasource(source)
    if panel.kind == "stat":
        built = built.graph_mode(common.BigValueGraphMode.AREA).color_mode(common.BigValueColorMode.VALUE)
    else:
        built = built.legend(
            _sdk("common").VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
        )
    for number, (query, legend) in enumerate(panel.queries):
        target = _sdk("prometheus").Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        built = built.with_target(target.datasource(source))
    if panel.threshold is None:
        return built.min(0)
    steps = [models.Threshold(color="green"), models.Threshold(color="red", value=panel.threshold)]
    levels = _sdk("dashboard").ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    built = built.min(0).thresholds(levels)
    if panel.kind == "timeseries":
        style = (
            _sdk("common").GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.LINE)
        )  # the library's spelling
        built = built.thresholds_style(style)
    return built
