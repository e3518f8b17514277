"""Bills: GPU-hours times price, per month, useful hour and request; commitments, paid whether used or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costlab._internal import checks
from costlab.calculator.machines import Machines, MachineSize, cheapest_machines
from costlab.catalog import COMMITMENTS, GpuPrice, gpu_machines
from costlab.errors import InvalidValueError
from costlab.units import HOURS_PER_DAY, LESSON_DAYS_PER_MONTH


@dataclass(frozen=True, slots=True)
class MonthlyCost:
    """What a number of GPUs costs in a month, from which price, and what of it is paid for nothing.

    Attributes
    ----------
    usd : float
        The bill in USD.
    gpu_hours, used_gpu_hours : float
        GPU-hours billed, and those of them that were asked for.
    gpus, paid_gpus : int
        GPUs asked for, and those of the machines that are rented for them.
    hours_per_day, days_per_month : float
        The hours asked for: 24 x 30 = 720 in the lesson's month, 730 in a cloud's own examples.
    price : GpuPrice
        The catalogue row, with provider, date and source; of several sizes of machine, that of the largest rented.
    machines : tuple of Machines
        What is rented. A machine without a name is an assumption: the row does not say in which numbers its GPUs are
        sold, and one by one is taken.
    unused_gpus_usd, unused_hours_usd : float
        The parts of the bill for GPUs of the machines that no one asked for, and for the committed hours in which the
        others are not used.
    """

    usd: float
    gpu_hours: float
    used_gpu_hours: float
    gpus: int
    paid_gpus: int
    hours_per_day: float
    days_per_month: float
    price: GpuPrice
    machines: tuple[Machines, ...]
    unused_gpus_usd: float
    unused_hours_usd: float

    @property
    def unused_usd(self) -> float:
        """What is paid for nothing, in USD."""
        return self.unused_gpus_usd + self.unused_hours_usd

    @property
    def utilization_fraction(self) -> float:
        """Share of the paid GPU-hours that were asked for."""
        return self.used_gpu_hours / self.gpu_hours


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
    gpus_per_replica: int = 1,
) -> MonthlyCost:
    r"""The monthly bill of a number of equal GPUs, rented in whole machines.

    .. math:: \text{usd} = \text{usd per hour of the machines} \times \text{paid hours}

    Paid hours are hours a day times days a month, of a reservation every hour of the month.

    Parameters
    ----------
    name : str
        Name or alias of the GPU.
    gpus : int
        Number of GPUs, at least 1. The cheapest machines that hold them are rented; see :func:`cheapest_machines`.
    pricing : {'on_demand', 'spot', 'reserved_1y', 'reserved_3y'}
        How the hours are bought.
    hours_per_day : float
        Hours used per day, in (0, 24]; 24 is always on.
    days_per_month : float
        Days used per month, in (0, 31]. The default of 30 is the lesson's; ``730 / 24`` is a month of 730 hours. A
        reservation is paid for 30 days at least.
    snapshot, provider, region, as_of, zone
        Which price; see :func:`costlab.catalog.gpu_price`.
    gpus_per_replica : int
        GPUs that work together and must sit in one machine, at least 1.

    Raises
    ------
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        As :func:`costlab.catalog.gpu_price`.

    Notes
    -----
    The product is formed in decimal arithmetic from the digits as written, so that cents come out exact. Left out:
    disks, traffic, support and tax. What is paid for nothing is divided over GPUs and hours in proportion.

    Examples
    --------
    What do eight A10G cost in the lesson's month, running all the time?

    >>> monthly_cost("A10G", gpus=8).usd
    5817.6

    And one, used for eight hours a day: on demand, and reserved for a year?

    >>> monthly_cost("A10G", hours_per_day=8).usd, monthly_cost("A10G", pricing="reserved_1y", hours_per_day=8).usd
    (242.4, 453.6)

    What does a single A100 cost at AWS, where a machine has eight?

    >>> bill = monthly_cost("A100 40GB", snapshot="list", provider="aws")
    >>> round(bill.usd, 2), bill.paid_gpus, round(bill.unused_gpus_usd, 2)
    (15809.5, 8, 13833.31)
    """
    checks.integer("gpus", gpus, at_least=1)
    checks.positive("hours_per_day", hours_per_day, at_most=HOURS_PER_DAY)
    checks.positive("days_per_month", days_per_month, at_most=31)
    checks.integer("gpus_per_replica", gpus_per_replica, at_least=1)
    rows = gpu_machines(name, pricing, snapshot, provider, region, as_of, zone)
    sizes = [MachineSize.from_price(row, gpus_per_replica) for row in rows]
    machines = cheapest_machines(sizes, int(gpus), int(gpus_per_replica))
    used_hours = _exact(hours_per_day) * _exact(days_per_month)
    paid_hours = used_hours
    if pricing in COMMITMENTS:
        paid_hours = HOURS_PER_DAY * max(_exact(days_per_month), Decimal(LESSON_DAYS_PER_MONTH))
    usd = paid_hours * sum(some.count * _exact(some.size.usd_per_hour) for some in machines)
    paid_gpus = sum(some.count * some.size.gpus for some in machines)
    of_gpus = usd * (paid_gpus - int(gpus)) / paid_gpus
    of_hours = (usd - of_gpus) * (1 - used_hours / paid_hours)
    return MonthlyCost(
        usd=float(usd),
        gpu_hours=float(paid_gpus * paid_hours),
        used_gpu_hours=float(int(gpus) * used_hours),
        gpus=int(gpus),
        paid_gpus=paid_gpus,
        hours_per_day=float(hours_per_day),
        days_per_month=float(days_per_month),
        price=rows[sizes.index(machines[0].size)],
        machines=machines,
        unused_gpus_usd=float(of_gpus),
        unused_hours_usd=float(of_hours),
    )


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def usd_per_useful_hour(usd_per_hour: float, utilization_fraction: float) -> float:
    r"""The price in USD of an hour in which the GPU works, when it works only part of the time.

    .. math:: \text{usd per useful hour} = \frac{\text{usd per hour}}{\text{utilization}}

    Parameters
    ----------
    usd_per_hour : float
        Price of an hour in USD, > 0.
    utilization_fraction : float
        Share of the paid hours in which the GPU does useful work, in (0, 1]: one that never works has no useful hour.

    Examples
    --------
    What does an hour of work cost on a 4-dollar GPU that is busy a quarter of the time?

    >>> usd_per_useful_hour(4.0, 0.25)
    16.0
    """
    checks.positive("usd_per_hour", usd_per_hour)
    return usd_per_hour / checks.fraction("utilization_fraction", utilization_fraction, zero=False)


def cost_per_request(gpu_usd: float, infrastructure_usd: float, requests: float) -> float:
    r"""What one served request costs in USD, everything counted that was paid in the same period.

    .. math:: \text{usd per request} = \frac{\text{GPU usd} + \text{infrastructure usd}}{\text{requests served}}

    Parameters
    ----------
    gpu_usd : float
        The GPU bill of the period in USD, >= 0.
    infrastructure_usd : float
        Everything else that serving needs: CPU machines, disks, traffic, monitoring, in USD, >= 0.
    requests : float
        Requests served in the same period, > 0: without any, the cost of one is undefined, not 0.

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
    """The share of a baseline bill in USD, > 0, that another bill, >= 0, saves; negative when it is more expensive.

    Examples
    --------
    What does the lesson's one-year reservation save?

    >>> round(saving_fraction(5817.60, 3628.80), 3)
    0.376
    """
    checks.non_negative("usd", usd)
    return 1.0 - usd / checks.positive("baseline_usd", baseline_usd)


def commitment_break_even(on_demand_usd_per_hour: float, committed_usd_per_hour: float) -> float:
    r"""The utilization above which a committed GPU is cheaper than an on-demand one that is switched off when idle.

    .. math:: u^* = \frac{\text{committed usd per hour}}{\text{on-demand usd per hour}}

    Parameters
    ----------
    on_demand_usd_per_hour, committed_usd_per_hour : float
        Price of an hour that is paid only when used, and of one that is always paid, in USD, > 0.

    Returns
    -------
    float
        Fraction of the hours. Above 1 the commitment never pays, as happens when a list price falls below the price of
        a commitment signed earlier.

    Examples
    --------
    For how much of the year must an A10G run before the lesson's one-year reservation pays?

    >>> round(commitment_break_even(1.01, 0.63), 3)
    0.624
    """
    checks.positive("on_demand_usd_per_hour", on_demand_usd_per_hour)
    return checks.positive("committed_usd_per_hour", committed_usd_per_hour) / on_demand_usd_per_hour


@dataclass(frozen=True, slots=True)
class Commitment:
    """How many GPUs to commit to for a demand profile, and the bill that follows.

    Attributes
    ----------
    gpus, hours : int
        GPUs to commit to, and length of the profile in hours.
    usd, on_demand_usd : float
        Bill over the profile in USD: committed hours, used or not, and on-demand hours above them; and without
        commitment.
    saving_fraction : float
        ``1 - usd / on_demand_usd``; 0 for a profile without demand.
    utilization_fraction : float
        Share of the committed GPU-hours that the demand uses; 0 without a commitment.
    """

    gpus: int
    hours: int
    usd: float
    on_demand_usd: float
    saving_fraction: float
    utilization_fraction: float


def best_commitment(
    demand_gpus: Sequence[float],
    on_demand_usd_per_hour: float,
    committed_usd_per_hour: float,
    gpus: int | None = None,
    gpus_per_machine: int = 1,
) -> Commitment:
    r"""The number of committed GPUs that minimises the bill of an hourly demand profile.

    With :math:`d_t` GPUs wanted in hour :math:`t` of :math:`T`, committed price :math:`c` and on-demand price
    :math:`p`, the bill of committing to :math:`k` GPUs is

    .. math:: B(k) = c\,k\,T + p \sum_t \max(0,\ d_t - k)

    The k-th GPU pays when it is used in more than a share :math:`c/p` of the hours, so the best level is a quantile of
    the demand: neither its mean nor its peak. Where GPUs are sold in machines of several, the same holds for machines.

    Parameters
    ----------
    demand_gpus : sequence of float, shape (hours,)
        GPUs wanted in each hour, >= 0. A fraction is a GPU wanted for part of the hour, paid by the second.
    on_demand_usd_per_hour, committed_usd_per_hour : float
        Prices of a GPU-hour in USD, > 0.
    gpus : int, optional
        Price this level instead of the best one; whole machines of it are paid.
    gpus_per_machine : int
        GPUs of a machine, >= 1, which is rented whole, committed or on demand.

    Notes
    -----
    The profile must be typical of the whole term: a one-year commitment fitted to one day assumes 365 such days. Of two
    levels with the same bill the smaller is returned, since it promises less.

    References
    ----------
    The newsvendor problem: Arrow, Harris and Marschak (1951), Econometrica 19(3), https://doi.org/10.2307/1906813

    Examples
    --------
    Four GPUs are wanted at night and ten by day. To how many should we commit at 0.63 against 1.01 dollars?

    >>> best = best_commitment([4] * 14 + [10] * 10, 1.01, 0.63)
    >>> best.gpus, round(best.saving_fraction, 3)
    (4, 0.232)

    And where they are sold by eight, at the same price of a GPU?

    >>> best = best_commitment([4] * 14 + [10] * 10, 1.01, 0.63, gpus_per_machine=8)
    >>> best.gpus, round(best.utilization_fraction, 3)
    (8, 0.708)
    """
    demand = [checks.non_negative(f"demand_gpus[{hour}]", wanted) for hour, wanted in enumerate(demand_gpus)]
    if not demand:
        raise InvalidValueError("demand_gpus", "a profile of at least one hour", demand_gpus)
    checks.positive("on_demand_usd_per_hour", on_demand_usd_per_hour)
    checks.positive("committed_usd_per_hour", committed_usd_per_hour)

    checks.integer("gpus_per_machine", gpus_per_machine, at_least=1)
    machines = [_machines_wanted(wanted, gpus_per_machine) for wanted in demand]
    on_demand_usd, committed_usd = gpus_per_machine * on_demand_usd_per_hour, gpus_per_machine * committed_usd_per_hour

    def used_hours(level: int) -> float:
        return sum(min(wanted, level) for wanted in machines)

    if gpus is None:
        # The bill is convex in the level: find the last machine that still lowers it.
        low, high = 0, int(max(machines)) + 1
        while low < high:
            middle = (low + high + 1) // 2
            gained = on_demand_usd * (used_hours(middle) - used_hours(middle - 1))
            if gained > committed_usd * len(machines):
                low = middle
            else:
                high = middle - 1
        level = low
    else:
        level = -(-checks.integer("gpus", gpus) // gpus_per_machine)
    committed, without = level * gpus_per_machine, on_demand_usd * sum(machines)
    usd = committed_usd * level * len(machines) + on_demand_usd * (sum(machines) - used_hours(level))
    used = sum(min(wanted, committed) for wanted in demand)
    return Commitment(
        gpus=committed,
        hours=len(demand),
        usd=usd,
        on_demand_usd=without,
        saving_fraction=1.0 - usd / without if without else 0.0,
        utilization_fraction=used / (committed * len(demand)) if committed else 0.0,
    )


def _machines_wanted(gpus: float, gpus_per_machine: int) -> float:
    """Machines for a number of GPUs; a fraction of a GPU, wanted for part of the hour, is one for that part."""
    whole = math.floor(gpus)
    part = gpus - whole
    return (1.0 - part) * -(-whole // gpus_per_machine) + part * -(-(whole + 1) // gpus_per_machine)


@dataclass(frozen=True, slots=True)
class CommitmentBill:
    """One hour under a spend commitment.

    Attributes
    ----------
    covered_usd_per_hour, on_demand_usd_per_hour : float
        Demand that the commitment pays for, and demand beyond it, at on-demand prices.
    unused_usd_per_hour : float
        Committed dollars that nothing used; they are paid too.
    total_usd_per_hour : float
        What is paid: the commitment and the demand beyond it.
    """

    covered_usd_per_hour: float
    unused_usd_per_hour: float
    on_demand_usd_per_hour: float
    total_usd_per_hour: float


def commitment_bill(
    demand_usd_per_hour: float, discount_fraction: float, commitment_usd_per_hour: float
) -> CommitmentBill:
    r"""One hour's bill under a spend commitment (an AWS Savings Plan, a Google spend-based commitment).

    The commitment :math:`C` is made in *discounted* dollars, so at a discount :math:`r` it covers more demand :math:`D`
    than its face value:

    .. math:: \text{covered} = \min\left(D,\ \frac{C}{1 - r}\right), \quad
              \text{total} = C + D - \text{covered}

    Parameters
    ----------
    demand_usd_per_hour : float
        What the hour's use would cost on demand, in USD, >= 0.
    discount_fraction : float
        Discount of the plan against on-demand, in [0, 1).
    commitment_usd_per_hour : float
        Committed spend in discounted USD per hour, >= 0.

    Notes
    -----
    An unused part does not carry over to the next hour. With several discounts in one bill the provider applies the
    plan to the largest discount first; here there is one.

    References
    ----------
    AWS, How Savings Plans apply to your usage (read 2026),
    https://docs.aws.amazon.com/savingsplans/latest/userguide/sp-applying.html

    Examples
    --------
    We committed to 7 dollars an hour at a discount of 30 %. What do we pay in an hour that would cost 12?

    >>> bill = commitment_bill(12.0, 0.30, 7.0)
    >>> bill.covered_usd_per_hour, bill.total_usd_per_hour
    (10.0, 9.0)
    """
    checks.non_negative("demand_usd_per_hour", demand_usd_per_hour)
    paid_fraction = 1.0 - checks.fraction("discount_fraction", discount_fraction, one=False)
    checks.non_negative("commitment_usd_per_hour", commitment_usd_per_hour)
    covered = min(demand_usd_per_hour, commitment_usd_per_hour / paid_fraction)
    unused = max(0.0, commitment_usd_per_hour - covered * paid_fraction)
    beyond = demand_usd_per_hour - covered
    return CommitmentBill(covered, unused, beyond, commitment_usd_per_hour + beyond)
