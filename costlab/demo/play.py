"""The day, played: every request through the service and, beside it, to the large model alone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.cache import MemoryStore, ResponseCache
from costlab.demo.results import Bill, DemoResult, Moment
from costlab.errors import BudgetExceeded
from costlab.experiments.query_tiers import LESSON_USD_PER_REQUEST
from costlab.experiments.tier_predictions import recorded_tiers
from costlab.monitoring.budget import AuditEntry, BudgetGuard, BudgetPolicy, MemoryBudgetStore
from costlab.monitoring.importers import open_log
from costlab.monitoring.ledger import Ledger
from costlab.monitoring.report import build_report
from costlab.router import Cascade, Prediction, ScriptedModel, Tier
from costlab.synthetic.demo_day import TENANTS, DemoRequest, clock, demo_day
from costlab.synthetic.sample_log import SAMPLE_START_S
from costlab.synthetic.service_day import SERVICE_TIERS, ManualClock
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    from costlab.events import RequestEvent
    from costlab.router import Routed

__all__ = ["NOTES", "play_demo"]

#: A client may spend this share of what its ordinary requests would cost at the large model; batch work three quarters
#: of that. On a day of few requests chance is large, hence the least amount.
BUDGET_FRACTION: Final = 0.6
SOFT_FRACTION: Final = 0.75
MIN_BUDGET_USD: Final = 1.0

#: How often the day is shown while it is played.
MOMENTS: Final = 400

NOTES: Final = (
    "clock and models are played; cache, cascade, budget guards, ledger and this report are the package's own",
    "what small, medium and large say was recorded from three classifiers on the 936 test queries of the support desk; "
    "a query that is typed anew, with a greeting or a slip, is taken to get the same answer",
    "many of the test queries are hard on purpose, so the shares of right answers are low",
    "prices per request and latencies are the source lesson's (S7)",
    "a request that a budget refused stands under the tier that was asked last",
    "the report sees the ledger alone: it does not know that the runaway client has a budget already",
    "the runaway client sends its whole transcript each time, so neither the cache nor a small model can help it",
)


def play_demo(requests: int = 100_000, seed: int = 0, watch: Callable[[Moment], object] = lambda _: None) -> DemoResult:
    """Play the day and report on its ledger.

    Parameters
    ----------
    requests : int
        Ordinary requests, in 1..1,000,000.
    seed : int
        The same seed gives the same result to the last cent, >= 0.
    watch : callable
        Told every now and then how the day stands, and at its end.

    Returns
    -------
    DemoResult

    Raises
    ------
    InvalidValueError
        If a number is outside its domain.
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
    for module in ("duckdb", "narwhals", "pyarrow"):
        require(module, "usage")
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
        end=service.moment(len(day)),
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

    def bill(self) -> Bill:
        ordinary, runaway = (amount / MICRO_USD_PER_USD for amount in self.micro_usd)
        return Bill(ordinary, runaway, self.ordinary, self.answered, self.right)


class _Service:
    """The service, the baseline beside it, and what is counted."""

    def __init__(self, day: tuple[DemoRequest, ...], ledger: Ledger) -> None:
        self.day = day
        self.guards: dict[str, BudgetGuard] = {}
        self.alerts: list[str] = []
        self.refused_from_s: float | None = None
        self._now, self._work = ManualClock(), ManualClock(0.0)
        self._here, self._baseline = _Meter(), _Meter()
        self._degraded = 0
        tiers = self._tiers()
        self._outcomes = dict.fromkeys(("cache", *(tier.name for tier in tiers), "refused"), 0)
        cache = ResponseCache(MemoryStore(clock=self._now), clock=self._work)
        number = count(1)

        def cascade(guard: BudgetGuard | None, *hooks: Callable[[RequestEvent], None]) -> Cascade:
            alone = guard is None
            return Cascade(
                tiers[-1:] if alone else tiers,
                None if alone else cache,
                guard,
                hooks,
                self._work,
                cache_usd_per_lookup=0.0 if alone else SERVICE_TIERS[0].usd_per_request,
                now=self._now,
                new_id=lambda: f"demo-{next(number)}",
            )

        self._alone = cascade(None, self._baseline.hear)
        self._cascades = {}
        ordinary = sum(not one.runaway for one in day)
        for tenant, (share, _) in TENANTS.items():
            self.guards[tenant] = self._guard(tenant, ordinary * share * SERVICE_TIERS[-1].usd_per_request)
            self._cascades[tenant] = cascade(self.guards[tenant], self._here.hear, ledger.append)

    async def serve(self, watch: Callable[[Moment], object]) -> None:
        """Every request at its time."""
        stride = max(1, len(self.day) // MOMENTS)
        for done, request in enumerate(self.day):
            if done % stride == 0:
                watch(self.moment(done))
                await asyncio.sleep(0)  # nothing else waits here, and Ctrl-C is heard where something does
            self._now.now_s = request.time_s
            await self._baseline.send(self._alone, request)
            routed = await self._here.send(self._cascades[request.tenant], request)
            self._outcomes["refused" if routed is None else routed.tier] += 1
            self._degraded += routed is not None and routed.degraded
            if routed is None and request.runaway and self.refused_from_s is None:
                self.refused_from_s = request.time_s - SAMPLE_START_S
        watch(self.moment(len(self.day)))

    def moment(self, done: int) -> Moment:
        """How the day stands after so many requests."""
        return Moment(
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
        # Two queries may be typed anew as the same text; the model cannot tell them apart either.
        means = {one.text: one.query_id for one in self.day if not one.runaway}
        floors = (*recorded.min_confidence, 0.0)
        tiers = []
        for (name, said), floor, played in zip(recorded.answers.items(), floors, SERVICE_TIERS[1:], strict=True):
            model = ScriptedModel(partial(self._say, said, means, played.latency_s))
            tiers.append(Tier(played.name, model, LESSON_USD_PER_REQUEST[name], floor))
        return tiers

    def _say(self, said: Mapping[str, Prediction], means: Mapping[str, str], latency_s: float, text: str) -> Prediction:
        self._work.now_s += latency_s
        query = means.get(text)
        return NO_IDEA if query is None else said[query]

    def _guard(self, tenant: str, large_usd: float) -> BudgetGuard:
        hard_usd = round(max(MIN_BUDGET_USD, BUDGET_FRACTION * large_usd), 2)

        def tell(entry: AuditEntry) -> None:
            self.alerts.append(f"{clock(entry.time_s - SAMPLE_START_S)} {tenant}: {entry}")

        policy = BudgetPolicy(
            daily_soft_usd=SOFT_FRACTION * hard_usd, daily_hard_usd=hard_usd, monthly_usd=31 * hard_usd
        )
        number = count(1)
        return BudgetGuard(
            policy, MemoryBudgetStore(), clock=self._now, on_alert=tell, new_token=lambda: str(next(number))
        )


#: What a model says to something that is no support query.
NO_IDEA: Final = Prediction("", 0.0)
