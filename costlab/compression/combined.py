"""Pruning, quantization and distillation on one axis: the same task, quality against dollars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.benchmark import Variant, benchmark
from costlab.compression.distillation import distill
from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes
from costlab.compression.models import PackagedModel, packaged_model
from costlab.compression.pruning import make_permanent, prune
from costlab.compression.quantization import quantize, usable_device
from costlab.compression.recovery import recover
from costlab.compression.results import BenchmarkResult
from costlab.compression.soft_targets import UNLABELLED, Examples
from costlab.compression.sparse_kernels import with_sparse_kernel
from costlab.compression.students import hashed_words, words_network
from costlab.compression.subjects import Assessment, Encoder, OnnxEncoder, Sentences, Subject
from costlab.compression.tasks import FIT
from costlab.datasets import support_queries

__all__ = ["COMBINED", "combined_study", "combined_variants"]

#: What the study compares, and how each is made from MiniLM.
#:
#: :meta hide-value:
COMBINED: Final = {
    "fp32": "as it is",
    "bf16": "quantized",
    "int8-dynamic": "quantized",
    "torch-dynamic": "quantized",
    "onnx-int8": "quantized, run by ONNX Runtime",
    "pruned": "half of the weights of its linear layers zero, fine-tuned",
    "pruned + bf16": "pruned, then quantized",
    "pruned + torch-dynamic": "pruned, then quantized",
    "pruned + csr": "pruned to a tenth, fine-tuned, with a kernel that skips zeros",
    "student": "distilled into a sum of words",
    "student alone": "the same student on the labels, without the teacher",
}


class _Labelled(Sentences):
    """An intent for each query: a logistic regression on few labelled queries' vectors."""

    def assess(self) -> Assessment:
        """Share of right intents; the answers are their numbers."""
        fitted, labels = self.classifier()
        said = fitted.predict(self.vectors([text for text, _ in self._asked])).tolist()
        return self._accuracy(said, labels)

    def classifier(self) -> tuple[Any, list[str]]:
        """The regression, fitted, and the intents that its numbers mean."""
        linear = require("sklearn.linear_model", "compression")
        labels = sorted({intent for _, intent in self._examples})
        wanted = [labels.index(intent) for _, intent in self._examples]
        vectors = self.vectors([text for text, _ in self._examples])
        return linear.LogisticRegression(C=FIT, max_iter=2000).fit(vectors, wanted), labels


class _LabelledEncoder(_Labelled, Encoder):
    """With a model of the transformers library."""


class _LabelledOnnx(_Labelled, OnnxEncoder):
    """With the packaged int8 model."""


class _Student(Sentences):
    """A sum of words, trained on a teacher's answers to queries without a label, or on the labels."""

    def __init__(
        self, teacher: _LabelledEncoder | None, examples: int, asked: int, *, unlabelled: int | None, seed: int
    ) -> None:
        super().__init__(examples, asked)
        torch = require("torch", "models")
        self._labels = sorted({intent for _, intent in self._examples})
        texts, labels = [text for text, _ in self._examples], [self._labels.index(i) for _, i in self._examples]
        taught = None
        if teacher is not None:
            queries = support_queries()
            known = set(texts)
            parts = [query.text for name in ("train", "calibration") for query in queries.split(name, in_scope=True)]
            more = [text for text in parts if text not in known][:unlabelled]
            texts, labels = texts + more, labels + [UNLABELLED] * len(more)
            fitted, _ = teacher.classifier()
            taught = torch.tensor(fitted.decision_function(teacher.vectors(texts)), dtype=torch.float32)
        examples_ = Examples(
            inputs=torch.tensor(hashed_words(texts)), labels=torch.tensor(labels), teacher_logits=taught
        )
        self._model = words_network(len(self._labels), seed=seed)
        started = time.process_time()
        alpha = 0.0 if taught is None else 0.9
        distill(self._model, examples_, alpha=alpha, epochs=60, learning_rate=0.01, seed=seed)
        self.facts = {"training_s": time.process_time() - started}
        self._model.requires_grad_(False)
        self.weights_bytes, self.disk_bytes = measured_bytes(self._model), measured_disk_bytes(self._model)

    def _embed(self, texts: Sequence[str]) -> Any:
        torch = require("torch", "models")
        with torch.inference_mode():
            return self._model(torch.tensor(hashed_words(texts))).numpy()

    def assess(self) -> Assessment:
        """Share of right intents; the answers are their numbers."""
        said = np.argmax(self._embed([text for text, _ in self._asked]), axis=1).tolist()
        return self._accuracy(said, self._labels)


def combined_variants(
    found: PackagedModel,
    names: Sequence[str] = tuple(COMBINED),
    *,
    device: str | None = None,
    labels_each: int = 5,
    asked: int = 6,
    unlabelled: int | None = None,
    steps: int = 60,
    seed: int = 0,
) -> tuple[Variant, ...]:
    """Variants of an encoder that answer one task, to hand to :func:`costlab.compression.benchmark`.

    Parameters
    ----------
    found : PackagedModel
        The encoder.
    names : sequence of str
        Names of ``costlab.compression.COMBINED``, the baseline first.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one. Students run on the CPU.
    labels_each, asked : int
        Labelled queries of each of the 72 intents, >= 2, from the part ``train``; and queries of each to answer, >= 1,
        from ``test``.
    unlabelled : int, optional
        At most so many further queries that the teacher answers for its student, >= 1; by default all.
    steps : int
        Of fine-tuning, >= 1.
    seed : int
        Of everything random.

    Raises
    ------
    UnknownNameError
        If there is no such variant.
    InvalidValueError
        If a number is outside its domain, or CUDA is asked for and absent.
    """
    place = usable_device(device)
    for name in names:
        checks.one_of("variant", name, COMBINED)
    checks.integer("steps", steps, at_least=1)
    checks.integer("labels_each", labels_each, at_least=2)
    if unlabelled is not None:
        checks.integer("unlabelled", unlabelled, at_least=1)
    sizes: dict[str, int] = {"examples": labels_each, "asked": asked}

    def encoder(model: Any) -> _LabelledEncoder:
        return _LabelledEncoder(model, found.tokenizer, **sizes)

    @cache
    def pruned(share: float) -> Any:
        model = prune(found.model, share).to(place)
        recover(model, found, steps=steps, seed=seed)
        return make_permanent(model).eval().requires_grad_(False)

    def make(name: str) -> Callable[[], Subject]:
        first, _, then = name.partition(" + ")
        if name == "onnx-int8":
            return lambda: _LabelledOnnx(**sizes)
        if name == "student":
            return lambda: _Student(encoder(found.model.to(place)), unlabelled=unlabelled, seed=seed, **sizes)
        if name == "student alone":
            return lambda: _Student(None, unlabelled=unlabelled, seed=seed, **sizes)
        if name == "pruned + csr":
            return lambda: encoder(with_sparse_kernel(pruned(0.9), "csr", device=place))
        if first == "pruned":
            return lambda: encoder(quantize(pruned(0.5), then or "fp32", device=place))
        return lambda: encoder(quantize(found.model, name, device=place))

    return tuple(Variant(name=name, model=found.name, make=make(name)) for name in names)


def combined_study(
    names: Sequence[str] = tuple(COMBINED),
    *,
    device: str | None = None,
    labels_each: int = 5,
    asked: int = 6,
    steps: int = 60,
    batch_sizes: Sequence[int] = (1, 32),
    repeats: int = 7,
    seed: int = 0,
    progress: bool = True,
) -> BenchmarkResult:
    """Pruned, quantized and distilled descendants of MiniLM on one task; ``.front()`` names those worth a thought.

    The task is to find the intent of a support query from a few labelled ones.

    Parameters
    ----------
    names, device, labels_each, asked, steps, seed
        As for :func:`combined_variants`.
    batch_sizes, repeats, progress
        As for :func:`costlab.compression.benchmark`.

    Returns
    -------
    BenchmarkResult

    Raises
    ------
    UnknownNameError
        If there is no such variant.
    InvalidValueError
        If CUDA is asked for and absent, or a number is outside its domain.
    """
    place = usable_device(device)
    options: dict[str, Any] = {"labels_each": labels_each, "asked": asked, "steps": steps, "seed": seed}
    variants = combined_variants(packaged_model("minilm"), names, device=place, **options)
    return benchmark(variants, device=place, batch_sizes=batch_sizes, repeats=repeats, seed=seed, progress=progress)
