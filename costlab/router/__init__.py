"""Tiers of models and the cascade in front of them: what it costs, how good it is, and how to set it.

An argument outside the domain, shape or order that its description gives raises
:class:`costlab.errors.InvalidValueError`; a library that is not installed :class:`costlab.errors.MissingExtraError`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.router.budgeted_calls import (
        BudgetGuardLike as BudgetGuardLike,
        BudgetReservationLike as BudgetReservationLike,
    )
    from costlab.router.calibration import (
        Calibrated as Calibrated,
        CalibrationReport as CalibrationReport,
        calibrate as calibrate,
        calibration_report as calibration_report,
    )
    from costlab.router.cascade import AnswerCache as AnswerCache, Cascade as Cascade, ScoreRouter as ScoreRouter
    from costlab.router.confidence import (
        IsotonicScaling as IsotonicScaling,
        ReliabilityBin as ReliabilityBin,
        TemperatureScaling as TemperatureScaling,
        expected_calibration_error as expected_calibration_error,
        reliability as reliability,
    )
    from costlab.router.evaluation import (
        Baselines as Baselines,
        Outcomes as Outcomes,
        Point as Point,
        PolicyResult as PolicyResult,
        aiq as aiq,
        apgr as apgr,
        baselines as baselines,
        cost_at as cost_at,
        cost_quality_curve as cost_quality_curve,
        cpt as cpt,
        evaluate_cascade as evaluate_cascade,
        evaluate_routing as evaluate_routing,
        hull as hull,
        quality_at as quality_at,
        saving_at_equal_quality as saving_at_equal_quality,
    )
    from costlab.router.models.classifiers import (
        ClassifierModel as ClassifierModel,
        EmbeddingModel as EmbeddingModel,
        EnsembleModel as EnsembleModel,
    )
    from costlab.router.models.endpoint import EndpointModel as EndpointModel
    from costlab.router.models.local import TransformersModel as TransformersModel
    from costlab.router.models.protocol import (
        Model as Model,
        ModelError as ModelError,
        ModelTimeoutError as ModelTimeoutError,
        Prediction as Prediction,
        ScriptedModel as ScriptedModel,
        TokenUsage as TokenUsage,
        mean_probability as mean_probability,
    )
    from costlab.router.policy import (
        Expectation as Expectation,
        NextStep as NextStep,
        Stage as Stage,
        StageShare as StageShare,
        WorkedExample as WorkedExample,
        expected as expected,
        first_step as first_step,
        next_step as next_step,
        worked_example as worked_example,
    )
    from costlab.router.routes import Attempt as Attempt, CascadeFailedError as CascadeFailedError, Routed as Routed
    from costlab.router.simulation import (
        BaselineComparison as BaselineComparison,
        BaselineSaving as BaselineSaving,
        Simulated as Simulated,
        TiersSimulation as TiersSimulation,
        simulate as simulate,
        simulate_outcomes as simulate_outcomes,
        simulate_stream as simulate_stream,
        simulate_tiers as simulate_tiers,
    )
    from costlab.router.tiers import Gate as Gate, Price as Price, Tier as Tier
    from costlab.router.tiers_file import (
        TiersFile as TiersFile,
        TiersFileError as TiersFileError,
        example_tiers as example_tiers,
        load_tiers as load_tiers,
        open_cascade as open_cascade,
        parse_tiers as parse_tiers,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
