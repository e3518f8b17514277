"""The sample log: seeded, and like a real one where it matters."""

import time

import numpy as np
import pytest

from costlab.catalog import api_price
from costlab.errors import InvalidValueError
from costlab.events import COLUMNS, RequestEvent, micro_usd
from costlab.monitoring import REQUIRED, aggregate
from costlab.synthetic import SAMPLE_START_S, sample_gpu_hours, sample_log
from tests import needs

for module in ("narwhals", "pyarrow"):
    needs.extra(module, "usage")


def test_the_same_seed_gives_the_same_log() -> None:
    assert sample_log(np.random.default_rng(4), 500).equals(sample_log(np.random.default_rng(4), 500))
    assert not sample_log(np.random.default_rng(4), 500).equals(sample_log(np.random.default_rng(5), 500))


def test_every_row_is_an_event_and_costs_what_the_catalogue_asks() -> None:
    log = sample_log(np.random.default_rng(1), 2_000, runaway=True)
    assert log.column_names == [name for name in COLUMNS if name in log.column_names]
    assert set(log.column_names) >= {"request_id", *REQUIRED}
    for row in log.to_pylist():
        event = RequestEvent(**row)
        if event.model.startswith("gpt") and event.outcome not in ("error", "refused"):
            usd = api_price(event.model).usd(event.input_tokens, event.output_tokens, event.cached_input_tokens)
            assert event.cost_micro_usd == micro_usd("usd", usd)
        assert (event.cost_micro_usd is None) == (event.model == "in-house-llm")
    assert len(set(log["request_id"].to_pylist())) == log.num_rows
    times = log["time_s"].to_pylist()
    assert times == sorted(times)


def test_traffic_has_the_shape_of_a_week() -> None:
    log = sample_log(np.random.default_rng(2), 50_000)
    by_hour = {group.key[0]: group.requests for group in aggregate(log, by=["hour"])}
    monday = [by_hour.get(int(SAMPLE_START_S) + 3600 * hour, 0) for hour in range(24)]
    assert monday.index(max(monday)) in range(12, 17)
    assert max(monday) > 4 * min(monday)
    days = [group.requests for group in aggregate(log, by=["day"])]
    assert max(days[5:]) < 0.5 * min(days[:5])  # 10 and 11 January 2026 are a weekend


def test_a_runaway_client_shows_from_two_to_four_on_the_last_day() -> None:
    log = sample_log(np.random.default_rng(3), 14_000, runaway=True)
    spent = {group.key: group.cost_usd for group in aggregate(log, by=["tenant", "hour"])}
    last_day = int(SAMPLE_START_S) + 6 * 86_400
    loud = spent["team-03", last_day + 14 * 3600]
    assert loud > 20 * spent.get(("team-03", last_day + 12 * 3600), 0.0)
    assert log.num_rows == 14_000 + 400


def test_a_million_rows_take_seconds() -> None:
    started = time.process_time()
    assert sample_log(np.random.default_rng(0), 1_000_000).num_rows == 1_000_000
    assert time.process_time() - started < 15  # 1.5 s where it was written


def test_gpu_hours_add_up() -> None:
    hours = sample_gpu_hours(np.random.default_rng(0), days=2, gpus=3)
    assert sum(hours["hours"].to_pylist()) == pytest.approx(2 * 24 * 3)
    shares = hours["utilization_fraction"].to_pylist()
    assert 0.0 <= min(shares) <= max(shares) <= 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"requests": 0}, "requests must be a whole number >= 1, got 0"),
        ({"days": 0}, "days must be a whole number >= 1, got 0"),
        ({"tenants": 100}, "tenants must be at most 99, got 100"),
        ({"unpriced_fraction": 1.5}, "unpriced_fraction must be a fraction"),
        ({"conversion_fraction": -1}, "conversion_fraction must be a fraction"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        sample_log(np.random.default_rng(0), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="interval_s must be a number > 0"):
        sample_gpu_hours(np.random.default_rng(0), interval_s=0)
