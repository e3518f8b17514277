"""Figures from logs are those that Prometheus computes from the exporter's metrics."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.errors import InvalidValueError
from costlab.events import RequestEvent
from costlab.monitoring import (
    AlertRule,
    Ledger,
    aggregate,
    alert_rules,
    event_frame,
    gpu_timelines,
    incidents,
    open_log,
    prometheus_rules,
    request_timelines,
    states,
)
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow"):
    needs.extra(module, "usage")

import pyarrow as pa  # noqa: E402

MINUTE = 60


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
    per_request = values(found, "costlab:cost_usd_per_request:5m")
    # At the ends of minutes 1 to 5 both requests are in the window; afterwards none, and then one without a price.
    assert per_request == [pytest.approx(5.001 / 2)] * 5 + [None] * 8
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
        one for one in incidents(alert_rules(), request_timelines(sample)) if one.rule.name == "DearestTierBusy"
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


def test_prometheus_fires_on_raw_metrics_when_the_log_says_so(tmp_path: Path) -> None:
    needs.extra("yaml", "dashboards")
    import yaml

    promtool = needs.program("promtool", install="apt-get install prometheus")
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
    timelines = request_timelines(frame)

    # The counters as a scrape at the end of each minute finds them; at 0 nothing has happened.
    series: dict[str, list[float]] = {}
    cells = {one.key: one for one in aggregate(frame, by=["tier", "minute"])}
    for tier in ("large", "small"):
        totals = {"requests": 0.0, "unpriced_requests": 0.0, "cost_usd": 0.0, "conversion_value_usd": 0.0}
        names = {name: f'costlab_{name}_total{{tier="{tier}",model="m",outcome="ok"}}' for name in totals}
        for name in totals:
            series[names[name]] = [0.0]
        for minute in range(150):
            cell = cells.get((tier, 60 * minute))
            if cell is not None:
                totals["requests"] += cell.requests
                totals["unpriced_requests"] += cell.unpriced_requests
                totals["cost_usd"] += cell.cost_usd
                totals["conversion_value_usd"] += cell.revenue_usd
            for name in totals:
                series[names[name]].append(round(totals[name], 6))

    def cases(rule: AlertRule) -> list[dict[str, Any]]:
        (own,) = [one for one in timelines if one.figure == rule.figure and rule.only in ("", one.label)]
        label = {"tier": own.label} if own.label else {}
        annotations = [a for g in prometheus_rules()["groups"] for a in g["rules"] if a.get("alert") == rule.name]
        told = {"exp_labels": {"severity": rule.severity, **label}, "exp_annotations": annotations[0]["annotations"]}
        return [
            {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": [told] if state == "firing" else []}
            for minute, state in enumerate(states(rule, own), 1)
        ]

    watched = ("RequestsDear", "DearestTierBusy", "ConversionsDear", "RequestsUnpriced")
    expected = [case for rule in alert_rules() if rule.name in watched for case in cases(rule)]
    for name in watched:
        fired = {bool(case["exp_alerts"]) for case in expected if case["alertname"] == name}
        assert True in fired, name
    inputs = [{"series": name, "values": " ".join(map(repr, points))} for name, points in series.items()]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": expected}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(prometheus_rules()))
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(whole))
    command = [promtool, "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
