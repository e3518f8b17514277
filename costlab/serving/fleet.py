"""A day of requests on a fleet that grows and shrinks: what it is paid for, and who waits."""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How many replicas run, and how they come and go.

    Every `interval_s` the fleet wants as many replicas as its requests, waiting and served, fill to
    `target_fraction`. It starts what is missing at once, and stops what the most of the last `stabilization_s` did
    not want: the rule of the Kubernetes Horizontal Pod Autoscaler, whose defaults are 15 s and 300 s. A fleet of no
    replicas starts one as soon as a request comes.

    Parameters
    ----------
    min_replicas, max_replicas : int
        The fewest, 0 for a fleet that scales to zero, and the most; both the same for a static fleet.
    start_s : float
        From the order of a replica, when its bill begins, to its first request, >= 0.
    target_fraction : float
        Share of the places of all replicas that requests should fill, in (0, 1].
    interval_s, stabilization_s : float
        Seconds between two looks, > 0, and how long a lower wish must last before it is followed, >= 0.
    warm_replicas : int
        Replicas kept with the model loaded, without requests, >= 0; one that is taken is replaced.
    warm_start_s : float
        From the order to the first request when one is taken from there, 0 to `start_s`.
    on_demand_replicas : int or None
        Replicas that are never taken away; those beyond run on spot machines. None: all of them.

    References
    ----------
    Kubernetes, Horizontal Pod Autoscaling,
    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
    """

    min_replicas: int
    max_replicas: int
    start_s: float = 0.0
    target_fraction: float = 0.7
    interval_s: float = 15.0
    stabilization_s: float = 300.0
    warm_replicas: int = 0
    warm_start_s: float = 0.0
    on_demand_replicas: int | None = None

    def __post_init__(self) -> None:
        checks.integer("max_replicas", self.max_replicas, at_least=1)
        checks.integer("min_replicas", self.min_replicas, 0, self.max_replicas)
        checks.non_negative("start_s", self.start_s)
        checks.fraction("target_fraction", self.target_fraction, zero=False)
        checks.positive("interval_s", self.interval_s)
        checks.non_negative("stabilization_s", self.stabilization_s)
        checks.integer("warm_replicas", self.warm_replicas)
        if checks.non_negative("warm_start_s", self.warm_start_s) > self.start_s:
            raise InvalidValueError("warm_start_s", f"at most start_s, {self.start_s:g}", self.warm_start_s)
        if self.on_demand_replicas is not None:
            checks.integer("on_demand_replicas", self.on_demand_replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRun:
    """What became of a stream of requests.

    Attributes
    ----------
    waits_s : tuple of float
        For each request, in order of arrival, seconds until the service that completed it began.
    on_demand_s, spot_s, warm_s : float
        Seconds that replicas of each kind were paid for, from their order to their stop or the end of the run; those
        of `warm_s` held a model and served nothing.
    starts, interruptions, restarts : int
        Replicas started after the first `min_replicas`; those taken away; requests that began again because of it.
    replicas : tuple of (float, int)
        How many replicas were paid for, each with the second from which on.
    """

    waits_s: tuple[float, ...]
    on_demand_s: float
    spot_s: float
    warm_s: float
    starts: int
    interruptions: int
    restarts: int
    replicas: tuple[tuple[float, int], ...]

    def violations_fraction(self, limit_s: float) -> float:
        """Share of the requests that waited longer than `limit_s` seconds, >= 0; 0 where there were none."""
        limit = checks.non_negative("limit_s", limit_s)
        return sum(wait > limit for wait in self.waits_s) / len(self.waits_s) if self.waits_s else 0.0

    def usd(self, usd_per_hour: float, spot_usd_per_hour: float | None = None, warm_fraction: float = 1.0) -> float:
        """What the run cost in USD.

        Parameters
        ----------
        usd_per_hour : float
            Price of a replica, >= 0.
        spot_usd_per_hour : float, optional
            Price of one on a spot machine, >= 0; without it, the same.
        warm_fraction : float
            Share of the price that a warm replica costs, in 0..1: 1 where it holds its GPU.
        """
        hourly = checks.non_negative("usd_per_hour", usd_per_hour)
        spot = hourly if spot_usd_per_hour is None else checks.non_negative("spot_usd_per_hour", spot_usd_per_hour)
        paid = self.on_demand_s + checks.fraction("warm_fraction", warm_fraction) * self.warm_s
        return (paid * hourly + self.spot_s * spot) / SECONDS_PER_HOUR


@dataclass(slots=True)
class _Replica:
    ordered_s: float
    spot: bool
    ready: bool = False
    leaving: bool = False
    serving: dict[int, int] = field(default_factory=dict)  # request -> which try


def simulate_fleet(
    arrivals_s: Sequence[float],
    service_s: Sequence[float],
    slots: int,
    scaling: Scaling,
    end_s: float,
    spot_lifetimes_s: Sequence[float] = (),
) -> FleetRun:
    """What a fleet is paid for and how long its requests wait, second by second.

    Requests wait in one queue, first come first served. Each goes to the ready replica with the fewest requests, as
    soon as one of its `slots` places is free, and keeps it for its service time.

    Parameters
    ----------
    arrivals_s : sequence of float
        When requests come, in seconds >= 0, ascending.
    service_s : sequence of float
        Seconds that each keeps its place, > 0, measured with all places of a replica taken.
    slots : int
        Requests that a replica serves at a time, >= 1.
    scaling : Scaling
        How replicas come and go.
    end_s : float
        End of what is paid for, at or after the last arrival. Requests that are still waiting then are served by the
        replicas that are there; no bill counts that.
    spot_lifetimes_s : sequence of float
        How long each spot replica lives, > 0, in the order of their start, begun again after the last. Empty: no spot
        replica is taken away. One that is taken is replaced at the next look; its requests begin again, before others.

    Notes
    -----
    Service times do not shrink on a replica that has places free, so waits are on the safe side there. A replica that
    is to stop takes no more requests and is paid until its last has ended.

    Examples
    --------
    Three requests at once on one replica with two places, ten seconds each. How long do they wait?

    >>> static = Scaling(min_replicas=1, max_replicas=1)
    >>> simulate_fleet([0, 0, 0], [10, 10, 10], slots=2, scaling=static, end_s=60).waits_s
    (0.0, 0.0, 10.0)
    """
    arrivals, services = [float(at) for at in arrivals_s], [float(seconds) for seconds in service_s]
    if len(services) != len(arrivals):
        raise InvalidValueError("service_s", f"{len(arrivals)} times, one for each arrival", len(services))
    if any(not 0 <= a <= b for a, b in zip([0.0, *arrivals], arrivals, strict=False)):
        raise InvalidValueError("arrivals_s", "numbers >= 0 in ascending order", arrivals_s)
    if any(not 0 < seconds < math.inf for seconds in (*services, *spot_lifetimes_s)):
        raise InvalidValueError("service_s, spot_lifetimes_s", "finite numbers > 0", "another")
    if checks.finite("end_s", end_s) < (arrivals[-1] if arrivals else 0.0):
        raise InvalidValueError("end_s", "at or after the last arrival", end_s)
    return _Fleet(
        arrivals, services, checks.integer("slots", slots, at_least=1), scaling, end_s, spot_lifetimes_s
    ).run()


class _Fleet:
    """The state of :func:`simulate_fleet`: events in a heap, replicas, a queue."""

    def __init__(
        self,
        arrivals: list[float],
        services: list[float],
        slots: int,
        scaling: Scaling,
        end_s: float,
        lifetimes: Sequence[float],
    ) -> None:
        self.arrivals, self.services, self.slots, self.scaling, self.end_s = arrivals, services, slots, scaling, end_s
        self.lifetimes, self.spot_started = lifetimes, 0
        self.waits = [math.nan] * len(arrivals)
        self.tries = [0] * len(arrivals)
        self.queue: deque[int] = deque()
        self.fleet: list[_Replica] = []
        self.wishes: deque[tuple[float, int]] = deque()
        self.warm = scaling.warm_replicas
        self.paid = {False: 0.0, True: 0.0}
        self.starts = self.interruptions = self.restarts = 0
        self.timeline: list[tuple[float, int]] = []
        self.order = count()
        self.events: list[tuple[float, int, str, _Replica | None, int, int]] = []

    def put(self, at: float, what: str, replica: _Replica | None = None, request: int = 0, attempt: int = 0) -> None:
        heapq.heappush(self.events, (at, next(self.order), what, replica, request, attempt))

    def run(self) -> FleetRun:
        for request, at in enumerate(self.arrivals):
            self.put(at, "arrival", request=request)
        for _ in range(self.scaling.min_replicas):
            self.start(0.0, ready_s=0.0)
        self.starts = 0
        if self.scaling.min_replicas != self.scaling.max_replicas or self.lifetimes:
            self.put(0.0, "look")
        while self.events:
            now, _, what, replica, request, attempt = heapq.heappop(self.events)
            if what == "arrival":
                self.queue.append(request)
                if not self.fleet:
                    self.start(now)
            elif what == "look":
                self.look(now)
            elif what == "warm":
                self.warm += 1
            elif replica is not None and replica in self.fleet:
                if what == "ready":
                    replica.ready = True
                elif what == "taken":
                    self.take(now, replica)
                elif replica.serving.get(request) == attempt:
                    del replica.serving[request]
                    if replica.leaving and not replica.serving:
                        self.stop(now, replica)
            self.dispatch(now)
        for replica in list(self.fleet):
            self.stop(self.end_s, replica)
        warm_s = self.scaling.warm_replicas * self.end_s
        return FleetRun(
            waits_s=tuple(self.waits),
            on_demand_s=self.paid[False],
            spot_s=self.paid[True],
            warm_s=warm_s,
            starts=self.starts,
            interruptions=self.interruptions,
            restarts=self.restarts,
            replicas=tuple(self.timeline),
        )

    def dispatch(self, now: float) -> None:
        while self.queue:
            free = [r for r in self.fleet if r.ready and not r.leaving and len(r.serving) < self.slots]
            if not free:
                return
            replica, request = min(free, key=lambda r: len(r.serving)), self.queue.popleft()
            self.waits[request] = now - self.arrivals[request]
            self.tries[request] += 1
            replica.serving[request] = self.tries[request]
            self.put(now + self.services[request], "end", replica, request, self.tries[request])

    def start(self, now: float, ready_s: float | None = None) -> None:
        firm = self.scaling.on_demand_replicas
        spot = firm is not None and sum(not r.spot for r in self.fleet) >= firm
        if ready_s is None:
            ready_s = self.scaling.start_s
            if self.warm:
                self.warm -= 1
                self.put(now + self.scaling.start_s, "warm")
                ready_s = self.scaling.warm_start_s
        replica = _Replica(now, spot, ready=not ready_s)
        self.fleet.append(replica)
        self.starts += 1
        self.mark(now)
        if ready_s:
            self.put(now + ready_s, "ready", replica)
        if spot and self.lifetimes:
            self.put(now + self.lifetimes[self.spot_started % len(self.lifetimes)], "taken", replica)
            self.spot_started += 1

    def stop(self, now: float, replica: _Replica) -> None:
        self.fleet.remove(replica)
        self.paid[replica.spot] += max(0.0, min(now, self.end_s) - replica.ordered_s)
        if now < self.end_s:
            self.mark(now)

    def take(self, now: float, replica: _Replica) -> None:
        if now > self.end_s:
            return
        self.interruptions += 1
        self.restarts += len(replica.serving)
        self.queue.extendleft(sorted(replica.serving, reverse=True))
        self.stop(now, replica)

    def look(self, now: float) -> None:
        rule = self.scaling
        staying = [r for r in self.fleet if not r.leaving]
        waiting = len(self.queue) + sum(len(r.serving) for r in staying)
        # 0.7 times 10 places is 7.000000000000001 requests.
        wish = math.ceil(waiting / (self.slots * rule.target_fraction) * (1 - 1e-12))
        wish = max(rule.min_replicas, min(rule.max_replicas, wish))
        self.wishes.append((now, wish))
        while self.wishes[0][0] < now - rule.stabilization_s:
            self.wishes.popleft()
        for _ in range(wish - len(staying)):
            self.start(now)
        surplus = len(staying) - max(each for _, each in self.wishes)
        if surplus > 0:
            # First those that are not ready yet, then spot ones, then those with the fewest requests.
            leaving = sorted(staying, key=lambda r: (r.ready, not r.spot, len(r.serving)))[:surplus]
            for replica in leaving:
                replica.leaving = True
                if not replica.serving:
                    self.stop(now, replica)
        if now + rule.interval_s <= self.end_s or self.queue:
            self.put(now + rule.interval_s, "look")

    def mark(self, now: float) -> None:
        if self.timeline and self.timeline[-1][0] == now:
            self.timeline.pop()
        self.timeline.append((now, len(self.fleet)))
