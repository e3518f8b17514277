"""Three real classifiers as tiers, on labelled queries: words counted, sentence vectors, and an ensemble."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from costlab.cache.semantic import Embedder
from costlab.datasets import IntentQuery, SupportQuery
from costlab.router import ClassifierModel, EmbeddingModel, EnsembleModel, Outcomes

__all__ = ["LESSON_USD_PER_REQUEST", "LabelledQueries", "fit_tiers", "seconds_per_query", "tier_outcomes"]

#: The source lesson's prices of a small, a medium and a large tier, in USD per request.
LESSON_USD_PER_REQUEST: Final = {"words": 0.0005, "vectors": 0.003, "ensemble": 0.03}


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
    def of(cls, queries: Sequence[SupportQuery | IntentQuery]) -> LabelledQueries:
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

    def regression(strength: float) -> Any:
        return LogisticRegression(C=strength, max_iter=2000)

    def counted(**settings: Any) -> Any:
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
    return Outcomes.of_prices(tuple(models), correct.T, confidence.T, [usd_per_request[name] for name in models])


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
    found = {}
    for name, model in models.items():
        taken = []
        for text in texts:
            begin = time.perf_counter()
            model.predict_all([f"{name}: {text}"])
            taken.append(time.perf_counter() - begin)
        found[name] = float(np.median(taken))
    return found
