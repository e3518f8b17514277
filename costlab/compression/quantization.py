"""Quantization: the same model with narrower weights, by the libraries that people use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from costlab._internal.extras import require
from costlab.compression.quiet import quiet
from costlab.compression.schemes import SCHEMES, Scheme, scheme_named
from costlab.compression.sizes import ModelShape, weights_bytes
from costlab.errors import InvalidValueError, MissingExtraError, SchemeUnavailableError
from costlab.recordings import find_device

__all__ = ["Availability", "available_schemes", "model_shape", "predicted_bytes", "quantize", "usable_device"]

#: What the libraries raise where a kernel is missing. A wrong argument of ours would be a TypeError, which is not here.
_REFUSALS: Final = (ImportError, AssertionError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a scheme runs on a device.

    Attributes
    ----------
    scheme : str
        Its name.
    available : bool
        Whether it ran, on a small layer.
    reason : str
        Why not; empty where it did.
    """

    scheme: str
    available: bool
    reason: str


def usable_device(kind: str | None = None) -> str:
    """``'cuda'`` or ``'cpu'``: the GPU if there is one and torch can use it, or what is asked for.

    Raises
    ------
    InvalidValueError
        If ``'cuda'`` is asked for and no GPU answers, or torch was built without CUDA.
    UnknownNameError
        If `kind` is neither.
    """
    found = find_device(kind).kind
    if found == "cuda" and not require("torch", "models").cuda.is_available():
        if kind == "cuda":
            raise InvalidValueError("device", "one that this torch can use (it was built without CUDA)", kind)
        return "cpu"
    return found


def quantize(model: Any, scheme: str, *, device: str | None = None, in_place: bool = False) -> Any:
    """A model with its linear layers quantized, ready to run.

    Parameters
    ----------
    model : torch.nn.Module
        The model; it stays as it is, unless `in_place`.
    scheme : str
        A name of ``costlab.compression.SCHEMES``.
    device : {'cpu', 'cuda'}, optional
        Where it will run; by default the GPU if there is one.
    in_place : bool
        Change the model instead of a copy: saves the memory of the copy.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients.

    Raises
    ------
    UnknownNameError
        If there is no such scheme.
    InvalidValueError
        If CUDA is asked for and absent.
    SchemeUnavailableError
        If the scheme does not run on the device.
    MissingExtraError
        If its library is not installed.

    Notes
    -----
    Only linear layers are quantized: embeddings, norms and biases stay at 16 or 32 bits, and with them an output matrix
    that is the embedding, except in ``torch-dynamic``, which takes all layers. Weights are rounded to the nearest step;
    nothing is calibrated on data, as GPTQ and AWQ do. Checkpoints made by those load with transformers from a hub.

    References
    ----------
    Dettmers et al. (2023), QLoRA (NF4), https://arxiv.org/abs/2305.14314

    Frantar et al. (2022), GPTQ, https://arxiv.org/abs/2210.17323

    Lin et al. (2023), AWQ, https://arxiv.org/abs/2306.00978

    Examples
    --------
    How far is a product of int8 weights from that of fp32 weights?

    >>> import torch
    >>> layer = torch.nn.Sequential(torch.nn.Linear(256, 256, bias=False))
    >>> x = torch.randn(8, 256)
    >>> exact, rounded = layer(x), quantize(layer, "int8-weight-only", device="cpu")(x)
    >>> bool((rounded - exact).norm() < 0.01 * exact.norm())
    True
    """
    chosen = scheme_named(scheme)
    place = usable_device(device)
    torch = require("torch", "models")
    with quiet():  # torchao and bitsandbytes list the kernels that they could not load
        require(chosen.library, "models")
    changed = model if in_place else copy.deepcopy(model)
    try:
        with quiet():
            return _APPLY[scheme](torch, changed, chosen, place).eval().requires_grad_(False)
    except _REFUSALS as error:
        if isinstance(error, MissingExtraError):
            raise
        raise SchemeUnavailableError(scheme, place, one_line(error)) from error


def available_schemes(device: str | None = None) -> tuple[Availability, ...]:
    """Which schemes run on a device, tried on a small layer, and why the others do not.

    Parameters
    ----------
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.

    Returns
    -------
    tuple of Availability
        One for each of ``costlab.compression.SCHEMES``.

    Raises
    ------
    InvalidValueError
        If CUDA is asked for and absent.
    MissingExtraError
        If torch is not installed.
    """
    place = usable_device(device)
    return tuple(_tried(name, place) for name in SCHEMES)


def _tried(name: str, place: str) -> Availability:
    torch = require("torch", "models")
    layer = torch.nn.Sequential(torch.nn.Linear(256, 256))
    dtype = computing_dtype(name, place)
    return tried(name, place, dtype, lambda: quantize(layer, name, device=place, in_place=True), _REFUSALS)


def tried(
    name: str, place: str, dtype: Any, make: Callable[[], Any], refusals: tuple[type[Exception], ...]
) -> Availability:
    """Whether the layer of 256 inputs that `make` makes gives numbers; a refusal is the reason why not."""
    torch = require("torch", "models")
    try:
        layer = make()
        inputs = torch.ones(16, 256, device=place, dtype=dtype)
        with torch.inference_mode():
            finite = bool(torch.isfinite(layer(inputs)).all())
    except SchemeUnavailableError as error:
        return Availability(name, False, error.reason)
    except refusals as error:
        return Availability(name, False, one_line(error))
    return Availability(name, finite, "" if finite else "its results are not finite")


def computing_dtype(scheme: str, place: str) -> Any:
    """The torch type of the numbers that go in and out of a layer."""
    torch = require("torch", "models")
    if scheme == "fp16":
        return torch.float16
    return torch.float32 if scheme_named(scheme).kept_on(place) == 32 else torch.bfloat16


def model_shape(model: Any, *, output_too: bool = False) -> ModelShape:
    """Shapes of a model's linear layers, and the number of its other weights.

    Parameters
    ----------
    model : torch.nn.Module
        A model that is not quantized yet.
    output_too : bool
        Count an output matrix that is the embedding a second time, among the matrices.
    """
    torch = require("torch", "models")
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    tied = output_name(model)
    matrices = [tuple(module.weight.shape) for name, module in linear if name != tied]
    inside = sum(rows * columns for rows, columns in matrices)
    kept = sum(weights.numel() for weights in model.parameters()) - inside
    shape = ModelShape(tuple(matrices), kept)
    again = [tuple(module.weight.shape) for name, module in linear if name == tied]
    return shape.plus(again) if output_too else shape


def predicted_bytes(model: Any, scheme: str, *, device: str | None = None) -> float:
    """Bytes that a model's weights will take in memory under a scheme, from shapes alone.

    Parameters
    ----------
    model : torch.nn.Module
        A model that is not quantized yet.
    scheme : str
        A name of ``costlab.compression.SCHEMES``.
    device : {'cpu', 'cuda'}, optional
        Where it will run; by default the GPU if there is one.
    """
    chosen, place = scheme_named(scheme), usable_device(device)
    shape = model_shape(model, output_too=chosen.output_too)
    return weights_bytes(shape, chosen.stored_on(place), chosen.kept_on(place))


def output_name(model: Any) -> str | None:
    """Name of the linear layer whose matrix is the input embedding, if there is one."""
    torch = require("torch", "models")
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    linear = ((name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return next((name for name, module in linear if id(module.weight) in tables), None)


def one_line(error: Exception) -> str:
    """What an error says, short."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _converted(torch: Any, model: Any, scheme: Scheme, place: str) -> Any:
    return model.to(device=place, dtype=computing_dtype(scheme.name, place))


def _by_torchao(torch: Any, model: Any, scheme: Scheme, place: str, *, config: str, **options: Any) -> Any:
    library = require("torchao.quantization", "models")
    model = _converted(torch, model, scheme, place)
    tied = output_name(model)
    chosen = getattr(library, config)(**options)
    library.quantize_(
        model, chosen, filter_fn=lambda module, name: isinstance(module, torch.nn.Linear) and name != tied
    )
    return model


def _by_bitsandbytes(torch: Any, model: Any, scheme: Scheme, place: str) -> Any:
    library = require("bitsandbytes", "models")
    model = _converted(torch, model, scheme, place)
    tied = output_name(model)
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or name == tied:
            continue
        kind: dict[str, Any] = {"quant_type": "nf4", "compress_statistics": False}
        narrow = library.nn.Linear4bit(
            module.in_features, module.out_features, bias=False, compute_dtype=module.weight.dtype, **kind
        )
        narrow.weight = library.nn.Params4bit(module.weight.data.cpu(), requires_grad=False, blocksize=64, **kind)
        narrow.bias = module.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, narrow.to(place))  # the weights are rounded by this move
    return model


def _int4(torch: Any, model: Any, scheme: Scheme, place: str) -> Any:
    if place != "cuda":
        raise NotImplementedError("torchao has its 4-bit kernel for GPUs only")
    packing = {"group_size": scheme.group, "int4_packing_format": "tile_packed_to_4d"}
    return _by_torchao(torch, model, scheme, place, config="Int4WeightOnlyConfig", **packing)


def _by_torch(torch: Any, model: Any, scheme: Scheme, place: str) -> Any:
    if place != "cpu":
        raise NotImplementedError("torch has these kernels for the CPU only")
    return torch.ao.quantization.quantize_dynamic(model.float(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True)


_APPLY: Final[dict[str, Any]] = {
    "fp32": _converted,
    "bf16": _converted,
    "fp16": _converted,
    "int8-weight-only": partial(_by_torchao, config="Int8WeightOnlyConfig"),
    "int8-dynamic": partial(_by_torchao, config="Int8DynamicActivationInt8WeightConfig"),
    "int4-weight-only": _int4,
    "nf4-weight-only": _by_bitsandbytes,
    "fp8": partial(_by_torchao, config="Float8DynamicActivationFloat8WeightConfig"),
    "torch-dynamic": _by_torch,
}
