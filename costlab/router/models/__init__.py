"""What a tier asks of a model, and models that answer it.

Each implementation keeps one promise, which one suite of tests holds: many calls at once, cancellation, no call that
holds up the event loop, and an error that says what was billed.
"""

from costlab.router.models.classifiers import ClassifierModel, EmbeddingModel, EnsembleModel
from costlab.router.models.completions import mean_probability
from costlab.router.models.endpoint import EndpointModel
from costlab.router.models.local import TransformersModel
from costlab.router.models.prediction import Model, ModelError, ModelTimeoutError, Prediction, Usage
from costlab.router.models.scripted import ScriptedModel

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
    "TransformersModel",
    "Usage",
    "mean_probability",
]
