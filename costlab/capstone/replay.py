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
from costlab.serving import (
    BYTES_PER_WEIGHT,
    Capacity,
    EngineCurve,
    Roofline,
    capacity,
    engine_curve,
    measured_efficiency,
    model_spec,
    replicas_needed,
    roofline,
)
from costlab.synthetic import ENDPOINTS, Endpoint
from costlab.token_economics import cached_prefix_tokens
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
    in_flight : mapping of str to int
        By endpoint, how many requests a replica answers at a time at full load.
    requests_per_s_range : mapping of str to tuple of float
        By endpoint the same at both ends of what other GPUs reach, where no one measured this one's efficiency; 0 where
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
    in_flight: dict[str, int]
    requests_per_s_range: dict[str, tuple[float, float]]
    ttft_s: float
    inter_token_s: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EndpointDay:
    """An endpoint's requests, served; arrays in the order of time.

    Places in the log, whether the cache had the answer, whether it came in a batch, USD without GPUs of one's own,
    share of right answers to be expected (of a measured answer 0 or 1), and seconds from request to answer. Last, how
    often the provider's prompt cache was read for each time that it was written; None where it was not written.
    """

    rows: NDArray[np.intp]
    hit: NDArray[np.bool_]
    batched: NDArray[np.bool_]
    usd: NDArray[np.float64]
    quality: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    reads_per_write: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CompanyDay:
    """The whole day, served as if no one were refused; of the runaway client's requests the fleets know nothing."""

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
    """Which requests hit a cache, empty at first, of a number of entries that drops the least recently used.

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


@dataclass(frozen=True, slots=True)
class _Load:
    """What one replica does at full load; `reason` says why that may not be, and is empty where it may."""

    requests_per_s: float
    in_flight: int
    ttft_s: float
    inter_token_s: float
    reason: str = ""


def _at(on: Roofline, curve: EngineCurve | None, demand: FleetDemand, in_flight: int) -> _Load:
    """A replica with a number of requests in flight, or as many as have room, whatever the limits."""
    can = capacity(on, demand.input_tokens, demand.output_tokens, max_sequences=in_flight)
    slower = curve.slowdown(can.batch) if curve else 1.0
    rate, first_s, token_s = can.requests_per_s or 0.0, can.ttft_s or 0.0, can.inter_token_s or 0.0
    return _Load(rate / slower, can.batch, first_s * slower, token_s * slower)


def _full_load(fleet: Fleet, on: Roofline, curve: EngineCurve | None, demand: FleetDemand) -> _Load | Capacity:
    """A replica with as many requests in flight as the limits allow, or the plan wants; a Capacity where none fits."""
    first_s, token_s = demand.endpoint.max_ttft_s, demand.endpoint.max_inter_token_s
    ideal = capacity(on, demand.input_tokens, demand.output_tokens, first_s, token_s)
    kept = None
    # The engine is hardly faster than the roofline, so what it can keep is next to what the roofline allows.
    for in_flight in range(ideal.batch, 0, -1):
        load = _at(on, curve, demand, in_flight)
        if load.ttft_s <= first_s and load.inter_token_s <= token_s:
            kept = load
            break
    if kept is None:
        slow_ms = 1000 * _at(on, curve, demand, 1).inter_token_s if ideal.fits else 0.0
        measured = f"a lone request has a token every {slow_ms:.0f} ms, as engines were measured"
        return ideal if not ideal.fits else replace(ideal, requests_per_s=None, reasons=(measured,))
    if fleet.in_flight is None:
        return kept
    wanted = _at(on, curve, demand, fleet.in_flight)
    if wanted.in_flight <= kept.in_flight:
        return wanted
    takes = f"{demand.endpoint.name}: with {wanted.in_flight} requests in flight"
    if wanted.inter_token_s > token_s:
        takes += f" a token takes {1000 * wanted.inter_token_s:.1f} ms and {1000 * token_s:g} are allowed"
    else:
        takes += f" the first token takes {wanted.ttft_s:.2f} s and {first_s:g} are allowed"
    rates = f"{kept.requests_per_s:.1f} requests a second instead of {wanted.requests_per_s:.1f}"
    why = f"{takes}, so the limit holds {kept.in_flight} in flight, and {rates}"
    return replace(wanted, reason=why)


def fleet_bill(fleet: Fleet, demands: Sequence[FleetDemand]) -> FleetBill:
    """A day of a fleet under the requests of some endpoints.

    Replicas are started and stopped by the hour: as many as serve its requests at 70 % of their full load, and a
    spare one. Of several endpoints each gets its replicas, and they share the spare one. Full load is what the roofline
    says, held to an engine's measured curve where there is one, with as many requests in flight as the limits allow.

    Without a demand, only what is never given back is paid.

    Raises
    ------
    PriceNotFoundError
        If the GPU has no list price at AWS, or none for the way in which it is bought.
    """
    rates = terms.gpu_rates_usd_per_hour(fleet.gpu)
    if fleet.spot and "spot" not in rates:
        raise PriceNotFoundError(f"no spot price of an {fleet.gpu} at AWS")
    if fleet.reserved and "reserved" not in rates:
        raise PriceNotFoundError(f"AWS lists no price for a year of an {fleet.gpu}: set reserved to 0")
    replicas, busy = [0.0] * HOURS_PER_DAY, [0.0] * HOURS_PER_DAY
    reasons: list[str] = []
    rates_of: dict[str, float] = {}
    flights_of: dict[str, int] = {}
    ranges_of: dict[str, tuple[float, float]] = {}
    ttft_s = inter_token_s = 0.0
    spec = replace(model_spec(fleet.model), bytes_per_weight=BYTES_PER_WEIGHT[fleet.weights])
    known = measured_efficiency(fleet.gpu, spec.bytes_per_weight)
    curve = fleet.curve or engine_curve(fleet.gpu)
    slow, bound, fast = (
        roofline(spec, fleet.gpu, fleet.gpus_per_replica, end) for end in (known.slow, known.likely, known.fast)
    )
    for demand in demands:
        name = demand.endpoint.name
        full = _full_load(fleet, bound, curve, demand)
        if isinstance(full, Capacity):
            why = "; ".join(full.reasons)
            reasons.append(f"{name}: no {fleet.model} in {fleet.weights} on {fleet.gpu}: {why}")
            continue
        if full.reason:
            reasons.append(full.reason)
        rates_of[name], flights_of[name] = full.requests_per_s, full.in_flight
        if not known.measured:
            least, most = (_full_load(fleet, end, curve, demand).requests_per_s or 0.0 for end in (slow, fast))
            ranges_of[name] = least, most
        ttft_s, inter_token_s = max(ttft_s, full.ttft_s), max(inter_token_s, full.inter_token_s)
        for hour, requests in enumerate(demand.requests_per_hour):
            per_day, filled = requests * HOURS_PER_DAY, terms.MAX_UTILIZATION_FRACTION
            asked = replicas_needed(per_day, full.requests_per_s, max_utilization_fraction=filled, at_least=0)
            replicas[hour] += asked.serving
            busy[hour] += requests / SECONDS_PER_HOUR / full.requests_per_s
    needed = [int(n + terms.SPARE_REPLICAS * (n > 0)) * fleet.gpus_per_replica for n in replicas]
    kept = max(fleet.always_on, fleet.reserved)
    paid = [max(kept, wanted) for wanted in needed]
    beyond = sum(max(0, gpus - fleet.reserved) for gpus in paid)
    usd = rates["reserved"] * fleet.reserved * HOURS_PER_DAY if fleet.reserved else 0.0
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
        utilization_fraction=math.fsum(busy) / total if total else 0.0,
        requests_per_s=rates_of,
        in_flight=flights_of,
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
    batched, reads_per_write = np.zeros(len(rows), dtype=bool), None
    if isinstance(serve, CascadeServing):
        usd, quality, latency = _cascade(log.question[rows], serve)
    elif isinstance(serve, Api):
        batched = _batched(log, rows, serve)
        sent = ~hit & ~batched
        found = _prefix_hits(log, rows, sent, serve) if serve.stable_prefix else None
        usd = _api_usd(log, rows, about, serve, batched, found)
        if found is not None and sent.any():
            reads_per_write = float(found.sum()) / int((sent & ~found).sum())
        first_s, token_s = terms.API_LATENCY_S
        latency = np.where(batched, terms.BATCH_LATENCY_S, first_s + token_s * written)
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
    return EndpointDay(rows, hit, batched & ~hit, usd, quality, latency, reads_per_write)


def _cascade(question: NDArray[np.int64], serve: CascadeServing) -> tuple[NDArray[np.float64], ...]:
    result = evaluate_cascade(terms.support_outcomes("test").only(serve.tiers), serve.thresholds)
    tried_s = np.cumsum([terms.SUPPORT_LATENCY_S[tier] for tier in serve.tiers])
    return result.usd[question], result.correct[question], tried_s[result.tier][question]


def _batched(log: RequestLog, rows: NDArray[np.intp], serve: Api) -> NDArray[np.bool_]:
    clients = [log.clients.index(name) for name in serve.batch_clients]
    return np.isin(log.client[rows], clients) | serve.batch


def _prefix_hits(log: RequestLog, rows: NDArray[np.intp], sent: NDArray[np.bool_], serve: Api) -> NDArray[np.bool_]:
    """Which requests find their prefix in the provider's cache: those `sent` whose predecessor was not too long ago."""
    places = np.flatnonzero(sent)
    found = np.zeros(len(rows), dtype=bool)
    found[places] = prefix_hits(log.time_s[rows[places]], log.prefix[rows[places]], serve.prefix_lifetime_s)
    return found


def prefix_hits(time_s: NDArray[np.float64], prefix: NDArray[np.int64], lifetime_s: float) -> NDArray[np.bool_]:
    """Which calls find their prefix in a provider's cache, each call renewing its prefix's lifetime.

    Parameters
    ----------
    time_s, prefix : numpy.ndarray, shape (calls,)
        When the calls came, in seconds, ascending, and which prefix each begins with.
    lifetime_s : float
        Seconds for which a prefix is kept.

    Examples
    --------
    Calls after 0, 4 and 8 minutes, and one of another prefix in between:

    >>> prefix_hits(np.array([0.0, 240.0, 241.0, 480.0]), np.array([7, 7, 9, 7]), 300.0).tolist()
    [False, True, False, True]
    """
    order = np.argsort(prefix, kind="stable")
    times, keys = time_s[order], prefix[order]
    hit = np.zeros(len(order), dtype=bool)
    hit[order[1:]] = (keys[1:] == keys[:-1]) & (times[1:] - times[:-1] < lifetime_s)
    return hit


def _api_usd(
    log: RequestLog,
    rows: NDArray[np.intp],
    about: Endpoint,
    serve: Api,
    batched: NDArray[np.bool_],
    found: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    read, written = log.input_tokens[rows], log.output_tokens[rows]
    price, parts = api_price(serve.model), {}
    kept = np.zeros(len(rows), dtype=np.int64)
    if found is not None:
        cache = terms.prompt_cache(serve.model, serve.prefix_lifetime_s)
        tokens = cached_prefix_tokens(about.prefix_tokens, cache.minimum_tokens or 1, cache.block_tokens)
        kept = tokens * found
        if price.cache_write_usd_per_mtok is not None:
            parts["cache_write_tokens"] = tokens * ~found
            if serve.prefix_lifetime_s == SECONDS_PER_HOUR:
                parts["cache_write_1h_tokens"] = parts["cache_write_tokens"]
    usd = price.usd(read, written, kept, **parts)
    if not batched.any():
        return usd
    waiting = api_price(serve.model, service_tier="batch")
    return np.where(batched, waiting.usd(read, written), usd)
