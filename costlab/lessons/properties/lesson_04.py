"""Lesson 4: traffic for which an LRU cache that nearly holds it all never hits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

_ENTRIES, _REQUESTS, _QUESTIONS = 3, 24, 4


def _hits(asked: list[Hashable]) -> int:
    held: dict[Hashable, None] = {}
    hits = 0
    for one in asked:
        hits += one in held
        held.pop(one, None)
        held[one] = None
        if len(held) > _ENTRIES:
            del held[next(iter(held))]
    return hits


def exercise_4_2(answer: object) -> str | None:
    """Requests for four questions, none of which hits an LRU cache with three entries."""
    asked = list(answer) if isinstance(answer, Iterable) and not isinstance(answer, str) else []
    if len(asked) != _REQUESTS:
        return f"It takes a list of {_REQUESTS} requests."
    if len(set(asked)) != _QUESTIONS:
        return "There must be four different questions in it."
    if hits := _hits(asked):
        return f"{hits} of them hit the cache. Ask again only for what has just been dropped."
    return None
