"""Whether fitted thresholds keep their promise: fit on a part of what is known, look at all of it, many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costlab._internal import checks
from costlab.cache.threshold import fit_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costlab.cache.threshold import Lookup

__all__ = ["PromiseCheck", "check_promise"]


@dataclass(frozen=True, slots=True)
class PromiseCheck:
    """How often the promise of a fitted threshold was kept.

    Attributes
    ----------
    max_error_fraction, confidence : float
        The promise.
    splits : int
        Random divisions of the look-ups into a part to fit on and the rest.
    found : int
        Fits that found a threshold; the others promise nothing.
    broken : int
        Of those, the ones whose threshold has more false hits than promised among all look-ups. The promise is kept as
        long as ``broken / splits`` is below ``1 - confidence``.
    hit_rate_fraction, false_hit_fraction, coverage_fraction : float or None
        Means over the fits that found a threshold, on the look-ups that they had not seen; None without any.
    """

    max_error_fraction: float
    confidence: float
    splits: int
    found: int
    broken: int
    hit_rate_fraction: float | None
    false_hit_fraction: float | None
    coverage_fraction: float | None


def check_promise(
    rng: np.random.Generator,
    lookups: Sequence[Lookup],
    *,
    max_error_fraction: float,
    confidence: float = 0.95,
    splits: int = 200,
    fitted_fraction: float = 0.5,
) -> PromiseCheck:
    """How often thresholds fitted on random parts of `lookups` keep their promise on all of them.

    The look-ups stand for the whole traffic here: fitting on a random part of them is drawing from it, so the share of
    broken promises is bounded as :func:`costlab.cache.threshold.fit_threshold` says. The part that was not fitted on is
    too small to judge one fit by, but the means over many fits show what to expect.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the divisions.
    lookups : sequence of Lookup
        Look-ups with hindsight.
    max_error_fraction, confidence : float
        The promise.
    splits : int
        Number of divisions, >= 1.
    fitted_fraction : float
        Share of the look-ups to fit on, in (0, 1).

    Examples
    --------
    Where one hit in twenty is wrong at every similarity, no fit should promise one in fifty:

    >>> from costlab.cache.threshold import Lookup
    >>> rng = np.random.default_rng(4)
    >>> lookups = [Lookup(float(s), bool(r)) for s, r in zip(rng.uniform(0.5, 1, 2000), rng.random(2000) > 0.05)]
    >>> check = check_promise(rng, lookups, max_error_fraction=0.02, splits=50)
    >>> check.found, check.broken
    (0, 0)
    """
    checks.integer("splits", splits, at_least=1)
    part = round(checks.fraction("fitted_fraction", fitted_fraction, zero=False, one=False) * len(lookups))
    similarity = np.array([lookup.similarity for lookup in lookups])
    right = np.array([lookup.right for lookup in lookups])
    broken = 0
    seen: dict[str, list[float]] = {"hit_rate": [], "false_hits": [], "coverage": []}
    for _ in range(splits):
        order = rng.permutation(len(lookups))
        fit = fit_threshold(
            [lookups[k] for k in order[:part].tolist()], max_error_fraction=max_error_fraction, confidence=confidence
        )
        if fit.threshold is None:
            continue
        hit, rest = similarity >= fit.threshold, order[part:]
        broken += int((hit & ~right).sum()) > max_error_fraction * int(hit.sum())
        seen["hit_rate"].append(float(hit[rest].mean()))
        if hit[rest].any():
            seen["false_hits"].append(float(1 - right[rest][hit[rest]].mean()))
        if right[rest].any():
            seen["coverage"].append(float(hit[rest][right[rest]].mean()))

    def mean(values: list[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return PromiseCheck(
        max_error_fraction=max_error_fraction,
        confidence=confidence,
        splits=splits,
        found=len(seen["hit_rate"]),
        broken=broken,
        hit_rate_fraction=mean(seen["hit_rate"]),
        false_hit_fraction=mean(seen["false_hits"]),
        coverage_fraction=mean(seen["coverage"]),
    )
