"""Whether a model is as sure as it should be, and how to make it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Confidences are kept this far from 0 and 1, where their logarithm has no end.
EDGE = 1e-12


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers of similar confidence.

    Attributes
    ----------
    low, high : float
        Confidences in the bin: above `low`, up to `high`.
    queries, confidence, accuracy : int, float, float
        How many answers, their mean confidence, and the share of them that is right.
    """

    low: float
    high: float
    queries: int
    confidence: float
    accuracy: float


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or not sure.size:
        raise InvalidValueError("confidence", f"as many numbers as there are answers ({right.shape})", sure.shape)
    if not ((sure >= 0) & (sure <= 1)).all() or not ((right >= 0) & (right <= 1)).all():
        raise InvalidValueError("confidence and correct", "numbers in 0..1", "a value that is not")
    return sure, right


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The points of a reliability diagram: mean confidence and accuracy in bins of equal width.

    Parameters
    ----------
    confidence, correct : array-like of float, shape (queries,)
        In 0..1, and whether each answer is right.
    bins : int
        How many, >= 1. Empty ones are left out.
    """
    sure, right = _pairs(confidence, correct)
    edges = np.linspace(0.0, 1.0, checks.integer("bins", bins, at_least=1) + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    inside = {index: place == index for index in np.unique(place).tolist()}
    return tuple(
        ReliabilityBin(
            float(edges[i]), float(edges[i + 1]), int(m.sum()), float(sure[m].mean()), float(right[m].mean())
        )
        for i, m in inside.items()
    )


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> float:
    r"""ECE: the mean distance between confidence and accuracy, bins weighted by their answers.

    .. math:: \text{ECE} = \sum_b \frac{n_b}{n} \left|\text{accuracy}_b - \text{confidence}_b\right|

    Parameters and errors as for :func:`reliability`.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI-15,
    https://doi.org/10.1609/aaai.v29i1.9602

    Examples
    --------
    A model is 90 % sure of every answer and right in half of them. How far off is it?

    >>> round(expected_calibration_error([0.9] * 10, [0, 1] * 5), 2)
    0.4
    """
    diagram = reliability(confidence, correct, bins)
    return sum(b.queries * abs(b.accuracy - b.confidence) for b in diagram) / sum(b.queries for b in diagram)


class TemperatureScaling:
    r"""Probabilities with their logarithms divided by a temperature: above 1 a model becomes less sure, below 1 surer.

    .. math:: p'_c = \frac{p_c^{1/T}}{\sum_k p_k^{1/T}}

    :math:`T` is the one that makes the right answers most likely. The likeliest class stays the likeliest, so no answer
    changes; what changes is what a threshold means.

    Where only the probability of the chosen answer is known, it and its complement are the two classes. With more than
    two classes, fit all probabilities: from one number of 0.3 no one can tell whether the rest lies on one class or on
    seventy, and a temperature never lifts it above a half.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks, ICML, https://arxiv.org/abs/1706.04599

    Examples
    --------
    A model gives 90 % to its answer and is right in three of four. How sure should it have been?

    >>> scaling = TemperatureScaling().fit([0.9] * 4, [1, 1, 1, 0])
    >>> round(scaling.temperature, 2), scaling.transform([0.9]).round(3).tolist()
    (2.0, [0.75])
    """

    def __init__(self) -> None:
        self.temperature = 1.0

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> TemperatureScaling:
        """Find the temperature, between 0.05 and 20, on labelled answers.

        The confidence is the probability of the chosen answer, shape (queries,), or of every class, shape (queries,
        classes); `correct` says whether each answer is right, or names the column of the right class.
        """
        logs = _log_classes(confidence)
        target = _target(confidence, correct, logs.shape[1])

        def loss(temperature: float) -> float:
            scaled = logs / temperature
            return float((np.logaddexp.reduce(scaled, axis=1) - (target * scaled).sum(axis=1)).mean())

        # Golden-section search in the logarithm: the loss has one minimum there.
        low, high, golden = np.log(0.05), np.log(20.0), (np.sqrt(5) - 1) / 2
        for _ in range(60):
            left, mid = high - golden * (high - low), low + golden * (high - low)
            low, high = (low, mid) if loss(float(np.exp(left))) < loss(float(np.exp(mid))) else (left, high)
        self.temperature = float(np.exp((low + high) / 2))
        return self

    def transform(self, confidence: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities, in the shape of those given."""
        if self.temperature == 1.0:
            return np.array(confidence, dtype=np.float64)
        scaled = _log_classes(confidence) / self.temperature
        chances: NDArray[np.float64] = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
        return chances if np.ndim(confidence) == 2 else chances[:, 0]


def _log_classes(confidence: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of the probabilities of all classes, shape (queries, classes)."""
    chances = np.asarray(confidence, dtype=np.float64)
    if chances.ndim == 1:
        chances = np.stack([chances, 1.0 - chances], axis=1)
    if chances.ndim != 2 or not ((chances >= 0) & (chances <= 1)).all():
        raise InvalidValueError("confidence", "probabilities, one for each query or a row of them", chances.shape)
    logs: NDArray[np.float64] = np.log(np.clip(chances, EDGE, 1.0 - EDGE))
    return logs


def _target(confidence: ArrayLike, correct: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Which class was right, shape (queries, classes): 1 there, 0 elsewhere."""
    if np.ndim(confidence) != 2:
        _, right = _pairs(confidence, correct)
        return np.stack([right, 1.0 - right], axis=1)
    column = np.asarray(correct)
    if column.shape != (len(np.asarray(confidence)),) or not np.isin(column, np.arange(classes)).all():
        raise InvalidValueError("correct", f"the right class of each query, 0 to {classes - 1}", column.shape)
    return np.eye(classes)[column.astype(np.intp)]


class IsotonicScaling:
    """Confidence mapped to accuracy by the best rising step function; needs more labelled answers than a temperature.

    References
    ----------
    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD,
    https://doi.org/10.1145/775047.775151
    """

    def __init__(self) -> None:
        with extra("router"):
            from sklearn.isotonic import IsotonicRegression
        self._steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> IsotonicScaling:
        """Find the steps on labelled answers."""
        self._steps.fit(*_pairs(confidence, correct))
        return self

    def transform(self, confidence: ArrayLike) -> NDArray[np.float64]:
        """Calibrated confidences."""
        mapped: NDArray[np.float64] = self._steps.predict(np.asarray(confidence, dtype=np.float64))
        return mapped
