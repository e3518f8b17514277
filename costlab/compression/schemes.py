"""Schemes of quantization: what each stores, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from costlab._internal import checks
from costlab.compression.sizes import WeightFormat

__all__ = ["SCHEMES", "Scheme", "scheme_named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way to store a model's weights and to multiply with them.

    Attributes
    ----------
    name, summary : str
        What it is called, and what it does in a sentence.
    library : str
        The library whose kernels run it.
    bits : float
        Bits of a weight in a matrix, without scales.
    group : int or {'row', 'matrix'} or None
        Which weights share a scale.
    scale_bits : float or None
        Bits of a scale; None means as many as a kept weight has.
    zero_point_bits : float
        Bits of the zero point beside each scale.
    kept_bits : float
        Bits of what is kept (embeddings, norms, biases) on a CPU, and of the numbers computed with.
    kept_bits_on_gpu : float
        The same on a GPU.
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


_ALL: Final = (
    Scheme(
        name="fp32",
        summary="32-bit floating point, as many models are trained",
        library="torch",
        bits=32,
        kept_bits_on_gpu=32,
    ),
    Scheme(
        name="bf16",
        summary="16-bit floating point with the range of fp32 and 8 bits of precision",
        library="torch",
        bits=16,
        kept_bits=16,
    ),
    Scheme(
        name="fp16",
        summary="16-bit floating point with 11 bits of precision, up to 65,504",
        library="torch",
        bits=16,
        kept_bits=16,
    ),
    Scheme(
        name="int8-weight-only",
        summary="8-bit weights, a scale for each row; widened before they are multiplied",
        library="torchao",
        bits=8,
        group="row",
        scale_bits=None,
        zero_point_bits=8,
    ),
    Scheme(
        name="int8-dynamic",
        summary="8-bit weights, a scale for each row; inputs rounded to 8 bits too, a scale for each token",
        library="torchao",
        bits=8,
        group="row",
        scale_bits=None,
        zero_point_bits=8,
    ),
    Scheme(
        name="int4-weight-only",
        summary="4-bit weights at even steps, scale and zero point for 64 neighbours",
        library="torchao",
        bits=4,
        group=64,
        scale_bits=16,
        zero_point_bits=16,
        kept_bits=16,
    ),
    Scheme(
        name="nf4-weight-only",
        summary="4-bit weights at steps that fit a normal distribution, a scale for 64 neighbours",
        library="bitsandbytes",
        bits=4,
        group=64,
        scale_bits=32,
        kept_bits=16,
    ),
    Scheme(
        name="fp8",
        summary="8-bit floating point for weights and inputs, a scale for each row and token",
        library="torchao",
        bits=8,
        group="row",
        scale_bits=32,
    ),
    Scheme(
        name="torch-dynamic",
        summary="torch's own quantize_dynamic: 8-bit weights and inputs, one scale for a matrix and for all inputs",
        library="torch",
        bits=8,
        group="matrix",
        scale_bits=64,
        zero_point_bits=64,
        output_too=True,
    ),
)

#: The schemes by their names, widest first.
#:
#: :meta hide-value:
SCHEMES: Final = {scheme.name: scheme for scheme in _ALL}


def scheme_named(name: str) -> Scheme:
    """The scheme called `name`.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    return SCHEMES[checks.one_of("scheme", name, SCHEMES)]
