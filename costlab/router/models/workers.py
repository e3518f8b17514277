"""Threads of a model's own, so that one that computes holds up neither the event loop nor the other models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from costlab._internal import checks

__all__ = ["Workers"]

T = TypeVar("T")


class Workers:
    """A few threads, started when they are first needed; they end when nobody holds this object any more.

    The event loop's own threads are shared by everybody: twenty calls that wait for one slow model would leave none to
    the others.

    Parameters
    ----------
    threads : int
        Calls under way at a time, >= 0; further ones wait. With 0 a call is made in the event loop itself.
    """

    def __init__(self, threads: int) -> None:
        self._threads = checks.integer("threads", threads)
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns. Cancelled while it waits, it is not made at all."""
        if not self._threads:
            return call()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="costlab-model")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
