"""What could be saved, found in the log itself: each with its size and how that was computed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from costlab._internal.text import counted, dollars, moment, shortened
from costlab.catalog import api_price
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.monitoring.gpu_hours import GpuUsage
from costlab.monitoring.usage import UsageTotals, roll_up
from costlab.units import HOURS_PER_MONTH, MICRO_USD_PER_USD

#: The source lesson's alert (S8), which the alert rules have too: the most expensive tier serves no larger share.
EXPENSIVE_TIER_FRACTION: Final = 0.15

#: And the lower end of its target for busy GPUs, to which underused ones would be gathered.
TARGET_UTILIZATION_FRACTION: Final = 0.65

#: An hour is out of the ordinary when a tenant spends more than this many times its median hour.
RUNAWAY_FACTOR: Final = 5.0

#: What is smaller than this share of the cost, or than a cent, is not worth a line.
MIN_FRACTION: Final = 0.001
MIN_USD: Final = 0.01


@dataclass(frozen=True, slots=True)
class Saving:
    """Something that costs less when it is changed.

    Attributes
    ----------
    name : {'idle_gpus', 'underused_gpus', 'runaway', 'dearest_tier', 'prompt_cache', 'failures'}
        Which kind it is; ``dearest_tier`` is about the most expensive tier.
    action : str
        What to do.
    usd : float
        Saved over the time that the log covers, in USD.
    usd_per_month : float or None
        The same over a month of 730 hours at this rate; None for what happened once, or where the log is shorter than
        a day.
    how : str
        How the size was computed.
    """

    name: str
    action: str
    usd: float
    usd_per_month: float | None
    how: str


def savings(
    cells: Sequence[UsageTotals], hours: Sequence[UsageTotals], gpus: Sequence[GpuUsage], covered_hours: float
) -> tuple[Saving, ...]:
    """All savings worth a line, the largest first. They overlap, so they do not add up.

    Parameters
    ----------
    cells : sequence of UsageTotals
        Requests by tier, model and tenant.
    hours : sequence of UsageTotals
        Requests by tenant and hour; of the most expensive tenants is enough.
    gpus : sequence of GpuUsage
        GPU hours by GPU; empty where there is no log of them.
    covered_hours : float
        How long the log is, for the figures per month.
    """
    total = next(iter(roll_up(cells)), None)
    spent = (total.cost_usd if total else 0.0) + sum(gpu.cost_usd for gpu in gpus)
    candidates = [_runaway(hours), _expensive_tier(cells), _prompt_cache(cells), _failures(total), *_gpus(gpus)]
    monthly = HOURS_PER_MONTH / covered_hours if covered_hours >= 24 else None
    worth = [
        Saving(name, action, usd, None if monthly is None or name == "runaway" else usd * monthly, how)
        for name, action, usd, how in filter(None, candidates)
        if usd >= max(MIN_USD, MIN_FRACTION * spent)
    ]
    return tuple(sorted(worth, key=lambda saving: -saving.usd))


#: The log names GPUs and not their machines, nor how their hours were bought.
GIVEN_BACK: Final = "A machine is given back whole, and a reserved one not at all"

#: Name, action, USD and how of a saving.
Candidate = tuple[str, str, float, str]


def _gpus(gpus: Sequence[GpuUsage]) -> Iterable[Candidate]:
    idle = [gpu for gpu in gpus if gpu.idle_cost_micro_usd]
    if idle:
        worst = max(idle, key=lambda gpu: gpu.idle_cost_micro_usd)
        idle_hours = sum(gpu.idle_hours for gpu in idle)
        yield (
            "idle_gpus",
            f"switch GPUs off while they wait, {shortened(worst.key[0])} first",
            sum(gpu.idle_cost_usd for gpu in idle),
            f"{idle_hours:,.1f} GPU-hours below 10 % utilization at their price; "
            f"{worst.idle_hours:,.1f} of them on {shortened(worst.key[0])}. {GIVEN_BACK}",
        )
    cost = sum(gpu.underused_cost_micro_usd for gpu in gpus) / MICRO_USD_PER_USD
    hours, busy = sum(gpu.underused_hours for gpu in gpus), sum(gpu.underused_busy_hours for gpu in gpus)
    if hours:
        needed = busy / TARGET_UTILIZATION_FRACTION
        yield (
            "underused_gpus",
            "gather the work of half-empty GPUs on fewer",
            cost * (1 - needed / hours),
            f"{hours:,.1f} GPU-hours from 10 to 40 % utilization do {busy:,.1f} hours of work, which "
            f"{needed:,.1f} GPU-hours at {TARGET_UTILIZATION_FRACTION:.0%} do as well. {GIVEN_BACK}",
        )


def _runaway(hours: Sequence[UsageTotals]) -> Candidate | None:
    tenants: dict[str, list[UsageTotals]] = {}
    for hour in hours:
        tenants.setdefault(hour.key[0], []).append(hour)
    worst: Candidate | None = None
    for tenant, its_hours in tenants.items():
        if len(its_hours) < 6:
            continue  # too few hours to say what is ordinary
        ordinary = statistics.median(hour.cost_usd for hour in its_hours)
        loud = [hour for hour in its_hours if hour.cost_usd > RUNAWAY_FACTOR * ordinary]
        excess = sum(hour.cost_usd - ordinary for hour in loud)
        if loud and ordinary > 0 and (worst is None or excess > worst[2]):
            who = f"tenant {tenant}" if tenant else "this service"
            loudest = max(loud, key=lambda hour: hour.cost_micro_usd)
            when = moment(loudest.key[1])
            worst = (
                "runaway",
                f"put a budget on {who}: it spent {dollars(loudest.cost_usd, cents=True)} in one hour, from {when} UTC",
                excess,
                f"{len(loud)} of its {len(its_hours)} hours cost more than {RUNAWAY_FACTOR:g} times its median hour "
                f"of {dollars(ordinary, cents=True)}; what {'it' if len(loud) == 1 else 'they'} cost above the median. "
                "Totals and rates a month contain it",
            )
    return worst


def _expensive_tier(cells: Sequence[UsageTotals]) -> Candidate | None:
    all_tiers = roll_up(cells, 0)
    tiers = sorted((tier for tier in all_tiers if tier.usd_per_request), key=lambda tier: tier.usd_per_request or 0.0)
    if len(tiers) < 2:
        return None
    expensive, cheaper = tiers[-1], tiers[-2]
    all_requests = sum(tier.requests for tier in all_tiers)
    excess = expensive.priced_requests - EXPENSIVE_TIER_FRACTION * all_requests
    difference = (expensive.usd_per_request or 0.0) - (cheaper.usd_per_request or 0.0)
    if excess <= 0:
        return None
    name, other = shortened(expensive.key[0]), shortened(cheaper.key[0])
    return (
        "dearest_tier",
        f"send fewer requests to {name}, and check that {other} answers them well enough",
        excess * difference,
        f"{name} serves {expensive.requests / all_requests:.1%} of the requests; those above "
        f"{EXPENSIVE_TIER_FRACTION:.0%} ({excess:,.0f}) times the difference to {other} "
        f"({dollars(difference)}). {EXPENSIVE_TIER_FRACTION:.0%} is a rule of thumb, above which the alert on "
        "expensive requests rings; what the cheaper tier can answer decides",
    )


def _prompt_cache(cells: Sequence[UsageTotals]) -> Candidate | None:
    """Every tenant caching its prompts as well as the best one does, model by model."""
    saved, best_of = dict[str, float](), ""
    models = {model.key[0]: model for model in roll_up(cells, 1)}
    by_tenant = roll_up(cells, 1, 2)
    for model, whole in models.items():
        if not whole.requests:
            continue
        try:
            price = api_price(model)
        except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
            continue
        length = whole.input_tokens / whole.requests
        plain, _, reread = price.rates_per_token(length)
        dearer = price.usd_per_token("cache_write", length) - plain
        tenants = [tenant for tenant in by_tenant if tenant.key[0] == model and tenant.requests]
        # A tenant with few requests is no example for the others.
        large = [tenant for tenant in tenants if tenant.input_tokens >= 0.05 * whole.input_tokens]
        best = max(large, key=lambda tenant: tenant.cached_input_fraction, default=None)
        if best is None or best.cached_input_fraction == 0.0 or len(tenants) < 2:
            continue
        for tenant in tenants:
            more = best.cached_input_fraction * tenant.input_tokens - tenant.cached_input_tokens
            # Of what is not read from the cache, a part was written to it, which costs more than fresh input.
            others = tenant.input_tokens - tenant.cached_input_tokens
            each = plain - reread + (dearer * tenant.cache_write_tokens / others if others else 0.0)
            if more * each > 0:
                saved[tenant.key[1]] = saved.get(tenant.key[1], 0.0) + more * each
                best_of = best_of or f"{best.key[1]} has {best.cached_input_fraction:.0%} on {model}"
    if not saved:
        return None
    action = "let prompts begin with what stays the same, so that the provider's prompt cache finds it"
    how = "at the catalogue's difference between a fresh and a cached token"
    if any(cell.cache_write_tokens for cell in cells):
        action += f", and ask again before it forgets: {max(saved, key=lambda name: saved[name])} first"
        how = "at the catalogue's difference between writing a token, or sending it fresh, and reading it"
    share = f"every tenant's input tokens cached to the share of the best large tenant ({best_of})"
    return "prompt_cache", action, sum(saved.values()), f"{share}, {how}"


def _failures(total: UsageTotals | None) -> Candidate | None:
    if total is None or not total.failed_cost_micro_usd:
        return None
    return (
        "failures",
        "find out why requests fail that were paid for",
        total.failed_cost_micro_usd / MICRO_USD_PER_USD,
        f"what the {counted(total.failed_requests, 'request')} cost that ended in an error, a timeout or a "
        "cancellation",
    )
