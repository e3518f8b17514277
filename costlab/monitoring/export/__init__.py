"""Rules, dashboard and configuration for Prometheus, Grafana and Datadog, written from the same data."""

from costlab.monitoring.export.dashboard import Panel, dashboard_json, panels
from costlab.monitoring.export.files import export_files
from costlab.monitoring.export.rules import prometheus_rules, rule_tests

__all__ = ["Panel", "dashboard_json", "export_files", "panels", "prometheus_rules", "rule_tests"]
