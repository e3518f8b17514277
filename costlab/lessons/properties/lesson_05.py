"""Lesson 5: a matrix with too many row starts for CSR, and a sparse kernel."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import cast

_ZEROS, _BYTES = 0.6, 4


def exercise_5_2(answer: object) -> str | None:
    """Rows and columns of a matrix, 60 % zeros in fp32, that CSR makes larger."""
    shape = []
    if isinstance(answer, Iterable) and not isinstance(answer, str):
        shape = [int(one) for one in answer if isinstance(one, int) or getattr(one, "dtype", None) == "int64"]
    if len(shape) != 2 or min(shape) < 1:
        return "It takes a list [rows, columns] of two whole numbers above zero."
    rows, columns = shape
    weights = rows * columns
    if weights < 1000:
        return f"The matrix has {weights:,} weights; it takes at least 1,000 weights."
    dense = _BYTES * weights
    csr = (weights - round(_ZEROS * weights)) * 2 * _BYTES + (rows + 1) * _BYTES
    if csr <= dense:
        return f"CSR takes {csr:,} bytes and dense {dense:,}. What does CSR keep beside values and columns?"
    return None


def exercise_5_3(answer: object) -> str | None:
    """A function that multiplies a matrix in CSR by a vector."""
    if not callable(answer):
        return "The answer must be a function."
    product = cast("Callable[..., Iterable[float]]", answer)
    rng = random.Random(5)  # noqa: S311 - the matrices need no secret
    for rows, columns in ((1, 4), (5, 3), (6, 7)):
        matrix = [[round(rng.uniform(-2, 2), 2) if rng.random() < 0.4 else 0.0 for _ in range(columns)]
                  for _ in range(rows)]  # fmt: skip
        matrix[rows // 2] = [0.0] * columns  # a row may be empty
        vector = [round(rng.uniform(-1, 1), 2) for _ in range(columns)]
        values, places, starts = [], [], [0]
        for row in matrix:
            values += [one for one in row if one]
            places += [place for place, one in enumerate(row) if one]
            starts.append(len(values))
        wanted = [sum(one * other for one, other in zip(row, vector, strict=True)) for row in matrix]
        found = [float(one) for one in product(values, places, starts, vector)]
        if len(found) != rows:
            return f"For a matrix with {rows} rows it returns {len(found)} numbers; it takes numbers, one for each row."
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if abs(one - other) > 1e-9 * (1 + abs(other)):
                return (
                    f"For values {values}, columns {places}, starts {starts} and the vector {vector}, row {number} is "
                    f"{one:.4g} instead of {other:.4g}."
                )
    return None
