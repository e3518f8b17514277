import math
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


def test_bad_endpoints_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="gpu_s_per_request must be a number > 0, got 0"):
        MigrationEndpoint("x", 1, 1, 0)
    with pytest.raises(InvalidValueError, match="peak_to_mean must be a number >= 1, got 0"):
        MigrationEndpoint("x", 1, 1, 1, peak_to_mean=0)
    with pytest.raises(InvalidValueError, match="gpu_usd_per_hour must be a number > 0, got 0"):
        migration_plan([SEARCH], 0)
