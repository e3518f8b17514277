"""Commitments: pay less per hour for hours that you promise to pay whether you use them or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from costlab._internal import checks
from costlab.errors import InvalidValueError

__all__ = ["Commitment", "CommitmentBill", "best_commitment", "commitment_bill", "commitment_break_even"]


def commitment_break_even(on_demand_usd_per_hour: float, committed_usd_per_hour: float) -> float:
    r"""The utilization above which a committed GPU is cheaper than an on-demand one that is switched off when idle.

    .. math:: u^* = \frac{\text{committed usd per hour}}{\text{on-demand usd per hour}}

    Parameters
    ----------
    on_demand_usd_per_hour : float
        Price of an hour that is paid only when used, in USD, > 0.
    committed_usd_per_hour : float
        Price of an hour that is always paid, in USD, > 0.

    Returns
    -------
    float
        Fraction of the hours. Above 1 the commitment never pays, as happens when a list price falls below
        the price of a commitment signed earlier.

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
    gpus : int
        GPUs to commit to.
    hours : int
        Length of the profile in hours.
    usd : float
        Bill over the profile in USD: committed hours, used or not, and on-demand hours above them.
    on_demand_usd : float
        Bill over the profile with no commitment at all, in USD.
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
) -> Commitment:
    r"""The number of committed GPUs that minimises the bill of an hourly demand profile.

    With :math:`d_t` GPUs wanted in hour :math:`t` of :math:`T`, committed price :math:`c` and on-demand price
    :math:`p`, the bill of committing to :math:`k` GPUs is

    .. math:: B(k) = c\,k\,T + p \sum_t \max(0,\ d_t - k)

    The k-th GPU pays when it is used in more than a share :math:`c/p` of the hours, so the best level is a quantile
    of the demand: neither its mean nor its peak.

    Parameters
    ----------
    demand_gpus : sequence of float, shape (hours,)
        GPUs wanted in each hour, >= 0. A fraction is a GPU wanted for part of the hour, paid by the second.
    on_demand_usd_per_hour, committed_usd_per_hour : float
        Prices of a GPU-hour in USD, > 0.
    gpus : int, optional
        Price this level instead of the best one.

    Returns
    -------
    Commitment

    Raises
    ------
    InvalidValueError
        If the profile is empty or an argument is outside its domain.

    Notes
    -----
    The profile must be typical of the whole term: a one-year commitment fitted to one day assumes 365 such days.
    Of two levels with the same bill the smaller is returned, since it promises less.

    References
    ----------
    The newsvendor problem: Arrow, Harris and Marschak (1951), Econometrica 19(3), https://doi.org/10.2307/1906813

    Examples
    --------
    Four GPUs are wanted at night and ten by day. To how many should we commit at 0.63 against 1.01 dollars?

    >>> best = best_commitment([4] * 14 + [10] * 10, 1.01, 0.63)
    >>> best.gpus, round(best.saving_fraction, 3)
    (4, 0.232)
    """
    demand = [checks.non_negative(f"demand_gpus[{hour}]", wanted) for hour, wanted in enumerate(demand_gpus)]
    if not demand:
        raise InvalidValueError("demand_gpus", "a profile of at least one hour", demand_gpus)
    checks.positive("on_demand_usd_per_hour", on_demand_usd_per_hour)
    checks.positive("committed_usd_per_hour", committed_usd_per_hour)

    def used_hours(level: int) -> float:
        return sum(min(wanted, level) for wanted in demand)

    def bill(level: int) -> float:
        over = sum(demand) - used_hours(level)
        return committed_usd_per_hour * level * len(demand) + on_demand_usd_per_hour * over

    if gpus is None:
        # The bill is convex in the level: find the last GPU that still lowers it.
        low, high = 0, int(max(demand)) + 1
        while low < high:
            middle = (low + high + 1) // 2
            gained = on_demand_usd_per_hour * (used_hours(middle) - used_hours(middle - 1))
            if gained > committed_usd_per_hour * len(demand):
                low = middle
            else:
                high = middle - 1
        gpus = low
    checks.integer("gpus", gpus)
    usd, on_demand_usd = bill(gpus), on_demand_usd_per_hour * sum(demand)
    return Commitment(
        gpus=gpus,
        hours=len(demand),
        usd=usd,
        on_demand_usd=on_demand_usd,
        saving_fraction=1.0 - usd / on_demand_usd if on_demand_usd else 0.0,
        utilization_fraction=used_hours(gpus) / (gpus * len(demand)) if gpus else 0.0,
    )


@dataclass(frozen=True, slots=True)
class CommitmentBill:
    """One hour under a spend commitment.

    Attributes
    ----------
    covered_usd_per_hour : float
        Demand that the commitment pays for, at on-demand prices.
    unused_usd_per_hour : float
        Committed dollars that nothing used; paid all the same.
    on_demand_usd_per_hour : float
        Demand beyond the commitment, paid at on-demand prices.
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

    The commitment :math:`C` is made in *discounted* dollars, so at a discount :math:`r` it covers more demand
    :math:`D` than its face value:

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

    Returns
    -------
    CommitmentBill

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    An unused part does not carry over to the next hour. With several discounts in one bill the provider applies
    the plan to the largest discount first; here there is one.

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
