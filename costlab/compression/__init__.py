"""Smaller and faster models, measured: quantization, distillation, pruning, and what each is worth in dollars.

Torch and its relatives are imported when something is measured, never by the import of this package.
"""

from costlab.compression.benchmark import Variant, benchmark
from costlab.compression.combined import COMBINED, combined_study, combined_variants
from costlab.compression.decode import DECODE_SCHEMES, decode_study
from costlab.compression.decode_results import DecodeResult, DecodeRow, recorded_decode
from costlab.compression.distillation import Training, distill
from costlab.compression.distillation_results import (
    DistillationCost,
    DistillationResult,
    DistillationRow,
    recorded_distillation,
)
from costlab.compression.distillation_study import ARMS, distillation_study
from costlab.compression.llama import LLAMA_SHAPES, LlamaShape, random_llama
from costlab.compression.measured import Measured
from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes
from costlab.compression.models import MODEL_NAMES, PackagedModel, hub_model, packaged_model
from costlab.compression.pruning import PATTERNS, PrunedSizes, make_permanent, prune, pruned_sizes, sparsity_fraction
from costlab.compression.pruning_curves import bytes_by_zeros, quality_by_zeros
from costlab.compression.pruning_study import pruning_study, pruning_variants
from costlab.compression.quantization import (
    Availability,
    available_schemes,
    model_shape,
    predicted_bytes,
    quantize,
    usable_device,
)
from costlab.compression.recovery import recover
from costlab.compression.results import BenchmarkResult, BenchmarkRow, Latency, recorded_benchmark, together
from costlab.compression.schemes import SCHEMES, Scheme
from costlab.compression.sizes import ModelShape, WeightFormat, kv_cache_bytes, weights_bytes
from costlab.compression.soft_targets import UNLABELLED, Examples, distillation_loss
from costlab.compression.sparse_kernels import KERNELS, available_kernels, with_sparse_kernel
from costlab.compression.spread import Spread, spread
from costlab.compression.students import hashed_words, small_network, words_network
from costlab.compression.study import quantization_study, quantization_variants
from costlab.compression.subjects import Assessment, Encoder, LanguageModel, OnnxEncoder, Subject
from costlab.compression.tasks import DistillationTask, TaskDraw, digits_task, support_task

__all__ = [
    "ARMS",
    "COMBINED",
    "DECODE_SCHEMES",
    "KERNELS",
    "LLAMA_SHAPES",
    "MODEL_NAMES",
    "PATTERNS",
    "SCHEMES",
    "UNLABELLED",
    "Assessment",
    "Availability",
    "BenchmarkResult",
    "BenchmarkRow",
    "DecodeResult",
    "DecodeRow",
    "DistillationCost",
    "DistillationResult",
    "DistillationRow",
    "DistillationTask",
    "Encoder",
    "Examples",
    "LanguageModel",
    "Latency",
    "LlamaShape",
    "Measured",
    "ModelShape",
    "OnnxEncoder",
    "PackagedModel",
    "PrunedSizes",
    "Scheme",
    "Spread",
    "Subject",
    "TaskDraw",
    "Training",
    "Variant",
    "WeightFormat",
    "available_kernels",
    "available_schemes",
    "benchmark",
    "bytes_by_zeros",
    "combined_study",
    "combined_variants",
    "decode_study",
    "digits_task",
    "distill",
    "distillation_loss",
    "distillation_study",
    "hashed_words",
    "hub_model",
    "kv_cache_bytes",
    "make_permanent",
    "measured_bytes",
    "measured_disk_bytes",
    "model_shape",
    "packaged_model",
    "predicted_bytes",
    "prune",
    "pruned_sizes",
    "pruning_study",
    "pruning_variants",
    "quality_by_zeros",
    "quantization_study",
    "quantization_variants",
    "quantize",
    "random_llama",
    "recorded_benchmark",
    "recorded_decode",
    "recorded_distillation",
    "recover",
    "small_network",
    "sparsity_fraction",
    "spread",
    "support_task",
    "together",
    "usable_device",
    "weights_bytes",
    "with_sparse_kernel",
    "words_network",
]
