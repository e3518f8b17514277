"""Budgets that hold: reserve before a call, settle after it.

:class:`BudgetPolicy` says what may be spent, a store keeps the books (in memory, in an SQLite file, on a Redis server),
and :class:`BudgetGuard`, or :class:`AsyncBudgetGuard`, admits or refuses.
"""

from costlab.errors import BudgetExceeded, BudgetReservationError, BudgetStoreError
from costlab.monitoring.budget.desk import GuardCounts
from costlab.monitoring.budget.guard import AsyncBudgetGuard, BudgetGuard
from costlab.monitoring.budget.limits import Account, Decision, Limit, Limits, decide
from costlab.monitoring.budget.policy import BudgetPolicy
from costlab.monitoring.budget.records import AuditEntry, BudgetStatus
from costlab.monitoring.budget.reservation import AsyncReservation, Reservation
from costlab.monitoring.budget.stores import BudgetStore, MemoryBudgetStore, RedisBudgetStore, SqliteBudgetStore

__all__ = [
    "Account",
    "AsyncBudgetGuard",
    "AsyncReservation",
    "AuditEntry",
    "BudgetExceeded",
    "BudgetGuard",
    "BudgetPolicy",
    "BudgetReservationError",
    "BudgetStatus",
    "BudgetStore",
    "BudgetStoreError",
    "Decision",
    "GuardCounts",
    "Limit",
    "Limits",
    "MemoryBudgetStore",
    "RedisBudgetStore",
    "Reservation",
    "SqliteBudgetStore",
    "decide",
]
