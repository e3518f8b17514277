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
    IntArray: TypeAlias = NDArray[np.int64]
    NumberOrArray: TypeAlias = float | Array

#: For a parameter of type ``Amount | float`` and a result of type ``Amount``: an array as soon as one is given.
Amount = TypeVar("Amount", float, "FloatArray")


def numpy_of(*values: object) -> ModuleType | None:
    """numpy, if one of the values is an array; None where all are numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:  # where it was never imported, no one can have made an array
        array = numpy.ndarray
        for value in values:
            if isinstance(value, array):
                return numpy
    return None


class Operations(Protocol):
    """What numpy spells otherwise for arrays than Python does for numbers; typed as for numbers."""

    def where(self, condition: bool, value: float, other: float, /) -> float:
        """`value` where the condition holds, `other` elsewhere; both are worked out."""

    def maximum(self, value: float, other: float, /) -> float:
        """The greater of both."""

    def ceil(self, value: float, /) -> float:
        """The next whole number; infinity stays what it is."""


class _OfNumbers:
    def where(self, condition: bool, value: float, other: float, /) -> float:
        return value if condition else other

    def maximum(self, value: float, other: float, /) -> float:
        return value if value > other else other

    def ceil(self, value: float, /) -> float:
        return math.ceil(value) if value < math.inf else value


_OF_NUMBERS = _OfNumbers()


def operations(*values: object) -> Operations:
    """Those of numpy where one of the values is an array, those of Python where all are numbers."""
    numpy = numpy_of(*values)
    return _OF_NUMBERS if numpy is None else cast("Operations", numpy)
