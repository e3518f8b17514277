"""Decoding of a real model, timed here and now beside the least time that this device's memory allows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import LanguageModel, PackagedModel, kv_cache_bytes, quantize, seconds, usable_device
from costlab.compression.instruments import one_thread
from costlab.compression.measuring import CONTEXT
from costlab.errors import InvalidValueError
from costlab.experiments.device import measure_device
from costlab.recordings import find_device

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

#: Steps that are not counted: the first ones load kernels and fill caches.
_WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """One decoding step of a batch, timed.

    Attributes
    ----------
    batch : int
        Sequences at once.
    median_ms, least_ms, greatest_ms : float
        Of a step, over the repeats.
    moved_bytes : float
        What a step has to read: the weights, once, and what is kept of each sequence.
    floor_ms : float
        Time to move them at the greatest bandwidth that a copy reached.
    """

    batch: int
    median_ms: float
    least_ms: float
    greatest_ms: float
    moved_bytes: float
    floor_ms: float

    @property
    def times_floor(self) -> float:
        """How many times the floor the step took."""
        return self.median_ms / self.floor_ms

    @property
    def tokens_per_s(self) -> float:
        """Tokens of all sequences together."""
        return 1000 * self.batch / self.median_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDecode:
    """How a model decodes on this device.

    Attributes
    ----------
    model, scheme, device_name : str
        What ran, how its weights are stored, and on what.
    repeats : int
        Steps behind each time.
    weights_bytes : int
        Weights that a step reads.
    copy_gb_per_s : float
        The greatest copy bandwidth that was reached, bytes read and written both counted.
    steps : tuple of LiveStep
        A step for each batch size.
    """

    model: str
    scheme: str
    device_name: str
    repeats: int
    weights_bytes: int
    copy_gb_per_s: float
    steps: tuple[LiveStep, ...]

    def lines(self) -> list[str]:
        """The result as text, a line for each batch size."""
        bandwidth = f"{self.weights_bytes / 1e6:,.0f} MB of weights, {self.copy_gb_per_s:,.4g} GB/s copied"
        return [f"{self.model} in {self.scheme} on {self.device_name}: {bandwidth}"] + [
            f"batch {step.batch:>3}: {step.median_ms:>6.4g} ms a step ({step.least_ms:.4g} to {step.greatest_ms:.4g}), "
            f"{step.tokens_per_s:,.0f} tokens/s; floor {step.floor_ms:.3g} ms, {step.times_floor:.1f} times that"
            for step in self.steps
        ]


def live_decode(
    packaged: PackagedModel,
    *,
    scheme: str | None = None,
    device: str | None = None,
    batch_sizes: Sequence[int] = (1, 16),
    repeats: int = 9,
    copy_mib: int | None = None,
) -> LiveDecode:
    r"""Decode with a real language model on this device, and say how far from the floor of its memory it is.

    .. math:: t \ge \frac{\text{bytes of weights and cache}}{\text{copy bandwidth}}

    Parameters
    ----------
    packaged : PackagedModel
        A language model, as :func:`costlab.compression.packaged_model` or ``hub_model`` gives it.
    scheme : str, optional
        A name of ``costlab.compression.SCHEMES``. By default fp32 on a CPU, bf16 on a GPU that computes in it, and
        fp16 on older ones such as a T4.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.
    batch_sizes, repeats : sequence of int, int
        Sequences at once, each >= 1; and timed steps at each, >= 3, after three that are not counted.
    copy_mib : int, optional
        As for :func:`measure_device`.

    Raises
    ------
    InvalidValueError
        If the model is no language model, or a number is outside its domain.

    Notes
    -----
    Steps run as transformers runs them, kernel by kernel. A small model on a fast GPU then waits for the processor that
    starts the kernels, and is many times slower than its floor; a large one comes near it. On a CPU all is measured on
    one thread, and a step counts processor time. A copy writes as well as reads, so that a program that only reads can
    be a little faster than this floor.

    References
    ----------
    Pope et al. (2022), Efficiently Scaling Transformer Inference, https://arxiv.org/abs/2211.05102
    """
    if packaged.kind != "language model":
        raise InvalidValueError("packaged", "a language model", packaged.name)
    batches = [checks.integer("batch_sizes", batch, at_least=1) for batch in batch_sizes]
    if not batches:
        raise InvalidValueError("batch_sizes", "not empty", batch_sizes)
    checks.integer("repeats", repeats, at_least=3)
    device = usable_device(device)
    scheme = _default_scheme(device) if scheme is None else scheme
    model = cast("PreTrainedModel", quantize(packaged.model, scheme, device=device))
    measured = LanguageModel(model, packaged.tokenizer, tokens=512)
    here = find_device(device)
    with one_thread(device):
        copied = [_copied_gb_per_s(device, copy_mib)]
        weights_bytes = measured.weights_bytes - _bytes_looked_up(model)
        times_ms: list[list[float]] = []
        for batch in batches:
            step = measured.step(batch)
            for _ in range(_WARM_UP):
                seconds(step, device)
            times_ms.append([1000 * seconds(step, device) for _ in range(repeats)])
            copied.append(_copied_gb_per_s(device, copy_mib))
    copy_gb_per_s = max(copied)  # beside other programs a copy is slower, never faster: the floor is what it can be
    steps = []
    for batch, took_ms in zip(batches, times_ms, strict=True):
        moved_bytes = weights_bytes + _cache_bytes(model, batch)
        steps.append(
            LiveStep(
                batch=batch,
                median_ms=statistics.median(took_ms),
                least_ms=min(took_ms),
                greatest_ms=max(took_ms),
                moved_bytes=moved_bytes,
                floor_ms=1e-6 * moved_bytes / copy_gb_per_s,
            )
        )
    return LiveDecode(
        model=packaged.name,
        scheme=scheme,
        device_name=here.name if device == "cuda" else f"{here.name}, one thread",
        repeats=repeats,
        weights_bytes=weights_bytes,
        copy_gb_per_s=copy_gb_per_s,
        steps=tuple(steps),
    )


def _copied_gb_per_s(device: str, copy_mib: int | None) -> float:
    rows = measure_device(
        device, repeats=9, copy_mib=copy_mib, size=64, load_s=0
    ).rows  # of the products nothing is used
    greatest: float = next(row["greatest"] for row in rows if row["quantity"] == "copy")
    return greatest


def _default_scheme(device: str) -> str:
    if device == "cpu":
        return "fp32"
    with extra("models"):
        import torch
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"


def _bytes_looked_up(model: PreTrainedModel) -> int:
    """Bytes of an input embedding that is a table of its own: a step reads one row of it for each sequence."""
    inputs = model.get_input_embeddings()
    outputs = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    weights = cast("torch.Tensor", inputs.weight)
    return 0 if outputs is None or outputs.weight is weights else weights.numel() * weights.element_size()


def _cache_bytes(model: PreTrainedModel, batch: int) -> float:
    """Bytes of keys and values of a batch, in the numbers that the model computes with."""
    shape: PreTrainedConfig = model.config
    heads = shape.num_key_value_heads
    head_dim = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    in_16_bits = kv_cache_bytes(shape.num_hidden_layers, heads, head_dim, CONTEXT, batch)
    return in_16_bits * next(model.parameters()).element_size() / 2
