"""Smaller and faster models, measured: quantization, distillation, pruning, and what each is worth in dollars.

Torch and its relatives are imported when something is measured, never by the import of this package.
"""

from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes
from costlab.compression.models import PackagedModel, packaged_model
from costlab.compression.quantization import Availability, available_schemes, model_shape, predicted_bytes, quantize
from costlab.compression.schemes import SCHEMES, Scheme
from costlab.compression.sizes import ModelShape, WeightFormat, kv_cache_bytes, weights_bytes

__all__ = [
    "SCHEMES",
    "Availability",
    "ModelShape",
    "PackagedModel",
    "Scheme",
    "WeightFormat",
    "available_schemes",
    "kv_cache_bytes",
    "measured_bytes",
    "measured_disk_bytes",
    "model_shape",
    "packaged_model",
    "predicted_bytes",
    "quantize",
    "weights_bytes",
]
