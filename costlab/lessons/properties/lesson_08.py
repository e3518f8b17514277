"""Lesson 8: a bill that doubles while the mean cost per request falls."""

from __future__ import annotations

from typing import Any

from costlab.synthetic import SERVICE_TIERS


def exercise_8_2(answer: Any) -> str | None:
    """Requests of two hours by tier; the second costs at least twice as much, and less per request."""
    hours = [[float(count) for count in hour] for hour in answer]
    if len(hours) != 2 or any(len(hour) != len(SERVICE_TIERS) for hour in hours):
        return "Give two hours, each as four numbers: cache, small, medium, large."
    if any(count < 0 for hour in hours for count in hour) or not all(map(sum, hours)):
        return "Each hour has some requests, and no tier fewer than none."
    bills = [
        sum(count * tier.usd_per_request for count, tier in zip(hour, SERVICE_TIERS, strict=True)) for hour in hours
    ]
    means = [usd / sum(hour) for usd, hour in zip(bills, hours, strict=True)]
    if bills[1] < 2 * bills[0]:
        return f"The first hour costs {bills[0]:,.2f} USD, the second {bills[1]:,.2f}: that is less than twice as much."
    if means[1] < means[0]:
        return None
    return (
        f"The mean goes from {means[0]:.5f} to {means[1]:.5f} USD a request, so whoever watches it sees no fall. "
        "Which requests would lower it and still add to the bill?"
    )
