"""Thresholds fitted on labelled queries, with a guarantee about queries not seen yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from costlab._internal import checks
from costlab._internal.binomial import at_most, clopper_pearson
from costlab._internal.root import bisect
from costlab.errors import InvalidValueError
from costlab.router.evaluation import Outcomes, cost_quality_curve, evaluate_cascade


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """Thresholds, the tiers that are worth having, and what is guaranteed.

    Attributes
    ----------
    found : bool
        False when none is guaranteed at the chosen confidence; then `tiers` is the last tier alone.
    tiers, thresholds : tuple
        The tiers to use, cheapest first, and a threshold for each but the last.
    quality_floor_fraction, confidence_level : float
        What is guaranteed: with this confidence, the share of right answers is at least the floor.
    usd_per_request, quality_fraction : float
        On the queries of the fit.
    tested : int
        Candidates tested before one failed.
    """

    found: bool
    tiers: tuple[str, ...]
    thresholds: tuple[float, ...]
    quality_floor_fraction: float
    confidence_level: float
    usd_per_request: float
    quality_fraction: float
    tested: int


def calibrate(
    outcomes: Outcomes,
    quality_floor_fraction: float,
    confidence_level: float = 0.95,
    seed: int = 0,
    steps: int = 25,
    next_queries: int | None = None,
) -> Calibrated:
    r"""The cheapest cascade whose share of right answers is at least a floor, with confidence.

    Picking the cheapest of many candidates that look good enough picks those that were lucky. So the queries are split.
    On a third of them the candidates (subsets of the tiers, and thresholds) are found and put in order, the safest
    first; on the others they are tested in that order, each against

    .. math:: H: \text{quality} < \text{floor}, \qquad p = P(X \ge \text{right answers} \mid \text{floor})

    until the first that cannot be rejected at level :math:`\alpha = 1 - \text{confidence}`. Because the order was
    fixed beforehand, the chance that any accepted candidate breaks the guarantee is at most :math:`\alpha`
    (fixed-sequence testing). The cheapest of the accepted is returned.

    Parameters
    ----------
    outcomes : Outcomes
        Labelled queries, at least 50, drawn like the traffic that the guarantee is for. Answers are right or wrong.
    quality_floor_fraction, confidence_level : float
        Least share of right answers, and with which confidence; both in (0, 1).
    seed, steps : int
        Seed of the split; thresholds tried per tier, see :func:`cost_quality_curve`.
    next_queries : int, optional
        Guarantee it for this many next queries, luck included, and not only in the long run: see the notes.

    Notes
    -----
    The guarantee holds for traffic like the labelled queries. When the traffic gets harder it is void.

    It is about the long run: a cascade that is right just often enough there falls below the floor in half of all
    weeks. With `next_queries`, half of :math:`\alpha` is spent on that: the tests are made at :math:`\alpha / 2`
    against the least long-run quality with which that many queries fall below the floor at most as often as
    :math:`\alpha / 2`.

    References
    ----------
    Angelopoulos et al. (2021), Learn then Test: calibrating predictive algorithms to achieve risk control,
    https://arxiv.org/abs/2110.01052
    """
    checks.fraction("quality_floor_fraction", quality_floor_fraction, zero=False, one=False)
    alpha = 1.0 - checks.fraction("confidence_level", confidence_level, zero=False, one=False)
    if len(outcomes) < 50:
        raise InvalidValueError("outcomes", "at least 50 queries", len(outcomes))
    if not np.isin(outcomes.correct, (0.0, 1.0)).all():
        raise InvalidValueError("outcomes", "answers that are right or wrong", "graded ones")
    shuffled = np.random.default_rng(checks.integer("seed", seed)).permutation(len(outcomes))
    tested_floor = quality_floor_fraction
    if next_queries is not None:
        alpha /= 2
        checks.integer("next_queries", next_queries, at_least=1)
        tested_floor = _long_run_floor(quality_floor_fraction, next_queries, alpha)
    part = len(outcomes) // 3
    finding, testing = outcomes.rows(shuffled[:part]), outcomes.rows(shuffled[part:])
    accepted: list[tuple[float, tuple[str, ...], tuple[float, ...]]] = []
    tested = 0
    for tiers, thresholds in _candidates(finding, tested_floor, steps):
        tested += 1
        result = evaluate_cascade(testing.only(tiers), thresholds)
        right = round(float(result.correct.sum()))
        # At least so many right is at most so many wrong, of which there are fewer to add up.
        if at_most(len(testing) - right, len(testing), 1.0 - tested_floor) > alpha:
            break
        accepted.append((result.usd_per_request, tiers, thresholds))
    last = (outcomes.tiers[-1],)
    _, tiers, thresholds = min(accepted, default=(0.0, last, ()))
    whole = evaluate_cascade(outcomes.only(tiers), thresholds)
    return Calibrated(
        found=bool(accepted),
        tiers=tiers,
        thresholds=thresholds,
        quality_floor_fraction=quality_floor_fraction,
        confidence_level=confidence_level,
        usd_per_request=whole.usd_per_request,
        quality_fraction=whole.quality_fraction,
        tested=tested,
    )


def _long_run_floor(floor: float, queries: int, alpha: float) -> float:
    """The least share of right answers with which a sample falls below the floor with a chance of alpha at most."""
    too_few = math.ceil(floor * queries - 1e-9) - 1
    return bisect(lambda share: at_most(too_few, queries, share) <= alpha, floor, 1.0, steps=40)


def _candidates(outcomes: Outcomes, floor: float, steps: int) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Candidates in the order of testing: falling quality where they are found, each cheaper than all before it."""
    candidates: list[tuple[float, float, tuple[str, ...], tuple[float, ...]]] = []
    names = outcomes.tiers
    for size in range(1, len(names) + 1):
        for tiers in combinations(names, size):
            part = outcomes.only(tiers)
            if size == 1:
                alone = evaluate_cascade(part, ())
                candidates.append((alone.quality_fraction, alone.usd_per_request, tiers, ()))
                continue
            per_tier = max(3, round(steps ** (1 / (size - 1)))) if size > 3 else steps
            candidates += [
                (point.quality_fraction, point.usd_per_request, tiers, point.thresholds)
                for point in cost_quality_curve(part, per_tier)
            ]
    # Only what is not dominated can be the answer; and far below the floor nothing will pass.
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1]))
    kept, cheapest = [], math.inf
    for quality, usd, tiers, thresholds in candidates:
        if usd < cheapest and quality > floor - 0.05:
            cheapest = usd
            kept.append((tiers, thresholds))
    return kept


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A policy on queries that it was not fitted on.

    Attributes
    ----------
    quality_fraction, quality_low, quality_high : float
        Share of right answers among the `queries`, with Clopper and Pearson's interval.
    usd_per_request, usd_error : float
        Mean cost, with its standard error.
    served_fraction : tuple of float
        Share of the queries that each tier answered.
    """

    queries: int
    quality_fraction: float
    quality_low: float
    quality_high: float
    usd_per_request: float
    usd_error: float
    served_fraction: tuple[float, ...]


def calibration_report(outcomes: Outcomes, calibrated: Calibrated, level: float = 0.95) -> CalibrationReport:
    """What calibrated thresholds do on queries held out from the fit, with an interval that covers `level`."""
    part = outcomes.only(calibrated.tiers)
    result = evaluate_cascade(part, calibrated.thresholds)
    queries = len(part)
    low, high = clopper_pearson(round(float(result.correct.sum())), queries, level)
    served = np.bincount(result.tier, minlength=len(part.tiers)) / queries
    error = float(result.usd.std(ddof=1) / math.sqrt(queries)) if queries > 1 else math.nan
    return CalibrationReport(
        queries, result.quality_fraction, low, high, result.usd_per_request, error, tuple(served.tolist())
    )
