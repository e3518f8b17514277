"""Quantization: the same model with narrower weights, by the libraries that people use."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression.instruments import quiet
from costlab.compression.sizes import ModelShape, WeightFormat, weights_bytes
from costlab.errors import InvalidValueError, MissingExtraError, SchemeUnavailableError
from costlab.recordings import find_device

if TYPE_CHECKING:
    import torch

#: What the libraries raise where a kernel is missing. A wrong argument of ours would be a TypeError, which is not here.
REFUSALS: Final = (ImportError, AssertionError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to store a model's weights and to multiply with them.

    Attributes
    ----------
    name, summary, library : str
        What it is called, what it does in a sentence, and the library whose kernels run it.
    bits : float
        Bits of a weight in a matrix, without scales.
    group : int or {'row', 'matrix'} or None
        Which weights share a scale.
    scale_bits, zero_point_bits : float or None, float
        Bits of a scale, None for as many as a kept weight has; and of the zero point beside it.
    kept_bits, kept_bits_on_gpu : float
        Bits of what is kept (embeddings, norms, biases) and of the numbers computed with, on a CPU and on a GPU.
    output_too : bool
        Whether an output matrix that is the embedding is quantized as well, as a copy.
    """

    name: str
    summary: str
    library: str
    bits: float
    group: int | str | None = None
    scale_bits: float | None = 0.0
    zero_point_bits: float = 0.0
    kept_bits: float = 32.0
    kept_bits_on_gpu: float = 16.0
    output_too: bool = False

    def kept_on(self, device: str) -> float:
        """Bits of a kept weight on a kind of device."""
        return self.kept_bits_on_gpu if device == "cuda" else self.kept_bits

    def stored_on(self, device: str) -> WeightFormat:
        """How the matrices are stored on a kind of device."""
        scale_bits = self.kept_on(device) if self.scale_bits is None else self.scale_bits
        return WeightFormat(self.bits, self.group, scale_bits, self.zero_point_bits)


# fmt: off
_ALL: Final = (
    Scheme("fp32", "32-bit floating point, as many models are trained",
           "torch", 32, kept_bits_on_gpu=32),
    Scheme("bf16", "16-bit floating point with the range of fp32 and 8 bits of precision",
           "torch", 16, kept_bits=16),
    Scheme("fp16", "16-bit floating point with 11 bits of precision, up to 65,504",
           "torch", 16, kept_bits=16),
    Scheme("int8-weight-only", "8-bit weights, a scale for each row; widened before they are multiplied",
           "torchao", 8, "row", None, zero_point_bits=8),
    Scheme("int8-dynamic", "8-bit weights, a scale for each row; inputs rounded to 8 bits too, a scale for each token",
           "torchao", 8, "row", None, zero_point_bits=8),
    Scheme("int4-weight-only", "4-bit weights at even steps, scale and zero point for 64 neighbours",
           "torchao", 4, 64, 16, zero_point_bits=16, kept_bits=16),
    Scheme("nf4-weight-only", "4-bit weights at steps that fit a normal distribution, a scale for 64 neighbours",
           "bitsandbytes", 4, 64, 32, kept_bits=16),
    Scheme("fp8", "8-bit floating point for weights and inputs, a scale for each row and token",
           "torchao", 8, "row", 32),
    Scheme("torch-dynamic",
           "torch's own quantize_dynamic: 8-bit weights and inputs, one scale for a matrix and for all inputs",
           "torch", 8, "matrix", 64, zero_point_bits=64, output_too=True),
)
# fmt: on

#: The schemes by their names, widest first.
#:
#: :meta hide-value:
SCHEMES: Final = {scheme.name: scheme for scheme in _ALL}


def scheme_named(name: str) -> Scheme:
    """The scheme called `name`; raises an UnknownNameError where there is none."""
    return SCHEMES[checks.one_of("scheme", name, SCHEMES)]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a scheme runs on a device.

    Attributes
    ----------
    scheme : str
        Its name.
    available, reason : bool, str
        Whether it ran, on a small layer; why not, empty where it did.
    """

    scheme: str
    available: bool
    reason: str


def usable_device(kind: str | None = None) -> str:
    """``'cuda'`` or ``'cpu'``: the GPU if there is one and torch can use it, or what is asked for."""
    present = find_device(kind).kind
    if present == "cpu":
        return present
    with extra("models"):
        import torch
    if torch.cuda.is_available():
        return present
    if kind == "cuda":
        raise InvalidValueError("device", "one that this torch can use (it was built without CUDA)", kind)
    return "cpu"


def quantize(
    model: torch.nn.Module, scheme: str, *, device: str | None = None, in_place: bool = False
) -> torch.nn.Module:
    """A model with its linear layers quantized, ready to run: in evaluation mode, without gradients.

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

    Raises
    ------
    SchemeUnavailableError
        If the scheme does not run on the device.

    Notes
    -----
    Only linear layers are quantized: embeddings, norms and biases stay at 16 or 32 bits, and with them an output matrix
    that is the embedding, except in ``torch-dynamic``, which takes all layers. Weights are rounded to the nearest step;
    nothing is calibrated on data, as GPTQ and AWQ do. Checkpoints made by those load with transformers from a hub.

    References
    ----------
    Dettmers et al. (2023), QLoRA (NF4), https://arxiv.org/abs/2305.14314; Frantar et al. (2022), GPTQ,
    https://arxiv.org/abs/2210.17323; Lin et al. (2023), AWQ, https://arxiv.org/abs/2306.00978

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
    device = usable_device(device)
    changed = model if in_place else copy.deepcopy(model)
    try:
        with quiet():  # torchao and bitsandbytes list the kernels that they could not load
            return _narrowed(changed, chosen, device).eval().requires_grad_(False)
    except REFUSALS as error:
        if isinstance(error, MissingExtraError):
            raise
        raise SchemeUnavailableError(scheme, device, one_line(error)) from error


def _narrowed(model: torch.nn.Module, scheme: Scheme, device: str) -> torch.nn.Module:
    import torch

    if scheme.name == "torch-dynamic":
        if device != "cpu":
            raise NotImplementedError("torch has these kernels for the CPU only")
        quantize_dynamic: Callable[..., torch.nn.Module] = torch.ao.quantization.quantize_dynamic
        return quantize_dynamic(model.float(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    model = model.to(device=device, dtype=computing_dtype(scheme.name, device))
    if scheme.library == "torchao":
        _by_torchao(model, scheme, device)
    elif scheme.library == "bitsandbytes":
        _by_bitsandbytes(model, device)
    return model


def _by_torchao(model: torch.nn.Module, scheme: Scheme, device: str) -> None:
    with extra("models"):
        from torchao import quantization

    # Left to itself, torchao sets how this process compiles, and before 0.18 how it multiplies fp32.
    options = {"set_inductor_config": False}
    if scheme.name == "int4-weight-only":
        if device != "cuda":
            raise NotImplementedError("torchao has its 4-bit kernel for GPUs only")
        packing = {"int4_packing_format": "tile_packed_to_4d"}
        config = quantization.Int4WeightOnlyConfig(scheme.group, **packing, **options)
    elif scheme.name == "int8-weight-only":
        config = quantization.Int8WeightOnlyConfig(version=2, **options)  # the default of 0.17 is the old one
    elif scheme.name == "int8-dynamic":
        config = quantization.Int8DynamicActivationInt8WeightConfig(version=2, **options)
    else:
        config = quantization.Float8DynamicActivationFloat8WeightConfig(granularity=quantization.PerRow(), **options)
    chosen = {layer for _, layer in linear_layers(model)}
    quantization.quantize_(model, config, filter_fn=lambda module, name: module in chosen)


def _by_bitsandbytes(model: torch.nn.Module, device: str) -> None:
    with extra("models"):
        from bitsandbytes.nn.modules import Linear4bit, Params4bit

    for name, layer in list(linear_layers(model)):
        narrow = Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=False,
            compute_dtype=layer.weight.dtype,
            compress_statistics=False,
            quant_type="nf4",
        )
        narrow.weight = Params4bit(
            layer.weight.data.cpu(), requires_grad=False, blocksize=64, compress_statistics=False, quant_type="nf4"
        )
        narrow.bias = layer.bias
        replace_layer(model, name, narrow.to(device))  # the weights are rounded by this move


def available_schemes(device: str | None = None) -> tuple[Availability, ...]:
    """Which of ``SCHEMES`` run on a device, by default the GPU, tried on a small layer; and why the others do not."""
    device = usable_device(device)
    with extra("models"):
        import torch

    def attempt(name: str) -> Availability:
        layer, dtype = torch.nn.Sequential(torch.nn.Linear(256, 256)), computing_dtype(name, device)
        return tried(name, device, dtype, lambda: quantize(layer, name, device=device, in_place=True))

    return tuple(attempt(name) for name in SCHEMES)


def tried(name: str, device: str, dtype: torch.dtype, make: Callable[[], torch.nn.Module]) -> Availability:
    """Whether the layer of 256 inputs that `make` makes gives numbers; a refusal is the reason why not."""
    import torch

    try:
        layer = make()
        inputs = torch.ones(16, 256, device=device, dtype=dtype)
        with torch.inference_mode():
            finite = bool(torch.isfinite(layer(inputs)).all())
    except SchemeUnavailableError as error:
        return Availability(name, False, error.reason)
    except REFUSALS as error:
        return Availability(name, False, one_line(error))
    return Availability(name, finite, "" if finite else "its results are not finite")


def computing_dtype(scheme: str, device: str) -> torch.dtype:
    """The torch type of the numbers that go in and out of a layer."""
    import torch

    if scheme == "fp16":
        return torch.float16
    return torch.float32 if scheme_named(scheme).kept_on(device) == 32 else torch.bfloat16


def model_shape(model: torch.nn.Module, *, output_too: bool = False) -> ModelShape:
    """Shapes of the linear layers of a model that is not quantized yet, and the number of its other weights.

    With `output_too` an output matrix that is the embedding counts a second time, among the matrices.
    """
    matrices = [(layer.out_features, layer.in_features) for _, layer in linear_layers(model)]
    kept = sum(weights.numel() for weights in model.parameters()) - sum(rows * columns for rows, columns in matrices)
    tied = tied_output(model) if output_too else None
    if tied is not None:
        matrices.append((tied.out_features, tied.in_features))
    return ModelShape(tuple(matrices), kept)


def predicted_bytes(model: torch.nn.Module, scheme: str, *, device: str | None = None) -> float:
    """Bytes that a model's weights will take in memory under a scheme, from shapes alone, as :func:`quantize` is asked.

    The model must not be quantized yet.
    """
    chosen, device = scheme_named(scheme), usable_device(device)
    shape = model_shape(model, output_too=chosen.output_too)
    return weights_bytes(shape, chosen.stored_on(device), chosen.kept_on(device))


def tied_output(model: torch.nn.Module) -> torch.nn.Linear | None:
    """The linear layer whose matrix is the input embedding, if there is one."""
    import torch

    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    linear = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    return next((layer for layer in linear if id(layer.weight) in tables), None)


def linear_layers(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Linear]]:
    """Names and layers that are compressed: the linear ones, without an output matrix that is the embedding."""
    import torch

    tied = tied_output(model)
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer is not tied:
            yield name, layer


def replace_layer(model: torch.nn.Module, name: str, layer: torch.nn.Module) -> None:
    """Put another layer in the place of the one called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def one_line(error: Exception) -> str:
    """What an error says, short."""
    return " ".join(str(error).split())[:200] or type(error).__name__
