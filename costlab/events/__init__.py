"""What a request did and cost, and how those who want to know are told.

The router, or whatever else serves requests, makes one :class:`RequestEvent` a request and hands it to
:meth:`Hooks.emit`. A ledger's `append` and the metrics are hooks.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.events.hooks import Hook as Hook, HookFailure as HookFailure, Hooks as Hooks
    from costlab.events.request import (
        COLUMNS as COLUMNS,
        MAX_COUNT as MAX_COUNT,
        OUTCOMES as OUTCOMES,
        PARTS as PARTS,
        PRIORITIES as PRIORITIES,
        RARE_DEFAULTS as RARE_DEFAULTS,
        SERVICE_TIERS as SERVICE_TIERS,
        YEAR_10000_S as YEAR_10000_S,
        Column as Column,
        Outcome as Outcome,
        Priority as Priority,
        RequestEvent as RequestEvent,
        ServedAs as ServedAs,
        arrow_schema as arrow_schema,
    )
    from costlab.events.rounding import (
        micro_usd as micro_usd,
        micro_usd_column as micro_usd_column,
        rounded_up_pico_usd_column as rounded_up_pico_usd_column,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
