"""What is wrong with an answer to an exercise of lesson 10."""

from __future__ import annotations

from costlab.catalog import api_price
from costlab.token_economics import batch_saving_fraction


def exercise_10_3(answer: object) -> str | None:
    """Two shares of cached input, both above zero, with which a batch is more expensive than the standard tier."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "Give two shares: cached in the standard tier, cached in the batch."
    cached, later = float(answer[0]), float(answer[1])
    if not (0 < cached <= 1 and 0 < later <= 1):
        return "Both are shares above 0 and at most 1: 0.9, not 90."
    prices = api_price("gpt-4.1"), api_price("gpt-4.1", service_tier="batch")
    saved = batch_saving_fraction(
        *prices, input_tokens=10_000, output_tokens=500, cached_fraction=cached, cached_while_waiting_fraction=later
    )
    if saved >= 0:
        return f"With these shares the batch still saves {saved:.1%}. What if it finds less in the cache?"
    return None
