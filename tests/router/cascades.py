"""What the tests of the cascade share: tiers that do as they are told, budgets, and books that may be slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from costlab.events import RequestEvent
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetPolicy, Limits, MemoryBudgetStore
from costlab.monitoring.budget.engine import ReserveRequest, SettleRequest
from costlab.router import Prediction, ScriptedModel, Tier, TokenUsage

#: 2027-01-15 08:00 in UTC.
START_S = 1_800_000_000.0
FREE = TokenUsage()


def says(answer: str, confidence: float = 0.5, usage: TokenUsage = FREE, latency_s: float = 0.0) -> ScriptedModel:
    """A model that always says the same."""
    return ScriptedModel(lambda _query: Prediction(answer, confidence, usage), latency_s)


def fails(error: Exception, latency_s: float = 0.0) -> ScriptedModel:
    """A model that always fails."""
    return ScriptedModel(lambda _query: error, latency_s)


def hangs() -> ScriptedModel:
    """A model that never answers."""
    return says("never", latency_s=3600.0)


def lesson_tiers(small: float, medium: float, simple: bool = True, **settings: Any) -> list[Tier]:
    """The source lesson's three models, as sure as said: S7."""
    return [
        Tier("small", says("s", small), 0.0005, 0.95, lambda _query: simple, **settings),
        Tier("medium", says("m", medium), 0.003, 0.85),
        Tier("large", says("l", 0.2), 0.03),
    ]


def outcomes(result: Any) -> list[tuple[str, str]]:
    """Tier and outcome of each attempt."""
    return [(attempt.tier, attempt.outcome) for attempt in result.attempts]


def budget(usd: float, **settings: Any) -> AsyncBudgetGuard:
    """A guard of so many dollars a day, of which batch work may have 80 %."""
    policy = BudgetPolicy(daily_soft_usd=0.8 * usd, daily_hard_usd=usd, monthly_usd=100 * usd)
    return AsyncBudgetGuard(policy, MemoryBudgetStore(), clock=lambda: START_S, **settings)


async def books(guard: AsyncBudgetGuard) -> tuple[int, int]:
    """What is spent and what is reserved today, in micro-dollars."""
    status = await guard.status()
    return status.day_spent_micro_usd, status.day_reserved_micro_usd


def paid(events: list[RequestEvent]) -> int:
    """Micro-dollars of all events together."""
    assert all(event.cost_micro_usd is not None for event in events)
    return sum(event.cost_micro_usd or 0 for event in events)


class SlowStore(MemoryBudgetStore):
    """Books on a server that takes its time."""

    def __init__(self, answers_after_s: float) -> None:
        super().__init__()
        self.answers_after_s = answers_after_s

    async def transact_async(self, limits: Limits, request: Any) -> Any:
        if isinstance(request, SettleRequest):
            await asyncio.sleep(self.answers_after_s)
        reply = self.transact(limits, request)
        if isinstance(request, ReserveRequest):  # written down at once; the answer takes time to come back
            await asyncio.sleep(self.answers_after_s)
        return reply


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened, a second at most."""
    async with asyncio.timeout(1.0):
        while not condition():
            await asyncio.sleep(0)
