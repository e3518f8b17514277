"""What to do: API, self-host, either, or both. What could be chosen, what must hold, what each option costs all in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from costlab._internal import checks
from costlab.build_vs_buy.crossover import in_whole_machines
from costlab.calculator.machines import replicas_fitting
from costlab.errors import InvalidValueError
from costlab.serving import Replicas, replicas_needed
from costlab.workload import MAX_DAILY_PEAK, Workload

#: Time to production in weeks: the middle of the source lesson's 1 to 4 weeks, and of its 3 to 6 months.
API_WEEKS: Final = 2.5
SELF_HOST_WEEKS: Final = 19.5


@dataclass(frozen=True, slots=True)
class ApiOption:
    """A model behind someone's API.

    Parameters
    ----------
    name : str
        What to call it.
    usd_per_request : float
        Price of the workload's mean request in USD, >= 0; see :func:`costlab.catalog.api_cost`.
    upfront_usd, fixed_usd_per_month : float
        Spent before the first request (integration), and every month whatever the volume, in USD, >= 0.
    weeks_to_production : float
        Weeks until it can be used, >= 0.
    data_leaves, customizable : bool
        Whether requests reach a third party, and whether model and pipeline can be changed beyond the API's parameters.
    """

    name: str
    usd_per_request: float
    upfront_usd: float = 0.0
    fixed_usd_per_month: float = 0.0
    weeks_to_production: float = API_WEEKS
    data_leaves: bool = True
    customizable: bool = False

    def __post_init__(self) -> None:
        for field in ("usd_per_request", "upfront_usd", "fixed_usd_per_month", "weeks_to_production"):
            checks.non_negative(field, getattr(self, field))


@dataclass(frozen=True, slots=True)
class SelfHostOption:
    """A model on one's own replicas.

    Parameters
    ----------
    name : str
        What to call it.
    replica_usd_per_hour : float
        Price of the GPUs of a replica, per hour in USD, > 0.
    capacity_requests_per_s : float
        Requests per second that a replica serves within the service level, > 0; measured, or from
        :func:`costlab.serving.capacity`.
    upfront_usd, fixed_usd_per_month : float
        Spent before the first request (engineering), and every month whatever the volume (people), in USD, >= 0.
    marginal_usd_per_request : float
        Spent per request beside the replicas, in USD, >= 0.
    weeks_to_production : float
        Weeks until it can be used, >= 0.
    max_utilization_fraction : float
        Share of its capacity to which a replica may be loaded at the peak, in (0, 1].
    spare_replicas : int
        Replicas beyond those that the peak needs, >= 0.
    gpus_per_replica : int
        GPUs of a replica, >= 1.
    gpus_per_machine : int, optional
        GPUs of a machine, >= 1, which is rented whole; by default they are sold replica by replica. A replica that no
        machine can hold has several for itself.
    """

    name: str
    replica_usd_per_hour: float
    capacity_requests_per_s: float
    upfront_usd: float = 0.0
    fixed_usd_per_month: float = 0.0
    marginal_usd_per_request: float = 0.0
    weeks_to_production: float = SELF_HOST_WEEKS
    max_utilization_fraction: float = 0.8
    spare_replicas: int = 0
    gpus_per_replica: int = 1
    gpus_per_machine: int | None = None

    def __post_init__(self) -> None:
        checks.positive("replica_usd_per_hour", self.replica_usd_per_hour)
        checks.positive("capacity_requests_per_s", self.capacity_requests_per_s)
        for field in ("upfront_usd", "fixed_usd_per_month", "marginal_usd_per_request", "weeks_to_production"):
            checks.non_negative(field, getattr(self, field))
        checks.fraction("max_utilization_fraction", self.max_utilization_fraction, zero=False)
        checks.integer("spare_replicas", self.spare_replicas)
        checks.integer("gpus_per_replica", self.gpus_per_replica, at_least=1)
        if self.gpus_per_machine is not None:
            checks.integer("gpus_per_machine", self.gpus_per_machine, at_least=1)

    @property
    def replicas_per_machine(self) -> int:
        """Replicas that fit into one machine; 1 where a replica takes several machines."""
        return replicas_fitting(self.gpus_per_machine or self.gpus_per_replica, self.gpus_per_replica)[0]

    @property
    def place_usd_per_hour(self) -> float:
        """Price of a replica's place in a full machine, per hour in USD; GPUs that fit no replica are paid too."""
        gpus = self.gpus_per_machine or self.gpus_per_replica
        replicas, machines = replicas_fitting(gpus, self.gpus_per_replica)
        paid = machines * gpus / replicas
        return self.replica_usd_per_hour * (paid / self.gpus_per_replica)


@dataclass(frozen=True, slots=True)
class Constraints:
    """What must hold, whatever it costs.

    Parameters
    ----------
    data_must_stay, needs_customization : bool
        Requests may not reach a third party; model or pipeline must be changed beyond an API's parameters.
    has_ml_team : bool
        There are people who can run model servers, or who will be hired for `upfront_usd` and `fixed_usd_per_month`.
    deadline_weeks : float, optional
        Weeks until something must be in production, > 0.
    max_upfront_usd : float, optional
        Most that may be spent before the first request, in USD, >= 0.
    horizon_months : float
        Months over which upfront spending is spread, > 0.
    tie_fraction : float
        Options whose costs differ by no more than this share of the cheaper are equal, in [0, 1]. Inputs are not known
        better, and moving costs more than it shows.
    """

    data_must_stay: bool = False
    needs_customization: bool = False
    has_ml_team: bool = True
    deadline_weeks: float | None = None
    max_upfront_usd: float | None = None
    horizon_months: float = 36.0
    tie_fraction: float = 0.1

    def __post_init__(self) -> None:
        if self.deadline_weeks is not None:
            checks.positive("deadline_weeks", self.deadline_weeks)
        if self.max_upfront_usd is not None:
            checks.non_negative("max_upfront_usd", self.max_upfront_usd)
        checks.positive("horizon_months", self.horizon_months)
        checks.fraction("tie_fraction", self.tie_fraction)

    def broken_by(self, option: ApiOption | SelfHostOption, *, late: bool = True) -> tuple[str, ...]:
        """Why an option is ruled out, in words; empty when it is not. With ``late=False`` the deadline is left out."""
        reasons = []
        if isinstance(option, ApiOption):
            if self.data_must_stay and option.data_leaves:
                reasons.append("requests would reach a third party")
            if self.needs_customization and not option.customizable:
                reasons.append("only the API's parameters can be changed")
        elif not self.has_ml_team:
            reasons.append("there is no team to run model servers")
        if self.max_upfront_usd is not None and option.upfront_usd > self.max_upfront_usd:
            reasons.append(f"it takes {option.upfront_usd:,.0f} USD upfront, of {self.max_upfront_usd:,.0f} allowed")
        if late and self.deadline_weeks is not None and option.weeks_to_production > self.deadline_weeks:
            reasons.append(f"it takes {option.weeks_to_production:g} weeks and is wanted in {self.deadline_weeks:g}")
        return tuple(reasons)


@dataclass(frozen=True, slots=True)
class OptionCost:
    """What an option costs for a workload.

    Attributes
    ----------
    kind : {'api', 'self-host', 'hybrid'}
        What the option called `name` is.
    running_usd_per_month, upfront_usd : float
        What is paid every month, and before the first request.
    all_in_usd_per_month, usd_per_request : float
        Both, with upfront spending spread evenly over the horizon; and that per request, ``inf`` without requests.
    replicas : int
        Replicas that serve, spare ones included.
    unused_usd_per_month : float
        The part of the running costs that is paid for GPUs of machines in which no replica runs.
    ruled_out : tuple of str
        Why it cannot be chosen; empty when it can.
    """

    name: str
    kind: str
    running_usd_per_month: float
    upfront_usd: float
    all_in_usd_per_month: float
    usd_per_request: float
    replicas: int
    unused_usd_per_month: float = 0.0
    ruled_out: tuple[str, ...] = ()


def _cost(
    name: str,
    kind: str,
    running_usd: float,
    upfront_usd: float,
    replicas: int,
    requests: float,
    months: float,
    unused_usd: float = 0.0,
) -> OptionCost:
    all_in = running_usd + upfront_usd / months
    per_request = all_in / requests if requests else math.inf
    return OptionCost(name, kind, running_usd, upfront_usd, all_in, per_request, replicas, unused_usd)


def _machines_usd(option: SelfHostOption, replicas: int, hours: float) -> tuple[float, float]:
    """What the machines of a number of replicas cost, and how much of it is for GPUs in which none runs."""
    paid = in_whole_machines(replicas, option.replicas_per_machine) * option.place_usd_per_hour * hours
    return paid, paid - replicas * option.replica_usd_per_hour * hours


def option_cost(
    workload: Workload, option: ApiOption | SelfHostOption, constraints: Constraints | None = None
) -> OptionCost:
    """What one option costs for a workload, and whether a constraint rules it out.

    Parameters
    ----------
    workload : Workload
        The traffic; the fleet is sized for its peak, and the month has its `days_per_month`.
    option : ApiOption or SelfHostOption
        What to price.
    constraints : Constraints, optional
        What must hold; by default nothing, over 36 months.

    Examples
    --------
    What do 50,000 requests a day cost at 0.3 cents?

    >>> cost = option_cost(Workload(50_000, 400, 200, days_per_month=30), ApiOption("an API", 0.003))
    >>> cost.running_usd_per_month
    4500.0
    """
    limits = constraints or Constraints()
    requests = workload.requests_per_month
    if isinstance(option, ApiOption):
        kind, replicas, unused = "api", 0, 0.0
        running = option.fixed_usd_per_month + option.usd_per_request * requests
    else:
        kind, replicas = "self-host", _fleet(workload, option).total
        running, unused = _machines_usd(option, replicas, workload.hours_per_month)
        running += option.fixed_usd_per_month + option.marginal_usd_per_request * requests
    cost = _cost(option.name, kind, running, option.upfront_usd, replicas, requests, limits.horizon_months, unused)
    return replace(cost, ruled_out=limits.broken_by(option))


def _fleet(workload: Workload, option: SelfHostOption) -> Replicas:
    return replicas_needed(
        workload.requests_per_day,
        option.capacity_requests_per_s,
        workload.peak_to_mean,
        option.max_utilization_fraction,
        option.spare_replicas,
    )


def _hybrid_cost(
    workload: Workload, api: ApiOption, own: SelfHostOption, constraints: Constraints
) -> OptionCost | None:
    r"""The cheapest fleet that serves the base of the traffic while an API takes the rest; None where there is none.

    With :math:`r_h` requests per second in hour :math:`h` of the day and :math:`k` replicas loaded to :math:`q`, the
    API serves :math:`\sum_h \max(0, r_h - kq)`. Only fleets smaller than the one that serves everything are tried, and
    only where the day's shape is known (see :meth:`Workload.hourly_requests_per_s`).
    """
    if workload.peak_to_mean > MAX_DAILY_PEAK or not workload.requests_per_day:
        return None
    day = workload.hourly_requests_per_s()
    load = own.capacity_requests_per_s * own.max_utilization_fraction
    upfront = api.upfront_usd + own.upfront_usd

    def priced(replicas: int) -> OptionCost:
        served = sum(min(rate, replicas * load) for rate in day) / sum(day)
        paid = replicas + own.spare_replicas
        running, unused = _machines_usd(own, paid, workload.hours_per_month)
        running += own.fixed_usd_per_month + api.fixed_usd_per_month
        running += workload.requests_per_month * (
            served * own.marginal_usd_per_request + (1.0 - served) * api.usd_per_request
        )
        name = f"{own.name} for {served:.0%} of the requests, {api.name} for the rest"
        requests, months = workload.requests_per_month, constraints.horizon_months
        return _cost(name, "hybrid", running, upfront, paid, requests, months, unused)

    # Between two hours' rates the bill is a straight line in the number of machines: the best one lies at such a rate,
    # or fills the machine below or above it.
    ends = {whole for rate in day for whole in (math.floor(rate / load), math.ceil(rate / load))}
    room, spare = own.replicas_per_machine, own.spare_replicas
    ends |= {(end + spare + up) // room * room - spare for end in ends for up in (0, room - 1)}
    full = _fleet(workload, own).serving
    costs = [priced(replicas) for replicas in sorted(ends) if 1 <= replicas < full]
    if not costs:
        return None
    best = min(costs, key=lambda cost: cost.running_usd_per_month)
    reasons = (*constraints.broken_by(api), *constraints.broken_by(own))
    limit = constraints.max_upfront_usd
    if limit is not None and upfront > limit and not reasons:
        reasons = (f"both together take {upfront:,.0f} USD upfront, of {limit:,.0f} allowed",)
    return replace(best, ruled_out=tuple(dict.fromkeys(reasons)))


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, and why.

    Attributes
    ----------
    choice : {'api', 'self-host', 'hybrid', 'either', 'none'}
        ``hybrid`` is both: one's own replicas for the base of the traffic and an API for the rest, or an API until
        one's own replicas are ready. ``none`` means that the constraints leave nothing.
    options : tuple of OptionCost
        Every option and the best pair of an API and a fleet, each with its cost, cheapest all in first; those ruled out
        too, with the reason.
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
    workload: Workload, options: Sequence[ApiOption | SelfHostOption], constraints: Constraints | None = None
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
    apis = [option for option in options if isinstance(option, ApiOption)]
    owns = [option for option in options if isinstance(option, SelfHostOption)]
    pairs = [cost for api in apis for own in owns if (cost := _hybrid_cost(workload, api, own, limits)) is not None]
    # Of all pairs only the best is of interest.
    costs += sorted(pairs, key=lambda cost: (bool(cost.ruled_out), cost.all_in_usd_per_month))[:1]
    costs.sort(key=lambda cost: (cost.all_in_usd_per_month, cost.kind))
    choice, reasons, chosen = _decide(costs, owns, limits)
    ruled_out = tuple(f"{cost.name} is out: {'; '.join(cost.ruled_out)}" for cost in costs if cost.ruled_out)
    others = [c for c in costs if not c.ruled_out and chosen and c.kind not in (chosen.kind, "hybrid")]
    saving = others[0].all_in_usd_per_month - chosen.all_in_usd_per_month if others and chosen else 0.0
    return Recommendation(choice, tuple(costs), (*reasons, *ruled_out), saving)


def _decide(
    costs: Sequence[OptionCost], owns: Sequence[SelfHostOption], limits: Constraints
) -> tuple[str, tuple[str, ...], OptionCost | None]:
    """The choice, the reasons, and the cost of what is chosen; `costs` are sorted."""
    api, own, both = (
        next((cost for cost in costs if cost.kind == kind and not cost.ruled_out), None)
        for kind in ("api", "self-host", "hybrid")
    )

    def clearly_cheaper(cost: OptionCost, others: Sequence[OptionCost]) -> bool:
        bar = cost.all_in_usd_per_month * (1.0 + limits.tie_fraction)
        return all(bar < other.all_in_usd_per_month for other in others)

    pure = sorted((cost for cost in (api, own) if cost is not None), key=lambda cost: cost.all_in_usd_per_month)
    if api is not None:
        later = _too_late(costs, owns, limits, api)
        if later is not None and clearly_cheaper(later, pure):
            reason = f"{later.name} would cost {_usd(later)} all in against {_usd(api)}, but is not ready in time"
            return "hybrid", (reason, f"begin with {api.name}, move when {later.name} is ready"), api
    if both is not None and clearly_cheaper(both, pure):
        return "hybrid", (_against(both, pure),), both
    if not pure:
        return "none", ("nothing meets the constraints",), None
    best, *others = pure
    if not others:
        return best.kind, (f"{best.name} is the only kind left, at {_usd(best)} all in",), best
    if clearly_cheaper(best, others):
        return best.kind, (_against(best, others),), best
    (other,) = others
    share = other.all_in_usd_per_month / best.all_in_usd_per_month - 1 if best.all_in_usd_per_month else 0.0
    reason = f"{best.name} costs {_usd(best)} all in, {other.name} {_usd(other)}: {share:.0%} more"
    return "either", (reason, f"differences up to {limits.tie_fraction:.0%} decide nothing"), best


def _too_late(
    costs: Sequence[OptionCost], owns: Sequence[SelfHostOption], limits: Constraints, api: OptionCost
) -> OptionCost | None:
    """The cheapest self-hosted option that nothing but the deadline rules out, and that can follow the API upfront."""
    left = (math.inf if limits.max_upfront_usd is None else limits.max_upfront_usd) - api.upfront_usd
    late = {
        own.name
        for own in owns
        if limits.broken_by(own) and not limits.broken_by(own, late=False) and own.upfront_usd <= left
    }
    return next((cost for cost in costs if cost.name in late), None)


def _usd(cost: OptionCost) -> str:
    return f"{cost.all_in_usd_per_month:,.0f} USD a month"


def _against(best: OptionCost, others: Sequence[OptionCost]) -> str:
    return f"{best.name} costs {_usd(best)} all in; " + "; ".join(f"{o.name} {_usd(o)}" for o in others)
