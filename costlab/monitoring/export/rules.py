"""Recording and alerting rules as Prometheus reads them, and tests of them for its ``promtool``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlab.errors import InvalidValueError
from costlab.monitoring.alerts import AlertRule, Timeline, alert_rules, recordings, states

__all__ = ["expression", "prometheus_rules", "rule_tests"]


def expression(rule: AlertRule) -> str:
    """The PromQL of an alarm.

    Examples
    --------
    >>> from costlab.monitoring.alerts import alert_rules
    >>> [expression(rule) for rule in alert_rules("gpt-4o") if rule.only]
    ['costlab:tier_requests_fraction:1h{tier="gpt-4o"} > 0.15']
    """
    only = ""
    if rule.only:
        quoted = rule.only.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        only = f'{{{_split(rule)}="{quoted}"}}'
    return f"{rule.recording}{only} {rule.comparison} {rule.threshold!r}"


def _split(rule: AlertRule) -> str:
    """The label by which the rule's figure is split."""
    found = [one.by for one in recordings() if one.name == rule.recording]
    if not found:
        raise InvalidValueError("recording", f"one of {', '.join(one.name for one in recordings())}", rule.recording)
    return found[0]


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
    rules = alert_rules() if rules is None else rules
    recorded = [{"record": one.name, "expr": one.promql} for one in recordings()]
    return {"groups": [{"name": "costlab", "rules": [*recorded, *(_alert(rule) for rule in rules)]}]}


def _alert(rule: AlertRule) -> dict[str, Any]:
    alert: dict[str, Any] = {"alert": rule.name, "expr": expression(rule)}
    _split(rule)
    if rule.for_s:
        alert["for"] = _duration(rule.for_s)
    return alert | {"labels": {"severity": rule.severity}, "annotations": _annotations(rule)}


def _annotations(rule: AlertRule) -> dict[str, str]:
    words = next(one.words for one in recordings() if one.name == rule.recording)
    side = "above" if rule.comparison == ">" else "below"
    lasting = f" for {_duration(rule.for_s)}" if rule.for_s else ""
    return {"summary": f"{words} {side} {rule.threshold:g}{lasting}", "action": rule.action}


def _duration(seconds: float) -> str:
    """Seconds in the largest unit that holds them whole: 1h, 30m, 45s."""
    whole = round(seconds * 1000)
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if whole % length == 0:
            return f"{whole // length}{unit}"
    return f"{whole}ms"


def rule_tests(rules_file: str, rules: Sequence[AlertRule], timelines: Sequence[Timeline]) -> dict[str, Any]:
    """A file for ``promtool test rules`` that expects of Prometheus what :func:`costlab.monitoring.alerts.states` says.

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
    return {
        "rule_files": [rules_file],
        "evaluation_interval": "1m",
        "tests": [_test(timeline, [r for r in rules if r.recording == timeline.recording]) for timeline in timelines],
    }


def _test(timeline: Timeline, rules: Sequence[AlertRule]) -> dict[str, Any]:
    label = {_split(rules[0]): timeline.label} if timeline.label else {}
    series = timeline.recording + (f'{{{_split(rules[0])}="{timeline.label}"}}' if timeline.label else "")
    values = " ".join("stale" if value is None else repr(value) for value in timeline.values)
    cases = []
    for rule in rules:
        expected = {
            "exp_labels": {"severity": rule.severity, **label},
            "exp_annotations": _annotations(rule),
        }
        for minute, state in enumerate(states(rule, timeline)):
            firing = state == "firing" and rule.only in ("", timeline.label)
            cases.append(
                {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": [expected] if firing else []}
            )
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": cases,
    }
