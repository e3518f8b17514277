"""How fast a device copies memory and multiplies matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, Row, find_device, library_versions

#: A terabyte, and matrices of 64 GB: beyond them no device has the memory, and nobody the patience.
MAX_REPEATS: Final = 10_000
MAX_COPY_MIB: Final = 2**20
MAX_ROWS: Final = 2**17


def measure_device(
    device: Annotated[str | None, Option("cuda or cpu; by default the GPU if there is one.")] = None,
    *,
    repeats: Annotated[int, Option("Timed repetitions, at least 5.", metavar="N")] = 9,
    copy_mib: Annotated[int | None, Option("MiB copied.", metavar="MIB")] = None,
    size: Annotated[int | None, Option("Rows of the matrices.", metavar="ROWS")] = None,
) -> Recording:
    """How fast a device copies memory and multiplies matrices, to set beside its data sheet.

    Parameters
    ----------
    device : {'cuda', 'cpu'}, optional
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
    place = find_device(device)
    on_gpu = place.kind == "cuda"
    copy_mib = checks.integer("copy_mib", _default(copy_mib, 4096 if on_gpu else 256), 1, MAX_COPY_MIB)
    size = checks.integer("size", _default(size, 8192 if on_gpu else 1024), 1, MAX_ROWS)
    with extra("models"):
        import torch
    if on_gpu and not torch.cuda.is_available():
        raise InvalidValueError("device", "one that this torch can use (it was built without CUDA)", "cuda")
    torch.set_float32_matmul_precision("highest")
    generator = torch.Generator(device=place.kind).manual_seed(0)

    with _memory_errors():
        block = torch.empty(copy_mib * 2**20, dtype=torch.uint8, device=place.kind).fill_(1)
        copied = _timed_s(on_gpu, partial(torch.empty_like(block).copy_, block), repeats)
        rows = [_row("copy", "GB/s", [2 * copy_mib * 2**20 / s / 1e9 for s in copied])]
        del block
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            a, b = (torch.randn(size, size, generator=generator, device=place.kind).to(dtype) for _ in range(2))
            product = torch.empty_like(a)
            multiplied = _timed_s(on_gpu, partial(torch.mm, a, b, out=product), repeats)
            rows.append(_row(f"matmul {name}", "TFLOP/s", [2 * size**3 / s / 1e12 for s in multiplied]))

    return Recording.from_run(
        "device",
        rows,
        device=place if on_gpu else replace(place, name=f"{place.name}, {place.cores} cores"),
        versions=library_versions("python", "torch", "costlab"),
        options={"device": place.kind, "repeats": repeats, "copy_mib": copy_mib, "size": size},
        repeats=repeats,
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


def _timed_s(on_gpu: bool, work: Callable[[], object], repeats: int) -> list[float]:
    import torch

    seconds = []
    for repeat in range(repeats + 2):
        if on_gpu:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
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


def _row(quantity: str, unit: str, values: list[float]) -> Row:
    spread = {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
    return {"quantity": quantity, "unit": unit, **spread}


def _lines(result: Recording) -> Iterator[str]:
    yield f"{result.device_name} ({result.recorded_on}, median of {result.repeats})"
    for row in result.rows:
        spread = f"{row['least']:.4g} to {row['greatest']:.4g}"
        yield f"{row['quantity']:<12} {row['median']:>10.4g} {row['unit']:<8} ({spread})"


EXPERIMENT: Final = Experiment(measure=measure_device, lines=_lines)
