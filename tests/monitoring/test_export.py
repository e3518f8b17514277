"""What is exported is what the exporter shows: asked of a real Prometheus, and of the tools' own checks."""

import inspect
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import costlab
from costlab.cache.server import free_port
from costlab.cli.monitoring import serve
from costlab.errors import SOURCE, InvalidValueError
from costlab.events import RequestEvent
from costlab.monitoring import (
    AlertRule,
    GpuMetrics,
    GpuReading,
    Ledger,
    OtelMetrics,
    RequestMetrics,
    alert_rules,
    dashboard_json,
    export_files,
    panels,
    recording_rules,
)
from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run
from tests.events.test_request import GOOD
from tests.monitoring.prometheus import answers, ask, firing, running_prometheus, until

needs.extra("prometheus_client", "monitoring")
needs.extra("grafana_foundation_sdk", "dashboards")
needs.extra("yaml", "dashboards")

import prometheus_client  # noqa: E402
import yaml  # noqa: E402

__all__ = ["run"]

#: What stands in a query besides the names of metrics.
WORDS = {
    *("sum", "by", "on", "group_left", "increase", "rate", "count", "vector", "or", "avg", "max", "histogram_quantile"),
    *("le", "tier", "gpu", "outcome"),
}


#: Outcome, tier and model of the requests that a real Prometheus sees.
TRAFFIC = (("ok", "small", "gpt-4o-mini"), ("cached", "small", "gpt-4o-mini"), ("ok", "large", "gpt-4o"))


def exporter() -> Any:
    """A registry with all that the exporter can show, after some requests."""
    registry = prometheus_client.CollectorRegistry()
    RequestMetrics(registry, series=[("small", "gpt-4o-mini"), ("large", "gpt-4o")], scrape_interval_s=3.0)
    GpuMetrics(registry, lambda: [GpuReading("0", 0.7), GpuReading("1", None, "MIG")], 2.0, budget_usd_per_day=50.0)
    return registry


def metric_names(query: str) -> set[str]:
    """The names of metrics in PromQL."""
    return set(re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r"\[\w+\]|\"[^\"]*\"", "", query))) - WORDS


def test_every_query_names_metrics_that_are_exposed() -> None:
    exposed = {sample.name for family in exporter().collect() for sample in family.samples}
    recorded = {one.name for one in recording_rules()}
    for one in recording_rules():
        assert metric_names(one.promql) <= exposed, one.name
    asked = [(panel.title, query) for panel in panels() for query, _ in panel.queries]
    assert len(asked) > 15
    for title, query in asked:
        assert metric_names(query) <= exposed | recorded, title
        assert metric_names(query), title


def test_the_dashboard_shows_every_panel_and_every_query() -> None:
    board = json.loads(dashboard_json())
    shown = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in board["panels"]}
    assert shown == {panel.title: [query for query, _ in panel.queries] for panel in panels()}
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"costlab-prometheus"}
    placed = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(placed)) == len(placed)
    assert all(panel["description"] for panel in board["panels"])


@pytest.mark.parametrize(
    ("rule", "title", "told"),
    [
        ("RequestsExpensive", "Cost per request", "$0.07"),
        ("GpusOverloaded", "GPU utilization", "above 7 %"),
        ("GpuSpendOverBudget", "GPU spending of 24 hours, of budget", "7 %"),
        ("ConversionsExpensive", "Cost of revenue", "7 %"),
        ("RequestsUnpriced", "Unpriced requests", ""),
        ("ExpensiveTierBusy", "Requests by tier", "more than 7 %"),
    ],
)
def test_a_panel_has_the_threshold_of_its_rule(rule: str, title: str, told: str) -> None:
    def thresholds(rules: Sequence[AlertRule]) -> dict[str, float | None]:
        return {panel.title: panel.threshold for panel in panels(rules)}

    (default,) = [own for own in alert_rules() if own.name == rule]
    assert thresholds(()) == thresholds(alert_rules())
    assert thresholds(())[title] == default.threshold
    assert thresholds([replace(default, threshold=0.07)]) == thresholds(()) | {title: 0.07}
    (panel,) = [panel for panel in panels([replace(default, threshold=0.07)]) if panel.title == title]
    assert told in panel.description
    board = json.loads(dashboard_json([replace(default, threshold=0.07)]))
    (drawn,) = [drawn for drawn in board["panels"] if drawn["title"] == title]
    assert drawn["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 0.07


def test_what_counts_as_idle_is_what_the_alarm_takes_for_idle() -> None:
    (idle,) = [rule for rule in alert_rules() if rule.name == "GpuIdle"]
    (panel,) = [panel for panel in panels([replace(idle, threshold=0.07)]) if panel.title == "Idle GPUs"]
    assert "< 0.07)" in panel.queries[0][0]
    assert "below 7 % utilization" in panel.description


def test_datadog_is_told_of_every_metric_by_the_name_it_expects() -> None:
    (instance,) = yaml.safe_load(export_files()["datadog/openmetrics.d/conf.yaml"])["instances"]
    told = {name for entry in instance["metrics"] for name in entry}
    assert told == {family.name for family in exporter().collect()}


def test_a_new_series_is_at_zero_for_as_long_as_our_own_prometheus_takes_to_look() -> None:
    config = yaml.safe_load(export_files()["prometheus/prometheus.yml"])
    defaults = [
        inspect.signature(one).parameters["scrape_interval_s"].default for one in (RequestMetrics, OtelMetrics, serve)
    ]
    assert {config["global"]["scrape_interval"], *(f"{default:g}s" for default in defaults)} == {"15s"}


def test_files_fit_together() -> None:
    files = export_files("app.internal:8000", most_expensive_tier="gpt-4o")
    config = yaml.safe_load(files["prometheus/prometheus.yml"])
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == ["app.internal:8000"]
    assert f"prometheus/{config['rule_files'][0]}" in files
    assert 'tier="gpt-4o"' in files["prometheus/costlab.rules.yml"]
    source = yaml.safe_load(files["grafana/provisioning/datasources/costlab.yml"])["datasources"][0]
    assert source["uid"] == "costlab-prometheus"
    services = yaml.safe_load(files["compose.yaml"])["services"]
    assert set(services) == {"prometheus", "grafana"}  # the service shows its metrics itself
    services = yaml.safe_load(export_files()["compose.yaml"])["services"]
    assert set(services) == {"prometheus", "grafana", "exporter"}
    for service in services.values():
        for volume in service["volumes"]:
            host = volume.split(":")[0]
            assert (
                host.startswith("${")
                or host == "./wheels"
                or any(name.startswith(host.removeprefix("./") + "/") for name in files)
            )


def test_the_exporter_installs_a_wheel_and_is_no_root() -> None:
    text = export_files()["compose.yaml"]
    exporter = yaml.safe_load(text)["services"]["exporter"]
    assert exporter["user"] == "${COSTLAB_USER:-1000:1000}"
    assert exporter["cap_drop"] == ["ALL"]
    wheel = f"costlab-{costlab.__version__}-py3-none-any.whl"
    shell, flag, line = exporter["command"]
    assert subprocess.run([shell, "-n", flag, line], check=True, capture_output=True).stderr == b""
    assert f"/wheels/{wheel}[monitoring]" in line
    assert "://" not in line  # the package comes from the folder
    assert "./wheels:/wheels:ro" in exporter["volumes"]
    (how,) = re.findall(r"^# First, in this folder: (.*)$", text, re.M)
    assert how == f'pip wheel --no-deps --wheel-dir wheels "costlab @ {SOURCE}"'
    assert f"wheels/{wheel}" in text
    assert "wheels" not in export_files("app.internal:8000")["compose.yaml"]


@pytest.mark.parametrize(
    "target", ["exporter", "exporter:", ":9464", "exporter:99999", "http://exporter:9464", "a b:1"]
)
def test_targets_are_checked(target: str) -> None:
    with pytest.raises(InvalidValueError, match="target must be a host and a port"):
        export_files(target)


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus with the exported rules that scrapes an exporter with traffic, every second."""
    registry = exporter()
    (hook,) = [one for one in registry._collector_to_names if isinstance(one, RequestMetrics)]
    server, thread = prometheus_client.start_http_server(0, addr="127.0.0.1", registry=registry)
    count = 0

    def traffic() -> bool:
        nonlocal count
        for outcome, tier, model in TRAFFIC:
            count += 1
            change: dict[str, Any] = {"request_id": f"r-{count}", "tier": tier, "model": model}
            change |= {"outcome": outcome, "conversion_value_micro_usd": 5000 if outcome == "ok" else None}
            hook(RequestEvent(**GOOD | change))
        hook(RequestEvent(**GOOD | {"cost_micro_usd": None}))
        return all(answers(address, one.name) for one in recording_rules())

    try:
        with running_prometheus(tmp_path, f"127.0.0.1:{server.server_port}") as address:
            until(traffic)
            yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
def test_a_real_prometheus_scrapes_the_exporter_and_answers_every_query(scraped: str) -> None:
    for panel in panels():
        for query, legend in panel.queries:
            assert answers(scraped, query), f"{panel.title}, {legend}: {query}"
    groups = ask(f"{scraped}/api/v1/rules")["data"]["groups"]
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]}
    assert len(health) == 16
    assert set(health.values()) == {("ok", None)}
    # Figures, not only names: 153 micro-dollars a priced request, whichever requests have none.
    (per_request,) = answers(scraped, "costlab:cost_usd_per_request:1h")
    assert float(per_request["value"][1]) == pytest.approx(0.000153, rel=1e-6)
    (utilization,) = answers(scraped, "costlab:gpu_utilization:now")
    assert float(utilization["value"][1]) == 0.7  # the GPU that nobody can read is not an idle one
    (unknown,) = answers(scraped, "count(costlab_gpu_utilization_known == 0)")
    assert unknown["value"][1] == "1"
    assert until(lambda: "RequestsUnpriced" in firing(scraped))


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_an_exporter_follows_a_ledger_until_it_is_ended(tmp_path: Path, end: signal.Signals) -> None:
    port = free_port()
    with Ledger(tmp_path / "ledger.db", batch_size=1) as book:
        command = [sys.executable, "-m", "costlab", "monitoring", "serve", str(tmp_path / "ledger.db")]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--every-s", "0.05", "--scrape-interval-s", "0"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"metrics at http://127.0.0.1:{port}/metrics\n"
            book.append(RequestEvent(**GOOD | {"time_s": time.time()}))
            wanted = 'costlab_requests_total{model="gpt-4o-mini",outcome="ok",tier="small"} 1.0'
            for _ in range(100):
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    if wanted in (text := answer.read().decode()):
                        break
                time.sleep(0.05)
            assert wanted in text
            process.send_signal(end)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def test_export_writes_files_once(run: Run, tmp_path: Path) -> None:
    status, out, err = run("monitoring", "export", str(tmp_path / "new"), "--dearest-tier", "big")
    assert (status, out) == (0, "")
    for name, text in export_files(most_expensive_tier="big").items():
        assert (tmp_path / "new" / name).read_text() == text
        assert f"wrote {tmp_path / 'new' / name}\n" in err
    status, _, err = run("monitoring", "export", str(tmp_path / "new"))
    assert (status, err.count("\n")) == (2, 1)
    assert "folder must be one without these files, or --force" in err
    assert run("monitoring", "export", str(tmp_path / "new"), "--force", "--most-expensive-tier", "large")[0] == 0
    assert 'tier="large"' in (tmp_path / "new/prometheus/costlab.rules.yml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export",), "Missing argument"),
        (("export", "{}/x", "--target", "nowhere"), "target must be a host and a port such as exporter:9464"),
        (("export", "{}/x", "--dearest-tier", ""), "most_expensive_tier must be the name of a tier, got ''"),
        (("serve", "{}/absent.db"), "absent.db"),
        (("serve", "{}/x.db", "--port", "70000"), "port must be a whole number from 0 to 65535, got 70000"),
        (("serve", "{}/x.db", "--every-s", "0"), "every_s must be a number > 0, got 0.0"),
        (("serve", "{}/x.db", "--gpus", "amd"), "gpus must be none, nvml, or the address of DCGM's exporter"),
        (("serve", "{}/x.db", "--usd-per-hour", "1"), "usd_per_hour must be given with --gpus, and only then, got 1.0"),
        (("serve", "{}/x.db", "--gpus", "http://127.0.0.1:1"), "usd_per_hour must be given with --gpus"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_status_2(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status, out, err = run("monitoring", *(one.replace("{}", str(tmp_path)) for one in arguments))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
