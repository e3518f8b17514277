"""Metrics beside a service: a process that reads the ledger which the service writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from costlab._internal import checks
from costlab.events import RequestEvent

__all__ = ["EventSource", "LedgerFollower"]


class EventSource(Protocol):
    """What can be followed: :class:`costlab.monitoring.ledger.Ledger`, or what has its one method."""

    def events(self, since_s: float) -> Iterable[RequestEvent]:
        """Events at or after a second."""


class LedgerFollower:
    """Tells a hook of each event that is new in a ledger.

    Parameters
    ----------
    ledger : EventSource
        What to read.
    hook : callable
        Is called with each event, once.
    since_s : float
        Events before this second are history and not told, >= 0.
    overlap_s : float
        How late an event may be written after a younger one, in seconds, > 0; later ones are missed. So long the names
        of requests are remembered.

    Examples
    --------
    >>> from costlab.events import RequestEvent
    >>> event = RequestEvent(
    ...     request_id="r-1", time_s=10.0, tier="small", model="m", input_tokens=1, output_tokens=1,
    ...     cost_micro_usd=1, latency_s=0.1, outcome="ok",
    ... )
    >>> class Written:
    ...     def events(self, since_s): return [event]
    >>> seen = []
    >>> follower = LedgerFollower(Written(), seen.append, since_s=0.0)
    >>> follower.poll(), follower.poll(), len(seen)
    (1, 0, 1)
    """

    def __init__(
        self,
        ledger: EventSource,
        hook: Callable[[RequestEvent], object],
        since_s: float,
        overlap_s: float = 300.0,
    ) -> None:
        self._ledger, self._hook = ledger, hook
        self._start = self._newest = checks.non_negative("since_s", since_s)
        self._overlap = checks.positive("overlap_s", overlap_s)
        self._told: dict[str, float] = {}

    def poll(self) -> int:
        """Tell the hook of what is new, and return how many events that were."""
        horizon = max(self._start, self._newest - self._overlap)
        new = 0
        for event in self._ledger.events(horizon):
            if event.request_id not in self._told:
                self._told[event.request_id] = event.time_s
                self._newest = max(self._newest, event.time_s)
                self._hook(event)
                new += 1
        horizon = max(self._start, self._newest - self._overlap)
        self._told = {name: time_s for name, time_s in self._told.items() if time_s >= horizon}
        return new
