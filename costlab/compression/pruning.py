"""Pruning: the least weights become zero. What that saves depends on who skips the zeros."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes, tensors_of
from costlab.compression.quantization import output_name
from costlab.errors import InvalidValueError

__all__ = ["PATTERNS", "PrunedSizes", "make_permanent", "prune", "pruned_sizes", "sparsity_fraction"]

#: Which weights may become zero together.
#:
#: :meta hide-value:
PATTERNS: Final = {
    "unstructured": "the least weights of each matrix, wherever they stand",
    "structured": "the rows of each matrix whose weights are least together, that is whole outputs",
    "2:4": "two of every four neighbours in a row, which the sparse kernels of newer GPUs can skip",
}

#: An index and a row's start in a CSR matrix, in bytes.
INDEX_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedSizes:
    """Bytes of a pruned model, stored in several ways.

    Attributes
    ----------
    dense_bytes : int
        In memory, zeros and all. While masks are attached: the weights, their masks and the product of both.
    file_bytes : int
        As a file that torch writes.
    packed_bytes : int
        The weights through zlib, as gzip would have them, at its fastest level.
    csr_bytes : int
        The matrices as their non-zero weights with an index of 4 bytes each, the rest as it is.
    """

    dense_bytes: int
    file_bytes: int
    packed_bytes: int
    csr_bytes: int


def prune(model: Any, fraction: float = 0.5, *, pattern: str = "unstructured", in_place: bool = False) -> Any:
    """A model with masks on its linear layers: a share of their weights counts as zero.

    Parameters
    ----------
    model : torch.nn.Module
        The model; it stays as it is, unless `in_place`.
    fraction : float
        Share of each matrix to mask, in [0, 1); 0.5 for ``2:4``, which knows nothing else.
    pattern : str
        A name of ``costlab.compression.PATTERNS``. The weights of least size go; of rows, those of least length.
    in_place : bool
        Change the model instead of a copy.

    Returns
    -------
    torch.nn.Module
        With masks attached by ``torch.nn.utils.prune``, so that it can be trained further and what is pruned stays so;
        :func:`make_permanent` takes them off.

    Raises
    ------
    UnknownNameError
        If there is no such pattern.
    InvalidValueError
        If `fraction` is outside its domain, the model has masks already or no linear layers, or a row cannot be
        divided into fours.

    Notes
    -----
    Embeddings, norms, biases and an output matrix that is the embedding stay as they are. Size is a crude measure of
    what a weight does: SparseGPT and Wanda look at the inputs too.

    References
    ----------
    Han et al. (2015), Learning both Weights and Connections, https://arxiv.org/abs/1506.02626

    Mishra et al. (2021), Accelerating Sparse Deep Neural Networks (2:4), https://arxiv.org/abs/2104.08378

    Frantar and Alistarh (2023), SparseGPT, https://arxiv.org/abs/2301.00774

    Examples
    --------
    Does a model become smaller when nine tenths of its weights are zero?

    >>> import torch
    >>> dense = torch.nn.Sequential(torch.nn.Linear(512, 512))
    >>> pruned = make_permanent(prune(dense, 0.9))
    >>> round(sparsity_fraction(pruned), 2), measured_bytes(pruned) == measured_bytes(dense)
    (0.9, True)
    """
    torch = require("torch", "models")
    tools = require("torch.nn.utils.prune", "models")
    checks.one_of("pattern", pattern, PATTERNS)
    share = checks.fraction("fraction", fraction, one=False)
    if pattern == "2:4" and share != 0.5:
        raise InvalidValueError("fraction", "0.5 for the pattern 2:4", fraction)
    if any(tools.is_pruned(layer) for _, layer in linear_layers(model)):
        raise InvalidValueError("model", "one without masks; make them permanent first", type(model).__name__)
    changed = model if in_place else copy.deepcopy(model)
    layers = [layer for _, layer in linear_layers(changed)]
    if not layers:
        raise InvalidValueError("model", "one with linear layers", type(model).__name__)
    for layer in layers:
        if pattern == "unstructured":
            tools.l1_unstructured(layer, "weight", amount=share)
        elif pattern == "structured":
            tools.ln_structured(layer, "weight", amount=share, n=2, dim=0)
        else:
            tools.custom_from_mask(layer, "weight", _two_of_four(torch, layer.weight))
    return changed


def _two_of_four(torch: Any, weight: Any) -> Any:
    rows, columns = weight.shape
    if columns % 4:
        raise InvalidValueError("columns", "a multiple of 4 for the pattern 2:4", columns)
    fours = weight.detach().abs().reshape(rows, columns // 4, 4)
    kept = fours.topk(2, dim=-1).indices
    return torch.zeros_like(fours).scatter_(-1, kept, 1.0).reshape(rows, columns)


def make_permanent(model: Any) -> Any:
    """The same model without its masks: what they hid is zero now. It is changed itself.

    Parameters
    ----------
    model : torch.nn.Module
        What :func:`prune` made.

    Raises
    ------
    InvalidValueError
        If it has no masks.
    """
    tools = require("torch.nn.utils.prune", "models")
    masked = [layer for _, layer in linear_layers(model) if tools.is_pruned(layer)]
    if not masked:
        raise InvalidValueError("model", "one with masks", type(model).__name__)
    for layer in masked:
        tools.remove(layer, "weight")
    return model


def sparsity_fraction(model: Any, *, whole: bool = False) -> float:
    """Share of the linear layers' weights that are zero, masked ones counted; or of all weights.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    whole : bool
        Of all weights of the model, embeddings too. That is what a smaller file could save at most.

    Raises
    ------
    InvalidValueError
        If it has no linear layers.
    """
    matrices = [layer.weight for _, layer in linear_layers(model)]
    if not matrices:
        raise InvalidValueError("model", "one with linear layers", type(model).__name__)
    zeros = sum(int((matrix == 0).sum()) for matrix in matrices)
    counted = model.parameters() if whole else matrices
    return zeros / sum(int(weights.numel()) for weights in counted)


def pruned_sizes(model: Any) -> PrunedSizes:
    """Bytes of a pruned model, dense and compressed.

    Parameters
    ----------
    model : torch.nn.Module
        With masks or without.

    Examples
    --------
    At which share of zeros does CSR begin to pay, if an index takes as much as a weight?

    >>> import torch
    >>> half = pruned_sizes(make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(1024, 1024)), 0.5)))
    >>> round(half.csr_bytes / half.dense_bytes, 2)
    1.0
    """
    torch = require("torch", "models")
    hidden = sum(buffer.numel() * buffer.element_size() for name, buffer in model.named_buffers() if "_mask" in name)
    return PrunedSizes(
        dense_bytes=measured_bytes(model) + 2 * hidden,  # a mask is as wide as its weights, and so is their product
        file_bytes=measured_disk_bytes(model),
        packed_bytes=_packed_bytes(torch, model),
        csr_bytes=_csr_bytes(model),
    )


def _packed_bytes(torch: Any, model: Any) -> int:
    squeeze = zlib.compressobj(1)
    taken: set[int] = set()
    total = 0
    effective = {id(getattr(layer, "weight_orig", layer.weight)): layer.weight for _, layer in linear_layers(model)}
    for tensor in tensors_of(model):
        if tensor.data_ptr() in taken:
            continue
        taken.add(tensor.data_ptr())
        plain = effective.get(id(tensor), tensor).detach().cpu().contiguous()
        total += len(squeeze.compress(plain.view(torch.uint8).reshape(-1).numpy().tobytes()))
    return total + len(squeeze.flush())


def _csr_bytes(model: Any) -> int:
    total = measured_bytes(model)
    for _, layer in linear_layers(model):
        weight = layer.weight
        full = weight.numel() * weight.element_size()
        stored = int((weight != 0).sum()) * (weight.element_size() + INDEX_BYTES) + (len(weight) + 1) * INDEX_BYTES
        total += stored - full
    return total


def linear_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and layers that are pruned: the linear ones, without an output matrix that is the embedding."""
    torch = require("torch", "models")
    tied = output_name(model)
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != tied:
            yield name, layer
