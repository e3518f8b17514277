import os
import platform
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from costlab.compression import UNLABELLED, digits_task, distill, support_task
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_digits_with_all_labels_have_nothing_to_gain() -> None:
    needs.extra("sklearn", "compression")
    needs.extra("torch", "models")
    draw = digits_task().draw(0)
    assert len(draw.labelled) == len(draw.everything) == 1200
    assert float(draw.teacher_right.float().mean()) > 0.94
    few = digits_task(3).draw(1)
    assert len(few.labelled) == 30
    assert sorted(few.labelled.labels.tolist()) == sorted([*range(10)] * 3)


PRUNED_ANSWERS = """
import hashlib, torch
from costlab.compression import digits_task, distill, prune, small_network

torch.set_num_threads(1)
draw = digits_task(dtype=torch.float64).draw(0)
network = small_network(64, 10, width=256, layers=2, seed=1).double()
distill(network, draw.labelled, alpha=0.0, epochs=30, patience=30, learning_rate=1e-3)
answers = prune(network.hidden, 0.9, in_place=True) and network(draw.test_inputs).argmax(1)
print(torch.backends.cpu.get_cpu_capability(), hashlib.sha256(answers.numpy().tobytes()).hexdigest())
"""


def test_in_64_bits_training_ends_with_the_same_answers_whatever_the_processor_can() -> None:
    """Lesson 5 prints such numbers; in 32 bits they changed with the kernels that torch chose for the machine."""
    needs.extra("sklearn", "compression")
    needs.extra("torch", "models")
    told = {}
    for capability in ("default", "avx2", "avx512"):
        command = [sys.executable, "-c", PRUNED_ANSWERS]
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
        used, digest = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        told[used] = digest
    assert len(set(told.values())) == 1, told
    if platform.machine() == "x86_64":
        assert len(told) >= 2  # of those that this processor has


class Knowing:
    """Vectors that tell the intents apart, without a model."""

    name = "knowing"
    dimensions = 72

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        intents = {query.text: query.intent for query in support_queries().queries}
        order = {name: k for k, name in enumerate(sorted(support_queries().intents))}
        vectors = np.zeros((len(texts), 72), dtype=np.float32)
        for k, text in enumerate(texts):
            vectors[k, order[intents[text]]] = 1.0
        return vectors


def test_support_queries_teach_what_the_vectors_know() -> None:
    for module in ("sklearn", "torch", "scipy"):
        needs.extra(module, "compression")
    task = support_task(2, embedder=Knowing(), unlabelled=600, n_test=100)
    draw = task.draw(0)
    assert (len(draw.labelled), len(draw.everything)) == (144, 744)
    assert int((draw.everything.labels != UNLABELLED).sum()) == 144
    assert bool(draw.teacher_right.all())
    assert 100 <= len(draw.test_labels) <= 120
    student = draw.student()
    distill(student, draw.everything, epochs=10, learning_rate=0.03)
    learnt = float((student(draw.test_inputs).argmax(1) == draw.test_labels).float().mean())
    assert learnt > 5 / 72
    task.teacher_step()
    task.student_step()


def test_bad_input() -> None:
    needs.extra("torch", "models")
    needs.extra("sklearn", "compression")
    with pytest.raises(InvalidValueError, match="labels_each must be a whole number >= 2, got 1"):
        digits_task(1)
    with pytest.raises(InvalidValueError, match="labels_each must be a whole number >= 2, got 1"):
        support_task(1, embedder=Knowing())
