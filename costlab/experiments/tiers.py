"""Whether a cascade of real tiers is worth it: how good and how sure each tier is, alone and together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab._internal import checks
from costlab.cache.semantic import CachingEmbedder, Embedder, PackagedMiniLm
from costlab.datasets import IntentQueries, banking77, clinc150, support_queries
from costlab.experiments.query_tiers import LabelledQueries, fit_tiers, tier_outcomes
from costlab.recordings import Recording
from costlab.recordings.device import find_device, library_versions
from costlab.router import (
    Outcomes,
    Point,
    apgr,
    baselines,
    calibrate,
    cost_quality_curve,
    cpt,
    expected_calibration_error,
    play,
    quality_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cheapest_matching_last", "measure_tiers", "promises"]

#: How far below the best tier's quality a promise is made.
FLOORS_BELOW: Final = (0.04, 0.08)


def promises(
    outcomes: Outcomes, quality_floor_fraction: float, splits: int = 20, *, for_next: bool = True
) -> list[dict[str, Any]]:
    """Calibrate on a random half of the queries and look at the other half, again and again.

    Parameters
    ----------
    outcomes : Outcomes
        Queries that no tier has learned from.
    quality_floor_fraction : float
        Share of right answers to promise.
    splits : int
        Random halves, with the seeds 0, 1, 2 and so on; >= 1.
    for_next : bool
        Promise it for as many queries as the other half has, and not in the long run alone.

    Returns
    -------
    list of dict
        For each split: ``found``, whether a promise was made; ``kept``, whether the other half has the quality;
        its ``quality_fraction`` and ``usd_per_request``; and whether all queries together have the quality.
    """
    rows = []
    for seed in range(checks.integer("splits", splits, at_least=1)):
        order = np.random.default_rng(seed).permutation(len(outcomes))
        half = len(order) // 2
        fitted, held_out = outcomes.rows(order[:half]), outcomes.rows(order[half:])
        fit = calibrate(fitted, quality_floor_fraction, seed=seed, next_queries=len(held_out) if for_next else None)
        played = play(held_out.only(fit.tiers), fit.thresholds)
        together = play(outcomes.only(fit.tiers), fit.thresholds)
        rows.append(
            {
                "found": fit.found,
                "kept": not fit.found or played.quality_fraction >= quality_floor_fraction,
                "kept_of_all": not fit.found or together.quality_fraction >= quality_floor_fraction,
                "quality_fraction": played.quality_fraction,
                "usd_per_request": played.usd_per_request,
            }
        )
    return rows


def cheapest_matching_last(outcomes: Outcomes) -> Point:
    """The cheapest cascade of all tiers that is right at least as often as the last tier alone, on these queries.

    Where the steps in price are small it can cost more than the last tier alone, since what was tried in vain is paid.
    On others it tends to be worse: the cheapest of many that look as good was lucky. For one that keeps a promise see
    :func:`costlab.router.calibrate`.
    """
    wanted = float(outcomes.correct[:, -1].mean())
    good = (point for point in cost_quality_curve(outcomes) if point.quality_fraction >= wanted)
    return min(good, key=lambda point: point.usd_per_request)


def measure_tiers(
    embedder: Embedder | None = None, *, splits: int = 200, seed: int = 7, published: bool = True
) -> Recording:
    """The three tiers on the support queries and on published sets: quality, calibration, cascade, promises.

    Parameters
    ----------
    embedder : Embedder, optional
        By default the packaged MiniLM.
    splits : int
        Random halves on which promises are tried, >= 1.
    seed : int
        Of the division of sets that come without a part to calibrate on.
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
    device = find_device("cpu")
    support = support_queries()
    sets = {"support": [LabelledQueries.of(support.split(part)) for part in ("train", "calibration", "test")]}
    if published:
        rng = np.random.default_rng(seed)
        sets["BANKING77"] = _divided(rng, banking77(), ("train",), ("test",), 3000)
        clinc = clinc150()
        parts = (("train", "oos_train"), ("val", "oos_val"), ("test", "oos_test"))
        sets["CLINC150"] = [LabelledQueries.of([q for name in part for q in clinc.split(name)]) for part in parts]
    rows: list[dict[str, Any]] = []
    for name, (learned, calibration, test) in sets.items():
        rows += ({"data": name, **row} for row in _measure(model, learned, calibration, test, splits))
    return Recording(
        experiment="tiers",
        device="cpu",
        device_name=device.name,
        driver=device.driver,
        library_versions=library_versions("numpy", "onnxruntime", "scikit-learn") | {"model": model.name},
        recorded_on=date.today().isoformat(),
        command=f"costlab bench tiers --splits {splits} --seed {seed} --record",
        repeats=1,
        rows=tuple(rows),
    )


def _divided(
    rng: np.random.Generator, data: IntentQueries, learned: Sequence[str], test: Sequence[str], held: int
) -> list[LabelledQueries]:
    """A set whose training part also serves to calibrate: `held` of its queries at random."""
    known = [query for part in learned for query in data.split(part)]
    order = rng.permutation(len(known)).tolist()
    parts = [[known[k] for k in order[held:]], [known[k] for k in order[:held]]]
    parts.append([query for part in test for query in data.split(part)])
    return [LabelledQueries.of(part) for part in parts]


def _measure(
    embedder: Embedder,
    learned: LabelledQueries,
    calibration: LabelledQueries,
    test: LabelledQueries,
    splits: int,
) -> list[dict[str, Any]]:
    models = fit_tiers(learned, embedder)
    raw = tier_outcomes(models, test)
    for model in models.values():
        model.fit_temperature(calibration.texts, calibration.labels)
    fitted, held_out = tier_outcomes(models, calibration), tier_outcomes(models, test)
    rows: list[dict[str, Any]] = []
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
            tried = promises(both, floor, splits, for_next=for_next)
            made = [row for row in tried if row["found"]]
            rows.append(
                {
                    "what": "promise",
                    "queries": len(both) // 2,
                    "quality_floor_fraction": floor,
                    "for_next": for_next,
                    "splits": splits,
                    "found": len(made),
                    "broken": sum(not row["kept"] for row in made),
                    "broken_of_all": sum(not row["kept_of_all"] for row in made),
                    "quality_fraction": float(np.mean([row["quality_fraction"] for row in tried])),
                    "usd_per_request": float(np.mean([row["usd_per_request"] for row in tried])),
                }
            )
    return rows


def _cascade(fitted: Outcomes, held_out: Outcomes) -> dict[str, Any]:
    """The cheapest cascade that is as good as the last tier where it is fitted, on the other queries."""
    point = cheapest_matching_last(fitted)
    played = play(held_out, point.thresholds)
    alone = baselines(held_out)
    difference = played.correct - held_out.correct[:, -1]
    gap = alone.all_large.quality_fraction - alone.singles[0].quality_fraction
    return {
        "thresholds": list(point.thresholds),
        "queries": len(held_out),
        "quality_fraction": played.quality_fraction,
        "usd_per_request": played.usd_per_request,
        "all_large_quality_fraction": alone.all_large.quality_fraction,
        "all_large_usd_per_request": alone.all_large.usd_per_request,
        "difference_fraction": float(difference.mean()),
        "difference_error": float(difference.std(ddof=1) / np.sqrt(len(held_out))),
        "fixed_mix_quality_fraction": quality_at(alone.singles, played.usd_per_request),
        "oracle_quality_fraction": alone.oracle.quality_fraction,
        "oracle_usd_per_request": alone.oracle.usd_per_request,
        "served_fractions": [float((played.tier == i).mean()) for i in range(len(held_out.tiers))],
        # Without a gap between the first tier and the last there is no part of it to recover.
        "apgr": apgr(held_out) if gap > 0 else None,
        "cpt50": cpt(held_out, 0.5) if gap > 0 else None,
        "cpt80": cpt(held_out, 0.8) if gap > 0 else None,
    }
