"""One piece of work for all who want the same at the same time, within one event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

__all__ = ["Flight", "Landing"]


@dataclass(frozen=True, slots=True)
class Landing:
    """How the work of a flight came out.

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
    value : Any
        The answer.
    error : Exception or None
        What was raised instead of an answer.
    """

    called: bool = False
    entry_key: str = ""
    similarity: float | None = None
    usd: float | None = None
    value: Any = None
    error: Exception | None = None


class Flight:
    """Whoever comes first does the work and lands; the others wait for the landing.

    A leader that is cancelled abandons the flight. Nobody else is cancelled with it: one of those who wait leads next.
    """

    __slots__ = ("_landing", "_waiter")

    def __init__(self) -> None:
        self._landing: Landing | None = None
        self._waiter: asyncio.Future[Landing | None] | None = None

    def land(self, landing: Landing) -> None:
        """Tell everybody the outcome, those included who come later; only the first time counts."""
        if self._landing is None:
            self._landing = landing
            self._wake(landing)

    def abandon(self) -> None:
        """Tell those who wait that there will be no outcome; nothing, if there was one."""
        self._wake(None)

    async def wait(self) -> Landing | None:
        """The outcome, or None where the flight was abandoned."""
        if self._landing is not None:
            return self._landing
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        # Without the shield one waiter's cancellation would cancel the future that all of them wait for.
        return await asyncio.shield(self._waiter)

    def _wake(self, landing: Landing | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(landing)
