"""The quiz at the end of a lesson: five questions, and the reason for or against each choice.

As HTML, each choice unfolds its reason by mouse or keyboard without JavaScript, in a notebook, in Colab and on the
site. As text it shows questions and choices, and ``answers`` the rest. Its questions are files in
``costlab/lessons/quizzes``, named as their lessons are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from textwrap import fill
from typing import Any, Final

from costlab.errors import InvalidValueError, UnknownNameError

QUESTIONS: Final = 5
LEAST_CHOICES, MOST_CHOICES = 3, 4
_LETTERS: Final = "abcd"

#: Colours are those of the page around it, light or dark.
_STYLE: Final = """
.costlab-quiz > li { margin: 0 0 1.2em; }
.costlab-quiz p { margin: 0 0 0.4em; }
.costlab-quiz details { margin: 0.3em 0; padding: 0.35em 0.7em; border: 1px solid currentColor; border-radius: 5px; }
.costlab-quiz details[open] { border-width: 1px 1px 1px 5px; }
.costlab-quiz summary { cursor: pointer; }
.costlab-quiz details p { margin: 0.4em 0 0.1em; }
@media print { .costlab-quiz > li { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer that a question offers.

    Attributes
    ----------
    text : str
        The answer.
    why : str
        Why it is right or wrong.
    right : bool
        Whether it is right.
    """

    text: str
    why: str
    right: bool = False

    @property
    def verdict(self) -> str:
        """The reason, after "Right" or "Wrong"."""
        return f"{'Right' if self.right else 'Wrong'}. {self.why}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with three or four choices, one of them right.

    Attributes
    ----------
    text : str
        What is asked.
    choices : tuple of Choice
        In the order shown.
    """

    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Quiz:
    """The questions of a lesson; a notebook shows them as a list in which each choice unfolds its reason.

    Attributes
    ----------
    lesson : str
        Its number: ``"04"``.
    questions : tuple of Question
        Five of them.
    """

    lesson: str
    questions: tuple[Question, ...]

    def __repr__(self) -> str:
        """Questions and choices as text, without saying which is right."""
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(_wrapped(f"{number}. {question.text}", "   "))
            for letter, choice in zip(_LETTERS, question.choices, strict=False):
                lines.append(_wrapped(f"   {letter}) {choice.text}", "      "))
        return "\n".join([*lines, f'The answers, with reasons: print(quiz("{self.lesson}").answers)'])

    @property
    def answers(self) -> str:
        """Each choice's verdict and reason as text."""
        lines = []
        for number, question in enumerate(self.questions, 1):
            for letter, choice in zip(_LETTERS, question.choices, strict=False):
                lines.append(_wrapped(f"{number}{letter}) {choice.verdict}", "    "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The list for notebooks and for the site; a choice opens by mouse and by keyboard, without JavaScript."""
        items = ""
        for question in self.questions:
            choices = "".join(
                f"<details><summary>{letter}) {_inline(choice.text)}</summary>"
                f"<p>{_inline(choice.verdict)}</p></details>"
                for letter, choice in zip(_LETTERS, question.choices, strict=False)
            )
            items += f"<li><p>{_inline(question.text)}</p>{choices}</li>"
        return f'<style>{_STYLE}</style><ol class="costlab-quiz">{items}</ol>'


def quiz(lesson: str) -> Quiz:
    """The quiz of a lesson.

    Parameters
    ----------
    lesson : str
        Number of the lesson, with two digits: ``"04"``.

    Returns
    -------
    Quiz
        In a notebook, as the last expression of a cell, it shows itself.

    Raises
    ------
    UnknownNameError
        If there is no quiz of that lesson.
    InvalidValueError
        If its file breaks a rule: five questions, three or four choices each, one of them right, all explained.

    Examples
    --------
    How many choices has the first question of lesson 1?

    >>> len(quiz("01").questions[0].choices)
    3
    """
    names = quiz_names()
    if lesson not in names:
        raise UnknownNameError("quiz", lesson, names)
    return _read(lesson, names[lesson])


def quiz_names() -> dict[str, str]:
    """The file names, without suffix, of all quizzes by number of the lesson."""
    found = sorted(path.name for path in (files("costlab.lessons") / "quizzes").iterdir())
    return {name[:2]: name.removesuffix(".toml") for name in found if name.endswith(".toml")}


@cache
def _read(lesson: str, name: str) -> Quiz:
    text = (files("costlab.lessons") / "quizzes" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_quiz(lesson, text)


def parse_quiz(lesson: str, text: str) -> Quiz:
    """A quiz from the TOML of its file, if it keeps the rules.

    Parameters
    ----------
    lesson : str
        Number of the lesson.
    text : str
        Tables ``[[question]]`` with ``text``, and ``[[question.choice]]`` with ``text``, ``why`` and, for the right
        one, ``right = true``.

    Raises
    ------
    InvalidValueError
        If it breaks a rule.
    """
    rows = tomllib.loads(text).get("question", [])
    if len(rows) != QUESTIONS:
        raise InvalidValueError(f"quiz {lesson}", f"a list of {QUESTIONS} questions", len(rows))
    return Quiz(
        lesson, tuple(_question(f"quiz {lesson}, question {number}", row) for number, row in enumerate(rows, 1))
    )


def _question(where: str, row: Mapping[str, Any]) -> Question:
    _known(where, row, {"text", "choice"})
    rows = row.get("choice", [])
    if not LEAST_CHOICES <= len(rows) <= MOST_CHOICES:
        raise InvalidValueError(where, f"given {LEAST_CHOICES} to {MOST_CHOICES} choices", len(rows))
    for one in rows:
        _known(f"{where}, choice", one, {"text", "why", "right"})
    choices = tuple(
        Choice(_said(where, one, "text"), _said(where, one, "why"), one.get("right", False) is True) for one in rows
    )
    if (right := sum(choice.right for choice in choices)) != 1:
        raise InvalidValueError(where, "given one right choice", right)
    if len({choice.text for choice in choices}) < len(choices):
        raise InvalidValueError(where, "given choices that differ", [choice.text for choice in choices])
    return Question(_said(where, row, "text"), choices)


def _known(where: str, row: Mapping[str, Any], names: set[str]) -> None:
    if unknown := sorted(row.keys() - names):
        raise InvalidValueError(where, f"made of {', '.join(sorted(names))}", unknown)


def _said(where: str, row: Mapping[str, Any], name: str) -> str:
    text = row.get(name, "")
    if not isinstance(text, str) or not text.strip():
        raise InvalidValueError(f"{where}: {name}", "a text", text)
    return " ".join(text.split())


def _wrapped(text: str, indent: str) -> str:
    return fill(text, 100, subsequent_indent=indent, break_on_hyphens=False)


def _inline(text: str) -> str:
    """Plain text as HTML; what is between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
