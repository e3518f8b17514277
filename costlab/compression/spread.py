"""The mean of a few repetitions and how far it may be off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.errors import InvalidValueError

__all__ = ["Spread", "spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over repetitions, such as seeds.

    Attributes
    ----------
    n : int
        Repetitions.
    mean, standard_deviation : float
        Of their results.
    low, high : float
        Ends of the interval for the mean that Student's t gives.
    """

    n: int
    mean: float
    standard_deviation: float
    low: float
    high: float


def spread(values: Sequence[float], *, confidence_fraction: float = 0.95) -> Spread:
    r"""Mean of some results with an interval.

    .. math:: \bar x \pm t_{n-1}\,\frac{s}{\sqrt n}

    Parameters
    ----------
    values : sequence of float
        One result of each repetition, at least two.
    confidence_fraction : float
        How often such an interval holds the mean of very many repetitions, in (0, 1).

    Returns
    -------
    Spread

    Raises
    ------
    InvalidValueError
        If there are fewer than two values, or one is not finite.
    MissingExtraError
        If scipy is not installed.

    Notes
    -----
    Repetitions are taken as independent and not far from normal. For two things measured under the same seeds give it
    their differences: what the seeds have in common then cancels.

    Examples
    --------
    Five seeds gave these accuracies. How sure is their mean?

    >>> found = spread([0.42, 0.44, 0.41, 0.43, 0.45])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.43, 0.41, 0.45)
    """
    if len(values) < 2:
        raise InvalidValueError("values", "at least two", len(values))
    known = [checks.finite("values", value) for value in values]
    checks.fraction("confidence_fraction", confidence_fraction, zero=False, one=False)
    mean, deviation = statistics.fmean(known), statistics.stdev(known)
    student = require("scipy.stats", "compression").t
    margin = float(student.ppf((1 + confidence_fraction) / 2, len(known) - 1)) * deviation / math.sqrt(len(known))
    return Spread(len(known), mean, deviation, mean - margin, mean + margin)
