"""How good a router is: what each tier would have answered, and quality against cost in the field's own metrics."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.plain_files import open_plain
from costlab.errors import InvalidValueError
from costlab.router.policy import chosen_tier, is_trusted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def _opened(path: Path) -> io.BufferedReader:
    return open_plain(path, lambda message: InvalidValueError(path.name, "a regular file", message))


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Every query answered by every tier, cheapest tier first.

    Parameters
    ----------
    tiers : tuple of str
        Names, in the order in which a cascade would try them.
    correct, confidence, usd : numpy.ndarray, shape (queries, tiers)
        Whether the tier's answer is right, where a share in 0..1 may stand for a graded answer; how sure the tier says
        it is, in 0..1; what trying it costs, in USD, >= 0.
    """

    tiers: tuple[str, ...]
    correct: NDArray[np.float64]
    confidence: NDArray[np.float64]
    usd: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.correct), len(self.tiers))
        if 0 in shape or len(set(self.tiers)) < len(self.tiers):
            raise InvalidValueError("tiers", "names used once, for at least one query", self.tiers)
        for name, most in (("correct", 1.0), ("confidence", 1.0), ("usd", np.inf)):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != shape:
                raise InvalidValueError(name, f"an array of shape {shape}", values.shape)
            if not ((values >= 0) & (values <= most)).all() or np.isinf(values).any():
                raise InvalidValueError(name, f"numbers from 0 to {most:g}", "a value that is not")
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        """Queries in the table."""
        return len(self.correct)

    @classmethod
    def from_prices(
        cls, tiers: Sequence[str], correct: ArrayLike, confidence: ArrayLike, usd_per_request: Sequence[float]
    ) -> Outcomes:
        """A table in which every query costs the same at a tier."""
        usd = np.broadcast_to(np.asarray(usd_per_request, dtype=np.float64), np.shape(correct))
        return cls(tuple(tiers), np.asarray(correct), np.asarray(confidence), usd)

    @classmethod
    def from_csv(cls, path: Path, tiers: Sequence[str] | None = None) -> Outcomes:
        """A table from a file with a row per query and tier, as published router benchmarks have them.

        The CSV has the columns ``query``, ``tier``, ``correct``, ``confidence`` and ``usd``, and no query lacks a tier
        or has it twice. The tiers are given cheapest first; by default all, by rising mean cost.
        """
        try:
            with io.TextIOWrapper(_opened(path), "utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValueError(path.name, "a CSV in UTF-8", str(error)) from error
        return cls._from_rows(rows, path.name, "a CSV", tiers)

    @classmethod
    def from_parquet(cls, path: Path, tiers: Sequence[str] | None = None) -> Outcomes:
        """The same as :meth:`from_csv` from a Parquet file with those columns; pyarrow reads it."""
        with extra("usage"):
            import pyarrow as pa
            import pyarrow.parquet as pq
        with _opened(path) as file:
            try:
                rows = pq.read_table(file).to_pylist()
            except pa.ArrowException as error:
                raise InvalidValueError(path.name, "a Parquet file", " ".join(str(error).split())) from error
        return cls._from_rows(rows, path.name, "a Parquet file", tiers)

    @classmethod
    def _from_rows(
        cls, rows: Sequence[Mapping[str, Any]], file: str, kind: str, tiers: Sequence[str] | None
    ) -> Outcomes:
        columns = {"query", "tier", "correct", "confidence", "usd"}
        missing = columns - set(rows[0] if rows else ())
        if missing:
            raise InvalidValueError(file, f"{kind} with the columns {', '.join(sorted(columns))}", sorted(missing))
        cells: dict[tuple[str, str], tuple[float, float, float]] = {}
        for row in rows:
            key, values = (row["query"], row["tier"]), (row["correct"], row["confidence"], row["usd"])
            if key in cells:
                raise InvalidValueError(file, "a table with each query once per tier", key)
            try:
                cells[key] = (float(values[0]), float(values[1]), float(values[2]))
            except (TypeError, ValueError):
                raise InvalidValueError(file, "a table of numbers", values) from None
        queries = list(dict.fromkeys(query for query, _ in cells))
        names = list(tiers or dict.fromkeys(tier for _, tier in cells))
        absent = [(query, name) for query in queries for name in names if (query, name) not in cells]
        if absent:
            raise InvalidValueError(file, "a table with every query at every tier", absent[0])
        table = np.array([[cells[query, name] for name in names] for query in queries])
        if tiers is None:
            order = np.argsort(table[:, :, 2].mean(axis=0), kind="stable")
            table, names = table[:, order], [names[i] for i in order]
        return cls(tuple(names), table[:, :, 0], table[:, :, 1], table[:, :, 2])

    def rows(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | Sequence[int] | slice) -> Outcomes:
        """The table with these queries alone, by index or mask."""
        return Outcomes(self.tiers, self.correct[chosen], self.confidence[chosen], self.usd[chosen])

    def joined(self, other: Outcomes) -> Outcomes:
        """Both tables as one; the tiers must be the same."""
        if other.tiers != self.tiers:
            raise InvalidValueError("other", f"a table of the tiers {', '.join(self.tiers)}", other.tiers)
        columns = ((getattr(self, name), getattr(other, name)) for name in ("correct", "confidence", "usd"))
        return Outcomes(self.tiers, *(np.concatenate(pair) for pair in columns))

    def at_prices(self, usd_per_request: Sequence[float]) -> Outcomes:
        """The same answers at other prices, one per tier."""
        return Outcomes.from_prices(self.tiers, self.correct, self.confidence, usd_per_request)

    def only(self, tiers: Sequence[str]) -> Outcomes:
        """The table with these tiers alone, in this order."""
        unknown = [name for name in tiers if name not in self.tiers]
        if unknown or not tiers:
            raise InvalidValueError("tiers", f"some of {', '.join(self.tiers)}", tuple(tiers))
        columns = [self.tiers.index(name) for name in tiers]
        return Outcomes(tuple(tiers), self.correct[:, columns], self.confidence[:, columns], self.usd[:, columns])


@dataclass(frozen=True, slots=True, eq=False)
class PolicyResult:
    """What a policy does on a table.

    Attributes
    ----------
    tier, correct, usd : numpy.ndarray, shape (queries,)
        Which tier answered; whether the answer was right; what was paid, every tier tried.
    """

    tier: NDArray[np.intp]
    correct: NDArray[np.float64]
    usd: NDArray[np.float64]

    @property
    def quality_fraction(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def usd_per_request(self) -> float:
        """Mean cost of a query."""
        return float(self.usd.mean())


def evaluate_cascade(outcomes: Outcomes, thresholds: Sequence[float]) -> PolicyResult:
    """The cascade on a table: the tiers in order, up to the first whose confidence is above its threshold.

    The vector form of :func:`costlab.router.next_step` where nothing fails and no budget refuses.

    There is a threshold for every tier but the last, which always answers.
    """
    count = len(outcomes.tiers)
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.shape != (count - 1,) or np.isnan(limits).any():
        raise InvalidValueError("thresholds", f"{count - 1} numbers, one per tier but the last", tuple(thresholds))
    trusted = np.ones((len(outcomes), count), dtype=bool)
    trusted[:, :-1] = is_trusted(outcomes.confidence[:, :-1], limits)
    tier = trusted.argmax(axis=1)
    return _answered(outcomes, tier, np.cumsum(outcomes.usd, axis=1))


def evaluate_routing(outcomes: Outcomes, scores: ArrayLike, cuts: Sequence[float]) -> PolicyResult:
    """Routing up front: one tier is chosen from a score of the query, and only that one is paid for.

    Parameters
    ----------
    outcomes, scores : Outcomes, array-like of float, shape (queries,)
        The table, and how easy each query is thought to be; higher goes to a cheaper tier, NaN to the last.
    cuts : sequence of float, length tiers - 1
        Falling: a score above the first cut goes to the first tier, above the second to the second, and so on.
    """
    values, limits = np.asarray(scores, dtype=np.float64), np.asarray(cuts, dtype=np.float64)
    if values.shape != (len(outcomes),):
        raise InvalidValueError("scores", f"an array of shape ({len(outcomes)},)", values.shape)
    if limits.shape != (len(outcomes.tiers) - 1,) or (np.diff(limits) > 0).any():
        raise InvalidValueError("cuts", "falling numbers, one per tier but the last", tuple(cuts))
    tier = np.zeros(len(outcomes), dtype=np.intp) + chosen_tier(values, limits)
    return _answered(outcomes, tier, outcomes.usd)


def _answered(outcomes: Outcomes, tier: NDArray[np.intp], paid: NDArray[np.float64]) -> PolicyResult:
    rows = np.arange(len(outcomes))
    return PolicyResult(tier, outcomes.correct[rows, tier], paid[rows, tier])


@dataclass(frozen=True, slots=True)
class Point:
    """A policy's mean cost and quality.

    Attributes
    ----------
    usd_per_request, quality_fraction : float
        Mean cost of a query, and share of right answers.
    label, thresholds : str, tuple of float
        Which policy; the thresholds are empty where it is no cascade.
    """

    usd_per_request: float
    quality_fraction: float
    label: str = ""
    thresholds: tuple[float, ...] = ()


def cost_quality_curve(outcomes: Outcomes, steps: int = 25) -> tuple[Point, ...]:
    """Cost and quality of the cascade at a grid of thresholds, cheapest first, equal points once.

    For each tier `steps` thresholds are tried, >= 2: quantiles of its confidences, from "always trusted" to "never
    trusted". So there are ``steps ** (tiers - 1)`` points at most.
    """
    checks.integer("steps", steps, at_least=2)
    grid = [
        np.unique(np.concatenate([[-1.0], np.quantile(column, np.linspace(0, 1, steps - 1))]))
        for column in outcomes.confidence[:, :-1].T
    ]
    points: dict[tuple[float, float], Point] = {}
    for thresholds in product(*grid):
        result = evaluate_cascade(outcomes, thresholds)
        key = (result.usd_per_request, result.quality_fraction)
        points.setdefault(key, Point(*key, "cascade", tuple(float(t) for t in thresholds)))
    return tuple(points[key] for key in sorted(points))


def hull(points: Sequence[Point]) -> tuple[Point, ...]:
    """The upper convex hull: the points that no random mix of others beats, by rising cost and quality.

    Between two of its points lies what a coin reaches that sends some queries to one policy and the others to the
    other. The first point is the cheapest, the last the best.
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
    singles, all_large : tuple of Point, Point
        Each tier alone, and everything at the last one.
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

    Negative when the hull costs more; NaN when no policy reaches the quality.
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
    outcomes, recovered_fraction : Outcomes, float
        The table, and the part of the gap, in (0, 1]. Where that is never recovered, the share is NaN.
    scores : sequence of float, optional
        How much each query is trusted to the weak tier; by default its confidence.

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
