"""The capstone: a company's day of a million requests, and a plan that is to cut its bill."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.capstone.plan import (
        TODAY as TODAY,
        Api as Api,
        CascadeServing as CascadeServing,
        EndpointPlan as EndpointPlan,
        ExactCache as ExactCache,
        Fleet as Fleet,
        FleetServing as FleetServing,
        Plan as Plan,
        SpendLimits as SpendLimits,
    )
    from costlab.capstone.replay import FleetBill as FleetBill
    from costlab.capstone.scoring import EndpointScore as EndpointScore, Score as Score, memo as memo, score as score
    from costlab.capstone.tables import gpu_table as gpu_table, request_table as request_table
    from costlab.capstone.terms import (
        BUDGET_USD_PER_MONTH as BUDGET_USD_PER_MONTH,
        gpu_rates_usd_per_hour as gpu_rates_usd_per_hour,
        model_qualities as model_qualities,
        model_quality as model_quality,
        prompt_cache as prompt_cache,
        support_outcomes as support_outcomes,
    )
    from costlab.synthetic import (
        ENDPOINTS as ENDPOINTS,
        Endpoint as Endpoint,
        RequestLog as RequestLog,
        endpoint as endpoint,
        request_log as request_log,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
