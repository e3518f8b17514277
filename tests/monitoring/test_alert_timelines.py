"""Figures from logs are those that Prometheus computes from the exporter's metrics."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.errors import InvalidValueError
from costlab.events import RequestEvent
from costlab.monitoring import (
    Ledger,
    Timeline,
    aggregate,
    alert_rules,
    event_frame,
    gpu_timelines,
    incidents,
    open_log,
    prometheus_rules,
    recording_rules,
    request_timelines,
    states,
)
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow"):
    needs.extra(module, "usage")

import pyarrow as pa  # noqa: E402

MINUTE = 60
UTILIZATION = "costlab:gpu_utilization:now"


def log(rows: list[dict[str, Any]]) -> Any:
    plain = {"tier": "large", "model": "m", "input_tokens": 1, "output_tokens": 1, "cost_micro_usd": 1000}
    plain |= {"conversion_value_micro_usd": None}
    schema = [("time_s", pa.float64()), ("tier", pa.string()), ("model", pa.string()), ("input_tokens", pa.int64())]
    schema += [(name, pa.int64()) for name in ("output_tokens", "cost_micro_usd", "conversion_value_micro_usd")]
    return pa.Table.from_pylist([plain | row for row in rows], schema=pa.schema(schema))


def values(timelines: Any, figure: str, label: str = "") -> list[float | None]:
    (found,) = [one for one in timelines if one.figure == figure and one.label == label]
    return list(found.values)


def test_windows_hold_what_belongs_to_them() -> None:
    rows: list[dict[str, Any]] = [
        {"time_s": 0.0, "cost_micro_usd": 5_000_000},
        {"time_s": 59.9},
        {"time_s": 60.0 * 12, "cost_micro_usd": None},
    ]
    found = request_timelines(log(rows))
    per_request = values(found, "costlab:cost_usd_per_request:1h")
    assert per_request == [pytest.approx(5.001 / 2)] * 13  # the one without a price is not in it
    later = request_timelines(log([*rows, {"time_s": 60.0 * 70}]))
    # An hour after the two they leave the window; one alone, which comes then, is no mean.
    assert values(later, "costlab:cost_usd_per_request:1h") == [pytest.approx(5.001 / 2)] * 60 + [None] * 11
    unpriced = values(found, "costlab:unpriced_fraction:1h")
    assert unpriced == [0.0] * 12 + [pytest.approx(1 / 3)]


def test_shares_and_costs_of_tiers() -> None:
    rows: list[dict[str, Any]] = [{"time_s": 1.0, "tier": "large"}]
    rows += [{"time_s": 2.0, "tier": "small", "conversion_value_micro_usd": 40_000}]
    rows.append({"time_s": 3700.0, "tier": "small"})
    found = request_timelines(log(rows))
    assert values(found, "costlab:tier_requests_fraction:1h", "large")[0] == 0.5
    assert values(found, "costlab:tier_requests_fraction:1h", "large")[-1] == 0.0  # left the window
    assert values(found, "costlab:tier_cost_usd:1h", "small")[0] == 0.001
    assert values(found, "costlab:cost_of_revenue_fraction:1d")[-1] == pytest.approx(3000 / 40_000)


def test_the_runaway_client_of_the_sample_day_is_noticed() -> None:
    sample = sample_log(np.random.default_rng(0), 20_000, days=1, runaway=True)
    (tier,) = [
        one for one in incidents(alert_rules(), request_timelines(sample)) if one.rule.name == "ExpensiveTierBusy"
    ][:1]
    start = int(aggregate(sample, by=["day"])[0].key[0])
    assert start + 14 * 3600 < tier.fired_s < start + 15 * 3600


def test_a_ledger_is_watched_as_a_log_is(tmp_path: Path) -> None:
    sample = sample_log(np.random.default_rng(2), 500, days=1)
    events = [RequestEvent(**row) for row in sample.to_pylist()]
    with Ledger(tmp_path / "ledger.db") as book:
        for event in events:
            book.append(event)
        frame = event_frame(book.events())
        assert book.to_parquet(tmp_path / "ledger.parquet") == 500
    assert aggregate(frame, by=["tier", "model"]) == aggregate(sample, by=["tier", "model"])
    assert aggregate(open_log(tmp_path / "ledger.parquet").frame, by=["hour"]) == aggregate(sample, by=["hour"])
    assert request_timelines(frame) == request_timelines(sample)
    assert request_timelines(event_frame([])) == ()


def test_gpus_by_the_minute() -> None:
    hours = pa.table(
        {
            "time_s": [0.0, 0.0, 300.0],
            "gpu": ["a", "b", "a"],
            "hours": [5 / 60, 10 / 60, 5 / 60],
            "usd_per_hour": [6.0, 6.0, 6.0],
            "utilization_fraction": [0.0, 1.0, None],
        }
    )
    found = gpu_timelines(hours, budget_usd_per_day=1.0)
    assert values(found, "costlab:gpu_utilization_each:now", "a") == [0.0] * 5 + [None] * 5
    assert values(found, "costlab:gpu_utilization:now") == [0.5] * 5 + [1.0] * 5
    assert values(found, "costlab:gpu_spend_of_budget:1d")[-1] == pytest.approx(2.0)
    with pytest.raises(InvalidValueError, match="budget_usd_per_day must be a number > 0"):
        gpu_timelines(hours, budget_usd_per_day=0)


def test_the_forgotten_gpu_of_the_sample_is_noticed() -> None:
    hours = sample_gpu_hours(np.random.default_rng(0), days=2, gpus=3)
    idle = [one for one in incidents(alert_rules(), gpu_timelines(hours)) if one.rule.name == "GpuIdle"]
    assert {one.label for one in idle} == {"a10g-2"}


def test_a_missing_row_is_bridged_and_one_without_a_utilization_is_not() -> None:
    def mean(gap: list[dict[str, Any]]) -> list[float | None]:
        rows = [{"time_s": 0.0, "utilization_fraction": 0.2}, *gap, {"time_s": 480.0, "utilization_fraction": 0.4}]
        plain = {"gpu": "a", "hours": 1 / 60, "usd_per_hour": 6.0}
        return values(gpu_timelines(pa.Table.from_pylist([plain | row for row in rows])), UTILIZATION)

    assert mean([]) == [0.2] * 6 + [None] * 2 + [0.4]
    assert mean([{"time_s": 120.0, "utilization_fraction": None}]) == [0.2] * 2 + [None] * 6 + [0.4]


def promtool(folder: Path, tests: list[dict[str, Any]]) -> None:
    """Let Prometheus' own tool run these tests on the exported rules, those that they need."""
    import yaml

    program = needs.program("promtool", install="apt-get install prometheus")
    watched = {case["alertname"] for test in tests for case in test["alert_rule_test"]}
    alarms = [rule for rule in alert_rules() if rule.name in watched]
    (group,) = prometheus_rules(alarms)["groups"]
    group["rules"] = [
        rule for rule in group["rules"] if rule.get("record") in {None, *(alarm.figure for alarm in alarms)}
    ]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(json.dumps(whole))  # JSON is YAML, and is written faster
    command = [program, "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def cases(timelines: Iterable[Timeline], *names: str) -> list[dict[str, Any]]:
    """What Prometheus is to say of these alarms at the end of each minute: what is said in process."""
    alerts = {
        rule["alert"]: rule for group in prometheus_rules()["groups"] for rule in group["rules"] if "alert" in rule
    }
    found = []
    for rule in alert_rules():
        if rule.name in names:
            own = [one for one in timelines if rule.watches(one)]
            assert own
            for minute, moment in enumerate(zip(*(states(rule, one) for one in own), strict=True), 1):
                fires = [one for one, state in zip(own, moment, strict=True) if state == "firing"]
                label = {figure.name: figure.by for figure in recording_rules()}[rule.figure]
                told = [
                    {
                        "exp_labels": {"severity": rule.severity} | ({label: one.label} if label else {}),
                        "exp_annotations": alerts[rule.name]["annotations"],
                    }
                    for one in fires
                ]
                found.append({"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": told})
    return found


def raised(expected: list[dict[str, Any]], name: str) -> list[bool]:
    return [bool(case["exp_alerts"]) for case in expected if case["alertname"] == name]


def counters(frame: Any) -> list[dict[str, str]]:
    """The counters as a scrape at the end of each minute finds them; at 0 nothing has happened."""
    cells = {one.key: one for one in aggregate(frame, by=["tier", "minute"])}
    minutes = [minute for _, minute in cells]
    series = []
    for tier in sorted({tier for tier, _ in cells}):
        totals = {"requests": 0.0, "unpriced_requests": 0.0, "cost_usd": 0.0, "conversion_value_usd": 0.0}
        points: dict[str, list[float]] = {name: [0.0] for name in totals}
        for minute in range(min(minutes), max(minutes) + MINUTE, MINUTE):
            cell = cells.get((tier, minute))
            if cell is not None:
                totals["requests"] += cell.requests
                totals["unpriced_requests"] += cell.unpriced_requests
                totals["cost_usd"] += cell.cost_usd
                totals["conversion_value_usd"] += cell.revenue_usd
            for name, total in totals.items():
                points[name].append(round(total, 6))
        for name, line in points.items():
            label = f'costlab_{name}_total{{tier="{tier}",model="m",outcome="ok"}}'
            series.append({"series": label, "values": " ".join(map(repr, line))})
    return series


def test_prometheus_fires_on_raw_metrics_when_the_log_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for minute in range(150):
        large, dear = (0.3 if 40 <= minute < 110 else 0.05), (60 <= minute < 125)
        for request in range(20):
            tier = "large" if rng.random() < large else "small"
            cost = int(rng.integers(60_000, 90_000) if dear else rng.integers(1_000, 40_000))
            rows.append({"time_s": 60.0 * minute + request, "tier": tier, "cost_micro_usd": cost})
        rows.append({"time_s": 60.0 * minute + 30, "tier": "small", "conversion_value_micro_usd": 3_000_000})
        if minute > 70 and minute % 3 == 0:
            rows[-2]["cost_micro_usd"] = None
    frame = log(rows)
    watched = ("RequestsExpensive", "ExpensiveTierBusy", "ConversionsExpensive", "RequestsUnpriced")
    expected = cases(request_timelines(frame), *watched)
    for name in watched:
        assert True in raised(expected, name), name
    promtool(tmp_path, [{"interval": "1m", "input_series": counters(frame), "alert_rule_test": expected}])


def every(spacing: int, first: int, last: int, **row: Any) -> list[dict[str, Any]]:
    """A request each so many minutes."""
    return [row | {"time_s": 60.0 * minute + 30} for minute in range(first, last, spacing)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("micro_usd", "spacings"), [(1_000_000, range(1, 61)), (50_100, (1, 7, 31, 59, 60)), (49_900, (1, 7, 31, 59, 60))]
)
def test_dear_requests_raise_the_alarm_however_rare_they_are(
    tmp_path: Path, micro_usd: int, spacings: Sequence[int]
) -> None:
    """One request each minute to one each hour: cheap for an hour, dear for two, then cheap again."""
    tests = []
    for spacing in spacings:
        rows = every(spacing, 0, 60, cost_micro_usd=1_000)
        rows += every(spacing, 60, 180, cost_micro_usd=micro_usd)
        rows += every(spacing, 180, 251, cost_micro_usd=1_000)
        frame = log(rows)
        expected = cases(request_timelines(frame), "RequestsExpensive")
        fired = raised(expected, "RequestsExpensive")
        assert not any(fired[:60]), spacing
        # Two of them within an hour do: with one alone in each hour there is no mean.
        assert any(fired) == (micro_usd > 50_000 and spacing < 60), spacing
        assert not any(fired[240:]), spacing
        tests.append({"interval": "1m", "input_series": counters(frame), "alert_rule_test": expected})
    promtool(tmp_path, tests)


@pytest.mark.parametrize("spacing", [6, 7])
def test_twenty_times_the_threshold_every_few_minutes_wakes_somebody(spacing: int) -> None:
    found = incidents(alert_rules(), request_timelines(log(every(spacing, 0, 600, cost_micro_usd=1_000_000))))
    (dear,) = [one for one in found if one.rule.name == "RequestsExpensive"]
    assert dear.fired_s == 60.0 * (spacing + 1)  # with the second of them
    assert dear.until_s is None


@pytest.mark.slow
def test_rare_requests_in_the_other_rules(tmp_path: Path) -> None:
    """Shares and revenue at each spacing, a day without any revenue among them."""
    tests = []
    for spacing in range(1, 61, 7):
        rows = every(spacing, 0, 200, tier="small", conversion_value_micro_usd=15_000)
        rows += every(spacing, 100, 300, tier="large", cost_micro_usd=None)
        frame = log(rows)
        expected = cases(request_timelines(frame), "ExpensiveTierBusy", "ConversionsExpensive", "RequestsUnpriced")
        assert {name: set(raised(expected, name)) for name in ("ExpensiveTierBusy", "RequestsUnpriced")} == {
            "ExpensiveTierBusy": {False, True}, "RequestsUnpriced": {False, True}
        }  # fmt: skip
        assert all(raised(expected, "ConversionsExpensive"))
        tests.append({"interval": "1m", "input_series": counters(frame), "alert_rule_test": expected})
    frame = log(every(5, 0, 100))
    expected = cases(request_timelines(frame), "ConversionsExpensive")
    assert not any(raised(expected, "ConversionsExpensive"))  # who sells nothing has no share of revenue
    promtool(tmp_path, [*tests, {"interval": "1m", "input_series": counters(frame), "alert_rule_test": expected}])


@pytest.mark.parametrize("known", [True, False], ids=["missing", "stale"])
def test_utilization_across_gaps_as_prometheus_has_it(tmp_path: Path, known: bool) -> None:
    """A pause in two hours of idling: samples that are missing, and samples that say that the GPU cannot be read."""
    tests = []
    for gap in (0, 1, 4, 5, 6, 7, 20):
        rows: list[dict[str, Any]] = []
        points = ["_"]
        for minute in range(150):
            away = 100 <= minute < 100 + gap
            points.append(("_" if known else "stale") if away else "0.05")
            if not (away and known):
                row = {"time_s": 60.0 * minute, "gpu": "0", "hours": 1 / 60, "usd_per_hour": 1.0}
                rows.append(row | {"utilization_fraction": None if away else 0.05})
        expected = cases(gpu_timelines(pa.Table.from_pylist(rows)), "GpuIdle", "GpusUnderused")
        assert any(raised(expected, "GpuIdle")) == (gap == 0 or (known and gap <= 5)), gap
        assert any(raised(expected, "GpusUnderused"))
        series = [{"series": 'costlab_gpu_utilization_ratio{gpu="0"}', "values": " ".join(points)}]
        tests.append({"interval": "1m", "input_series": series, "alert_rule_test": expected})
    promtool(tmp_path, tests)
