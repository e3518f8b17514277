"""The calculator of lesson 7: what a threshold does to cost and quality, and how a cascade is accounted for."""

from __future__ import annotations

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.lessons.calculators.definition import (
    Calculator,
    CalculatorResult,
    Chart,
    ChartLine,
    NumberInput,
    by_ratio,
    evenly,
    money_row,
    percent,
    share_input,
    share_row,
    usd,
)
from costlab.router import Expectation, Stage, expected

CACHE_USD = 0.00001


def _cascade(
    threshold: float, hits: float, small_usd: float, low: float, high: float, large_usd: float, large_quality: float
) -> Expectation:
    """A cache, a small tier whose calibrated confidence is spread evenly from `low` to `high`, and a large one."""
    kept_from = min(max(threshold, low), high)
    passed = (kept_from - low) / (high - low)
    return expected(
        [
            Stage("cache", CACHE_USD, pass_fraction=1 - hits),
            Stage("small", small_usd, pass_fraction=passed, quality_fraction=(kept_from + high) / 2),
            Stage("large", large_usd, quality_fraction=large_quality),
        ]
    )


def cascade(
    threshold: float,
    small_usd_per_request: float,
    large_usd_per_request: float,
    lowest_confidence: float,
    highest_confidence: float,
    large_quality_fraction: float,
    hit_rate_fraction: float,
) -> CalculatorResult:
    """A request's mean cost by the threshold of the small tier, where every tier tried is paid."""
    checks.fraction("threshold", threshold)
    checks.positive("small_usd_per_request", small_usd_per_request)
    checks.positive("large_usd_per_request", large_usd_per_request)
    low, high = (
        checks.fraction("lowest_confidence", lowest_confidence),
        checks.fraction("highest_confidence", highest_confidence),
    )
    if high <= low:
        raise InvalidValueError("highest_confidence", f"above lowest_confidence ({low:g})", highest_confidence)
    checks.fraction("large_quality_fraction", large_quality_fraction)
    checks.fraction("hit_rate_fraction", hit_rate_fraction)

    def at(limit: float) -> Expectation:
        return _cascade(
            limit, hit_rate_fraction, small_usd_per_request, low, high, large_usd_per_request, large_quality_fraction
        )

    yours = at(threshold)
    limits = evenly(0, 1, 0.02)
    curve = [at(limit) for limit in limits]
    saving = 1 - yours.usd_per_request / large_usd_per_request
    short = 1 - yours.served_only_usd_per_request / yours.usd_per_request
    small = yours.stages[1]
    return CalculatorResult(
        answer=(
            f"A request costs {usd(yours.usd_per_request)}, {percent(abs(saving))} "
            f"{'less' if saving >= 0 else 'more'} than the large tier for all; "
            f"{percent(yours.quality_fraction)} are right."
        ),
        rows=(
            money_row("Cost of a request, every tier tried paid", yours.usd_per_request),
            money_row("The same, charged for the answering tier alone", yours.served_only_usd_per_request),
            share_row("Missing from that account", short),
            money_row("Everything at the large tier", large_usd_per_request),
            share_row("Saved against that", saving),
            share_row("Right answers", yours.quality_fraction),
            share_row("Answered by the cache", yours.stages[0].served_fraction),
            share_row("Answered by the small tier", small.served_fraction),
            share_row("Answered by the large tier", yours.stages[2].served_fraction),
        ),
        chart=Chart(
            title="A high threshold sends everything on, after paying for the small tier",
            x_label="threshold of the small tier",
            y_label="USD a thousand requests",
            lines=(
                ChartLine(
                    name="all tiers tried",
                    points=[(x, 1000 * one.usd_per_request) for x, one in zip(limits, curve, strict=True)],
                ),
                ChartLine(
                    name="answering tier only",
                    points=[(x, 1000 * one.served_only_usd_per_request) for x, one in zip(limits, curve, strict=True)],
                    kind="second",
                ),
                ChartLine(
                    name="all large", points=[(x, 1000 * large_usd_per_request) for x in (0.0, 1.0)], kind="level"
                ),
            ),
            point=(threshold, 1000 * yours.usd_per_request),
            point_name=f"you: {usd(1000 * yours.usd_per_request)}",
        ),
        sources=(
            (
                "the prices are inputs, at first the source lesson's; assumed: the small tier's confidence is "
                "calibrated and spread evenly between the two ends, a look-up costs "
                f"{usd(CACHE_USD)}, and cached answers are right",
                "",
            ),
        ),
    )


CASCADE = Calculator(
    name="cascade",
    title="What does a threshold cost?",
    question="The small tier answers where its confidence is above the threshold; the rest is paid for at both tiers.",
    lesson="07_multi_tier_serving",
    answer=cascade,
    inputs=(
        share_input("threshold", "Threshold of the small tier", 0.7),
        NumberInput(
            name="small_usd_per_request", label="Small tier", unit="USD a request", default=0.003,
            stops=by_ratio(0.00001, 0.1),
        ),
        NumberInput(
            name="large_usd_per_request", label="Large tier", unit="USD a request", default=0.03,
            stops=by_ratio(0.0001, 1),
        ),
        share_input("lowest_confidence", "Lowest confidence of the small tier", 0.3),
        share_input("highest_confidence", "Highest confidence", 1.0),
        share_input("large_quality_fraction", "Right answers of the large tier, on what reaches it", 0.75),
        share_input("hit_rate_fraction", "Answered by a cache before", 0.3),
    ),
)  # fmt: skip
