"""A cascade whose models fail, hang and are billed all the same, and whose customers give up at any moment.

Cache, guard and ledger are real, and the guard's file is locked now and then. What the test saw billed is never above
the limit; the guard's books and the ledger say the same, to the micro-dollar; and nobody is given another's answer.
"""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from costlab.cache import MemoryStore, ResponseCache
from costlab.errors import BudgetExceeded, BudgetStoreError
from costlab.monitoring import Ledger
from costlab.monitoring.budget import AsyncBudgetGuard, BudgetPolicy, SqliteBudgetStore
from costlab.router import Cascade, CascadeFailedError, ModelError, Prediction, Tier, TokenUsage
from costlab.units import MICRO_USD_PER_USD
from tests.stress.support import SEED, locked, until_over

pytestmark = [pytest.mark.stress, pytest.mark.anyio]

TENANTS = ("acme", "globex", "initech")
CUSTOMERS = 20
LIMIT_USD = 1.0
REFUSALS = 20
#: Of a call, in USD: what it costs, and the most that it can cost.
PRICES_USD = {"small": (0.001, 0.002), "medium": (0.003, 0.004), "large": (0.01, 0.015)}
TIMEOUT_S = 0.3


class Provider:
    """A model of a tier, and the bill for it.

    Parameters
    ----------
    name : str
        Of the tier.
    rng : Random
        Decides what becomes of a call.
    """

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name, self._rng, self.billed_micro_usd, self.calls = name, rng, 0, 0
        self._cost, self._most = (round(usd * MICRO_USD_PER_USD) for usd in PRICES_USD[name])

    async def predict(self, query: str) -> Prediction:
        """The answer, or one of many other ends; billed as soon as it was carried out, whoever hears of it."""
        rng, usage = self._rng, TokenUsage(10, 5)
        self.calls += 1
        await asyncio.sleep(rng.uniform(0, 0.005))
        end = rng.choices(["answers", "busy", "billed error", "breaks", "hangs", "cut off"], [80, 4, 4, 4, 2, 6])[0]
        if end == "busy":
            raise ModelError("429: nothing was done")
        if end in ("breaks", "hangs"):  # a bill of which nobody on this side knows
            self.billed_micro_usd += rng.choice([0, self._cost, self._most])
            if end == "hangs":
                await asyncio.sleep(60)
            raise ConnectionResetError
        self.billed_micro_usd += self._cost
        await asyncio.sleep(rng.uniform(0, 0.005))
        if end == "billed error":
            raise ModelError("the answer is no JSON", usage)
        answer = f"answer to {query}"
        return Prediction(answer, rng.random(), usage, complete=end != "cut off")


async def test_guard_and_ledger_agree_and_no_limit_is_passed(tmp_path: Path, counts: Counter[str]) -> None:
    rng = random.Random(SEED)
    for number, _ in enumerate(until_over(rng, 0, 0)):
        await spend(tmp_path, number, rng, counts)
    assert counts["answers"] > 0


async def spend(folder: Path, number: int, rng: random.Random, counts: Counter[str]) -> None:
    """Spend one budget to the brim."""
    providers = {name: Provider(name, rng) for name in PRICES_USD}
    store = SqliteBudgetStore(folder / f"budget-{number}", timeout_s=TIMEOUT_S)
    policy = BudgetPolicy(daily_soft_usd=LIMIT_USD, daily_hard_usd=LIMIT_USD, monthly_usd=1000)
    now_s = time.time()
    guard = AsyncBudgetGuard(policy, store, clock=lambda: now_s)
    ledger = Ledger(folder / f"ledger-{number}", flush_every_s=None)
    tiers = [
        Tier(name, providers[name], cost, 0.5, estimate_usd=most, timeout_s=TIMEOUT_S, max_concurrency=8)
        for name, (cost, most) in PRICES_USD.items()
    ]
    cascade = Cascade(tiers, ResponseCache(MemoryStore()), guard, [ledger.append], deadline_s=2.0)
    refused = 0

    async def customer() -> None:
        nonlocal refused
        while refused < REFUSALS:
            # Some are asked again, and there are always new ones.
            tenant, query = rng.choice(TENANTS), f"question {counts['requests'] // 5 + rng.randrange(5)}"
            patience_s = rng.uniform(0, 0.02) if rng.random() < 0.1 else 60
            counts["requests"] += 1
            try:
                async with asyncio.timeout(patience_s):
                    routed = await cascade.route(f"{query} of {tenant}", tenant=tenant)
            except BudgetExceeded:
                refused += 1
                counts["refusals"] += 1
            except TimeoutError:
                counts["given_up"] += 1
            except CascadeFailedError:
                counts["failures"] += 1
            except BudgetStoreError:
                counts["out_of_reach"] += 1
            else:
                counts["answers"] += 1
                counts["cached"] += routed.tier == "cache"
                assert routed.answer == f"answer to {query} of {tenant}"

    def lock() -> None:
        with locked(store.path):
            time.sleep(rng.uniform(0, 2 * TIMEOUT_S))
        counts["locks"] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CUSTOMERS):
            group.create_task(customer())
        await asyncio.sleep(rng.uniform(0, 0.2))
        await asyncio.to_thread(lock)
    await cascade.drain()
    while guard.waiting:
        await guard.flush()
    status, totals = await guard.status(), ledger.totals()
    ledger.close()
    store.disconnect()
    billed = sum(provider.billed_micro_usd for provider in providers.values())
    counts["budgets"] += 1
    counts["calls"] += sum(provider.calls for provider in providers.values())
    counts["micro_usd_billed"] += billed
    assert billed <= totals.cost_micro_usd == status.day_spent_micro_usd <= LIMIT_USD * MICRO_USD_PER_USD, number
    assert status.day_reserved_micro_usd == 0
