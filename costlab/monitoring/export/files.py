"""All files of a monitored service: written to a folder, ready for ``docker compose up``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from costlab._internal.extras import require
from costlab.errors import InvalidValueError
from costlab.monitoring.alerts import alert_rules
from costlab.monitoring.export.dashboard import DATASOURCE_UID, dashboard_json
from costlab.monitoring.export.rules import prometheus_rules
from costlab.monitoring.gpu_metrics import GPU_METRICS
from costlab.monitoring.metrics import COUNTERS, LATENCY

__all__ = ["export_files"]

#: Where the exporter of the compose file finds the package.
PACKAGE: Final = "costlab[monitoring] @ https://github.com/costlab/costlab/archive/refs/heads/main.tar.gz"


def export_files(target: str = "exporter:9464", dearest_tier: str = "large") -> dict[str, str]:
    """Every file, by its path within the folder.

    Parameters
    ----------
    target : str
        Host and port at which the metrics are, as Prometheus sees them. By default the compose file's own exporter,
        which follows a ledger; for a service that shows its metrics itself, its address.
    dearest_tier : str
        Name of the tier that the source lesson calls tier 4.

    Returns
    -------
    dict of str to str
        Recording and alerting rules and configuration for Prometheus; data source, provisioning and dashboard for
        Grafana; the OpenMetrics configuration for Datadog's agent; and a compose file that ties them together.

    Raises
    ------
    InvalidValueError
        If `target` is not of the form ``host:port``, or `dearest_tier` is empty.
    MissingExtraError
        If ``grafana-foundation-sdk`` or ``pyyaml`` is not installed.
    """
    host, _, port = target.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65_536) or set(target) & set("/ \t\n\"'"):
        raise InvalidValueError("target", "a host and a port such as exporter:9464", target)
    rules = prometheus_rules(alert_rules(dearest_tier))
    return {
        "prometheus/costlab.rules.yml": _yaml(rules),
        "prometheus/prometheus.yml": _yaml(_prometheus(target)),
        "grafana/dashboards/costlab.json": dashboard_json(),
        "grafana/provisioning/datasources/costlab.yml": _yaml(_datasource()),
        "grafana/provisioning/dashboards/costlab.yml": _yaml(_provider()),
        "datadog/openmetrics.d/conf.yaml": _yaml(_datadog(target)),
        "compose.yaml": _yaml(_compose(own_exporter=target == "exporter:9464")),
    }


def _yaml(value: Mapping[str, Any]) -> str:
    text: str = require("yaml", "dashboards").safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    return text


def _prometheus(target: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "1m"},
        "rule_files": ["costlab.rules.yml"],
        "scrape_configs": [{"job_name": "costlab", "static_configs": [{"targets": [target]}]}],
    }


def _datasource() -> dict[str, Any]:
    source = {"name": "Prometheus", "type": "prometheus", "uid": DATASOURCE_UID, "url": "http://prometheus:9090"}
    return {"apiVersion": 1, "datasources": [source | {"access": "proxy", "isDefault": True}]}


def _provider() -> dict[str, Any]:
    options = {"path": "/var/lib/grafana/dashboards"}
    return {"apiVersion": 1, "providers": [{"name": "costlab", "type": "file", "options": options}]}


def _datadog(target: str) -> dict[str, Any]:
    """The agent's OpenMetrics check; it wants counters by their name without ``_total``."""
    names = [name for name, _, _ in COUNTERS] + [LATENCY[0]] + [name for _, name, _, _ in GPU_METRICS]
    metrics = [{name: name.removeprefix("costlab_")} for name in names]
    return {
        "init_config": {},
        "instances": [{"openmetrics_endpoint": f"http://{target}/metrics", "namespace": "costlab", "metrics": metrics}],
    }


def _compose(*, own_exporter: bool) -> dict[str, Any]:
    services: dict[str, Any] = {
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
        serve = "costlab monitoring serve /ledger/ledger.db --host 0.0.0.0 --port 9464"
        services["exporter"] = {
            "image": "python:3.11-slim",
            "command": ["sh", "-c", f"pip install --quiet '{PACKAGE}' && exec {serve}"],
            # The folder with the ledger that the service writes; SQLite must be able to write beside it.
            "volumes": ["${COSTLAB_LEDGER_DIR:-./ledger}:/ledger"],
            "restart": "unless-stopped",  # until the service has made its ledger
        }
        services["prometheus"]["depends_on"] = ["exporter"]
    return {"services": services}
