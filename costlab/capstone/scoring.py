"""The score of a plan: what it costs, what it breaks and where the money goes; and the memo for those who decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from costlab._internal import checks
from costlab.capstone import terms
from costlab.capstone.plan import TODAY, Api, FleetServing, Plan
from costlab.capstone.replay import FleetBill, replay_day
from costlab.catalog import api_price, store_price
from costlab.synthetic import ENDPOINTS, REQUESTS, Endpoint, RequestLog, request_log
from costlab.token_economics import CacheRates, cached_prefix_tokens
from costlab.units import BYTES_PER_GB, HOURS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from costlab.capstone.plan import EndpointPlan, SpendLimits


@dataclass(frozen=True, slots=True)
class EndpointScore:
    """An endpoint under a plan.

    Attributes
    ----------
    usd_per_month, usd_per_request : float
        Calls, tiers and cache of 30 ordinary days, in USD, and the mean over the ordinary requests; GPUs of one's own
        are in the score's `fleets`.
    quality_fraction, quality_floor : float
        Share of right answers, or MMLU, and the least that is allowed.
    latency_s, latency_limit_s : float
        95th percentile from request to answer, and its limit, in seconds; of requests in batches only where all are.
    hit_rate_fraction : float
        Share of the ordinary requests that the cache answered.
    batch_fraction : float
        Share of the ordinary requests that went through the provider's batch interface.
    reads_per_write : float or None
        How often the provider's prompt cache was read for each time it was written; None where nothing was written.
    """

    name: str
    usd_per_month: float
    usd_per_request: float
    quality_fraction: float
    quality_floor: float
    latency_s: float
    latency_limit_s: float
    hit_rate_fraction: float
    batch_fraction: float
    reads_per_write: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """What a plan costs, how good it is, and what it breaks.

    Attributes
    ----------
    today_usd_per_month, budget_usd_per_month : float
        What the company pays today, and what the controller allows, in USD.
    endpoints : tuple of EndpointScore
        In the order of today's bill.
    fleets : mapping of str to FleetBill
        GPUs of one's own, by the plan's names.
    parts_usd : mapping of str to float
        Where a month's money goes: every endpoint, ``gpus``, ``people`` and ``runaway``.
    runaway_day_usd, refused_fraction : float
        What the worst day costs, in USD, and the share of the ordinary requests that it or the usual one refuses.
    violations : tuple of str
        What the plan breaks, in words; empty when it breaks nothing.
    """

    today_usd_per_month: float
    budget_usd_per_month: float
    endpoints: tuple[EndpointScore, ...]
    fleets: dict[str, FleetBill]
    parts_usd: dict[str, float]
    runaway_day_usd: float
    refused_fraction: float
    violations: tuple[str, ...]

    @property
    def usd_per_month(self) -> float:
        """Thirty days, one of them with the runaway client, in USD."""
        return sum(self.parts_usd.values())

    @property
    def saving_fraction(self) -> float:
        """Share of today's bill that is saved; negative where the plan costs more."""
        return 1.0 - self.usd_per_month / self.today_usd_per_month

    @property
    def passed(self) -> bool:
        """Whether the plan breaks nothing, the budget included."""
        return not self.violations


def score(plan: Plan, log: RequestLog | None = None, *, budget_usd_per_month: float | None = None) -> Score:
    """What a plan costs, and what it breaks, when the company's day is replayed through it.

    The day is played twice, without and with the runaway client; a month has 29 of the one and one of the other.

    The same plan gives the same score, to the last cent. What it ignores: queues, the time that a change takes, the
    risk of a provider, and that a model's MMLU is not its quality at your task.

    Parameters
    ----------
    plan : Plan
        What the company is to do.
    log : RequestLog, optional
        The day; by default the company's million requests, generated again.
    budget_usd_per_month : float, optional
        What is allowed; by default 40,000 USD for a million requests a day, in proportion for a smaller log.

    Raises
    ------
    PriceNotFoundError
        If the plan wants what has no price.

    Examples
    --------
    Does today's plan pass, on a small sample of the company's day?

    >>> today = score(TODAY, request_log(requests=10_000))
    >>> today.passed, round(today.saving_fraction, 3)
    (False, 0.0)
    """
    checks.instance("plan", plan, Plan)
    if budget_usd_per_month is not None:
        checks.non_negative("budget_usd_per_month", budget_usd_per_month)
    log = request_log() if log is None else checks.instance("log", log, RequestLog)
    size = int((~log.runaway).sum()) / REQUESTS
    budget = terms.BUDGET_USD_PER_MONTH * size if budget_usd_per_month is None else budget_usd_per_month
    today = sum(_month(TODAY, log).parts_usd.values())
    result = Score(today, budget, *_month(plan, log), violations=())
    return replace(result, violations=tuple(_violations(plan, result, terms.LIMIT_USD_PER_DAY * size)))


class _Month(NamedTuple):
    endpoints: tuple[EndpointScore, ...]
    fleets: dict[str, FleetBill]
    parts_usd: dict[str, float]
    runaway_day_usd: float
    refused_fraction: float


def _month(plan: Plan, log: RequestLog) -> _Month:
    day = replay_day(plan, log)
    usd = np.zeros(len(log))
    for served in day.endpoints.values():
        usd[served.rows] = served.usd
    ordinary = np.flatnonzero(~log.runaway)
    usual, worst = np.zeros(len(log), dtype=bool), admitted(plan.limits, log.client, usd)
    usual[ordinary] = admitted(plan.limits, log.client[ordinary], usd[ordinary])
    stores = {name: _store_usd_per_day(chosen) for name, chosen in plan.endpoints.items()}
    endpoints = []
    for about in ENDPOINTS:
        served = day.endpoints[about.name]
        may, counted = usual[served.rows], ~log.runaway[served.rows]
        floor, spent = about.quality_floor, float(served.usd[may].sum())
        if about.name == "support":  # what the largest tier answers right, less this many
            floor = float(terms.support_outcomes("test").correct[log.question[served.rows], -1].mean()) - floor
        timed = may & ~served.batched if (may & ~served.batched).any() else may
        endpoints.append(
            EndpointScore(
                name=about.name,
                usd_per_month=(spent + stores[about.name]) * terms.DAYS_PER_MONTH,
                usd_per_request=spent / int(counted.sum()),
                quality_fraction=float(served.quality[may].mean()) if may.any() else 0.0,
                quality_floor=floor,
                latency_s=float(np.quantile(served.latency_s[timed], 0.95)) if timed.any() else float("inf"),
                latency_limit_s=about.latency_limit_s,
                hit_rate_fraction=float(served.hit[counted].mean()),
                batch_fraction=float(served.batched[counted].mean()),
                reads_per_write=served.reads_per_write,
            )
        )
    gpus = sum(bill.usd_per_day for bill in day.fleets.values())
    cached = sum(stores[about.name] for about in ENDPOINTS)
    usual_usd, worst_usd = float(usd[usual].sum()) + cached, float(usd[worst].sum()) + cached
    serving = [chosen.serve for chosen in plan.endpoints.values()]
    models = {plan.fleets[serve.fleet].model for serve in serving if isinstance(serve, FleetServing)}
    parts = {part.name: part.usd_per_month for part in endpoints} | {
        "gpus": gpus * terms.DAYS_PER_MONTH,
        "people": terms.PEOPLE_USD_PER_MONTH * len(models),
        "runaway": worst_usd - usual_usd,
    }
    refused = max(float((~may[ordinary]).mean()) for may in (usual, worst))
    return _Month(tuple(endpoints), day.fleets, parts, worst_usd + gpus, refused)


def _store_usd_per_day(chosen: EndpointPlan) -> float:
    if chosen.cache is None:
        return 0.0
    size_gb = chosen.cache.entries * terms.ENTRY_BYTES / BYTES_PER_GB
    return store_price(terms.CACHE_STORE).usd_per_hour(size_gb) * HOURS_PER_DAY


def admitted(limits: SpendLimits, client: NDArray[np.int64], usd: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which requests of a day may be made.

    A client's request is refused when it would bring the client's sum above the limit, and so is everything after it
    until midnight; then the same for all together.

    Parameters
    ----------
    limits : SpendLimits
        The plan's. The real :class:`costlab.monitoring.budget.BudgetGuard` lets a smaller request through that still
        fits, which on a day like this is a matter of one request.
    client, usd : numpy.ndarray, shape (requests,)
        Who asks, in the order of time, and what each would cost.

    Examples
    --------
    >>> from costlab.capstone import SpendLimits
    >>> admitted(SpendLimits(client_usd_per_day=2.0), np.array([0, 0, 1, 0, 1]), np.ones(5)).tolist()
    [True, True, True, False, True]
    """
    may = np.ones(len(usd), dtype=bool)
    if limits.client_usd_per_day is not None:
        for who in np.unique(client):
            rows = np.flatnonzero(client == who)
            may[rows] = _within(usd[rows], limits.client_usd_per_day)
    if limits.total_usd_per_day is not None:
        may &= _within(np.where(may, usd, 0.0), limits.total_usd_per_day)
    return may


def _within(usd: NDArray[np.float64], limit_usd: float) -> NDArray[np.bool_]:
    # What a sum of floats adds by itself must not refuse the request that fills the limit exactly.
    return np.asarray(np.cumsum(usd) <= limit_usd * (1 + 1e-12))


def _violations(plan: Plan, result: Score, day_usd: float) -> list[str]:
    broken = []
    if result.usd_per_month > result.budget_usd_per_month:
        usd, budget_usd = result.usd_per_month, result.budget_usd_per_month
        broken.append(f"budget: {usd:,.0f} USD a month, {budget_usd:,.0f} are allowed")
    if result.runaway_day_usd > day_usd:
        broken.append(f"budget: {result.runaway_day_usd:,.0f} USD on the runaway's day, {day_usd:,.0f} are allowed")
    if result.refused_fraction > terms.REFUSED_FRACTION:
        broken.append(f"guard: {result.refused_fraction:.1%} of the ordinary requests refused")
    for part, about in zip(result.endpoints, ENDPOINTS, strict=True):
        serve = plan.endpoints[part.name].serve
        quality, floor = part.quality_fraction, part.quality_floor
        latency_s, limit_s = part.latency_s, part.latency_limit_s
        if quality < floor:
            broken.append(f"quality: {part.name} has {quality:.1%}, the floor is {floor:.1%}")
        hurried = _hurried(about, serve)
        if hurried:
            due = f"answers to {' and '.join(hurried)} are due within {limit_s:g} s"
            broken.append(f"batch: {part.name}: {due}, and a batch takes up to a day")
        elif latency_s > limit_s:
            broken.append(f"latency: {part.name} takes {latency_s:,.2f} s, the limit is {limit_s:g} s")
        if about.private and not isinstance(serve, FleetServing):
            broken.append(f"privacy: {part.name} may not leave the company")
        if isinstance(serve, FleetServing) and plan.fleets[serve.fleet].spot and limit_s < SECONDS_PER_HOUR:
            broken.append(f"spot: {part.name} cannot wait while a spot machine is replaced")
        if isinstance(serve, Api) and serve.stable_prefix:
            broken += _wasted_prefix(about, serve, part.reads_per_write)
    broken += [f"capacity: {reason}" for bill in result.fleets.values() for reason in bill.reasons]
    return broken


def _hurried(about: Endpoint, serve: object) -> list[str]:
    """The clients whose requests a plan puts into batches though their answers are due at once."""
    if not isinstance(serve, Api):
        return []
    chosen = about.clients if serve.batch else serve.batch_clients
    return [name for name in chosen if name not in about.can_wait]


def _wasted_prefix(about: Endpoint, serve: Api, reads_per_write: float | None) -> list[str]:
    """Why a prompt cache brings nothing to an endpoint; empty where it does."""
    cache = terms.prompt_cache(serve.model, serve.prefix_lifetime_s)
    least = cache.minimum_tokens or 1
    if not cached_prefix_tokens(about.prefix_tokens, least, cache.block_tokens):
        shared = f"requests to {about.name} share {about.prefix_tokens:,} tokens"
        return [f"prompt cache: {shared}, and {serve.model} caches from {least:,} on, so nothing is ever read"]
    needed = CacheRates.of(api_price(serve.model), serve.prefix_lifetime_s).break_even_reads
    if reads_per_write is None or reads_per_write >= needed:
        return []
    kept = f"kept for {serve.prefix_lifetime_s / SECONDS_PER_MINUTE:.0f} minutes at {serve.model}"
    read = f"a prefix of {about.name}, {kept}, is read {reads_per_write:.2f} times for each write"
    return [f"prompt cache: {read}, and it pays from {needed:.2f} on"]


def memo(score: Score) -> str:
    """A page of Markdown that puts a plan to those who decide; what only its author knows is left as a line of dots."""
    breaks = "; ".join(score.violations)
    state = f"**Not ready: it breaks a limit.** {breaks}." if breaks else "It keeps every limit."
    rows = [
        f"| {part.name} | {part.usd_per_month:,.0f} | {part.quality_fraction:.1%} | {part.quality_floor:.1%} "
        f"| {part.latency_s:,.2f} | {part.latency_limit_s:,g} |"
        for part in score.endpoints
    ]
    named = {"gpus": "GPUs", "people": "people", "runaway": "the runaway client"}
    parts = [f"{shown} {score.parts_usd[name]:,.0f}" for name, shown in named.items()]
    gpus = [f"Fleet {name}: {max(bill.gpus_per_hour)} GPUs at most" for name, bill in score.fleets.items()]
    template = (files("costlab.capstone") / "memo.md").read_text(encoding="utf-8")
    texts = {"rows": "\n".join(rows), "parts": ", ".join(parts), "gpus": "; ".join(gpus) or "No GPUs of our own"}
    return template.format(score=score, state=state, **texts)
