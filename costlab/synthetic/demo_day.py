"""Who asks what and when, on the day that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from costlab._internal import checks
from costlab.datasets import support_queries
from costlab.events import Priority
from costlab.synthetic.sample_log import SAMPLE_START_S
from costlab.synthetic.service_day import RUNAWAY_S, RUNAWAY_TENANT, SERVICE_TENANTS, SWING
from costlab.synthetic.traffic import paraphrase_stream, reworded
from costlab.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = ["MAX_REQUESTS", "RUNAWAY_FRACTION", "TENANTS", "DemoRequest", "clock", "demo_day"]

#: More would take minutes and tell nothing new.
MAX_REQUESTS: Final = 1_000_000

#: Clients, with their share of the ordinary requests and their priority at the budget guard.
TENANTS: Final[dict[str, tuple[float, Priority]]] = SERVICE_TENANTS

#: What the runaway client sends from two in the afternoon to midnight, as a share of all ordinary requests.
RUNAWAY_FRACTION: Final = 0.5

#: As at the support desk of lesson 4: popularity of meanings, and the share of requests that are typed anew.
ZIPF: Final = 0.9
RETYPED_FRACTION: Final = 0.8


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request that will be made.

    Attributes
    ----------
    time_s : float
        When, in seconds since 1970-01-01 UTC.
    text : str
        What is asked.
    query_id, intent : str
        The support query that it words, and what that one wants; both empty for the runaway client's loop.
    tenant : str
        Who asks.
    priority : {'batch', 'standard', 'essential'}
        Of the tenant.
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


def clock(time_s: float) -> str:
    """A time of day, from seconds since midnight."""
    return f"{int(time_s // SECONDS_PER_HOUR):02}:{int(time_s % SECONDS_PER_HOUR // 60):02}"


def demo_day(rng: np.random.Generator, requests: int = 100_000) -> tuple[DemoRequest, ...]:
    """The requests of one day, in the order of time.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random: the same seed gives the same day.
    requests : int
        Ordinary ones, in 1..`MAX_REQUESTS`. The runaway client adds half as many.

    Raises
    ------
    InvalidValueError
        If the number is outside its domain.

    Notes
    -----
    The loop sends its whole transcript each time, so that no two of its requests are equal: a cache has nothing for
    them, and they look like no support query.

    Examples
    --------
    How many requests come before two in the afternoon, and how many after?

    >>> times = [one.time_s - 1_767_571_200 for one in demo_day(np.random.default_rng(0), 1000)]
    >>> len(times), sum(time_s < 14 * 3600 for time_s in times)
    (1500, 524)
    """
    checks.integer("requests", requests, 1, MAX_REQUESTS)
    queries = support_queries().split("test")
    chosen = paraphrase_stream(rng, [query.meaning for query in queries], zipf=ZIPF, requests=requests)
    names = list(TENANTS)
    who = rng.choice(len(names), requests, p=[share for share, _ in TENANTS.values()])
    anew = rng.random(requests) < RETYPED_FRACTION
    times = _times(rng, requests)
    day = []
    for second, place, tenant, typed in zip(times, chosen.tolist(), who.tolist(), anew.tolist(), strict=True):
        query, name = queries[place], names[tenant]
        text = reworded(rng, query.text) if typed else query.text
        time_s = SAMPLE_START_S + second
        day.append(DemoRequest(time_s, text, query.id, query.intent, name, TENANTS[name][1]))
    looped = np.sort(rng.uniform(RUNAWAY_S, SECONDS_PER_DAY, int(requests * RUNAWAY_FRACTION))).tolist()
    priority = TENANTS[RUNAWAY_TENANT][1]
    for step, second in enumerate(looped, 1):
        text = f"step {step}: the tool failed again, here is the whole transcript"
        day.append(DemoRequest(SAMPLE_START_S + second, text, "", "", RUNAWAY_TENANT, priority))
    return tuple(sorted(day, key=lambda one: one.time_s))


def _times(rng: np.random.Generator, requests: int) -> list[float]:
    """So many seconds after midnight, with the service day's swing: a Poisson stream of which the number is known."""
    grid = np.linspace(0.0, SECONDS_PER_DAY, 24 * 60 + 1)
    angle = 2 * np.pi / SECONDS_PER_DAY
    expected = grid + SWING / angle * (np.sin(angle * (grid - RUNAWAY_S)) + np.sin(angle * RUNAWAY_S))
    drawn: list[float] = np.interp(np.sort(rng.random(requests)) * expected[-1], expected, grid).tolist()
    return drawn
