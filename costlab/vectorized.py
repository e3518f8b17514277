"""Rounding to micro-dollars on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["micro_usd_rows"]


def micro_usd_rows(usd: NDArray[np.float64]) -> NDArray[np.int64]:
    """As :func:`costlab.events.micro_usd`, on an array; what is below 1e-12 USD counts as nothing."""
    return np.ceil(usd * MICRO_USD_PER_USD - 1e-6).astype(np.int64)
