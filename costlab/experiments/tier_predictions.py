"""What three real tiers answer to each support query, recorded: a cascade can be shown without training them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from costlab._internal import checks
from costlab.cache.semantic import CachingEmbedder, PackagedMiniLm
from costlab.datasets import support_queries
from costlab.errors import RecordingError
from costlab.experiments.query_tiers import LabelledQueries, fit_tiers, tier_outcomes
from costlab.experiments.tiers import cheapest_matching_last
from costlab.recordings import Recording, find_recording
from costlab.recordings.device import find_device, library_versions
from costlab.router import Outcomes, Prediction

if TYPE_CHECKING:
    from costlab.cache.semantic import Embedder

__all__ = ["RecordedTiers", "measure_answers", "recorded_tiers"]

PARTS: Final = ("calibration", "test")


@dataclass(frozen=True, slots=True)
class RecordedTiers:
    """The answers of tiers to a part of the support queries.

    Attributes
    ----------
    part : {'calibration', 'test'}
        Which. The tiers have learned from neither; their temperatures and the thresholds were chosen on the first.
    answers : mapping of str to mapping
        For each tier, cheapest first, the :class:`costlab.router.Prediction` for each query's id: the intent that it
        chose, and how sure it was.
    min_confidence : tuple of float
        For each tier but the last, above which confidence its answer is kept: chosen on other queries, the calibration
        part, so that there the cascade is as often right as the last tier alone, at the least cost.
    recorded_on : str
        ISO date.
    """

    part: str
    answers: Mapping[str, Mapping[str, Prediction]]
    min_confidence: tuple[float, ...]
    recorded_on: str

    def outcomes(self, usd_per_request: Mapping[str, float]) -> Outcomes:
        """The table on which cascades are played, its rows in the order of the queries.

        Parameters
        ----------
        usd_per_request : mapping of str to float
            What trying a tier costs, in USD; the tiers named here, in this order.
        """
        asked = support_queries().split(self.part)
        said = [[self.answers[tier][query.id] for tier in usd_per_request] for query in asked]
        right = [[one.answer == query.intent for one in row] for query, row in zip(asked, said, strict=True)]
        sure = [[one.confidence for one in row] for row in said]
        return Outcomes.of_prices(tuple(usd_per_request), right, sure, list(usd_per_request.values()))


def measure_answers(embedder: Embedder | None = None) -> Recording:
    """What each tier answers to queries that it has not learned from, and the thresholds of a cascade of them.

    Parameters
    ----------
    embedder : Embedder, optional
        By default the packaged MiniLM.

    Returns
    -------
    Recording
        For each part a row per tier with ids, intents and confidences in one order, separated by spaces; and a last
        row with the thresholds.
    """
    model: Embedder = CachingEmbedder(PackagedMiniLm() if embedder is None else embedder)
    device, support = find_device("cpu"), support_queries()
    learned, calibration = (LabelledQueries.of(support.split(part)) for part in ("train", "calibration"))
    models = fit_tiers(learned, model)
    for one in models.values():
        one.fit_temperature(calibration.texts, calibration.labels)
    rows: list[dict[str, Any]] = []
    for part in PARTS:
        asked = support.split(part)
        for name, tier in models.items():
            said = tier.predict_all([query.text for query in asked])
            rows.append(
                {
                    "what": "answers",
                    "part": part,
                    "tier": name,
                    "queries": " ".join(query.id for query in asked),
                    "intents": " ".join(one.answer for one in said),
                    "confidences": " ".join(f"{one.confidence:.4f}" for one in said),
                }
            )
    point = cheapest_matching_last(tier_outcomes(models, calibration))
    rows.append({"what": "cascade", "thresholds": list(point.thresholds)})
    return Recording(
        experiment="answers",
        device="cpu",
        device_name=device.name,
        driver=device.driver,
        library_versions=library_versions("numpy", "onnxruntime", "scikit-learn") | {"model": model.name},
        recorded_on=date.today().isoformat(),
        command="costlab bench answers --record",
        repeats=1,
        rows=tuple(rows),
    )


@cache
def recorded_tiers(part: str = "test") -> RecordedTiers:
    """The recording that the package ships.

    Parameters
    ----------
    part : {'calibration', 'test'}
        Of the support queries.

    Raises
    ------
    UnknownNameError
        If there is no such part.
    RecordingError
        If it is missing or cannot be trusted.

    Examples
    --------
    Which tiers were asked, and how many queries?

    >>> tiers = recorded_tiers()
    >>> {name: len(said) for name, said in tiers.answers.items()}
    {'words': 936, 'vectors': 936, 'ensemble': 936}
    """
    checks.one_of("part", part, PARTS)
    recording = find_recording("answers", "cpu")
    if recording is None:
        raise RecordingError("the recording answers-cpu.json is missing from the package")
    *tiers, cascade = recording.rows
    return RecordedTiers(
        part=part,
        answers={row["tier"]: _predictions(row) for row in tiers if row["part"] == part},
        min_confidence=tuple(cascade["thresholds"]),
        recorded_on=recording.recorded_on,
    )


def _predictions(row: Mapping[str, Any]) -> dict[str, Prediction]:
    columns: Sequence[list[str]] = [row[name].split(" ") for name in ("queries", "intents", "confidences")]
    return {query: Prediction(intent, float(sure)) for query, intent, sure in zip(*columns, strict=True)}
