"""Budget reservations that a cancelled request neither keeps nor forgets to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from costlab.events import Priority

__all__ = ["Books", "Guard", "Reserved"]


class Reserved(Protocol):
    """An amount that a guard has set aside; both methods may be async or not."""

    def settle(self, actual_usd: float) -> Any:
        """Record what was spent."""
        ...

    def cancel(self) -> Any:
        """Give the amount back."""
        ...


class Guard(Protocol):
    """What a cascade asks of a budget guard; both methods may be async or not.

    :class:`costlab.monitoring.budget.AsyncBudgetGuard` has it. So has its plain twin, which holds up the event loop
    while its store answers: no matter in memory, too long on a server.
    """

    def reserve(self, estimate_usd: float, priority: Priority = "standard") -> Any:
        """Set an amount aside, or raise :class:`costlab.errors.BudgetExceeded`."""
        ...

    def record(self, actual_usd: float) -> Any:
        """Record spend that was not reserved."""
        ...


class Books:
    """Asks a guard, each time to the end: what was begun is finished even where the request is cancelled meanwhile.

    Parameters
    ----------
    guard : Guard
        Who keeps the books.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._under_way: set[asyncio.Future[Any]] = set()

    async def reserve(self, estimate_usd: float, priority: Priority) -> Reserved:
        """A reservation to settle; one that comes after the request was cancelled is given back."""
        made = self._guard.reserve(estimate_usd, priority)
        if not isawaitable(made):
            reserved: Reserved = made
            return reserved
        task = self._start(made)
        try:
            reserved = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._give_back)
            raise
        return reserved

    async def settle(self, reserved: Reserved, actual_usd: float) -> None:
        """Record what was spent of a reservation."""
        await self._finish(reserved.settle(actual_usd))

    async def record(self, actual_usd: float) -> None:
        """Record what was spent without a reservation."""
        await self._finish(self._guard.record(actual_usd))

    async def drain(self) -> None:
        """Wait until everything is written down."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _finish(self, said: Any) -> None:
        if isawaitable(said):
            await asyncio.shield(self._start(said))

    def _start(self, awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(awaitable)
        # The event loop itself holds tasks weakly only.
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _give_back(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            said = task.result().cancel()
            if isawaitable(said):
                self._start(said)
