"""Smaller and faster models, measured: quantization, distillation, pruning, and what each is worth in dollars.

Torch and its relatives are imported when something is measured, never by the import of this package. An argument
outside its domain, and CUDA where torch has none, raise :class:`~costlab.errors.InvalidValueError`; an unknown name
:class:`~costlab.errors.UnknownNameError`; a missing library :class:`~costlab.errors.MissingExtraError`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.compression.distillation import (
        UNLABELLED as UNLABELLED,
        Examples as Examples,
        Training as Training,
        distill as distill,
        distillation_loss as distillation_loss,
        hashed_words as hashed_words,
        small_network as small_network,
        words_network as words_network,
    )
    from costlab.compression.instruments import (
        measured_bytes as measured_bytes,
        measured_disk_bytes as measured_disk_bytes,
        seconds as seconds,
    )
    from costlab.compression.llama import (
        LLAMA_SHAPES as LLAMA_SHAPES,
        LlamaShape as LlamaShape,
        random_llama as random_llama,
    )
    from costlab.compression.measuring import (
        Assessment as Assessment,
        Encoder as Encoder,
        LanguageModel as LanguageModel,
        MeasuredModel as MeasuredModel,
        OnnxEncoder as OnnxEncoder,
        Variant as Variant,
        benchmark as benchmark,
    )
    from costlab.compression.models import (
        GGUF_FORMATS as GGUF_FORMATS,
        MODEL_NAMES as MODEL_NAMES,
        PackagedModel as PackagedModel,
        hub_model as hub_model,
        packaged_gguf as packaged_gguf,
        packaged_model as packaged_model,
    )
    from costlab.compression.pruning import (
        KERNELS as KERNELS,
        PATTERNS as PATTERNS,
        PrunedSizes as PrunedSizes,
        available_kernels as available_kernels,
        make_permanent as make_permanent,
        prune as prune,
        pruned_sizes as pruned_sizes,
        recover as recover,
        sparsity_fraction as sparsity_fraction,
        with_sparse_kernel as with_sparse_kernel,
    )
    from costlab.compression.quantization import (
        SCHEMES as SCHEMES,
        Availability as Availability,
        Scheme as Scheme,
        available_schemes as available_schemes,
        model_shape as model_shape,
        predicted_bytes as predicted_bytes,
        quantize as quantize,
        usable_device as usable_device,
    )
    from costlab.compression.results import (
        BenchmarkResult as BenchmarkResult,
        BenchmarkRow as BenchmarkRow,
        Latency as Latency,
        Spread as Spread,
        StudyResult as StudyResult,
        spread as spread,
    )
    from costlab.compression.sizes import (
        ModelShape as ModelShape,
        WeightFormat as WeightFormat,
        kv_cache_bytes as kv_cache_bytes,
        weights_bytes as weights_bytes,
    )
    from costlab.compression.tasks import (
        DistillationTask as DistillationTask,
        SeededTask as SeededTask,
        digits_task as digits_task,
        support_task as support_task,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
