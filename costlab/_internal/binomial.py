"""Shares that were counted: how far the true share may be away. Exact, and the standard library only."""

import math

from costlab._internal import checks
from costlab._internal.root import bisect
from costlab.errors import InvalidValueError


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share that was counted: it misses the true share with a chance of 1 - confidence at most.

    Parameters
    ----------
    successes, trials : int
        What was counted, ``0 <= successes <= trials``.
    confidence : float
        In (0, 1).

    References
    ----------
    Clopper and Pearson (1934), The use of confidence or fiducial limits, Biometrika 26(4),
    https://doi.org/10.1093/biomet/26.4.404

    Examples
    --------
    No false hit among 60. How many may there really be?

    >>> [round(limit, 3) for limit in clopper_pearson(0, 60)]
    [0.0, 0.06]
    """
    checks.integer("trials", trials)
    if checks.integer("successes", successes) > trials:
        raise InvalidValueError("successes", f"at most the {trials} trials", successes)
    tail = (1.0 - checks.fraction("confidence", confidence, zero=False, one=False)) / 2
    low = 0.0 if successes == 0 else 1.0 - bisect(lambda p: at_most(trials - successes, trials, p) <= tail, 0.0, 1.0)
    high = 1.0 if successes == trials else bisect(lambda p: at_most(successes, trials, p) <= tail, 0.0, 1.0)
    return low, high


def at_most(successes: int, trials: int, share: float) -> float:
    """Chance of at most this many successes, from the binomial law."""
    if successes >= trials or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    odds, whole = math.log(share) - math.log1p(-share), trials * math.log1p(-share)
    ways = math.lgamma(trials + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(ways - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * odds + whole)
            for k in range(successes + 1)
        ),
    )
