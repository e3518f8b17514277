"""One piece of work for all who want the same at the same time, within one event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Finish = Callable[["CallOutcome"], None]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a request came out that the store had no answer to.

    Attributes
    ----------
    called, entry_key : bool, str
        Whether the answer came from a call, and not out of the store; the key that it is stored under.
    similarity, usd : float or None
        Of a semantic hit, None otherwise; what the model's call cost, now or when the answer was stored.
    value, error : object, Exception or None
        The answer, or what was raised instead of one.
    complete : bool
        Whether the answer is whole. One that was cut off is for no one but who called.
    """

    called: bool = False
    entry_key: str = ""
    similarity: float | None = None
    usd: float | None = None
    value: object = None
    error: Exception | None = None
    complete: bool = True


class SingleFlight:
    """Whoever comes first does the work, the leader; those who want the same meanwhile wait for the outcome.

    A leader that is cancelled abandons the work. No one else is cancelled with it: one of those who wait leads next.
    """

    def __init__(self) -> None:
        self._pending: dict[str, asyncio.Future[CallOutcome | None]] = {}

    async def run(self, key: str, lead: Callable[[Finish], Awaitable[CallOutcome]]) -> tuple[CallOutcome, bool]:
        """The outcome of the work called `key`, and whether someone else did it.

        `lead` does the work. It is given a function that tells those who wait the outcome, for when it has more to do
        afterwards. What it raises is raised for all who wait.
        """
        while (pending := self._pending.get(key)) is not None:
            # Without the shield one waiter's cancellation would cancel the future that all of them wait for.
            outcome = await asyncio.shield(pending)
            if outcome is not None:
                if outcome.error is not None:
                    raise outcome.error
                return outcome, True
        pending = self._pending[key] = asyncio.get_running_loop().create_future()

        def finish(outcome: CallOutcome | None) -> None:
            if not pending.done():
                pending.set_result(outcome)

        try:
            outcome = await lead(finish)
            finish(outcome)
        except Exception as error:
            finish(CallOutcome(error=error))
            raise
        finally:
            # Those who wait wake up after this, and find the place free if they have to lead themselves.
            del self._pending[key]
            finish(None)
        return outcome, False
