import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from costlab.lessons import check, exercises as shipped, properties
from costlab.lessons.exercises import _exercises, digests_of
from costlab.lessons.properties import find_property
from tools.exercises import TARGET, Exercises, solutions_travel


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


JUDGED = [exercise for exercise in _exercises() if find_property(exercise)]
DIGESTED = [exercise for exercise in _exercises() if exercise not in JUDGED]


@pytest.mark.parametrize("exercise", DIGESTED)
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
    if exercise in DIGESTED and isinstance(
        solved["answer"], float
    ):  # a rounded answer falls into a neighbouring cell now and then
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
    result = check("1.3", function)
    assert result.status == status
    assert message in result.message


def test_unknown_exercise_lists_the_known() -> None:
    assert "there are 1.1" in check("1.99", 3).message


def test_a_mistake_may_not_equal_the_answer_or_another_mistake() -> None:
    exercises = Exercises()
    exercises.solve("9.1", 5, right="", hint="x", mistakes={"one": 5.001})
    with pytest.raises(ValueError, match="equals the answer"):
        exercises.toml()
    exercises = Exercises()
    exercises.solve("9.1", 5, right="", hint="x", mistakes={"one": 7, "two": 7})
    with pytest.raises(ValueError, match="two mistakes are the same"):
        exercises.toml()
    with pytest.raises(ValueError, match="solved twice"):
        exercises.solve("9.1", 5, right="", hint="x")


def exercise_9_7(answer: object) -> str | None:
    """An even number above ten: many answers are right."""
    number = answer(3) if callable(answer) else answer
    assert isinstance(number, int), "a whole number, please"
    if number <= 10:
        return f"{number} is not above ten."
    return None if number % 2 == 0 else f"{number} is odd."


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Exercises:
    """An exercise that a property judges, as it is shipped."""

    def find(exercise: str) -> Callable[[object], str | None] | None:
        return exercise_9_7 if exercise == "9.7" else None

    monkeypatch.setattr("tools.exercises.find_property", find)
    monkeypatch.setattr(shipped, "find_property", find)
    made = Exercises()
    made.solve("9.7", 12, right="Even and large.", mistakes={"3 is not above ten": 3}, probes=[[3]])
    rows = tomllib.loads(made.toml())
    monkeypatch.setattr(shipped, "_exercises", lambda: rows)
    return made


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (12, "right", "Exercise 9.7: right. Even and large."),
        (99_998, "right", "Even and large."),
        (lambda number: 4 * number, "right", "Even and large."),
        (13, "wrong", "not yet. 13 is odd."),
        (4, "wrong", "not yet. 4 is not above ten."),
        ("eleven", "wrong", "cannot be checked: AssertionError: a whole number, please"),
        (boom, "wrong", "cannot be checked: ZeroDivisionError"),
        (..., "unanswered", "not answered yet"),
        (None, "unanswered", "not answered yet"),
        (lambda number: ..., "unanswered", "not answered yet"),
    ],
)
def test_where_many_answers_are_right_a_property_judges(
    judged: Exercises, answer: object, status: str, message: str
) -> None:
    result = check("9.7", answer)
    assert result.status == status
    assert message in result.message


def test_a_judged_exercise_ships_no_digest_and_nothing_to_read(judged: Exercises) -> None:
    text = judged.toml()
    assert "digests =" not in text
    assert "Even and large" not in text
    assert "not above ten" not in text


def test_a_hint_belongs_to_digests_and_a_message_to_a_property(judged: Exercises) -> None:
    with pytest.raises(ValueError, match=r"9\.8: give a hint, or a property"):
        judged.solve("9.8", 12, right="")
    with pytest.raises(ValueError, match="not both"):
        Exercises().solve("9.7", 12, right="", hint="Larger.")


def test_properties_are_found_by_number_and_say_something_of_every_known_mistake(solutions: Exercises) -> None:
    assert find_property("99.1") is find_property("one") is find_property("../1.1") is None
    for name in sorted(path.stem for path in Path(properties.__file__).parent.glob("lesson_*.py")):
        module = import_module(f"{properties.__name__}.{name}")
        for function in (one for one in vars(module) if one.startswith("exercise_")):
            exercise = ".".join(function.split("_")[1:])
            assert int(exercise.split(".")[0]) == int(name[-2:])
            assert exercise in solutions.solved, f"{function} judges an exercise without a solution"


@pytest.fixture
def travelling(judged: Exercises, monkeypatch: pytest.MonkeyPatch) -> Exercises:
    """Two exercises with a worked solution each, one of them graded, shipped for those who learn by themselves."""
    judged.solve("9.1", 5.0, right="So it is.", hint="Count.")
    judged.solve("9.2", 6.0, right="So it is.", hint="Count.")
    judged.worked = {"9.7": "Double six.", "9.1": "Two and three.\n\nanswer = 2 + 3", "9.2": "Three and three."}
    judged.graded = {"9.2"}
    rows = tomllib.loads(judged.toml(travel=True))
    monkeypatch.setattr(shipped, "_exercises", lambda: rows)
    monkeypatch.setattr(shipped, "_WRONG", {})
    return judged


def test_a_worked_solution_unfolds_after_two_wrong_answers_that_were_checked(travelling: Exercises) -> None:
    unanswered: tuple[object, ...] = (..., None, {}, boom)
    for unchecked in unanswered:
        assert "worked" not in check("9.1", unchecked).message
    assert "worked" not in check("9.1", 3).message
    assert "worked" not in check("9.1", 3).message  # the same answer again is no second try
    told = check("9.1", 4)
    assert told.status == "wrong"
    assert told.message.endswith("Count.\n\nA worked solution:\n\nTwo and three.\n\nanswer = 2 + 3")
    assert "worked" not in check("9.1", 5).message
    assert "worked" not in check("9.7", 3).message
    assert check("9.7", 13).message.endswith("13 is odd.\n\nA worked solution:\n\nDouble six.")


def test_a_graded_exercise_never_shows_its_solution(travelling: Exercises) -> None:
    assert all("worked" not in check("9.2", wrong).message for wrong in (1, 2, 3, 4))


def test_solutions_that_travel_cannot_be_read_and_the_default_ships_none(travelling: Exercises) -> None:
    open_, closed = travelling.toml(travel=True), travelling.toml(travel=False)
    assert open_.count("worked = ") == 2
    assert "worked" not in closed
    assert not [text for text in travelling.worked.values() if text.splitlines()[0] in open_]


def test_the_switch_is_off_and_solutions_stay_at_home(tmp_path: Path) -> None:
    assert solutions_travel() is False
    assert "worked = " not in TARGET.read_text()
    course = tmp_path / "course.toml"
    course.write_text("[solutions]\ntravel = true\n")
    assert solutions_travel(course) is True


def test_every_exercise_has_a_worked_solution_and_the_capstone_is_graded(solutions: Exercises) -> None:
    assert set(solutions.worked) == set(solutions.solved)
    assert all(len(text) > 40 for text in solutions.worked.values())
    (capstone,) = {path.stem[:2] for path in (Path(__file__).parents[2] / "notebooks").glob("*_capstone.ipynb")}
    assert solutions.graded == {name for name in solutions.solved if int(name.split(".")[0]) == int(capstone)}
    open_ = tomllib.loads(solutions.toml(travel=True))
    assert {name for name, row in open_.items() if "worked" in row} == set(solutions.solved) - solutions.graded
