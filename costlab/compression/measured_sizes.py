"""Bytes of a model as it is: in memory and as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from costlab._internal.extras import require
from costlab.compression.quiet import quiet

__all__ = ["measured_bytes", "measured_disk_bytes"]


def measured_bytes(model: Any) -> int:
    """Bytes of all tensors that a model's weights consist of, quantized ones with their scales, shared ones once.

    Parameters
    ----------
    model : torch.nn.Module
        Any model, quantized or not.

    Notes
    -----
    Buffers (positions, frequencies) are no weights and are not counted. Layers of ``torch-dynamic`` hold their weights
    packed for the processor; counted is what is packed.
    """
    tensors = list(tensors_of(model))  # all at once: the address of one that is gone would be used again
    sizes = {(tensor.data_ptr(), tuple(tensor.shape)): tensor.numel() * tensor.element_size() for tensor in tensors}
    return sum(sizes.values())


def measured_disk_bytes(model: Any) -> int:
    """Bytes of a model's file as torch writes it, without writing it.

    Parameters
    ----------
    model : torch.nn.Module
        Any model, quantized or not.
    """
    file = _Counting()
    with quiet():
        require("torch", "models").save(model.state_dict(), file)
    return file.size_bytes


class _Counting:
    """A file that keeps the length of what is written and nothing else."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        length = memoryview(data).nbytes
        self.size_bytes += length
        return length

    def flush(self) -> None:
        """Nothing waits to be written."""


def tensors_of(model: Any) -> Iterator[Any]:
    """The plain tensors that a model's weights consist of; shared ones may come twice."""
    for parameter in model.parameters():
        yield from _parts(parameter)
        state = getattr(parameter, "quant_state", None)  # bitsandbytes keeps the scales beside the weights
        if state is not None:
            yield from (state.absmax, state.code)
    for module in model.modules():
        if hasattr(module, "_packed_params") and callable(getattr(module, "weight", None)):
            yield module.weight()
            if module.bias() is not None:
                yield module.bias()


def _parts(tensor: Any) -> Iterator[Any]:
    """The plain tensors inside a tensor of a library's own class."""
    torch = require("torch", "models")
    if tensor.layout == torch.sparse_csr:
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
        return
    if type(tensor) in (torch.Tensor, torch.nn.Parameter) or not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        yield from _parts(getattr(tensor, name))
