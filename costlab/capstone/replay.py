"""The company's day under a plan: which GPUs it takes, and what each request costs and whether its answer is right."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from costlab.calculator import spot_job
from costlab.capstone import terms
from costlab.capstone.plan import Api, CascadeServing, EndpointPlan, Fleet, FleetServing, Plan
from costlab.catalog import api_price, store_price
from costlab.errors import PriceNotFoundError
from costlab.router import evaluate_cascade
from costlab.serving import BYTES_PER_WEIGHT, capacity, measured_efficiency, model_spec, replicas_needed, roofline
from costlab.synthetic import ENDPOINTS, Endpoint
from costlab.units import HOURS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from costlab.synthetic import RequestLog


@dataclass(frozen=True, slots=True)
class FleetDemand:
    """What an endpoint asks of a fleet: requests that no cache answered, in each hour, and their mean tokens."""

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
    gpus_per_hour, needed_per_hour : tuple of int, length 24
        GPUs paid for in each hour, and those that the requests need, spare replicas included.
    utilization_fraction, requests_per_s : float, mapping of str to float
        Share of what the paid GPUs could serve that is asked, and by endpoint what one replica serves at full load.
    requests_per_s_range : mapping of str to tuple of float
        By endpoint the same at both ends of what other GPUs reach, where nobody measured this one's efficiency; 0 where
        the limits cannot be kept. Empty where it was measured.
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
    requests_per_s_range: dict[str, tuple[float, float]]
    ttft_s: float
    inter_token_s: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EndpointDay:
    """An endpoint's requests, served; arrays in the order of time.

    Places in the log, whether the cache had the answer, USD without GPUs of one's own, share of right answers to be
    expected (of a measured answer 0 or 1), and seconds from request to answer.
    """

    rows: NDArray[np.intp]
    hit: NDArray[np.bool_]
    usd: NDArray[np.float64]
    quality: NDArray[np.float64]
    latency_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CompanyDay:
    """The whole day, served as if nobody were refused; of the runaway client's requests the fleets know nothing."""

    endpoints: dict[str, EndpointDay]
    fleets: dict[str, FleetBill]


def replay_day(plan: Plan, log: RequestLog) -> CompanyDay:
    """The company's day, served as a plan says."""
    hits = {about.name: _hits(log, about.name, plan.endpoints[about.name]) for about in ENDPOINTS}
    demands: dict[str, list[FleetDemand]] = {name: [] for name in plan.fleets}
    for about in ENDPOINTS:
        serve = plan.endpoints[about.name].serve
        if isinstance(serve, FleetServing):
            demands[serve.fleet].append(_demand(log, about, hits[about.name]))
    fleets = {name: fleet_bill(fleet, demands[name]) for name, fleet in plan.fleets.items()}
    return CompanyDay({about.name: _serve(log, about, plan, hits[about.name], fleets) for about in ENDPOINTS}, fleets)


def _hits(log: RequestLog, name: str, chosen: EndpointPlan) -> NDArray[np.bool_]:
    texts = log.text[log.of(name)]
    return cache_hits(texts, chosen.cache.entries) if chosen.cache else np.zeros(len(texts), dtype=bool)


def cache_hits(texts: NDArray[np.int64], entries: int) -> NDArray[np.bool_]:
    """Which requests find their answer in an empty cache of so many entries that drops the least recently used.

    Of the texts, -1 is neither looked up nor kept.

    Examples
    --------
    >>> cache_hits(np.array([0, 1, 0, 2, 1, -1, -1]), entries=2).tolist()
    [False, False, True, False, False, False, False]
    """
    held: OrderedDict[int, None] = OrderedDict()
    hit = np.zeros(len(texts), dtype=bool)
    for place, text in enumerate(texts.tolist()):
        if text < 0:
            continue
        if text in held:
            hit[place] = True
            held.move_to_end(text)
        else:
            held[text] = None
            if len(held) > entries:
                held.popitem(last=False)
    return hit


def _demand(log: RequestLog, about: Endpoint, hit: NDArray[np.bool_]) -> FleetDemand:
    rows = log.of(about.name)
    rows = rows[~hit & ~log.runaway[rows]]
    hours = np.bincount((log.time_s[rows] // SECONDS_PER_HOUR).astype(int), minlength=HOURS_PER_DAY)
    means = (float(column[rows].mean()) if len(rows) else 1.0 for column in (log.input_tokens, log.output_tokens))
    return FleetDemand(about, tuple(hours.tolist()), *means)


def fleet_bill(fleet: Fleet, demands: Sequence[FleetDemand]) -> FleetBill:
    """A day of a fleet under the requests of some endpoints.

    Replicas are started and stopped by the hour: as many as serve its requests at 70 % of the roofline's rate, and a
    spare one. Of several endpoints each gets its replicas, and they share the spare one.

    Without a demand, only what is never given back is paid.

    Raises
    ------
    PriceNotFoundError
        If the GPU has no list price at AWS, or none for spot.
    """
    rates = terms.gpu_rates_usd_per_hour(fleet.gpu)
    if fleet.spot and "spot" not in rates:
        raise PriceNotFoundError(f"no spot price of an {fleet.gpu} at AWS")
    replicas, load = [0.0] * HOURS_PER_DAY, [0.0] * HOURS_PER_DAY
    reasons: list[str] = []
    rates_of: dict[str, float] = {}
    ranges_of: dict[str, tuple[float, float]] = {}
    ttft_s = inter_token_s = 0.0
    spec = replace(model_spec(fleet.model), bytes_per_weight=BYTES_PER_WEIGHT[fleet.weights])
    known = measured_efficiency(fleet.gpu, spec.bytes_per_weight)
    slow, bound, fast = (
        roofline(spec, fleet.gpu, fleet.gpus_per_replica, end) for end in (known.slow, known.likely, known.fast)
    )
    for demand in demands:
        limits = demand.endpoint.max_ttft_s, demand.endpoint.max_inter_token_s
        asked_of = demand.input_tokens, demand.output_tokens, *limits
        can = capacity(bound, *asked_of)
        if can.requests_per_s is None:
            why = "; ".join(can.reasons)
            reasons.append(f"{demand.endpoint.name}: no {fleet.model} in {fleet.weights} on {fleet.gpu}: {why}")
            continue
        rates_of[demand.endpoint.name] = can.requests_per_s
        if not known.measured:
            least, most = (capacity(end, *asked_of).requests_per_s or 0.0 for end in (slow, fast))
            ranges_of[demand.endpoint.name] = least, most
        ttft_s, inter_token_s = max(ttft_s, can.ttft_s or 0.0), max(inter_token_s, can.inter_token_s or 0.0)
        for hour, requests in enumerate(demand.requests_per_hour):
            per_day, filled = requests * HOURS_PER_DAY, terms.MAX_UTILIZATION_FRACTION
            asked = replicas_needed(per_day, can.requests_per_s, max_utilization_fraction=filled, at_least=0)
            replicas[hour] += asked.serving
            load[hour] += requests / SECONDS_PER_HOUR / can.requests_per_s
    needed = [int(n + terms.SPARE_REPLICAS * (n > 0)) * fleet.gpus_per_replica for n in replicas]
    kept = max(fleet.always_on, fleet.reserved)
    paid = [max(kept, wanted) for wanted in needed]
    beyond = sum(max(0, gpus - fleet.reserved) for gpus in paid)
    usd = rates["reserved"] * fleet.reserved * HOURS_PER_DAY
    if beyond and fleet.spot:
        usd += spot_job(
            beyond, rates["spot"], rates["on_demand"], terms.SPOT_MTBF_HOURS, 1.0, terms.SPOT_RESTART_S
        ).expected_usd
    else:
        usd += rates["on_demand"] * beyond
    total = sum(paid) / fleet.gpus_per_replica
    return FleetBill(
        usd_per_day=usd,
        gpus_per_hour=tuple(paid),
        needed_per_hour=tuple(needed),
        utilization_fraction=math.fsum(load) / total if total else 0.0,
        requests_per_s=rates_of,
        requests_per_s_range=ranges_of,
        ttft_s=ttft_s,
        inter_token_s=inter_token_s,
        reasons=tuple(reasons),
    )


def _serve(
    log: RequestLog, about: Endpoint, plan: Plan, hit: NDArray[np.bool_], fleets: dict[str, FleetBill]
) -> EndpointDay:
    rows, chosen = log.of(about.name), plan.endpoints[about.name]
    serve, written = chosen.serve, log.output_tokens[rows].astype(np.float64)
    if isinstance(serve, CascadeServing):
        usd, quality, latency = _cascade(log.question[rows], serve)
    elif isinstance(serve, Api):
        usd, latency = _api(log.input_tokens[rows], written, about, serve)
        quality = np.full(len(rows), terms.model_quality(serve.model))
    else:
        fleet, bill = plan.fleets[serve.fleet], fleets[serve.fleet]
        usd, latency = np.zeros(len(rows)), bill.ttft_s + bill.inter_token_s * written
        quality = np.full(len(rows), terms.model_quality(fleet.model, fleet.weights))
    if chosen.cache is not None:
        asked = log.text[rows] >= 0
        # A hit is read and a miss is written; that a miss was looked up before is cents a month.
        usd = np.where(hit, 0.0, usd) + asked * store_price(terms.CACHE_STORE).usd_per_transfer(terms.ENTRY_BYTES)
        latency = np.where(hit, 0.0, latency) + asked * terms.CACHE_LATENCY_S
    return EndpointDay(rows, hit, usd, quality, latency)


def _cascade(question: NDArray[np.int64], serve: CascadeServing) -> tuple[NDArray[np.float64], ...]:
    result = evaluate_cascade(terms.support_outcomes("test").only(serve.tiers), serve.thresholds)
    tried_s = np.cumsum([terms.SUPPORT_LATENCY_S[tier] for tier in serve.tiers])
    return result.usd[question], result.correct[question], tried_s[result.tier][question]


def _api(
    read: NDArray[np.int64], written: NDArray[np.float64], about: Endpoint, serve: Api
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Providers read from their prompt cache in blocks of 128 tokens.
    cached = about.prefix_tokens // 128 * 128 if serve.stable_prefix else 0
    usd = api_price(serve.model).usd(read, written, cached)
    if serve.batch:
        return usd * terms.BATCH_PRICE_FRACTION, np.full(len(read), terms.BATCH_LATENCY_S)
    first_s, token_s = terms.API_LATENCY_S
    return usd, first_s + token_s * written
