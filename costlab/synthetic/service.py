"""Days of a service with four tiers: who asks what and when, and a client that runs away at two in the afternoon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.datasets import support_queries
from costlab.events import Hook, Hooks, Outcome, Priority, RequestEvent, micro_usd
from costlab.synthetic import arrivals, contents
from costlab.synthetic.arrivals import SAMPLE_START_S
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

#: A conversion earns 5 dollars in the middle, seldom more than 20: median and log-spread.
VALUE_USD: Final = (5.0, 0.6)

#: When a new model serves the medium tier on trial, of which no one has entered a price, in seconds after midnight.
TRIAL_S: Final = (9 * SECONDS_PER_HOUR, 11 * SECONDS_PER_HOUR)
TRIAL_MODEL: Final = "medium-on-trial"

#: When the client begins to repeat itself, in seconds after midnight, and it goes on until midnight.
RUNAWAY_S: Final = arrivals.PEAK_S
RUNAWAY_TENANT: Final = "agents"

#: Of the demo's day: ordinary requests at most, as more would take minutes and tell nothing new; and what the runaway
#: client sends, as a share of them.
MAX_DEMO_REQUESTS: Final = 1_000_000
RUNAWAY_FRACTION: Final = 0.5


@dataclass(frozen=True, slots=True)
class ServiceTier:
    """A tier of the service.

    Attributes
    ----------
    share_fraction, usd_per_request, latency_s : float
        Part of the ordinary requests that it serves, and what each costs, in USD, and takes, in seconds.
    """

    name: str
    model: str
    share_fraction: float
    usd_per_request: float
    latency_s: float


#: As in the source lesson (S7), where a million requests a day cost 3,803 dollars.
SERVICE_TIERS: Final = (
    ServiceTier("cache", "response-cache", 0.30, 0.00001, 0.002),
    ServiceTier("small", "distilbert-class", 0.40, 0.0005, 0.010),
    ServiceTier("medium", "gpt-4o-mini-class", 0.20, 0.003, 0.050),
    ServiceTier("large", "gpt-4o-class", 0.10, 0.03, 0.500),
)

#: Who asks, with the share of the ordinary requests and the priority at the budget guard.
SERVICE_TENANTS: Final[dict[str, tuple[float, Priority]]] = {
    "shop": (0.40, "standard"),
    "search": (0.25, "standard"),
    "support": (0.15, "essential"),
    "reports": (0.15, "batch"),
    RUNAWAY_TENANT: (0.05, "standard"),
}


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request that will be made.

    Attributes
    ----------
    time_s : float
        When, in seconds since 1970-01-01 UTC.
    tenant, priority : str
        Who asks; and ``batch``, ``standard`` or ``essential``.
    tier, model : ServiceTier, str
        Which tier the router will choose, and its model, or the one on trial.
    value_usd : float or None
        What it earns if it is answered, in USD, where it leads to a conversion.
    """

    request_id: str
    time_s: float
    tenant: str
    priority: Priority
    tier: ServiceTier
    model: str
    input_tokens: int
    output_tokens: int
    value_usd: float | None

    def event(self, outcome: Outcome | None = None) -> RequestEvent:
        """What is recorded of it: by default answered, from the cache by that tier; refused it costs and earns 0."""
        if outcome is None:
            outcome = "cached" if self.tier.name == "cache" else "ok"
        served = outcome in ("ok", "cached")
        earned = self.value_usd if served else None
        cost = micro_usd("usd_per_request", self.tier.usd_per_request) if served else 0
        return RequestEvent(
            request_id=self.request_id,
            time_s=self.time_s,
            tier=self.tier.name,
            model=self.model,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens if served else 0,
            cost_micro_usd=None if served and self.model == TRIAL_MODEL else cost,
            latency_s=self.tier.latency_s if served else 0.0,
            outcome=outcome,
            tenant=self.tenant,
            conversion_value_micro_usd=None if earned is None else micro_usd("value_usd", earned),
            priority=self.priority,
        )


def service_day(
    rng: np.random.Generator,
    requests: float = 100_000,
    *,
    day: int = 0,
    trial: bool = False,
    runaway_requests_per_s: float = 0.0,
    conversion_fraction: float = 0.02,
) -> tuple[PlannedRequest, ...]:
    """The requests of one day, in the order of time.

    Tiers cost the same for every request, as in the source lesson, whatever the tokens. Which tier serves a request is
    scripted, so the day has no router in it and says nothing about quality.

    Parameters
    ----------
    requests : float
        Expected number of ordinary requests, > 0; they come as a Poisson stream, more of them by day than by night.
    day : int
        Days after Monday, the 5th of January 2026, >= 0. It begins at midnight UTC.
    trial : bool
        Whether the medium tier's requests from 9 to 11 go to a model on trial without a price.
    runaway_requests_per_s : float
        Requests a second that the client `agents` sends to the large tier, on top of its ordinary ones, from 14:00 to
        midnight, >= 0; 0 for an ordinary day.
    conversion_fraction : float
        Share of the ordinary requests that lead to a conversion if they are answered, in 0..1.

    Examples
    --------
    What does a day of the source lesson's service cost, at a thousandth of its size?

    >>> day = service_day(np.random.default_rng(8), 1000)
    >>> 3 < sum(request.tier.usd_per_request for request in day) < 5
    True
    """
    checks.positive("requests", requests)
    checks.integer("day", day)
    checks.non_negative("runaway_requests_per_s", runaway_requests_per_s)
    checks.fraction("conversion_fraction", conversion_fraction)
    ordinary, names = arrivals.day_arrivals(rng, requests), list(SERVICE_TENANTS)
    tier = rng.choice(len(SERVICE_TIERS), len(ordinary), p=[tier.share_fraction for tier in SERVICE_TIERS])
    tenant = _tenants(rng, len(ordinary))
    earns = rng.random(len(ordinary)) < conversion_fraction
    loops = rng.poisson(runaway_requests_per_s * (SECONDS_PER_DAY - RUNAWAY_S)) if runaway_requests_per_s else 0
    times = np.append(ordinary, _runaway_times(rng, loops))
    order = np.argsort(times, kind="stable")
    tier = np.append(tier, np.full(loops, len(SERVICE_TIERS) - 1))[order]
    tenant = np.append(tenant, np.full(loops, names.index(RUNAWAY_TENANT)))[order]
    earns = np.append(earns, np.zeros(loops, dtype=bool))[order]
    value = np.round(rng.lognormal(np.log(VALUE_USD[0]), VALUE_USD[1], len(times)), 2)
    tokens_in = contents.token_lengths(rng, *contents.INPUT_TOKENS, len(times))
    tokens_out = contents.token_lengths(rng, *contents.OUTPUT_TOKENS, len(times))
    columns = (times[order], tier, tenant, earns, value, tokens_in, tokens_out)
    planned = []
    for number, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        second, tier_place, tenant_place, pays, usd, read, written = row
        chosen, name = SERVICE_TIERS[tier_place], names[tenant_place]
        tried = trial and chosen.name == "medium" and TRIAL_S[0] <= second < TRIAL_S[1]
        planned.append(
            PlannedRequest(
                request_id=f"d{day}-{number}",
                time_s=SAMPLE_START_S + day * SECONDS_PER_DAY + second,
                tenant=name,
                priority=SERVICE_TENANTS[name][1],
                tier=chosen,
                model=TRIAL_MODEL if tried else chosen.model,
                input_tokens=read,
                output_tokens=written,
                value_usd=usd if pays else None,
            )
        )
    return tuple(planned)


def _tenants(rng: np.random.Generator, requests: int) -> NDArray[np.int64]:
    """Places in `SERVICE_TENANTS`."""
    return rng.choice(len(SERVICE_TENANTS), requests, p=[share for share, _ in SERVICE_TENANTS.values()])


def _runaway_times(rng: np.random.Generator, requests: int) -> NDArray[np.float64]:
    return np.sort(rng.uniform(RUNAWAY_S, SECONDS_PER_DAY, requests))


def replay_requests(
    day: Iterable[PlannedRequest],
    serve: Callable[[PlannedRequest], RequestEvent],
    *hooks: Hook,
    clock: arrivals.ManualClock,
) -> Hooks:
    """Serve each request at its time, by the clock, and tell the hooks; they are returned with their failures counted.

    `serve` makes the event of a request; ``PlannedRequest.event`` serves them all.

    Examples
    --------
    What did the first hundred requests of a day cost, in USD?

    >>> day = service_day(np.random.default_rng(8), 1000)
    >>> events = []
    >>> hooks = replay_requests(day[:100], PlannedRequest.event, events.append, clock=arrivals.ManualClock())
    >>> hooks.failures, 0.1 < sum(event.cost_usd for event in events) < 1.0
    (0, True)
    """
    called = Hooks(hooks)
    for request in day:
        clock.now_s = request.time_s
        called.emit(serve(request))
    return called


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request of the demo's day, in words.

    Attributes
    ----------
    time_s, text : float, str
        When, in seconds since 1970-01-01 UTC, and what is asked.
    query_id, intent : str
        The support query that it words, and what that one wants; both empty for the runaway client's loop.
    tenant, priority : str
        Who asks; and ``batch``, ``standard`` or ``essential``.
    """

    time_s: float
    text: str
    query_id: str
    intent: str
    tenant: str
    priority: Priority

    @property
    def runaway(self) -> bool:
        """Whether it is one of the runaway client's loop."""
        return not self.query_id


def demo_day(rng: np.random.Generator, requests: int = 100_000) -> tuple[DemoRequest, ...]:
    """A day on which the service's tenants ask support queries, in the order of time.

    There are `requests` ordinary ones, 1 to `MAX_DEMO_REQUESTS`. The runaway client adds half as many: its loop sends
    the whole transcript each time, so that no two are equal; a cache has nothing for them, and they look like no
    support query.

    Examples
    --------
    How many requests come before two in the afternoon, and how many after?

    >>> times = [request.time_s - SAMPLE_START_S for request in demo_day(np.random.default_rng(0), 1000)]
    >>> len(times), sum(time_s < 14 * 3600 for time_s in times)
    (1500, 524)
    """
    checks.integer("requests", requests, 1, MAX_DEMO_REQUESTS)
    queries, names = support_queries().split("test"), list(SERVICE_TENANTS)
    meanings = [query.meaning for query in queries]
    chosen = contents.paraphrase_stream(rng, meanings, zipf=contents.SUPPORT_ZIPF, requests=requests)
    tenants, anew = _tenants(rng, requests), rng.random(requests) < contents.RETYPED_FRACTION
    times = arrivals.day_arrivals(rng, requests, known=True)
    day = []
    for second, place, who, typed in zip(*(row.tolist() for row in (times, chosen, tenants, anew)), strict=True):
        query, name = queries[place], names[who]
        text = contents.reworded(rng, query.text) if typed else query.text
        priority = SERVICE_TENANTS[name][1]
        day.append(DemoRequest(SAMPLE_START_S + second, text, query.id, query.intent, name, priority))
    priority = SERVICE_TENANTS[RUNAWAY_TENANT][1]
    for step, second in enumerate(_runaway_times(rng, int(requests * RUNAWAY_FRACTION)).tolist(), 1):
        text = f"step {step}: the tool failed again, here is the whole transcript"
        day.append(DemoRequest(SAMPLE_START_S + second, text, "", "", RUNAWAY_TENANT, priority))
    return tuple(sorted(day, key=lambda request: request.time_s))
