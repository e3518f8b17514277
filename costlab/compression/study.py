"""The study of quantization: every scheme on real models, as ``costlab bench quantization`` records it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from costlab._internal import checks
from costlab.compression.benchmark import Variant, benchmark
from costlab.compression.models import MODEL_NAMES, PackagedModel, hub_model, packaged_model
from costlab.compression.quantization import predicted_bytes, quantize, usable_device
from costlab.compression.results import BenchmarkResult, together
from costlab.compression.schemes import SCHEMES
from costlab.compression.subjects import Encoder, LanguageModel, OnnxEncoder, Subject

__all__ = ["each_model", "quantization_study", "quantization_variants"]

#: The packaged encoder as int8 ONNX, beside what is quantized here.
ONNX: Final = "onnx-int8"


def quantization_variants(
    found: PackagedModel, schemes: Sequence[str] | None = None, *, device: str | None = None, **options: Any
) -> tuple[Variant, ...]:
    """A variant of a model for each scheme, to hand to :func:`costlab.compression.benchmark`.

    Parameters
    ----------
    found : PackagedModel
        The model.
    schemes : sequence of str, optional
        Names of ``costlab.compression.SCHEMES``, the baseline first, and ``onnx-int8`` for the encoder. By default
        fp32 on a CPU and bf16 on a GPU, then all others.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.
    **options : Any
        Handed to :class:`LanguageModel` or :class:`Encoder`.

    Raises
    ------
    UnknownNameError
        If there is no such scheme.
    InvalidValueError
        If CUDA is asked for and absent.
    """
    place = usable_device(device)
    encoder = found.kind == "encoder"
    onnx = (ONNX,) if found.name == "all-MiniLM-L6-v2" and place == "cpu" else ()
    known = (*SCHEMES, *onnx)
    if schemes is None:
        first = "fp32" if place == "cpu" else "bf16"
        schemes = (first, *(name for name in known if name != first))
    for name in schemes:
        checks.one_of("scheme", name, known)

    def variant(name: str) -> Variant:
        if name == ONNX:
            return Variant(name=name, model=found.name, make=lambda: OnnxEncoder(**options))
        kind = Encoder if encoder else LanguageModel

        def make() -> Subject:
            return kind(quantize(found.model, name, device=place), found.tokenizer, **options)

        size = predicted_bytes(found.model, name, device=place)
        return Variant(name=name, model=found.name, make=make, predicted_bytes=size)

    return tuple(variant(name) for name in schemes)


def quantization_study(
    models: Sequence[str] = MODEL_NAMES,
    *,
    device: str | None = None,
    schemes: Sequence[str] | None = None,
    batch_sizes: Sequence[int] = (1, 32),
    repeats: int = 7,
    seed: int = 0,
    progress: bool = True,
    free: int | None = None,
    **options: Any,
) -> BenchmarkResult:
    """Every scheme on each of the models, measured here.

    Parameters
    ----------
    models : sequence of str
        Packaged models by their names; or ``owner/name`` of a language model on the Hugging Face hub.
    device, schemes, batch_sizes, repeats, seed, progress, free, **options
        As for :func:`costlab.compression.benchmark` and :func:`quantization_variants`.

    Returns
    -------
    BenchmarkResult

    Raises
    ------
    UnknownNameError
        If a model or a scheme is unknown.
    InvalidValueError
        If CUDA is asked for and absent, or a number is outside its domain.
    ModelTooLargeError
        If a model does not fit into the memory.
    """
    place = usable_device(device)
    return each_model(
        models,
        lambda found: quantization_variants(found, schemes, device=place, **options),
        device=place,
        batch_sizes=batch_sizes,
        repeats=repeats,
        seed=seed,
        progress=progress,
        free=free,
    )


def each_model(
    models: Sequence[str], variants: Callable[[PackagedModel], Sequence[Variant]], **run: Any
) -> BenchmarkResult:
    """The variants of each of some models, measured model by model.

    Parameters
    ----------
    models : sequence of str
        Packaged models by their names; or ``owner/name`` of a language model on the Hugging Face hub.
    variants : callable
        Makes the variants of a model.
    **run : Any
        As for :func:`costlab.compression.benchmark`.
    """
    found = (hub_model(name) if "/" in name else packaged_model(name) for name in models)
    return together([benchmark(variants(model), **run) for model in found])
