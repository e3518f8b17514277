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


def distinct_experts(experts: int, experts_per_token: int, tokens: float) -> float:
    r"""Experts of a layer that a step must read, when its tokens choose theirs independently and evenly.

    .. math:: E \left(1 - \left(1 - \tfrac{k}{E}\right)^B\right)

    with :math:`k` of :math:`E` experts for each of :math:`B` tokens. A router that prefers some experts reads fewer.

    Parameters
    ----------
    experts, experts_per_token : int
        Experts of a layer, >= 1, and how many of them a token uses, 1 to `experts`.
    tokens : float
        Tokens in the step, >= 0: one for each sequence that writes, all of a prompt.

    References
    ----------
    Shazeer et al. (2017), Outrageously large neural networks: the sparsely-gated mixture-of-experts layer,
    https://arxiv.org/abs/1701.06538

    Examples
    --------
    Mixtral uses 2 of 8 experts. How many of them does a batch of 8 read?

    >>> round(distinct_experts(8, 2, 8), 1)
    7.2
    """
    checks.integer("experts", experts, at_least=1)
    chosen = checks.integer("experts_per_token", experts_per_token, 1, experts)
    unread: float = (1.0 - chosen / experts) ** checks.non_negative("tokens", tokens)
    return experts * (1.0 - unread)


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
        Weights that one token uses; fewer than `parameters` in a mixture of experts of which no more is known.
    experts, experts_per_token, expert_parameters : int
        A mixture of experts of which more is known: experts of each layer, how many of them a token uses, and the
        weights of all experts of all layers together. 0 for a dense model; instead of `active_parameters`.
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
    experts: int = 0
    experts_per_token: int = 0
    expert_parameters: int = 0
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
            if self.experts:
                raise InvalidValueError(
                    "active_parameters", "left out where `experts` are given", self.active_parameters
                )
        if checks.integer("experts", self.experts):
            checks.integer("experts_per_token", self.experts_per_token, 1, self.experts)
            checks.integer("expert_parameters", self.expert_parameters, 1, self.parameters - self.lookup_parameters)

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
        held = self.parameters - self.lookup_parameters
        if self.experts:
            return held - self.expert_parameters * (self.experts - self.experts_per_token) // self.experts
        return self.active_parameters or held

    def weights_read(self, sequences: float) -> float:
        r"""Weights read for one step of a batch; all but the looked-up ones, unless it is a mixture of experts.

        With a share :math:`f` of :math:`N` weights used by a token, a batch of :math:`B` reads

        .. math:: N \left(1 - (1 - f)^B\right)

        as if every weight belonged to experts that are chosen independently and evenly. Where the experts are known,
        the weights outside of them are read always, and of the experts :func:`distinct_experts`.
        """
        read = float(self.parameters - self.lookup_parameters)
        if self.experts:
            touched = distinct_experts(self.experts, self.experts_per_token, sequences) / self.experts
            return read - self.expert_parameters * (1.0 - touched)
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
            **{key: row[key] for key in ("experts", "experts_per_token", "expert_parameters") if key in row},
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
