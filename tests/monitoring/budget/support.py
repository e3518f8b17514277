"""What the tests of the budget share: a clock that obeys, a small budget, ways to say things shortly."""

from typing import Any

from costlab.monitoring.budget import BudgetExceeded, BudgetGuard, BudgetPolicy

#: 2027-01-15 08:00 in UTC.
START_S = 1_800_000_000.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def policy(**changes: Any) -> BudgetPolicy:
    """A budget of 10 dollars a day: soft at 8, stop at 15; 100 a month, stop at 150."""
    return BudgetPolicy(**{"daily_soft_usd": 8, "daily_hard_usd": 10, "monthly_usd": 100} | changes)


def spend(guard: BudgetGuard, usd: float, priority: Any = "standard") -> None:
    """Reserve and settle the same amount."""
    with guard.reserve(usd, priority) as reservation:
        reservation.settle(usd)


def refused_by(guard: BudgetGuard, usd: float, priority: Any = "standard") -> str:
    """The limit that refuses this, or the empty string; what is admitted is given back."""
    try:
        guard.reserve(usd, priority).release()
    except BudgetExceeded as error:
        return error.limit_name
    return ""
