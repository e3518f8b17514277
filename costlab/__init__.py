"""Cost models for AI systems: the package under the book *Cost-Aware AI Architecture*.

What would you like to do? Each task begins with a name or two from here; its package has the rest.

========  =================================================  =========================================================
task      begin with                                         the rest is in
========  =================================================  =========================================================
price     `gpu_price`, `api_price`                           `costlab.catalog`: GPUs, prices with source and day
bill      `monthly_cost`, `api_cost`                         `costlab.calculator`: commitments, spot, useful hours;
                                                             `costlab.serving`: rooflines, replicas, USD per token;
                                                             `costlab.token_economics`: caches, agents, waiting
decide    `break_even`, `recommend`,                         `costlab.build_vs_buy`: cost curves, payback, migration;
          `load_workload`, `monte_carlo`                     `costlab.compare`: a workload file in, a decision out
cache     `ResponseCache`, `net_saving`                      `costlab.cache`: stores, semantic hits, economics
route     `Tier`, `Cascade`, `calibrate`                     `costlab.router`: models, evaluation, simulation
budget    `BudgetPolicy`, `BudgetGuard`                      `costlab.monitoring.budget`: stores, limits, audit
report    `Ledger`, `open_log`, `build_report`               `costlab.monitoring`: usage, metrics, alerts, dashboards
measure   `quantize`, `find_recording`                       `costlab.compression`: prune, distil, benchmark;
                                                             `costlab.experiments`: what ``costlab bench`` records
========  =================================================  =========================================================

Beside them: `costlab.workload`, what a service is asked; `costlab.events`, the record of a request;
`costlab.synthetic`, invented traffic; `costlab.datasets` and `costlab.recordings`, data and measurements;
`costlab.tables` and `costlab.plotting`, results to look at;
`costlab.lessons`, `costlab.capstone` and `costlab.demo`, for the book;
`costlab.errors` and `costlab.units`. On the command line: ``costlab --help``.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

__version__ = "1.0.0"

if TYPE_CHECKING:
    from costlab.build_vs_buy import break_even as break_even, recommend as recommend
    from costlab.cache import ResponseCache as ResponseCache
    from costlab.cache.economics import net_saving as net_saving
    from costlab.calculator import monthly_cost as monthly_cost
    from costlab.catalog import api_cost as api_cost, api_price as api_price, gpu_price as gpu_price
    from costlab.compare import load_workload as load_workload, monte_carlo as monte_carlo
    from costlab.compression import quantize as quantize
    from costlab.monitoring import Ledger as Ledger, build_report as build_report, open_log as open_log
    from costlab.monitoring.budget import BudgetGuard as BudgetGuard, BudgetPolicy as BudgetPolicy
    from costlab.recordings import find_recording as find_recording
    from costlab.router import Cascade as Cascade, Tier as Tier, calibrate as calibrate
else:
    __getattr__, __dir__ = lazy_package(__name__)
