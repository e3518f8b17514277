"""What measures: seconds and bytes of a call, bytes of a model, and silence and a bar while it lasts."""

from __future__ import annotations

import gc
import io
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from costlab._internal.extras import extra
from costlab._internal.terminal import console

if TYPE_CHECKING:
    import torch
    from _typeshed import ReadableBuffer

T = TypeVar("T")

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, log lines and warnings inside; errors are raised as ever.

    torchao reports each compiled part that the machine cannot use, transformers draws bars: in a lesson that is noise
    between the reader and the result. Not for use in threads, because stderr and logging belong to the whole process.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def progress_bar(shown: bool, steps: int, what: str) -> Iterator[Callable[[str], None]]:
    """A bar on stderr, gone when the work is done: a call that says what was done in each step."""
    if not shown:
        yield lambda name: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=steps)
        yield lambda name: progress.update(task, advance=1, description=name)


def seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of one call: of processor time on a CPU, between two events on a GPU."""
    if device == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    with extra("models"):
        import torch
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def graphed(call: Callable[[], T], device: str) -> tuple[Callable[[], T], str]:
    """The same call as one CUDA graph: the GPU runs all its kernels without waiting for the processor to ask for each.

    What the call reads and writes must stay where it is, and it returns the same tensors each time, filled again. On a
    CPU, and where it cannot be captured, it is the call itself. Also says in words which of these it is.
    """
    if device == "cpu":
        return call, ""
    try:
        return _captured(call), "CUDA graph"
    except RuntimeError as error:
        return call, f"no CUDA graph: {' '.join(str(error).split())[:200]}"


def _captured(call: Callable[[], T]) -> Callable[[], T]:
    with extra("models"):
        from torch import cuda
    stream = cuda.Stream()
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):  # kernels are compiled and libraries take their memory before the capture
        for _ in range(3):
            call()
    cuda.current_stream().wait_stream(stream)
    cuda.synchronize()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph, capture_error_mode="thread_local"):
        result = call()

    def replay() -> T:
        graph.replay()
        return result

    return replay


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On a CPU, torch works on one thread: processor time is then the time waited on an idle machine."""
    with extra("models"):
        import torch
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
        from torch import cuda

        cuda.synchronize()
        cuda.reset_peak_memory_stats()
        before = cuda.memory_allocated()
        call()
        cuda.synchronize()
        return cuda.max_memory_allocated() - before
    try:
        _CLEAR.write_text("5")  # from here on the peak is counted afresh
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
        from torch import cuda

        return cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def measured_bytes(model: torch.nn.Module) -> int:
    """Bytes of all tensors that a model's weights consist of, quantized ones with their scales, shared ones once.

    Buffers (positions, frequencies) are no weights and are not counted. Layers of ``torch-dynamic`` hold their weights
    packed for the processor; counted is what is packed.
    """
    tensors = list(tensors_of(model))  # all at once: the address of one that is gone would be used again
    sizes = {(tensor.data_ptr(), tuple(tensor.shape)): tensor.numel() * tensor.element_size() for tensor in tensors}
    return sum(sizes.values())


def measured_disk_bytes(model: torch.nn.Module) -> int:
    """Bytes of a model's file as torch writes it, quantized or not, without writing it."""
    import torch

    file = _CountingFile()
    with quiet():
        torch.save(model.state_dict(), file)
    return file.size_bytes


class _CountingFile(io.BytesIO):
    """A file that keeps the length of what is written and nothing else."""

    size_bytes = 0

    def write(self, data: ReadableBuffer, /) -> int:
        length = memoryview(data).nbytes
        self.size_bytes += length
        return length


def tensors_of(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The plain tensors that a model's weights consist of; shared ones may come twice."""
    for parameter in model.parameters():
        yield from _parts(parameter)
        state = getattr(parameter, "quant_state", None)  # bitsandbytes keeps the scales beside the weights
        if state is not None:
            yield from (state.absmax, state.code)
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if hasattr(module, "_packed_params") and callable(weight) and callable(bias):
            yield from (tensor for tensor in (weight(), bias()) if tensor is not None)


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors inside a tensor of a library's own class."""
    import torch

    if tensor.layout == torch.sparse_csr:
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif type(tensor) in (torch.Tensor, torch.nn.Parameter) or not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
    else:
        for name in tensor.__tensor_flatten__()[0]:
            yield from _parts(getattr(tensor, name))
