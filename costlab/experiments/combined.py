"""Pruning, quantization and distillation on one axis: the same task, quality against dollars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import (
    UNLABELLED,
    Assessment,
    BenchmarkResult,
    Encoder,
    Examples,
    MeasuredModel,
    OnnxEncoder,
    PackagedModel,
    Variant,
    benchmark,
    distill,
    hashed_words,
    make_permanent,
    measured_bytes,
    measured_disk_bytes,
    packaged_model,
    prune,
    quantize,
    recover,
    usable_device,
    with_sparse_kernel,
    words_network,
)
from costlab.compression.measuring import Sentences
from costlab.compression.tasks import FIT
from costlab.datasets import support_queries
from costlab.experiments.quantization import BATCH_SIZES, Batches, DeviceKind, Repeats, Seed, recording_maker
from costlab.experiments.registry import Experiment, Option

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.linear_model import LogisticRegression

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
        answers = fitted.predict(self.vectors([text for text, _ in self._tests])).tolist()
        return self._accuracy(answers, labels)

    def classifier(self) -> tuple[LogisticRegression, list[str]]:
        """The regression, fitted, and the intents that its numbers mean."""
        with extra("compression"):
            from sklearn.linear_model import LogisticRegression
        labels = sorted({intent for _, intent in self._examples})
        wanted = [labels.index(intent) for _, intent in self._examples]
        vectors = self.vectors([text for text, _ in self._examples])
        return LogisticRegression(C=FIT, max_iter=2000).fit(vectors, wanted), labels


class _LabelledEncoder(_Labelled, Encoder):
    """With a model of the transformers library."""


class _LabelledOnnx(_Labelled, OnnxEncoder):
    """With the packaged int8 model."""


class _Student(Sentences):
    """A sum of words, trained on a teacher's answers to queries without a label, or on the labels."""

    def __init__(
        self, teacher: _LabelledEncoder | None, examples: int, n_test: int, *, unlabelled: int | None, seed: int
    ) -> None:
        import torch

        super().__init__(examples, n_test)
        self._labels = sorted({intent for _, intent in self._examples})
        texts = [text for text, _ in self._examples]
        labels = [self._labels.index(intent) for _, intent in self._examples]
        logits = None
        if teacher is not None:
            queries = support_queries()
            known = set(texts)
            parts = [query.text for name in ("train", "calibration") for query in queries.split(name, in_scope=True)]
            more = [text for text in parts if text not in known][:unlabelled]
            texts, labels = texts + more, labels + [UNLABELLED] * len(more)
            fitted, _ = teacher.classifier()
            logits = torch.tensor(fitted.decision_function(teacher.vectors(texts)), dtype=torch.float32)
        taught = Examples(inputs=torch.tensor(hashed_words(texts)), labels=torch.tensor(labels), teacher_logits=logits)
        self._model = words_network(len(self._labels), seed=seed)
        started = time.process_time()
        alpha = 0.0 if teacher is None else 0.9
        distill(self._model, taught, alpha=alpha, epochs=60, learning_rate=0.01, seed=seed)
        self.facts = {"training_s": time.process_time() - started}
        self._model.requires_grad_(False)
        self.weights_bytes, self.disk_bytes = measured_bytes(self._model), measured_disk_bytes(self._model)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            logits: torch.Tensor = self._model(torch.tensor(hashed_words(texts)))
        return logits.numpy()

    def assess(self) -> Assessment:
        """Share of right intents; the answers are their numbers."""
        answers = np.argmax(self._embed([text for text, _ in self._tests]), axis=1).tolist()
        return self._accuracy(answers, self._labels)


def combined_variants(
    encoder: PackagedModel,
    names: Sequence[str] = tuple(COMBINED),
    *,
    device: str | None = None,
    labels_each: int = 5,
    n_test: int = 6,
    unlabelled: int | None = None,
    steps: int = 60,
    seed: int = 0,
) -> tuple[Variant, ...]:
    """Variants of an encoder that answer one task, to hand to :func:`costlab.compression.benchmark`.

    Parameters
    ----------
    encoder : PackagedModel
        The encoder.
    names : sequence of str
        Names of ``costlab.compression.COMBINED``, the baseline first.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one. Students run on the CPU.
    labels_each, n_test : int
        Labelled queries of each of the 72 intents, >= 2, from the part ``train``; and queries of each to answer, >= 1,
        from ``test``.
    unlabelled : int, optional
        At most this many further queries that the teacher answers for its student, >= 1; by default all.
    steps : int
        Of fine-tuning, >= 1.
    seed : int
        Of everything random.
    """
    device = usable_device(device)
    for name in names:
        checks.one_of("variant", name, COMBINED)
    checks.integer("steps", steps, at_least=1)
    checks.integer("labels_each", labels_each, at_least=2)
    if unlabelled is not None:
        checks.integer("unlabelled", unlabelled, at_least=1)

    def labelled(model: torch.nn.Module) -> _LabelledEncoder:
        return _LabelledEncoder(model, encoder.tokenizer, examples=labels_each, n_test=n_test)

    def student(teacher: _LabelledEncoder | None) -> _Student:
        return _Student(teacher, labels_each, n_test, unlabelled=unlabelled, seed=seed)

    @cache
    def pruned(share: float) -> torch.nn.Module:
        model = prune(encoder.model, share).to(device)
        recover(model, encoder, steps=steps, seed=seed)
        return make_permanent(model).eval().requires_grad_(False)

    def make(name: str) -> Callable[[], MeasuredModel]:
        first, _, then = name.partition(" + ")
        if name == "onnx-int8":
            return lambda: _LabelledOnnx(examples=labels_each, n_test=n_test)
        if name == "student":
            return lambda: student(labelled(encoder.model.to(device)))
        if name == "student alone":
            return lambda: student(None)
        if name == "pruned + csr":
            return lambda: labelled(with_sparse_kernel(pruned(0.9), "csr", device=device))
        if first == "pruned":
            return lambda: labelled(quantize(pruned(0.5), then or "fp32", device=device))
        return lambda: labelled(quantize(encoder.model, name, device=device))

    return tuple(Variant(name=name, model=encoder.name, make=make(name)) for name in names)


def combined_study(
    names: Annotated[
        list[str] | None, Option("A variant, the baseline first; may be repeated. By default all.", flag="--variant")
    ] = None,
    *,
    device: DeviceKind = None,
    labels_each: int = 5,
    n_test: int = 6,
    steps: Annotated[int, Option("Of fine-tuning, at least 1.", metavar="N")] = 60,
    batch_sizes: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    progress: bool = True,
) -> BenchmarkResult:
    """Pruned, quantized and distilled descendants of MiniLM on one task; ``.front()`` names those worth a thought.

    The task is to find the intent of a support query from a few labelled ones.

    Parameters
    ----------
    names, device, labels_each, n_test, steps, seed
        As for :func:`combined_variants`.
    batch_sizes, repeats, progress
        As for :func:`costlab.compression.benchmark`.
    """
    device = usable_device(device)
    chosen = tuple(COMBINED) if names is None else names
    sizes = {"labels_each": labels_each, "n_test": n_test, "steps": steps}
    variants = combined_variants(packaged_model("minilm"), chosen, device=device, seed=seed, **sizes)
    return benchmark(
        variants,
        device=device,
        batch_sizes=BATCH_SIZES if batch_sizes is None else batch_sizes,
        repeats=repeats,
        seed=seed,
        progress=progress,
        experiment="combined",
    )


def _lines(result: BenchmarkResult) -> list[str]:
    return [*result.lines(), f"not beaten in quality and dollars: {', '.join(result.front())}"]


_recording = recording_maker("combined", names=tuple(COMBINED), batch_sizes=BATCH_SIZES)

EXPERIMENT: Final = Experiment(
    measure=combined_study, lines=_lines, recording=_recording, load=BenchmarkResult.from_recording
)
