"""How alike is alike enough: a threshold fitted on labelled look-ups, with a guarantee about wrong answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.binomial import at_most, clopper_pearson
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Thresholds that a fit tries, the strictest first. They are fixed beforehand, since the guarantee depends on that. A
#: finer grid would cost more than it brings, as the chance of a mistake is shared among its thresholds.
THRESHOLD_GRID: Final = tuple(k / 50 for k in range(49, 24, -1))


@dataclass(frozen=True, slots=True)
class Lookup:
    """A look-up with hindsight.

    Attributes
    ----------
    similarity, right : float, bool
        Similarity of what the layer would answer with, in -1..1; -1 where it has nothing, or checks refuse all of it.
        Whether that answer would be right.
    """

    similarity: float
    right: bool


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """What a threshold does to a number of look-ups.

    Attributes
    ----------
    threshold : float
        Similarity from which on a look-up is a hit.
    lookups, hits, false_hits : int
        Look-ups, those answered from the cache, and those of them answered wrongly.
    hit_rate_fraction, false_hit_fraction : float, float or None
        ``hits / lookups``, and ``false_hits / hits``: the share of wrong answers among those given; None without a hit.
    interval, confidence : tuple of float, float
        Clopper-Pearson interval of that share.
    coverage_fraction : float or None
        Share of the look-ups with a right answer at hand that get it; None where none has one.
    """

    threshold: float
    lookups: int
    hits: int
    false_hits: int
    hit_rate_fraction: float
    false_hit_fraction: float | None
    interval: tuple[float, float]
    confidence: float
    coverage_fraction: float | None


@dataclass(frozen=True, slots=True)
class TriedThreshold:
    """One threshold that was tried, and what it does to the look-ups of the fit.

    Attributes
    ----------
    p_value, level : float
        Chance of so few false hits if their true share were the greatest one allowed, or above; and what it had to stay
        under.
    kept : bool
        Whether it did, so that the guarantee holds for this threshold.
    """

    threshold: float
    hits: int
    false_hits: int
    p_value: float
    level: float
    kept: bool


@dataclass(frozen=True, slots=True)
class ThresholdFit:
    """The outcome of a fit.

    Attributes
    ----------
    threshold : float or None
        The loosest threshold for which the guarantee holds; None where it holds for none: then there is no number that
        would be safe, and no semantic cache.
    max_error_fraction, confidence : float
        The guarantee: with this confidence, at most this share of the hits is wrong.
    report : ThresholdReport or None
        The threshold on the look-ups that it was fitted on; judge it by :func:`evaluate_threshold` on others.
    candidates, embedder : tuple of TriedThreshold, str
        Every threshold that was tried, and the name of the embedder; the threshold means nothing for another one.
    """

    threshold: float | None
    max_error_fraction: float
    confidence: float
    report: ThresholdReport | None
    candidates: tuple[TriedThreshold, ...]
    embedder: str = ""

    @property
    def reason(self) -> str:
        """Why there is no threshold; empty where there is one."""
        if self.threshold is not None:
            return ""
        needed = math.ceil(math.log(self.candidates[0].level) / math.log1p(-self.max_error_fraction))
        best = min(self.candidates, key=lambda c: (c.p_value, -c.hits))
        limit, confidence = 100 * self.max_error_fraction, 100 * self.confidence
        return (
            f"no threshold keeps the false hits under {limit:g} % with {confidence:g} % confidence: "
            f"the best, {best.threshold:g}, has {best.false_hits} among {best.hits} hits; none among {needed} would do"
        )


def evaluate_threshold(lookups: Sequence[Lookup], threshold: float, confidence: float = 0.95) -> ThresholdReport:
    """What a threshold does to look-ups that it was not fitted on; `confidence` in (0, 1) is that of the interval."""
    checks.finite("threshold", threshold)
    hits = [lookup for lookup in lookups if lookup.similarity >= threshold]
    false_hits = sum(not lookup.right for lookup in hits)
    answerable = sum(lookup.right for lookup in lookups)
    return ThresholdReport(
        threshold=threshold,
        lookups=len(lookups),
        hits=len(hits),
        false_hits=false_hits,
        hit_rate_fraction=len(hits) / len(lookups) if lookups else 0.0,
        false_hit_fraction=false_hits / len(hits) if hits else None,
        interval=clopper_pearson(false_hits, len(hits), confidence),
        confidence=confidence,
        coverage_fraction=(len(hits) - false_hits) / answerable if answerable else None,
    )


def fit_threshold(
    lookups: Sequence[Lookup],
    *,
    max_error_fraction: float,
    confidence: float = 0.95,
    thresholds: Sequence[float] = THRESHOLD_GRID,
    embedder: str = "",
) -> ThresholdFit:
    r"""The loosest similarity threshold that keeps the share of wrong answers among the hits under a limit.

    For each threshold :math:`t` the hypothesis "more than :math:`\varepsilon` of the hits are wrong" is tested: with
    :math:`k` false hits among :math:`n`,

    .. math:: p_t = P\left(\text{Bin}(n, \varepsilon) \le k\right)

    which is below :math:`\alpha` exactly when the one-sided Clopper-Pearson bound of level :math:`1 - \alpha` is below
    :math:`\varepsilon`. Many thresholds are tried, so each test gets an equal part of :math:`1 - \text{confidence}`,
    and a threshold that passes hands its part on to the next looser one (the fallback procedure). The chance that *any*
    threshold passes wrongly is then at most :math:`1 - \text{confidence}`, whichever is chosen afterwards.

    Parameters
    ----------
    lookups : sequence of Lookup
        Look-ups with hindsight, drawn like those to come: independent of each other, same cache contents, same mix of
        old and new questions. The checks' refusals are in their similarities.
    max_error_fraction, confidence : float
        Greatest share of wrong answers among the hits, and the chance that the guarantee holds, both in (0, 1).
    thresholds : sequence of float
        What to try, falling. Fixed before the look-ups are seen.
    embedder : str
        Name of the embedder, kept with the result.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, or the thresholds do not fall.

    Notes
    -----
    The guarantee is about traffic like that of the look-ups. It breaks when topics, customers or the cache's contents
    change: fit again, and watch the false hits that users report. The false-hit rate need not rise as the threshold
    falls; nothing here assumes it.

    References
    ----------
    Angelopoulos et al. (2021), Learn then test: calibrating predictive algorithms to achieve risk control,
    https://arxiv.org/abs/2110.01052

    Wiens (2003), A fixed sequence Bonferroni procedure for testing multiple endpoints, Pharmaceutical Statistics 2(3),
    https://doi.org/10.1002/pst.64

    Examples
    --------
    300 look-ups: the very similar ones were right, the others half of the time. Where to draw the line for 5 %?

    >>> lookups = [Lookup(0.90, True)] * 200 + [Lookup(0.70, right) for right in (True, False) * 50]
    >>> fit_threshold(lookups, max_error_fraction=0.05).threshold
    0.72

    And if only the others had been seen?

    >>> fit = fit_threshold(lookups[200:], max_error_fraction=0.05)
    >>> fit.threshold is None, fit.reason[-51:]
    (True, '0.7, has 50 among 100 hits; none among 122 would do')
    """
    limit = checks.fraction("max_error_fraction", max_error_fraction, zero=False, one=False)
    checks.fraction("confidence", confidence, zero=False, one=False)
    if not thresholds or any(a <= b for a, b in pairwise(thresholds)):
        raise InvalidValueError("thresholds", "falling, and not empty", thresholds)
    part = (1.0 - confidence) / len(thresholds)
    tried: list[TriedThreshold] = []
    handed_on = 0.0
    nearest_first = sorted(lookups, key=lambda lookup: -lookup.similarity)
    hits = false_hits = 0
    for threshold in thresholds:
        while hits < len(nearest_first) and nearest_first[hits].similarity >= threshold:
            false_hits += not nearest_first[hits].right
            hits += 1
        p_value, level = at_most(false_hits, hits, limit), part + handed_on
        kept = p_value <= level
        tried.append(TriedThreshold(threshold, hits, false_hits, p_value, level, kept))
        handed_on = level if kept else 0.0
    chosen = [candidate.threshold for candidate in tried if candidate.kept]
    return ThresholdFit(
        threshold=chosen[-1] if chosen else None,
        max_error_fraction=limit,
        confidence=confidence,
        report=evaluate_threshold(lookups, chosen[-1], confidence) if chosen else None,
        candidates=tuple(tried),
        embedder=embedder,
    )


@dataclass(frozen=True, slots=True)
class GuaranteeCheck:
    """How often the guarantee of a fitted threshold held.

    Attributes
    ----------
    max_error_fraction, confidence : float
        The guarantee.
    splits : int
        Random divisions of the look-ups into a part to fit on and the rest.
    found, broken : int
        Fits that found a threshold, as the others guarantee nothing; and those of them whose threshold has more false
        hits than guaranteed among all look-ups. The guarantee holds if ``broken / splits`` is below ``1 - confidence``.
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


def check_guarantee(
    rng: np.random.Generator,
    lookups: Sequence[Lookup],
    *,
    max_error_fraction: float,
    confidence: float = 0.95,
    splits: int = 200,
    fitted_fraction: float = 0.5,
) -> GuaranteeCheck:
    """How often thresholds fitted on random parts of `lookups` keep their guarantee on all of them.

    The look-ups stand for the whole traffic here: fitting on a random part of them is drawing from it, so the share of
    broken guarantees is bounded as :func:`fit_threshold` says. The part that was not fitted on is too small to judge
    one fit by, but the means over many fits show what to expect.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the divisions.
    lookups, max_error_fraction, confidence
        As for :func:`fit_threshold`.
    splits, fitted_fraction : int, float
        Number of divisions, >= 1, and share of the look-ups to fit on, in (0, 1).

    Examples
    --------
    Where one hit in twenty is wrong at every similarity, no fit should guarantee one in fifty:

    >>> from costlab.cache.semantic import Lookup
    >>> rng = np.random.default_rng(4)
    >>> lookups = [Lookup(float(s), bool(r)) for s, r in zip(rng.uniform(0.5, 1, 2000), rng.random(2000) > 0.05)]
    >>> check = check_guarantee(rng, lookups, max_error_fraction=0.02, splits=50)
    >>> check.found, check.broken
    (0, 0)
    """
    checks.integer("splits", splits, at_least=1)
    part = round(checks.fraction("fitted_fraction", fitted_fraction, zero=False, one=False) * len(lookups))
    similarity = np.array([lookup.similarity for lookup in lookups])
    right = np.array([lookup.right for lookup in lookups])
    broken = 0
    hit_rates, false_hits, coverages = list[float](), list[float](), list[float]()
    for _ in range(splits):
        order = rng.permutation(len(lookups))
        fit = fit_threshold(
            [lookups[k] for k in order[:part].tolist()], max_error_fraction=max_error_fraction, confidence=confidence
        )
        if fit.threshold is None:
            continue
        hit, rest = similarity >= fit.threshold, order[part:]
        broken += int((hit & ~right).sum()) > max_error_fraction * int(hit.sum())
        hit_rates.append(float(hit[rest].mean()))
        if hit[rest].any():
            false_hits.append(float(1 - right[rest][hit[rest]].mean()))
        if right[rest].any():
            coverages.append(float(hit[rest][right[rest]].mean()))
    means = (float(np.mean(values)) if values else None for values in (hit_rates, false_hits, coverages))
    return GuaranteeCheck(max_error_fraction, confidence, splits, len(hit_rates), broken, *means)
