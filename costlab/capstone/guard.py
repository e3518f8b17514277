"""A day's spending limits on a log: who is refused, once a limit is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from costlab.capstone.plan import Guard

__all__ = ["admitted"]


def admitted(guard: Guard, client: NDArray[np.int64], usd: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which requests of a day may be made.

    A client's request is refused when it would bring the client's sum above the limit, and so is everything after it
    until midnight; then the same for all together.

    Parameters
    ----------
    guard : Guard
        The limits.
    client : numpy.ndarray of int, shape (requests,)
        Who asks, in the order of time.
    usd : numpy.ndarray of float, shape (requests,)
        What each would cost.

    Returns
    -------
    numpy.ndarray of bool, shape (requests,)

    Notes
    -----
    :class:`costlab.monitoring.budget.BudgetGuard` is the real one: it lets a smaller request through that still fits,
    which on a day like this is a matter of one request.

    Examples
    --------
    >>> from costlab.capstone import Guard
    >>> admitted(Guard(client_usd_per_day=2.0), np.array([0, 0, 1, 0, 1]), np.ones(5)).tolist()
    [True, True, True, False, True]
    """
    may = np.ones(len(usd), dtype=bool)
    if guard.client_usd_per_day is not None:
        for one in np.unique(client):
            rows = np.flatnonzero(client == one)
            may[rows] = _within(usd[rows], guard.client_usd_per_day)
    if guard.total_usd_per_day is not None:
        may &= _within(np.where(may, usd, 0.0), guard.total_usd_per_day)
    return may


def _within(usd: NDArray[np.float64], limit_usd: float) -> NDArray[np.bool_]:
    # What a sum of floats adds by itself must not refuse the request that fills the limit exactly.
    within: NDArray[np.bool_] = np.cumsum(usd) <= limit_usd * (1 + 1e-12)
    return within
