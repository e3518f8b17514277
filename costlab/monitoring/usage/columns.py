"""The columns of a usage log and of a log of GPU hours, and the errors that name them.

A usage log has the fields of :class:`costlab.events.RequestEvent` as columns, a row a request. Ledger, sample log and
importers all write them, and every figure is computed from them.
"""

from typing import Any, Final

from costlab.errors import CostlabError, near_names
from costlab.events import RequestEvent

__all__ = ["DEFAULTS", "FAILED", "GPU_COLUMNS", "REQUIRED", "UsageError", "require_columns"]

#: What no figure can do without. `cost_micro_usd` may be null where a request has no price, but the column is there:
#: a log that lost it must not look like one without prices.
REQUIRED: Final = ("time_s", "tier", "model", "input_tokens", "output_tokens", "cost_micro_usd")

#: What may be absent, and what is then assumed of every request.
DEFAULTS: Final[dict[str, Any]] = {
    "request_id": None,
    "cached_input_tokens": 0,
    "latency_s": None,
    "outcome": "ok",
    "tenant": "",
    "conversion_value_micro_usd": None,
    "priority": "standard",
}

#: Outcomes of requests that were perhaps paid for and brought nothing.
FAILED: Final = ("error", "timeout", "cancelled")

#: A row is one GPU over one stretch of time: when it began (seconds since 1970 UTC), the GPU's name, its length in
#: hours, the price of an hour, and the mean share of the time in which the GPU computed, in 0..1, null where unknown.
GPU_COLUMNS: Final = ("time_s", "gpu", "hours", "usd_per_hour", "utilization_fraction")

assert set(REQUIRED) | set(DEFAULTS) == set(RequestEvent.field_names())  # noqa: S101 - a new field must be decided on


class UsageError(CostlabError, ValueError):
    """A usage log that cannot be read or counted; the message names the column, or the rows and what they should be."""


def require_columns(what: str, present: list[str], needed: tuple[str, ...], hint: str = "") -> None:
    """Raise unless every needed column is present, naming the absent ones and what they may be called instead."""
    missing = [name for name in needed if name not in present]
    if not missing:
        return
    near = {name: near_names(name, {one: one for one in present if one not in needed}) for name in missing}
    guesses = [f"{name}={found[0]}" for name, found in near.items() if found]
    words = f"{what} has no column {', '.join(repr(name) for name in missing)}; it has {', '.join(present)}"
    if guesses and hint:
        words += f"; {hint} {' '.join(guesses)}"
    raise UsageError(words)
