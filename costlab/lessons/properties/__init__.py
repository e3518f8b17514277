"""Exercises with many right answers: for each, a function that says what is wrong with an answer, or None.

Exercise 4.7 is held by ``exercise_4_7(answer) -> str | None`` in ``lesson_04.py`` of this folder. `check` calls it; an
exception counts as an answer that cannot be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from numbers import Real


def find_property(exercise: str) -> Callable[[object], str | None] | None:
    """The function that judges answers of an exercise, if it has one.

    Parameters
    ----------
    exercise : str
        Its number: ``"4.7"``.
    """
    number = re.fullmatch(r"(\d+)\.(\d+)", exercise)
    if number is None:
        return None
    module = f"{__name__}.lesson_{int(number[1]):02d}"
    if find_spec(module) is None:
        return None
    found: Callable[[object], str | None] | None = getattr(
        import_module(module), f"exercise_{number[1]}_{number[2]}", None
    )
    return found


def numbers_in(answer: object) -> list[float]:
    """The numbers of an answer that is a list, a tuple or the like; none of any other answer."""
    if not isinstance(answer, Iterable) or isinstance(answer, str):
        return []
    return [float(one) for one in answer if isinstance(one, Real)]
