"""A store that failed is left alone for a while, ever longer, and taken back at once when it answers."""

from __future__ import annotations

import pytest

from costlab.cache import CircuitBreaker
from costlab.errors import InvalidValueError
from tests.cache.support import Clock


def test_all_attempts_pass_while_all_is_well() -> None:
    breaker = CircuitBreaker(clock=Clock())
    assert all(breaker.ticket() for _ in range(10))
    assert breaker.closed


def test_the_delay_doubles_up_to_its_limit() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 5, clock=clock)
    delays = []
    for _ in range(5):
        breaker.failed(breaker.ticket())
        failed_at = clock.now_s
        while breaker.ticket() is None:
            clock.now_s += 0.5
        delays.append(clock.now_s - failed_at)
        clock.now_s = failed_at + delays[-1] + 10  # the attempt that was let through is not heard of again
    assert delays == [1, 2, 4, 5, 5]


def test_one_attempt_at_a_time_tries_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    breaker.failed(breaker.ticket())
    clock.now_s += 1
    tickets = [breaker.ticket() for _ in range(10)]
    assert [ticket is not None for ticket in tickets] == [True] + 9 * [False]


def test_a_success_closes_it_and_forgets_the_delay() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    for _ in range(3):
        breaker.failed(breaker.ticket())
        clock.now_s += 100
    breaker.succeeded(breaker.ticket())
    assert breaker.closed
    breaker.failed(breaker.ticket())
    clock.now_s += 1
    assert breaker.ticket() is not None


def test_failures_under_way_together_count_as_one() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    for ticket in [breaker.ticket() for _ in range(200)]:
        breaker.failed(ticket)
    clock.now_s += 1
    assert breaker.ticket() is not None


def test_a_success_from_before_the_failure_proves_nothing() -> None:
    breaker = CircuitBreaker(1, clock=Clock())
    early, late = breaker.ticket(), breaker.ticket()
    breaker.failed(late)
    breaker.succeeded(early)
    assert not breaker.closed


@pytest.mark.parametrize("name", ["first_s", "longest_s"])
def test_delays_are_times(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} must be a number > 0, got 0"):
        CircuitBreaker(**{name: 0})  # type: ignore[arg-type]
