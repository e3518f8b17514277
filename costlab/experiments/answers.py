"""What three real tiers answer to each support query, recorded: a cascade can be shown without training them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from costlab._internal import checks
from costlab.cache.semantic import CachingEmbedder, Embedder, PackagedMiniLm
from costlab.datasets import support_queries
from costlab.errors import RecordingError
from costlab.experiments.registry import Experiment
from costlab.experiments.tiers import LabelledQueries, cheapest_matching_last, fit_tiers, tier_outcomes
from costlab.recordings import Recording, Row, find_device, find_recording, library_versions
from costlab.router import Outcomes, Prediction

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
        rows = [[self.answers[tier][query.id] for tier in usd_per_request] for query in asked]
        right = [
            [p.answer == query.intent for p in predictions] for query, predictions in zip(asked, rows, strict=True)
        ]
        sure = [[p.confidence for p in row] for row in rows]
        return Outcomes.from_prices(tuple(usd_per_request), right, sure, list(usd_per_request.values()))


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
    support = support_queries()
    learned, calibration = (LabelledQueries.from_queries(support.split(part)) for part in ("train", "calibration"))
    models = fit_tiers(learned, model)
    for tier in models.values():
        tier.fit_temperature(calibration.texts, calibration.labels)
    rows: list[Row] = []
    for part in PARTS:
        asked = support.split(part)
        for name, tier in models.items():
            predictions = tier.predict_all([query.text for query in asked])
            rows.append(
                {
                    "what": "answers",
                    "part": part,
                    "tier": name,
                    "queries": " ".join(query.id for query in asked),
                    "intents": " ".join(p.answer for p in predictions),
                    "confidences": " ".join(f"{p.confidence:.4f}" for p in predictions),
                }
            )
    point = cheapest_matching_last(tier_outcomes(models, calibration))
    rows.append({"what": "cascade", "thresholds": list(point.thresholds)})
    return Recording.from_run(
        "answers",
        rows,
        device=find_device("cpu"),
        versions=library_versions("numpy", "onnxruntime", "scikit-learn") | {"model": model.name},
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
    >>> {name: len(predictions) for name, predictions in tiers.answers.items()}
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


def _predictions(row: Row) -> dict[str, Prediction]:
    columns: Sequence[list[str]] = [row[name].split(" ") for name in ("queries", "intents", "confidences")]
    return {query: Prediction(intent, float(sure)) for query, intent, sure in zip(*columns, strict=True)}


def _lines(result: Recording) -> Iterator[str]:
    *tiers, cascade = result.rows
    for row in tiers:
        yield f"{row['tier']:<9} answered {len(row['queries'].split()):,} queries of the {row['part']} part"
    yield f"kept above a confidence of {' and '.join(f'{threshold:.3f}' for threshold in cascade['thresholds'])}"


EXPERIMENT: Final = Experiment(measure=measure_answers, lines=_lines)
