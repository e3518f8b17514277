"""Events as a data frame, for figures from a ledger or from a list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from costlab._internal.extras import require
from costlab.events import RequestEvent

__all__ = ["event_frame"]


def event_frame(events: Iterable[RequestEvent]) -> Any:
    """Events as a data frame with the fields as columns: what :func:`usage` and the alerts' figures are made from.

    Parameters
    ----------
    events : iterable of RequestEvent
        For example ``Ledger.events()``; they are held in memory. A large ledger is better written with
        ``Ledger.to_parquet`` and read with :func:`costlab.monitoring.importers.open_log`.

    Returns
    -------
    pyarrow.Table
        With the right types also where all costs are unknown, or where there are no events.

    Raises
    ------
    MissingExtraError
        If ``pyarrow`` is not installed.

    Examples
    --------
    What did two requests cost, of which one has no price?

    >>> from costlab.monitoring.usage import usage
    >>> plain = dict(
    ...     time_s=0.0, tier="large", model="gpt-4o", input_tokens=400, output_tokens=200, latency_s=0.6, outcome="ok",
    ... )
    >>> events = [
    ...     RequestEvent(request_id="a", cost_micro_usd=3000, **plain),
    ...     RequestEvent(request_id="b", cost_micro_usd=None, **plain),
    ... ]
    >>> (total,) = usage(event_frame(events))
    >>> total.cost_usd, total.unpriced_requests
    (0.003, 1)
    """
    pyarrow = require("pyarrow", "usage")
    number, text = pyarrow.float64(), pyarrow.string()
    kinds = {"time_s": number, "latency_s": number}
    kinds |= dict.fromkeys(("request_id", "tier", "model", "outcome", "tenant", "priority"), text)
    names = RequestEvent.field_names()
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in names])
    columns = list(zip(*(event.as_row() for event in events), strict=True)) or [()] * len(names)
    return pyarrow.table(dict(zip(names, columns, strict=True)), schema=schema)
