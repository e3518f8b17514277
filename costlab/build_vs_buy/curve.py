"""Both bills over the volume, with whole replicas: the intervals in which self-hosting wins."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.serving import replicas_needed
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_DAY

__all__ = ["CostCurve", "CostPoint", "Interval", "cost_curve"]

MAX_REPLICAS = 100_000


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Both bills at one volume.

    Attributes
    ----------
    requests_per_day : float
        The volume.
    api_usd_per_month, self_hosted_usd_per_month : float
        The bills.
    replicas : int
        Replicas paid for, spare ones included.
    """

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
    """Both bills over the volume.

    Attributes
    ----------
    points : tuple of CostPoint
        The bills at the volumes asked for.
    self_hosting_wins : tuple of Interval
        Where self-hosting costs no more than the API, up to the largest volume asked for. More than one interval when
        a further replica makes the API the cheaper one again for a while.
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
) -> CostCurve:
    """The bills of an API and of one's own replicas at several volumes, and the intervals in which the latter win.

    Parameters
    ----------
    api_usd_per_request, replica_usd_per_hour, capacity_requests_per_s : float
        As for :func:`break_even`, > 0.
    requests_per_day : sequence of float
        Volumes, >= 0; at least one.
    fixed_usd_per_month, marginal_usd_per_request : float
        As for :func:`break_even`, >= 0.
    peak_to_mean, max_utilization_fraction, spare_replicas
        How the fleet is sized; see :func:`costlab.serving.replicas_needed`.
    api_fixed_usd_per_month : float
        As for :func:`break_even`, >= 0.

    Returns
    -------
    CostCurve

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain, or the largest volume needs more than 100,000 replicas.

    Examples
    --------
    A replica for 10 dollars an hour serves 1 request a second; the API asks half a cent. Where does self-hosting win?
    Up to one full replica, and, after a gap in which a second one is too empty, from 96,000 requests a day.

    >>> curve = cost_curve(0.005, 10, 1, [0, 200_000])
    >>> [(round(one.low), round(one.high)) for one in curve.self_hosting_wins]
    [(48000, 86400), (96000, 200000)]
    """
    api_usd_per_request = checks.positive("api_usd_per_request", api_usd_per_request)
    replica_usd_per_hour = checks.positive("replica_usd_per_hour", replica_usd_per_hour)
    fixed_usd_per_month = checks.non_negative("fixed_usd_per_month", fixed_usd_per_month)
    marginal_usd_per_request = checks.non_negative("marginal_usd_per_request", marginal_usd_per_request)
    api_fixed = checks.non_negative("api_fixed_usd_per_month", api_fixed_usd_per_month)
    if not len(requests_per_day):
        raise InvalidValueError("requests_per_day", "at least one volume", requests_per_day)
    monthly = replica_usd_per_hour * HOURS_PER_MONTH
    days = HOURS_PER_MONTH / HOURS_PER_DAY

    def self_hosted(volume: float, replicas: int) -> float:
        return replicas * monthly + fixed_usd_per_month + marginal_usd_per_request * volume * days

    points = []
    for volume in requests_per_day:
        fleet = replicas_needed(
            volume, capacity_requests_per_s, peak_to_mean, max_utilization_fraction, spare_replicas
        ).total
        at_api = api_fixed + api_usd_per_request * volume * days
        points.append(CostPoint(volume, at_api, self_hosted(volume, fleet), fleet))

    # A day's requests that one serving replica takes at the chosen peak and load.
    per_replica = float(capacity_requests_per_s) * max_utilization_fraction / peak_to_mean
    per_replica *= SECONDS_PER_DAY
    largest = max(requests_per_day)
    most = max(1, math.ceil(largest / per_replica * (1.0 - 1e-12)))
    if most > MAX_REPLICAS:
        raise InvalidValueError("requests_per_day", f"volumes that {MAX_REPLICAS} replicas can serve", largest)
    difference = (api_usd_per_request - marginal_usd_per_request) * days
    wins = []
    for serving in range(1, most + 1):
        low = (serving - 1) * per_replica
        high = min(serving * per_replica, largest)
        fixed = (serving + spare_replicas) * monthly + fixed_usd_per_month - api_fixed
        if difference <= 0.0:
            if fixed + -difference * high <= 0.0:
                wins.append(Interval(low, high))
            continue
        even = fixed / difference
        if even <= high:
            wins.append(Interval(max(low, even), high))
    return CostCurve(tuple(points), tuple(_merged(wins)))


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Intervals that touch as one."""
    merged: list[Interval] = []
    for interval in intervals:
        if merged and interval.low <= merged[-1].high * (1.0 + 1e-12):
            merged[-1] = Interval(merged[-1].low, interval.high)
        else:
            merged.append(interval)
    return merged
