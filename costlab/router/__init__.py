"""Tiers of models and the cascade in front of them: what it costs, how good it is, and how to set it."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.router.books import Guard as Guard, Reserved as Reserved
    from costlab.router.calibration import (
        Calibrated as Calibrated,
        Report as Report,
        calibrate as calibrate,
        report as report,
    )
    from costlab.router.cascade import AnswerCache as AnswerCache, Cascade as Cascade
    from costlab.router.choice import ScoreRouter as ScoreRouter
    from costlab.router.confidence import (
        IsotonicScaling as IsotonicScaling,
        ReliabilityBin as ReliabilityBin,
        TemperatureScaling as TemperatureScaling,
        expected_calibration_error as expected_calibration_error,
        reliability as reliability,
    )
    from costlab.router.evaluation import (
        Baselines as Baselines,
        Point as Point,
        aiq as aiq,
        apgr as apgr,
        baselines as baselines,
        cost_at as cost_at,
        cost_quality_curve as cost_quality_curve,
        cpt as cpt,
        hull as hull,
        quality_at as quality_at,
        saving_at_equal_quality as saving_at_equal_quality,
    )
    from costlab.router.models import (
        ClassifierModel as ClassifierModel,
        EmbeddingModel as EmbeddingModel,
        EndpointModel as EndpointModel,
        EnsembleModel as EnsembleModel,
        Model as Model,
        ModelError as ModelError,
        ModelTimeoutError as ModelTimeoutError,
        Prediction as Prediction,
        ScriptedModel as ScriptedModel,
        TransformersModel as TransformersModel,
        Usage as Usage,
        mean_probability as mean_probability,
    )
    from costlab.router.outcomes import Outcomes as Outcomes, Played as Played, play as play, play_routed as play_routed
    from costlab.router.policy import (
        Expectation as Expectation,
        Stage as Stage,
        StageShare as StageShare,
        WorkedExample as WorkedExample,
        expected as expected,
        worked_example as worked_example,
    )
    from costlab.router.results import Attempt as Attempt, CascadeFailedError as CascadeFailedError, Routed as Routed
    from costlab.router.simulation import (
        Simulated as Simulated,
        simulate as simulate,
        simulate_outcomes as simulate_outcomes,
        simulate_stream as simulate_stream,
    )
    from costlab.router.tiers import Gate as Gate, Price as Price, Tier as Tier
else:
    __getattr__, __dir__ = lazy_package(__name__)
