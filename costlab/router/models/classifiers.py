"""Models that choose one of some labels: classifiers on texts, on sentence vectors, and several together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.router.confidence import TemperatureScaling
from costlab.router.models.protocol import Prediction, Workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from costlab.cache.semantic import Embedder

#: Probabilities are kept this far from 0, whose logarithm has no end: one member's 0 must not outvote all others.
MIN_PROBABILITY = 1e-12


class ClassifierModel:
    """A scikit-learn text classifier; its confidence is the probability of the class that it chose.

    Parameters
    ----------
    classifier : object
        A fitted classifier or pipeline with ``predict_proba`` over texts and ``classes_``.
    calibrate : callable, optional
        Maps an array of confidences to ones that can be trusted: the ``transform`` of a fitted
        :class:`costlab.router.IsotonicScaling`, say. See :meth:`fit_temperature` too.
    threads : int
        Queries answered at a time, each in a thread of the model's own, >= 0. With 0 the event loop itself computes:
        right for a classifier that takes less time than the hand-over to a thread, some 50 us.

    Attributes
    ----------
    classes, scaling : tuple of str, TemperatureScaling
        The labels that it chooses from, and what is applied to the probabilities of all of them before one is chosen;
        it changes nothing until it is fitted.

    Examples
    --------
    >>> import asyncio
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    >>> texts = ["reset my password", "password forgotten", "cancel my plan", "end the plan"]
    >>> model = ClassifierModel(pipeline.fit(texts, ["password", "password", "cancel", "cancel"]))
    >>> asyncio.run(model.predict("I forgot the password")).answer
    'password'
    """

    def __init__(
        self,
        classifier: object,
        calibrate: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        if not hasattr(classifier, "predict_proba") or not hasattr(classifier, "classes_"):
            raise InvalidValueError("classifier", "a fitted one with predict_proba and classes_", classifier)
        self._classifier: Any = classifier
        self._calibrate = calibrate
        self._workers = Workers(threads)
        self.scaling = TemperatureScaling()
        self.classes = tuple(str(label) for label in self._classifier.classes_)

    async def predict(self, query: str) -> Prediction:
        """The likeliest class and its probability."""
        return await self._workers.run(lambda: self.predict_all([query])[0])

    def predict_all(self, queries: Sequence[str]) -> list[Prediction]:
        """The answers to many queries at once, without any event loop: for tables and calibration."""
        if not queries:
            return []
        chances = self.scaling.transform(self.probabilities(queries))
        best = chances.argmax(axis=1)
        sure = chances[np.arange(len(best)), best]
        if self._calibrate is not None:
            sure = self._calibrate(sure)
        return [Prediction(self.classes[i], float(c)) for i, c in zip(best, sure, strict=True)]

    def fit_temperature(self, queries: Sequence[str], labels: Sequence[str]) -> Self:
        """Make the model as sure as it should be, on labelled queries that it has not learned; no answer changes."""
        if len(labels) != len(queries):
            raise InvalidValueError("labels", f"as many as there are queries ({len(queries)})", len(labels))
        columns = {label: column for column, label in enumerate(self.classes)}
        right = [columns[checks.one_of("label", label, columns)] for label in labels]
        self.scaling.fit(self.probabilities(queries), right)
        return self

    def probabilities(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class for each query, shape (queries, classes), as the classifier has it."""
        return np.asarray(self._classifier.predict_proba(self._features(queries)), dtype=np.float64)

    def _features(self, queries: Sequence[str]) -> object:
        return list(queries)


class EmbeddingModel(ClassifierModel):
    """A classifier on sentence vectors.

    Parameters
    ----------
    embedder : Embedder
        Makes the vectors: :class:`costlab.cache.semantic.PackagedMiniLm`, say.
    classifier, calibrate, threads
        As for :class:`ClassifierModel`; the classifier was fitted on the embedder's vectors.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, https://arxiv.org/abs/1908.10084

    Examples
    --------
    What is meant by words that were not among the texts that it learned from?

    >>> import asyncio
    >>> from sklearn.linear_model import LogisticRegression
    >>> from costlab.cache.semantic import PackagedMiniLm
    >>> texts = ["reset my password", "password forgotten", "cancel my plan", "end the plan"]
    >>> encoder = PackagedMiniLm()
    >>> fitted = LogisticRegression().fit(encoder.embed(texts), ["password", "password", "cancel", "cancel"])
    >>> asyncio.run(EmbeddingModel(encoder, fitted).predict("I cannot remember my login word")).answer
    'password'
    """

    def __init__(
        self,
        embedder: Embedder,
        classifier: object,
        calibrate: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        super().__init__(classifier, calibrate, threads=threads)
        fitted_on = getattr(classifier, "n_features_in_", embedder.dimensions)
        if fitted_on != embedder.dimensions:
            raise InvalidValueError("classifier", f"fitted on {embedder.dimensions} numbers a vector", fitted_on)
        self._embedder = embedder

    def _features(self, queries: Sequence[str]) -> object:
        return self._embedder.embed(list(queries))


class EnsembleModel(ClassifierModel):
    r"""Several classifiers together, each class by the geometric mean of its probabilities.

    .. math:: p_c \propto \exp\left(\frac1m \sum_{j=1}^{m} \log p_{j,c}\right)

    A class that one member finds impossible has little chance, so that the ensemble is sure only where all are.

    Parameters
    ----------
    members : sequence of ClassifierModel
        At least two, with the same classes in any order. Their own calibration is not applied: it maps the confidence
        of the chosen class, and here all classes count.
    calibrate, threads
        As for :class:`ClassifierModel`.

    Notes
    -----
    All members run one after the other in one thread, so that the ensemble takes as long as all of them; its price is
    the sum of theirs too, unless they already ran as tiers of their own and share their work.

    References
    ----------
    Genest and Zidek (1986), Combining probability distributions: a critique and an annotated bibliography, Statistical
    Science 1(1), https://doi.org/10.1214/ss/1177013825

    Examples
    --------
    One member counts words and one counts pairs of letters. What do both together make of a typing error?

    >>> import asyncio
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> texts, labels = ["reset my password", "end the plan"], ["password", "cancel"]
    >>> counts = TfidfVectorizer(), TfidfVectorizer(analyzer="char", ngram_range=(2, 2))
    >>> members = [ClassifierModel(make_pipeline(c, LogisticRegression()).fit(texts, labels)) for c in counts]
    >>> asyncio.run(EnsembleModel(members).predict("pasword")).answer
    'password'
    """

    def __init__(
        self,
        members: Sequence[ClassifierModel],
        calibrate: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        if len(members) < 2:
            raise InvalidValueError("members", "at least two classifiers", len(members))
        classes = members[0].classes
        for member in members[1:]:
            if sorted(member.classes) != sorted(classes):
                odd = set(member.classes).symmetric_difference(classes)
                raise InvalidValueError("members", "classifiers of the same classes", sorted(odd))
        self._members = tuple(members)
        self._calibrate = calibrate
        self._workers = Workers(threads)
        self.scaling = TemperatureScaling()
        self.classes = classes
        self._order = [[member.classes.index(label) for label in classes] for member in members]

    def probabilities(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class for each query, shape (queries, classes)."""
        logs = [
            np.log(np.maximum(member.probabilities(queries)[:, order], MIN_PROBABILITY))
            for member, order in zip(self._members, self._order, strict=True)
        ]
        together = np.mean(logs, axis=0)
        weights = np.exp(together - together.max(axis=1, keepdims=True))
        chances: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return chances
