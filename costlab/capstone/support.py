"""The support questions, with what three real tiers answered to each: recorded, so that a score needs no model."""

from functools import cache

from costlab.capstone.company import SUPPORT_USD_PER_REQUEST
from costlab.experiments.tier_predictions import recorded_tiers
from costlab.router import Outcomes

__all__ = ["support_outcomes"]


@cache
def support_outcomes(part: str = "calibration") -> Outcomes:
    """The table of a part of the support queries, at the company's prices.

    Parameters
    ----------
    part : {'calibration', 'test'}
        Choose thresholds on the first; the company's log is made of the second.

    Raises
    ------
    UnknownNameError
        If there is no such part.

    Examples
    --------
    How often is the largest tier right on the questions of the log?

    >>> test = support_outcomes("test")
    >>> round(float(test.correct[:, -1].mean()), 3)
    0.652
    """
    return recorded_tiers(part).outcomes(SUPPORT_USD_PER_REQUEST)
