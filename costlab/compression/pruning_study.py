"""The study of pruning: masks, zeros made permanent, fine-tuning and sparse kernels, each measured beside the dense."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from costlab._internal import checks
from costlab.compression.benchmark import Variant
from costlab.compression.measured_sizes import measured_bytes
from costlab.compression.models import PackagedModel
from costlab.compression.pruning import (
    PATTERNS,
    PrunedSizes,
    make_permanent,
    prune,
    pruned_sizes,
    sparsity_fraction,
)
from costlab.compression.quantization import usable_device
from costlab.compression.recovery import recover
from costlab.compression.results import BenchmarkResult
from costlab.compression.sparse_kernels import with_sparse_kernel
from costlab.compression.study import each_model
from costlab.compression.subjects import Encoder, LanguageModel, Subject

__all__ = ["FRACTIONS", "pruning_study", "pruning_variants"]

#: Shares of zeros that the study tries.
FRACTIONS: Final = (0.3, 0.5, 0.7, 0.9)

#: Queries of each intent that an encoder is asked, unless the caller says otherwise.
ASKED: Final = 6


def pruning_variants(
    found: PackagedModel,
    fractions: Sequence[float] = FRACTIONS,
    patterns: Sequence[str] = tuple(PATTERNS),
    *,
    device: str | None = None,
    steps: int = 60,
    seed: int = 0,
    **options: Any,
) -> tuple[Variant, ...]:
    """Variants of a model to hand to :func:`costlab.compression.benchmark`: dense, then pruned in each pattern.

    Parameters
    ----------
    found : PackagedModel
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
    **options : Any
        Handed to :class:`Encoder` or :class:`LanguageModel`.

    Returns
    -------
    tuple of Variant
        Named ``dense``; ``masked 50%`` while the masks are on; ``unstructured 50%`` and ``unstructured 50%, tuned``;
        ``unstructured 90%, csr`` with a kernel that skips zeros; ``2:4, semi-structured`` likewise, on a GPU.

    Raises
    ------
    UnknownNameError
        If there is no such pattern.
    InvalidValueError
        If a number is outside its domain, or CUDA is asked for and absent.
    """
    place = usable_device(device)
    checks.integer("steps", steps)
    for pattern in patterns:
        checks.one_of("pattern", pattern, PATTERNS)
    for share in fractions:
        checks.fraction("fraction", share, zero=False, one=False)
    maker = _Maker(found, place, steps, seed, options)
    variants = [maker.variant("dense", maker.dense)]
    for pattern in patterns:
        for share in (0.5,) if pattern == "2:4" else fractions:
            name = pattern if pattern == "2:4" else f"{pattern} {share:.0%}"
            variants.append(maker.variant(name, maker.pruned(pattern, share)))
            if steps:
                variants.append(maker.variant(f"{name}, tuned", maker.pruned(pattern, share, tuned=True)))
    if "unstructured" in patterns:
        variants.insert(1, maker.variant(f"masked {fractions[0]:.0%}", maker.masked(fractions[0])))
        for share in fractions:
            variants.append(maker.variant(f"unstructured {share:.0%}, csr", maker.sparse("unstructured", share, "csr")))
    if "2:4" in patterns:
        kernel = "semi-structured"
        if place == "cuda":  # its kernel computes in bf16, and so must what it is compared with
            variants.append(maker.variant("2:4, bf16", maker.pruned("2:4", 0.5, narrow=True)))
        variants.append(maker.variant(f"2:4, {kernel}", maker.sparse("2:4", 0.5, kernel)))
    return tuple(variants)


class _Maker:
    """Makes the subjects of one model."""

    def __init__(self, found: PackagedModel, place: str, steps: int, seed: int, options: dict[str, Any]) -> None:
        self._found, self._place, self._steps, self._seed = found, place, steps, seed
        self._options = {"asked": ASKED, **options} if found.kind == "encoder" else options

    def variant(self, name: str, make: Callable[[], Subject]) -> Variant:
        size = float(measured_bytes(self._found.model)) if name == "dense" else None
        return Variant(name=name, model=self._found.name, make=make, predicted_bytes=size)

    def dense(self) -> Subject:
        return self._subject(self._found.model.to(self._place), sparsity_fraction=0.0)

    def masked(self, share: float) -> Callable[[], Subject]:
        return lambda: self._subject(prune(self._found.model, share).to(self._place).eval())

    def pruned(self, pattern: str, share: float, *, tuned: bool = False, narrow: bool = False) -> Callable[[], Subject]:
        def make() -> Subject:
            model = prune(self._found.model, share, pattern=pattern).to(self._place)
            facts = {}
            if tuned:
                started = time.process_time()
                recover(model, self._found, steps=self._steps, seed=self._seed)
                facts["fine_tuning_s"] = time.process_time() - started
            model = make_permanent(model).eval().requires_grad_(False)
            return self._subject(model.bfloat16() if narrow else model, **facts)

        return make

    def sparse(self, pattern: str, share: float, kernel: str) -> Callable[[], Subject]:
        def make() -> Subject:
            model = make_permanent(prune(self._found.model, share, pattern=pattern))
            zeros = sparsity_fraction(model)
            return self._plain(with_sparse_kernel(model, kernel, device=self._place), sparsity_fraction=zeros)

        return make

    def _subject(self, model: Any, **facts: float) -> Subject:
        sizes = pruned_sizes(model)
        subject = self._plain(model, **{"sparsity_fraction": sparsity_fraction(model), **facts, **_bytes(sizes)})
        subject.weights_bytes, subject.disk_bytes = sizes.dense_bytes, sizes.file_bytes
        return subject

    def _plain(self, model: Any, **facts: float) -> Encoder | LanguageModel:
        kind = Encoder if self._found.kind == "encoder" else LanguageModel
        subject = kind(model, self._found.tokenizer, **self._options)
        subject.facts = facts
        return subject


def _bytes(sizes: PrunedSizes) -> dict[str, float]:
    return {"packed_bytes": sizes.packed_bytes, "csr_bytes": sizes.csr_bytes}


def pruning_study(
    models: Sequence[str] = ("minilm",),
    *,
    device: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    patterns: Sequence[str] = tuple(PATTERNS),
    steps: int = 60,
    batch_sizes: Sequence[int] = (1, 32),
    repeats: int = 7,
    seed: int = 0,
    progress: bool = True,
    free: int | None = None,
    **options: Any,
) -> BenchmarkResult:
    """What pruning does to size, speed, quality and price of real models.

    Parameters
    ----------
    models : sequence of str
        Packaged models by their names; or ``owner/name`` of a language model on the Hugging Face hub.
    fractions, patterns, steps, **options
        As for :func:`pruning_variants`.
    device, batch_sizes, repeats, seed, progress, free
        As for :func:`costlab.compression.benchmark`.

    Returns
    -------
    BenchmarkResult
        With ``sparsity_fraction``, ``packed_bytes``, ``csr_bytes`` and ``fine_tuning_s`` among the facts of its rows.

    Raises
    ------
    UnknownNameError
        If a model or a pattern is unknown.
    InvalidValueError
        If CUDA is asked for and absent, or a number is outside its domain.
    ModelTooLargeError
        If a model does not fit into the memory.
    """
    place = usable_device(device)
    chosen = {"fractions": fractions, "patterns": patterns, "steps": steps, **options}
    return each_model(
        models,
        lambda found: pruning_variants(found, device=place, seed=seed, **chosen),
        device=place,
        batch_sizes=batch_sizes,
        repeats=repeats,
        seed=seed,
        progress=progress,
        free=free,
    )
