"""What a tier asks of a model, and models that answer it.

One suite of tests holds what each of them keeps: many calls at once, cancellation, no call that holds up the event
loop, and an error that says what was billed.
"""

from costlab.router.models.classifiers import ClassifierModel, EmbeddingModel, EnsembleModel
from costlab.router.models.endpoint import EndpointModel
from costlab.router.models.local import TransformersModel
from costlab.router.models.protocol import (
    Model,
    ModelError,
    ModelTimeoutError,
    Prediction,
    ScriptedModel,
    TokenUsage,
    mean_probability,
)

__all__ = [
    "ClassifierModel",
    "EmbeddingModel",
    "EndpointModel",
    "EnsembleModel",
    "Model",
    "ModelError",
    "ModelTimeoutError",
    "Prediction",
    "ScriptedModel",
    "TokenUsage",
    "TransformersModel",
    "mean_probability",
]
