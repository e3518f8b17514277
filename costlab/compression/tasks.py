"""Two tasks to distil on: digits, where every example has a label, and support queries, where few have one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.cache.semantic import Embedder, PackagedMiniLm
from costlab.compression.distillation import distill
from costlab.compression.soft_targets import UNLABELLED, Examples
from costlab.compression.students import BUCKETS, hashed_words, small_network, words_network
from costlab.datasets import support_queries

__all__ = ["DistillationTask", "TaskDraw", "digits_task", "support_task"]

#: Inverse of the penalty on the teacher's weights: a weak one, as vectors of length 1 need large weights.
FIT: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraw:
    """What one seed makes of a task: its labels, its teacher, and a new student.

    Attributes
    ----------
    student : callable
        Makes a student with the seed's first weights.
    labelled : Examples
        Those with a label.
    everything : Examples
        These and those without; all with the teacher's answers.
    truth : torch.Tensor
        The labels of `everything`, which nobody has outside of a study.
    test_inputs, test_labels : torch.Tensor
        What accuracy is measured on.
    teacher_right, linear_right : torch.Tensor
        Whether the teacher is right on each of these; and whether a logistic regression is, on the same labels and
        without a teacher, as the student itself may not be the best use of few labels.
    teacher_training_s : float
        Seconds of processor time of the teacher's fit.
    """

    student: Callable[[], Any]
    labelled: Examples
    everything: Examples
    truth: Any
    test_inputs: Any
    test_labels: Any
    teacher_right: Any
    linear_right: Any
    teacher_training_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationTask:
    """A task for :func:`costlab.compression.distillation_study`.

    Attributes
    ----------
    name : str
        What it is called in results.
    draw : callable
        From a seed to a :class:`TaskDraw`.
    teacher_step, student_step : callable
        A call that answers one query as it arrives, for the time it takes.
    options : tuple of (str, float)
        How :func:`costlab.compression.distill` trains here.
    """

    name: str
    draw: Callable[[int], TaskDraw]
    teacher_step: Callable[[], object]
    student_step: Callable[[], object]
    options: tuple[tuple[str, float], ...] = ()


def digits_task(labels_each: int | None = None, *, width: int = 8) -> DistillationTask:
    """Scikit-learn's 1,797 images of digits: a network of two layers of 256 teaches one of a few neurons.

    Parameters
    ----------
    labels_each : int, optional
        Labelled images of each digit, >= 2; by default all of them.
    width : int
        Neurons of the student's inner layer, >= 1.

    Returns
    -------
    DistillationTask
        A seed draws 597 images to test on, which are labelled, the teacher, and first weights.

    Raises
    ------
    MissingExtraError
        If scikit-learn or torch is not installed.
    """
    torch = require("torch", "models")
    data = require("sklearn.datasets", "compression").load_digits()
    inputs = torch.tensor(data.data / 16.0, dtype=torch.float32)
    truth = torch.tensor(data.target, dtype=torch.int64)
    if labels_each is not None:
        checks.integer("labels_each", labels_each, at_least=2)

    def draw(seed: int) -> TaskDraw:
        order = np.random.default_rng(seed).permutation(len(truth))
        test, known = torch.tensor(order[:597]), torch.tensor(order[597:])
        labels = _few(truth[known], labels_each)
        have = labels != UNLABELLED
        examples = Examples(inputs=inputs[known], labels=labels)
        teacher = small_network(64, 10, width=256, layers=2, seed=seed)
        started = time.process_time()
        distill(teacher, examples.chosen(have), alpha=0.0, epochs=40, learning_rate=1e-3, seed=seed)
        took = time.process_time() - started
        with torch.inference_mode():
            said, inner = teacher(inputs).clone(), teacher.hidden(inputs).clone()
        taught = Examples(inputs=inputs[known], labels=labels, teacher_logits=said[known], teacher_hidden=inner[known])
        return TaskDraw(
            student=lambda: small_network(64, 10, width=width, seed=seed + 1),
            labelled=taught.chosen(have),
            everything=taught,
            truth=truth[known],
            test_inputs=inputs[test],
            test_labels=truth[test],
            teacher_right=said[test].argmax(1) == truth[test],
            linear_right=_linear_right(inputs[known][have], labels[have], inputs[test], truth[test]),
            teacher_training_s=took,
        )

    pair = small_network(64, 10, width=256, layers=2), small_network(64, 10, width=width)
    steps = [_answering(torch, network, inputs[:1]) for network in pair]
    name = "digits, all labels" if labels_each is None else f"digits, {labels_each} labels each"
    return DistillationTask(
        name=name, draw=draw, teacher_step=steps[0], student_step=steps[1], options=(("epochs", 150),)
    )


def support_task(
    labels_each: int = 5, *, embedder: Embedder | None = None, unlabelled: int | None = None, asked: int | None = None
) -> DistillationTask:
    """The book's support queries, few of them labelled: MiniLM's vectors with a linear classifier teach a sum of words.

    Parameters
    ----------
    labels_each : int
        Labelled queries of each of the 72 intents, >= 2, drawn from the parts ``train`` and ``calibration``.
    embedder : Embedder, optional
        Makes the teacher's vectors; by default the packaged MiniLM, which takes half a minute for all queries.
    unlabelled : int, optional
        At most so many further queries, without a label; by default all.
    asked : int, optional
        Roughly so many queries of the part ``test``, evenly taken, to measure accuracy on; by default all.

    Returns
    -------
    DistillationTask
        A seed draws the labels, and first weights.

    Raises
    ------
    MissingExtraError
        If scikit-learn, torch or the embedder's libraries are not installed.
    MissingModelError
        If the packaged model is not.
    InvalidValueError
        If a number is outside its domain.
    """
    torch = require("torch", "models")
    linear = require("sklearn.linear_model", "compression")
    checks.integer("labels_each", labels_each, at_least=2)
    embedder = PackagedMiniLm(batch=32) if embedder is None else embedder
    queries = support_queries()
    parts = [queries.split(name, in_scope=True) for name in ("train", "calibration", "test")]
    every = 1 if asked is None else max(1, len(parts[2]) // checks.integer("asked", asked, at_least=1))
    tested = parts[2][::every]
    known = [*parts[0], *parts[1]]
    numbers = {name: k for k, name in enumerate(sorted(queries.intents))}
    truth = torch.tensor([numbers[query.intent] for query in known])
    test_labels = torch.tensor([numbers[query.intent] for query in tested])
    most = None if unlabelled is None else checks.integer("unlabelled", unlabelled)
    words = torch.tensor(hashed_words([query.text for query in (*known, *tested)]))
    vectors = embedder.embed([query.text for query in (*known, *tested)])
    rows, classes = _counted(words), len(numbers)

    def draw(seed: int) -> TaskDraw:
        order = np.random.default_rng(seed).permutation(len(known))
        labels = torch.full_like(truth, UNLABELLED)
        labels[order] = _few(truth[order], labels_each)
        have = np.flatnonzero((labels != UNLABELLED).numpy())
        rest = [k for k in order.tolist() if labels[k] == UNLABELLED][:most]
        started = time.process_time()
        fitted = linear.LogisticRegression(C=FIT, max_iter=2000).fit(vectors[have], truth[have].numpy())
        took = time.process_time() - started
        said = torch.tensor(fitted.decision_function(vectors), dtype=torch.float32)
        chosen = torch.tensor([*have.tolist(), *rest])
        taught = Examples(
            inputs=words[chosen],
            labels=labels[chosen],
            teacher_logits=said[chosen],
            teacher_hidden=torch.tensor(vectors[chosen.numpy()]),
        )
        return TaskDraw(
            student=lambda: words_network(classes, seed=seed),
            labelled=taught.chosen(slice(len(have))),
            everything=taught,
            truth=truth[chosen],
            test_inputs=words[len(known) :],
            test_labels=test_labels,
            teacher_right=said[len(known) :].argmax(1) == test_labels,
            linear_right=_linear_right(rows[have], labels[have], rows[len(known) :], test_labels),
            teacher_training_s=took,
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
        options=(("epochs", 60), ("learning_rate", 0.01)),
    )


def _answering(torch: Any, network: Any, row: Any) -> Callable[[], object]:
    def step() -> object:
        with torch.inference_mode():
            return network(row)

    return step


def _few(truth: Any, each: int | None) -> Any:
    """The labels of the first `each` of every class; the others are unlabelled."""
    if each is None:
        return truth.clone()
    labels = truth.new_full(truth.shape, UNLABELLED)
    for label in truth.unique().tolist():
        which = (truth == label).nonzero().flatten()[:each]
        labels[which] = label
    return labels


def _linear_right(inputs: Any, labels: Any, test_inputs: Any, test_labels: Any) -> Any:
    linear = require("sklearn.linear_model", "compression")
    fitted = linear.LogisticRegression(max_iter=2000).fit(inputs, labels)
    return require("torch", "models").tensor(fitted.predict(test_inputs) == test_labels.numpy())


def _counted(words: Any) -> Any:
    """A sparse matrix of hashed words, rare ones weighted up, each row of length 1."""
    sparse = require("scipy.sparse", "compression")
    row, column = (words > 0).nonzero(as_tuple=True)
    counts = sparse.csr_matrix(
        (np.ones(len(row)), (row.numpy(), words[row, column].numpy())), shape=(len(words), BUCKETS + 1)
    )
    return require("sklearn.feature_extraction.text", "compression").TfidfTransformer().fit_transform(counts)
