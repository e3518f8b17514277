"""Bytes of a model before it is made: weights at any width, their scales, and the KV cache."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.units import BITS_PER_BYTE

#: Ways in which the numbers of a matrix share a scale, beside groups along a row.
SHARED: Final = ("row", "matrix")


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How the weights of a matrix are stored.

    Parameters
    ----------
    bits : float
        Bits of a weight, in (0, 64].
    group : int or {'row', 'matrix'}, optional
        Which weights share a scale: some neighbours in a row, a whole row (an output channel), or all. None means
        that there are no scales, as in fp32 and bf16.
    scale_bits, zero_point_bits : float
        Bits of a scale, and of the zero point beside it, >= 0.

    Examples
    --------
    How many bits does a weight really take at int4, in groups of 64 with a 16-bit scale and zero point?

    >>> WeightFormat(4, 64, scale_bits=16, zero_point_bits=16).bits_per_weight(1, 4096)
    4.5
    """

    bits: float
    group: int | str | None = None
    scale_bits: float = 0.0
    zero_point_bits: float = 0.0

    def __post_init__(self) -> None:
        checks.positive("bits", self.bits, at_most=64)
        extra = checks.non_negative("scale_bits", self.scale_bits)
        extra += checks.non_negative("zero_point_bits", self.zero_point_bits)
        if self.group is None and extra:
            raise InvalidValueError("group", "given where there are scales", None)
        if isinstance(self.group, str):
            checks.one_of("group", self.group, SHARED)
        elif self.group is not None:
            checks.integer("group", self.group, at_least=1)

    def scales(self, rows: int, columns: int) -> int:
        """Number of scales of a matrix; a row that no group divides ends in a smaller one."""
        if self.group is None:
            return 0
        if isinstance(self.group, str):
            return rows if self.group == "row" else 1
        return rows * math.ceil(columns / self.group)

    def matrix_bytes(self, rows: int, columns: int) -> float:
        """Bytes of a matrix of `rows` outputs and `columns` inputs, with its scales."""
        each = self.scale_bits + self.zero_point_bits
        return (rows * columns * self.bits + self.scales(rows, columns) * each) / BITS_PER_BYTE

    def bits_per_weight(self, rows: int, columns: int) -> float:
        """Bits of a weight, its share of the scales included."""
        return self.matrix_bytes(rows, columns) * BITS_PER_BYTE / (rows * columns)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What of a model can be quantized, and what is kept as it is.

    Parameters
    ----------
    matrices : tuple of (int, int)
        Rows (outputs) and columns (inputs) of each linear layer's matrix, >= 1.
    kept : int
        All other weights, >= 0: embeddings, norms, biases. An output matrix that is the embedding counts once, here.
    """

    matrices: tuple[tuple[int, int], ...]
    kept: int = 0

    def __post_init__(self) -> None:
        for rows, columns in self.matrices:
            checks.integer("rows", rows, at_least=1)
            checks.integer("columns", columns, at_least=1)
        checks.integer("kept", self.kept)
        if not self.parameters:
            raise InvalidValueError("matrices", "given, or kept weights", self.matrices)

    @property
    def parameters(self) -> int:
        """Weights in all."""
        return self.kept + sum(rows * columns for rows, columns in self.matrices)

    @property
    def kept_fraction(self) -> float:
        """Share of the weights that no scheme for linear layers makes smaller."""
        return self.kept / self.parameters


def weights_bytes(shape: ModelShape, stored: WeightFormat, kept_bits: float = 16.0) -> float:
    r"""Bytes of a model's weights in memory.

    .. math:: \frac{1}{8} \left(k\,b_0 + \sum_{m} \left(r_m c_m\, b + s_m (b_s + b_z)\right)\right)

    with :math:`k` kept weights of :math:`b_0` bits, and for each matrix :math:`r_m c_m` weights of :math:`b` bits and
    :math:`s_m` scales with zero points.

    Parameters
    ----------
    shape, stored : ModelShape, WeightFormat
        The model, and how its matrices are stored.
    kept_bits : float
        Bits of the weights that are kept as they are, in (0, 64].

    Examples
    --------
    SmolLM2-135M has 106,168,320 weights in matrices, of 576 columns say, and 28,346,688 others. Four bits are an eighth
    of fp32. How many times smaller does the model become in groups of 64 with a 16-bit scale, the others left in fp32?

    >>> shape = ModelShape(((184320, 576),), kept=28_346_688)
    >>> round(weights_bytes(shape, WeightFormat(32), 32) / weights_bytes(shape, WeightFormat(4, 64, 16), 32), 1)
    3.2
    """
    kept = shape.kept * checks.positive("kept_bits", kept_bits, at_most=64) / BITS_PER_BYTE
    return kept + sum(stored.matrix_bytes(rows, columns) for rows, columns in shape.matrices)


def kv_cache_bytes(
    layers: int, kv_heads: int, head_dim: int, tokens: float, sequences: float = 1.0, stored: WeightFormat | None = None
) -> float:
    r"""Bytes of the KV cache: a key and a value for each layer, head, token and sequence.

    .. math:: 2 \, L\, H\, n\, B\, d \cdot \text{bytes per number}

    Parameters
    ----------
    layers, kv_heads, head_dim : int
        Layers, key-value heads of each, size of a head; >= 1.
    tokens, sequences : float
        Tokens of a sequence, and sequences at once; >= 0.
    stored : WeightFormat, optional
        How its numbers are stored; by default in 16 bits. A group runs along a head.

    Examples
    --------
    At how many tokens of context does the KV cache of Llama-3.1-8B outgrow its weights at int4, 4.5 GB?

    >>> round(4.5e9 / kv_cache_bytes(32, 8, 128, tokens=1))
    34332
    """
    checks.integer("layers", layers, at_least=1)
    checks.integer("kv_heads", kv_heads, at_least=1)
    checks.integer("head_dim", head_dim, at_least=1)
    vectors = 2 * layers * kv_heads * checks.non_negative("tokens", tokens)
    stored = WeightFormat(16) if stored is None else stored
    return vectors * checks.non_negative("sequences", sequences) * stored.matrix_bytes(1, head_dim)
