"""The formulas of the pure modules on arrays: a million rows at a time, for simulations and logs.

Each agrees with its scalar twin, which documents it; tests hold them to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from costlab.serving import MAX_REPLICAS
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, MICRO_USD_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["break_even_per_day", "micro_usd_rows", "monthly_saving_usd"]


def break_even_per_day(
    api_usd_per_request: Any,
    replica_usd_per_hour: Any,
    capacity_requests_per_s: Any,
    fixed_usd_per_month: Any = 0.0,
    marginal_usd_per_request: Any = 0.0,
    api_fixed_usd_per_month: Any = 0.0,
) -> NDArray[np.float64]:
    """As :func:`costlab.build_vs_buy.break_even`, on arrays: its `requests_per_day`, ``inf`` where there is none.

    Arguments are not checked one by one; they broadcast against each other.
    """
    api, hourly, rate, fixed, marginal, api_fixed = (
        np.asarray(value, dtype=np.float64)
        for value in (
            api_usd_per_request,
            replica_usd_per_hour,
            capacity_requests_per_s,
            fixed_usd_per_month,
            marginal_usd_per_request,
            api_fixed_usd_per_month,
        )
    )
    monthly = hourly * HOURS_PER_MONTH
    difference = api - marginal
    full = rate * (SECONDS_PER_HOUR * HOURS_PER_MONTH) * difference
    gain, fixed = full - monthly, fixed - api_fixed
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(fixed <= 0.0, 0.0, np.where(gain <= 0.0, np.inf, fixed / gain))
        requests = np.maximum(0.0, (np.maximum(1.0, np.ceil(wanted)) * monthly + fixed) / difference)
    never = (difference <= 0.0) | ((gain < 0.0) & (monthly + fixed > full)) | (wanted > MAX_REPLICAS)
    found: NDArray[np.float64] = np.where(never, np.inf, requests * (HOURS_PER_DAY / HOURS_PER_MONTH))
    return found


def micro_usd_rows(usd: NDArray[np.float64]) -> NDArray[np.int64]:
    """As :func:`costlab.events.micro_usd`, on an array; what is below 1e-12 USD counts as nothing."""
    return np.ceil(usd * MICRO_USD_PER_USD - 1e-6).astype(np.int64)


def monthly_saving_usd(
    requests_per_day: Any,
    api_usd_per_request: Any,
    replica_usd_per_hour: Any,
    capacity_requests_per_s: Any,
    fixed_usd_per_month: Any = 0.0,
    peak_to_mean: Any = 1.0,
    max_utilization_fraction: Any = 1.0,
    spare_replicas: Any = 0,
    api_fixed_usd_per_month: Any = 0.0,
) -> NDArray[np.float64]:
    """What self-hosting saves a month against an API, on arrays; negative where it is dearer.

    The fleet has whole replicas, at least one, and is sized as by :func:`costlab.serving.replicas_needed`. A month has
    730 hours. Arguments are not checked one by one; they broadcast against each other.
    """
    requests = np.asarray(requests_per_day, dtype=np.float64)
    peak = requests * (peak_to_mean / SECONDS_PER_DAY)
    wanted = peak / (np.asarray(capacity_requests_per_s) * max_utilization_fraction)
    replicas = np.maximum(1.0, np.ceil(wanted * (1.0 - 1e-12))) + spare_replicas
    own = replicas * (np.asarray(replica_usd_per_hour) * HOURS_PER_MONTH) + fixed_usd_per_month
    api = api_fixed_usd_per_month + api_usd_per_request * requests * (HOURS_PER_MONTH / HOURS_PER_DAY)
    saving: NDArray[np.float64] = api - own
    return saving
