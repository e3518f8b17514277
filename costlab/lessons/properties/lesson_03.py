"""Lesson 3: a cheap student, little worse than its teacher, that costs more all the same."""

from __future__ import annotations

from costlab.lessons.properties import numbers_in


def exercise_3_5(answer: object) -> str | None:
    """Prices of a request with teacher and student, the share lost and the price of a wrong answer."""
    numbers = numbers_in(answer)
    if len(numbers) != 4:
        return "It takes a list of four numbers: teacher, student, share lost, price of a wrong answer."
    teacher_usd, student_usd, lost_fraction, wrong_usd = numbers
    if not (0 < teacher_usd < float("inf") and student_usd >= 0):
        return "The teacher's price must be above zero and finite, and the student's not negative."
    if not student_usd <= 0.1 * teacher_usd * (1 + 1e-9):
        return "The student may cost at most a tenth of the teacher."
    if not 0 <= lost_fraction <= 0.02:
        return "The share of right answers lost is at least 0 and at most 0.02."
    if not 0 <= wrong_usd <= 0.25:
        return "A wrong answer costs at least 0 and at most 0.25 dollars."
    saved_usd, spoilt_usd = teacher_usd - student_usd, lost_fraction * wrong_usd
    if spoilt_usd <= saved_usd:
        return f"A request saves {saved_usd:.4g} and loses {spoilt_usd:.4g} dollars: the student still saves."
    return None
