"""How good a router is: quality against cost, beside four baselines, in the field's own metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.router.outcomes import Outcomes, play

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Baselines",
    "Point",
    "aiq",
    "apgr",
    "baselines",
    "cost_at",
    "cost_quality_curve",
    "cpt",
    "hull",
    "quality_at",
    "saving_at_equal_quality",
]


@dataclass(frozen=True, slots=True)
class Point:
    """A policy's mean cost and quality.

    Attributes
    ----------
    usd_per_request : float
        Mean cost of a query.
    quality_fraction : float
        Share of right answers.
    label : str
        Which policy.
    thresholds : tuple of float
        Of a cascade; empty otherwise.
    """

    usd_per_request: float
    quality_fraction: float
    label: str = ""
    thresholds: tuple[float, ...] = ()


def cost_quality_curve(outcomes: Outcomes, steps: int = 25) -> tuple[Point, ...]:
    """Cost and quality of the cascade at a grid of thresholds, cheapest first.

    Parameters
    ----------
    outcomes : Outcomes
        The table.
    steps : int
        Thresholds tried for each tier, >= 2: quantiles of its confidences, from "always trusted" to "never trusted".

    Returns
    -------
    tuple of Point
        ``steps ** (tiers - 1)`` at most; equal points once.
    """
    checks.integer("steps", steps, at_least=2)
    grid = [
        np.unique(np.concatenate([[-1.0], np.quantile(column, np.linspace(0, 1, steps - 1))]))
        for column in outcomes.confidence[:, :-1].T
    ]
    points: dict[tuple[float, float], Point] = {}
    for thresholds in product(*grid):
        played = play(outcomes, thresholds)
        key = (played.usd_per_request, played.quality_fraction)
        points.setdefault(key, Point(*key, "cascade", tuple(float(t) for t in thresholds)))
    return tuple(points[key] for key in sorted(points))


def hull(points: Sequence[Point]) -> tuple[Point, ...]:
    """The upper convex hull: the points that no random mix of others beats, by rising cost and quality.

    Between two of its points lies what a coin reaches that sends some queries to one policy and the others to the
    other. The first point is the cheapest, the last the best.

    Raises
    ------
    InvalidValueError
        If there are no points.
    """
    if not points:
        raise InvalidValueError("points", "at least one", points)
    ordered = sorted(points, key=lambda p: (p.usd_per_request, -p.quality_fraction))
    kept: list[Point] = []
    for point in ordered:
        if kept and point.quality_fraction <= kept[-1].quality_fraction:
            continue
        while len(kept) >= 2 and _turns_up(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return tuple(kept)


def _turns_up(a: Point, b: Point, c: Point) -> bool:
    """Whether b lies on or below the line from a to c."""
    run, rise = c.usd_per_request - a.usd_per_request, c.quality_fraction - a.quality_fraction
    return (b.quality_fraction - a.quality_fraction) * run <= (b.usd_per_request - a.usd_per_request) * rise


def quality_at(points: Sequence[Point], usd_per_request: float) -> float:
    """The quality that the hull of some policies reaches at a mean cost; NaN below the cheapest of them."""
    kept = hull(points)
    if usd_per_request < kept[0].usd_per_request:
        return float("nan")
    return float(np.interp(usd_per_request, [p.usd_per_request for p in kept], [p.quality_fraction for p in kept]))


def cost_at(points: Sequence[Point], quality_fraction: float) -> float:
    """The mean cost at which the hull of some policies reaches a quality; NaN above the best of them."""
    kept = hull(points)
    if quality_fraction > kept[-1].quality_fraction:
        return float("nan")
    return float(np.interp(quality_fraction, [p.quality_fraction for p in kept], [p.usd_per_request for p in kept]))


@dataclass(frozen=True, slots=True)
class Baselines:
    """What any router must be compared with.

    Attributes
    ----------
    singles : tuple of Point
        Each tier alone.
    all_large : Point
        Everything at the last tier.
    random_mix : tuple of Point
        The cheapest tier and the last one: a coin between them reaches any point on the line.
    best_fixed_mix : tuple of Point
        The hull of single tiers: what a coin between the best two reaches, without looking at the query (in the
        literature the zero router).
    oracle : Point
        For each query the cheapest tier that answers it right, the cheapest of all where none does.
    """

    singles: tuple[Point, ...]
    all_large: Point
    random_mix: tuple[Point, Point]
    best_fixed_mix: tuple[Point, ...]
    oracle: Point


def baselines(outcomes: Outcomes) -> Baselines:
    """The four baselines of a table, with every tier alone beside them."""
    singles = tuple(
        Point(float(outcomes.usd[:, i].mean()), float(outcomes.correct[:, i].mean()), name)
        for i, name in enumerate(outcomes.tiers)
    )
    best = outcomes.correct.max(axis=1)
    right = (outcomes.correct == best[:, None]) & (best > 0)[:, None]
    price = np.where(right, outcomes.usd, np.inf)
    chosen = np.where(best > 0, price.argmin(axis=1), outcomes.usd.argmin(axis=1))
    rows = np.arange(len(outcomes))
    oracle = Point(float(outcomes.usd[rows, chosen].mean()), float(outcomes.correct[rows, chosen].mean()), "oracle")
    cheapest = min(singles, key=lambda point: point.usd_per_request)
    return Baselines(singles, singles[-1], (cheapest, singles[-1]), hull(singles), oracle)


def saving_at_equal_quality(points: Sequence[Point], baseline: Point) -> float:
    """The share of a baseline's cost that the hull of some policies saves at the baseline's quality.

    Returns
    -------
    float
        Negative when it is dearer; NaN when no policy reaches the quality.
    """
    return 1.0 - cost_at(points, baseline.quality_fraction) / baseline.usd_per_request


def _recovered(outcomes: Outcomes, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of queries sent to the last tier, lowest scores first, and the part of the quality gap recovered."""
    weak, strong = outcomes.correct[:, 0], outcomes.correct[:, -1]
    gap = strong.mean() - weak.mean()
    if gap <= 0:
        raise InvalidValueError("outcomes", "a table whose last tier is better than its first", gap)
    order = np.argsort(scores, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum((strong - weak)[order])]) / len(outcomes)
    return np.linspace(0.0, 1.0, len(outcomes) + 1), gained / gap


def _scores(outcomes: Outcomes, scores: Sequence[float] | NDArray[np.float64] | None) -> NDArray[np.float64]:
    values = outcomes.confidence[:, 0] if scores is None else np.asarray(scores, dtype=np.float64)
    if values.shape != (len(outcomes),) or np.isnan(values).any():
        raise InvalidValueError("scores", f"{len(outcomes)} numbers", values.shape)
    return values


def cpt(outcomes: Outcomes, recovered_fraction: float, scores: Sequence[float] | None = None) -> float:
    r"""CPT(x %): the least share of queries to send to the strong tier to recover a part of the quality gap.

    With the queries sent in the order of rising score, and PGR the part of the gap between weak and strong tier that
    is recovered,

    .. math:: \text{CPT}(x) = \min\{\text{share} : \text{PGR}(\text{share}) \ge x\}

    A router that knows nothing needs a share of x. Between the first and the last tier of the table.

    Parameters
    ----------
    outcomes : Outcomes
        The table.
    recovered_fraction : float
        Part of the gap, in (0, 1].
    scores : sequence of float, optional
        How much each query is trusted to the weak tier; by default its confidence.

    Returns
    -------
    float
        Share of calls, in 0..1; NaN when that part is never recovered.

    References
    ----------
    Ong et al. (2024), RouteLLM: learning to route LLMs with preference data, https://arxiv.org/abs/2406.18665
    """
    wanted = checks.fraction("recovered_fraction", recovered_fraction, zero=False)
    share, recovered = _recovered(outcomes, _scores(outcomes, scores))
    enough = np.flatnonzero(recovered >= wanted - 1e-12)
    return float(share[enough[0]]) if enough.size else float("nan")


def apgr(outcomes: Outcomes, scores: Sequence[float] | None = None) -> float:
    r"""Average performance gap recovered: the area under PGR over the share of strong calls.

    .. math:: \text{APGR} = \int_0^1 \text{PGR}(s)\, ds

    0.5 for a router that knows nothing. Parameters and reference as for :func:`cpt`.
    """
    share, recovered = _recovered(outcomes, _scores(outcomes, scores))
    return float(((recovered[1:] + recovered[:-1]) / 2 * np.diff(share)).sum())


def aiq(points: Sequence[Point], low_usd: float, high_usd: float) -> float:
    r"""AIQ: the mean quality of the hull of some policies over a range of costs.

    .. math:: \text{AIQ} = \frac{1}{c_1 - c_0} \int_{c_0}^{c_1} \text{quality}(c)\, dc

    Above the last point of the hull its quality stays; below the first there is none, so `low_usd` may not lie there.

    Raises
    ------
    InvalidValueError
        If the range is empty or begins below the cheapest policy.

    References
    ----------
    Hu et al. (2024), RouterBench: a benchmark for multi-LLM routing systems, https://arxiv.org/abs/2403.12031
    """
    kept = hull(points)
    if not kept[0].usd_per_request * (1 - 1e-9) <= low_usd < high_usd:
        raise InvalidValueError("low_usd", f"at least {kept[0].usd_per_request:g} and below high_usd", low_usd)
    inside = [p.usd_per_request for p in kept if low_usd < p.usd_per_request < high_usd]
    costs = np.array([low_usd, *inside, high_usd])
    quality = np.interp(costs, [p.usd_per_request for p in kept], [p.quality_fraction for p in kept])
    areas = np.diff(costs) * (quality[1:] + quality[:-1]) / 2
    return float(areas.sum() / (high_usd - low_usd))
