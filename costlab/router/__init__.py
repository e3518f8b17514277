"""Tiers of models and the cascade in front of them: what it costs, how good it is, and how to set it."""

from costlab.router.books import Guard, Reserved
from costlab.router.calibrate import Calibrated, Report, calibrate, report
from costlab.router.cascade import AnswerCache, Cascade
from costlab.router.choice import ScoreRouter
from costlab.router.confidence import (
    IsotonicScaling,
    ReliabilityBin,
    TemperatureScaling,
    expected_calibration_error,
    reliability,
)
from costlab.router.evaluate import (
    Baselines,
    Point,
    apgr,
    average_improvement,
    baselines,
    call_share_for,
    cost_quality_curve,
    hull,
    quality_at,
    saving_at_equal_quality,
)
from costlab.router.models import (
    ClassifierModel,
    EmbeddingModel,
    EndpointModel,
    EnsembleModel,
    Model,
    ModelError,
    ModelTimeoutError,
    Prediction,
    ScriptedModel,
    TransformersModel,
    Usage,
    mean_probability,
)
from costlab.router.outcomes import Outcomes, Played, play, play_routed
from costlab.router.policy import Expectation, Stage, StageShare, WorkedExample, expected, worked_example
from costlab.router.results import Attempt, CascadeFailedError, Routed
from costlab.router.simulate import Simulated, simulate, simulate_outcomes, simulate_stream
from costlab.router.tiers import Gate, Price, Tier

__all__ = [
    "AnswerCache",
    "Attempt",
    "Baselines",
    "Calibrated",
    "Cascade",
    "CascadeFailedError",
    "ClassifierModel",
    "EmbeddingModel",
    "EndpointModel",
    "EnsembleModel",
    "Expectation",
    "Gate",
    "Guard",
    "IsotonicScaling",
    "Model",
    "ModelError",
    "ModelTimeoutError",
    "Outcomes",
    "Played",
    "Point",
    "Prediction",
    "Price",
    "ReliabilityBin",
    "Report",
    "Reserved",
    "Routed",
    "ScoreRouter",
    "ScriptedModel",
    "Simulated",
    "Stage",
    "StageShare",
    "TemperatureScaling",
    "Tier",
    "TransformersModel",
    "Usage",
    "WorkedExample",
    "apgr",
    "average_improvement",
    "baselines",
    "calibrate",
    "call_share_for",
    "cost_quality_curve",
    "expected",
    "expected_calibration_error",
    "hull",
    "mean_probability",
    "play",
    "play_routed",
    "quality_at",
    "reliability",
    "report",
    "saving_at_equal_quality",
    "simulate",
    "simulate_outcomes",
    "simulate_stream",
    "worked_example",
]
