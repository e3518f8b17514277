"""Where the books of a budget are kept."""

from costlab.monitoring.budget.stores.memory import MemoryBudgetStore
from costlab.monitoring.budget.stores.protocol import BudgetStore
from costlab.monitoring.budget.stores.redis import RedisBudgetStore
from costlab.monitoring.budget.stores.sqlite import SqliteBudgetStore

__all__ = ["BudgetStore", "MemoryBudgetStore", "RedisBudgetStore", "SqliteBudgetStore"]
