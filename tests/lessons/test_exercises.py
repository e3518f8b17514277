from collections.abc import Callable
from typing import Any

import pytest

from costlab.lessons import check
from costlab.lessons.exercises import _exercises, digests_of
from tools.exercises import TARGET, Exercises


def test_shipped_checks_are_made_from_the_solutions(solutions: Exercises) -> None:
    assert TARGET.read_text() == solutions.toml(), "run make exercises"


@pytest.mark.parametrize("exercise", _exercises())
def test_solution_passes_and_stub_does_not(solutions: Exercises, exercise: str) -> None:
    solved = solutions.solved[exercise]
    assert check(exercise, solved["answer"]).status == "right"
    assert check(exercise).status == "unanswered"
    assert check(exercise, None).status == "unanswered"
    assert check(exercise, lambda *_: ...).status != "right"
    assert check(exercise, 0).status == "wrong"


@pytest.mark.parametrize("exercise", _exercises())
def test_typical_mistakes_get_their_own_hint(solutions: Exercises, exercise: str) -> None:
    mistakes = solutions.solved[exercise]["mistakes"]
    assert mistakes
    for hint, wrong in mistakes.items():
        result = check(exercise, wrong)
        assert result.status == "wrong"
        assert hint in result.message


@pytest.mark.parametrize("exercise", _exercises())
def test_an_answer_without_a_known_mistake_gets_the_general_hint(solutions: Exercises, exercise: str) -> None:
    solved = solutions.solved[exercise]
    wrong: object = (lambda *_: "no answer") if solved["probes"] else "no answer"
    assert solved["hint"]
    assert check(exercise, wrong).message.endswith(solved["hint"])


@pytest.mark.parametrize("exercise", _exercises())
def test_only_the_answer_opens_what_is_told_to_whoever_is_right(solutions: Exercises, exercise: str) -> None:
    solved = solutions.solved[exercise]
    assert solved["right"]
    assert check(exercise, solved["answer"]).message.endswith(f"right. {solved['right']}")
    assert solved["right"] not in TARGET.read_text()
    if isinstance(solved["answer"], float):  # a rounded answer falls into a neighbouring cell now and then
        for near in (0.998, 0.999, 1.001, 1.002):
            assert check(exercise, near * solved["answer"]).message.endswith(solved["right"])


def test_package_holds_digests_not_answers(solutions: Exercises) -> None:
    shipped = TARGET.read_text()
    for solved in solutions.solved.values():
        answer = solved["answer"]
        if isinstance(answer, float):
            assert not any(f"{answer:.{digits}f}" in shipped for digits in (2, 3, 4))


def test_rounded_answers_are_right() -> None:
    exact = digests_of("9.9", 5817.6)[0]
    for near in (5817.6, 5817.59, 5820, 5800.0, 5.8176e3):
        assert exact[0] in digests_of("9.9", near)[0]
    for far in (5700, 5900, -5817.6, 581.76):
        assert exact[0] not in digests_of("9.9", far)[0]


def boom(*_: object) -> float:
    raise ZeroDivisionError("float division by zero")


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (..., "unanswered", "not answered yet"),
        ("eleven", "wrong", "not yet"),
        ([1, 2], "wrong", "not yet"),
        ({}, "wrong", "cannot be checked: TypeError"),
        (float("nan"), "wrong", "not yet"),
        (float("inf"), "wrong", "not yet"),
        (True, "wrong", "not yet"),
    ],
)
def test_check_never_raises(answer: object, status: str, message: str) -> None:
    result = check("1.1", answer)
    assert result.status == status
    assert message in repr(result)


@pytest.mark.parametrize(
    ("function", "status", "message"),
    [
        (boom, "wrong", "ZeroDivisionError: float division by zero"),
        (lambda: 1.0, "wrong", "TypeError"),
        (lambda *_: ..., "unanswered", "not answered yet"),
        (lambda *_: "a lot", "wrong", "not yet"),
        (3.0, "wrong", "the answer must be a function"),
    ],
)
def test_functions_are_tried_and_never_raise(function: Callable[..., Any] | float, status: str, message: str) -> None:
    result = check("1.5", function)
    assert result.status == status
    assert message in result.message


def test_unknown_exercise_lists_the_known() -> None:
    assert "there are 1.1" in check("1.99", 3).message


def test_a_mistake_may_not_equal_the_answer_or_another_mistake() -> None:
    exercises = Exercises()
    exercises.solve("9.1", 5, right="", hint="", mistakes={"one": 5.001})
    with pytest.raises(ValueError, match="equals the answer"):
        exercises.toml()
    exercises = Exercises()
    exercises.solve("9.1", 5, right="", hint="", mistakes={"one": 7, "two": 7})
    with pytest.raises(ValueError, match="two mistakes are the same"):
        exercises.toml()
    with pytest.raises(ValueError, match="solved twice"):
        exercises.solve("9.1", 5, right="", hint="")
