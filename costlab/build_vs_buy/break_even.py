"""The volume at which a model of one's own begins to cost less than an API."""

import math
from dataclasses import dataclass

from costlab._internal import checks
from costlab.serving import MAX_REPLICAS
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_HOUR

__all__ = ["BreakEven", "break_even"]


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
    replicas : int
        Replicas at that volume; 1 when there is none.
    """

    requests_per_day: float
    utilization_fraction: float
    saving_at_capacity_fraction: float
    reachable: bool
    replicas: int


def break_even(
    api_usd_per_request: float,
    replica_usd_per_hour: float,
    capacity_requests_per_s: float,
    fixed_usd_per_month: float = 0.0,
    marginal_usd_per_request: float = 0.0,
    api_fixed_usd_per_month: float = 0.0,
) -> BreakEven:
    r"""The smallest volume at which running replicas costs no more than an API.

    With :math:`k` replicas at :math:`c` a month, each of capacity :math:`q` requests a month, fixed costs :math:`F`
    a month (one's own less the API's) and a difference :math:`d = a - m` between the API's price and one's own
    marginal cost per request, the bills are equal at

    .. math:: n_k = \frac{\max(0,\ k\,c + F)}{d}, \qquad \text{which } k \text{ replicas can serve if } n_k \le k\,q
              \iff k \ge \frac{F}{q\,d - c}

    The first such :math:`k` gives the break-even. There is none when :math:`q\,d < c`: then a full replica costs more
    than the requests it saves.

    Parameters
    ----------
    api_usd_per_request : float
        What the API asks per request, in USD, > 0.
    replica_usd_per_hour : float
        Price of a replica, all its GPUs, per hour in USD, > 0. It is paid for every hour of the month.
    capacity_requests_per_s : float
        Requests per second that one replica can serve, > 0. For a peak above the mean, divide it by their ratio.
    fixed_usd_per_month : float
        What self-hosting costs whatever the volume: people, monitoring, spare replicas; in USD a month, >= 0.
    marginal_usd_per_request : float
        What a request costs on top when self-hosted: traffic, logging; in USD, >= 0.
    api_fixed_usd_per_month : float
        What the API costs whatever the volume, in USD a month, >= 0.

    Returns
    -------
    BreakEven

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    Above the break-even the API can win again just beyond each further replica; :func:`cost_curve` has the intervals.
    A month has 730 hours. Spending before the first request (engineering, hardware) belongs to :func:`payback`.

    Examples
    --------
    An API asks 0.3 cents a request. From which volume does a 1.01-dollar machine pay that serves two a second?

    >>> even = break_even(0.003, 1.01, 2)
    >>> round(even.requests_per_day), round(even.utilization_fraction, 3)
    (8080, 0.047)

    And with 10,000 dollars a month for the people who run it?

    >>> round(break_even(0.003, 1.01, 2, fixed_usd_per_month=10_000).requests_per_day)
    117669
    """
    api = checks.positive("api_usd_per_request", api_usd_per_request)
    hourly = checks.positive("replica_usd_per_hour", replica_usd_per_hour)
    rate = checks.positive("capacity_requests_per_s", capacity_requests_per_s)
    fixed = checks.non_negative("fixed_usd_per_month", fixed_usd_per_month)
    fixed -= checks.non_negative("api_fixed_usd_per_month", api_fixed_usd_per_month)
    marginal = checks.non_negative("marginal_usd_per_request", marginal_usd_per_request)
    monthly = hourly * HOURS_PER_MONTH
    capacity = rate * SECONDS_PER_HOUR * HOURS_PER_MONTH
    difference = api - marginal
    each = monthly / capacity + marginal  # a request on a replica that is always full
    if difference <= 0.0:
        return BreakEven(math.inf, math.inf, 1.0 - (each + fixed / capacity) / api, False, 1)
    gain = capacity * difference - monthly  # what a full replica saves, fixed costs aside
    wanted = 0.0 if fixed <= 0.0 else math.inf if gain <= 0.0 else fixed / gain
    if (gain < 0.0 and monthly + fixed > capacity * difference) or wanted > MAX_REPLICAS:
        busy = monthly / capacity / difference
        return BreakEven(math.inf, max(busy, 1.0 + 1e-15), 1.0 - (each + fixed / capacity) / api, False, 1)
    replicas = max(1, math.ceil(wanted))
    requests = max(0.0, (replicas * monthly + fixed) / difference)
    return BreakEven(
        requests_per_day=requests * HOURS_PER_DAY / HOURS_PER_MONTH,
        utilization_fraction=min(1.0, requests / replicas / capacity),
        saving_at_capacity_fraction=1.0 - (each + fixed / replicas / capacity) / api,
        reachable=True,
        replicas=replicas,
    )
