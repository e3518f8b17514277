"""Lesson 2: a row of weights for which smaller groups round worse."""

from __future__ import annotations

from collections.abc import Sequence

from costlab.lessons.properties import numbers_in

#: Below this share of the largest number two errors count as the same: that much is rounding of the arithmetic.
_NOISE = 1e-6
_STEPS = 7  # to each side of zero, with 4 bits


def _error(weights: Sequence[float], group: int) -> float:
    """Root mean square error of 4 bits with a scale for each group."""
    total = 0.0
    for start in range(0, len(weights), group):
        part = weights[start : start + group]
        scale = max(map(abs, part)) / _STEPS
        if scale:
            total += sum((round(weight / scale) * scale - weight) ** 2 for weight in part)
    return float((total / len(weights)) ** 0.5)


def exercise_2_2(answer: object) -> str | None:
    """Eight numbers that one scale rounds more exactly than two do."""
    numbers = numbers_in(answer)
    if len(numbers) != 8:
        return "It takes a list of eight numbers."
    largest = max(map(abs, numbers))
    if not 0 < largest < float("inf"):
        return "Not all of them may be zero, and each must be finite."
    one, two = _error(numbers, 8), _error(numbers, 4)
    if two <= one + _NOISE * largest:
        return (
            f"With one scale the error is {one:.4g}, with a scale for each four {two:.4g}: the smaller groups are at "
            "least as exact. A number has no error where it is a whole multiple of its scale."
        )
    return None
