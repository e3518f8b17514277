"""Smaller and faster models, measured: quantization, distillation, pruning, and what each is worth in dollars.

Torch and its relatives are imported when something is measured, never by the import of this package.
"""

from costlab.compression.models import PackagedModel, packaged_model

__all__ = ["PackagedModel", "packaged_model"]
