"""Three real classifiers as tiers, on labelled queries: how good and how sure each is, alone and as a cascade."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np

from costlab._internal import checks
from costlab.cache.semantic import CachingEmbedder, Embedder, PackagedMiniLm
from costlab.datasets import IntentQueries, IntentQuery, SupportQuery, banking77, clinc150, support_queries
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, Row, find_device, library_versions
from costlab.router import (
    ClassifierModel,
    EmbeddingModel,
    EnsembleModel,
    Outcomes,
    Point,
    apgr,
    baselines,
    calibrate,
    cost_quality_curve,
    cpt,
    evaluate_cascade,
    expected_calibration_error,
    quality_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The source lesson's prices of a small, a medium and a large tier, in USD per request.
LESSON_USD_PER_REQUEST: Final = {"words": 0.0005, "vectors": 0.003, "ensemble": 0.03}

#: How far below the best tier's quality a guarantee is given.
FLOORS_BELOW: Final = (0.04, 0.08)

CLINC_PARTS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class LabelledQueries:
    """Queries and what each one wants.

    Attributes
    ----------
    texts, labels : tuple of str
        As many of the one as of the other.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def from_queries(cls, queries: Sequence[SupportQuery | IntentQuery]) -> LabelledQueries:
        """From a data set; out of scope counts as an intent."""
        return cls(tuple(query.text for query in queries), tuple(query.intent for query in queries))


def fit_tiers(learned: LabelledQueries, embedder: Embedder) -> dict[str, ClassifierModel]:
    """The tiers, cheapest first: words counted, sentence vectors, and an ensemble of three classifiers.

    Parameters
    ----------
    learned : LabelledQueries
        What they learn from.
    embedder : Embedder
        Makes sentence vectors. One that remembers spares the ensemble from making them again.

    Returns
    -------
    dict
        ``words``: logistic regression on weighted words and pairs of words (TF-IDF); ``vectors``: on sentence vectors;
        ``ensemble``: the vectors, words and vectors together, and pieces of words.

    Notes
    -----
    The strengths of regularization were chosen on the calibration part of the support queries.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer

    def regression(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=2000)

    def counted(**settings: object) -> TfidfVectorizer:
        return TfidfVectorizer(sublinear_tf=True, **settings)

    texts, labels = learned.texts, learned.labels
    both = make_union(counted(ngram_range=(1, 2)), FunctionTransformer(embedder.embed))
    pieces = counted(analyzer="char_wb", ngram_range=(2, 5))
    words = ClassifierModel(make_pipeline(counted(ngram_range=(1, 2)), regression(100)).fit(texts, labels))
    vectors = EmbeddingModel(embedder, regression(10).fit(embedder.embed(texts), labels))
    members = [make_pipeline(features, regression(c)).fit(texts, labels) for features, c in ((both, 30), (pieces, 100))]
    ensemble = EnsembleModel([vectors, *(ClassifierModel(member) for member in members)])
    return {"words": words, "vectors": vectors, "ensemble": ensemble}


def tier_outcomes(
    models: Mapping[str, ClassifierModel],
    asked: LabelledQueries,
    usd_per_request: Mapping[str, float] = LESSON_USD_PER_REQUEST,
) -> Outcomes:
    """What each tier answers to each query: the table on which routers are compared.

    Parameters
    ----------
    models : mapping of str to ClassifierModel
        By tier, cheapest first.
    asked : LabelledQueries
        Queries with the right answers.
    usd_per_request : mapping of str to float
        What trying a tier costs.
    """
    answers = [model.predict_all(asked.texts) for model in models.values()]
    correct = np.array([[p.answer == label for p, label in zip(tier, asked.labels, strict=True)] for tier in answers])
    confidence = np.array([[p.confidence for p in tier] for tier in answers])
    return Outcomes.from_prices(tuple(models), correct.T, confidence.T, [usd_per_request[name] for name in models])


def seconds_per_query(models: Mapping[str, ClassifierModel], texts: Sequence[str]) -> dict[str, float]:
    """Median seconds that each tier needs for one query, one after the other.

    Parameters
    ----------
    models : mapping of str to ClassifierModel
        By tier.
    texts : sequence of str
        What is asked, at least one. Each tier gets them in words of its own, so that an embedder that remembers has
        seen none of them.
    """
    medians = {}
    for name, model in models.items():
        seconds = []
        for text in texts:
            begin = time.perf_counter()
            model.predict_all([f"{name}: {text}"])
            seconds.append(time.perf_counter() - begin)
        medians[name] = float(np.median(seconds))
    return medians


def guarantees(
    outcomes: Outcomes, quality_floor_fraction: float, splits: int = 20, *, for_next: bool = True
) -> list[Row]:
    """Calibrate on a random half of the queries and look at the other half, again and again.

    Parameters
    ----------
    outcomes : Outcomes
        Queries that no tier has learned from.
    quality_floor_fraction : float
        Share of right answers to guarantee.
    splits : int
        Random halves, with the seeds 0, 1, 2 and so on; >= 1.
    for_next : bool
        Guarantee it for as many queries as the other half has, and not in the long run alone.

    Returns
    -------
    list of dict
        For each split: ``found``, whether a guarantee was given; ``kept``, whether the other half has the quality;
        its ``quality_fraction`` and ``usd_per_request``; and whether all queries together have the quality.
    """
    rows: list[Row] = []
    for seed in range(checks.integer("splits", splits, at_least=1)):
        order = np.random.default_rng(seed).permutation(len(outcomes))
        half = len(order) // 2
        fitted, held_out = outcomes.rows(order[:half]), outcomes.rows(order[half:])
        fit = calibrate(fitted, quality_floor_fraction, seed=seed, next_queries=len(held_out) if for_next else None)
        result = evaluate_cascade(held_out.only(fit.tiers), fit.thresholds)
        together = evaluate_cascade(outcomes.only(fit.tiers), fit.thresholds)
        rows.append(
            {
                "found": fit.found,
                "kept": not fit.found or result.quality_fraction >= quality_floor_fraction,
                "kept_of_all": not fit.found or together.quality_fraction >= quality_floor_fraction,
                "quality_fraction": result.quality_fraction,
                "usd_per_request": result.usd_per_request,
            }
        )
    return rows


def cheapest_matching_last(outcomes: Outcomes) -> Point:
    """The cheapest cascade of all tiers that is right at least as often as the last tier alone, on these queries.

    Where the steps in price are small it can cost more than the last tier alone, since what was tried in vain is paid.
    On others it tends to be worse: the cheapest of many that look as good was lucky. For one with a guarantee see
    :func:`costlab.router.calibrate`.
    """
    wanted = float(outcomes.correct[:, -1].mean())
    good = (point for point in cost_quality_curve(outcomes) if point.quality_fraction >= wanted)
    return min(good, key=lambda point: point.usd_per_request)


def measure_tiers(
    embedder: Embedder | None = None,
    *,
    splits: Annotated[int, Option("Random halves of each set.", metavar="N")] = 200,
    seed: Annotated[int, Option("Of the division of BANKING77.", metavar="SEED")] = 7,
    published: Annotated[bool, Option("CLINC150 and BANKING77 too.")] = True,
) -> Recording:
    """The three tiers on the support queries and on published sets: quality, calibration, cascade, guarantees.

    Parameters
    ----------
    embedder : Embedder, optional
        By default the packaged MiniLM.
    splits, seed : int
        Random halves on which guarantees are tried, >= 1; and the seed of the division of sets that come without a
        part to calibrate on.
    published : bool
        Whether to look at CLINC150 and BANKING77 too.

    Returns
    -------
    Recording
        Rows of three kinds, told apart by ``what``: ``tier``, ``cascade`` and ``promise``.

    Raises
    ------
    DatasetError
        If a published set can neither be found nor fetched.
    """
    checks.integer("splits", splits, at_least=1)
    checks.integer("seed", seed)
    model: Embedder = CachingEmbedder(PackagedMiniLm() if embedder is None else embedder)
    support = support_queries()
    sets: dict[str, Sequence[Sequence[SupportQuery | IntentQuery]]] = {}
    sets["support"] = [support.split(part) for part in ("train", "calibration", "test")]
    if published:
        sets["BANKING77"] = _divided(np.random.default_rng(seed), banking77(), 3000)
        clinc = clinc150()
        sets["CLINC150"] = [clinc.split(part) + clinc.split(f"oos_{part}") for part in ("train", "val", "test")]
    rows: list[Row] = []
    for name, parts in sets.items():
        learned, calibration, test = map(LabelledQueries.from_queries, parts)
        rows += ({"data": name, **row} for row in _measure(model, learned, calibration, test, splits))
    return Recording.from_run(
        "tiers",
        rows,
        device=find_device("cpu"),
        versions=library_versions("numpy", "onnxruntime", "scikit-learn") | {"model": model.name},
        options={"splits": splits, "seed": seed},
    )


def _divided(rng: np.random.Generator, data: IntentQueries, held: int) -> list[tuple[IntentQuery, ...]]:
    """A set whose training part also serves to calibrate: `held` of its queries at random."""
    known = data.split("train")
    order = rng.permutation(len(known)).tolist()
    return [tuple(known[k] for k in order[held:]), tuple(known[k] for k in order[:held]), data.split("test")]


def _measure(
    embedder: Embedder, learned: LabelledQueries, calibration: LabelledQueries, test: LabelledQueries, splits: int
) -> list[Row]:
    models = fit_tiers(learned, embedder)
    raw = tier_outcomes(models, test)
    for model in models.values():
        model.fit_temperature(calibration.texts, calibration.labels)
    fitted, held_out = tier_outcomes(models, calibration), tier_outcomes(models, test)
    rows: list[Row] = []
    for i, (name, model) in enumerate(models.items()):
        right: NDArray[np.float64] = held_out.correct[:, i]
        quality = float(right.mean())
        rows.append(
            {
                "what": "tier",
                "tier": name,
                "learned": len(learned.texts),
                "queries": len(right),
                "quality_fraction": quality,
                "quality_error": float(np.sqrt(quality * (1 - quality) / len(right))),
                "raw_confidence": float(raw.confidence[:, i].mean()),
                "raw_calibration_error": expected_calibration_error(raw.confidence[:, i], right),
                "temperature": model.scaling.temperature,
                "calibration_error": expected_calibration_error(held_out.confidence[:, i], right),
            }
        )
    rows.append({"what": "cascade", **_cascade(fitted, held_out)})
    both = fitted.joined(held_out)
    best = float(both.correct[:, -1].mean())
    for below in FLOORS_BELOW:
        floor = round(best - below, 2)
        for for_next in (False, True):
            attempts = guarantees(both, floor, splits, for_next=for_next)
            given = [row for row in attempts if row["found"]]
            rows.append(
                {
                    "what": "promise",
                    "queries": len(both) // 2,
                    "quality_floor_fraction": floor,
                    "for_next": for_next,
                    "splits": splits,
                    "found": len(given),
                    "broken": sum(not row["kept"] for row in given),
                    "broken_of_all": sum(not row["kept_of_all"] for row in given),
                    "quality_fraction": float(np.mean([row["quality_fraction"] for row in attempts])),
                    "usd_per_request": float(np.mean([row["usd_per_request"] for row in attempts])),
                }
            )
    return rows


def _cascade(fitted: Outcomes, held_out: Outcomes) -> Row:
    """The cheapest cascade that is as good as the last tier where it is fitted, on the other queries."""
    point = cheapest_matching_last(fitted)
    result = evaluate_cascade(held_out, point.thresholds)
    alone = baselines(held_out)
    difference = result.correct - held_out.correct[:, -1]
    gap = alone.all_large.quality_fraction - alone.singles[0].quality_fraction
    return {
        "thresholds": list(point.thresholds),
        "queries": len(held_out),
        "quality_fraction": result.quality_fraction,
        "usd_per_request": result.usd_per_request,
        "all_large_quality_fraction": alone.all_large.quality_fraction,
        "all_large_usd_per_request": alone.all_large.usd_per_request,
        "difference_fraction": float(difference.mean()),
        "difference_error": float(difference.std(ddof=1) / np.sqrt(len(held_out))),
        "fixed_mix_quality_fraction": quality_at(alone.singles, result.usd_per_request),
        "oracle_quality_fraction": alone.oracle.quality_fraction,
        "oracle_usd_per_request": alone.oracle.usd_per_request,
        "served_fractions": [float((result.tier == i).mean()) for i in range(len(held_out.tiers))],
        # Without a gap between the first tier and the last there is no part of it to recover.
        "apgr": apgr(held_out) if gap > 0 else None,
        "cpt50": cpt(held_out, 0.5) if gap > 0 else None,
        "cpt80": cpt(held_out, 0.8) if gap > 0 else None,
    }


def _lines(result: Recording) -> Iterator[str]:
    for row in result.rows:
        if row["what"] == "tier":
            right = f"{row['quality_fraction']:.1%} right of {row['queries']:,}"
            off = f"off by {row['raw_calibration_error']:.1%}, with temperature {row['calibration_error']:.1%}"
            yield f"{row['data']:<10} {row['tier']:<9} {right}; confidence {off}"
        elif row["what"] == "cascade":
            large = f"{row['all_large_quality_fraction']:.1%} at {row['all_large_usd_per_request']:.4f} all large"
            here = f"{row['quality_fraction']:.1%} right at {row['usd_per_request']:.4f} USD"
            mix = f"{row['fixed_mix_quality_fraction']:.1%} for a fixed mix of that cost"
            yield f"{row['data']:<10} cascade   {here}; {large}; {mix}"
        else:
            whose = "of the next half" if row["for_next"] else "of the long run"
            floor = f"{row['quality_floor_fraction']:.0%} {whose}"
            kept = f"made in {row['found']} of {row['splits']}, broken on the other half in {row['broken']}"
            yield f"{row['data']:<10} promise   {floor}: {kept}"


EXPERIMENT: Final = Experiment(measure=measure_tiers, lines=_lines)
