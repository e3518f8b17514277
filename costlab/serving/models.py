"""Language models: their shapes, which decide memory and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from costlab._internal import checks
from costlab._internal.rows import by_spelling, named, shipped_rows
from costlab.errors import InvalidValueError

#: Bytes that a weight takes: int4 with a 16-bit scale and zero point for every 64 weights.
BYTES_PER_WEIGHT: Final[Mapping[str, float]] = MappingProxyType({"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5625})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A decoder-only transformer, as far as its memory and speed go.

    Parameters
    ----------
    name, aliases, source_url
        What to call it, other names, and where the shape was read.
    parameters : int
        Weights in all, > 0.
    layers, heads, kv_heads, head_dim : int
        Layers; query heads and key-value heads of each; size of a head. `kv_heads` divides `heads`.
    bytes_per_weight : float
        Bytes that a weight takes, scales included, > 0: 2 for bf16, 1 for int8, 0.5625 for int4 in groups of 64 with a
        16-bit scale and zero point each.
    bytes_per_kv : float
        Bytes of one number in the KV cache, > 0: 2 for 16 bit, 1 for fp8.
    active_parameters : int, optional
        Weights that one token uses; fewer than `parameters` in a mixture of experts.
    lookup_parameters : int
        Weights that are held but not read for every token: an input embedding apart from the output matrix.

    Examples
    --------
    How much memory does the text of one 4,000-token conversation take in the KV cache of Llama-3.1-8B, in GB?

    >>> round(4000 * model_spec("Llama-3.1-8B").kv_bytes_per_token / 1e9, 2)
    0.52
    """

    name: str
    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    bytes_per_weight: float = 2.0
    bytes_per_kv: float = 2.0
    active_parameters: int | None = None
    lookup_parameters: int = 0
    aliases: tuple[str, ...] = ()
    source_url: str = ""

    def __post_init__(self) -> None:
        for name in ("parameters", "layers", "heads", "kv_heads", "head_dim"):
            checks.integer(name, getattr(self, name), at_least=1)
        checks.positive("bytes_per_weight", self.bytes_per_weight)
        checks.positive("bytes_per_kv", self.bytes_per_kv)
        if self.heads % self.kv_heads:
            raise InvalidValueError("kv_heads", f"a divisor of the {self.heads} heads", self.kv_heads)
        if checks.integer("lookup_parameters", self.lookup_parameters) >= self.parameters:
            raise InvalidValueError("lookup_parameters", f"fewer than {self.parameters}", self.lookup_parameters)
        if self.active_parameters is not None:
            checks.integer("active_parameters", self.active_parameters, 1, self.parameters - self.lookup_parameters)

    @property
    def weights_bytes(self) -> float:
        """Memory of all weights, in bytes."""
        return self.parameters * self.bytes_per_weight

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes that one token of one sequence takes in the KV cache, with keys and values of every layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes_per_kv

    @property
    def used_parameters(self) -> int:
        """Weights that one token is multiplied with."""
        return self.active_parameters or self.parameters - self.lookup_parameters

    def weights_read(self, sequences: float) -> float:
        r"""Weights read for one step of a batch; all but the looked-up ones, unless it is a mixture of experts.

        With a share :math:`f` of :math:`N` weights used by a token, a batch of :math:`B` reads

        .. math:: N \left(1 - (1 - f)^B\right)

        as if every weight belonged to experts that are chosen independently and evenly.
        """
        read = float(self.parameters - self.lookup_parameters)
        if self.active_parameters is None:
            return read
        untouched: float = (1.0 - self.active_parameters / read) ** sequences
        return read * (1.0 - untouched)


@cache
def model_specs() -> tuple[ModelSpec, ...]:
    """The language models of the catalogue, smallest first, with weights of 16 bit.

    For other widths: ``dataclasses.replace(model_spec("Llama-2-7B"), bytes_per_weight=1.0)``.
    """
    keys = ("name", "parameters", "layers", "heads", "kv_heads", "head_dim", "source_url")
    return tuple(
        ModelSpec(
            **{key: row[key] for key in keys},
            lookup_parameters=0 if row["tied_embeddings"] else row["vocabulary"] * row["hidden_size"],
            aliases=tuple(row.get("aliases", ())),
        )
        for row in shipped_rows("costlab.serving", "models.toml", "model")
    )


@cache
def _by_spelling() -> dict[str, ModelSpec]:
    return by_spelling(model_specs())


def model_spec(name: str) -> ModelSpec:
    """The shape of the language model called `name`; upper and lower case are the same.

    Raises
    ------
    UnknownNameError
        If the catalogue has no such model. Any other can be described with :class:`ModelSpec`.
    """
    return named("model", name, _by_spelling())
