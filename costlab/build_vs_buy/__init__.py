"""Pay an API per call, or run the model yourself: where the bills cross, what it takes to pay back, what to do.

Pure functions on two prices: dollars per request at an API, and dollars per hour of a replica that serves so many
requests a second.
"""

from costlab.build_vs_buy.break_even import (
    BreakEven,
    CostCurve,
    CostPoint,
    Interval,
    Payback,
    break_even,
    break_even_requests_per_day,
    cost_curve,
    monthly_saving_usd,
    payback,
)
from costlab.build_vs_buy.migration import MigrationEndpoint, MigrationPlan, MigrationStep, migration_plan
from costlab.build_vs_buy.recommend import (
    ApiOption,
    Constraints,
    OptionCost,
    Recommendation,
    SelfHostOption,
    option_cost,
    recommend,
)
from costlab.build_vs_buy.scenarios import Scenario, scenarios

__all__ = [
    "ApiOption",
    "BreakEven",
    "Constraints",
    "CostCurve",
    "CostPoint",
    "Interval",
    "MigrationEndpoint",
    "MigrationPlan",
    "MigrationStep",
    "OptionCost",
    "Payback",
    "Recommendation",
    "Scenario",
    "SelfHostOption",
    "break_even",
    "break_even_requests_per_day",
    "cost_curve",
    "migration_plan",
    "monthly_saving_usd",
    "option_cost",
    "payback",
    "recommend",
    "scenarios",
]
