"""What a tier asks of a model, and models that answer it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from costlab import checks
from costlab.errors import CostlabError, InvalidValueError

__all__ = ["ClassifierModel", "EmbeddingModel", "Model", "ModelError", "Prediction", "ScriptedModel", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call was billed for.

    Parameters
    ----------
    input_tokens : int
        Of the request, those read from the provider's prompt cache included, >= 0.
    cached_input_tokens : int
        The part of them that was read from the prompt cache.
    output_tokens : int
        Of the answer, >= 0.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cached_input_tokens <= self.input_tokens or self.output_tokens < 0:
            raise InvalidValueError("usage", "counts >= 0, the cached tokens among the input", self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer.

    Parameters
    ----------
    answer : Any
        The answer itself.
    confidence : float
        How sure the model is, in 0..1. A model that cannot say so gives NaN, and its answer is never trusted before the
        last tier.
    usage : Usage
        Tokens billed; all 0 for a model that is priced by the request.
    """

    answer: Any
    confidence: float
    usage: Usage = Usage()


class ModelError(CostlabError, RuntimeError):
    """A model that failed, with what was billed all the same.

    Attributes
    ----------
    usage : Usage or None
        Tokens that the failed call was billed for; None where it was billed nothing.
    """

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class Model(Protocol):
    """Anything that answers a query. It may be called many times at once, and may be cancelled."""

    async def predict(self, query: str) -> Prediction:
        """The answer to a query; raises what went wrong, as :class:`ModelError` where it was billed."""
        ...


class ScriptedModel:
    """A model that does as it is told: for tests, and for trying out a cascade without any model.

    Parameters
    ----------
    script : mapping or callable
        For each query a :class:`Prediction`, or an exception to raise; or a function of the query, async or not, that
        returns or raises it.
    latency_s : float
        Seconds that each answer takes, >= 0.

    Attributes
    ----------
    calls : int
        How often it was asked.
    running, most_running : int
        Calls under way, now and at the most.
    """

    def __init__(
        self,
        script: Mapping[str, Prediction | Exception] | Callable[[str], Any],
        latency_s: float = 0.0,
    ) -> None:
        self._script = script if callable(script) else script.__getitem__
        self._latency_s = checks.non_negative("latency_s", latency_s)
        self.calls = self.running = self.most_running = 0

    async def predict(self, query: str) -> Prediction:
        """What the script says."""
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            found = self._script(query)
            if isinstance(found, Awaitable):
                found = await found
            if isinstance(found, Exception):
                raise found
            prediction: Prediction = found
            return prediction
        finally:
            self.running -= 1


class ClassifierModel:
    """A scikit-learn text classifier; its confidence is the probability of the class that it chose.

    Parameters
    ----------
    classifier : object
        A fitted classifier or pipeline with ``predict_proba`` over texts and ``classes_``.
    calibrate : callable, optional
        Maps a raw confidence to one that can be trusted: a fitted
        :class:`costlab.router.TemperatureScaling`'s ``transform``, say.
    in_thread : bool
        Whether to answer in a worker thread. A small model takes less time than the hand-over (50 us); one that takes
        milliseconds would hold up every other request meanwhile.
    """

    def __init__(
        self,
        classifier: Any,
        calibrate: Callable[[Any], Any] | None = None,
        *,
        in_thread: bool = False,
    ) -> None:
        self._classifier = classifier
        self._calibrate = calibrate
        self._in_thread = in_thread

    async def predict(self, query: str) -> Prediction:
        """The likeliest class and its probability."""
        return await asyncio.to_thread(self._answer, query) if self._in_thread else self._answer(query)

    def _answer(self, query: str) -> Prediction:
        return self.predict_all([query])[0]

    def predict_all(self, queries: Sequence[str]) -> list[Prediction]:
        """The answers to many queries at once: for tables and calibration."""
        chances = self._classifier.predict_proba(self._features(queries))
        best = chances.argmax(axis=1)
        sure = chances[range(len(best)), best]
        if self._calibrate is not None:
            sure = self._calibrate(sure)
        labels = self._classifier.classes_
        return [Prediction(str(labels[i]), float(c)) for i, c in zip(best, sure, strict=True)]

    def _features(self, queries: Sequence[str]) -> Any:
        return list(queries)


class EmbeddingModel(ClassifierModel):
    """A classifier on sentence vectors.

    Parameters
    ----------
    embed : callable
        Turns a list of texts into an array of shape (texts, dimensions).
    classifier, calibrate, in_thread
        As for :class:`ClassifierModel`; the classifier takes vectors.
    """

    def __init__(
        self,
        embed: Callable[[list[str]], Any],
        classifier: Any,
        calibrate: Callable[[Any], Any] | None = None,
        *,
        in_thread: bool = True,
    ) -> None:
        super().__init__(classifier, calibrate, in_thread=in_thread)
        self._embed = embed

    def _features(self, queries: Sequence[str]) -> Any:
        return self._embed(list(queries))


def mean_probability(log_probabilities: Sequence[float]) -> float:
    r"""Confidence of a generated answer: the geometric mean of its tokens' probabilities.

    .. math:: \exp\left(\frac1n \sum_i \log p_i\right)

    Returns
    -------
    float
        In 0..1; NaN for no tokens.
    """
    values = list(log_probabilities)
    return min(1.0, math.exp(sum(values) / len(values))) if values else math.nan
