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
    ExtendRequest,
    ReserveRequest,
    ResetRequest,
    SettleRequest,
    StatusRequest,
    StoreReply,
)
from tests.monitoring.budget.support import START_S, Clock, policy
from tests.monitoring.budget.test_machine import unmarked

SEQUENCES, STEPS = 300, 40
KINDS = ["extend", "extend", "record", "reset", "status", "repeat", "again", "late"]
TTL_S = 600.0
POLICIES = [
    policy(daily_soft_usd=8e-6, daily_hard_usd=10e-6, monthly_usd=25e-6),
    policy(daily_soft_usd=0, daily_hard_usd=10e-6, monthly_usd=12e-6, monthly_soft_usd=5e-6, emergency_fraction=1),
]


def requests(seed: int, clock: Clock) -> Iterator[Any]:
    """What guards with clocks of their own send while the store's goes on.

    Requests are repeated where no answer came, settled late, twice or never, extended, and arrive out of order.
    """
    choose = random.Random(seed)
    now_s = START_S + choose.choice([0.0, 15.5 * 86400])  # a day, and the last hours of a month
    reserved: list[ReserveRequest] = []
    closed: list[ReserveRequest] = []
    settled: list[SettleRequest] = []
    sent: Any = None
    for number in range(STEPS):
        now_s += choose.choice([0.0, 0.0, 1.0, 200.0, 599.0, 600.0, 3000.0, 7200.0, 86400.0, -300.0])
        clock.now_s = now_s
        at_s = now_s + choose.choice([0.0, 0.0, -0.25, 60.0, 90.0])  # of a guard
        day = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
        month, token, amount = day[:7], f"t{number}", choose.randint(0, 6)
        priority: Any = choose.choice(["batch", "standard", "standard", "essential"])
        kind = choose.choice(["reserve"] * 6 + ["settle"] * 4 + KINDS)
        if kind == "reserve":
            sent = ReserveRequest(token, amount, priority, at_s, day, month, TTL_S)
            reserved.append(sent)
        elif kind == "settle" and reserved:
            one = reserved.pop(choose.randrange(len(reserved)))  # refused ones too: a guard that never heard the answer
            spent = choose.choice([None, 0, choose.randint(0, 9)])
            booked = choose.random() < 0.9
            sent = SettleRequest(one.token, spent, one.day, one.month, one.amount_micro_usd, booked)
            settled.append(sent)
            closed.append(one)
        elif kind == "extend" and reserved + closed:
            one = choose.choice(reserved + closed[-3:])
            sent = ExtendRequest(one.token, one.day, one.month, one.amount_micro_usd, TTL_S)
        elif kind == "record":
            sent = SettleRequest(token, amount, day, month, amount, False, at_s)
            settled.append(sent)
        elif kind == "reset":
            sent = ResetRequest("Ada", 'a "reason" \\ ü', choose.choice([0, 5]), at_s, day, month)
        elif kind == "status":
            sent = StatusRequest(day, month)
        elif kind == "again" and settled:
            sent = choose.choice(settled)
            if sent.now_s is not None:  # what was not reserved is sent again with the time that it is by then
                sent = sent._replace(day=day, month=month, now_s=at_s)
        elif kind == "late" and closed:
            sent = choose.choice(closed)
        if sent is not None:
            yield sent


def play(store: BudgetStore, limits: Limits, seed: int, clock: Clock) -> list[object]:
    """What a store answers to a sequence, and what it holds at its end."""
    answers: list[object] = [unmarked(store.transact(limits, request)) for request in requests(seed, clock)]
    return [*answers, store.transact(limits, AuditRequest())]


@pytest.mark.redis
def test_no_answer_of_the_script_differs_from_the_engines(redis_server: EmbeddedServer) -> None:
    differences, outcomes = [], Counter[str]()
    for seed in range(SEQUENCES):
        limits = POLICIES[seed % len(POLICIES)].limits
        clock = Clock()
        script = RedisBudgetStore(redis_server.url, prefix=f"{{differential-{seed}}}:", timeout_s=10, clock=clock)
        engine, store = play(MemoryBudgetStore(clock=clock), limits, seed, clock), play(script, limits, seed, clock)
        script.disconnect()
        outcomes.update(reply.outcome for reply in engine if isinstance(reply, StoreReply))
        places = enumerate(zip(engine, store, strict=True))
        differences += [(seed, step, one, other) for step, (one, other) in places if one != other][:1]
    assert differences == []
    # The sequences come everywhere.
    assert set(outcomes) == set(get_args(StoreReply.__annotations__["outcome"]))
    assert min(outcomes.values()) > SEQUENCES / 10
