"""Lesson 9: self-hosted against API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from costlab.serving import memory_fit, model_spec, roofline


def exercise_9_2(answer: Any) -> str | None:
    """A batch that fits an L4 and gains less than a factor of 1.5 from 8-bit weights."""
    users, context_tokens = (int(number) for number in answer)
    if users < 1 or context_tokens < 1:
        return "Both are whole numbers of at least 1."
    wide = model_spec("Llama-3.1-8B")
    boards = [roofline(model, "L4") for model in (wide, replace(wide, bytes_per_weight=1.0))]
    room = memory_fit(boards[0], context_tokens).max_batch
    if room is None or users > room:
        return f"An L4 with 16-bit weights has room for {room or 0} conversations of {context_tokens:,} tokens."
    slow, fast = (board.step_s(users, context_tokens) for board in boards)
    if slow / fast < 1.5:
        return None
    return f"8-bit weights make it {slow / fast:.2f} times as fast: what does a step read or do besides the weights?"
