"""Seconds and bytes of one call, on a CPU and on a GPU."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from costlab._internal.extras import require

__all__ = ["added_bytes", "free_bytes", "one_thread", "seconds"]

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of one call: of processor time on a CPU, between two events on a GPU."""
    if device == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    torch = require("torch", "models")
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On a CPU, torch works on one thread: processor time is then the time waited on an idle machine."""
    torch = require("torch", "models")
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def added_bytes(call: Callable[[], object], device: str) -> int | None:
    """Bytes that one call took at its peak beside what was there before; None where the system does not tell.

    On a CPU it is what the process grew by, and so too little where memory freed before is used again.
    """
    gc.collect()
    if device == "cuda":
        cuda = require("torch", "models").cuda
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
        before = cuda.memory_allocated()
        call()
        cuda.synchronize()
        return int(cuda.max_memory_allocated() - before)
    try:
        _CLEAR.write_text("5")  # from here on the peak is counted anew
        before = _status_bytes("VmRSS")
    except OSError:
        call()
        return None
    call()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def free_bytes(device: str) -> int | None:
    """Memory that is free for a model; None where the system does not tell."""
    if device == "cuda":
        return int(require("torch", "models").cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
