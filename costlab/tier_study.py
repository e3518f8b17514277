"""Three real tiers on labelled queries: how good each is, how sure it says it is, and whether a cascade is worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab import checks
from costlab.cache.embedding import Embedder, PackagedMiniLm, RememberingEmbedder
from costlab.datasets import banking77, clinc150, support_queries
from costlab.devices import find_device
from costlab.recordings import Recording
from costlab.router.models import ClassifierModel, EmbeddingModel, EnsembleModel
from costlab.router.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LESSON_USD_PER_REQUEST", "fit_tiers", "tier_outcomes"]

#: The source lesson's prices of a small, a medium and a large tier, in USD per request.
LESSON_USD_PER_REQUEST: Final = {"words": 0.0005, "vectors": 0.003, "ensemble": 0.03}


def fit_tiers(texts: Sequence[str], labels: Sequence[str], embedder: Embedder) -> dict[str, ClassifierModel]:
    """The tiers, cheapest first: words counted, sentence vectors, and an ensemble of three classifiers.

    Parameters
    ----------
    texts, labels : sequence of str
        Queries to learn from, and what each one wants.
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

    both = make_union(counted(ngram_range=(1, 2)), FunctionTransformer(embedder.embed))
    pieces = counted(analyzer="char_wb", ngram_range=(2, 5))
    words = ClassifierModel(make_pipeline(counted(ngram_range=(1, 2)), regression(100)).fit(texts, labels))
    vectors = EmbeddingModel(embedder, regression(10).fit(embedder.embed(texts), labels))
    members = [make_pipeline(features, regression(c)).fit(texts, labels) for features, c in ((both, 30), (pieces, 100))]
    ensemble = EnsembleModel([vectors, *(ClassifierModel(member) for member in members)])
    return {"words": words, "vectors": vectors, "ensemble": ensemble}


def tier_outcomes(
    models: Mapping[str, ClassifierModel],
    texts: Sequence[str],
    labels: Sequence[str],
    usd_per_request: Mapping[str, float] = LESSON_USD_PER_REQUEST,
) -> Outcomes:
    """What each tier answers to each query: the table on which routers are compared.

    Parameters
    ----------
    models : mapping of str to ClassifierModel
        By tier, cheapest first.
    texts, labels : sequence of str
        Queries, and the right answers.
    usd_per_request : mapping of str to float
        What trying a tier costs.
    """
    answers = [model.predict_all(texts) for model in models.values()]
    correct = np.array([[p.answer == label for p, label in zip(tier, labels, strict=True)] for tier in answers])
    confidence = np.array([[p.confidence for p in tier] for tier in answers])
    return Outcomes.of_prices(tuple(models), correct.T, confidence.T, [usd_per_request[name] for name in models])
