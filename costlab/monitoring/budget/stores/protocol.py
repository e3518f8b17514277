"""What a guard needs of a store."""

from typing import Protocol

from costlab.monitoring.budget.limits import Account, Limits
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Close, Restart

__all__ = ["BudgetStore"]


class BudgetStore(Protocol):
    """Keeps the books of one budget; each method decides and writes in one step that nobody else can come between.

    The methods that begin with ``a`` are the same for an event loop. All raise
    :class:`~costlab.errors.BudgetStoreError` where the store cannot be asked.
    """

    def reserve(self, limits: Limits, ask: Ask) -> Answer:
        """Reserve an amount, if it fits; the same ask again changes nothing."""

    def close(self, limits: Limits, said: Close) -> Answer:
        """Settle or give up a reservation; the same again changes nothing."""

    def restart(self, limits: Limits, ask: Restart) -> Answer:
        """End the emergency stop."""

    def read(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """The limit that stopped the budget, or the empty string, and the accounts of a day and a month."""

    def audit(self) -> tuple[AuditEntry, ...]:
        """The audit trail, the oldest entry first."""

    async def areserve(self, limits: Limits, ask: Ask) -> Answer:
        """As :meth:`reserve`."""

    async def aclose(self, limits: Limits, said: Close) -> Answer:
        """As :meth:`close`."""

    async def arestart(self, limits: Limits, ask: Restart) -> Answer:
        """As :meth:`restart`."""

    async def aread(self, now_s: float, day: str, month: str) -> tuple[str, tuple[Account, Account]]:
        """As :meth:`read`."""

    async def aaudit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`audit`."""
