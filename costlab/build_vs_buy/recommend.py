"""What to do: API, self-host, either, or both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from costlab.build_vs_buy.options import (
    ApiOption,
    Constraints,
    OptionCost,
    SelfHostOption,
    hybrid_cost,
    option_cost,
)
from costlab.errors import InvalidValueError
from costlab.workload import Workload

__all__ = ["Recommendation", "recommend"]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, and why.

    Attributes
    ----------
    choice : {'api', 'self-host', 'hybrid', 'either', 'none'}
        ``hybrid`` is both: one's own replicas for the base of the traffic and an API for the rest, or an API until
        one's own replicas are ready. ``none`` means that the constraints leave nothing.
    options : tuple of OptionCost
        Every option and the best pair of an API and a fleet, each with its cost, cheapest all in first; those ruled
        out too, with the reason.
    reasons : tuple of str
        Why, with numbers, the weightiest first.
    saving_usd_per_month : float
        All-in cost of the cheapest API or self-hosted option of another kind than the chosen one, less that of the
        chosen one; 0 where there is no other.
    """

    choice: str
    options: tuple[OptionCost, ...]
    reasons: tuple[str, ...]
    saving_usd_per_month: float


def recommend(
    workload: Workload,
    options: Sequence[ApiOption | SelfHostOption],
    constraints: Constraints | None = None,
) -> Recommendation:
    """What to do with a workload: the cheapest option that meets the constraints, and how clear the case is.

    Every option is priced all in (running costs, and upfront spending spread over the horizon). Then, in this order:

    1. What breaks a constraint is out, with the reason.
    2. If a self-hosted option is out for nothing but the deadline, and would be clearly cheaper than all that is ready
       in time, the answer is ``hybrid``: begin at the API, move later.
    3. Own replicas for the base of the traffic and an API for its peaks win only if they are cheaper than both pure
       options by more than the tie fraction, since two systems are more work than one. They are tried where the day's
       shape is known: up to a peak of 12 times the mean.
    4. An API and a self-hosted option within the tie fraction of each other are ``either``.
    5. Otherwise the cheapest wins.

    Parameters
    ----------
    workload : Workload
        The traffic.
    options : sequence of ApiOption or SelfHostOption
        What could be chosen; at least one, names used once.
    constraints : Constraints, optional
        What must hold; by default nothing, over 36 months.

    Returns
    -------
    Recommendation

    Raises
    ------
    InvalidValueError
        If there are no options or a name is used twice.

    Notes
    -----
    Quality is not priced: compare options only if each is good enough for the task. Likely values are compared, not
    their ranges: see :func:`costlab.compare.monte_carlo` for how sure the answer is.

    Examples
    --------
    60,000 requests a day: an API at 0.3 cents, or a 1.01-dollar machine that serves two a second, built for 50,000
    dollars and kept alive for 3,000 a month?

    >>> own = SelfHostOption("own", 1.01, 2, upfront_usd=50_000, fixed_usd_per_month=3000)
    >>> options = [ApiOption("API", 0.003), own]
    >>> recommend(Workload(60_000, 400, 200), options).choice
    'either'

    And if the data may not leave?

    >>> recommend(Workload(60_000, 400, 200), options, Constraints(data_must_stay=True)).choice
    'self-host'
    """
    names = [option.name for option in options]
    if not names or len(set(names)) < len(names):
        raise InvalidValueError("options", "at least one, each name used once", names)
    limits = constraints or Constraints()
    costs = [option_cost(workload, option, limits) for option in options]
    both = [
        cost
        for api in options
        if isinstance(api, ApiOption)
        for own in options
        if isinstance(own, SelfHostOption) and (cost := hybrid_cost(workload, api, own, limits)) is not None
    ]
    # Of all pairs only the best is of interest.
    costs += sorted(both, key=lambda cost: (bool(cost.ruled_out), cost.all_in_usd_per_month))[:1]
    costs.sort(key=lambda cost: (cost.all_in_usd_per_month, cost.kind))
    choice, reasons, chosen = _decide(costs, options, limits)
    ruled_out = tuple(f"{cost.name} is out: {'; '.join(cost.ruled_out)}" for cost in costs if cost.ruled_out)
    others = [c for c in costs if not c.ruled_out and chosen and c.kind not in (chosen.kind, "hybrid")]
    saving = others[0].all_in_usd_per_month - chosen.all_in_usd_per_month if others and chosen else 0.0
    return Recommendation(choice, tuple(costs), (*reasons, *ruled_out), saving)


def _first(costs: Sequence[OptionCost], kind: str) -> OptionCost | None:
    return next((cost for cost in costs if cost.kind == kind and not cost.ruled_out), None)


def _decide(
    costs: Sequence[OptionCost], options: Sequence[ApiOption | SelfHostOption], limits: Constraints
) -> tuple[str, tuple[str, ...], OptionCost | None]:
    api, own, both = (_first(costs, kind) for kind in ("api", "self-host", "hybrid"))
    pure = [cost for cost in (api, own) if cost is not None]
    if not pure and both is None:
        return "none", ("nothing meets the constraints",), None
    later = _too_late(costs, options, limits, api)
    if api is not None and later is not None and all(_clearly(later, cost, limits) for cost in pure):
        words = f"{later.name} would cost {_usd(later)} all in against {_usd(api)}, but is not ready in time"
        return "hybrid", (words, f"begin with {api.name}, move when {later.name} is ready"), api
    best = min([*pure, *([both] if both else [])], key=lambda cost: cost.all_in_usd_per_month)
    if both is not None and all(_clearly(both, cost, limits) for cost in pure):
        return "hybrid", (_against(both, pure),), both
    if api is not None and own is not None:
        best = min(pure, key=lambda cost: cost.all_in_usd_per_month)
        other = own if best is api else api
        if not _clearly(best, other, limits):
            share = other.all_in_usd_per_month / best.all_in_usd_per_month - 1 if best.all_in_usd_per_month else 0.0
            words = f"{best.name} costs {_usd(best)} all in, {other.name} {_usd(other)}: {share:.0%} more"
            return "either", (words, f"differences up to {limits.tie_fraction:.0%} decide nothing"), best
        return best.kind, (_against(best, [other]),), best
    return best.kind, (f"{best.name} is the only kind left, at {_usd(best)} all in",), best


def _too_late(
    costs: Sequence[OptionCost],
    options: Sequence[ApiOption | SelfHostOption],
    limits: Constraints,
    first: OptionCost | None,
) -> OptionCost | None:
    """The cheapest self-hosted option that nothing but the deadline rules out, and that can follow the API upfront."""
    most = math.inf if limits.max_upfront_usd is None else limits.max_upfront_usd
    left = most - (first.upfront_usd if first is not None else 0.0)
    late = {
        option.name
        for option in options
        if isinstance(option, SelfHostOption)
        and limits.broken_by(option)
        and not limits.broken_by(option, late=False)
        and option.upfront_usd <= left
    }
    return next((cost for cost in costs if cost.name in late), None)


def _clearly(cheap: OptionCost, dear: OptionCost, limits: Constraints) -> bool:
    return cheap.all_in_usd_per_month * (1.0 + limits.tie_fraction) < dear.all_in_usd_per_month


def _usd(cost: OptionCost) -> str:
    return f"{cost.all_in_usd_per_month:,.0f} USD a month"


def _against(best: OptionCost, others: Sequence[OptionCost]) -> str:
    return f"{best.name} costs {_usd(best)} all in; " + "; ".join(f"{o.name} {_usd(o)}" for o in others)
