"""Rules, dashboard and configuration for Prometheus, Grafana and Datadog, written from the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from costlab import __version__
from costlab._internal.extras import extra
from costlab.errors import SOURCE, InvalidValueError
from costlab.monitoring import alerts
from costlab.monitoring.alerts import AlertRule, RecordingRule, Timeline
from costlab.monitoring.gpu_metrics import GPU_METRICS
from costlab.monitoring.metrics import COUNTERS, LATENCY, SCRAPE_INTERVAL_S

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries

#: By this name the dashboard finds the Prometheus that the exported provisioning declares.
DATASOURCE_UID: Final = "costlab-prometheus"

#: What the exporter of the compose file runs, and how it comes into the folder.
WHEEL: Final = f"costlab-{__version__}-py3-none-any.whl"
COMPOSE_HEAD: Final = f"""\
# First, in this folder: pip wheel --no-deps --wheel-dir wheels "costlab @ {SOURCE}"
# It makes wheels/{WHEEL}, which the exporter installs. The exporter runs as COSTLAB_USER, by
# default 1000:1000, who must be allowed to write into the folder of the ledger (id -u and id -g tell your own).
"""


def prometheus_rules(rules: Sequence[AlertRule] | None = None) -> dict[str, Any]:
    """The content of a rules file of Prometheus.

    Parameters
    ----------
    rules : sequence of AlertRule, optional
        By default those of the source lesson.

    Returns
    -------
    dict
        One group of recording and alerting rules, to be written as YAML. Prometheus evaluates a group from the top down
        and different groups at any time, so that in two of them an alarm would see figures up to an interval old.

    Raises
    ------
    InvalidValueError
        If a rule names a figure that is not recorded.
    """
    recorded = [{"record": rule.name, "expr": rule.promql} for rule in alerts.recording_rules()]
    alerting = [_alert(rule) for rule in (alerts.alert_rules() if rules is None else rules)]
    return {"groups": [{"name": "costlab", "rules": [*recorded, *alerting]}]}


def _alert(rule: AlertRule) -> dict[str, object]:
    lasts = {"for": _duration(rule.for_s)} if rule.for_s else {}
    labels = {"labels": {"severity": rule.severity}, "annotations": _annotations(rule)}
    return {"alert": rule.name, "expr": expression(rule), **lasts, **labels}


def expression(rule: AlertRule) -> str:
    """The PromQL of an alarm.

    Examples
    --------
    >>> [expression(rule) for rule in alerts.alert_rules("gpt-4o") if rule.only]
    ['costlab:tier_requests_fraction:1h{tier="gpt-4o"} > 0.15']
    """
    quoted = rule.only.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    only = f'{{{_figure(rule).by}="{quoted}"}}' if rule.only else ""
    return f"{rule.figure}{only} {rule.comparison} {rule.threshold!r}"


def _figure(rule: AlertRule) -> RecordingRule:
    """The figure that an alarm watches."""
    figures = {figure.name: figure for figure in alerts.recording_rules()}
    if rule.figure not in figures:
        raise InvalidValueError("figure", f"one of {', '.join(figures)}", rule.figure)
    return figures[rule.figure]


def _annotations(rule: AlertRule) -> dict[str, str]:
    side = "above" if rule.comparison == ">" else "below"
    lasting = f" for {_duration(rule.for_s)}" if rule.for_s else ""
    return {"summary": f"{_figure(rule).description} {side} {rule.threshold:g}{lasting}", "action": rule.action}


def _duration(seconds: float) -> str:
    """Seconds in the largest unit that holds them whole: 1h, 30m, 45s."""
    whole = round(seconds * 1000)
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if whole % length == 0:
            return f"{whole // length}{unit}"
    return f"{whole}ms"


def rule_tests(rules_file: str, rules: Sequence[AlertRule], timelines: Sequence[Timeline]) -> dict[str, Any]:
    """A file for ``promtool test rules`` that expects of Prometheus what :func:`costlab.monitoring.states` says.

    Parameters
    ----------
    rules_file : str
        Path of the rules file, from the test file's folder.
    rules : sequence of AlertRule
        The rules in it.
    timelines : sequence of Timeline
        Figures at the ends of minutes that follow each other. Gaps are told to Prometheus as stale.

    Returns
    -------
    dict
        To be written as YAML: one test for each timeline, which looks at every alarm on its figure in every minute.
    """
    tests = [_test(timeline, [r for r in rules if r.figure == timeline.figure]) for timeline in timelines]
    return {"rule_files": [rules_file], "evaluation_interval": "1m", "tests": tests}


def _test(timeline: Timeline, rules: Sequence[AlertRule]) -> dict[str, object]:
    label = {_figure(rules[0]).by: timeline.label} if timeline.label else {}
    labels = "".join(f'{{{name}="{value}"}}' for name, value in label.items())
    values = " ".join("stale" if value is None else repr(value) for value in timeline.values)
    cases = []
    for rule in rules:
        fires = {"exp_labels": {"severity": rule.severity, **label}, "exp_annotations": _annotations(rule)}
        for minute, state in enumerate(alerts.states(rule, timeline)):
            expected = [fires] if state == "firing" and rule.watches(timeline) else []
            cases.append({"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": expected})
    series = {"series": timeline.figure + labels, "values": values}
    return {"interval": "1m", "input_series": [series], "alert_rule_test": cases}


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


def panels(rules: Sequence[AlertRule] | None = None) -> tuple[Panel, ...]:
    """The panels: the six metrics of the source lesson (S8), and what is needed to understand them.

    Parameters
    ----------
    rules : sequence of AlertRule, optional
        The alarms whose thresholds are drawn and told, by their names. Those of the source lesson are used for what is
        not among them.
    """
    named = {rule.name: rule for rule in (*alerts.alert_rules(), *(rules or ()))}
    expensive, spend, revenue = named["RequestsExpensive"], named["GpuSpendOverBudget"], named["ConversionsExpensive"]
    under, over, idle = named["GpusUnderused"], named["GpusOverloaded"], named["GpuIdle"]
    unpriced, busy_tier = named["RequestsUnpriced"], named["ExpensiveTierBusy"]

    def number(title: str, threshold: float, unit: str, query: str, legend: str, description: str) -> Panel:
        return Panel(title, description, "stat", unit, ((query, legend),), threshold)

    def lines(title: str, unit: str, description: str, *queries: tuple[str, str], above: float | None = None) -> Panel:
        return Panel(title, description, "timeseries", unit, queries, above)

    per_conversion = "sum(increase({0}[1d])) / sum(increase(costlab_conversions_total[1d]))"
    quantile = "histogram_quantile({0}, sum by (le) (rate(costlab_request_duration_seconds_bucket[5m])))"
    scale = (
        f"below {_percent(under)} for {under.for_s / alerts.MINUTE:g} minutes scale down, "
        f"above {_percent(over)} for {over.for_s / alerts.MINUTE:g} scale up."
    )
    unknown = "Share of requests whose cost is unknown. No figure in dollars contains them."
    idle_now = f"count({alerts.UTILIZATION_EACH} < {idle.threshold!r}) or vector(0)"
    return (
        number(
            "Cost per request", expensive.threshold, "currencyUSD", alerts.COST_PER_REQUEST, "USD a request",
            "Mean of the last hour, of at least two requests with a price. "
            f"Alert above ${expensive.threshold:g}.",
        ),
        number(
            "GPU utilization", over.threshold, "percentunit", alerts.UTILIZATION, "mean",
            f"Mean of all GPUs. Target 65 to 80 %; {scale}",
        ),
        number(
            "GPU spending of 24 hours, of budget", spend.threshold, "percentunit", alerts.GPU_SPEND,
            "of the daily budget", f"Alert above {_percent(spend)}.",
        ),
        number(
            "Cost of revenue", revenue.threshold, "percentunit", alerts.COST_OF_REVENUE, "of revenue",
            f"Cost over what conversions earned, last 24 hours. Target below {_percent(revenue)}.",
        ),
        number(
            "Unpriced requests", unpriced.threshold, "percentunit", alerts.UNPRICED, "of requests", unknown
        ),
        number(
            "Idle GPUs", 1, "none", idle_now, "GPUs",
            f"GPUs below {_percent(idle)} utilization now. Alert where one is idle for {_in_words(idle.for_s)}.",
        ),
        lines("Cost by tier", "currencyUSD", "Of the last hour.", (alerts.TIER_COST, "{{tier}}")),
        lines(
            "Requests by tier", "percentunit",
            f"Of the last hour. Alert where the most expensive tier serves more than {_percent(busy_tier)}.",
            (alerts.TIER_SHARE, "{{tier}}"), above=busy_tier.threshold,
        ),
        lines(
            "Cost per conversion", "currencyUSD", "Of the last 24 hours.",
            (per_conversion.format("costlab_cost_usd_total"), "cost"),
            (per_conversion.format("costlab_conversion_value_usd_total"), "revenue"),
        ),
        lines(
            "Utilization of each GPU", "percentunit",
            "A GPU whose utilization cannot be read is missing here; see the panel beside.",
            (alerts.UTILIZATION_EACH, "GPU {{gpu}}"),
        ),
        lines(
            "GPUs without a known utilization", "none", "NVML knows none under MIG, for example.",
            ("count(costlab_gpu_utilization_known == 0) or vector(0)", "GPUs"),
        ),
        lines(
            "GPU price an hour", "currencyUSD", "What runs now.",
            ("sum(costlab_gpu_price_usd_per_hour)", "USD an hour"),
        ),
        lines(
            "Tokens a second", "short", "The prompt cache's tokens are a part of the input, reasoning of the output.",
            ("sum(rate(costlab_input_tokens_total[5m]))", "input"),
            ("sum(rate(costlab_cached_input_tokens_total[5m]))", "of these read from the cache"),
            ("sum(rate(costlab_cache_write_tokens_total[5m]))", "of these written to the cache"),
            ("sum(rate(costlab_output_tokens_total[5m]))", "output"),
            ("sum(rate(costlab_reasoning_tokens_total[5m]))", "of these reasoning"),
        ),
        lines(
            "Requests a second by outcome", "reqps", "Refused ones were not admitted by a budget.",
            ("sum by (outcome) (rate(costlab_requests_total[5m]))", "{{outcome}}"),
        ),
        lines(
            "Latency", "s", "From request to answer.",
            (quantile.format(0.5), "median"), (quantile.format(0.99), "99 %"),
        ),
    )  # fmt: skip


def _percent(rule: AlertRule) -> str:
    return f"{100 * rule.threshold:g} %"


def _in_words(seconds: float) -> str:
    """How long an alarm waits: "an hour", "two hours", "30 minutes"."""
    hours = seconds / alerts.HOUR
    return {1.0: "an hour", 2.0: "two hours"}.get(hours, f"{seconds / alerts.MINUTE:g} minutes")


def dashboard_json(rules: Sequence[AlertRule] | None = None) -> str:
    """The dashboard as JSON that Grafana imports or is provisioned with; its `rules` are those of :func:`panels`."""
    with extra("dashboards"):
        from grafana_foundation_sdk.builders.dashboard import Dashboard
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
    board = Dashboard("What the AI service costs").uid("costlab").tags(["costlab"])
    board = board.time("now-24h", "now").refresh("1m").timezone("utc").readonly()
    for place, panel in enumerate(panels(rules)):
        board = board.with_panel(_panel(panel).height(4 if panel.kind == "stat" else 8).span(4 if place < 6 else 8))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    from grafana_foundation_sdk.builders import common as parts, dashboard, prometheus, stat, timeseries
    from grafana_foundation_sdk.models import common, dashboard as models

    source = models.DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)
    steps = [models.Threshold(color="green"), models.Threshold(color="red", value=panel.threshold)]
    levels = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    built: stat.Panel | timeseries.Panel
    if panel.kind == "stat":
        built = stat.Panel().graph_mode(common.BigValueGraphMode.AREA).color_mode(common.BigValueColorMode.VALUE)
    else:
        legend = parts.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
        built = timeseries.Panel().legend(legend)
        if panel.threshold is not None:
            mode = common.GraphTresholdsStyleMode.LINE  # the library's spelling
            built = built.thresholds_style(parts.GraphThresholdsStyleConfig().mode(mode))
    built = built.title(panel.title).description(panel.description).unit(panel.unit).datasource(source).min(0)
    for letter, (query, words) in zip("ABCDEFG", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query).legend_format(words).ref_id(letter).datasource(source)
        built = built.with_target(target)
    return built if panel.threshold is None else built.thresholds(levels)


def export_files(target: str = "exporter:9464", most_expensive_tier: str = "large") -> dict[str, str]:
    """Every file of a monitored service, by its path within the folder, ready for ``docker compose up``.

    Parameters
    ----------
    target : str
        Host and port at which the metrics are, as Prometheus sees them. By default the compose file's own exporter,
        which follows a ledger; for a service that shows its metrics itself, its address.
    most_expensive_tier : str
        Name of the tier that the source lesson calls tier 4.

    Returns
    -------
    dict of str to str
        Recording and alerting rules and configuration for Prometheus; data source, provisioning and dashboard for
        Grafana; the OpenMetrics configuration for Datadog's agent; and a compose file that ties them together.

    Raises
    ------
    InvalidValueError
        If `target` is not of the form ``host:port``, or `most_expensive_tier` is empty.
    """
    host, _, port = target.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65_536) or set(target) & set("/ \t\n\"'"):
        raise InvalidValueError("target", "a host and a port such as exporter:9464", target)
    prometheus = {
        "global": {"scrape_interval": _duration(SCRAPE_INTERVAL_S), "evaluation_interval": "1m"},
        "rule_files": ["costlab.rules.yml"],
        "scrape_configs": [{"job_name": "costlab", "static_configs": [{"targets": [target]}]}],
    }
    source = {"name": "Prometheus", "type": "prometheus", "uid": DATASOURCE_UID, "url": "http://prometheus:9090"}
    provider = {"name": "costlab", "type": "file", "options": {"path": "/var/lib/grafana/dashboards"}}
    # Datadog's OpenMetrics check wants counters by their name without _total.
    names = [name for name, *_ in COUNTERS] + [LATENCY[0]] + [name for _, name, *_ in GPU_METRICS]
    metrics = [{name: name.removeprefix("costlab_")} for name in names]
    endpoint = {"openmetrics_endpoint": f"http://{target}/metrics", "namespace": "costlab", "metrics": metrics}
    rules = alerts.alert_rules(most_expensive_tier)
    own_exporter = target == "exporter:9464"
    return {
        "prometheus/costlab.rules.yml": _yaml(prometheus_rules(rules)),
        "prometheus/prometheus.yml": _yaml(prometheus),
        "grafana/dashboards/costlab.json": dashboard_json(rules),
        "grafana/provisioning/datasources/costlab.yml": _yaml(
            {"apiVersion": 1, "datasources": [source | {"access": "proxy", "isDefault": True}]}
        ),
        "grafana/provisioning/dashboards/costlab.yml": _yaml({"apiVersion": 1, "providers": [provider]}),
        "datadog/openmetrics.d/conf.yaml": _yaml({"init_config": {}, "instances": [endpoint]}),
        "compose.yaml": (COMPOSE_HEAD if own_exporter else "") + _yaml(_compose(own_exporter)),
    }


def _yaml(value: Mapping[str, object]) -> str:
    with extra("dashboards"):
        import yaml
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)


def _compose(own_exporter: bool) -> dict[str, object]:
    services: dict[str, dict[str, object]] = {
        "prometheus": {
            "image": "prom/prometheus:v2.53.0",
            "volumes": ["./prometheus:/etc/prometheus:ro"],
            "ports": ["127.0.0.1:9090:9090"],
        },
        "grafana": {
            "image": "grafana/grafana:10.1.0",
            "environment": {"GF_AUTH_ANONYMOUS_ENABLED": "true", "GF_ANALYTICS_REPORTING_ENABLED": "false"},
            "volumes": [
                "./grafana/provisioning:/etc/grafana/provisioning:ro",
                "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
            ],
            "ports": ["127.0.0.1:3000:3000"],
            "depends_on": ["prometheus"],
        },
    }
    if own_exporter:
        make = f"python -m venv /tmp/costlab && /tmp/costlab/bin/pip install --quiet '/wheels/{WHEEL}[monitoring]'"
        serve = "exec /tmp/costlab/bin/costlab monitoring serve /ledger/ledger.db --host 0.0.0.0 --port 9464"
        services["exporter"] = {
            "image": "python:3.11-slim",
            "user": "${COSTLAB_USER:-1000:1000}",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "environment": {"HOME": "/tmp"},  # noqa: S108 - in the container, where this user has no other folder
            "command": ["sh", "-c", f"{make} && {serve}"],
            # The folder with the ledger that the service writes; SQLite must be able to write beside it.
            "volumes": ["./wheels:/wheels:ro", "${COSTLAB_LEDGER_DIR:-./ledger}:/ledger"],
            "restart": "unless-stopped",  # until the service has made its ledger
        }
        services["prometheus"]["depends_on"] = ["exporter"]
    return {"services": services}
