"""A Llama of any shape with random weights, to measure speed and memory where no checkpoint can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression.sizes import ModelShape
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    import torch

#: Of Llama 3: base of the rotary positions, and what keeps the norm's root from zero.
THETA: Final = 500_000.0
EPSILON: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaShape:
    """Sizes of a decoder-only transformer of the Llama kind.

    Parameters
    ----------
    hidden, layers, heads, kv_heads, head_dim, ffn, vocabulary : int
        Width; layers; query heads and key-value heads of each; size of a head, even; inner width of the feed-forward
        part; tokens. All >= 1, and `kv_heads` divides `heads`.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int

    def __post_init__(self) -> None:
        for field in fields(self):
            checks.integer(field.name, getattr(self, field.name), at_least=1)
        if self.heads % self.kv_heads:
            raise InvalidValueError("kv_heads", f"a divisor of the {self.heads} heads", self.kv_heads)
        if self.head_dim % 2:
            raise InvalidValueError("head_dim", "even", self.head_dim)

    @property
    def weights(self) -> ModelShape:
        """Its matrices with the output among them, and the number of its other weights."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = ((queries, self.hidden), (keys, self.hidden), (keys, self.hidden), (self.hidden, queries))
        forward = ((self.ffn, self.hidden), (self.ffn, self.hidden), (self.hidden, self.ffn))
        kept = self.vocabulary * self.hidden + (2 * self.layers + 1) * self.hidden
        return ModelShape(self.layers * (attention + forward) + ((self.vocabulary, self.hidden),), kept)

    def decode_operations(self, batch: int, context: int) -> float:
        """Additions and multiplications of a step that makes a token for each member of a batch."""
        looked_up = self.vocabulary * self.hidden
        attention = 4 * self.layers * self.heads * self.head_dim * (context + 1)
        return batch * (2.0 * (self.weights.parameters - looked_up) + attention)

    def prefill_operations(self, batch: int, tokens: int) -> float:
        """The same for reading prompts of `tokens` tokens; only the last gets an output, and none looks ahead."""
        looked_up = self.vocabulary * self.hidden
        inner = self.weights.parameters - 2 * looked_up
        attention = 4 * self.layers * self.heads * self.head_dim * tokens * (tokens + 1) / 2
        return batch * (2.0 * (inner * tokens + looked_up) + attention)


#: The shape of Llama-3-8B, from its published config, and one that a CPU runs in milliseconds.
#:
#: :meta hide-value:
LLAMA_SHAPES: Final = {
    "llama-3-8b": LlamaShape(
        hidden=4096, layers=32, heads=32, kv_heads=8, head_dim=128, ffn=14_336, vocabulary=128_256
    ),
    "small": LlamaShape(hidden=512, layers=4, heads=8, kv_heads=2, head_dim=64, ffn=1536, vocabulary=8192),
}


def random_llama(
    shape: LlamaShape, *, device: str = "cpu", dtype: torch.dtype | None = None, seed: int = 0
) -> torch.nn.Module:
    """A model of a shape, with normal random weights.

    Parameters
    ----------
    shape : LlamaShape
        Its sizes.
    device : {'cpu', 'cuda'}
        Where it is made; nothing is copied there.
    dtype : torch.dtype, optional
        By default bfloat16.
    seed : int
        Of its weights.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients. ``reserve(batch, length)`` makes room for keys and values; called with
        tokens, shape (batch, tokens), and the place of the first of them, it gives the logits after the last. Either
        all tokens of a prompt from place 0, or one. Its ``layers`` are alike and its ``head`` makes the logits.

    Notes
    -----
    Its answers mean nothing. Its speed is that of a trained model: no kernel here looks at the values.

    References
    ----------
    Grattafiori et al. (2024), The Llama 3 Herd of Models, https://arxiv.org/abs/2407.21783
    """
    with extra("models"):
        import torch
    generator = torch.Generator(device=device).manual_seed(checks.integer("seed", seed))
    with torch.device("meta"):
        model = _model_class()(shape)
    model = model.to(torch.bfloat16 if dtype is None else dtype).to_empty(device=device).eval().requires_grad_(False)
    for name, weights in model.named_parameters():
        if name.endswith("norm.weight"):
            weights.fill_(1.0)
        else:
            weights.normal_(0.0, 0.02, generator=generator)
    return model


def compile_llama(model: torch.nn.Module, options: Mapping[str, bool | str] | None = None) -> None:
    """Let ``torch.compile`` translate a layer and the head of what :func:`random_llama` made, at its next call.

    The layers are alike, so that one translation serves all of them: seconds instead of minutes for the whole model.
    The `options` are Inductor's, by default none; asked again it forgets what it translated before.
    """
    with extra("models"):
        import torch
    torch.compiler.reset()
    layers = cast("Iterable[torch.nn.Module]", model.layers)
    for part in (*layers, cast("torch.nn.Module", model.head)):
        part.compile(fullgraph=True, dynamic=False, options=dict(options or {}))


def interpret_llama(model: torch.nn.Module) -> None:
    """Undo :func:`compile_llama`: each operation is asked for by itself again."""
    for part in model.modules():
        part._compiled_call_impl = None


def _model_class() -> Callable[[LlamaShape], torch.nn.Module]:
    """The model's class; made here because torch is imported when it is needed."""
    import torch
    from torch import nn
    from torch.nn import functional

    def turned(states: torch.Tensor) -> torch.Tensor:
        first, second = states.chunk(2, -1)
        return torch.cat((-second, first), -1)

    class Layer(nn.Module):
        """Attention and a gated feed-forward part."""

        keys: torch.Tensor
        values: torch.Tensor

        def __init__(self, shape: LlamaShape) -> None:
            super().__init__()
            self.shape = shape
            queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
            # What reads the same numbers is one matrix, as serving engines have it: fewer kernels, and larger ones.
            self.qkv = nn.Linear(shape.hidden, queries + 2 * keys, bias=False)
            self.o = nn.Linear(queries, shape.hidden, bias=False)
            self.gate_up = nn.Linear(shape.hidden, 2 * shape.ffn, bias=False)
            self.down = nn.Linear(shape.ffn, shape.hidden, bias=False)
            self.attention_norm = nn.RMSNorm(shape.hidden, eps=EPSILON)
            self.forward_norm = nn.RMSNorm(shape.hidden, eps=EPSILON)

        def forward(self, states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int) -> torch.Tensor:
            """States with what this layer adds."""
            states = states + self.o(self._attention(self.attention_norm(states), cos, sin, start))
            gate, up = self.gate_up(self.forward_norm(states)).chunk(2, -1)
            forward: torch.Tensor = self.down(functional.silu(gate) * up)
            return states + forward

        def _attention(self, states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int) -> torch.Tensor:
            batch, tokens, _ = states.shape
            heads, kv_heads, size = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
            counts = (heads, kv_heads, kv_heads)
            parts = self.qkv(states).view(batch, tokens, sum(counts), size).transpose(1, 2)
            q, k, v = parts.split(counts, dim=1)
            q, k = q * cos + turned(q) * sin, k * cos + turned(k) * sin
            self.keys[:, :, start : start + tokens] = k
            self.values[:, :, start : start + tokens] = v
            if tokens == 1:
                # The query heads of a group share keys: as rows of one query they read them once.
                grouped = q.reshape(batch, kv_heads, heads // kv_heads, size)
                seen = (self.keys[:, :, : start + 1], self.values[:, :, : start + 1])
                return functional.scaled_dot_product_attention(grouped, *seen).reshape(batch, 1, heads * size)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads > kv_heads)
            return mixed.transpose(1, 2).reshape(batch, tokens, heads * size)

    class Head(nn.Module):
        """From the states after the last layer to logits."""

        def __init__(self, shape: LlamaShape) -> None:
            super().__init__()
            self.norm = nn.RMSNorm(shape.hidden, eps=EPSILON)
            self.output = nn.Linear(shape.hidden, shape.vocabulary, bias=False)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            """Logits after the last token."""
            logits: torch.Tensor = self.output(self.norm(states[:, -1]))
            return logits

    class Llama(nn.Module):
        """The whole model."""

        cos: torch.Tensor
        sin: torch.Tensor

        def __init__(self, shape: LlamaShape) -> None:
            super().__init__()
            self.shape = shape
            self.words = nn.Embedding(shape.vocabulary, shape.hidden)
            self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
            self.head = Head(shape)

        def reserve(self, batch: int, length: int) -> None:
            """Room for the keys and values of `length` places."""
            device, dtype = self.words.weight.device, self.words.weight.dtype
            for layer in self.layers:
                room = (batch, self.shape.kv_heads, length, self.shape.head_dim)
                for name in ("keys", "values"):
                    setattr(layer, name, torch.zeros(room, device=device, dtype=dtype))
            half = torch.arange(0, self.shape.head_dim, 2, device=device, dtype=torch.float32) / self.shape.head_dim
            angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), THETA**-half).repeat(1, 2)
            self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)

        def forward(self, tokens: torch.Tensor, start: int = 0) -> torch.Tensor:
            """Logits after the last token."""
            last = start + tokens.shape[1]
            cos, sin = self.cos[start:last], self.sin[start:last]
            states = self.words(tokens)
            for layer in self.layers:
                states = layer(states, cos, sin, start)
            logits: torch.Tensor = self.head(states)
            return logits

    return Llama
