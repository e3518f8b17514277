"""How fast a device copies memory and multiplies matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression.instruments import graphed
from costlab.compression.quantization import one_line
from costlab.errors import InvalidValueError
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, Row, find_device, library_versions

#: A terabyte, and matrices of 64 GB: beyond them no device has the memory, and no one the patience.
MAX_REPEATS: Final = 10_000
MAX_COPY_MIB: Final = 2**20
MAX_ROWS: Final = 2**17

#: Numbers that a GPU multiplies. tf32 are fp32 of which the matrix units read 10 bits of precision.
PRECISIONS: Final = ("fp32", "tf32", "bf16", "fp16", "fp8")


def measure_device(
    device: Annotated[str | None, Option("cuda or cpu; by default the GPU if there is one.")] = None,
    *,
    repeats: Annotated[int, Option("Timed repetitions, at least 5.", metavar="N")] = 9,
    copy_mib: Annotated[int | None, Option("MiB copied.", metavar="MIB")] = None,
    size: Annotated[int | None, Option("Rows of the matrices.", metavar="ROWS")] = None,
    load_s: float = 2.0,
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
    load_s : float
        Seconds of each load under which a GPU's power and clocks are read; at 0 they are not.

    Returns
    -------
    Recording
        A row per quantity with median, least and greatest of the repetitions, or with the reason why it could not be
        measured. In GB/s ``copy``, bytes read and bytes written both counted, and ``read``, a sum. In TFLOP/s
        ``matmul fp32`` and ``matmul bf16``, on a GPU ``tf32``, ``fp16`` and ``fp8`` too. In microseconds ``launch``, an
        operation on a single number, and on a GPU ``launch in a graph``. From the GPU's driver, idle, copying and
        multiplying in bf16: ``power`` in W, ``clock`` and ``memory clock`` in MHz; and the ``power limit``.

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
    fp32 (no TF32). fp8 has 4 bits of exponent (e4m3) and one scale for each matrix, and its sums are bf16.
    """
    checks.integer("repeats", repeats, 5, MAX_REPEATS)
    place = find_device(device)
    on_gpu = place.kind == "cuda"
    copy_mib = checks.integer("copy_mib", _default(copy_mib, 4096 if on_gpu else 256), 1, MAX_COPY_MIB)
    size = checks.integer("size", _default(size, 8192 if on_gpu else 1024), 1, MAX_ROWS)
    checks.non_negative("load_s", load_s)
    with extra("models"):
        import torch
    if on_gpu and not torch.cuda.is_available():
        raise InvalidValueError("device", "one that this torch can use (it was built without CUDA)", "cuda")
    timed = partial(_timed_s, on_gpu, repeats=repeats)
    board = _Board() if on_gpu and load_s else None
    rows = [] if board is None else board.rows("idle", lambda: time.sleep(0.02), load_s / 2)

    with _memory_errors():
        block = torch.empty(copy_mib * 2**20, dtype=torch.uint8, device=place.kind).fill_(1)
        copy = partial(torch.empty_like(block).copy_, block)
        rows = [_row("copy", "GB/s", [2 * copy_mib * 2**20 / s / 1e9 for s in timed(copy)]), *rows]
        read = timed(partial(torch.sum, block.view(torch.float32)))
        rows.insert(1, _row("read", "GB/s", [copy_mib * 2**20 / s / 1e9 for s in read]))
        if board is not None:
            rows += board.rows("copy", copy, load_s)
        del block, copy
        for precision in PRECISIONS if on_gpu else ("fp32", "bf16"):
            name = f"matmul {precision}"
            try:
                with _float32_precision("high" if precision == "tf32" else "highest"):
                    multiply = _product(precision, size, place.kind)
                    rows.append(_row(name, "TFLOP/s", [2 * size**3 / s / 1e12 for s in timed(multiply)]))
                if board is not None and precision == "bf16":
                    rows += board.rows(name, multiply, load_s)
            except (NotImplementedError, RuntimeError, ValueError) as error:
                if precision in ("fp32", "bf16"):  # what all devices have; with these something else is wrong
                    raise
                rows.append({"quantity": name, "unit": "TFLOP/s", "reason": one_line(error)})
    rows += _launches(place.kind, timed)

    return Recording.from_run(
        "device",
        rows,
        device=place if on_gpu else replace(place, name=f"{place.name}, {place.cores} cores"),
        versions=library_versions("python", "torch", "costlab"),
        options={"device": place.kind, "repeats": repeats, "copy_mib": copy_mib, "size": size},
        repeats=repeats,
    )


def _product(precision: str, size: int, device: str) -> Callable[[], object]:
    """A call that multiplies two random square matrices."""
    import torch

    generator = torch.Generator(device=device).manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator, device=device) for _ in range(2))
    if precision == "fp8":
        scale = torch.ones((), device=device)
        first, second = (matrix.to(torch.float8_e4m3fn) for matrix in (a, b))
        inputs = (first, second.t(), scale, scale)
        return partial(torch._scaled_mm, *inputs, out_dtype=torch.bfloat16, use_fast_accum=True)
    if precision == "tf32" and torch.cuda.get_device_capability() < (8, 0):
        raise NotImplementedError("tf32 came with compute capability 8.0")
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    return partial(torch.mm, a, b, out=torch.empty_like(a))


@contextmanager
def _float32_precision(name: str) -> Iterator[None]:
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _launches(device: str, timed: Callable[[Callable[[], object]], list[float]], count: int = 500) -> Iterator[Row]:
    """What it costs to ask for an operation, one by one and all at once in a CUDA graph."""
    import torch

    number = torch.zeros(1, device=device)

    def add() -> None:
        for _ in range(count):
            number.add_(1.0)

    yield _row("launch", "us", [1e6 * s / count for s in timed(add)])
    if device == "cuda":
        replay, how = graphed(add, device)
        if replay is add:
            yield {"quantity": "launch in a graph", "unit": "us", "reason": how}
        else:
            yield _row("launch in a graph", "us", [1e6 * s / count for s in timed(replay)])


class _Board:
    """A GPU's power and clocks, as its driver tells them."""

    def __init__(self, nvml: Any = None, synchronize: Callable[[], object] | None = None) -> None:
        if nvml is None:
            import pynvml

            nvml = pynvml
        if synchronize is None:
            from torch import cuda

            synchronize = cuda.synchronize
        self._nvml, self._synchronize = nvml, synchronize

    def rows(self, state: str, work: Callable[[], object], load_s: float) -> list[Row]:
        """Rows of what is read in the second half of some seconds of `work`; drivers tell the mean of a second."""
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return [{"quantity": self._name("power", state), "unit": "W", "reason": f"NVML: {error}"}]
        try:
            gpu = nvml.nvmlDeviceGetHandleByIndex(0)
            asked: dict[str, tuple[str, Callable[[], float]]] = {
                "power": ("W", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
                "clock": ("MHz", lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
                "memory clock": ("MHz", lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)),
            }
            if state == "idle":
                asked["power limit"] = ("W", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000)
            self._load(work, load_s / 2)
            readings: dict[str, list[float]] = {quantity: [] for quantity in asked}
            reasons: dict[str, str] = {}
            ends = time.monotonic() + load_s / 2
            while True:
                self._load(work, 0.0)
                for quantity, (_, ask) in asked.items():
                    try:
                        readings[quantity].append(ask())
                    except nvml.NVMLError as error:
                        reasons[quantity] = f"NVML: {error}"
                if time.monotonic() >= ends:
                    break
        finally:
            nvml.nvmlShutdown()
        return [
            _row(self._name(quantity, state), unit, readings[quantity])
            if readings[quantity]
            else {"quantity": self._name(quantity, state), "unit": unit, "reason": reasons[quantity]}
            for quantity, (unit, _) in asked.items()
        ]

    def _load(self, work: Callable[[], object], load_s: float) -> None:
        ends = time.monotonic() + load_s
        while True:
            for _ in range(8):
                work()
            self._synchronize()
            if time.monotonic() >= ends:
                break

    @staticmethod
    def _name(quantity: str, state: str) -> str:
        return quantity if quantity == "power limit" else f"{quantity}, {state}"


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


def _timed_s(on_gpu: bool, work: Callable[[], object], *, repeats: int) -> list[float]:
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
    width = max(12, *(len(row["quantity"]) for row in result.rows))
    for row in result.rows:
        if row.get("reason"):
            yield f"{row['quantity']:<{width}} not measured: {row['reason']}"
            continue
        spread = f"{row['least']:.4g} to {row['greatest']:.4g}"
        yield f"{row['quantity']:<{width}} {row['median']:>10.4g} {row['unit']:<8} ({spread})"


EXPERIMENT: Final = Experiment(measure=measure_device, lines=_lines)
