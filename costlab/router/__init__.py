"""Tiers of models and the cascade in front of them: what it costs, how good it is, and how to set it."""

from costlab.router.calibrate import Calibrated, Report, calibrate, report
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
from costlab.router.outcomes import Outcomes, Played, play, play_routed
from costlab.router.policy import Expectation, Stage, StageShare, WorkedExample, expected, worked_example
from costlab.router.simulate import Simulated, simulate, simulate_outcomes

__all__ = [
    "Baselines",
    "Calibrated",
    "Expectation",
    "IsotonicScaling",
    "Outcomes",
    "Played",
    "Point",
    "ReliabilityBin",
    "Report",
    "Simulated",
    "Stage",
    "StageShare",
    "TemperatureScaling",
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
    "play",
    "play_routed",
    "quality_at",
    "reliability",
    "report",
    "saving_at_equal_quality",
    "simulate",
    "simulate_outcomes",
    "worked_example",
]
