"""What the GPUs of a plan cost: as many in each hour as the requests need, reserved, on demand or spot."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from costlab.calculator import spot_job
from costlab.capstone.company import (
    MAX_UTILIZATION_FRACTION,
    RESERVED_FRACTION,
    SPARE_REPLICAS,
    SPOT_MTBF_HOURS,
    SPOT_RESTART_S,
    Endpoint,
)
from costlab.catalog import current_gpu_prices, gpu, gpu_price
from costlab.errors import PriceNotFoundError
from costlab.serving import BYTES_PER_WEIGHT, capacity, model_spec, replicas_needed, roofline
from costlab.units import HOURS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costlab.capstone.plan import Fleet

__all__ = ["Demand", "FleetBill", "fleet_bill", "gpu_rates_usd_per_hour"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What an endpoint asks of a fleet.

    Attributes
    ----------
    endpoint : Endpoint
        Which.
    requests_per_hour : tuple of int, length 24
        Requests that no cache answered.
    input_tokens, output_tokens : float
        Mean tokens of those.
    """

    endpoint: Endpoint
    requests_per_hour: tuple[int, ...]
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class FleetBill:
    """A day of a fleet.

    Attributes
    ----------
    usd_per_day : float
        All its GPUs, in USD.
    gpus_per_hour : tuple of int, length 24
        GPUs paid for in each hour.
    needed_per_hour : tuple of int, length 24
        GPUs that the requests need, spare replicas included.
    utilization_fraction : float
        Share of what the paid GPUs could serve that is asked; 0 where nothing is asked.
    requests_per_s : mapping of str to float
        By endpoint, what one replica serves at full load.
    ttft_s, inter_token_s : float
        Seconds to the first token and between two, at full load; of the slowest endpoint on the fleet.
    reasons : tuple of str
        Why requests cannot be served; empty where they can.
    """

    usd_per_day: float
    gpus_per_hour: tuple[int, ...]
    needed_per_hour: tuple[int, ...]
    utilization_fraction: float
    requests_per_s: dict[str, float]
    ttft_s: float
    inter_token_s: float
    reasons: tuple[str, ...]


def gpu_rates_usd_per_hour(name: str) -> dict[str, float]:
    """What a GPU costs the company: ``on_demand``, ``reserved`` and ``spot``, where there is a list price, in USD.

    On demand is AWS's list price, spot the median over its zones, reserved the provider's offer on the price on demand.

    Raises
    ------
    UnknownNameError
        If there is no such GPU.
    PriceNotFoundError
        If there is no list price at AWS.

    Examples
    --------
    What does an L4 cost in the three ways?

    >>> {kind: round(usd, 3) for kind, usd in gpu_rates_usd_per_hour("L4").items()}
    {'on_demand': 0.805, 'reserved': 0.503, 'spot': 0.382}
    """
    board = gpu(name).name
    on_demand = gpu_price(board, "on_demand", "list", provider="aws").usd_per_hour
    rates = {"on_demand": on_demand, "reserved": on_demand * RESERVED_FRACTION}
    zones = [
        row.usd_per_hour
        for row in current_gpu_prices("list")
        if (row.gpu, row.provider, row.pricing) == (board, "aws", "spot")
    ]
    return rates | ({"spot": median(zones)} if zones else {})


def fleet_bill(fleet: Fleet, demands: Sequence[Demand]) -> FleetBill:
    """A day of a fleet under the requests of some endpoints.

    Replicas are started and stopped by the hour: as many as serve its requests at 70 % of the roofline's rate, and a
    spare one. Of several endpoints each gets its replicas, and they share the spare one.

    Parameters
    ----------
    fleet : Fleet
        Model and GPUs.
    demands : sequence of Demand
        Who uses it; without any, only what is never given back is paid.

    Raises
    ------
    PriceNotFoundError
        If the GPU has no list price at AWS, or none for spot.
    """
    rates = gpu_rates_usd_per_hour(fleet.gpu)
    if fleet.spot and "spot" not in rates:
        raise PriceNotFoundError(f"no spot price of an {fleet.gpu} at AWS")
    replicas, load = [0.0] * HOURS_PER_DAY, [0.0] * HOURS_PER_DAY
    reasons: list[str] = []
    rates_of: dict[str, float] = {}
    ttft_s = inter_token_s = 0.0
    spec = replace(model_spec(fleet.model), bytes_per_weight=BYTES_PER_WEIGHT[fleet.weights])
    for one in demands:
        on = roofline(spec, fleet.gpu, fleet.gpus_per_replica)
        limits = one.endpoint.max_ttft_s, one.endpoint.max_inter_token_s
        can = capacity(on, one.input_tokens, one.output_tokens, *limits)
        if can.requests_per_s is None:
            why = "; ".join(can.reasons)
            reasons.append(f"{one.endpoint.name}: no {fleet.model} in {fleet.weights} on {fleet.gpu}: {why}")
            continue
        rates_of[one.endpoint.name] = can.requests_per_s
        ttft_s, inter_token_s = max(ttft_s, can.ttft_s or 0.0), max(inter_token_s, can.inter_token_s or 0.0)
        for hour, requests in enumerate(one.requests_per_hour):
            asked = replicas_needed(
                requests * HOURS_PER_DAY,
                can.requests_per_s,
                max_utilization_fraction=MAX_UTILIZATION_FRACTION,
                at_least=0,
            )
            replicas[hour] += asked.serving
            load[hour] += requests / SECONDS_PER_HOUR / can.requests_per_s
    needed = [int(n + SPARE_REPLICAS * (n > 0)) * fleet.gpus_per_replica for n in replicas]
    kept = max(fleet.always_on, fleet.reserved)
    paid = [max(kept, wanted) for wanted in needed]
    beyond = sum(max(0, gpus - fleet.reserved) for gpus in paid)
    usd = rates["reserved"] * fleet.reserved * HOURS_PER_DAY
    if beyond and fleet.spot:
        usd += spot_job(beyond, rates["spot"], rates["on_demand"], SPOT_MTBF_HOURS, 1.0, SPOT_RESTART_S).expected_usd
    else:
        usd += rates["on_demand"] * beyond
    total = sum(paid) / fleet.gpus_per_replica
    return FleetBill(
        usd_per_day=usd,
        gpus_per_hour=tuple(paid),
        needed_per_hour=tuple(needed),
        utilization_fraction=math.fsum(load) / total if total else 0.0,
        requests_per_s=rates_of,
        ttft_s=ttft_s,
        inter_token_s=inter_token_s,
        reasons=tuple(reasons),
    )
