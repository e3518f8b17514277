"""Smaller and faster models, measured: quantization, distillation, pruning, and what each is worth in dollars.

Torch and its relatives are imported when something is measured, never by the import of this package.
"""

from costlab.compression.benchmark import Variant, benchmark
from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes
from costlab.compression.models import MODEL_NAMES, PackagedModel, hub_model, packaged_model
from costlab.compression.quantization import (
    Availability,
    available_schemes,
    model_shape,
    predicted_bytes,
    quantize,
    usable_device,
)
from costlab.compression.results import BenchmarkResult, BenchmarkRow, Latency, recorded_benchmark, together
from costlab.compression.schemes import SCHEMES, Scheme
from costlab.compression.sizes import ModelShape, WeightFormat, kv_cache_bytes, weights_bytes
from costlab.compression.study import quantization_study, quantization_variants
from costlab.compression.subjects import Assessment, Encoder, LanguageModel, OnnxEncoder, Subject

__all__ = [
    "MODEL_NAMES",
    "SCHEMES",
    "Assessment",
    "Availability",
    "BenchmarkResult",
    "BenchmarkRow",
    "Encoder",
    "LanguageModel",
    "Latency",
    "ModelShape",
    "OnnxEncoder",
    "PackagedModel",
    "Scheme",
    "Subject",
    "Variant",
    "WeightFormat",
    "available_schemes",
    "benchmark",
    "hub_model",
    "kv_cache_bytes",
    "measured_bytes",
    "measured_disk_bytes",
    "model_shape",
    "packaged_model",
    "predicted_bytes",
    "quantization_study",
    "quantization_variants",
    "quantize",
    "recorded_benchmark",
    "together",
    "usable_device",
    "weights_bytes",
]
