"""Amounts that are set aside until it is known what was spent."""

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Literal, Self

from costlab.errors import BudgetReservationError
from costlab.events import Priority, micro_usd
from costlab.monitoring.budget.records import Ask, Close

__all__ = ["AsyncReservation", "Reservation", "Reserving"]


class BaseReservation:
    """What a guard set aside.

    Attributes
    ----------
    ask : Ask
        What was asked for.
    guarded : bool
        Whether it stands in the books; False where the store could not be reached and the policy allows that.
    state : {'open', 'settled', 'cancelled'}
        What became of it.
    actual_micro_usd : int or None
        What was spent, in micro-dollars, once it is settled.
    """

    __slots__ = ("actual_micro_usd", "ask", "guarded", "state")

    def __init__(self, ask: Ask, guarded: bool) -> None:
        self.ask = ask
        self.guarded = guarded
        self.state: Literal["open", "settled", "cancelled"] = "open"
        self.actual_micro_usd: int | None = None

    @property
    def estimate_micro_usd(self) -> int:
        """What is set aside, in micro-dollars."""
        return self.ask.amount_micro_usd

    @property
    def priority(self) -> Priority:
        """Whose turn it is when money runs short."""
        return self.ask.priority

    def _end(self, actual_micro_usd: int | None, now_s: float) -> Close:
        """What is to be said to the store."""
        if self.state != "open":
            raise BudgetReservationError(f"this reservation was {self.state} already")
        self.state = "cancelled" if actual_micro_usd is None else "settled"
        self.actual_micro_usd = actual_micro_usd
        ask = self.ask
        return Close(
            ask.token, actual_micro_usd, now_s, ask.day, ask.month, ask.amount_micro_usd, False, not self.guarded
        )


class Reservation(BaseReservation):
    """What :meth:`BudgetGuard.reserve` set aside; a ``with`` block closes it at its end.

    Notes
    -----
    A block that ends without :meth:`settle` is settled at the estimate, because the money was probably spent; one that
    ends with an exception is cancelled. A call that fails and is billed all the same is settled where the exception is
    caught, inside the block.
    """

    __slots__ = ("_clock", "_say")

    def __init__(self, ask: Ask, guarded: bool, say: Callable[[Close], None], clock: Callable[[], float]) -> None:
        super().__init__(ask, guarded)
        self._say, self._clock = say, clock

    def settle(self, actual_usd: float) -> None:
        """Record what was spent, in USD, >= 0: in full, also where it is above the estimate or a limit.

        Raises
        ------
        InvalidValueError
            If the amount is negative or not finite.
        BudgetReservationError
            If it was settled or cancelled before.
        """
        self._say(self._end(micro_usd("actual_usd", actual_usd), self._clock()))

    def cancel(self) -> None:
        """Give the amount back: nothing was spent.

        Raises
        ------
        BudgetReservationError
            If it was settled or cancelled before.
        """
        self._say(self._end(None, self._clock()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.state == "open":
            self._say(self._end(self.ask.amount_micro_usd if kind is None else None, self._clock()))


class AsyncReservation(BaseReservation):
    """As :class:`Reservation`, for an event loop."""

    __slots__ = ("_clock", "_say")

    def __init__(
        self, ask: Ask, guarded: bool, say: Callable[[Close], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        super().__init__(ask, guarded)
        self._say, self._clock = say, clock

    async def settle(self, actual_usd: float) -> None:
        """As :meth:`Reservation.settle`."""
        await self._say(self._end(micro_usd("actual_usd", actual_usd), self._clock()))

    async def cancel(self) -> None:
        """As :meth:`Reservation.cancel`."""
        await self._say(self._end(None, self._clock()))

    async def close(self, failed: bool) -> None:
        """What the end of an ``async with`` block does where nothing was settled."""
        if self.state == "open":
            await self._say(self._end(None if failed else self.ask.amount_micro_usd, self._clock()))


class Reserving:
    """A reservation about to be made: ``async with guard.reserve(...) as r`` or ``r = await guard.reserve(...)``."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Awaitable[AsyncReservation]]) -> None:
        self._make = make
        self._made: AsyncReservation | None = None

    def __await__(self) -> Generator[Any, None, AsyncReservation]:
        return self._make().__await__()

    async def __aenter__(self) -> AsyncReservation:
        self._made = await self._make()
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            await self._made.close(failed=kind is not None)
