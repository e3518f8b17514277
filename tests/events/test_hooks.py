from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from costlab.errors import InvalidValueError
from costlab.events import Hooks, RequestEvent
from tests.events.test_request import GOOD

EVENT = RequestEvent(**GOOD)


class Broken:
    """A hook with state, which fails."""

    def __call__(self, event: RequestEvent) -> None:
        raise ValueError(event.model)


async def sleeper(event: RequestEvent) -> None:
    """A hook that would never run."""


class Sleeper:
    async def __call__(self, event: RequestEvent) -> None:
        """As above."""


def test_a_failing_hook_breaks_neither_the_request_nor_the_other_hooks() -> None:
    seen: list[RequestEvent] = []
    hooks = Hooks([seen.append, Broken(), seen.append])
    hooks.emit(EVENT)
    hooks.emit(EVENT)
    assert seen == [EVENT] * 4
    assert hooks.failures == 2
    assert hooks.failures_by_hook == {"Broken": 2}
    failure = hooks.last_failure
    assert failure is not None
    assert (failure.hook, failure.request_id, str(failure.error)) == ("Broken", "r-1", "gpt-4o-mini")
    assert failure.error.__traceback__ is None


def test_without_failures_there_is_nothing_to_tell() -> None:
    hooks = Hooks()
    hooks.emit(EVENT)
    assert (hooks.failures, hooks.failures_by_hook, hooks.last_failure) == (0, {}, None)


def test_failures_in_many_threads_are_all_counted() -> None:
    hooks = Hooks([Broken()])
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4000):
            pool.submit(hooks.emit, EVENT)
    assert hooks.failures == 4000


def test_an_interrupt_is_no_failure_of_a_hook() -> None:
    def interrupted(event: RequestEvent) -> None:
        raise KeyboardInterrupt

    hooks = Hooks([interrupted])
    with pytest.raises(KeyboardInterrupt):
        hooks.emit(EVENT)
    assert hooks.failures == 0


@pytest.mark.parametrize("hook", [sleeper, Sleeper(), "print"])
def test_a_hook_that_would_do_nothing_is_refused(hook: Any) -> None:
    with pytest.raises(InvalidValueError, match="a hook must be a plain function of one event"):
        Hooks([hook])
