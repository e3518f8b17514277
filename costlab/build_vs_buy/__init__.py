"""Pay an API per call, or run the model yourself: where the bills cross, what it takes to pay back, what to do.

Pure functions on two prices: dollars per request at an API, and dollars per hour of a replica that serves a number of
requests a second. An argument outside its domain raises :class:`~costlab.errors.InvalidValueError`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.build_vs_buy.crossover import (
        BreakEven as BreakEven,
        CostCurve as CostCurve,
        CostPoint as CostPoint,
        Interval as Interval,
        Payback as Payback,
        break_even as break_even,
        break_even_requests_per_day as break_even_requests_per_day,
        cost_curve as cost_curve,
        monthly_saving_usd as monthly_saving_usd,
        payback as payback,
    )
    from costlab.build_vs_buy.decision import (
        ApiOption as ApiOption,
        Constraints as Constraints,
        OptionCost as OptionCost,
        Recommendation as Recommendation,
        SelfHostOption as SelfHostOption,
        option_cost as option_cost,
        recommend as recommend,
    )
    from costlab.build_vs_buy.lesson_scenarios import Scenario as Scenario, scenarios as scenarios
    from costlab.build_vs_buy.migration import (
        MigrationEndpoint as MigrationEndpoint,
        MigrationPlan as MigrationPlan,
        MigrationStep as MigrationStep,
        migration_plan as migration_plan,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
