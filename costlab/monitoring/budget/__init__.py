"""Budgets that hold: reserve before a call, settle after it.

:class:`BudgetPolicy` says what may be spent, a store keeps the books (in memory, in an SQLite file, on a Redis server),
and :class:`BudgetGuard`, or :class:`AsyncBudgetGuard`, admits or refuses.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.errors import (
        BudgetExceeded as BudgetExceeded,
        BudgetReservationError as BudgetReservationError,
        BudgetStoreError as BudgetStoreError,
    )
    from costlab.monitoring.budget.engine import (
        AuditEntry as AuditEntry,
        BudgetStatus as BudgetStatus,
        BudgetStore as BudgetStore,
    )
    from costlab.monitoring.budget.guard import (
        AsyncBudgetGuard as AsyncBudgetGuard,
        AsyncReservation as AsyncReservation,
        BudgetGuard as BudgetGuard,
        GuardCounts as GuardCounts,
        Reservation as Reservation,
    )
    from costlab.monitoring.budget.limits import (
        Account as Account,
        Decision as Decision,
        Limit as Limit,
        Limits as Limits,
        decide as decide,
    )
    from costlab.monitoring.budget.memory_store import MemoryBudgetStore as MemoryBudgetStore
    from costlab.monitoring.budget.policy import BudgetPolicy as BudgetPolicy, parse_policy as parse_policy
    from costlab.monitoring.budget.redis_store import RedisBudgetStore as RedisBudgetStore
    from costlab.monitoring.budget.sqlite_store import SqliteBudgetStore as SqliteBudgetStore
else:
    __getattr__, __dir__ = lazy_package(__name__)
