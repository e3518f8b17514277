"""What the break-it exercise of lesson 10 accepts: any pair that breaks the rule, and nothing else."""

import pytest

from costlab.lessons.properties.lesson_10 import exercise_10_3


@pytest.mark.parametrize("answer", [(0.95, 0.1), (1, 0.01), [0.9, 0.2]])
def test_pairs_for_which_a_batch_is_more_expensive(answer: object) -> None:
    assert exercise_10_3(answer) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((0.9, 0.9), "still saves 28.6%"),
        ((0.1, 0.05), "still saves"),
        ((0.9, 0), "Both are shares above 0"),
        ((90, 10), "Both are shares above 0"),
        (0.9, "Give two shares"),
    ],
)
def test_what_is_wrong_with_others_is_said(answer: object, said: str) -> None:
    assert said in (exercise_10_3(answer) or "")
