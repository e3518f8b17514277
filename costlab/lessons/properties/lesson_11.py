"""Exercises of lesson 11 that have many right answers."""

from __future__ import annotations

from costlab.serving import roofline, speculation_speedup


def exercise_11_2(answer: object) -> str | None:
    """A batch, a chance above one half and a number of guesses with which guessing makes the server slower."""
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        return "Give a tuple of three: batch, chance that a guess is right, number of guesses."
    batch, chance, guesses = answer
    if not isinstance(batch, int) or not 1 <= batch <= 512:
        return "The batch is a whole number from 1 to 512."
    if not isinstance(chance, int | float) or not 0.5 < chance <= 1:
        return "The rule is about guesses that are right more often than not: a chance above 0.5, and at most 1."
    if not isinstance(guesses, int) or not 1 <= guesses <= 16:
        return "The number of guesses is a whole number from 1 to 16."
    speed = speculation_speedup(roofline("Llama-3.1-8B", "H100"), batch, 500, chance, guesses)
    if speed < 1:
        return None
    return f"There the server is {speed:.2f} times as fast as without guesses. When has it no arithmetic to spare?"
