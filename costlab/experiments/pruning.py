"""The study of pruning: masks, zeros made permanent, fine-tuning and sparse kernels, each measured beside the dense."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from costlab._internal import checks
from costlab.compression import (
    PATTERNS,
    BenchmarkResult,
    BenchmarkRow,
    Encoder,
    LanguageModel,
    MeasuredModel,
    PackagedModel,
    Variant,
    make_permanent,
    measured_bytes,
    prune,
    pruned_sizes,
    recover,
    sparsity_fraction,
    usable_device,
    with_sparse_kernel,
)
from costlab.compression.measuring import measured_model
from costlab.errors import InvalidValueError
from costlab.experiments.quantization import (
    BATCH_SIZES,
    Batches,
    DeviceKind,
    Models,
    Repeats,
    Seed,
    each_model,
    recording_maker,
)
from costlab.experiments.registry import Experiment, Option

if TYPE_CHECKING:
    import torch

#: Shares of zeros that the study tries.
FRACTIONS: Final = (0.3, 0.5, 0.7, 0.9)

#: Models that the study prunes unless others are chosen.
MODELS: Final = ("minilm",)

#: Queries of each intent that an encoder is tested on, unless the caller says otherwise.
N_TEST: Final = 6


def pruning_variants(
    packaged: PackagedModel,
    fractions: Sequence[float] = FRACTIONS,
    patterns: Sequence[str] = tuple(PATTERNS),
    *,
    device: str | None = None,
    steps: int = 60,
    seed: int = 0,
    **options: object,
) -> tuple[Variant, ...]:
    """Variants of a model to hand to :func:`costlab.compression.benchmark`: dense, then pruned in each pattern.

    Parameters
    ----------
    packaged : PackagedModel
        The model.
    fractions : sequence of float
        Shares of zeros, each in (0, 1). The pattern 2:4 has its own.
    patterns : sequence of str
        Names of ``costlab.compression.PATTERNS``.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.
    steps : int
        Of fine-tuning, for a second variant of each by :func:`costlab.compression.recover`; 0 leaves those out.
    seed : int
        Of fine-tuning.
    **options : object
        Handed to :class:`costlab.compression.Encoder` or ``LanguageModel``.

    Returns
    -------
    tuple of Variant
        Named ``dense``; ``masked 50%`` while the masks are on; ``unstructured 50%`` and ``unstructured 50%, tuned``;
        ``unstructured 90%, csr`` with a kernel that skips zeros; ``2:4, semi-structured`` likewise, on a GPU.
    """
    device = usable_device(device)
    checks.integer("steps", steps)
    for pattern in patterns:
        checks.one_of("pattern", pattern, PATTERNS)
    for share in fractions:
        checks.fraction("fraction", share, zero=False, one=False)
    maker = _Maker(packaged, device, steps, seed, options)
    variants = [maker.variant("dense", maker.dense)]
    for pattern in patterns:
        for share in (0.5,) if pattern == "2:4" else fractions:
            name = pattern if pattern == "2:4" else f"{pattern} {share:.0%}"
            variants.append(maker.variant(name, partial(maker.pruned, pattern, share)))
            if steps:
                variants.append(maker.variant(f"{name}, tuned", partial(maker.pruned, pattern, share, tuned=True)))
    if "unstructured" in patterns:
        variants.insert(1, maker.variant(f"masked {fractions[0]:.0%}", partial(maker.masked, fractions[0])))
        for share in fractions:
            make = partial(maker.sparse, "unstructured", share, "csr")
            variants.append(maker.variant(f"unstructured {share:.0%}, csr", make))
    if "2:4" in patterns:
        kernel = "semi-structured"
        if device == "cuda":  # its kernel computes in bf16, and so must what it is compared with
            variants.append(maker.variant("2:4, bf16", partial(maker.pruned, "2:4", 0.5, narrow=True)))
        variants.append(maker.variant(f"2:4, {kernel}", partial(maker.sparse, "2:4", 0.5, kernel)))
    return tuple(variants)


class _Maker:
    """Makes the variants of one model."""

    def __init__(self, packaged: PackagedModel, device: str, steps: int, seed: int, options: dict[str, object]) -> None:
        self._packaged, self._device, self._steps, self._seed = packaged, device, steps, seed
        self._options = {"n_test": N_TEST, **options} if packaged.kind == "encoder" else options

    def variant(self, name: str, make: Callable[[], MeasuredModel]) -> Variant:
        size = float(measured_bytes(self._packaged.model)) if name == "dense" else None
        return Variant(name=name, model=self._packaged.name, make=make, predicted_bytes=size)

    def dense(self) -> MeasuredModel:
        return self._stored(self._packaged.model.to(self._device), {"sparsity_fraction": 0.0})

    def masked(self, share: float) -> MeasuredModel:
        model = prune(self._packaged.model, share).to(self._device).eval()
        return self._stored(model, {"sparsity_fraction": sparsity_fraction(model)})

    def pruned(self, pattern: str, share: float, *, tuned: bool = False, narrow: bool = False) -> MeasuredModel:
        model = prune(self._packaged.model, share, pattern=pattern).to(self._device)
        fine_tuning = {}
        if tuned:
            started = time.process_time()
            recover(model, self._packaged, steps=self._steps, seed=self._seed)
            fine_tuning["fine_tuning_s"] = time.process_time() - started
        model = make_permanent(model).eval().requires_grad_(False)
        model = model.bfloat16() if narrow else model
        return self._stored(model, {"sparsity_fraction": sparsity_fraction(model), **fine_tuning})

    def sparse(self, pattern: str, share: float, kernel: str) -> MeasuredModel:
        model = make_permanent(prune(self._packaged.model, share, pattern=pattern))
        zeros = sparsity_fraction(model)
        return self._measured(with_sparse_kernel(model, kernel, device=self._device), {"sparsity_fraction": zeros})

    def _stored(self, model: torch.nn.Module, facts: dict[str, float]) -> MeasuredModel:
        sizes = pruned_sizes(model)
        measured = self._measured(model, facts | {"packed_bytes": sizes.packed_bytes, "csr_bytes": sizes.csr_bytes})
        measured.weights_bytes, measured.disk_bytes = sizes.dense_bytes, sizes.file_bytes
        return measured

    def _measured(self, model: torch.nn.Module, facts: dict[str, float]) -> Encoder | LanguageModel:
        measured = measured_model(self._packaged, model, **self._options)
        measured.facts = facts
        return measured


def pruning_study(
    models: Models = None,
    *,
    device: DeviceKind = None,
    fractions: Annotated[
        list[float] | None,
        Option("Share of zeros, between 0 and 1; may be repeated.", metavar="SHARE", flag="--fraction"),
    ] = None,
    patterns: Annotated[
        list[str] | None, Option("unstructured, structured or 2:4; may be repeated. By default all.", flag="--pattern")
    ] = None,
    steps: Annotated[int, Option("Of fine-tuning; 0 for none.", metavar="N")] = 60,
    batch_sizes: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    progress: bool = True,
    free: int | None = None,
    **options: object,
) -> BenchmarkResult:
    """What pruning does to size, speed, quality and price of real models.

    The facts of its rows are ``sparsity_fraction``, ``packed_bytes``, ``csr_bytes`` and ``fine_tuning_s``.

    Parameters
    ----------
    models : list of str, optional
        Packaged models, by default ``minilm``; or ``owner/name`` of a language model on the Hugging Face hub.
    fractions, patterns, steps, **options
        As for :func:`pruning_variants`.
    device, batch_sizes, repeats, seed, progress, free
        As for :func:`costlab.compression.benchmark`.

    Raises a ModelTooLargeError where a model does not fit into the memory, beside the errors of those.
    """
    device = usable_device(device)

    def variants(model: PackagedModel) -> Sequence[Variant]:
        return pruning_variants(
            model, fractions or FRACTIONS, patterns or tuple(PATTERNS), device=device, steps=steps, seed=seed, **options
        )

    measuring = {"device": device, "repeats": repeats, "seed": seed, "progress": progress, "free": free}
    return each_model(models or MODELS, variants, batch_sizes, experiment="pruning", **measuring)


def quality_by_zeros(result: BenchmarkResult, *, model: str | None = None) -> dict[str, list[tuple[float, float]]]:
    """For each pattern, and each fine-tuned, pairs of share of zeros and quality, from the dense model on.

    The curves of a pruning study's model, by default of its first, for :func:`costlab.plotting.plot_pruning`; named
    ``unstructured``, ``unstructured, tuned`` and so on. Raises an InvalidValueError if the model has no measured row
    ``dense``.
    """
    first, rows = _rows(result, model)
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        start, _, ending = row.variant.partition(", ")
        pattern = start.split(" ")[0]
        if pattern == "masked" or ending not in ("", "tuned"):
            continue
        curve = curves.setdefault(f"{pattern}, {ending}" if ending else pattern, [(0.0, first.quality or 0.0)])
        curve.append((row.facts["sparsity_fraction"], row.quality or 0.0))
    return {name: sorted(curve) for name, curve in curves.items()}


def bytes_by_zeros(result: BenchmarkResult, *, model: str | None = None) -> dict[str, list[tuple[float, float]]]:
    """For each way to store a model pruned anywhere, pairs of share of zeros and bytes.

    Likewise, for :func:`costlab.plotting.plot_pruned_bytes`; named ``dense``, ``zlib`` and ``CSR``.
    """
    first, rows = _rows(result, model)
    curves: dict[str, list[tuple[float, float]]] = {"dense": [], "zlib": [], "CSR": []}
    for row in (first, *rows):
        if row is first or (row.variant.startswith("unstructured") and "," not in row.variant):
            zeros = row.facts["sparsity_fraction"]
            sizes = (float(row.weights_bytes or 0), row.facts["packed_bytes"], row.facts["csr_bytes"])
            for name, size in zip(curves, sizes, strict=True):
                curves[name].append((zeros, size))
    return {name: sorted(curve) for name, curve in curves.items()}


def _rows(result: BenchmarkResult, model: str | None) -> tuple[BenchmarkRow, list[BenchmarkRow]]:
    """The dense row of a model, and its others that were measured."""
    model = result.rows[0].model if model is None else model
    rows = [row for row in result.rows if row.model == model and not row.reason]
    first = next((row for row in rows if row.variant == "dense"), None)
    if first is None:
        raise InvalidValueError("model", "one whose dense variant was measured", model)
    return first, [row for row in rows if row is not first]


_recording = recording_maker(
    "pruning", models=MODELS, fractions=FRACTIONS, patterns=tuple(PATTERNS), batch_sizes=BATCH_SIZES
)

EXPERIMENT: Final = Experiment(
    measure=pruning_study, lines=BenchmarkResult.lines, recording=_recording, load=BenchmarkResult.from_recording
)
