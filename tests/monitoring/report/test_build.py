"""What a report says, and where its savings come from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic_core import to_json

from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.monitoring import build_report, fill_costs
from costlab.monitoring.report import build
from costlab.monitoring.report.render import facts, group_tables
from costlab.synthetic import sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet  # noqa: E402

HOUR, DAY = 3600, 86_400


def log(rows: list[dict[str, Any]]) -> Any:
    """A log of rows that name only what matters to them."""
    plain = {
        "time_s": 0.0,
        "tier": "large",
        "model": "m",
        "input_tokens": 100,
        "cached_input_tokens": 0,
        "output_tokens": 10,
        "cost_micro_usd": 1_000_000,
        "outcome": "ok",
        "tenant": "",
    }
    return pa.Table.from_pylist([plain | row for row in rows])


def saving(report: Any, name: str) -> Any:
    return next((one for one in report.savings if one.name == name), None)


def test_totals_groups_and_months() -> None:
    rows = [
        {"time_s": 10.0 * DAY * i, "tier": tier, "cost_micro_usd": c}
        for i, (tier, c) in enumerate([("a", 1), ("b", 3)])
    ]
    report = build_report(log(rows))
    assert [one.key[0] for one in report.tiers] == ["b", "a"]  # the dearest first
    assert (report.trend_unit, [one.key[0] for one in report.trend]) == ("day", [0, 10 * DAY])
    assert report.covered_hours == 241
    assert report.usd_per_month == pytest.approx(4e-6 * 730 / 241)
    short = build_report(log([{}, {"time_s": 2.0 * HOUR}]))
    assert (short.trend_unit, short.covered_hours, short.usd_per_month) == ("hour", 3, None)


def test_a_report_of_files_loads_no_pandas(tmp_path: Path) -> None:
    """It would take 40 MB and a quarter of a second, for nothing but the conversion of some Arrow columns."""
    pyarrow.parquet.write_table(sample_log(np.random.default_rng(0), 5000), tmp_path / "a.parquet")
    code = (
        "import sys\nfrom costlab.monitoring import build_report, fill_costs, open_log\n"
        "build_report(fill_costs(open_log(sys.argv[1]).frame).frame)\n"
        "print('duckdb' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_an_empty_log_is_an_error() -> None:
    with pytest.raises(LogError, match="the log is empty"):
        build_report(log([{}]).slice(0, 0))


def test_a_runaway_hour_is_worth_what_it_cost_above_the_median() -> None:
    rows = [{"time_s": 1.0 * HOUR * hour, "tenant": "t", "cost_micro_usd": 2_000_000} for hour in range(10)]
    rows[7]["cost_micro_usd"] = 50_000_000
    found = saving(build_report(log(rows)), "runaway")
    assert found.usd == 48.0
    assert found.usd_per_month is None  # it happened once
    assert "put a budget on tenant t: it spent $50.00 in one hour, from 1970-01-01 07:00 UTC" in found.action
    rows[7]["cost_micro_usd"] = 10_000_000  # exactly five times: ordinary
    assert saving(build_report(log(rows)), "runaway") is None


def test_the_dearest_tier_above_15_percent_is_worth_the_difference_to_the_next() -> None:
    rows = [{"tier": "large", "cost_micro_usd": 30_000}] * 20 + [{"tier": "medium", "cost_micro_usd": 3_000}] * 80
    found = saving(build_report(log(rows)), "dearest_tier")
    assert found.usd == pytest.approx(5 * 0.027)
    assert "15% is a rule of thumb, above which the alert on expensive requests rings" in found.how
    rows = [{"tier": "large", "cost_micro_usd": 30_000}] * 15 + [{"tier": "medium", "cost_micro_usd": 3_000}] * 85
    assert saving(build_report(log(rows)), "dearest_tier") is None


def test_prompt_caching_is_worth_the_price_of_reaching_the_best_tenant() -> None:
    half = {"model": "gpt-4o", "input_tokens": 1_000_000, "tenant": "a", "cached_input_tokens": 500_000}
    none = {"model": "gpt-4o", "input_tokens": 1_000_000, "tenant": "b"}
    found = saving(build_report(log([half, none])), "prompt_cache")
    price = api_price("gpt-4o")
    assert price.cached_input_usd_per_mtok is not None
    assert found.usd == pytest.approx(0.5 * (price.input_usd_per_mtok - price.cached_input_usd_per_mtok))
    assert "a has 50% on gpt-4o" in found.how
    assert saving(build_report(log([half | {"cached_input_tokens": 0}, none])), "prompt_cache") is None
    assert saving(build_report(log([half])), "prompt_cache") is None  # nobody to learn from


def test_failures_that_were_paid_for() -> None:
    found = saving(build_report(log([{}, {"outcome": "timeout"}, {"outcome": "refused"}])), "failures")
    assert (found.usd, found.usd_per_month) == (1.0, None)


def test_idle_and_underused_gpus() -> None:
    hours = {"time_s": [0.0] * 3, "gpu": ["a", "b", "c"], "hours": [100.0] * 3, "usd_per_hour": [1.0] * 3}
    report = build_report(log([{}]), pa.table(hours | {"utilization_fraction": [0.05, 0.13, 0.9]}))
    assert (report.idle_usd, saving(report, "idle_gpus").usd) == (100.0, 100.0)
    # 13 hours of work fit into 20 hours at 65 %.
    assert saving(report, "underused_gpus").usd == pytest.approx(80.0)
    # Eight GPUs of a machine, or a reserved one, cannot be given back one by one: the log does not say which they are.
    assert all("A machine is given back whole" in saving(report, name).how for name in ("idle_gpus", "underused_gpus"))
    assert [gpu.key[0] for gpu in report.gpus] == ["a", "b", "c"]


def test_it_is_said_whether_the_gpu_bill_is_in_the_costs() -> None:
    hours = pa.table(
        {"time_s": [0.0], "gpu": ["a"], "hours": [2.0], "usd_per_hour": [1.0], "utilization_fraction": [0.7]}
    )
    cheap, dear = log([{}]), log([{"cost_micro_usd": 2_000_000}])  # against a GPU bill of 2 dollars
    assert "the GPU bill is larger than the cost of all requests" in build_report(cheap, hours).notes[-1]
    assert "are taken to contain the GPU bill" in build_report(dear, hours).notes[-1]
    apart = build_report(cheap, hours, gpu_bill_apart=True, notes=["read so"])
    assert apart.notes[0] == "read so"
    assert apart.notes[1:] == (
        "the cost per request and per conversion contains the GPU bill, which came on top of the requests' costs",
    )
    assert apart.metrics.cost_per_request_usd == 3.0
    assert build_report(cheap).notes == ()


def test_only_three_savings_and_none_that_is_trifling() -> None:
    report = build_report(
        sample_log(np.random.default_rng(0), 30_000, runaway=True), sample_gpu_hours(np.random.default_rng(0))
    )
    assert [one.name for one in report.savings] == ["underused_gpus", "idle_gpus", "runaway"]
    sizes = [one.usd for one in report.savings]
    assert sizes == sorted(sizes, reverse=True)
    assert (
        build_report(log([{"cost_micro_usd": 100_000_000}, {"outcome": "error", "cost_micro_usd": 90_000}])).savings
        == ()
    )


def test_a_log_of_many_tenants_is_reported_too() -> None:
    rows = [{"tenant": f"t{i:03}", "time_s": float(HOUR * (i % 7)), "cost_micro_usd": 1000 + i} for i in range(300)]
    report = build_report(log(rows))
    assert len(report.tenants) == 300
    assert sum(one.requests for one in report.trend) == 300  # the cheap ones are in the trend too


@pytest.mark.parametrize(
    "limits", [{"MAX_GROUPS": 100}, {"MAX_GROUPS_A_ROW": 0.0}, {"MAX_GROUPS": 100, "MAX_TENANTS": 2}]
)
def test_one_reading_says_what_several_say(monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]) -> None:
    rows = sample_log(np.random.default_rng(3), 20_000, runaway=True)
    once = build_report(rows)
    assert len(once.tenants) > 2
    for name, value in limits.items():
        monkeypatch.setattr(build, name, value)
    assert build_report(rows) == once


def test_what_has_no_price_is_said_first_hand() -> None:
    words = dict(facts(build_report(log([{"cost_micro_usd": None, "model": "in-house"}, {}]))))
    assert words["unpriced"] == ("1 request (50.0%) of in-house: in no figure in dollars, so the true cost is higher")
    rows = log([{"cost_micro_usd": None, "model": "in-house"}, {"cost_micro_usd": None, "model": "gpt-4o"}])
    filled = fill_costs(rows)
    words = dict(facts(build_report(filled.frame, pricing=filled.pricing)))
    assert words["unpriced"].startswith("1 request (50.0%) of in-house, not in the catalogue: in no figure")
    words = dict(facts(build_report(log([{"cost_micro_usd": None}]))))
    assert words["cost of the requests"] == "unknown: no request has a price"
    assert "per request" not in words


def test_no_more_rests_on_an_assumption_than_there_is() -> None:
    late = {"time_s": 1_800_000_000.0, "model": "gpt-4o", "input_tokens": 1_000_000, "cost_micro_usd": None}
    for credit, usd in ((1.0, 1.5001), (9.0, 0.0)):
        priced = fill_costs(log([late, {"time_s": 1_800_000_000.0, "cost_micro_usd": int(-credit * 1e6)}]))
        report = build_report(priced.frame, pricing=priced.pricing)
        assert report.total.cost_usd == pytest.approx(2.5001 - credit)  # of 2027, when the prices of today may not hold
        assert report.assumed_usd == pytest.approx(usd)


def test_a_bill_of_cheap_requests_is_rounded_once() -> None:
    """30 tokens at 0.02 dollars a million are 0.6 micro-dollars; a thousand customers send a hundred such requests."""
    cheap = {"model": "text-embedding-3-small", "input_tokens": 30, "output_tokens": 0, "cost_micro_usd": None}
    rows = [cheap | {"tenant": f"customer {number % 1000}"} for number in range(100_000)]
    priced = fill_costs(log(rows))
    report = build_report(priced.frame, pricing=priced.pricing)
    assert report.total.cost_usd == 0.06
    assert report.metrics.cost_per_request_usd == 0.06 / 100_000
    assert {tenant.cost_micro_usd for tenant in report.tenants} == {60}
    assert [model.cost_micro_usd for model in report.models] == [60_000]
    assert sum(day.cost_micro_usd for day in report.trend) == 60_000


def test_what_a_single_cheap_request_costs_is_not_nothing() -> None:
    cheap = {"model": "text-embedding-3-small", "input_tokens": 3, "output_tokens": 0, "cost_micro_usd": None}
    priced = fill_costs(log([cheap | {"tenant": name} for name in "abc"]))
    report = build_report(priced.frame, pricing=priced.pricing)
    assert [tenant.cost_micro_usd for tenant in report.tenants] == [1, 1, 1]  # of 0.06 each
    assert report.total.cost_micro_usd == 1  # of 0.18


def test_searches_that_are_not_paid_for_are_not_among_those_that_are() -> None:
    written = {"model": "claude-sonnet-4-5", "cache_write_tokens": 50, "cost_micro_usd": None, "searches": 3}
    filled = fill_costs(
        log([written, {"model": "in-house", "cache_write_tokens": 0, "cost_micro_usd": None, "searches": 17}])
    )
    report = build_report(filled.frame, pricing=filled.pricing)
    assert (report.total.searches, report.total.priced_searches) == (20, 3)
    assert dict(facts(report))["by kind of token"].endswith("$0.03 for 3 searches")


def test_a_long_name_is_cut() -> None:
    report = build_report(log([{"model": "m" * 10_000}, {"model": "n", "cost_micro_usd": None}]))
    (models,) = (table for table in group_tables(report) if table.title == "by model")
    assert [row[0] for row in models.rows] == [f"{'m' * 100}…", "n"]
    words = dict(facts(build_report(log([{"model": "u" * 10_000, "cost_micro_usd": None}, {}]))))
    assert f"of {'u' * 100}…:" in words["unpriced"]


def test_json_has_the_figures_that_follow() -> None:
    plain = build_report(log([{}, {"cost_micro_usd": None}])).as_dict()
    again = json.loads(to_json(plain, inf_nan_mode="null"))
    assert again["total"]["usd_per_request"] == 1.0
    assert again["total"]["unpriced_fraction"] == 0.5
    assert again["tiers"][0]["key"] == ["large"]
    assert again["metrics"]["unpriced_requests"] == 1


def test_what_failed_at_no_cost_was_not_priced_by_the_log() -> None:
    failed = {
        "time_s": 0.0,
        "model": "gpt-4o",
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_micro_usd": 0,
        "outcome": "error",
    }
    asked = {"time_s": 1.79e9, "model": "gpt-4o", "input_tokens": 1000, "cost_micro_usd": None}
    priced = fill_costs(log([failed, asked, asked, {}]))
    words = dict(facts(build_report(priced.frame, pricing=priced.pricing)))
    assert words["priced"] == "1 by the log, 2 from the catalogue, 1 at nothing, for want of an answer, of 4 requests"
