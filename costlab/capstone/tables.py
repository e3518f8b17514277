"""The company's day as its own logs have it: requests as events, and hours of GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab._internal.extras import require
from costlab.capstone.company import ENDPOINTS, MAX_UTILIZATION_FRACTION
from costlab.capstone.fleets import gpu_rates_usd_per_hour
from costlab.capstone.plan import TODAY, Api, Cascade
from costlab.capstone.replay import hits_of, replay
from costlab.capstone.score import fleet_bills
from costlab.events import PRIORITIES
from costlab.synthetic.sample_log import SAMPLE_START_S, text_column
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from costlab.vectorized import micro_usd_rows

if TYPE_CHECKING:
    from costlab.capstone.log import RequestLog

__all__ = ["gpu_table", "request_table"]

#: Length of a row of the GPUs' log.
INTERVAL_S: Final = 300.0


def request_table(log: RequestLog) -> Any:
    """The day as the company's ledger has it: each request with what it cost today.

    The endpoint stands in the column ``tier``, the client in ``tenant``. Requests to the company's own GPUs cost
    nothing here; their hours are in :func:`gpu_table`.

    Parameters
    ----------
    log : RequestLog
        The day; it becomes the 5th of January 2026.

    Returns
    -------
    pyarrow.Table
        The columns of :class:`costlab.events.RequestEvent`, in the order of time.

    Raises
    ------
    MissingExtraError
        If ``pyarrow`` is not installed.
    """
    pyarrow = require("pyarrow", "usage")
    cost, latency = np.zeros(len(log)), np.zeros(len(log))
    own = fleet_bills(TODAY, log)
    for one in ENDPOINTS:
        played = replay(log, one, TODAY, hits_of(log, one.name, TODAY.routes[one.name]), own)
        cost[played.rows], latency[played.rows] = played.usd, played.latency_s

    count, nothing = len(log), np.zeros(len(log), dtype=np.int64)
    return pyarrow.table(
        {
            "request_id": [f"r-{number}" for number in range(count)],
            "time_s": SAMPLE_START_S + log.time_s,
            "tier": text_column(log.endpoint, [one.name for one in ENDPOINTS]),
            "model": text_column(log.endpoint, [_model(one.name) for one in ENDPOINTS]),
            "input_tokens": log.input_tokens,
            "cached_input_tokens": nothing,
            "output_tokens": log.output_tokens,
            "cost_micro_usd": micro_usd_rows(cost),
            "latency_s": np.round(latency, 6),
            "outcome": text_column(nothing, ["ok"]),
            "tenant": text_column(log.client, list(log.clients)),
            "conversion_value_micro_usd": pyarrow.nulls(count, pyarrow.int64()),
            "priority": text_column(nothing, [PRIORITIES[1]]),
        }
    )


def _model(name: str) -> str:
    serve = TODAY.routes[name].serve
    if isinstance(serve, Cascade):
        return serve.tiers[-1]
    return serve.model if isinstance(serve, Api) else TODAY.fleets[serve.fleet].model


def gpu_table(log: RequestLog) -> Any:
    """Hours of the company's eight GPUs on the day, in rows of five minutes: the first ones do what there is to do.

    Parameters
    ----------
    log : RequestLog
        The day.

    Returns
    -------
    pyarrow.Table
        The columns of ``costlab.monitoring.usage.GPU_COLUMNS``.

    Raises
    ------
    MissingExtraError
        If ``pyarrow`` is not installed.
    """
    pyarrow = require("pyarrow", "usage")
    name, fleet = next(iter(TODAY.fleets.items()))
    rate = fleet_bills(TODAY, log)[name].requests_per_s
    steps = int(SECONDS_PER_DAY / INTERVAL_S)
    rows = log.of("search")
    asked = np.bincount((log.time_s[rows] // INTERVAL_S).astype(int), minlength=steps) / INTERVAL_S
    load = asked / rate["search"]
    gpus = np.arange(fleet.always_on)
    # A replica takes over when the one before it is full.
    busy = np.clip(load[:, None] - MAX_UTILIZATION_FRACTION * gpus, 0.0, MAX_UTILIZATION_FRACTION)
    return pyarrow.table(
        {
            "time_s": np.repeat(SAMPLE_START_S + np.arange(steps) * INTERVAL_S, len(gpus)),
            "gpu": [f"a100-{gpu}" for gpu in gpus] * steps,
            "hours": np.full(steps * len(gpus), INTERVAL_S / SECONDS_PER_HOUR),
            "usd_per_hour": np.full(steps * len(gpus), gpu_rates_usd_per_hour(fleet.gpu)["on_demand"]),
            "utilization_fraction": np.round(busy.ravel(), 4),
        }
    )
