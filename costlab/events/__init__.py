"""What a request did and cost, and how those who want to know are told.

The router, or whatever else serves requests, makes one :class:`RequestEvent` a request and hands it to
:meth:`Hooks.emit`. Ledger, metrics and alerts are hooks.
"""

from costlab.events.hooks import Hook, HookFailure, Hooks
from costlab.events.request import OUTCOMES, PRIORITIES, Outcome, Priority, RequestEvent, micro_usd

__all__ = [
    "OUTCOMES",
    "PRIORITIES",
    "Hook",
    "HookFailure",
    "Hooks",
    "Outcome",
    "Priority",
    "RequestEvent",
    "micro_usd",
]
