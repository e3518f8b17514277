"""When an investment has paid for itself, and what it is worth by then."""

import math
from dataclasses import dataclass

from costlab._internal import checks

__all__ = ["Payback", "payback"]


@dataclass(frozen=True, slots=True)
class Payback:
    """What an upfront investment brings.

    Attributes
    ----------
    months : float
        Months from the spending until the savings have paid it back, in money of the first day; ``inf`` when they
        never do.
    net_usd : float
        Savings up to the horizon less the investment, in money of the first day; negative when it is not paid back.
    upfront_usd, monthly_saving_usd : float
        As given.
    horizon_months : float
        As given.
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

    Savings :math:`s` flow evenly from month :math:`d` on. With a monthly rate :math:`r = \ln(1 + i)/12`, they are
    worth on the first day

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

    Returns
    -------
    Payback

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

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
