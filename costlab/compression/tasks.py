"""Two tasks to distil on: digits, where every example has a label, and support queries, where few have one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.cache.semantic import Embedder, PackagedMiniLm
from costlab.compression.distillation import (
    BUCKETS,
    UNLABELLED,
    DistillOptions,
    Examples,
    distill,
    hashed_words,
    small_network,
    words_network,
)
from costlab.datasets import support_queries

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_matrix

#: Inverse of the penalty on the teacher's weights: a weak one, as vectors of length 1 need large weights.
FIT: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededTask:
    """What one seed makes of a task: its labels, its teacher, and a new student.

    Attributes
    ----------
    student : callable
        Makes a student with the seed's first weights.
    labelled, everything, truth : Examples, Examples, torch.Tensor
        Those with a label; these and those without, all with the teacher's answers; and the labels of all, which no one
        has outside of a study.
    test_inputs, test_labels : torch.Tensor
        What accuracy is measured on.
    teacher_right, linear_right : torch.Tensor
        Whether the teacher is right on each of these; and whether a logistic regression is, on the same labels and
        without a teacher, as the student itself may not be the best use of few labels.
    teacher_training_s : float
        Seconds of processor time of the teacher's fit.
    """

    student: Callable[[], torch.nn.Module]
    labelled: Examples
    everything: Examples
    truth: torch.Tensor
    test_inputs: torch.Tensor
    test_labels: torch.Tensor
    teacher_right: torch.Tensor
    linear_right: torch.Tensor
    teacher_training_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationTask:
    """A task for :func:`costlab.experiments.distillation_study`.

    Attributes
    ----------
    name, draw : str, callable
        What it is called in results; and from a seed to a :class:`SeededTask`.
    teacher_step, student_step : callable
        A call that answers one query as it arrives, for the time it takes.
    options : mapping of str to a value
        How :func:`costlab.compression.distill` trains here.
    """

    name: str
    draw: Callable[[int], SeededTask]
    teacher_step: Callable[[], object]
    student_step: Callable[[], object]
    options: DistillOptions = field(default_factory=DistillOptions)


def digits_task(
    labels_each: int | None = None, *, width: int = 8, dtype: torch.dtype | None = None
) -> DistillationTask:
    """Scikit-learn's 1,797 images of digits: a network of two layers of 256 teaches one of a few neurons.

    A seed draws 597 images to test on, which are labelled, the teacher, and first weights.

    Parameters
    ----------
    labels_each, width : int
        Labelled images of each digit, >= 2, by default all of them; and neurons of the student's inner layer, >= 1.
    dtype : torch.dtype, optional
        Of images and networks; by default ``torch.float32``. In ``torch.float64`` a fit ends with the same answers
        on every processor. In 32 bits it does not: kernels for AVX2 and for AVX-512 add up in another order, and
        training makes much of it.
    """
    with extra("models"):
        import torch
    with extra("compression"):
        from sklearn.datasets import load_digits
    data = load_digits()
    dtype = torch.float32 if dtype is None else dtype
    inputs = torch.tensor(data.data / 16.0, dtype=dtype)
    truth = torch.tensor(data.target, dtype=torch.int64)
    if labels_each is not None:
        checks.integer("labels_each", labels_each, at_least=2)

    def draw(seed: int) -> SeededTask:
        order = np.random.default_rng(seed).permutation(len(truth))
        test, known = torch.tensor(order[:597]), torch.tensor(order[597:])
        labels = _few(truth[known], labels_each)
        have = labels != UNLABELLED
        examples = Examples(inputs=inputs[known], labels=labels)
        teacher = small_network(64, 10, width=256, layers=2, seed=seed).to(dtype)
        started = time.process_time()
        distill(teacher, examples.chosen(have), alpha=0.0, epochs=40, learning_rate=1e-3, seed=seed)
        training_s = time.process_time() - started
        with torch.inference_mode():
            hidden = teacher.get_submodule("hidden")(inputs).clone()
            logits = teacher(inputs).clone()
        taught = Examples(
            inputs=inputs[known], labels=labels, teacher_logits=logits[known], teacher_hidden=hidden[known]
        )
        return SeededTask(
            student=lambda: small_network(64, 10, width=width, seed=seed + 1).to(dtype),
            labelled=taught.chosen(have),
            everything=taught,
            truth=truth[known],
            test_inputs=inputs[test],
            test_labels=truth[test],
            teacher_right=logits[test].argmax(1) == truth[test],
            linear_right=_linear_right(inputs[known][have], labels[have], inputs[test], truth[test]),
            teacher_training_s=training_s,
        )

    pair = small_network(64, 10, width=256, layers=2).to(dtype), small_network(64, 10, width=width).to(dtype)
    steps = [_answering(network, inputs[:1]) for network in pair]
    name = "digits, all labels" if labels_each is None else f"digits, {labels_each} labels each"
    return DistillationTask(name=name, draw=draw, teacher_step=steps[0], student_step=steps[1], options={"epochs": 150})


def support_task(
    labels_each: int = 5, *, embedder: Embedder | None = None, unlabelled: int | None = None, n_test: int | None = None
) -> DistillationTask:
    """The book's support queries, few of them labelled: MiniLM's vectors with a linear classifier teach a sum of words.

    Parameters
    ----------
    labels_each : int
        Labelled queries of each of the 72 intents, >= 2; a seed draws them from the parts ``train`` and
        ``calibration``.
    embedder : Embedder, optional
        Makes the teacher's vectors; by default the packaged MiniLM, which takes half a minute for all queries.
    unlabelled, n_test : int, optional
        At most this many further queries, without a label; and roughly this many queries of the part ``test``, evenly
        taken, to measure accuracy on; by default all.

    Raises
    ------
    MissingModelError
        If the packaged model is not.
    """
    with extra("models"):
        import torch
    with extra("compression"):
        from sklearn.linear_model import LogisticRegression
    checks.integer("labels_each", labels_each, at_least=2)
    embedder = PackagedMiniLm(batch=32) if embedder is None else embedder
    queries = support_queries()
    parts = [queries.split(name, in_scope=True) for name in ("train", "calibration", "test")]
    every = 1 if n_test is None else max(1, len(parts[2]) // checks.integer("n_test", n_test, at_least=1))
    tested = parts[2][::every]
    known = [*parts[0], *parts[1]]
    numbers = {name: k for k, name in enumerate(sorted(queries.intents))}
    truth = torch.tensor([numbers[query.intent] for query in known])
    test_labels = torch.tensor([numbers[query.intent] for query in tested])
    most = None if unlabelled is None else checks.integer("unlabelled", unlabelled)
    words = torch.tensor(hashed_words([query.text for query in (*known, *tested)]))
    vectors = embedder.embed([query.text for query in (*known, *tested)])
    rows, classes = _counted(words), len(numbers)

    def draw(seed: int) -> SeededTask:
        order = np.random.default_rng(seed).permutation(len(known))
        labels = torch.full_like(truth, UNLABELLED)
        labels[order] = _few(truth[order], labels_each)
        have = np.flatnonzero((labels != UNLABELLED).numpy())
        rest = [k for k in order.tolist() if labels[k] == UNLABELLED][:most]
        started = time.process_time()
        fitted = LogisticRegression(C=FIT, max_iter=2000).fit(vectors[have], truth[have].numpy())
        training_s = time.process_time() - started
        logits = torch.tensor(fitted.decision_function(vectors), dtype=torch.float32)
        chosen = torch.tensor([*have.tolist(), *rest])
        taught = Examples(
            inputs=words[chosen],
            labels=labels[chosen],
            teacher_logits=logits[chosen],
            teacher_hidden=torch.tensor(vectors[chosen.numpy()]),
        )
        return SeededTask(
            student=lambda: words_network(classes, seed=seed),
            labelled=taught.chosen(slice(len(have))),
            everything=taught,
            truth=truth[chosen],
            test_inputs=words[len(known) :],
            test_labels=test_labels,
            teacher_right=logits[len(known) :].argmax(1) == test_labels,
            linear_right=_linear_right(rows[have], labels[have], rows[len(known) :], test_labels),
            teacher_training_s=training_s,
        )

    text = tested[0].text
    weights = np.zeros((embedder.dimensions, classes), dtype=np.float32)
    student = words_network(classes)

    def student_step() -> object:
        with torch.inference_mode():
            return student(torch.tensor(hashed_words([text])))

    return DistillationTask(
        name=f"support, {labels_each} labels each",
        draw=draw,
        teacher_step=lambda: embedder.embed([text]) @ weights,
        student_step=student_step,
        options={"epochs": 60, "learning_rate": 0.01},
    )


def _answering(network: torch.nn.Module, row: torch.Tensor) -> Callable[[], object]:
    import torch

    def step() -> object:
        with torch.inference_mode():
            return network(row)

    return step


def _few(truth: torch.Tensor, each: int | None) -> torch.Tensor:
    """The labels of the first `each` of every class; the others are unlabelled."""
    if each is None:
        return truth.clone()
    labels = truth.new_full(truth.shape, UNLABELLED)
    for label in truth.unique().tolist():
        which = (truth == label).nonzero().flatten()[:each]
        labels[which] = label
    return labels


def _linear_right(
    inputs: ArrayLike, labels: torch.Tensor, test_inputs: ArrayLike, test_labels: torch.Tensor
) -> torch.Tensor:
    """Whether a logistic regression on few labels is right on each test input."""
    import torch
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=2000).fit(inputs, labels)
    return torch.tensor(fitted.predict(test_inputs) == test_labels.numpy())


def _counted(words: torch.Tensor) -> csr_matrix:
    """A sparse matrix of hashed words, rare ones weighted up, each row of length 1."""
    with extra("compression"):
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import TfidfTransformer
    row, column = (words > 0).nonzero(as_tuple=True)
    counts = csr_matrix((np.ones(len(row)), (row.numpy(), words[row, column].numpy())), shape=(len(words), BUCKETS + 1))
    return TfidfTransformer().fit_transform(counts)
