"""A made-up log of a service that looks like a real one, and the tables in which made-up logs are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.catalog import api_price, gpu_price
from costlab.events import OUTCOMES, arrow_schema, micro_usd
from costlab.synthetic.arrivals import PEAK_S, SAMPLE_START_S, hourly_arrivals
from costlab.synthetic.contents import INPUT_TOKENS, OUTPUT_TOKENS, token_lengths
from costlab.synthetic.service import SERVICE_TIERS
from costlab.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

#: The tiers are those of the service, under the catalogue's names for models; the two upper ones are priced by the
#: token. The last model is one that no one has priced. Below are the tiers' places.
MODELS: Final = ("response-cache", "distilbert-classifier", "gpt-4o-mini", "gpt-4o", "in-house-llm")
CACHE, MEDIUM, LARGE = 0, 2, 3

#: Seconds for a token of the upper tiers' answers.
SECONDS_PER_TOKEN: Final = 0.008

#: What a machine's memory holds, and what anyone looks at.
MAX_REQUESTS: Final = 100_000_000
MAX_DAYS: Final = 3_660
MAX_GPUS: Final = 10_000

TextColumn: TypeAlias = "tuple[NDArray[np.int64], Sequence[str]]"


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
) -> pyarrow.Table:
    """A log of requests in the order of time: four tiers, tenants of unequal size, busy afternoons, quiet weekends.

    Its columns are those of :class:`costlab.events.RequestEvent`.

    Parameters
    ----------
    requests : int
        Rows, in 1..100,000,000; a runaway client's requests come on top.
    days, tenants : int
        Days covered, in 1..3,660, and teams that share the service, in 1..99; each is smaller than the one before.
    unpriced_fraction, conversion_fraction : float
        Share of the medium tier's requests that go to a model without a price, and of the answered requests that lead
        to a conversion, in 0..1.
    runaway : bool
        Whether the third tenant's client gets into a loop on the last day at 14:00 UTC, for two hours: it sends long
        requests to the large tier, as many as a fifth of an average day has.
    start_s : float
        The first second, since 1970-01-01 UTC.

    Examples
    --------
    How many of 1,000 requests were answered by the tiers?

    >>> log = sample_log(np.random.default_rng(0), 1000, days=1)
    >>> dict(sorted((tier["values"], tier["counts"]) for tier in log["tier"].value_counts().to_pylist()))
    {'cache': 326, 'large': 106, 'medium': 186, 'small': 382}
    """
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    checks.integer("days", days, 1, MAX_DAYS)
    checks.integer("tenants", tenants, 1, 99)
    checks.fraction("unpriced_fraction", unpriced_fraction)
    checks.fraction("conversion_fraction", conversion_fraction)
    weekday = (int(start_s // SECONDS_PER_DAY) + 3 + np.arange(days)) % 7  # 1 January 1970 was a Thursday
    hours = hourly_arrivals(rng, requests, np.where(weekday >= 5, 0.4, 1.0))
    times = start_s + np.floor(1000 * hours * SECONDS_PER_HOUR) / 1000
    tier = rng.choice(len(SERVICE_TIERS), requests, p=[kind.share_fraction for kind in SERVICE_TIERS])
    weights = 1.0 / np.arange(1, tenants + 1)
    tenant = rng.choice(tenants, requests, p=weights / weights.sum())
    extra_requests = max(1, requests // days // 5) if runaway else 0
    if runaway:
        begin_s = start_s + (days - 1) * SECONDS_PER_DAY + PEAK_S
        times = np.concatenate([times, begin_s + rng.uniform(0, 2 * SECONDS_PER_HOUR, extra_requests)])
        tier = np.concatenate([tier, np.full(extra_requests, LARGE)])
        tenant = np.concatenate([tenant, np.full(extra_requests, min(2, tenants - 1))])
    order = np.argsort(times, kind="stable")
    times, tier, tenant, looped = times[order], tier[order], tenant[order], order >= requests

    rows = len(times)
    upper, medium = tier >= MEDIUM, tier == MEDIUM
    tokens_in = token_lengths(rng, *INPUT_TOKENS, rows)
    tokens_in[looped] *= 8  # a loop drags its whole history along
    tokens_out = token_lengths(rng, *OUTPUT_TOKENS, rows)
    # Every other team keeps the beginning of its prompts the same; prompt caches work in blocks of 128 tokens.
    steady = upper & (tenant % 2 == 1)
    cached = np.where(steady & (rng.random(rows) < 0.7), tokens_in // 2 // 128 * 128, 0)
    outcome = np.where(tier == CACHE, 1, rng.choice([0, 2, 3, 4, 5], rows, p=[0.984, 0.006, 0.005, 0.003, 0.002]))
    unserved = (outcome == 2) | (outcome == 4)  # an error or a refusal: no answer, no bill
    tokens_out[unserved] = 0
    cached[unserved] = 0
    unpriced = medium & (rng.random(rows) < unpriced_fraction) & ~unserved
    cost = np.zeros(rows)
    for place, kind in enumerate(SERVICE_TIERS):
        here = (tier == place) & ~unserved
        if place < MEDIUM:
            cost[here] = kind.usd_per_request
        else:
            cost[here] = api_price(MODELS[place]).usd(tokens_in[here], tokens_out[here], cached[here])
    latency = np.array([kind.latency_s for kind in SERVICE_TIERS])[tier] * rng.lognormal(0.0, 0.4, rows)
    latency += np.where(upper, tokens_out * SECONDS_PER_TOKEN, 0.0)
    latency[outcome == 3] = 30.0
    converted = (outcome <= 1) & ~looped & (rng.random(rows) < conversion_fraction)
    value_cents = (rng.lognormal(np.log(4.0), 0.8, rows) * 100).astype(np.int64)
    tenant_names = [f"team-{number:02}" for number in range(1, tenants + 1)]
    return event_table(
        int(times[0]) * 1000,
        time_s=times,
        tier=(tier, [kind.name for kind in SERVICE_TIERS]),
        model=(np.where(unpriced, len(SERVICE_TIERS), tier), MODELS),
        input_tokens=tokens_in,
        cached_input_tokens=cached,
        output_tokens=tokens_out,
        cost_usd=np.where(unpriced, np.nan, cost),
        latency_s=np.round(latency, 6),
        outcome=(outcome, OUTCOMES),
        tenant=(tenant, tenant_names),
        conversion_value_usd=np.where(converted, value_cents / 100, np.nan),
        priority=((tenant % 3 == 2).astype(int), ["standard", "batch"]),
    )


def event_table(first_id: int, **columns: NDArray[np.float64 | np.int64] | TextColumn) -> pyarrow.Table:
    """A table of the columns of :class:`costlab.events.RequestEvent`, made from arrays.

    Optional columns that are not given are left out, and the requests' names count from `first_id`. Texts are a pair:
    the place of each row's text, and the texts. Of a column ``*_usd`` micro-dollars are made, and NaN is null.
    """
    with extra("usage"):
        import pyarrow
        import pyarrow.compute as compute

    rows: dict[str, pyarrow.Array] = {}
    for name, column in columns.items():
        if isinstance(column, tuple):
            places, texts = column
            codes = pyarrow.DictionaryArray.from_arrays(places.astype(np.int32), list(texts))
            rows[name] = codes.cast(pyarrow.string())
        elif name.endswith("_usd"):
            amounts = micro_usd(name, np.nan_to_num(column))
            rows[f"{name.removesuffix('_usd')}_micro_usd"] = pyarrow.array(amounts, mask=np.isnan(column))
        else:
            rows[name] = pyarrow.array(column)
    numbers = pyarrow.array(first_id + np.arange(len(rows["time_s"]))).cast(pyarrow.string())
    names = compute.binary_join_element_wise(pyarrow.scalar("r-"), numbers, "")
    rows["request_id"] = names
    return pyarrow.table(rows, schema=pyarrow.schema([field for field in arrow_schema() if field.name in rows]))


def sample_gpu_hours(
    rng: np.random.Generator,
    *,
    days: int = 7,
    gpus: int = 4,
    interval_s: float = 300.0,
    usd_per_hour: float | None = None,
    start_s: float = SAMPLE_START_S,
) -> pyarrow.Table:
    """A log of GPU hours beside :func:`sample_log`: busy by day, and the last GPU forgotten at night.

    Parameters
    ----------
    days, gpus : int
        Days covered, in 1..3,660, and number of GPUs, in 1..10,000.
    interval_s, start_s : float
        Length of a row in seconds, > 0 and at most a day, and the first second, since 1970-01-01 UTC.
    usd_per_hour : float, optional
        Price of a GPU-hour; by default the list price of an A10G at AWS.
    """
    checks.integer("days", days, 1, MAX_DAYS)
    checks.integer("gpus", gpus, 1, MAX_GPUS)
    checks.positive("interval_s", interval_s, at_most=SECONDS_PER_DAY)
    price = gpu_price("A10G", snapshot="list").usd_per_hour if usd_per_hour is None else usd_per_hour
    checks.non_negative("usd_per_hour", price)
    times = np.arange(int(days * SECONDS_PER_DAY // interval_s)) * interval_s
    hour = times % SECONDS_PER_DAY / SECONDS_PER_HOUR
    load = 0.45 + 0.35 * np.cos(2 * np.pi * (hour - PEAK_S / SECONDS_PER_HOUR) / HOURS_PER_DAY)
    busy = np.clip(load[:, None] + rng.normal(0.0, 0.05, (len(times), gpus)), 0.0, 1.0)
    asleep = (hour < 8) | (hour >= 20)
    busy[asleep, -1] = rng.uniform(0.0, 0.04, asleep.sum())
    return gpu_hours_table("a10g", start_s + times, interval_s, float(price), busy)


def gpu_hours_table(
    prefix: str, time_s: NDArray[np.floating], interval_s: float, usd_per_hour: float, busy: NDArray[np.float64]
) -> pyarrow.Table:
    """A table of the columns of ``costlab.monitoring.GPU_COLUMNS``: rows of `interval_s`, GPUs named by the prefix.

    `busy` is the utilization, in 0..1, of shape (steps, gpus); rows begin at `time_s`, since 1970-01-01 UTC.
    """
    with extra("usage"):
        import pyarrow

    steps, gpus = busy.shape
    return pyarrow.table(
        {
            "time_s": np.repeat(time_s, gpus),
            "gpu": [f"{prefix}-{gpu}" for gpu in range(gpus)] * steps,
            "hours": np.full(busy.size, interval_s / SECONDS_PER_HOUR),
            "usd_per_hour": np.full(busy.size, usd_per_hour),
            "utilization_fraction": np.round(busy.ravel(), 4),
        }
    )
