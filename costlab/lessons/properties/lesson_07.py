"""Lesson 7: a cascade that a stricter threshold makes worse."""

from __future__ import annotations

from typing import Any

_LEAST, _MOST = 2, 8


def exercise_7_4(answer: Any) -> str | None:
    """Questions and two thresholds, of which the stricter one gives fewer right answers."""
    questions, lower, stricter = answer
    asked = [(float(confidence), bool(small), bool(large)) for confidence, small, large in questions]
    if not _LEAST <= len(asked) <= _MOST:
        return f"Give {_LEAST} to {_MOST} questions."
    if not all(0 <= confidence <= 1 for confidence, _, _ in asked):
        return "A confidence is a number from 0 to 1."
    if not lower < stricter:
        return "Give the lower threshold first, and the stricter one after it."
    if sum(large for _, _, large in asked) <= sum(small for _, small, _ in asked):
        return "Over all your questions the large tier must be right more often than the small one."
    right = [
        sum(small if confidence > threshold else large for confidence, small, large in asked)
        for threshold in (lower, stricter)
    ]
    if right[1] < right[0]:
        return None
    return (
        f"{right[0]} answers are right with the lower threshold and {right[1]} with the stricter one. "
        "Which right answer could a stricter threshold throw away?"
    )
