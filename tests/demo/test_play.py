"""The day that is shown: what is saved, beside its baseline and its quality, by the parts of the package."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from costlab.datasets import support_queries
from costlab.demo import DemoProgress, DemoResult, play_demo
from costlab.demo.play import NOTES
from costlab.errors import InvalidValueError
from costlab.experiments import LESSON_USD_PER_REQUEST
from costlab.synthetic import MAX_DEMO_REQUESTS, RUNAWAY_FRACTION, RUNAWAY_S, RUNAWAY_TENANT, SERVICE_TIERS
from tests import needs

for module in ("duckdb", "narwhals", "pyarrow"):
    needs.extra(module, "usage")

REQUESTS = 4000
HOUR_S = 3600


@pytest.fixture(scope="module")
def watched() -> tuple[DemoResult, list[DemoProgress]]:
    moments: list[DemoProgress] = []
    return play_demo(REQUESTS, 3, moments.append), moments


@pytest.fixture
def result(watched: tuple[DemoResult, list[DemoProgress]]) -> DemoResult:
    return watched[0]


def test_the_same_seed_gives_the_same_result_to_the_last_cent(result: DemoResult) -> None:
    again = play_demo(REQUESTS, 3)
    assert asdict(again) == asdict(result)
    assert asdict(play_demo(REQUESTS, 4)) != asdict(result)


def test_ledger_guards_and_meter_agree_to_the_micro_dollar(result: DemoResult) -> None:
    here = result.end.here
    assert result.report.total.cost_usd == pytest.approx(here.usd, abs=1e-9)
    assert result.report.total.requests == result.end.total == REQUESTS * (1 + RUNAWAY_FRACTION)
    assert sum(result.end.outcomes.values()) == result.end.total
    assert result.report.total.cached_requests == result.end.outcomes["cache"]
    assert result.report.total.refused_requests == result.end.outcomes["refused"]


def test_the_baseline_pays_the_large_model_for_every_request(result: DemoResult) -> None:
    call_usd = LESSON_USD_PER_REQUEST["ensemble"]
    assert call_usd == SERVICE_TIERS[-1].usd_per_request
    baseline = result.end.baseline
    assert baseline.ordinary_usd == pytest.approx(REQUESTS * call_usd)
    assert baseline.runaway_usd == pytest.approx(REQUESTS * RUNAWAY_FRACTION * call_usd)
    assert baseline.answered == baseline.ordinary == REQUESTS


def test_the_notes_count_the_queries() -> None:
    assert f"the {len(support_queries().split('test'))} test queries" in " ".join(NOTES)


def test_the_saving_is_large_and_the_quality_of_what_was_answered_is_kept(result: DemoResult) -> None:
    here, baseline = result.end.here, result.end.baseline
    assert result.saving_fraction > 0.6
    assert result.saved_usd == pytest.approx(baseline.usd - here.usd)
    # The thresholds were chosen so that the cascade is as often right as the large model; on other queries it is to
    # within what chance does with so many.
    error = np.sqrt(baseline.quality_fraction * (1 - baseline.quality_fraction) / REQUESTS)
    assert here.answered_quality_fraction > baseline.quality_fraction - 3 * error
    assert here.right < here.answered < here.ordinary  # the guard costs the client its own ordinary requests too


def test_the_guard_stops_the_runaway_client_and_nobody_else(result: DemoResult) -> None:
    assert result.refused_from_s is not None
    assert RUNAWAY_S < result.refused_from_s < RUNAWAY_S + HOUR_S
    assert result.end.levels == dict.fromkeys(result.end.levels, "normal") | {RUNAWAY_TENANT: "hard"}
    agents = next(group for group in result.report.tenants if group.key == (RUNAWAY_TENANT,))
    # A look-up costs before anything can be refused.
    lookups_usd = agents.requests * SERVICE_TIERS[0].usd_per_request
    assert agents.cost_usd <= result.hard_usd[RUNAWAY_TENANT] + lookups_usd
    assert agents.refused_requests == result.report.total.refused_requests
    assert result.end.here.runaway_usd < 0.1 * result.end.baseline.runaway_usd
    assert all(RUNAWAY_TENANT in alert for alert in result.end.alerts)
    assert any("refuses work" in alert for alert in result.end.alerts)


def test_what_is_watched_only_grows_and_ends_where_the_result_is(
    watched: tuple[DemoResult, list[DemoProgress]],
) -> None:
    result, moments = watched
    assert moments[0].done == 0
    assert moments[-1] == result.end
    for before, after in pairwise(moments):
        assert before.done < after.done
        assert before.time_s <= after.time_s
        assert before.here.usd <= after.here.usd <= after.baseline.usd


def test_a_day_of_one_request_is_a_day() -> None:
    result = play_demo(1)
    assert result.end.total == result.end.here.ordinary == 1
    assert result.refused_from_s is None
    assert result.end.alerts == ()


@pytest.mark.parametrize("requests", [0, -1, MAX_DEMO_REQUESTS + 1, 10**12, 1.5, True])
def test_absurd_numbers_of_requests_are_refused(requests: int) -> None:
    with pytest.raises(InvalidValueError, match=r"requests must be (a whole number >= 1|at most 1000000), got "):
        play_demo(requests)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="seed must be a whole number >= 0, got -1"):
        play_demo(10, -1)
