"""The engine and the script of the Redis store, side by side: 300 sequences of requests as guards may send them."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from costlab.cache import EmbeddedServer
from costlab.monitoring.budget import BudgetStore, Limits, MemoryBudgetStore, RedisBudgetStore
from costlab.monitoring.budget.engine import (
    AuditRequest,
    ReserveRequest,
    ResetRequest,
    SettleRequest,
    StatusRequest,
    StoreReply,
)
from tests.monitoring.budget.support import START_S, policy
from tests.monitoring.budget.test_machine import unmarked

SEQUENCES, STEPS = 300, 40
TTL_S = 600.0
POLICIES = [
    policy(daily_soft_usd=8e-6, daily_hard_usd=10e-6, monthly_usd=25e-6),
    policy(daily_soft_usd=0, daily_hard_usd=10e-6, monthly_usd=12e-6, monthly_soft_usd=5e-6, emergency_fraction=1),
]


def requests(seed: int) -> Iterator[Any]:
    """What guards with clocks of their own send: repeated where no answer came, settled late, twice or never."""
    choose = random.Random(seed)
    now_s = START_S + choose.choice([0.0, 15.5 * 86400])  # a day, and the last hours of a month
    reserved: list[ReserveRequest] = []
    settled: list[SettleRequest] = []
    sent: Any = None
    for number in range(STEPS):
        now_s += choose.choice([0.0, 0.0, 1.0, 200.0, 599.0, 600.0, 7200.0, 86400.0, -300.0])
        at_s = now_s + choose.choice([0.0, 0.0, -0.25, 90.0])  # of another guard
        day = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
        month, token, amount = day[:7], f"t{number}", choose.randint(0, 6)
        priority: Any = choose.choice(["batch", "standard", "standard", "essential"])
        kind = choose.choice(["reserve"] * 5 + ["settle"] * 4 + ["record", "reset", "status", "repeat", "again"])
        if kind == "reserve":
            sent = ReserveRequest(token, amount, priority, at_s, day, month, at_s + TTL_S)
            reserved.append(sent)
        elif kind == "settle" and reserved:
            one = reserved.pop(choose.randrange(len(reserved)))  # refused ones too: a guard that never heard the answer
            spent = choose.choice([None, 0, choose.randint(0, 9)])
            unbooked = choose.random() < 0.1
            sent = SettleRequest(one.token, spent, at_s, one.day, one.month, one.amount_micro_usd, unbooked=unbooked)
            settled.append(sent)
        elif kind == "record":
            sent = SettleRequest(token, amount, at_s, day, month, amount, unbooked=True)
            settled.append(sent)
        elif kind == "reset":
            sent = ResetRequest("Ada", 'a "reason" \\ ü', choose.choice([0, 5]), at_s, day, month)
        elif kind == "status":
            sent = StatusRequest(at_s, day, month)
        elif kind == "again" and settled:
            sent = choose.choice(settled)._replace(again=True)
        if sent is not None:
            yield sent


def play(store: BudgetStore, limits: Limits, seed: int) -> list[object]:
    """What a store answers to a sequence, and what it holds at its end."""
    answers: list[object] = [unmarked(store.transact(limits, request)) for request in requests(seed)]
    return [*answers, store.transact(limits, AuditRequest())]


@pytest.mark.redis
def test_no_answer_of_the_script_differs_from_the_engines(redis_server: EmbeddedServer) -> None:
    differences, outcomes = [], Counter[str]()
    for seed in range(SEQUENCES):
        limits = POLICIES[seed % len(POLICIES)].limits
        script = RedisBudgetStore(redis_server.url, prefix=f"{{differential-{seed}}}:", timeout_s=10)
        engine, store = play(MemoryBudgetStore(), limits, seed), play(script, limits, seed)
        script.disconnect()
        outcomes.update(reply.outcome for reply in engine if isinstance(reply, StoreReply))
        places = enumerate(zip(engine, store, strict=True))
        differences += [(seed, step, one, other) for step, (one, other) in places if one != other][:1]
    assert differences == []
    # The sequences come everywhere.
    assert set(outcomes) == set(get_args(StoreReply.__annotations__["outcome"]))
    assert min(outcomes.values()) > SEQUENCES / 10
