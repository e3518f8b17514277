"""The calculator of lesson 6: where the bill of an API and that of your own machines cross."""

from __future__ import annotations

import math

from costlab.build_vs_buy import break_even, break_even_requests_per_day, monthly_saving_usd
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
    share_row,
    usd,
)
from costlab.serving import replicas_needed


def break_even_map(
    requests_per_day: float,
    api_usd_per_request: float,
    replica_usd_per_hour: float,
    capacity_requests_per_s: float,
    fixed_usd_per_month: float,
    replicas_per_machine: int,
) -> CalculatorResult:
    """From which volume one's own machines cost less, for every price of the API."""
    own = (replica_usd_per_hour, capacity_requests_per_s, fixed_usd_per_month)
    even = break_even(api_usd_per_request, *own, replicas_per_machine=replicas_per_machine)
    fleet = replicas_needed(requests_per_day, capacity_requests_per_s)
    saving = monthly_saving_usd(requests_per_day, api_usd_per_request, *own, replicas_per_machine=replicas_per_machine)
    border = [
        (price, break_even_requests_per_day(price, *own, 0.0, 0.0, replicas_per_machine))
        for price in by_ratio(0.00001, 1)
    ]
    most = max(100 * requests_per_day, 1e7)
    if even.reachable:
        answer = f"From {even.requests_per_day:,.0f} requests a day your own machines can cost less."
    else:
        answer = "No volume makes your own machines cheaper: a full one costs more than its calls."
    answer += f" At your volume they {'save' if saving >= 0 else 'lose'} {usd(abs(saving))} a month."
    return CalculatorResult(
        answer=answer,
        rows=(
            number_row("Break-even, requests a day", even.requests_per_day),
            money_row("Saved a month at your volume", saving),
            share_row("Machines busy at the break-even", even.utilization_fraction)
            if math.isfinite(even.utilization_fraction)
            else number_row("Machines busy at the break-even", even.utilization_fraction),
            share_row("Saved of the API's bill when they are full", even.saving_at_capacity_fraction),
            number_row("Replicas that your volume needs", fleet.total),
        ),
        chart=Chart(
            title="Above the line your own machines cost less, below it the API",
            x_label="price of the API, USD a request",
            y_label="requests a day",
            x_log=True,
            y_log=True,
            lines=(ChartLine(name="break-even", points=[(x, y if y <= most else math.inf) for x, y in border]),),
            point=(api_usd_per_request, requests_per_day),
            point_name="you",
        ),
        sources=(("the prices are inputs; at first those of lesson 6, which begins with a 1.01-dollar A10G", ""),),
    )


BREAK_EVEN_MAP = Calculator(
    name="break_even_map",
    title="API or your own machines?",
    question="An API is paid by the call, a machine by the hour. Find the volume at which the bills are equal.",
    lesson="06_build_vs_buy",
    answer=break_even_map,
    inputs=(
        NumberInput(
            name="requests_per_day", label="Requests", unit="a day", default=60_000, stops=by_ratio(100, 100_000_000)
        ),
        NumberInput(
            name="api_usd_per_request", label="The API charges", unit="USD a request", default=0.003,
            stops=by_ratio(0.00001, 1),
        ),
        NumberInput(
            name="replica_usd_per_hour", label="A replica costs", unit="USD an hour", default=1.01,
            stops=by_ratio(0.1, 100, 1.01),
        ),
        NumberInput(
            name="capacity_requests_per_s", label="It serves", unit="requests a second", default=2,
            stops=by_ratio(0.01, 1000),
        ),
        NumberInput(
            name="fixed_usd_per_month", label="People and monitoring", unit="USD a month", default=3000,
            stops=(0.0, *by_ratio(100, 100_000)),
        ),
        NumberInput(
            name="replicas_per_machine", label="Replicas in a machine", unit="sold whole", default=1,
            stops=evenly(1, 8, 1), whole=True,
        ),
    ),
)  # fmt: skip
