"""Budget reservations that a cancelled request neither keeps nor forgets to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from costlab.events import Priority

T = TypeVar("T")


class BudgetReservationLike(Protocol):
    """An amount that a budget guard has set aside; both methods may be async or not."""

    def settle(self, actual_usd: float) -> object:
        """Record what was spent."""
        ...

    def release(self) -> object:
        """Give the amount back: nothing was sent."""
        ...


class BudgetGuardLike(Protocol):
    """What a cascade asks of a budget guard; both methods may be async or not.

    :class:`costlab.monitoring.budget.AsyncBudgetGuard` has it. So has its plain twin, which holds up the event loop
    while its store answers: no matter in memory, too long on a server.
    """

    def reserve(
        self, estimate_usd: float, priority: Priority = "standard"
    ) -> BudgetReservationLike | Awaitable[BudgetReservationLike]:
        """Set an amount aside, or raise :class:`costlab.errors.BudgetExceeded`."""
        ...

    def record(self, actual_usd: float) -> object:
        """Record spend that was not reserved."""
        ...


class BudgetedCalls:
    """Asks a guard, each time to the end: what was begun is finished even where the request is cancelled meanwhile."""

    def __init__(self, guard: BudgetGuardLike) -> None:
        self._guard = guard
        self._under_way: set[asyncio.Future[Any]] = set()

    async def reserve(self, estimate_usd: float, priority: Priority) -> BudgetReservationLike:
        """A reservation to settle; one that comes after the request was cancelled is given back."""
        reservation = self._guard.reserve(estimate_usd, priority)
        if not isinstance(reservation, Awaitable):
            return reservation
        task = self._start(reservation)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._give_back)
            raise

    async def settle(self, reservation: BudgetReservationLike, actual_usd: float) -> None:
        """Record what was spent of a reservation."""
        await self._finish(reservation.settle(actual_usd))

    async def record(self, actual_usd: float) -> None:
        """Record what was spent without a reservation."""
        await self._finish(self._guard.record(actual_usd))

    async def drain(self) -> None:
        """Wait until everything is written down."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _finish(self, result: object) -> None:
        if isinstance(result, Awaitable):
            await asyncio.shield(self._start(result))

    def _start(self, awaitable: Awaitable[T]) -> asyncio.Future[T]:
        task = asyncio.ensure_future(awaitable)
        # The event loop itself holds tasks weakly only.
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _give_back(self, task: asyncio.Future[BudgetReservationLike]) -> None:
        if not task.cancelled() and task.exception() is None:
            result = task.result().release()
            if isinstance(result, Awaitable):
                self._start(result)
