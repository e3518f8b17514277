"""A day of a service with four tiers, to be played: who asks what and when, and a client that runs away at two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.events import Hook, Hooks, Outcome, Priority, RequestEvent, micro_usd
from costlab.synthetic.sample_log import INPUT_TOKENS, OUTPUT_TOKENS, SAMPLE_START_S
from costlab.synthetic.traffic import arrival_times
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = [
    "RUNAWAY_TENANT",
    "SERVICE_TENANTS",
    "SERVICE_TIERS",
    "ManualClock",
    "PlannedRequest",
    "ServiceTier",
    "play",
    "service_day",
]

#: Requests at two in the afternoon are four times those at two in the night.
SWING: Final = 0.6

#: A conversion earns 5 dollars in the middle, seldom more than 20.
VALUE_USD: Final = (5.0, 0.6)

#: When a new model serves the medium tier on trial, of which nobody has entered a price, in seconds after midnight.
TRIAL_S: Final = (9 * SECONDS_PER_HOUR, 11 * SECONDS_PER_HOUR)
TRIAL_MODEL: Final = "medium-on-trial"

#: When the client begins to repeat itself, and it goes on until midnight.
RUNAWAY_S: Final = 14 * SECONDS_PER_HOUR
RUNAWAY_TENANT: Final = "agents"


@dataclass(frozen=True, slots=True)
class ServiceTier:
    """A tier of the service.

    Attributes
    ----------
    name, model : str
        Tier and model.
    share_fraction : float
        Part of the ordinary requests that it serves.
    usd_per_request : float
        What each costs, in USD.
    latency_s : float
        How long each takes, in seconds.
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
    request_id : str
        Its name.
    time_s : float
        When, in seconds since 1970-01-01 UTC.
    tenant : str
        Who asks.
    priority : {'batch', 'standard', 'essential'}
        Of the tenant.
    tier : ServiceTier
        Which tier the router will choose.
    model : str
        The tier's model, or the one on trial.
    input_tokens, output_tokens : int
        Tokens of the request and of its answer.
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
        """What is recorded of it.

        Parameters
        ----------
        outcome : str, optional
            How it ended; by default it is answered, from the cache by that tier. A request that is refused costs
            nothing and earns nothing.
        """
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

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random: the same seed gives the same day.
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
        Share of the ordinary requests that lead to a conversion if they are answered.

    Returns
    -------
    tuple of PlannedRequest

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    Tiers cost the same for every request, as in the source lesson, whatever the tokens. Which tier serves a request is
    scripted, so the day has no router in it and says nothing about quality.

    Examples
    --------
    What does a day of the source lesson's service cost, at a thousandth of its size?

    >>> day = service_day(np.random.default_rng(8), 1000)
    >>> 3 < sum(one.tier.usd_per_request for one in day) < 5
    True
    """
    checks.positive("requests", requests)
    checks.integer("day", day)
    checks.non_negative("runaway_requests_per_s", runaway_requests_per_s)
    checks.fraction("conversion_fraction", conversion_fraction)
    ordinary = arrival_times(
        rng, requests_per_s=requests / SECONDS_PER_DAY, duration_s=SECONDS_PER_DAY, diurnal_fraction=SWING
    )
    count, names = len(ordinary), list(SERVICE_TENANTS)
    tier = rng.choice(len(SERVICE_TIERS), count, p=[one.share_fraction for one in SERVICE_TIERS])
    tenant = rng.choice(len(names), count, p=[share for share, _ in SERVICE_TENANTS.values()])
    earns = rng.random(count) < conversion_fraction
    looped = np.empty(0)
    if runaway_requests_per_s:
        last_s = SECONDS_PER_DAY - RUNAWAY_S
        looped = RUNAWAY_S + np.sort(rng.uniform(0, last_s, rng.poisson(runaway_requests_per_s * last_s)))
    more = len(looped)
    times = np.concatenate([ordinary, looped])
    order = np.argsort(times, kind="stable")
    tier = np.concatenate([tier, np.full(more, len(SERVICE_TIERS) - 1)])[order]
    tenant = np.concatenate([tenant, np.full(more, names.index(RUNAWAY_TENANT))])[order]
    earns = np.concatenate([earns, np.zeros(more, dtype=bool)])[order]
    value = np.round(rng.lognormal(np.log(VALUE_USD[0]), VALUE_USD[1], count + more), 2)
    tokens_in, tokens_out = (_tokens(rng, *law, count + more) for law in (INPUT_TOKENS, OUTPUT_TOKENS))
    columns = zip(times[order].tolist(), tier.tolist(), tenant.tolist(), earns.tolist(), value.tolist(), strict=True)
    found = []
    for number, (second, place, who, pays, usd) in enumerate(columns):
        chosen, name = SERVICE_TIERS[place], names[who]
        tried = trial and chosen.name == "medium" and TRIAL_S[0] <= second < TRIAL_S[1]
        found.append(
            PlannedRequest(
                request_id=f"d{day}-{number}",
                time_s=SAMPLE_START_S + day * SECONDS_PER_DAY + second,
                tenant=name,
                priority=SERVICE_TENANTS[name][1],
                tier=chosen,
                model=TRIAL_MODEL if tried else chosen.model,
                input_tokens=tokens_in[number],
                output_tokens=tokens_out[number],
                value_usd=usd if pays else None,
            )
        )
    return tuple(found)


def _tokens(rng: np.random.Generator, median: float, log_spread: float, count: int) -> list[int]:
    drawn: NDArray[np.float64] = np.maximum(1, rng.lognormal(np.log(median), log_spread, count))
    tokens: list[int] = drawn.astype(int).tolist()
    return tokens


class ManualClock:
    """A clock that shows what its `now_s` is set to, in seconds since 1970-01-01 UTC, while a day is played."""

    __slots__ = ("now_s",)

    def __init__(self, now_s: float = SAMPLE_START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """The time, in seconds since 1970-01-01 UTC."""
        return self.now_s


def play(
    day: Iterable[PlannedRequest], serve: Callable[[PlannedRequest], RequestEvent], *hooks: Hook, clock: ManualClock
) -> Hooks:
    """Serve each request at its time, and tell the hooks.

    Parameters
    ----------
    day : iterable of PlannedRequest
        The requests, in the order of time.
    serve : callable
        Makes the event of a request; ``PlannedRequest.event`` serves them all.
    *hooks : callable
        Told of each event.
    clock : ManualClock
        Is set to the time of each request before it is served.

    Returns
    -------
    Hooks
        Those that were told, with the count of their failures.

    Examples
    --------
    What did the first hundred requests of a day cost, in USD?

    >>> day = service_day(np.random.default_rng(8), 1000)
    >>> events = []
    >>> told = play(day[:100], PlannedRequest.event, events.append, clock=ManualClock())
    >>> told.failures, 0.1 < sum(event.cost_usd for event in events) < 1.0
    (0, True)
    """
    told = Hooks(hooks)
    for request in day:
        clock.now_s = request.time_s
        told.emit(serve(request))
    return told
