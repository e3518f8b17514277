"""The capstone: a company's day of a million requests, and a plan that is to cut its bill."""

from costlab.capstone.company import BUDGET_USD_PER_MONTH, ENDPOINTS, Endpoint, endpoint
from costlab.capstone.fleets import FleetBill, gpu_rates_usd_per_hour
from costlab.capstone.log import RequestLog, request_log
from costlab.capstone.memo import memo
from costlab.capstone.plan import TODAY, Api, Cache, Cascade, Fleet, Guard, Own, Plan, Route
from costlab.capstone.quality import model_qualities, model_quality
from costlab.capstone.results import EndpointScore, Score
from costlab.capstone.score import score
from costlab.capstone.support import support_outcomes
from costlab.capstone.tables import gpu_table, request_table

__all__ = [
    "BUDGET_USD_PER_MONTH",
    "ENDPOINTS",
    "TODAY",
    "Api",
    "Cache",
    "Cascade",
    "Endpoint",
    "EndpointScore",
    "Fleet",
    "FleetBill",
    "Guard",
    "Own",
    "Plan",
    "RequestLog",
    "Route",
    "Score",
    "endpoint",
    "gpu_rates_usd_per_hour",
    "gpu_table",
    "memo",
    "model_qualities",
    "model_quality",
    "request_log",
    "request_table",
    "score",
    "support_outcomes",
]
