import math
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, strategies as st

from costlab.build_vs_buy import MigrationEndpoint, migration_plan
from costlab.errors import InvalidValueError

SEARCH = MigrationEndpoint("search", 2_000_000, 0.0002, 0.02)
CHAT = MigrationEndpoint("chat", 300_000, 0.003, 0.3, peak_to_mean=3)
RARE = MigrationEndpoint("legal review", 50, 0.05, 30, movable=False)


def test_one_endpoint_by_hand() -> None:
    plan = migration_plan([SEARCH], 1.01)
    # 23.1 requests a second of 0.02 s keep 0.46 GPUs busy; at 80 % that is one.
    (step,) = plan.steps
    assert step.gpus == 1
    assert math.isclose(plan.api_usd_per_month, 0.0002 * 2e6 * 730 / 24)
    assert math.isclose(step.saving_usd_per_month, plan.api_usd_per_month - 1.01 * 730)
    assert math.isclose(step.utilization_fraction, 2e6 / 86400 * 0.02)


def test_two_endpoints_by_hand() -> None:
    """Chat's 1.0417 GPUs are 3.125 at its peak; with search's 0.463 they fill 4.485 GPUs to 80 %."""
    moved = [
        MigrationEndpoint("search", 2_000_000, 0.0002, 0.02, move_usd=100),
        MigrationEndpoint("chat", 300_000, 0.003, 0.3, peak_to_mean=3, move_usd=20),
    ]
    idle = MigrationEndpoint("idle", 0, 1.0, 1.0, move_usd=7)
    first, second = migration_plan([*moved, idle, RARE], 1.01, 500, spare_gpus=1).steps
    kept = (50 * 0.05) * 730 / 24
    assert (first.gpus, second.gpus) == (2, 6)
    assert (first.moved_usd, second.moved_usd) == (100, 120)
    assert first.usd_per_month == pytest.approx(kept + 900 * 730 / 24 + 2 * 1.01 * 730 + 500)
    assert second.usd_per_month == pytest.approx(kept + 6 * 1.01 * 730 + 500)
    assert first.saving_usd_per_month == pytest.approx(400 * 730 / 24 - 2 * 1.01 * 730 - 500)
    assert first.utilization_fraction == pytest.approx(2e6 / 86400 * 0.02 / 2)
    assert second.utilization_fraction == pytest.approx((2e6 * 0.02 + 3e5 * 0.3) / 86400 / 6)


def test_hardly_any_traffic_takes_a_gpu_and_no_traffic_moves_nothing() -> None:
    (step,) = migration_plan([MigrationEndpoint("rare", 1e-9, 0.01, 0.1)], 1.0).steps
    assert step.gpus == 1
    assert migration_plan([MigrationEndpoint("none", 0, 0.01, 0.1)], 1.0).steps == ()


def test_a_pool_is_bought_in_whole_machines() -> None:
    (step,) = migration_plan([SEARCH], 1.01, spare_gpus=1, gpus_per_machine=8).steps
    assert step.gpus == 8
    assert math.isclose(step.saving_usd_per_month, 0.0002 * 2e6 * 730 / 24 - 8 * 1.01 * 730)


def test_the_worthiest_work_per_gpu_second_moves_first_and_what_must_stay_stays() -> None:
    plan = migration_plan([RARE, CHAT, SEARCH], 1.01)
    assert [step.endpoint for step in plan.steps] == ["search", "chat"]
    assert plan.stop_after == 2
    assert plan.stays == ("legal review",)


def test_an_endpoint_can_pay_only_in_company() -> None:
    """Each alone leaves its GPU half empty and costs more than the API; together they fill one."""
    halves = [MigrationEndpoint(name, 1_700_000, 0.00001, 0.02) for name in ("a", "b")]
    alone = migration_plan(halves[:1], 0.9)
    both = migration_plan(halves, 0.9)
    assert alone.stop_after == 0
    assert both.steps[0].saving_usd_per_month < 0 < both.steps[1].saving_usd_per_month
    assert both.stop_after == 2


ENDPOINTS = st.lists(
    st.builds(
        lambda requests, usd, seconds, peak: (requests, usd, seconds, peak),
        st.floats(0, 1e6),
        st.floats(0, 0.01),
        st.floats(0.001, 1),
        st.floats(1, 5),
    ),
    min_size=1,
    max_size=6,
)


@given(ENDPOINTS, st.floats(0.1, 10), st.floats(0, 1000))
def test_the_plan_is_within_one_gpu_of_the_best_subset(
    shapes: list[tuple[float, float, float, float]], price: float, fixed: float
) -> None:
    endpoints = [MigrationEndpoint(str(i), *shape) for i, shape in enumerate(shapes)]
    plan = migration_plan(endpoints, price, fixed, max_utilization_fraction=0.8)
    bills = [plan.api_usd_per_month, *(step.usd_per_month for step in plan.steps)]

    def bill(moved: tuple[MigrationEndpoint, ...]) -> float:
        left = sum(one.api_usd_per_month for one in endpoints if one not in moved)
        if not any(one.requests_per_day for one in moved):
            return left
        gpus = max(1, math.ceil(sum(one.peak_gpus for one in moved) / 0.8 * (1 - 1e-12)))
        return left + gpus * price * 730 + fixed

    best = min(bill(subset) for size in range(len(endpoints) + 1) for subset in combinations(endpoints, size))
    assert bills[plan.stop_after] == min(bills)
    assert bills[plan.stop_after] <= best + price * 730 + 1e-6


@given(ENDPOINTS, st.floats(0.1, 10))
def test_each_step_states_the_whole_bill(shapes: list[tuple[float, float, float, float]], price: float) -> None:
    endpoints = [MigrationEndpoint(str(i), *shape) for i, shape in enumerate(shapes)]
    plan = migration_plan(endpoints, price)
    by_name = {one.name: one for one in endpoints}
    moved: list[str] = []
    for step in plan.steps:
        moved.append(step.endpoint)
        left = sum(one.api_usd_per_month for name, one in by_name.items() if name not in moved)
        assert math.isclose(step.usd_per_month, left + step.gpus * price * 730, rel_tol=1e-6, abs_tol=1e-6)
        assert math.isclose(
            step.saving_usd_per_month, plan.api_usd_per_month - step.usd_per_month, rel_tol=1e-9, abs_tol=1e-6
        )
        assert step.utilization_fraction <= 1


@pytest.mark.parametrize(
    ("endpoints", "message"), [([], "endpoints must be at least one"), ([SEARCH, SEARCH], "each name used once")]
)
def test_endpoints_are_checked(endpoints: list[MigrationEndpoint], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        migration_plan(endpoints, 1)


def test_a_pool_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"endpoints must be what 1e\+15 GPUs can serve"):
        migration_plan([MigrationEndpoint("a", 1e300, 1, 1e300)], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requests_per_day": -1}, "requests_per_day must be a number >= 0, got -1"),
        ({"api_usd_per_request": -1}, "api_usd_per_request must be a number >= 0, got -1"),
        ({"gpu_s_per_request": 0}, "gpu_s_per_request must be a number > 0, got 0"),
        ({"peak_to_mean": 0.99}, "peak_to_mean must be a number >= 1, got 0.99"),
        ({"move_usd": -1}, "move_usd must be a number >= 0, got -1"),
    ],
)
def test_bad_endpoints_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        replace(SEARCH, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu_usd_per_hour": 0}, "gpu_usd_per_hour must be a number > 0, got 0"),
        ({"fixed_usd_per_month": -1}, "fixed_usd_per_month must be a number >= 0, got -1"),
        ({"max_utilization_fraction": 0}, "max_utilization_fraction must be a fraction > 0 and <= 1, got 0"),
        ({"spare_gpus": -1}, "spare_gpus must be a whole number >= 0, got -1"),
        ({"gpus_per_machine": 0}, "gpus_per_machine must be a whole number >= 1, got 0"),
    ],
)
def test_bad_pools_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        migration_plan([SEARCH], **{"gpu_usd_per_hour": 1.0, **change})  # type: ignore[arg-type]
