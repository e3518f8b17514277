"""What a request did and cost, and how those who want to know are told.

The router, or whatever else serves requests, makes one :class:`RequestEvent` a request and hands it to
:meth:`Hooks.emit`. Ledger, metrics and alerts are hooks.
"""

from costlab.events.hooks import Hook, HookFailure, Hooks
from costlab.events.request import (
    COLUMNS,
    OUTCOMES,
    PRIORITIES,
    Column,
    Outcome,
    Priority,
    RequestEvent,
    Value,
    arrow_schema,
)
from costlab.events.rounding import MAX_MICRO_USD, micro_usd, micro_usd_column

__all__ = [
    "COLUMNS",
    "MAX_MICRO_USD",
    "OUTCOMES",
    "PRIORITIES",
    "Column",
    "Hook",
    "HookFailure",
    "Hooks",
    "Outcome",
    "Priority",
    "RequestEvent",
    "Value",
    "arrow_schema",
    "micro_usd",
    "micro_usd_column",
]
