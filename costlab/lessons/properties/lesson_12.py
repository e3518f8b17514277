"""Lesson 12: the capstone."""

from __future__ import annotations

from functools import cache
from typing import Any

from costlab.capstone import TODAY, Plan, RequestLog, request_log, score
from costlab.capstone.scoring import Score

#: What a lever must save alone, in USD a month; and how much of the sum two may save together at most.
LEAST_USD = 500.0
MOST_FRACTION = 0.9


@cache
def _log() -> RequestLog:
    return request_log()


@cache
def _today() -> Score:
    return score(TODAY, _log())


def _saved_usd(plan: Plan) -> float:
    return _today().usd_per_month - score(plan, _log()).usd_per_month


def exercise_12_4(answer: Any) -> str | None:
    """Two levers that save together less than they save one by one."""
    if not (isinstance(answer, tuple | list) and len(answer) == 2 and all(callable(lever) for lever in answer)):
        return "Give two functions, each from a plan to a plan: (give_back, stop_loops)."
    first, second = answer
    plans = first(TODAY), second(TODAY), second(first(TODAY))
    if not all(isinstance(plan, Plan) for plan in plans):
        return "A lever returns a Plan."
    alone, other, both = (_saved_usd(plan) for plan in plans)
    for usd in (alone, other):
        if usd < LEAST_USD:
            return f"One of them saves {usd:,.0f} dollars a month alone; {LEAST_USD:,.0f} are asked for."
    if both < MOST_FRACTION * (alone + other):
        return None
    share = both / (alone + other)
    return f"Together they save {share:.0%} of the sum. Which two levers work on the same dollars?"


def exercise_12_5(answer: Any) -> str | None:
    """A plan that keeps every limit and saves at least 70 %."""
    if not isinstance(answer, Plan):
        return "Give a Plan."
    found = score(answer, _log())
    if found.violations:
        return f"The plan saves {found.saving_fraction:.1%}, and breaks a limit: {found.violations[0]}."
    if found.saving_fraction < 0.7:
        return f"Every limit is kept, and {found.saving_fraction:.1%} saved. Which part of the bill is the largest now?"
    return None
