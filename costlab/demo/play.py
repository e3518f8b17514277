"""The day, played: every request through the service and, beside it, to the large model alone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.cache import MemoryStore, ResponseCache
from costlab.errors import BudgetExceeded
from costlab.experiments import LESSON_USD_PER_REQUEST, recorded_tiers
from costlab.monitoring import Ledger, build_report, open_log
from costlab.monitoring.budget import AuditEntry, BudgetGuard, BudgetPolicy, MemoryBudgetStore
from costlab.router import Cascade, Prediction, ScriptedModel, Tier
from costlab.synthetic import SAMPLE_START_S, SERVICE_TENANTS, SERVICE_TIERS, DemoRequest, ManualClock, demo_day
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from costlab.events import RequestEvent
    from costlab.monitoring import Report
    from costlab.router import Routed

#: A client may spend this share of what its ordinary requests would cost at the large model; batch work three quarters
#: of that. On a day of few requests chance is large, hence the least amount.
BUDGET_FRACTION: Final = 0.6
SOFT_FRACTION: Final = 0.75
MIN_BUDGET_USD: Final = 1.0

#: How often the day is shown while it is played.
MAX_LOOKS: Final = 400

#: What a model says to something that is no support query.
NO_IDEA: Final = Prediction("", 0.0)

NOTES: Final = (
    "clock and models are played; cache, cascade, budget guards, ledger and this report are the package's own",
    "what small, medium and large say was recorded from three classifiers on the 936 test queries of the support desk; "
    "a query that is typed again, with a greeting or a slip, is taken to get the same answer",
    "many of the test queries are hard on purpose, so the shares of right answers are low",
    "prices per request and latencies are the source lesson's (S7)",
    "a request that a budget refused stands under the tier that was asked last",
    "the report sees the ledger alone: it does not know that the runaway client has a budget already",
    "the runaway client sends its whole transcript each time, so neither the cache nor a small model can help it",
)


@dataclass(frozen=True, slots=True)
class DemoBill:
    """What the day cost one way, and how good the answers were.

    Attributes
    ----------
    ordinary_usd, runaway_usd : float
        Cost of the ordinary requests, and of the runaway client's loop, in USD.
    ordinary, answered, right : int
        Ordinary requests; those that got an answer; and those that got the right one.
    """

    ordinary_usd: float
    runaway_usd: float
    ordinary: int
    answered: int
    right: int

    @property
    def usd(self) -> float:
        """Both together, in USD."""
        return self.ordinary_usd + self.runaway_usd

    @property
    def quality_fraction(self) -> float:
        """Right answers over ordinary requests, of which those that were refused got none."""
        return self.right / self.ordinary if self.ordinary else 0.0

    def as_dict(self) -> dict[str, object]:
        """Its fields, their sum in USD and the quality."""
        return asdict(self) | {"usd": self.usd, "quality_fraction": self.quality_fraction}

    @property
    def answered_quality_fraction(self) -> float:
        """Right answers over those that were given."""
        return self.right / self.answered if self.answered else 0.0


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """How the day is going.

    Attributes
    ----------
    time_s, done, total : float, int, int
        Seconds since midnight, requests so far, and requests of the day.
    here, baseline : DemoBill
        So far: of the service, and of everything at the large model.
    outcomes, degraded : mapping of str to int, int
        Requests by the tier that answered, ``cache`` among them, and those ``refused``; and answers that were cheaper
        than they would have been, for want of budget.
    levels, alerts : mapping of str to str, tuple of str
        For each client, the state of its budget: ``normal``, ``soft``, ``hard`` or ``stopped``; and what the guards
        have said, each with its time of day and client.
    """

    time_s: float
    done: int
    total: int
    here: DemoBill
    baseline: DemoBill
    outcomes: Mapping[str, int]
    degraded: int
    levels: Mapping[str, str]
    alerts: tuple[str, ...]

    @property
    def hit_rate_fraction(self) -> float:
        """Answers from the cache over all requests."""
        return self.outcomes["cache"] / self.done if self.done else 0.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The whole day.

    Attributes
    ----------
    requests, seed, end : int, int, DemoProgress
        What was asked for, and how it ended.
    hard_usd, refused_from_s : mapping of str to float, float or None
        Each client's daily budget, in USD, and when the runaway one was first refused, in seconds after midnight.
    report, recorded_on : Report, str
        The report of the ledger, and the ISO date on which the models' answers were recorded.
    """

    requests: int
    seed: int
    end: DemoProgress
    hard_usd: Mapping[str, float]
    refused_from_s: float | None
    report: Report
    recorded_on: str

    def as_dict(self) -> dict[str, object]:
        """All of it under the names of ``costlab demo --json``."""
        end = self.end
        return {
            "requests": end.total,
            "ordinary_requests": self.requests,
            "seed": self.seed,
            "service": end.here.as_dict(),
            "baseline": end.baseline.as_dict(),
            **{name: getattr(self, name) for name in ("saved_usd", "saving_fraction", "ordinary_saving_fraction")},
            "outcomes": dict(end.outcomes),
            "degraded": end.degraded,
            "hard_usd": dict(self.hard_usd),
            "levels": dict(end.levels),
            "refused_from_s": self.refused_from_s,
            "alerts": list(end.alerts),
            "recorded_on": self.recorded_on,
            "report": self.report.as_dict(),
        }

    @property
    def saved_usd(self) -> float:
        """What the service costs less than the baseline, in USD."""
        return self.end.baseline.usd - self.end.here.usd

    @property
    def saving_fraction(self) -> float:
        """That over the baseline's bill."""
        return self.saved_usd / self.end.baseline.usd

    @property
    def ordinary_saving_fraction(self) -> float:
        """What is saved on the ordinary requests alone, those included that a budget refused."""
        return 1.0 - self.end.here.ordinary_usd / self.end.baseline.ordinary_usd


def time_of_day(time_s: float) -> str:
    """A time of day, from seconds since midnight."""
    return f"{int(time_s // SECONDS_PER_HOUR):02}:{int(time_s % SECONDS_PER_HOUR // 60):02}"


def play_demo(
    requests: int = 100_000, seed: int = 0, watch: Callable[[DemoProgress], object] = lambda _: None
) -> DemoResult:
    """Play the day and report on its ledger.

    Parameters
    ----------
    requests, seed : int
        Ordinary requests, in 1..1,000,000; and >= 0: the same seed gives the same result to the last cent.
    watch : callable
        Called every now and then with how the day is going, and at its end.

    Raises
    ------
    MissingExtraError
        If the extra `usage` is not installed, before anything is played.

    Examples
    --------
    What does the day cost, as a share of everything at the large model without a guard?

    >>> result = play_demo(2000)
    >>> 0.1 < 1 - result.saving_fraction < 0.6
    True
    """
    checks.integer("seed", seed)
    with extra("usage"):
        import duckdb  # noqa: F401
        import narwhals  # noqa: F401
        import pyarrow  # noqa: F401
    day = demo_day(np.random.default_rng(seed), requests)
    with tempfile.TemporaryDirectory(prefix="costlab-demo-") as folder:
        log = Path(folder) / "ledger.parquet"
        with Ledger(Path(folder) / "ledger.sqlite", batch_size=2000, flush_every_s=None) as ledger:
            service = _Service(day, ledger)
            asyncio.run(service.serve(watch))
            ledger.to_parquet(log)
        report = build_report(open_log(log).frame, notes=NOTES)
    return DemoResult(
        requests=requests,
        seed=seed,
        end=service.progress(len(day)),
        hard_usd={name: guard.policy.daily_hard_usd for name, guard in service.guards.items()},
        refused_from_s=service.refused_from_s,
        report=report,
        recorded_on=recorded_tiers().recorded_on,
    )


class _Meter:
    """What one way to serve the day has cost, and how often it was right. Its `hear` is a hook."""

    def __init__(self) -> None:
        self.micro_usd, self.ordinary, self.answered, self.right = [0, 0], 0, 0, 0
        self.runaway = False

    def hear(self, event: RequestEvent) -> None:
        self.micro_usd[self.runaway] += event.cost_micro_usd or 0

    async def send(self, cascade: Cascade, request: DemoRequest) -> Routed | None:
        """What comes of a request; None where the budget refuses it."""
        self.runaway = request.runaway
        self.ordinary += not request.runaway
        try:
            routed = await cascade.route(request.text, request.priority, tenant=request.tenant)
        except BudgetExceeded:
            return None
        if not request.runaway:
            self.answered += 1
            self.right += routed.answer == request.intent
        return routed

    def bill(self) -> DemoBill:
        ordinary, runaway = (amount / MICRO_USD_PER_USD for amount in self.micro_usd)
        return DemoBill(ordinary, runaway, self.ordinary, self.answered, self.right)


class _Service:
    """The service, the baseline beside it, and what is counted."""

    def __init__(self, day: tuple[DemoRequest, ...], ledger: Ledger) -> None:
        self.day = day
        self.alerts: list[str] = []
        self.refused_from_s: float | None = None
        self._now, self._work = ManualClock(), ManualClock(0.0)
        self._here, self._baseline = _Meter(), _Meter()
        self._degraded = 0
        tiers, large_usd = self._tiers(), SERVICE_TIERS[-1].usd_per_request
        self._outcomes = dict.fromkeys(("cache", *(tier.name for tier in tiers), "refused"), 0)
        cache = ResponseCache(MemoryStore(clock=self._now), clock=self._work)
        number = count(1)
        cascade = partial(Cascade, clock=self._work, now=self._now, new_id=lambda: f"demo-{next(number)}")
        self._alone = cascade(tiers[-1:], hooks=[self._baseline.hear])
        ordinary = sum(not request.runaway for request in day)
        self.guards = {
            tenant: self._guard(tenant, ordinary * share * large_usd) for tenant, (share, _) in SERVICE_TENANTS.items()
        }
        hooks, lookup_usd = [self._here.hear, ledger.append], SERVICE_TIERS[0].usd_per_request
        self._cascades = {
            tenant: cascade(tiers, cache, guard, hooks, cache_usd_per_lookup=lookup_usd)
            for tenant, guard in self.guards.items()
        }

    async def serve(self, watch: Callable[[DemoProgress], object]) -> None:
        """Every request at its time."""
        stride = max(1, len(self.day) // MAX_LOOKS)
        for done, request in enumerate(self.day):
            if done % stride == 0:
                watch(self.progress(done))
                await asyncio.sleep(0)  # nothing else waits here, and Ctrl-C is heard where something does
            self._now.now_s = request.time_s
            await self._baseline.send(self._alone, request)
            routed = await self._here.send(self._cascades[request.tenant], request)
            self._outcomes["refused" if routed is None else routed.tier] += 1
            self._degraded += routed is not None and routed.degraded
            if routed is None and request.runaway and self.refused_from_s is None:
                self.refused_from_s = request.time_s - SAMPLE_START_S
        watch(self.progress(len(self.day)))

    def progress(self, done: int) -> DemoProgress:
        """How the day is going after a number of requests."""
        return DemoProgress(
            time_s=self._now.now_s - SAMPLE_START_S,
            done=done,
            total=len(self.day),
            here=self._here.bill(),
            baseline=self._baseline.bill(),
            outcomes=dict(self._outcomes),
            degraded=self._degraded,
            levels={name: guard.status().level for name, guard in self.guards.items()},
            alerts=tuple(self.alerts),
        )

    def _tiers(self) -> list[Tier]:
        recorded = recorded_tiers()
        # Two queries may be retyped as the same text; the model cannot tell them apart either.
        queries = {request.text: request.query_id for request in self.day if not request.runaway}
        floors = (*recorded.min_confidence, 0.0)
        tiers = []
        for (name, answers), floor, tier in zip(recorded.answers.items(), floors, SERVICE_TIERS[1:], strict=True):
            model = ScriptedModel(partial(self._answer, answers, queries, tier.latency_s))
            tiers.append(Tier(tier.name, model, LESSON_USD_PER_REQUEST[name], floor))
        return tiers

    def _answer(
        self, answers: Mapping[str, Prediction], queries: Mapping[str, str], latency_s: float, text: str
    ) -> Prediction:
        self._work.now_s += latency_s
        return answers[queries[text]] if text in queries else NO_IDEA

    def _guard(self, tenant: str, large_usd: float) -> BudgetGuard:
        hard_usd = round(max(MIN_BUDGET_USD, BUDGET_FRACTION * large_usd), 2)

        def alert(entry: AuditEntry) -> None:
            self.alerts.append(f"{time_of_day(entry.time_s - SAMPLE_START_S)} {tenant}: {entry}")

        policy = BudgetPolicy(
            daily_soft_usd=SOFT_FRACTION * hard_usd, daily_hard_usd=hard_usd, monthly_usd=31 * hard_usd
        )
        number = count(1)
        return BudgetGuard(
            policy, MemoryBudgetStore(), clock=self._now, on_alert=alert, new_token=lambda: str(next(number))
        )
