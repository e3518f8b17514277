"""The score of a plan: what it costs, what it breaks, and where the money goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costlab._internal import checks
from costlab.capstone.company import (
    BUDGET_USD_PER_MONTH,
    CACHE_STORE,
    DAYS_PER_MONTH,
    ENDPOINTS,
    ENTRY_BYTES,
    LIMIT_USD_PER_DAY,
    PEOPLE_USD_PER_MONTH,
    REFUSED_FRACTION,
    REQUESTS,
    Endpoint,
)
from costlab.capstone.fleets import Demand, FleetBill, fleet_bill
from costlab.capstone.guard import admitted
from costlab.capstone.log import RequestLog, request_log
from costlab.capstone.plan import TODAY, Own, Plan, Route
from costlab.capstone.replay import Replay, hits_of, replay, support_today_fraction
from costlab.capstone.results import EndpointScore, Score
from costlab.catalog import store_price
from costlab.units import BYTES_PER_GB, HOURS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["fleet_bills", "score"]


@dataclass(frozen=True, slots=True)
class _Month:
    endpoints: tuple[EndpointScore, ...]
    fleets: dict[str, FleetBill]
    parts_usd: dict[str, float]
    runaway_day_usd: float
    refused_fraction: float


def score(plan: Plan, log: RequestLog | None = None, *, budget_usd_per_month: float | None = None) -> Score:
    """Replay the company's day through a plan.

    The day is played twice, without and with the runaway client; a month has 29 of the one and one of the other.

    Parameters
    ----------
    plan : Plan
        What the company is to do.
    log : RequestLog, optional
        The day; by default the company's million requests, made anew.
    budget_usd_per_month : float, optional
        What is allowed; by default 40,000 USD for a million requests a day, in proportion for a smaller log.

    Returns
    -------
    Score

    Raises
    ------
    InvalidValueError
        If `plan` is no plan, or the budget no amount.
    PriceNotFoundError
        If the plan wants what has no price.

    Notes
    -----
    The same plan gives the same score, to the last cent. What it ignores: queues, the time that a change takes, the
    risk of a provider, and that a model's MMLU is not its quality at your task.

    Examples
    --------
    Does what the company does today stand, on a small sample of its day?

    >>> today = score(TODAY, request_log(requests=10_000))
    >>> today.passed, round(today.saving_fraction, 3)
    (False, 0.0)
    """
    checks.instance("plan", plan, Plan)
    if budget_usd_per_month is not None:
        checks.non_negative("budget_usd_per_month", budget_usd_per_month)
    log = request_log() if log is None else checks.instance("log", log, RequestLog)
    found, today = _month(plan, log), _month(TODAY, log)
    size = int((~log.runaway).sum()) / REQUESTS
    budget = BUDGET_USD_PER_MONTH * size if budget_usd_per_month is None else budget_usd_per_month
    usd = sum(found.parts_usd.values())
    return Score(
        usd_per_month=usd,
        today_usd_per_month=sum(today.parts_usd.values()),
        budget_usd_per_month=budget,
        endpoints=found.endpoints,
        fleets=found.fleets,
        parts_usd=found.parts_usd,
        runaway_day_usd=found.runaway_day_usd,
        refused_fraction=found.refused_fraction,
        violations=tuple(_violations(plan, found, usd, budget, LIMIT_USD_PER_DAY * size)),
    )


def _month(plan: Plan, log: RequestLog) -> _Month:
    hits = {one.name: hits_of(log, one.name, plan.routes[one.name]) for one in ENDPOINTS}
    fleets = fleet_bills(plan, log, hits)
    played = {one.name: replay(log, one, plan, hits[one.name], fleets) for one in ENDPOINTS}
    usd = np.zeros(len(log))
    for one in played.values():
        usd[one.rows] = one.usd
    ordinary = np.flatnonzero(~log.runaway)
    usual, worst = np.zeros(len(log), dtype=bool), admitted(plan.guard, log.client, usd)
    usual[ordinary] = admitted(plan.guard, log.client[ordinary], usd[ordinary])
    endpoints = tuple(_endpoint(one, plan, played[one.name], log, usual) for one in ENDPOINTS)
    gpus = sum(bill.usd_per_day for bill in fleets.values())
    cached = sum(_store_usd_per_day(plan.routes[one.name]) for one in ENDPOINTS)
    usual_usd, worst_usd = float(usd[usual].sum()) + cached, float(usd[worst].sum()) + cached
    models = {plan.fleets[r.serve.fleet].model for r in plan.routes.values() if isinstance(r.serve, Own)}
    parts = {one.name: one.usd_per_month for one in endpoints} | {
        "gpus": gpus * DAYS_PER_MONTH,
        "people": PEOPLE_USD_PER_MONTH * len(models),
        "runaway": worst_usd - usual_usd,
    }
    refused = max(float((~may[ordinary]).mean()) for may in (usual, worst))
    return _Month(endpoints, fleets, parts, worst_usd + gpus, refused)


def fleet_bills(
    plan: Plan, log: RequestLog, hits: Mapping[str, NDArray[np.bool_]] | None = None
) -> dict[str, FleetBill]:
    """A day of each of the plan's fleets.

    Parameters
    ----------
    plan : Plan
        What the company is to do.
    log : RequestLog
        The day; the runaway client's requests are not planned for.
    hits : mapping of str to numpy.ndarray of bool, optional
        By endpoint, which requests its cache answers; found out by default.
    """
    found = hits or {one.name: hits_of(log, one.name, plan.routes[one.name]) for one in ENDPOINTS}
    return {
        name: fleet_bill(fleet, [_demand(log, one, found[one.name]) for one in ENDPOINTS if _on(plan, one, name)])
        for name, fleet in plan.fleets.items()
    }


def _on(plan: Plan, one: Endpoint, fleet: str) -> bool:
    serve = plan.routes[one.name].serve
    return isinstance(serve, Own) and serve.fleet == fleet


def _demand(log: RequestLog, one: Endpoint, hit: NDArray[np.bool_]) -> Demand:
    rows = log.of(one.name)
    rows = rows[~hit & ~log.runaway[rows]]
    hours = np.bincount((log.time_s[rows] // SECONDS_PER_HOUR).astype(int), minlength=HOURS_PER_DAY)
    means = (float(column[rows].mean()) if len(rows) else 1.0 for column in (log.input_tokens, log.output_tokens))
    return Demand(one, tuple(hours.tolist()), *means)


def _store_usd_per_day(route: Route) -> float:
    if route.cache is None:
        return 0.0
    return store_price(CACHE_STORE).usd_per_hour(route.cache.entries * ENTRY_BYTES / BYTES_PER_GB) * HOURS_PER_DAY


def _endpoint(one: Endpoint, plan: Plan, played: Replay, log: RequestLog, may: NDArray[np.bool_]) -> EndpointScore:
    served = may[played.rows]
    usual = ~log.runaway[played.rows]
    floor = support_today_fraction(log) - one.quality_floor if one.name == "support" else one.quality_floor
    usd = float(played.usd[served].sum())
    some = served.any()
    return EndpointScore(
        name=one.name,
        usd_per_month=(usd + _store_usd_per_day(plan.routes[one.name])) * DAYS_PER_MONTH,
        usd_per_request=usd / int(usual.sum()),
        quality_fraction=float(played.quality[served].mean()) if some else 0.0,
        quality_floor=floor,
        latency_s=float(np.quantile(played.latency_s[served], 0.95)) if some else float("inf"),
        latency_limit_s=one.latency_limit_s,
        hit_rate_fraction=float(played.hit[usual].mean()),
    )


def _violations(plan: Plan, found: _Month, usd: float, budget_usd: float, day_usd: float) -> list[str]:
    broken = []
    if usd > budget_usd:
        broken.append(f"budget: {usd:,.0f} USD a month, {budget_usd:,.0f} are allowed")
    if found.runaway_day_usd > day_usd:
        broken.append(f"budget: {found.runaway_day_usd:,.0f} USD on the runaway's day, {day_usd:,.0f} are allowed")
    if found.refused_fraction > REFUSED_FRACTION:
        broken.append(f"guard: {found.refused_fraction:.1%} of the ordinary requests refused")
    for one, about in zip(found.endpoints, ENDPOINTS, strict=True):
        serve = plan.routes[one.name].serve
        if one.quality_fraction < one.quality_floor:
            broken.append(f"quality: {one.name} has {one.quality_fraction:.1%}, the floor is {one.quality_floor:.1%}")
        if one.latency_s > one.latency_limit_s:
            broken.append(f"latency: {one.name} takes {one.latency_s:,.2f} s, the limit is {one.latency_limit_s:g} s")
        if about.private and not isinstance(serve, Own):
            broken.append(f"privacy: {one.name} may not leave the company")
        if isinstance(serve, Own) and plan.fleets[serve.fleet].spot and one.latency_limit_s < SECONDS_PER_HOUR:
            broken.append(f"spot: {one.name} cannot wait while a spot machine is replaced")
    broken += [f"capacity: {reason}" for bill in found.fleets.values() for reason in bill.reasons]
    return broken
