"""The device at hand: what it is, and how fast it copies and multiplies."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.errors import InvalidValueError
from costlab.recordings import Recording

__all__ = ["Device", "find_device", "library_versions", "measure_device"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device to measure on.

    Attributes
    ----------
    kind : {'cuda', 'cpu'}
        What torch calls it.
    name : str
        As it reports itself.
    short_name : str
        In the names of recordings: ``h200``, ``t4``, ``cpu``.
    driver : str
        Version of the GPU's driver; ``none`` on a CPU.
    memory_gib : float or None
        Memory of the GPU in GiB; None on a CPU.
    cores : int
        CPU cores that this process may use.
    """

    kind: str
    name: str
    short_name: str
    driver: str
    memory_gib: float | None
    cores: int


def find_device(kind: str | None = None) -> Device:
    """The GPU if there is one, otherwise the CPU.

    Parameters
    ----------
    kind : {'cuda', 'cpu'}, optional
        Insist on this kind.

    Raises
    ------
    InvalidValueError
        If ``'cuda'`` is asked for and no GPU answers.
    UnknownNameError
        If `kind` is neither.
    """
    if kind is not None:
        checks.one_of("device", kind, ("cuda", "cpu"))
    gpu = None if kind == "cpu" else _first_gpu()
    if gpu is not None:
        return gpu
    if kind == "cuda":
        raise InvalidValueError("device", "one that is present (nvidia-smi finds no GPU here)", kind)
    return Device("cpu", _cpu_name(), "cpu", "none", None, _cores())


def _first_gpu() -> Device | None:
    fields = "name,driver_version,memory.total"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        name, driver, mib = (part.strip() for part in done.stdout.splitlines()[0].split(","))
        memory_gib = float(mib) / 1024
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    # "NVIDIA A100-SXM4-80GB" -> "a100-sxm4-80gb", "Tesla T4" -> "t4", "NVIDIA H200" -> "h200"
    words = [word for word in name.lower().split() if word not in ("nvidia", "tesla", "geforce")]
    return Device("cuda", name, "-".join(words), driver, memory_gib, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


#: A terabyte, and matrices of 64 GB: beyond them no device has the memory, and nobody the patience.
MAX_REPEATS: Final = 10_000
MAX_COPY_MIB: Final = 2**20
MAX_ROWS: Final = 2**17


def measure_device(
    kind: str | None = None, *, repeats: int = 9, copy_mib: int | None = None, size: int | None = None
) -> Recording:
    """How fast a device copies memory and multiplies matrices, to set beside its data sheet.

    Parameters
    ----------
    kind : {'cuda', 'cpu'}, optional
        Which device; by default the GPU if there is one.
    repeats : int
        Timed repetitions of each measurement, after two that are not counted, in 5..10,000.
    copy_mib : int, optional
        Size of the block copied, in MiB: by default 4096 on a GPU, far above its caches, and 256 on a CPU.
    size : int, optional
        Rows of the square matrices: by default 8192 on a GPU and 1024 on a CPU.

    Returns
    -------
    Recording
        A row per quantity: ``copy`` in GB/s, bytes read and bytes written both counted, and ``matmul fp32`` and
        ``matmul bf16`` in TFLOP/s, each with median, least and greatest of the repetitions.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    InvalidValueError
        If a number is outside its domain or the device is absent.
    MemoryError
        If the device has not so much memory.

    Notes
    -----
    Matrices hold normal random numbers from seed 0: zeros would run faster than real data. fp32 is multiplied in
    fp32 (no TF32).
    """
    checks.integer("repeats", repeats, 5, MAX_REPEATS)
    device = find_device(kind)
    on_gpu = device.kind == "cuda"
    copy_bytes = checks.integer("copy_mib", _default(copy_mib, 4096 if on_gpu else 256), 1, MAX_COPY_MIB) * 2**20
    n = checks.integer("size", _default(size, 8192 if on_gpu else 1024), 1, MAX_ROWS)
    torch = require("torch", "models")
    if on_gpu and not torch.cuda.is_available():
        raise InvalidValueError("device", "one that this torch can use (it was built without CUDA)", "cuda")
    torch.set_float32_matmul_precision("highest")
    generator = torch.Generator(device=device.kind).manual_seed(0)

    with _memory_errors():
        block = torch.empty(copy_bytes, dtype=torch.uint8, device=device.kind).fill_(1)
        copied = _timed_s(torch, on_gpu, partial(torch.empty_like(block).copy_, block), repeats)
        rows = [_row("copy", "GB/s", [2 * copy_bytes / s / 1e9 for s in copied])]
        del block
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            a, b = (torch.randn(n, n, generator=generator, device=device.kind).to(dtype) for _ in range(2))
            product = torch.empty_like(a)
            multiplied = _timed_s(torch, on_gpu, partial(torch.mm, a, b, out=product), repeats)
            rows.append(_row(f"matmul {name}", "TFLOP/s", [2 * n**3 / s / 1e12 for s in multiplied]))

    options = f" --repeats {repeats} --copy-mib {copy_bytes // 2**20} --size {n}"
    return Recording(
        experiment="device",
        device=device.short_name,
        device_name=f"{device.name}, {device.cores} cores" if not on_gpu else device.name,
        driver=device.driver,
        library_versions={"python": platform.python_version(), **library_versions("torch", "costlab")},
        recorded_on=date.today().isoformat(),
        command=f"costlab bench device --device {device.kind}{options} --record",
        repeats=repeats,
        rows=tuple(rows),
    )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raises what torch says of too little memory as Python's own error, in one line."""
    try:
        yield
    except RuntimeError as error:
        words = str(error)
        if "allocate" in words or "out of memory" in words:
            raise MemoryError(words.splitlines()[0]) from error
        raise


def _default(value: int | None, default: int) -> int:
    return default if value is None else value


def _timed_s(torch: Any, on_gpu: bool, work: Any, repeats: int) -> list[float]:
    seconds = []
    for repeat in range(repeats + 2):
        if on_gpu:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            work()
            end.record()
            end.synchronize()
            took = begin.elapsed_time(end) / 1000
        else:
            started = time.perf_counter()
            work()
            took = time.perf_counter() - started
        if repeat >= 2:
            seconds.append(took)
    return seconds


def _row(quantity: str, unit: str, values: list[float]) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "unit": unit,
        "median": statistics.median(values),
        "least": min(values),
        "greatest": max(values),
    }


def library_versions(*names: str) -> dict[str, str]:
    """The versions of those of the libraries that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
