"""The alerts of S8: both sides of every threshold and of every duration, in process and in Prometheus itself."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.monitoring import (
    AlertRule,
    Timeline,
    alert_rules,
    incidents,
    prometheus_rules,
    recording_rules,
    rule_tests,
    states,
)
from tests import needs

RULES = {rule.name: rule for rule in alert_rules()}
LABELS = {"tier": "large", "gpu": "0", "": ""}

#: Threshold, the time over which the figure is taken, and the minutes that it must last, as S8 has them; the last is
#: ours. S8's hour for the cost of a request is the hour of the mean.
LESSON = {
    "RequestsExpensive": (">", 0.05, "1h", 0),
    "GpusUnderused": ("<", 0.40, "now", 30),
    "GpusOverloaded": (">", 0.90, "now", 10),
    "GpuSpendOverBudget": (">", 1.20, "1d", 0),
    "ExpensiveTierBusy": (">", 0.15, "1h", 0),
    "ConversionsExpensive": (">", 0.05, "1d", 0),
    "GpuIdle": ("<", 0.10, "now", 120),
    "RequestsUnpriced": (">", 0.01, "1h", 0),
}


def timeline(rule: AlertRule, values: list[float | None], label: str | None = None) -> Timeline:
    """A figure minute by minute."""
    split = {figure.name: figure.by for figure in recording_rules()}[rule.figure]
    own = LABELS[split] if label is None else label
    return Timeline(rule.figure, own, tuple(60.0 * minute for minute in range(len(values))), tuple(values))


def wrong(rule: AlertRule) -> float:
    return rule.threshold + (1e-9 if rule.comparison == ">" else -1e-9)


def test_the_rules_are_those_of_the_source_lesson() -> None:
    found = {
        rule.name: (rule.comparison, rule.threshold, rule.figure.split(":")[-1], rule.for_s / 60)
        for rule in alert_rules()
    }
    assert found == LESSON


def test_figures_are_computed_before_the_alarms_that_read_them() -> None:
    """In one group, where the order is certain; Prometheus starts different groups in any order."""
    (group,) = prometheus_rules()["groups"]
    kinds = ["record" if "record" in rule else "alert" for rule in group["rules"]]
    assert kinds == ["record"] * len(recording_rules()) + ["alert"] * len(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_threshold_itself_is_no_alarm_and_what_is_beyond_is(rule: AlertRule) -> None:
    long = int(rule.for_s / 60) + 5
    assert set(states(rule, timeline(rule, [rule.threshold] * long))) == {"inactive"}
    assert states(rule, timeline(rule, [wrong(rule)] * long))[-1] == "firing"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_alarm_fires_at_its_duration_and_not_a_minute_before(rule: AlertRule) -> None:
    minutes = int(rule.for_s / 60)
    found = states(rule, timeline(rule, [rule.threshold, *[wrong(rule)] * (minutes + 1)]))
    assert found[-1] == "firing"
    assert set(found[1:-1]) <= {"pending"}
    assert len(found[1:-1]) == minutes


@pytest.mark.parametrize("pause", [None, float("nan"), "threshold"])
def test_one_moment_on_the_right_side_or_without_a_value_starts_anew(pause: Any) -> None:
    rule = RULES["GpusOverloaded"]
    values = [0.95] * 10 + [rule.threshold if pause == "threshold" else pause] + [0.95] * 10
    assert "firing" not in states(rule, timeline(rule, values))
    assert states(rule, timeline(rule, [*values, 0.95]))[-1] == "firing"


@pytest.mark.parametrize(("missing", "state"), [(0, "firing"), (5, "firing"), (6, "pending"), (30, "pending")])
def test_five_missing_moments_are_harmless_and_six_start_anew(missing: int, state: str) -> None:
    rule = RULES["GpusOverloaded"]
    times_s = [60.0 * minute for minute in (*range(8), *range(8 + missing, 11 + missing))]
    line = Timeline(rule.figure, "", tuple(times_s), (0.95,) * len(times_s))
    assert states(rule, line)[-1] == state


def test_incidents_on_both_sides_of_a_gap_are_two() -> None:
    rule = RULES["GpusOverloaded"]
    times_s = tuple(60.0 * minute for minute in (*range(12), *range(30, 42)))
    first, second = incidents([rule], [Timeline(rule.figure, "", times_s, (0.95,) * 24)])
    assert (first.since_s, first.fired_s, first.until_s) == (0.0, 600.0, 60.0 * (11 + 6))
    assert (second.since_s, second.fired_s, second.until_s) == (60.0 * 30, 60.0 * 40, None)


def test_incidents_say_when_and_how_bad() -> None:
    rule = RULES["GpuIdle"]
    values: list[float | None] = [0.5, *[0.05] * 60, 0.01, *[0.05] * 70, 0.5, 0.05]
    (found,) = incidents([rule], [timeline(rule, values)])
    assert (found.since_s, found.fired_s, found.until_s, found.worst) == (60.0, 60.0 + 7200, 60.0 * 132, 0.01)
    assert found.label == "0"
    (lasting,) = incidents([rule], [timeline(rule, values[:130])])
    assert lasting.until_s is None


def test_only_the_most_expensive_tier_counts() -> None:
    rule = RULES["ExpensiveTierBusy"]
    assert incidents([rule], [timeline(rule, [0.4], "small")]) == ()
    assert len(incidents(alert_rules("small"), [timeline(rule, [0.4], "small")])) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "two words"}, InvalidValueError, "name must be one word"),
        ({"comparison": ">="}, UnknownNameError, "unknown comparison '>='"),
        ({"threshold": float("nan")}, InvalidValueError, "threshold must be a finite number"),
        ({"for_s": -1.0}, InvalidValueError, "for_s must be a number >= 0"),
        ({"severity": "panic"}, UnknownNameError, "unknown severity 'panic'"),
    ],
)
def test_rules_are_checked(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {
        "name": "Mine",
        "figure": "costlab:gpu_utilization:now",
        "comparison": ">",
        "threshold": 0.5,
        "for_s": 60.0,
        "severity": "page",
        "action": "look",
    }
    assert AlertRule(**good).threshold == 0.5
    with pytest.raises(error, match=message):
        AlertRule(**good | change)
    with pytest.raises(InvalidValueError, match="figure must be one of costlab:cost_usd_per_request:1h"):
        prometheus_rules([AlertRule(**good | {"figure": "costlab:mine:now"})])


def test_timelines_are_checked() -> None:
    rule = RULES["GpuIdle"]
    with pytest.raises(InvalidValueError, match="times_s must be rising"):
        Timeline(rule.figure, "", (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(InvalidValueError, match="values must be 2, one for each time, got 1"):
        Timeline(rule.figure, "", (0.0, 1.0), (1.0,))
    with pytest.raises(InvalidValueError, match="timeline must be one of costlab:gpu_utilization_each:now"):
        states(rule, Timeline("costlab:gpu_utilization:now", "", (0.0,), (1.0,)))
    with pytest.raises(InvalidValueError, match="most_expensive_tier must be the name of a tier"):
        alert_rules("")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=60))
def test_firing_needs_the_whole_duration_beyond_the_threshold(values: list[float | None]) -> None:
    rule = RULES["GpusOverloaded"]
    found = states(rule, timeline(rule, values))
    for place, state in enumerate(found):
        last = values[max(0, place - 10) : place + 1]
        assert (state == "firing") == (len(last) == 11 and all(v is not None and v > 0.9 for v in last))


def boundary_timelines() -> list[Timeline]:
    """For each rule, a timeline that comes as near to each boundary as it can, from both sides, with gaps."""
    found = []
    for rule in alert_rules():
        minutes, bad, good = int(rule.for_s / 60), wrong(rule), rule.threshold
        values: list[float | None] = [good, *[bad] * minutes, good]  # a minute too short
        values += [*[bad] * (minutes + 1), good]  # just long enough
        values += [*[bad] * minutes, None, bad, good]  # interrupted by nothing
        values += [*[bad] * (minutes + 3), None, None, good]
        found.append(timeline(rule, values))
    found.append(timeline(RULES["ExpensiveTierBusy"], [0.9, 0.9, 0.9], "small"))
    found.append(timeline(RULES["GpuIdle"], [*[0.5] * 5, *[0.0] * 125], "1"))
    return found


def test_prometheus_agrees_on_every_boundary(tmp_path: Path) -> None:
    needs.extra("yaml", "dashboards")
    import yaml

    promtool = needs.program("promtool", install="apt-get install prometheus")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(prometheus_rules()))
    tests = rule_tests("rules.yml", alert_rules(), boundary_timelines())
    assert sum(bool(case["exp_alerts"]) for test in tests["tests"] for case in test["alert_rule_test"]) > 40
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))

    def run(file: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [promtool, "test", "rules", file], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run("tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    # And it would have told: a threshold off by a little is noticed.
    for rule in alert_rules():
        moved = replace(rule, threshold=rule.threshold + (1e-8 if rule.comparison == ">" else -1e-8))
        shifted = [moved if one == rule else one for one in alert_rules()]
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(prometheus_rules(shifted)))
        assert run("tests.yml").returncode != 0, rule.name
