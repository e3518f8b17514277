"""When to ask a store again that failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from costlab._internal import checks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Lets every attempt through while all is well; after a failure one at a time, ever more seldom.

    Parameters
    ----------
    first_s : float
        Seconds after the first failure until the next attempt, > 0. Doubled by each further failure.
    longest_s : float
        The most it grows to.
    clock : callable
        Seconds, never going back.

    Examples
    --------
    A store fails. May it be asked again at once, and after a second?

    >>> now = 0.0
    >>> breaker = CircuitBreaker(first_s=1.0, clock=lambda: now)
    >>> breaker.failed(breaker.ticket())
    >>> breaker.ticket() is None
    True
    >>> now = 1.0
    >>> breaker.ticket() is None
    False
    """

    __slots__ = ("_clock", "_delay_s", "_first_s", "_longest_s", "_next_at", "_round")

    def __init__(
        self, first_s: float = 0.1, longest_s: float = 30.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_s = checks.positive("first_s", first_s)
        self._longest_s = checks.positive("longest_s", longest_s)
        self._clock = clock
        self._delay_s = 0.0
        self._next_at = 0.0
        self._round = 1

    @property
    def closed(self) -> bool:
        """Whether all is well, as far as is known."""
        return self._delay_s == 0.0

    def ticket(self) -> int | None:
        """A ticket for one attempt, or None where it is too early; hand it back to :meth:`succeeded` or :meth:`failed`.

        An attempt that never reports back costs nothing but its turn: the next is let through after the same delay.
        """
        if self._delay_s:
            now = self._clock()
            if now < self._next_at:
                return None
            self._next_at = now + self._delay_s
        return self._round

    def succeeded(self, ticket: int | None) -> None:
        """The attempt was answered: all is well again, unless it began before the last failure."""
        if self._delay_s and ticket == self._round:
            self._delay_s = 0.0

    def failed(self, ticket: int | None) -> None:
        """The attempt failed. Of attempts that were under way together only the first lengthens the delay."""
        if ticket == self._round:
            self._round += 1
            self._delay_s = min(self._longest_s, 2 * self._delay_s or self._first_s)
            self._next_at = self._clock() + self._delay_s
