"""The source lesson's alerts as data: evaluated in process, and exported for Prometheus."""

from costlab.monitoring.alerts.evaluate import Incident, State, Timeline, incidents, states
from costlab.monitoring.alerts.rules import AlertRule, Recording, alert_rules, recordings
from costlab.monitoring.alerts.timelines import gpu_timelines, request_timelines

__all__ = [
    "AlertRule",
    "Incident",
    "Recording",
    "State",
    "Timeline",
    "alert_rules",
    "gpu_timelines",
    "incidents",
    "recordings",
    "request_timelines",
    "states",
]
