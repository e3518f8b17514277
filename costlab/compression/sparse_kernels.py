"""Kernels that skip zeros: compressed rows (CSR), and two of four on a GPU that has it."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.pruning import linear_layers, make_permanent, prune
from costlab.compression.quantization import Availability, tried, usable_device
from costlab.errors import CostlabError, SchemeUnavailableError

__all__ = ["KERNELS", "available_kernels", "with_sparse_kernel"]

#: Ways to multiply with a matrix of many zeros.
#:
#: :meta hide-value:
KERNELS: Final = {
    "csr": "only the weights that are not zero, each with its column, on the CPU",
    "semi-structured": "two of every four weights, by the sparse tensor cores of GPUs from Ampere on",
}

#: The first NVIDIA generation with sparse tensor cores: compute capability 8.0, Ampere.
FIRST_CAPABILITY: Final = (8, 0)


def with_sparse_kernel(model: Any, kernel: str, *, device: str | None = None) -> Any:
    """A copy of a pruned model whose linear layers skip their zeros.

    Parameters
    ----------
    model : torch.nn.Module
        Pruned and made permanent; for ``semi-structured`` in the pattern 2:4.
    kernel : str
        A name of ``costlab.compression.KERNELS``.
    device : {'cpu', 'cuda'}, optional
        Where it will run; by default the GPU if there is one.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients; with ``semi-structured`` in bf16.

    Raises
    ------
    UnknownNameError
        If there is no such kernel.
    InvalidValueError
        If CUDA is asked for and absent.
    SchemeUnavailableError
        If the device has no such kernel; the message says why.

    References
    ----------
    PyTorch (2023), Accelerating Neural Network Training with Semi-Structured (2:4) Sparsity,
    https://pytorch.org/blog/accelerating-neural-network-training/

    Examples
    --------
    Does it compute the same?

    >>> import torch
    >>> pruned = make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(64, 64)), 0.9))
    >>> sparse, x = with_sparse_kernel(pruned, "csr", device="cpu"), torch.randn(8, 64)
    >>> torch.allclose(sparse(x), pruned(x), atol=1e-5)
    True
    """
    checks.one_of("kernel", kernel, KERNELS)
    place = usable_device(device)
    torch = require("torch", "models")
    reason = _refusal(torch, kernel, place)
    if reason:
        raise SchemeUnavailableError(kernel, place, reason)
    changed = copy.deepcopy(model).eval().requires_grad_(False)
    if kernel == "semi-structured":
        changed = changed.to(place, torch.bfloat16)
        for _, layer in linear_layers(changed):
            layer.weight = torch.nn.Parameter(torch.sparse.to_sparse_semi_structured(layer.weight), requires_grad=False)
        return changed
    for name, layer in list(linear_layers(changed)):
        parent, _, last = name.rpartition(".")
        setattr(changed.get_submodule(parent), last, _compressed_rows(torch, layer))
    return changed


def _refusal(torch: Any, kernel: str, place: str) -> str:
    if kernel == "csr":
        return "" if place == "cpu" else "costlab measures it on the CPU; on a GPU it is slower than zeros and all"
    if place == "cpu":
        return "its kernels are for CUDA only"
    found = torch.cuda.get_device_capability()
    return "" if found >= FIRST_CAPABILITY else f"compute capability {found[0]}.{found[1]} has no sparse tensor cores"


def _compressed_rows(torch: Any, layer: Any) -> Any:
    class CompressedRows(torch.nn.Module):  # type: ignore[misc]
        """A linear layer whose matrix is kept as CSR with indices of 4 bytes."""

        def __init__(self) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that CSR is in beta
                rows = layer.weight.detach().to_sparse_csr()
                narrow = torch.sparse_csr_tensor(
                    rows.crow_indices().int(), rows.col_indices().int(), rows.values(), size=rows.shape
                )
            self.weight = torch.nn.Parameter(narrow, requires_grad=False)
            self.bias = layer.bias

        def forward(self, inputs: Any) -> Any:
            """Inputs times the matrix."""
            columns = inputs.reshape(-1, inputs.shape[-1]).t()
            product = (self.weight @ columns).t().reshape(*inputs.shape[:-1], -1)
            return product if self.bias is None else product + self.bias

    return CompressedRows()


def available_kernels(device: str | None = None) -> tuple[Availability, ...]:
    """Which sparse kernels run on a device, tried on a small layer, and why the others do not.

    Parameters
    ----------
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.

    Returns
    -------
    tuple of Availability
        One for each of ``costlab.compression.KERNELS``.

    Raises
    ------
    InvalidValueError
        If CUDA is asked for and absent.
    """
    place = usable_device(device)
    return tuple(_tried(name, place) for name in KERNELS)


def _tried(kernel: str, place: str) -> Availability:
    torch = require("torch", "models")
    layer = make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(256, 256)), 0.5, pattern="2:4"))
    dtype = torch.bfloat16 if place == "cuda" else torch.float32
    refusals = (CostlabError, NotImplementedError, RuntimeError)
    return tried(kernel, place, dtype, lambda: with_sparse_kernel(layer, kernel, device=place), refusals)
