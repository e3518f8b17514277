"""Numbers and arrays go through a formula alike."""

import math

import numpy as np
from hypothesis import given, strategies as st

from costlab._internal.arrays import numpy_of, operations

FLOATS = st.floats(-1e9, 1e9) | st.just(math.inf)


@given(FLOATS, FLOATS, st.booleans())
def test_operations_agree_on_numbers_and_arrays(a: float, b: float, condition: bool) -> None:
    one, many = operations(a, b), operations(np.array([a]), b)
    assert one.ceil(a) == many.ceil(np.array([a]))  # type: ignore[arg-type]
    assert one.maximum(a, b) == many.maximum(np.array([a]), b)  # type: ignore[arg-type]
    assert one.where(condition, a, b) == many.where(np.array([condition]), a, b)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers() -> None:
    assert numpy_of(1, 2.0, np.float64(3), np.int64(4)) is None
    assert numpy_of(1, np.array([2.0])) is np
