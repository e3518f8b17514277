"""The calculator of lesson 10: what a prompt cache and a batch take off an API's bill."""

from __future__ import annotations

from costlab._internal import checks
from costlab.lessons.calculators.definition import (
    Calculator,
    CalculatorResult,
    Chart,
    ChartLine,
    NumberInput,
    by_ratio,
    evenly,
    money_row,
    number_row,
    percent,
    share_input,
    share_row,
    usd,
)
from costlab.token_economics import CacheRates, expected_hit_fraction
from costlab.units import SECONDS_PER_DAY, TOKENS_PER_MTOK


def token_bill(
    requests_per_day: float,
    prefix_tokens: float,
    fresh_tokens: float,
    output_tokens: float,
    input_usd_per_mtok: float,
    output_usd_per_mtok: float,
    write: float,
    read: float,
    lifetime_s: float,
    batch_fraction: float,
    batch_price_fraction: float,
) -> CalculatorResult:
    """A day's bill with and without a cached prefix, and with a share of the calls in a batch."""
    calls = checks.positive("requests_per_day", requests_per_day)
    for name, tokens in (("prefix_tokens", prefix_tokens), ("fresh_tokens", fresh_tokens)):
        checks.non_negative(name, tokens)
    output = checks.positive("output_tokens", output_tokens) * checks.positive(
        "output_usd_per_mtok", output_usd_per_mtok
    )
    checks.positive("input_usd_per_mtok", input_usd_per_mtok)
    rates = CacheRates(write, read)
    checks.positive("lifetime_s", lifetime_s)
    batched = checks.fraction("batch_fraction", batch_fraction)
    checks.fraction("batch_price_fraction", batch_price_fraction)

    def call_usd(prefix: float) -> float:
        """A call whose prefix costs `prefix` times what it costs fresh."""
        return ((prefix_tokens * prefix + fresh_tokens) * input_usd_per_mtok + output) / TOKENS_PER_MTOK

    def cached_usd(requests: float) -> float:
        return requests * call_usd(rates.relative_cost(expected_hit_fraction(requests / SECONDS_PER_DAY, lifetime_s)))

    plain, cached, batch = calls * call_usd(1), cached_usd(calls), calls * call_usd(1) * batch_price_fraction
    both = cached_usd(calls * (1 - batched)) + batched * batch
    hits = expected_hit_fraction(calls / SECONDS_PER_DAY, lifetime_s)
    pays = rates.break_even_calls_per_s(lifetime_s) * SECONDS_PER_DAY
    verb = "saves" if cached <= plain else "costs an extra"
    volumes = by_ratio(10, 100_000)
    return CalculatorResult(
        answer=(
            f"The prompt cache {verb} {percent(abs(1 - cached / plain))}; "
            f"with your share in the batch the day costs {usd(both)} instead of {usd(plain)}."
        ),
        rows=(
            money_row("The day with cache and batch", both),
            money_row("Without either", plain),
            money_row("With the cache alone", cached),
            money_row("Everything in the batch, nothing cached", batch),
            share_row("Calls that find the prefix in the cache", hits),
            number_row("The cache pays from", pays, "calls a day", 1),
            money_row("A call without either", plain / calls),
        ),
        chart=Chart(
            title="A cache pays where calls follow each other sooner than it forgets",
            x_label="calls of this prefix a day",
            y_label="USD a thousand calls",
            x_log=True,
            lines=(
                ChartLine(name="cached", points=[(n, 1000 * cached_usd(n) / n) for n in volumes]),
                ChartLine(name="not cached", points=[(n, 1000 * call_usd(1)) for n in volumes], kind="level"),
                ChartLine(
                    name="batch",
                    points=[(n, 1000 * call_usd(1) * batch_price_fraction) for n in volumes],
                    kind="second",
                ),
            ),
            point=(calls, 1000 * both / calls),
            point_name=f"you: {usd(1000 * both / calls)}",
        ),
        sources=(
            ("the prices are inputs, at first those of Claude Sonnet 4.5 in the catalogue", ""),
            (
                "the cache's multiples of the input price",
                "https://platform.claude.com/docs/en/build-with-claude/prompt-caching",
            ),
            ("assumed: calls come at random, and calls in a batch find nothing in the cache", ""),
        ),
    )


TOKEN_BILL = Calculator(
    name="token_bill",
    title="What do a prompt cache and a batch save?",
    question="Every call begins with the same prefix. A cache reads it cheaply if the last call was not long ago.",
    lesson="10_token_bill",
    answer=token_bill,
    inputs=(
        NumberInput(
            name="requests_per_day", label="Calls with this prefix", unit="a day", default=1000,
            stops=by_ratio(1, 1_000_000),
        ),
        NumberInput(
            name="prefix_tokens", label="Tokens of the prefix", unit="tokens", default=8000,
            stops=by_ratio(100, 200_000),
        ),
        NumberInput(
            name="fresh_tokens", label="Other input of a call", unit="tokens", default=500, stops=by_ratio(10, 100_000)
        ),
        NumberInput(
            name="output_tokens", label="Output of a call", unit="tokens", default=300, stops=by_ratio(1, 50_000)
        ),
        NumberInput(
            name="input_usd_per_mtok", label="Input", unit="USD a million tokens", default=3, stops=by_ratio(0.02, 50)
        ),
        NumberInput(
            name="output_usd_per_mtok", label="Output", unit="USD a million tokens", default=15,
            stops=by_ratio(0.05, 200),
        ),
        NumberInput(
            name="write", label="Writing to the cache", unit="times the input price", default=1.25,
            stops=evenly(1, 2.5, 0.05),
        ),
        NumberInput(
            name="read", label="Reading from it", unit="times the input price", default=0.1,
            stops=evenly(0, 0.95, 0.05),
        ),
        NumberInput(
            name="lifetime_s", label="It forgets after", unit="seconds", default=300, stops=by_ratio(60, 86_400)
        ),
        share_input("batch_fraction", "Calls that can wait for a batch", 0.2),
        NumberInput(
            name="batch_price_fraction", label="Price in a batch", unit="times the list price", default=0.5,
            stops=evenly(0, 1, 0.05),
        ),
    ),
)  # fmt: skip
