"""Quizzes: their form, the rules that they keep, and that each lesson which is done has its own."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.lessons import quiz
from costlab.lessons.questions import parse_quiz, quiz_names

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))

CHOICES = """
[[question.choice]]
text = "one"
why = "Too few."
[[question.choice]]
text = "`n` < two"
why = "As *counted*."
right = true
[[question.choice]]
text = "three"
why = "Too many."
"""
GOOD = f'[[question]]\ntext = "How many?"\n{CHOICES}' * 5


@pytest.mark.parametrize("lesson", quiz_names())
def test_every_quiz_keeps_the_rules(lesson: str) -> None:
    found = quiz(lesson)
    assert len(found.questions) == 5
    for question in found.questions:
        assert 3 <= len(question.choices) <= 4
        assert sum(choice.right for choice in question.choices) == 1
        assert all(len(choice.why) >= 20 for choice in question.choices), "a reason is a sentence"
    places = {[choice.right for choice in question.choices].index(True) for question in found.questions}
    assert len(places) > 1, "the right choice always has the same letter"


def test_every_lesson_that_is_done_has_a_quiz_and_every_quiz_a_lesson() -> None:
    assert set(quiz_names().values()) == set(LESSONS)


class Outline(HTMLParser):
    """The tags of a page, and what each unfolding part shows while it is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.summaries: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name != "class"], "no script, no style, nothing opened beforehand"

    def handle_data(self, data: str) -> None:
        if "summary" in self.tags[-2:] and self.tags[-1] in ("summary", "code"):
            self.summaries.append(data)


def test_html_folds_each_reason_behind_its_choice() -> None:
    html = parse_quiz("99", GOOD)._repr_html_()
    found = Outline(re.sub(r"<style>.*?</style>", "", html, flags=re.S))
    assert found.tags.count("details") == found.tags.count("summary") == 15
    assert found.tags.count("li") == 5
    assert "script" not in found.tags
    assert "a) one" in found.summaries
    assert html.count("<summary>b) <code>n</code> &lt; two</summary><p>Right. As *counted*.</p>") == 5


def test_text_shows_questions_and_choices_and_keeps_the_answers_apart() -> None:
    found = parse_quiz("99", GOOD)
    assert repr(found).startswith("1. How many?\n   a) one\n   b) `n` < two\n   c) three\n2. How many?")
    assert repr(found).endswith('The answers, with reasons: print(quiz("99").answers)')
    assert "Too few" not in repr(found)
    assert found.answers.startswith("1a) Wrong. Too few.\n1b) Right. As *counted*.\n1c) Wrong. Too many.\n2a)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("", ""), None),
        ((GOOD, ""), "quiz 99 must be a list of 5 questions, got 0"),
        (("right = true", ""), "question 1 must be given one right choice, got 0"),
        (('"Too few."', '"Too few."\nright = true'), "question 1 must be given one right choice, got 2"),
        (('why = "Too many."', ""), "question 1: why must be a text, got ''"),
        (('text = "How many?"', 'text = " "'), "question 1: text must be a text"),
        (('why = "Too many."', 'wy = "Too many."'), "choice must be made of right, text, why, got ['wy']"),
        (('text = "three"', 'text = "one"'), "question 1 must be given choices that differ"),
        ((CHOICES, ""), "question 1 must be given 3 to 4 choices, got 0"),
        (('text = "How many?"', 'text = "How many?"\nhint = "x"'), "must be made of choice, text, got ['hint']"),
    ],
)
def test_a_quiz_that_breaks_a_rule_is_refused(change: tuple[str, str], said: str | None) -> None:
    text = GOOD.replace(*change) if all(change) or change[0] else GOOD
    if said is None:
        assert parse_quiz("99", text).lesson == "99"
        return
    with pytest.raises(InvalidValueError, match=re.escape(said)):
        parse_quiz("99", text)


def test_an_unknown_lesson_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown quiz '77'"):
        quiz("77")
