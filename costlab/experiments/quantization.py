"""The study of quantization: every scheme on real models, as ``costlab bench quantization`` records it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from costlab._internal import checks
from costlab.compression import (
    MODEL_NAMES,
    SCHEMES,
    BenchmarkResult,
    MeasuredModel,
    OnnxEncoder,
    PackagedModel,
    Variant,
    benchmark,
    hub_model,
    packaged_model,
    predicted_bytes,
    quantize,
    usable_device,
)
from costlab.compression.measuring import measured_model
from costlab.compression.results import together
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, bench_command

Batches = Annotated[list[int] | None, Option("A batch size; may be repeated.", metavar="N", flag="--batch")]
DeviceKind = Annotated[str | None, Option("cuda or cpu; by default the GPU if there is one.")]
Models = Annotated[
    list[str] | None, Option("smollm2, minilm, or owner/name on the Hugging Face hub; may be repeated.", flag="--model")
]
Repeats = Annotated[int, Option("Timed steps, at least 3.", metavar="N")]
Schemes = Annotated[
    list[str] | None, Option("A scheme, the baseline first; may be repeated. By default all.", flag="--scheme")
]
Seed = Annotated[int, Option("Of the order of the steps.", metavar="SEED")]

#: Batch sizes unless others are chosen.
BATCH_SIZES: Final = (1, 32)

#: The packaged encoder as int8 ONNX, beside what is quantized here.
ONNX: Final = "onnx-int8"


def quantization_variants(
    packaged: PackagedModel, schemes: Sequence[str] | None = None, *, device: str | None = None, **options: object
) -> tuple[Variant, ...]:
    """A variant of a model for each scheme, to hand to :func:`costlab.compression.benchmark`.

    Parameters
    ----------
    packaged : PackagedModel
        The model.
    schemes : sequence of str, optional
        Names of ``costlab.compression.SCHEMES``, the baseline first, and ``onnx-int8`` for the encoder. By default
        fp32 on a CPU and bf16 on a GPU, then all others.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.
    **options : object
        Handed to :class:`costlab.compression.LanguageModel` or ``Encoder``.
    """
    device = usable_device(device)
    onnx = (ONNX,) if packaged.name == "all-MiniLM-L6-v2" and device == "cpu" else ()
    known = (*SCHEMES, *onnx)
    if schemes is None:
        first = "fp32" if device == "cpu" else "bf16"
        schemes = (first, *(name for name in known if name != first))
    for name in schemes:
        checks.one_of("scheme", name, known)

    def variant(name: str) -> Variant:
        if name == ONNX:
            onnx_encoder: Callable[..., MeasuredModel] = OnnxEncoder
            return Variant(name=name, model=packaged.name, make=lambda: onnx_encoder(**options))

        def make() -> MeasuredModel:
            return measured_model(packaged, quantize(packaged.model, name, device=device), **options)

        size = predicted_bytes(packaged.model, name, device=device)
        return Variant(name=name, model=packaged.name, make=make, predicted_bytes=size)

    return tuple(variant(name) for name in schemes)


def quantization_study(
    models: Models = None,
    *,
    device: DeviceKind = None,
    schemes: Schemes = None,
    batch_sizes: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    progress: bool = True,
    free: int | None = None,
    **options: object,
) -> BenchmarkResult:
    """Every scheme on each of the models, measured here.

    Parameters
    ----------
    models : list of str, optional
        Packaged models by their names, by default both; or ``owner/name`` of a language model on the Hugging Face hub.
    device, schemes, batch_sizes, repeats, seed, progress, free, **options
        As for :func:`costlab.compression.benchmark` and :func:`quantization_variants`.

    Raises a ModelTooLargeError where a model does not fit into the memory, beside the errors of those.
    """
    device = usable_device(device)

    def variants(model: PackagedModel) -> Sequence[Variant]:
        return quantization_variants(model, schemes, device=device, **options)

    measuring = {"device": device, "repeats": repeats, "seed": seed, "progress": progress, "free": free}
    return each_model(MODEL_NAMES if models is None else models, variants, batch_sizes, **measuring)


def each_model(
    models: Sequence[str],
    variants: Callable[[PackagedModel], Sequence[Variant]],
    batch_sizes: Sequence[int] | None,
    **measuring: Any,
) -> BenchmarkResult:
    """The `variants` of each model, packaged or ``owner/name`` on the Hugging Face hub, measured into one result."""
    packaged = (hub_model(name) if "/" in name else packaged_model(name) for name in models)
    batches = BATCH_SIZES if batch_sizes is None else batch_sizes
    return together([benchmark(variants(model), batch_sizes=batches, **measuring) for model in packaged])


#: Parameters of the studies in the order of their commands, and what the options are called.
_OPTIONS: Final = {
    "models": "model",
    "names": "variant",
    "schemes": "scheme",
    "fractions": "fraction",
    "patterns": "pattern",
    "batch_sizes": "batch",
    **{name: name for name in ("steps", "repeats", "seed")},
}


def recording_maker(
    experiment: str, **defaults: object
) -> Callable[[BenchmarkResult, Mapping[str, object]], Recording]:
    """Makes recordings of results: their command names what was chosen, or what is the default."""

    def recording(result: BenchmarkResult, options: Mapping[str, object]) -> Recording:
        chosen: dict[str, object] = {"device": result.device_kind}
        for name, flag in _OPTIONS.items():
            if name in options:
                chosen[flag] = options[name] or defaults.get(name, options[name])
        return result.to_recording(bench_command(experiment, chosen))

    return recording


_recording = recording_maker("quantization", models=MODEL_NAMES, batch_sizes=BATCH_SIZES)

EXPERIMENT: Final = Experiment(
    measure=quantization_study, lines=BenchmarkResult.lines, recording=_recording, load=BenchmarkResult.from_recording
)
