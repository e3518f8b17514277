"""Stores for the tests of the budget."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import EmbeddedServer
from costlab.monitoring.budget import BudgetStore, MemoryBudgetStore, RedisBudgetStore, SqliteBudgetStore
from tests.monitoring.budget.support import Clock
from tests.monitoring.servers import server_in

_numbers = count()

KINDS = ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, which forgets everything when it ends."""
    running = server_in(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for all tests that leave it alive."""
    server = server_in(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., BudgetStore]]:
    """Makes empty stores of every kind, one kind after the other, that go by a clock or their own."""
    made: list[SqliteBudgetStore | RedisBudgetStore] = []

    def make(**settings: Any) -> BudgetStore:
        number = next(_numbers)
        if request.param == "memory":
            return MemoryBudgetStore(**settings)
        if request.param == "sqlite":
            made.append(SqliteBudgetStore(tmp_path / f"budget-{number}", **settings))
        else:
            url = request.getfixturevalue("redis_server").url
            made.append(RedisBudgetStore(url, prefix=f"{{test-{number}}}:", timeout_s=10, **settings))
        return made[-1]

    yield make
    for store in made:
        store.disconnect()


@pytest.fixture
def clock() -> Clock:
    """What guards and stores go by."""
    return Clock()


@pytest.fixture
def store(new_store: Callable[..., BudgetStore], clock: Clock) -> BudgetStore:
    """One empty store of every kind."""
    return new_store(clock=clock)
