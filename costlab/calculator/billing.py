"""Bills: GPU-hours times price, per month, per useful hour, per request."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costlab._internal import checks
from costlab.catalog import GpuPrice, gpu_price
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH

__all__ = ["MonthlyCost", "cost_per_request", "monthly_cost", "saving_fraction", "usd_per_useful_hour"]


@dataclass(frozen=True, slots=True)
class MonthlyCost:
    """What a number of GPUs costs in a month, and from which price.

    Attributes
    ----------
    usd : float
        The bill in USD.
    gpu_hours : float
        GPU-hours billed.
    gpus : int
        Number of GPUs.
    hours_per_day, days_per_month : float
        The month that was billed: 24 x 30 = 720 hours in the lesson, 730 in a cloud's own examples.
    price : GpuPrice
        The catalogue row, with provider, date and source.
    """

    usd: float
    gpu_hours: float
    gpus: int
    hours_per_day: float
    days_per_month: float
    price: GpuPrice


def monthly_cost(
    name: str,
    gpus: int = 1,
    pricing: str = "on_demand",
    hours_per_day: float = HOURS_PER_DAY,
    days_per_month: float = LESSON_DAYS_PER_MONTH,
    snapshot: str = "lesson",
    provider: str | None = None,
    region: str | None = None,
    as_of: date | str | None = None,
    zone: str | None = None,
) -> MonthlyCost:
    r"""The monthly bill of a number of equal GPUs.

    .. math:: \text{usd} = \text{usd per GPU-hour} \times \text{hours per day} \times \text{days per month}
              \times \text{GPUs}

    Parameters
    ----------
    name : str
        Name or alias of the GPU.
    gpus : int
        Number of GPUs, at least 1.
    pricing : {'on_demand', 'spot', 'reserved_1y', 'reserved_3y'}
        How the hours are bought.
    hours_per_day : float
        Hours billed per day, in (0, 24]; 24 is always on.
    days_per_month : float
        Days billed per month, in (0, 31]. The default of 30 is the lesson's; ``730 / 24`` is a month of 730 hours.
    snapshot, provider, region, as_of, zone
        Which price; see :func:`costlab.catalog.gpu_price`.

    Returns
    -------
    MonthlyCost

    Raises
    ------
    InvalidValueError
        If a number is outside its domain.
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        As :func:`costlab.catalog.gpu_price`.

    Notes
    -----
    The product is formed in decimal arithmetic from the digits as written, so that cents come out exact. Left out:
    disks, traffic, support and tax. A reservation is billed for every hour whether used or not, so fewer
    `hours_per_day` at a reserved price understate its bill; see :func:`commitment_break_even`.

    Examples
    --------
    What do eight A10G cost in the lesson's month, running all the time?

    >>> monthly_cost("A10G", gpus=8).usd
    5817.6
    """
    checks.integer("gpus", gpus, at_least=1)
    checks.positive("hours_per_day", hours_per_day, at_most=HOURS_PER_DAY)
    checks.positive("days_per_month", days_per_month, at_most=31)
    price = gpu_price(name, pricing, snapshot, provider, region, as_of, zone)
    gpu_hours = _exact(hours_per_day) * _exact(days_per_month) * int(gpus)
    usd = float(gpu_hours * _exact(price.usd_per_hour))
    return MonthlyCost(usd, float(gpu_hours), int(gpus), float(hours_per_day), float(days_per_month), price)


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def usd_per_useful_hour(usd_per_hour: float, utilization_fraction: float) -> float:
    r"""The price of an hour in which the GPU works, when it works only part of the time.

    .. math:: \text{usd per useful hour} = \frac{\text{usd per hour}}{\text{utilization}}

    Parameters
    ----------
    usd_per_hour : float
        Price of an hour in USD, > 0.
    utilization_fraction : float
        Share of the paid hours in which the GPU does useful work, in (0, 1].

    Returns
    -------
    float
        USD per useful hour.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain; a GPU that never works has no useful hour to price.

    Examples
    --------
    What does an hour of work cost on a 4-dollar GPU that is busy a quarter of the time?

    >>> usd_per_useful_hour(4.0, 0.25)
    16.0
    """
    checks.positive("usd_per_hour", usd_per_hour)
    return usd_per_hour / checks.fraction("utilization_fraction", utilization_fraction, zero=False)


def cost_per_request(gpu_usd: float, infrastructure_usd: float, requests: float) -> float:
    r"""What one served request costs, everything counted that was paid in the same period.

    .. math:: \text{usd per request} = \frac{\text{GPU usd} + \text{infrastructure usd}}{\text{requests served}}

    Parameters
    ----------
    gpu_usd : float
        The GPU bill of the period in USD, >= 0.
    infrastructure_usd : float
        Everything else that serving needs: CPU machines, disks, traffic, monitoring, in USD, >= 0.
    requests : float
        Requests served in the same period, > 0.

    Returns
    -------
    float
        USD per request.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain. No requests is an error: the cost per request is then undefined, not 0.

    Notes
    -----
    Leaves out salaries, which usually outweigh the machines of a small service.

    Examples
    --------
    The eight A10G of the lesson serve 3 million requests a month, on 500 dollars of other infrastructure:

    >>> round(cost_per_request(5817.60, 500, 3_000_000), 6)
    0.002106
    """
    checks.non_negative("gpu_usd", gpu_usd)
    checks.non_negative("infrastructure_usd", infrastructure_usd)
    return (gpu_usd + infrastructure_usd) / checks.positive("requests", requests)


def saving_fraction(baseline_usd: float, usd: float) -> float:
    """The share of a baseline bill that another bill saves; negative when it is dearer.

    Parameters
    ----------
    baseline_usd : float
        The bill compared with, in USD, > 0. A saving means nothing without it.
    usd : float
        The other bill in USD, >= 0.

    Returns
    -------
    float
        ``1 - usd / baseline_usd``.

    Examples
    --------
    What does the lesson's one-year reservation save?

    >>> round(saving_fraction(5817.60, 3628.80), 3)
    0.376
    """
    checks.non_negative("usd", usd)
    return 1.0 - usd / checks.positive("baseline_usd", baseline_usd)
