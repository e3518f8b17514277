"""The support questions with the answers of three tiers, as they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab import checks
from costlab.cache.embedding import Embedder, PackagedMiniLm, RememberingEmbedder
from costlab.capstone.company import SUPPORT_USD_PER_REQUEST
from costlab.datasets import support_queries
from costlab.devices import find_device, library_versions
from costlab.query_tiers import LabelledQueries, fit_tiers
from costlab.recordings import FOLDER, Recording, load
from costlab.router import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SupportAnswers", "measure_support", "support_answers"]

PARTS: Final = ("calibration", "test")


@dataclass(frozen=True, slots=True, eq=False)
class SupportAnswers:
    """What each tier answered to each question of a part of the support queries.

    Attributes
    ----------
    tiers : tuple of str
        ``words``, ``vectors`` and ``ensemble``.
    intent : numpy.ndarray of int, shape (questions,)
        What each question is about, as a number.
    answer : numpy.ndarray of int, shape (questions, tiers)
        What each tier said it is about.
    confidence : numpy.ndarray of float, shape (questions, tiers)
        How sure it was, after its temperature was fitted on the calibration part, in 0..1.
    """

    tiers: tuple[str, ...]
    intent: NDArray[np.int64]
    answer: NDArray[np.int64]
    confidence: NDArray[np.float64]

    def outcomes(self, tiers: Sequence[str] | None = None) -> Outcomes:
        """The table on which thresholds are chosen and cascades are played, at the company's prices."""
        names = self.tiers if tiers is None else tuple(tiers)
        table = Outcomes.of_prices(
            self.tiers,
            self.answer == self.intent[:, None],
            self.confidence,
            [SUPPORT_USD_PER_REQUEST[name] for name in self.tiers],
        )
        return table.only(names)


@cache
def support_answers(part: str = "calibration") -> SupportAnswers:
    """The recorded answers to a part of the support queries.

    Parameters
    ----------
    part : {'calibration', 'test'}
        Choose thresholds on the first; the company's log is made of the second.

    Raises
    ------
    UnknownNameError
        If there is no such part.

    Examples
    --------
    How many questions of the log's part does the largest tier answer right?

    >>> test = support_answers("test")
    >>> bool(0.6 < (test.answer[:, -1] == test.intent).mean() < 0.7)
    True
    """
    checks.one_of("part", part, PARTS)
    rows = [row for row in load(FOLDER / "support-cpu.json").rows if row["part"] == part]
    tiers = {row["tier"]: row for row in rows if row["what"] == "tier"}
    return SupportAnswers(
        tiers=tuple(tiers),
        intent=np.array(next(row["intent"] for row in rows if row["what"] == "questions")),
        answer=np.array([row["answer"] for row in tiers.values()]).T,
        confidence=np.array([row["confidence"] for row in tiers.values()]).T,
    )


def measure_support(embedder: Embedder | None = None) -> Recording:
    """What the three tiers answer to the support queries that they have not learned from.

    Parameters
    ----------
    embedder : Embedder, optional
        By default the packaged MiniLM.

    Returns
    -------
    Recording
        For each part a row per tier, and one with the intents. Confidences have four digits.
    """
    model = RememberingEmbedder(PackagedMiniLm() if embedder is None else embedder)
    queries = support_queries()
    learned, *asked = (LabelledQueries.of(queries.split(part)) for part in ("train", *PARTS))
    tiers = fit_tiers(learned, model)
    for tier in tiers.values():
        tier.fit_temperature(asked[0].texts, asked[0].labels)
    numbers = {intent: number for number, intent in enumerate(sorted({*learned.labels, *asked[0].labels}))}
    rows: list[dict[str, Any]] = []
    for part, some in zip(PARTS, asked, strict=True):
        intent = [numbers.setdefault(label, len(numbers)) for label in some.labels]
        rows.append({"part": part, "what": "questions", "intent": intent})
        for name, tier in tiers.items():
            said = tier.predict_all(some.texts)
            answer = [numbers[str(one.answer)] for one in said]
            confidence = [round(one.confidence, 4) for one in said]
            rows.append({"part": part, "what": "tier", "tier": name, "answer": answer, "confidence": confidence})
    device = find_device("cpu")
    return Recording(
        experiment="support",
        device="cpu",
        device_name=device.name,
        driver=device.driver,
        library_versions=library_versions("numpy", "onnxruntime", "scikit-learn") | {"model": model.name},
        recorded_on=date.today().isoformat(),
        command="costlab bench support --record",
        repeats=1,
        rows=tuple(rows),
    )
