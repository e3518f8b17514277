"""Where the bills of an API and of one's own replicas cross, what the difference is, and when it has paid back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.arrays import operations
from costlab.errors import InvalidValueError
from costlab.serving import MAX_REPLICAS, replicas_needed
from costlab.serving.economics import serving_replicas, whole_replicas
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costlab._internal.arrays import Amount

DAYS_PER_MONTH: Final = HOURS_PER_MONTH / HOURS_PER_DAY

#: Replicas up to which a curve looks for intervals, one by one.
MAX_CURVE_REPLICAS: Final = 100_000


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where the bills of an API and of one's own replicas cross first.

    Attributes
    ----------
    requests_per_day : float
        The smallest volume at which self-hosting costs no more; ``inf`` when there is none.
    utilization_fraction : float
        How busy the replicas are at that volume. When there is none, how busy they would have to be: above 1.
    saving_at_capacity_fraction : float
        Share of the API's bill that is saved when these replicas are full; negative when even then the API is cheaper.
    reachable : bool
        Whether there is such a volume.
    replicas, machines : int
        Replicas that can serve there, spare ones aside, and machines that hold them all; the fewest when there is none.
    """

    requests_per_day: float
    utilization_fraction: float
    saving_at_capacity_fraction: float
    reachable: bool
    replicas: int
    machines: int


def break_even(
    api_usd_per_request: float,
    replica_usd_per_hour: float,
    capacity_requests_per_s: float,
    fixed_usd_per_month: float = 0.0,
    marginal_usd_per_request: float = 0.0,
    api_fixed_usd_per_month: float = 0.0,
    replicas_per_machine: int = 1,
    spare_replicas: int = 0,
) -> BreakEven:
    r"""The smallest volume at which running replicas costs no more than an API.

    With :math:`k` replicas at :math:`c` a month, each of capacity :math:`q` requests a month, fixed costs :math:`F` a
    month (one's own less the API's) and a difference :math:`d = a - m` between the API's price and one's own marginal
    cost per request, the bills are equal at

    .. math:: n_k = \frac{\max(0,\ k\,c + F)}{d}, \qquad \text{which } k \text{ replicas can serve if } n_k \le k\,q
              \iff k \ge \frac{F}{q\,d - c}

    The first such :math:`k` gives the break-even. There is none when :math:`q\,d < c`: then a full replica costs more
    than the requests it saves. Machines that hold :math:`r` replicas and are rented whole take their place, at
    :math:`r\,c` and :math:`r\,q`; of :math:`k` machines, :math:`k\,r - s` replicas serve when :math:`s` are spare.

    Parameters
    ----------
    api_usd_per_request : float
        What the API asks per request, in USD, > 0.
    replica_usd_per_hour : float
        Price of a replica, all its GPUs, per hour in USD, > 0. It is paid for every hour of the month.
    capacity_requests_per_s : float
        Requests per second that one replica can serve, > 0. For a peak above the mean, divide it by their ratio.
    fixed_usd_per_month : float
        What self-hosting costs whatever the volume: people, monitoring; in USD a month, >= 0.
    marginal_usd_per_request : float
        What a request costs on top when self-hosted: traffic, logging; in USD, >= 0.
    api_fixed_usd_per_month : float
        What the API costs whatever the volume, in USD a month, >= 0.
    replicas_per_machine : int
        Replicas in one machine, >= 1. Machines are rented whole: a replica's price is its share of a full one.
    spare_replicas : int
        Replicas that are paid and do not serve, >= 0.

    Notes
    -----
    Above the break-even the API can win again just beyond each further replica; :func:`cost_curve` has the intervals. A
    month has 730 hours. Spending before the first request (engineering, hardware) belongs to :func:`payback`.

    Examples
    --------
    An API asks 0.3 cents a request. From which volume does a 1.01-dollar machine pay that serves two a second?

    >>> even = break_even(0.003, 1.01, 2)
    >>> round(even.requests_per_day), round(even.utilization_fraction, 3)
    (8080, 0.047)

    And with 10,000 dollars a month for the people who run it?

    >>> round(break_even(0.003, 1.01, 2, fixed_usd_per_month=10_000).requests_per_day)
    117669

    And when eight such replicas are one machine that is sold whole?

    >>> round(break_even(0.003, 1.01, 2, replicas_per_machine=8).requests_per_day)
    64640
    """
    api = checks.positive("api_usd_per_request", api_usd_per_request)
    hourly = checks.positive("replica_usd_per_hour", replica_usd_per_hour)
    rate = checks.positive("capacity_requests_per_s", capacity_requests_per_s)
    fixed = checks.non_negative("fixed_usd_per_month", fixed_usd_per_month)
    fixed -= checks.non_negative("api_fixed_usd_per_month", api_fixed_usd_per_month)
    marginal = checks.non_negative("marginal_usd_per_request", marginal_usd_per_request)
    per_machine = checks.integer("replicas_per_machine", replicas_per_machine, at_least=1)
    spare = checks.integer("spare_replicas", spare_replicas)
    requests, machines = _crossing(api, hourly, rate, fixed, marginal, per_machine, spare)
    reachable = requests < math.inf
    if not reachable:
        machines = -(-(1 + spare) // per_machine)
    replicas = machines * per_machine - spare
    capacity = rate * (SECONDS_PER_HOUR * HOURS_PER_MONTH)
    full_usd = hourly * HOURS_PER_MONTH / capacity  # a request on a replica that is always full
    if reachable:
        busy = min(1.0, requests / replicas / capacity)
    else:
        busy = max(full_usd / (api - marginal), 1.0 + 1e-15) if api > marginal else math.inf
    return BreakEven(
        requests_per_day=requests / DAYS_PER_MONTH,
        utilization_fraction=busy,
        saving_at_capacity_fraction=1.0
        - (full_usd * (replicas + spare) / replicas + marginal + fixed / replicas / capacity) / api,
        reachable=reachable,
        replicas=int(replicas),
        machines=int(machines),
    )


def _crossing(
    api: float,
    hourly: float,
    rate: float,
    fixed: float,
    marginal: float,
    replicas_per_machine: int = 1,
    spare_replicas: int = 0,
) -> tuple[float, float]:
    """Requests a month at the break-even, ``inf`` where there is none, and machines there; of numbers or arrays."""
    ops = operations(api, hourly, rate, fixed, marginal)
    monthly = hourly * HOURS_PER_MONTH * replicas_per_machine
    difference = api - marginal
    full = rate * (SECONDS_PER_HOUR * HOURS_PER_MONTH) * difference  # what the API asks for a full replica's requests
    gain = full * replicas_per_machine - monthly  # what a full machine saves, fixed costs aside
    loses = gain <= 0.0
    least = -(-(1 + spare_replicas) // replicas_per_machine)
    missing = fixed + full * spare_replicas if spare_replicas else fixed
    wanted = ops.where(missing <= 0.0, 0.0, ops.where(loses, math.inf, missing / ops.where(loses, 1.0, gain)))
    too_dear = least * monthly + fixed > full * (least * replicas_per_machine - spare_replicas)
    worse = difference <= 0.0  # each request costs more at home: then only what the API's contract saves can pay
    never = (worse | ((gain < 0.0) & too_dear) | (wanted > MAX_REPLICAS)) & (least * monthly + fixed > 0.0)
    machines = ops.maximum(float(least), ops.ceil(wanted))
    requests = ops.maximum(0.0, machines * monthly + fixed) / ops.where(worse | never, 1.0, difference)
    return ops.where(never, math.inf, requests), machines


def break_even_requests_per_day(
    api_usd_per_request: Amount | float,
    replica_usd_per_hour: Amount | float,
    capacity_requests_per_s: Amount | float,
    fixed_usd_per_month: Amount | float = 0.0,
    marginal_usd_per_request: Amount | float = 0.0,
    api_fixed_usd_per_month: Amount | float = 0.0,
    replicas_per_machine: int = 1,
    spare_replicas: int = 0,
) -> Amount:
    """The volume alone that :func:`break_even` finds, for numbers or arrays; ``inf`` where there is none.

    Arguments are not checked one by one; they broadcast against each other.
    """
    fixed = fixed_usd_per_month - api_fixed_usd_per_month
    sides = (api_usd_per_request, replica_usd_per_hour, capacity_requests_per_s, fixed, marginal_usd_per_request)
    requests = _crossing(*sides, replicas_per_machine, spare_replicas)[0]  # type: ignore[arg-type]
    return requests / DAYS_PER_MONTH  # type: ignore[return-value]


def monthly_saving_usd(
    requests_per_day: Amount | float,
    api_usd_per_request: Amount | float,
    replica_usd_per_hour: Amount | float,
    capacity_requests_per_s: Amount | float,
    fixed_usd_per_month: Amount | float = 0.0,
    peak_to_mean: Amount | float = 1.0,
    max_utilization_fraction: Amount | float = 1.0,
    spare_replicas: Amount | float = 0,
    api_fixed_usd_per_month: Amount | float = 0.0,
    replicas_per_machine: int = 1,
) -> Amount:
    """What self-hosting saves a month against an API, for numbers or arrays; negative where it is more expensive.

    The parameters and the fleet (whole replicas, at least one, sized for the peak, in whole machines) are those of
    :func:`cost_curve`.
    They are not checked one by one; they broadcast against each other. A month has 730 hours.

    Examples
    --------
    60,000 requests a day cost 0.3 cents each at an API; a 1.01-dollar machine serves two a second. What is saved?

    >>> round(monthly_saving_usd(60_000, 0.003, 1.01, 2, fixed_usd_per_month=3000))
    1738
    """
    traffic = (requests_per_day, capacity_requests_per_s, peak_to_mean, max_utilization_fraction)
    serving = operations(*traffic).maximum(1.0, serving_replicas(*traffic))  # type: ignore[arg-type]
    paid = in_whole_machines(serving + spare_replicas, replicas_per_machine)  # type: ignore[arg-type]
    own = _usd_per_month(fixed_usd_per_month, 0.0, requests_per_day, paid, replica_usd_per_hour)  # type: ignore[arg-type]
    return _usd_per_month(api_fixed_usd_per_month, api_usd_per_request, requests_per_day) - own  # type: ignore[arg-type, return-value]


def in_whole_machines(replicas: float, replicas_per_machine: int) -> float:
    """Replicas that are paid where a number is needed: those of whole machines; of numbers or arrays."""
    if replicas_per_machine == 1:
        return replicas
    return whole_replicas(replicas / replicas_per_machine) * replicas_per_machine


def _usd_per_month(
    fixed_usd: float, usd_per_request: float, requests_per_day: float, replicas: float = 0.0, usd_per_hour: float = 0.0
) -> float:
    """The bill of a month, of an API or of a fleet; of numbers or arrays."""
    return fixed_usd + usd_per_request * requests_per_day * DAYS_PER_MONTH + replicas * usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Both bills at one volume, and the replicas paid for: spare ones, and room in machines, included."""

    requests_per_day: float
    api_usd_per_month: float
    self_hosted_usd_per_month: float
    replicas: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Volumes from `low` to `high` requests a day."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Both bills at the volumes asked for, and where self-hosting costs no more than the API, up to the largest.

    It wins in more than one interval when a further replica makes the API the cheaper one again for a while.
    """

    points: tuple[CostPoint, ...]
    self_hosting_wins: tuple[Interval, ...]


def cost_curve(
    api_usd_per_request: float,
    replica_usd_per_hour: float,
    capacity_requests_per_s: float,
    requests_per_day: Sequence[float],
    fixed_usd_per_month: float = 0.0,
    marginal_usd_per_request: float = 0.0,
    peak_to_mean: float = 1.0,
    max_utilization_fraction: float = 1.0,
    spare_replicas: int = 0,
    api_fixed_usd_per_month: float = 0.0,
    replicas_per_machine: int = 1,
) -> CostCurve:
    """The bills of an API and of one's own replicas at several volumes, and the intervals in which the latter win.

    Parameters
    ----------
    api_usd_per_request, replica_usd_per_hour, capacity_requests_per_s : float
        As for :func:`break_even`, > 0.
    requests_per_day : sequence of float
        Volumes, >= 0; at least one, and the largest needs at most 100,000 replicas.
    fixed_usd_per_month, marginal_usd_per_request, api_fixed_usd_per_month : float
        As for :func:`break_even`, >= 0.
    peak_to_mean, max_utilization_fraction, spare_replicas
        How the fleet is sized; see :func:`costlab.serving.replicas_needed`.
    replicas_per_machine : int
        As for :func:`break_even`, >= 1.

    Examples
    --------
    A replica for 10 dollars an hour serves 1 request a second; the API asks half a cent. Where does self-hosting win?
    Up to one full replica, and, after a gap in which a second one is too empty, from 96,000 requests a day.

    >>> curve = cost_curve(0.005, 10, 1, [0, 200_000])
    >>> [(round(span.low), round(span.high)) for span in curve.self_hosting_wins]
    [(48000, 86400), (96000, 200000)]
    """
    api = checks.positive("api_usd_per_request", api_usd_per_request)
    hourly = checks.positive("replica_usd_per_hour", replica_usd_per_hour)
    fixed = checks.non_negative("fixed_usd_per_month", fixed_usd_per_month)
    marginal = checks.non_negative("marginal_usd_per_request", marginal_usd_per_request)
    api_fixed = checks.non_negative("api_fixed_usd_per_month", api_fixed_usd_per_month)
    checks.integer("replicas_per_machine", replicas_per_machine, at_least=1)
    if not len(requests_per_day):
        raise InvalidValueError("requests_per_day", "at least one volume", requests_per_day)
    points = []
    for volume in requests_per_day:
        needed = replicas_needed(
            volume, capacity_requests_per_s, peak_to_mean, max_utilization_fraction, spare_replicas
        ).total
        fleet = int(in_whole_machines(needed, replicas_per_machine))
        own_usd = _usd_per_month(fixed, marginal, volume, fleet, hourly)
        points.append(CostPoint(volume, _usd_per_month(api_fixed, api, volume), own_usd, fleet))

    # A day's requests that one serving replica takes at the chosen peak and load.
    per_replica = SECONDS_PER_DAY * capacity_requests_per_s * max_utilization_fraction / peak_to_mean
    largest = max(requests_per_day)
    most = max(1, int(whole_replicas(largest / per_replica)))
    if most > MAX_CURVE_REPLICAS:
        raise InvalidValueError("requests_per_day", f"volumes that {MAX_CURVE_REPLICAS} replicas can serve", largest)
    difference = (api - marginal) * DAYS_PER_MONTH
    wins: list[Interval] = []
    for serving in range(1, most + 1):
        low, high = (serving - 1) * per_replica, min(serving * per_replica, largest)
        paid = in_whole_machines(serving + spare_replicas, replicas_per_machine)
        more_fixed = paid * hourly * HOURS_PER_MONTH + fixed - api_fixed
        if difference > 0.0:
            low = max(low, more_fixed / difference)
        elif difference < 0.0:
            high = min(high, more_fixed / difference)
        elif more_fixed > 0.0:
            continue
        if low > high:
            continue
        if wins and low <= wins[-1].high * (1.0 + 1e-12):  # touches the one before
            low = wins.pop().low
        wins.append(Interval(low, high))
    return CostCurve(tuple(points), tuple(wins))


@dataclass(frozen=True, slots=True)
class Payback:
    """What an upfront investment brings, with the `upfront_usd`, `monthly_saving_usd` and `horizon_months` asked about.

    Attributes
    ----------
    months : float
        Months from the spending until the savings have paid it back, in money of the first day; ``inf`` when they never
        do.
    net_usd : float
        Savings up to the horizon less the investment, in money of the first day; negative when it is not paid back.
    """

    months: float
    net_usd: float
    upfront_usd: float
    monthly_saving_usd: float
    horizon_months: float


def payback(
    upfront_usd: float,
    monthly_saving_usd: float,
    horizon_months: float = 36.0,
    discount_per_year_fraction: float = 0.0,
    delay_months: float = 0.0,
) -> Payback:
    r"""Months until an upfront investment is paid back by a monthly saving, and its net value over a horizon.

    Savings :math:`s` flow evenly from month :math:`d` on. With a monthly rate :math:`r = \ln(1 + i)/12`, they are worth
    on the first day

    .. math:: V(t) = s\, \frac{e^{-r d} - e^{-r t}}{r} \quad (r > 0), \qquad V(t) = s\,(t - d) \quad (r = 0)

    The payback time is the :math:`t` with :math:`V(t) = U`, and the net value :math:`V(\text{horizon}) - U`.

    Parameters
    ----------
    upfront_usd : float
        Spent before the first saving, in USD, >= 0: engineering, hardware, migration.
    monthly_saving_usd : float
        Saved per month from then on, in USD; a negative one is a loss.
    horizon_months : float
        Months over which to count, from the spending on, > 0. A model is often replaced sooner than a machine.
    discount_per_year_fraction : float
        Yearly rate at which money to come is discounted, as a fraction in [0, 1]: 0.1, not 10. A dollar in a year is
        then worth 1 / 1.1 of one today.
    delay_months : float
        Months from the spending to the first saving, >= 0: the time to production.

    Examples
    --------
    50,000 dollars of engineering save 2,000 a month, beginning after four months. When are they back?

    >>> payback(50_000, 2_000, delay_months=4).months
    29.0
    """
    upfront = checks.non_negative("upfront_usd", upfront_usd)
    saving = checks.finite("monthly_saving_usd", monthly_saving_usd)
    horizon = checks.positive("horizon_months", horizon_months)
    rate = math.log1p(checks.fraction("discount_per_year_fraction", discount_per_year_fraction)) / 12
    delay = checks.non_negative("delay_months", delay_months)

    def worth(months: float) -> float:
        counted = max(0.0, months - delay)
        if rate == 0.0:
            return saving * counted
        return saving * math.exp(-rate * delay) * -math.expm1(-rate * counted) / rate

    if upfront == 0.0:
        months = 0.0
    elif saving <= 0.0:
        months = math.inf
    elif rate == 0.0:
        months = delay + upfront / saving
    else:
        worth_of_a_month = saving * math.exp(-rate * delay)
        lost = upfront * rate / worth_of_a_month if worth_of_a_month > 0.0 else math.inf
        months = delay - math.log1p(-lost) / rate if lost < 1.0 else math.inf
    return Payback(months, worth(horizon) - upfront, upfront, saving, horizon)
