"""The company's day as its own logs have it: requests as events, and hours of GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from costlab.capstone.plan import TODAY, Api, CascadeServing
from costlab.capstone.replay import replay_day
from costlab.capstone.terms import MAX_UTILIZATION_FRACTION, gpu_rates_usd_per_hour
from costlab.events import PRIORITIES
from costlab.synthetic import ENDPOINTS, SAMPLE_START_S, event_table, gpu_hours_table
from costlab.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    import pyarrow

    from costlab.synthetic import RequestLog

#: Length of a row of the GPUs' log.
INTERVAL_S: Final = 300.0


def request_table(log: RequestLog) -> pyarrow.Table:
    """The day as the company's ledger has it: each request with what it cost today.

    The column ``tier`` has the endpoint, ``tenant`` the client. Requests to the company's own GPUs cost
    nothing here; their hours are in :func:`gpu_table`.
    The day becomes the 5th of January 2026.
    """
    cost, latency = np.zeros(len(log)), np.zeros(len(log))
    for served in replay_day(TODAY, log).endpoints.values():
        cost[served.rows], latency[served.rows] = served.usd, served.latency_s
    nothing = np.zeros(len(log), dtype=np.int64)
    return event_table(
        0,
        time_s=SAMPLE_START_S + log.time_s,
        tier=(log.endpoint, [about.name for about in ENDPOINTS]),
        model=(log.endpoint, [_model(about.name) for about in ENDPOINTS]),
        input_tokens=log.input_tokens,
        cached_input_tokens=nothing,
        output_tokens=log.output_tokens,
        cost_usd=cost,
        latency_s=np.round(latency, 6),
        outcome=(nothing, ["ok"]),
        tenant=(log.client, log.clients),
        conversion_value_usd=np.full(len(log), np.nan),
        priority=(nothing, [PRIORITIES[1]]),
    )


def _model(name: str) -> str:
    serve = TODAY.endpoints[name].serve
    if isinstance(serve, CascadeServing):
        return serve.tiers[-1]
    return serve.model if isinstance(serve, Api) else TODAY.fleets[serve.fleet].model


def gpu_table(log: RequestLog) -> pyarrow.Table:
    """Hours of the company's eight GPUs on the day, in rows of five minutes: the first ones do what there is to do."""
    name, fleet = next(iter(TODAY.fleets.items()))
    rate = replay_day(TODAY, log).fleets[name].requests_per_s
    steps = int(SECONDS_PER_DAY / INTERVAL_S)
    asked = np.bincount((log.time_s[log.of("search")] // INTERVAL_S).astype(int), minlength=steps) / INTERVAL_S
    # A replica takes over when the one before it is full.
    taken = (asked / rate["search"])[:, None] - MAX_UTILIZATION_FRACTION * np.arange(fleet.always_on)
    busy = np.clip(taken, 0.0, MAX_UTILIZATION_FRACTION)
    usd_per_hour = gpu_rates_usd_per_hour(fleet.gpu)["on_demand"]
    return gpu_hours_table("a100", SAMPLE_START_S + np.arange(steps) * INTERVAL_S, INTERVAL_S, usd_per_hour, busy)
