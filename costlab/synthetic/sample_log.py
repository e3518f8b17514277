"""A made-up log of a service that looks like a real one: to try the report, the alerts and the lessons on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.catalog import api_price, gpu_price
from costlab.units import HOURS_PER_DAY, MICRO_USD_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR
from costlab.vectorized import micro_usd_rows
from costlab.workload import Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SAMPLE_START_S", "SampleTier", "sample_gpu_hours", "sample_log", "text_column"]

#: Midnight UTC before Monday the 5th of January 2026.
SAMPLE_START_S: Final = 1_767_571_200.0


@dataclass(frozen=True, slots=True)
class SampleTier:
    """A tier of the sample service.

    Attributes
    ----------
    name, model : str
        Tier and model. A model that `usd_per_request` does not price is priced by the catalogue.
    share : float
        Part of the requests that it serves.
    latency_s : float
        Median latency in seconds.
    usd_per_request : float or None
        A flat cost, where there is one.
    """

    name: str
    model: str
    share: float
    latency_s: float
    usd_per_request: float | None = None


#: Shares, latencies and flat costs as in the source lesson (S7); the two upper tiers are priced by the token.
TIERS: Final = (
    SampleTier("cache", "response-cache", 0.30, 0.002, 0.00001),
    SampleTier("small", "distilbert-classifier", 0.40, 0.010, 0.0005),
    SampleTier("medium", "gpt-4o-mini", 0.20, 0.050),
    SampleTier("large", "gpt-4o", 0.10, 0.500),
)

#: Median and log-spread of tokens in and out, from the Azure LLM trace of conversations: p50 and p99 are 1,020 and
#: 4,142 in, 129 and 601 out.
INPUT_TOKENS: Final = (1020, 0.602)
OUTPUT_TOKENS: Final = (129, 0.661)

#: What a machine's memory holds, and what anybody looks at.
MAX_REQUESTS: Final = 100_000_000
MAX_DAYS: Final = 3_660
MAX_GPUS: Final = 10_000


def sample_log(
    rng: np.random.Generator,
    requests: int = 100_000,
    *,
    days: int = 7,
    tenants: int = 8,
    unpriced_fraction: float = 0.01,
    conversion_fraction: float = 0.01,
    runaway: bool = False,
    start_s: float = SAMPLE_START_S,
) -> Any:
    """A log of requests: four tiers, tenants of unequal size, busy afternoons, quiet weekends.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random: the same seed gives the same log.
    requests : int
        Rows, in 1..100,000,000; a runaway client's requests come on top.
    days : int
        Days covered, in 1..3,660.
    tenants : int
        Teams that share the service, in 1..99; each is smaller than the one before.
    unpriced_fraction : float
        Share of the medium tier's requests that go to a model without a price.
    conversion_fraction : float
        Share of the answered requests that lead to a conversion.
    runaway : bool
        Whether the third tenant's client gets into a loop on the last day at 14:00 UTC, for two hours: it sends long
        requests to the large tier, as many as a fifth of an average day has.
    start_s : float
        The first second, since 1970-01-01 UTC.

    Returns
    -------
    pyarrow.Table
        The columns of :class:`costlab.events.RequestEvent`, in the order of time.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    MissingExtraError
        If ``pyarrow`` is not installed.

    Examples
    --------
    How many of 1,000 requests were answered by the tiers?

    >>> import numpy as np
    >>> log = sample_log(np.random.default_rng(0), 1000, days=1)
    >>> dict(sorted((one["values"], one["counts"]) for one in log["tier"].value_counts().to_pylist()))
    {'cache': 326, 'large': 106, 'medium': 186, 'small': 382}
    """
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    checks.integer("days", days, 1, MAX_DAYS)
    checks.integer("tenants", tenants, 1, 99)
    checks.fraction("unpriced_fraction", unpriced_fraction)
    checks.fraction("conversion_fraction", conversion_fraction)
    pyarrow = require("pyarrow", "usage")
    times = start_s + _times(rng, requests, days, start_s)
    tier = rng.choice(len(TIERS), requests, p=[one.share for one in TIERS])
    weights = 1.0 / np.arange(1, tenants + 1)
    tenant = rng.choice(tenants, requests, p=weights / weights.sum())
    looped = np.zeros(requests, dtype=bool)
    if runaway:
        extra = max(1, requests // days // 5)
        times = np.concatenate(
            [times, start_s + (days - 1) * SECONDS_PER_DAY + 14 * SECONDS_PER_HOUR + rng.uniform(0, 7200, extra)]
        )
        tier = np.concatenate([tier, np.full(extra, len(TIERS) - 1)])
        tenant = np.concatenate([tenant, np.full(extra, min(2, tenants - 1))])
        looped = np.concatenate([looped, np.ones(extra, dtype=bool)])
    order = np.argsort(times, kind="stable")
    return _table(
        pyarrow,
        rng,
        times[order],
        tier[order],
        tenant[order],
        looped[order],
        (unpriced_fraction, conversion_fraction),
        tenants,
    )


def _times(rng: np.random.Generator, requests: int, days: int, start_s: float) -> NDArray[np.float64]:
    """Seconds from the start: an hour of the curve each, at random within the hour, weekends at 40 %."""
    curve = np.array(Workload(1.0, input_tokens=1.0, peak_to_mean=2.0).hourly_requests_per_s())
    weekday = (int(start_s // SECONDS_PER_DAY) + 3 + np.arange(days)) % 7  # 1 January 1970 was a Thursday
    weights = np.outer(np.where(weekday >= 5, 0.4, 1.0), curve).ravel()
    counts = rng.multinomial(requests, weights / weights.sum())
    hours = np.repeat(np.arange(days * HOURS_PER_DAY), counts)
    seconds: NDArray[np.float64] = np.floor(1000 * (hours + rng.random(requests)) * SECONDS_PER_HOUR) / 1000
    return seconds


def _table(
    pyarrow: Any,
    rng: np.random.Generator,
    times: NDArray[np.float64],
    tier: NDArray[Any],
    tenant: NDArray[Any],
    looped: NDArray[np.bool_],
    fractions: tuple[float, float],
    tenants: int,
) -> Any:
    unpriced_fraction, conversion_fraction = fractions
    rows = len(times)
    upper, medium = tier >= 2, tier == 2
    tokens_in = np.maximum(1, rng.lognormal(np.log(INPUT_TOKENS[0]), INPUT_TOKENS[1], rows)).astype(np.int64)
    tokens_in[looped] *= 8  # a loop drags its whole history along
    tokens_out = np.maximum(1, rng.lognormal(np.log(OUTPUT_TOKENS[0]), OUTPUT_TOKENS[1], rows)).astype(np.int64)
    # Every other team keeps the beginning of its prompts the same; prompt caches work in blocks of 128 tokens.
    steady = upper & (tenant % 2 == 1)
    cached = np.where(steady & (rng.random(rows) < 0.7), tokens_in // 2 // 128 * 128, 0)
    outcome = np.where(tier == 0, 1, rng.choice([0, 2, 3, 4, 5], rows, p=[0.984, 0.006, 0.005, 0.003, 0.002]))
    unserved = (outcome == 2) | (outcome == 4)  # an error or a refusal: no answer, no bill
    tokens_out[unserved] = 0
    cached[unserved] = 0
    unpriced = medium & (rng.random(rows) < unpriced_fraction) & ~unserved
    cost = np.zeros(rows)
    for number, one in enumerate(TIERS):
        here = (tier == number) & ~unserved
        if one.usd_per_request is not None:
            cost[here] = one.usd_per_request
        else:
            cost[here] = api_price(one.model).usd(tokens_in[here], tokens_out[here], cached[here])
    micro = micro_usd_rows(cost)
    latency = np.array([one.latency_s for one in TIERS])[tier] * rng.lognormal(0.0, 0.4, rows)
    latency += np.where(upper, tokens_out * 0.008, 0.0)  # 125 tokens a second
    latency[outcome == 3] = 30.0
    converted = (outcome <= 1) & ~looped & (rng.random(rows) < conversion_fraction)
    value = (rng.lognormal(np.log(4.0), 0.8, rows) * 100).astype(np.int64) * (MICRO_USD_PER_USD // 100)
    models = [one.model for one in TIERS] + ["in-house-llm"]

    digits = pyarrow.array(np.arange(rows) + int(times[0]) * 1000).cast(pyarrow.string())
    prefix = pyarrow.scalar("r-")
    return pyarrow.table(
        {
            "request_id": require("pyarrow.compute", "usage").binary_join_element_wise(prefix, digits, ""),
            "time_s": times,
            "tier": text_column(tier, [one.name for one in TIERS]),
            "model": text_column(np.where(unpriced, len(TIERS), tier), models),
            "input_tokens": tokens_in,
            "cached_input_tokens": cached,
            "output_tokens": tokens_out,
            "cost_micro_usd": pyarrow.array(micro, mask=unpriced),
            "latency_s": np.round(latency, 6),
            "outcome": text_column(outcome, ["ok", "cached", "error", "timeout", "refused", "cancelled"]),
            "tenant": text_column(tenant, [f"team-{number:02}" for number in range(1, tenants + 1)]),
            "conversion_value_micro_usd": pyarrow.array(value, mask=~converted),
            "priority": text_column((tenant % 3 == 2).astype(int), ["standard", "batch"]),
        }
    )


def text_column(codes: NDArray[Any], texts: list[str]) -> Any:
    """A pyarrow array of texts, from the place of each in `texts`."""
    pyarrow = require("pyarrow", "usage")
    return pyarrow.DictionaryArray.from_arrays(codes.astype(np.int32), texts).cast(pyarrow.string())


def sample_gpu_hours(
    rng: np.random.Generator,
    *,
    days: int = 7,
    gpus: int = 4,
    interval_s: float = 300.0,
    usd_per_hour: float | None = None,
    start_s: float = SAMPLE_START_S,
) -> Any:
    """A log of GPU hours beside :func:`sample_log`: busy by day, and the last GPU forgotten at night.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random.
    days, gpus : int
        Days covered, in 1..3,660, and number of GPUs, in 1..10,000.
    interval_s : float
        Length of a row in seconds, > 0 and at most a day.
    usd_per_hour : float, optional
        Price of a GPU-hour; by default the list price of an A10G at AWS.
    start_s : float
        The first second, since 1970-01-01 UTC.

    Returns
    -------
    pyarrow.Table
        The columns of ``costlab.monitoring.usage.GPU_COLUMNS``.

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.
    MissingExtraError
        If ``pyarrow`` is not installed.
    """
    checks.integer("days", days, 1, MAX_DAYS)
    checks.integer("gpus", gpus, 1, MAX_GPUS)
    checks.positive("interval_s", interval_s, at_most=SECONDS_PER_DAY)
    price = gpu_price("A10G", snapshot="list").usd_per_hour if usd_per_hour is None else usd_per_hour
    checks.non_negative("usd_per_hour", price)
    pyarrow = require("pyarrow", "usage")
    steps = int(days * SECONDS_PER_DAY // interval_s)
    times = np.arange(steps) * interval_s
    hour = times % SECONDS_PER_DAY / SECONDS_PER_HOUR
    load = 0.45 + 0.35 * np.cos(2 * np.pi * (hour - 14) / HOURS_PER_DAY)
    busy = np.clip(load[:, None] + rng.normal(0.0, 0.05, (steps, gpus)), 0.0, 1.0)
    asleep = (hour < 8) | (hour >= 20)
    busy[asleep, -1] = rng.uniform(0.0, 0.04, asleep.sum())
    return pyarrow.table(
        {
            "time_s": np.repeat(start_s + times, gpus),
            "gpu": [f"a10g-{gpu}" for gpu in range(gpus)] * steps,
            "hours": np.full(steps * gpus, interval_s / SECONDS_PER_HOUR),
            "usd_per_hour": np.full(steps * gpus, float(price)),
            "utilization_fraction": np.round(busy.ravel(), 4),
        }
    )
