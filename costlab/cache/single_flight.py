"""One piece of work for all who want the same at the same time, within one event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CallOutcome", "PendingCall", "SingleFlight"]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a request came out that the store had no answer to.

    Attributes
    ----------
    called : bool
        Whether the answer came from a call, and not out of the store.
    entry_key : str
        The key that it is stored under.
    similarity : float or None
        Of a semantic hit; None otherwise.
    usd : float or None
        What the model's call cost, now or when the answer was stored.
    value : object
        The answer.
    error : Exception or None
        What was raised instead of an answer.
    """

    called: bool = False
    entry_key: str = ""
    similarity: float | None = None
    usd: float | None = None
    value: object = None
    error: Exception | None = None


class PendingCall:
    """Work under way, and those who wait for its outcome."""

    __slots__ = ("_outcome", "_waiter")

    def __init__(self) -> None:
        self._outcome: CallOutcome | None = None
        self._waiter: asyncio.Future[CallOutcome | None] | None = None

    def finish(self, outcome: CallOutcome) -> None:
        """Tell everybody the outcome, those included who come later; only the first time counts."""
        if self._outcome is None:
            self._outcome = outcome
            self._wake(outcome)

    def abandon(self) -> None:
        """Tell those who wait that there will be no outcome; nothing, if there was one."""
        self._wake(None)

    async def wait(self) -> CallOutcome | None:
        """The outcome, or None where the work was abandoned."""
        if self._outcome is not None:
            return self._outcome
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        # Without the shield one waiter's cancellation would cancel the future that all of them wait for.
        return await asyncio.shield(self._waiter)

    def _wake(self, outcome: CallOutcome | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(outcome)


class SingleFlight:
    """Whoever comes first does the work, the leader; those who want the same meanwhile wait for the outcome.

    A leader that is cancelled abandons the work. Nobody else is cancelled with it: one of those who wait leads next.
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[str, PendingCall] = {}

    async def run(self, key: str, lead: Callable[[PendingCall], Awaitable[CallOutcome]]) -> tuple[CallOutcome, bool]:
        """The outcome of the work called `key`, and whether somebody else did it.

        `lead` does the work, and may finish the pending call before it is done itself. What it raises is raised for all
        who waited.
        """
        while (pending := self._pending.get(key)) is not None:
            outcome = await pending.wait()
            if outcome is not None:
                if outcome.error is not None:
                    raise outcome.error
                return outcome, True
        pending = self._pending[key] = PendingCall()
        try:
            outcome = await lead(pending)
            pending.finish(outcome)
            return outcome, False
        except Exception as error:
            pending.finish(CallOutcome(error=error))
            raise
        finally:
            # Those who wait wake up after this, and find the place free if they have to lead themselves.
            del self._pending[key]
            pending.abandon()
