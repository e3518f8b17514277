"""Dollars per token and per request, and how many replicas a workload needs."""

from dataclasses import dataclass

from costlab._internal import checks
from costlab._internal.arrays import operations
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, TOKENS_PER_MTOK


def usd_per_mtok(usd_per_hour: float, tokens_per_s: float, utilization_fraction: float = 1.0) -> float:
    r"""What a million tokens cost on a machine that is paid by the hour.

    .. math:: \text{usd per Mtok} = \frac{\text{usd per hour}}{3600 \cdot \text{tokens per s} \cdot u} \cdot 10^6

    Parameters
    ----------
    usd_per_hour : float
        Price of the machine per hour in USD, > 0.
    tokens_per_s : float
        Tokens per second when it is busy, > 0.
    utilization_fraction : float
        Share of the paid time in which it is busy, in (0, 1].

    Examples
    --------
    An A10G at 1.01 dollars makes 1,000 tokens a second and is busy 30 % of the time. What do a million cost?

    >>> round(usd_per_mtok(1.01, 1000, 0.3), 3)
    0.935
    """
    hourly = checks.positive("usd_per_hour", usd_per_hour)
    rate = checks.positive("tokens_per_s", tokens_per_s)
    share = checks.fraction("utilization_fraction", utilization_fraction, zero=False)
    return TOKENS_PER_MTOK * hourly / SECONDS_PER_HOUR / rate / share


def usd_per_request(usd_per_hour: float, capacity_requests_per_s: float, utilization_fraction: float = 1.0) -> float:
    r"""What a request costs in USD on a machine that is paid by the hour.

    .. math:: \text{usd per request} = \frac{\text{usd per hour}}{3600 \cdot \text{capacity} \cdot u}

    Parameters
    ----------
    usd_per_hour : float
        Price of the machine per hour in USD, > 0.
    capacity_requests_per_s : float
        Requests per second that it can serve, > 0.
    utilization_fraction : float
        Share of that capacity which is used on average, in (0, 1].

    Examples
    --------
    What does a request cost on a 1.01-dollar machine that could serve 4 a second and serves one?

    >>> round(usd_per_request(1.01, 4, 0.25), 6)
    0.000281
    """
    hourly = checks.positive("usd_per_hour", usd_per_hour)
    rate = checks.positive("capacity_requests_per_s", capacity_requests_per_s)
    share = checks.fraction("utilization_fraction", utilization_fraction, zero=False)
    return hourly / SECONDS_PER_HOUR / rate / share


#: A fleet above this is an absurd input: no count of replicas is exact in floating point beyond it.
MAX_REPLICAS = 10**15


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many copies of a model server a workload needs.

    Attributes
    ----------
    total, serving, spare : int
        Replicas to pay for; those that the peak needs; those beyond them, for failures and deployments.
    utilization_fraction : float
        Share of the capacity of all replicas, spare ones included, that the mean traffic uses.
    peak_utilization_fraction : float
        Share of the capacity of the serving replicas that the peak uses.
    """

    total: int
    serving: int
    spare: int
    utilization_fraction: float
    peak_utilization_fraction: float


def replicas_needed(
    requests_per_day: float,
    capacity_requests_per_s: float,
    peak_to_mean: float = 1.0,
    max_utilization_fraction: float = 1.0,
    spare_replicas: int = 0,
    at_least: int = 1,
) -> Replicas:
    r"""The whole number of replicas that serves the peak.

    .. math:: n = \max\left(n_\text{min},
              \left\lceil \frac{\text{requests per day}}{86400} \cdot \frac{\text{peak to mean}}
              {\text{capacity} \cdot u_\text{max}} \right\rceil\right) + n_\text{spare}

    Parameters
    ----------
    requests_per_day : float
        Requests on an average day, >= 0.
    capacity_requests_per_s : float
        Requests per second that one replica can serve, > 0.
    peak_to_mean : float
        Peak over mean of the requests per second, >= 1. 1 means even traffic, or a fleet that follows it without delay.
    max_utilization_fraction : float
        Share of its capacity to which a replica may be loaded at the peak, in (0, 1]. Queues grow without bound near 1.
    spare_replicas : int
        Replicas beyond those that the peak needs, >= 0.
    at_least : int
        Serving replicas kept even without traffic, >= 0; 0 means that the service can be switched off.

    Examples
    --------
    A million requests a day with a peak of three times the mean, at 4 requests a second and replica, loaded to 80 %:

    >>> replicas_needed(1_000_000, 4, peak_to_mean=3, max_utilization_fraction=0.8).total
    11
    """
    requests = checks.non_negative("requests_per_day", requests_per_day)
    rate = checks.positive("capacity_requests_per_s", capacity_requests_per_s)
    peak = checks.finite("peak_to_mean", peak_to_mean, "a number >= 1")
    if peak < 1.0:
        raise InvalidValueError("peak_to_mean", "a number >= 1", peak_to_mean)
    load = checks.fraction("max_utilization_fraction", max_utilization_fraction, zero=False)
    spare_replicas = checks.integer("spare_replicas", spare_replicas)
    checks.integer("at_least", at_least)
    mean = requests / SECONDS_PER_DAY
    needed = serving_replicas(requests, rate, peak, load)
    if needed > MAX_REPLICAS:
        raise InvalidValueError("requests_per_day", f"what {MAX_REPLICAS:g} replicas can serve", requests_per_day)
    serving = max(at_least, int(needed))
    total = serving + spare_replicas
    return Replicas(
        total=total,
        serving=serving,
        spare=spare_replicas,
        utilization_fraction=mean / total / rate if total else 0.0,
        peak_utilization_fraction=mean * peak / serving / rate if serving else 0.0,
    )


def serving_replicas(requests_per_day: float, capacity_requests_per_s: float, peak: float, load: float) -> float:
    """Whole replicas that serve the peak, 0 where nothing is asked; of numbers or arrays, unchecked."""
    return whole_replicas(requests_per_day / SECONDS_PER_DAY * peak / capacity_requests_per_s / load)


def whole_replicas(busy: float) -> float:
    """Replicas that are always busy, rounded up to whole ones; of numbers or arrays."""
    # 3.0000000000000004 is three replicas and a rounding error.
    return operations(busy).ceil(busy * (1.0 - 1e-12))
