"""What a formula needs to take a number or an array, without importing numpy where there are only numbers."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from types import ModuleType
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64] | NDArray[np.int64]
    FloatArray: TypeAlias = NDArray[np.float64]
    NumberOrArray: TypeAlias = float | Array

__all__ = ["Operations", "numpy_of", "operations"]

Amount = TypeVar("Amount", float, "FloatArray")


def numpy_of(*values: object) -> ModuleType | None:
    """numpy, if one of the values is an array; None where all are numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:  # where it was never imported, nobody can have made an array
        array = numpy.ndarray
        for value in values:
            if isinstance(value, array):
                return numpy
    return None


class Operations(Protocol):
    """What Python spells otherwise for numbers than numpy does for arrays."""

    def where(self, condition: object, value: Amount | float, other: Amount | float, /) -> Amount:
        """`value` where the condition holds, `other` elsewhere."""

    def maximum(self, value: Amount | float, other: Amount | float, /) -> Amount:
        """The greater of both."""

    def ceil(self, value: Amount, /) -> Amount:
        """The next whole number, as a float; infinity stays what it is."""


class _ForNumbers:
    def where(self, condition: object, value: float, other: float, /) -> float:
        return value if condition else other

    def maximum(self, value: float, other: float, /) -> float:
        return value if value >= other else other

    def ceil(self, value: float, /) -> float:
        return float(math.ceil(value)) if math.isfinite(value) else value


_FOR_NUMBERS = cast("Operations", _ForNumbers())


def operations(*values: object) -> Operations:
    """Those of numpy where one of the values is an array, those of Python where all are numbers."""
    numpy = numpy_of(*values)
    return _FOR_NUMBERS if numpy is None else cast("Operations", numpy)
