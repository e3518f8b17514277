import math
from dataclasses import replace
from typing import Any

import pytest

from costlab.compression import (
    UNLABELLED,
    Examples,
    Training,
    distill,
    distillation_loss,
    hashed_words,
    small_network,
    words_network,
)
from costlab.errors import InvalidValueError, UnknownNameError
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def torch_library() -> Any:
    needs.extra("torch", "models")
    import torch

    return torch


def spiral(n: int = 300, labelled: int = 20) -> Examples:
    """Points of two classes that a ring divides, few of them labelled, and a teacher that knows the ring."""
    torch = torch_library()
    points = torch.randn(n, 2, generator=torch.Generator().manual_seed(3))
    outside = points.norm(dim=1, keepdim=True) - 1.2
    labels = (outside.flatten() > 0).long()
    labels[labelled:] = UNLABELLED
    return Examples(
        inputs=points,
        labels=labels,
        teacher_logits=torch.cat([-5 * outside, 5 * outside], 1),
        teacher_hidden=torch.cat([points.square(), outside], 1),
    )


def agreement(student: Any, examples: Examples) -> float:
    assert examples.teacher_logits is not None
    same = student(examples.inputs).argmax(1) == examples.teacher_logits.argmax(1)
    return float(same.float().mean())


def test_the_loss_is_hintons() -> None:
    # By hand: T = 2, teacher (2, 0) -> softmax(1, 0), student (0, 0) -> a half each.
    torch = torch_library()
    p = math.exp(1) / (1 + math.exp(1))
    divergence = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    one = Examples(inputs=torch.zeros(1, 1), labels=torch.tensor([1]), teacher_logits=torch.tensor([[2.0, 0.0]]))
    logits = torch.zeros(1, 2)
    assert float(distillation_loss(logits, one, temperature=2.0)) == pytest.approx(4 * divergence, rel=1e-5)
    mixed = float(distillation_loss(logits, one, temperature=2.0, alpha=0.25))
    assert mixed == pytest.approx(divergence + 0.75 * math.log(2), rel=1e-5)
    assert float(distillation_loss(logits, one, targets="argmax")) == pytest.approx(math.log(2), rel=1e-5)


def test_the_temperature_hardly_moves_the_size_of_the_gradient() -> None:
    # Hinton et al., section 2: at high temperature the gradient falls as 1/T^2, which the factor undoes.
    torch = torch_library()
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(64, 10, generator=generator)
    examples = Examples(inputs=teacher, labels=torch.full((64,), UNLABELLED), teacher_logits=teacher)
    sizes = []
    for temperature in (10.0, 100.0):
        logits = torch.zeros(64, 10, requires_grad=True)
        distillation_loss(logits, examples, temperature=temperature).backward()
        sizes.append(float(logits.grad.norm()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_the_unlabelled_count_for_nothing_without_a_teacher() -> None:
    torch = torch_library()
    examples = spiral(40, labelled=10)
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    alone = distillation_loss(logits[:10], examples.chosen(slice(10)), alpha=0.0)
    assert float(distillation_loss(logits, examples, alpha=0.0)) == float(alone)
    nobody = examples.chosen(slice(10, 40))
    assert float(distillation_loss(logits[10:], nobody, alpha=0.0)) == 0.0


def test_a_student_of_a_teacher_beats_one_of_few_labels() -> None:
    examples = spiral()
    alone, taught = (small_network(2, 2, width=16, seed=0) for _ in range(2))
    distill(alone, examples.chosen(slice(20)), alpha=0.0, epochs=100, patience=20)
    distill(taught, examples, alpha=0.9, epochs=100, patience=20)
    assert agreement(taught, examples) > 0.95
    assert agreement(taught, examples) > agreement(alone, examples) + 0.05


def test_a_seed_decides_everything_and_touches_nothing_else() -> None:
    torch = torch_library()
    examples = spiral(100)

    def weights(seed: int) -> tuple[list[Any], Training]:
        student = small_network(2, 2, width=4, seed=7)
        training = distill(student, examples, epochs=5, seed=seed, hidden_weight=0.5)
        return [w.detach().clone() for w in student.parameters()], training

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    (first, how), (again, how_again), (other, _) = weights(1), weights(1), weights(2)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert how == how_again
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_training_ends_when_nothing_gets_better_and_keeps_the_best() -> None:
    examples = spiral(100)
    student = small_network(2, 2, width=8)
    training = distill(student, examples, epochs=400, learning_rate=0.05, patience=3)
    assert training.stopped_early
    assert len(training.losses) < 400
    assert training.losses[training.best_epoch] == min(training.losses)
    assert training.steps == 2 * len(training.losses)
    assert not student.training
    short = distill(small_network(2, 2), examples, epochs=2)
    assert (short.stopped_early, len(short.losses)) == (False, 2)


def test_validation_decides_which_weights_are_kept() -> None:
    examples = spiral(100)
    held = examples.chosen(slice(80, 100))
    student = small_network(2, 2, width=8)
    training = distill(student, examples.chosen(slice(80)), validation=held, epochs=10)
    again = float(distillation_loss(student(held.inputs), held).detach())
    assert again == pytest.approx(training.losses[training.best_epoch], rel=1e-5)


def test_the_inner_state_comes_nearer_to_the_teachers() -> None:
    torch = torch_library()
    examples = spiral()

    def left_over(hidden_weight: float) -> float:
        student: Any = small_network(2, 2, width=8, seed=3)
        distill(student, examples, hidden_weight=hidden_weight, epochs=60, patience=60)
        with torch.no_grad():
            inner = torch.cat([student.hidden(examples.inputs), torch.ones(300, 1)], 1)
        # Neurons that never fire leave the fit without a unique answer; this driver then takes the shortest.
        found = torch.linalg.lstsq(inner, examples.teacher_hidden, rcond=1e-4, driver="gelsd").solution
        return float((inner @ found - examples.teacher_hidden).square().mean())

    assert left_over(5.0) < 0.8 * left_over(0.0)


def test_the_bar_shows_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_library()
    shown: list[str] = []
    monkeypatch.setattr("rich.progress.Progress.update", lambda *_, **change: shown.append(change["description"]))
    distill(small_network(2, 2), spiral(40), epochs=2, progress=True)
    assert [line.split(",")[0] for line in shown] == ["epoch 1", "epoch 2"]


def test_words_are_numbers_that_do_not_depend_on_company() -> None:
    alone = hashed_words(["Where is my FILE?"])[0]
    among = hashed_words(["Where is my file", "a much longer text with many more words than that"])[0]
    assert set(alone) == set(among) - {0}
    assert len(alone) == 7  # four words and three pairs
    assert hashed_words([""]).tolist() == [[0]]
    torch = torch_library()
    network = words_network(3, width=4)
    said = network(torch.tensor(hashed_words(["where is my file", "a much longer text with many more words"])))
    assert torch.allclose(said[0], network(torch.tensor(hashed_words(["where is my file"])))[0])


def test_bad_input() -> None:
    torch = torch_library()
    examples = spiral(40)
    student = small_network(2, 2)
    with pytest.raises(InvalidValueError, match="temperature must be a number > 0, got 0"):
        distill(student, examples, temperature=0)
    with pytest.raises(InvalidValueError, match="alpha must be a fraction >= 0 and <= 1, got 2"):
        distill(student, examples, alpha=2)
    with pytest.raises(UnknownNameError, match="unknown targets 'hard'; known: soft, argmax"):
        distill(student, examples, targets="hard")
    plain = replace(examples, teacher_logits=None, teacher_hidden=None)
    with pytest.raises(InvalidValueError, match=r"alpha must be 0 without a teacher, got 0\.5"):
        distill(student, plain, alpha=0.5)
    with pytest.raises(InvalidValueError, match=r"hidden_weight must be 0 without inner states of both, got 1\.0"):
        distill(student, plain, alpha=0.0, hidden_weight=1.0)
    with pytest.raises(InvalidValueError, match="examples must be not empty, got 0"):
        distill(student, examples.chosen(slice(0)))
    with pytest.raises(InvalidValueError, match="epochs must be a whole number >= 1, got 0"):
        distill(student, examples, epochs=0)
    with pytest.raises(InvalidValueError, match="labels must be as many as the inputs, 40, got 3"):
        Examples(inputs=examples.inputs, labels=torch.zeros(3))
    with pytest.raises(InvalidValueError, match="learning_rate must be smaller: the loss of epoch 1 is no number"):
        distill(student, replace(examples, inputs=examples.inputs * math.nan))
    with pytest.raises(InvalidValueError, match="width must be a whole number >= 1, got 0"):
        small_network(2, 2, width=0)
