"""From a model and a GPU to requests per second, replicas and dollars: what self-hosting can do, and what it costs.

Pure functions. Times come from a roofline whose efficiency factors are inputs; :func:`published_measurements` has the
measurements that it is held against.
"""

from costlab.serving.economics import MAX_REPLICAS, Replicas, replicas_needed, usd_per_mtok, usd_per_request
from costlab.serving.models import (
    BYTES_PER_WEIGHT,
    Measurement,
    ModelSpec,
    model_spec,
    model_specs,
    published_measurements,
)
from costlab.serving.roofline import (
    BatchRun,
    Capacity,
    Efficiency,
    MemoryFit,
    Roofline,
    batch_run,
    capacity,
    memory_fit,
    roofline,
)

__all__ = [
    "BYTES_PER_WEIGHT",
    "MAX_REPLICAS",
    "BatchRun",
    "Capacity",
    "Efficiency",
    "Measurement",
    "MemoryFit",
    "ModelSpec",
    "Replicas",
    "Roofline",
    "batch_run",
    "capacity",
    "memory_fit",
    "model_spec",
    "model_specs",
    "published_measurements",
    "replicas_needed",
    "roofline",
    "usd_per_mtok",
    "usd_per_request",
]
