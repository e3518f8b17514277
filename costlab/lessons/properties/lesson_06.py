"""Lesson 6: build or buy."""

from __future__ import annotations

from typing import Any

from costlab.build_vs_buy import break_even


def exercise_6_3(answer: Any) -> str | None:
    """Two machines of which the cheaper one breaks even later than the other, or never."""
    cheap, expensive = ((float(usd), float(rate)) for usd, rate in answer)
    if cheap[0] >= expensive[0]:
        return "Give the machine with the lower hourly price first."
    volumes = [
        break_even(0.003, usd, capacity_requests_per_s=rate).requests_per_day for usd, rate in (cheap, expensive)
    ]
    if volumes[0] > volumes[1]:
        return None
    if volumes[0] == volumes[1]:
        return "Neither of the two breaks even before the other."
    return (
        f"The cheaper one breaks even at {volumes[0]:,.0f} requests a day, the other not before: what if it were slow?"
    )
