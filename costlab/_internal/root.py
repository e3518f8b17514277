"""Where a condition turns true, by bisection: the one root finder of the package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def bisect(
    reached: Callable[[float], bool], low: float, high: float, *, steps: int = 60, geometric: bool = False
) -> float:
    """The least number between `low` and `high` at which `reached` is true, which must then be true up to `high`.

    Parameters
    ----------
    reached : callable
        Called with numbers strictly between the ends; it is taken as true at `high`, and false at `low`.
    low, high : float
        The ends.
    steps : int
        Halvings of the interval: the result is at most ``(high - low) / 2**steps`` too great.
    geometric : bool
        Halve by the geometric mean: for ends > 0 that lie orders of magnitude apart. The result is then too great by a
        factor of at most ``(high / low) ** (1 / 2**steps)``.

    Examples
    --------
    >>> bisect(lambda x: x * x >= 2, 0, 2)
    1.414213562373095...
    """
    for _ in range(steps):
        middle = math.sqrt(low * high) if geometric else (low + high) / 2
        if reached(middle):
            high = middle
        else:
            low = middle
    return high
