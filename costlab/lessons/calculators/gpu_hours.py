"""Calculators of lesson 1: the hour that works, the level of a commitment, the interval between checkpoints."""

from __future__ import annotations

import math

from costlab._internal import checks
from costlab.calculator import (
    MonthlyCost,
    best_commitment,
    checkpoint_interval_s,
    monthly_cost,
    spot_job,
    usd_per_useful_hour,
)
from costlab.catalog import current_gpu_prices, gpu_price
from costlab.errors import PriceNotFoundError
from costlab.lessons.calculators.definition import (
    Calculator,
    CalculatorResult,
    Chart,
    ChartLine,
    ChoiceInput,
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
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

LESSON = "01_gpu_cost_modeling"
WAYS = {"on_demand": "on demand", "reserved_1y": "reserved for one year"}
PROVIDER, REGION = "aws", "us-east-1"
CENTURY_HOURS = 1200 * HOURS_PER_MONTH


def _gpus() -> dict[str, str]:
    """GPUs with an on-demand list price at AWS, with it."""
    rows = [p for p in current_gpu_prices("list") if p.provider == PROVIDER and p.pricing == "on_demand"]
    names = dict.fromkeys(p.gpu for p in sorted(rows, key=lambda p: p.usd_per_hour))
    return {name: f"{name}, {usd(_price(name))} an hour" for name in names}


def _price(gpu: str) -> float:
    return gpu_price(gpu, snapshot="list", provider=PROVIDER, region=REGION).usd_per_hour


def _bill(gpu: str, gpus: int, pricing: str, hours_per_day: float) -> MonthlyCost:
    return monthly_cost(gpu, gpus, pricing, hours_per_day, snapshot="list", provider=PROVIDER, region=REGION)


def useful_hour(
    gpu: str, gpus: int, pricing: str, hours_per_day: float, utilization_fraction: float
) -> CalculatorResult:
    """The bill of a month, and the price of an hour in which a GPU works."""
    try:
        bill = _bill(gpu, gpus, pricing, hours_per_day)
    except PriceNotFoundError:
        raise PriceNotFoundError(f"no price of AWS in {REGION} is known for {gpu} {WAYS[pricing]}") from None
    paid_hour = bill.usd / bill.gpu_hours
    useful = usd_per_useful_hour(paid_hour, utilization_fraction) / bill.utilization_fraction
    working = utilization_fraction * bill.utilization_fraction
    shares, lines = evenly(0.05, 1.0, 0.01), []
    for way, words in WAYS.items():
        try:
            other = _bill(gpu, gpus, way, hours_per_day)
        except PriceNotFoundError:
            continue
        hour = other.usd / other.used_gpu_hours
        kind = "first" if way == pricing else "second"
        lines.append(ChartLine(name=words, points=[(s, usd_per_useful_hour(hour, s)) for s in shares], kind=kind))
    price = bill.price
    machines = ", ".join(f"{some.count} x {some.size.name}" for some in bill.machines)
    return CalculatorResult(
        answer=f"An hour of work costs {usd(useful)}, {useful / paid_hour:.1f} times the price of a paid hour.",
        rows=(
            money_row("Price of a useful GPU-hour", useful),
            money_row("Price of a paid GPU-hour", paid_hour),
            money_row("Bill for a month of 30 days", bill.usd),
            share_row("Share of the paid GPU-hours that work", working),
            number_row("GPU-hours paid", bill.gpu_hours),
            money_row("Paid for GPUs that were not asked for", bill.unused_gpus_usd),
            money_row("Paid for committed hours that are not used", bill.unused_hours_usd),
        ),
        chart=Chart(
            title="The emptier the GPU, the steeper the price of its work",
            x_label="share of the used hours in which the GPU works",
            y_label="USD per useful GPU-hour",
            lines=lines,
            point=(utilization_fraction, useful),
            point_name=f"you: {usd(useful)}",
            y_most=max(useful * 1.1, 8 * min(line.points[-1][1] for line in lines)),
        ),
        sources=((f"AWS {price.region}, {machines}, {price.evidence}", price.source_url),),
    )


def idle(utilization_fraction: float) -> CalculatorResult:
    """What of the bill for the book's eight GPUs pays for waiting."""
    gpus = 8
    bill = _bill("A10G", gpus, "on_demand", HOURS_PER_DAY)
    useful = usd_per_useful_hour(bill.usd / bill.gpu_hours, utilization_fraction)
    waiting = bill.usd * (1 - utilization_fraction)
    shares = evenly(0, 1, 0.05)
    return CalculatorResult(
        answer=f"Of {usd(bill.usd)} a month, {usd(waiting)} pays for GPUs that wait.",
        rows=(
            money_row("Paid for waiting, a month", waiting),
            money_row("Paid for work, a month", bill.usd - waiting),
            money_row("Price of a GPU-hour", bill.usd / bill.gpu_hours),
            money_row("Price of a GPU-hour that works", useful),
        ),
        chart=Chart(
            title="An idle hour costs as much as an hour of work",
            x_label="share of the hours in which the GPUs work",
            y_label="USD a month for waiting",
            lines=(ChartLine(name="", points=[(share, bill.usd * (1 - share)) for share in shares]),),
            point=(utilization_fraction, waiting),
            point_name=f"you: {usd(waiting)}",
        ),
        sources=((f"AWS {REGION}, {gpus} x A10G on demand, {bill.price.evidence}", bill.price.source_url),),
    )


IDLE = Calculator(
    name="idle",
    title="How much of the bill pays for waiting?",
    question="Eight A10G GPUs, rented from AWS around the clock.",
    lesson=LESSON,
    answer=idle,
    inputs=(share_input("utilization_fraction", "Share of the hours in which they work", 0.3, 0.01),),
)


USEFUL_HOUR = Calculator(
    name="useful_hour",
    title="What does an hour of work cost?",
    question="A GPU is paid while it waits. Set how it is bought and how much of the time it works.",
    lesson=LESSON,
    answer=useful_hour,
    inputs=(
        ChoiceInput(name="gpu", label="GPU", default="A10G", words=_gpus()),
        ChoiceInput(name="pricing", label="Bought", default="on_demand", words=WAYS),
        NumberInput(name="gpus", label="GPUs wanted", unit="GPUs", default=8, stops=evenly(1, 64, 1), whole=True),
        NumberInput(
            name="hours_per_day", label="Switched on", unit="hours a day", default=24, stops=evenly(0.5, 24, 0.5)
        ),
        share_input("utilization_fraction", "Share of these hours that the GPUs work", 0.3, 0.01),
    ),
)


def commitment(
    night_gpus: int,
    day_gpus: int,
    day_hours: int,
    weekend: str,
    on_demand_usd_per_hour: float,
    committed_usd_per_hour: float,
    gpus: int,
    gpus_per_machine: int,
) -> CalculatorResult:
    """The bill of a week by the number of GPUs committed to, and the best number."""
    checks.integer("night_gpus", night_gpus)
    checks.integer("day_gpus", day_gpus)
    checks.integer("day_hours", day_hours, 0, HOURS_PER_DAY)
    night = [night_gpus] * HOURS_PER_DAY
    weekday = [day_gpus] * day_hours + night[day_hours:]
    demand = [*weekday * 5, *(weekday if weekend == "as_weekdays" else night) * 2]
    prices = (on_demand_usd_per_hour, committed_usd_per_hour)
    best = best_commitment(demand, *prices, gpus_per_machine=gpus_per_machine)
    yours = best_commitment(demand, *prices, gpus=gpus, gpus_per_machine=gpus_per_machine)
    most = max(night_gpus, day_gpus, yours.gpus, 1)
    step = gpus_per_machine * max(1, math.ceil(most / gpus_per_machine / 60))
    levels = range(0, most + step, step)
    bills = [best_commitment(demand, *prices, gpus=level, gpus_per_machine=gpus_per_machine) for level in levels]
    wasted = yours.usd - best.usd
    return CalculatorResult(
        answer=(
            f"{yours.gpus} GPUs are the best level, and save {percent(best.saving_fraction)}."
            if wasted <= 0
            else f"Commit to {best.gpus} GPUs: {usd(wasted)} a week less than with your {yours.gpus}."
        ),
        rows=(
            number_row("Best number of GPUs to commit to", best.gpus),
            money_row("Bill of the week at the best level", best.usd),
            share_row("Saved by it against on demand alone", best.saving_fraction),
            money_row("Bill of the week at your level", yours.usd),
            share_row("Saved by yours", yours.saving_fraction),
            share_row("Share of your committed GPU-hours in use", yours.utilization_fraction),
            money_row("Bill of the week on demand alone", best.on_demand_usd),
        ),
        chart=Chart(
            title="Beyond the best level the next GPU would be used too little",
            x_label="GPUs committed to",
            y_label="USD a week",
            lines=(
                ChartLine(name="", points=[(one.gpus, one.usd) for one in bills]),
                ChartLine(
                    name="on demand alone",
                    points=[(bills[0].gpus, best.on_demand_usd), (bills[-1].gpus, best.on_demand_usd)],
                    kind="level",
                ),
            ),
            point=(yours.gpus, yours.usd),
            point_name=f"you: {usd(yours.usd)}",
        ),
        sources=(("the prices are inputs; at first the source lesson's A10G, on demand and reserved for a year", ""),),
    )


COMMITMENT = Calculator(
    name="commitment",
    title="How many GPUs should you commit to?",
    question="A commitment is cheaper by the hour and paid for every hour. Describe your week and find its best level.",
    lesson=LESSON,
    answer=commitment,
    inputs=(
        NumberInput(
            name="night_gpus", label="Wanted at night", unit="GPUs", default=4, stops=evenly(0, 40, 1), whole=True
        ),
        NumberInput(
            name="day_gpus", label="Wanted by day", unit="GPUs", default=10, stops=evenly(0, 40, 1), whole=True
        ),
        NumberInput(
            name="day_hours", label="Hours of day", unit="of 24", default=10, stops=evenly(0, 24, 1), whole=True
        ),
        ChoiceInput(
            name="weekend",
            label="Weekend",
            default="as_nights",
            words={"as_nights": "as at night", "as_weekdays": "as on weekdays"},
        ),
        NumberInput(
            name="on_demand_usd_per_hour",
            label="On demand",
            unit="USD a GPU-hour",
            default=1.01,
            stops=by_ratio(0.1, 20, 1.01),
        ),
        NumberInput(
            name="committed_usd_per_hour",
            label="Committed",
            unit="USD a GPU-hour",
            default=0.63,
            stops=evenly(0.03, 10.02, 0.06),
        ),
        NumberInput(name="gpus", label="Your level", unit="GPUs", default=8, stops=evenly(0, 40, 1), whole=True),
        NumberInput(
            name="gpus_per_machine",
            label="GPUs in a machine",
            unit="sold whole",
            default=1,
            stops=evenly(1, 8, 1),
            whole=True,
        ),
    ),
)


def spot_interval(
    work_hours: float,
    spot_usd_per_hour: float,
    on_demand_usd_per_hour: float,
    mtbf_hours: float,
    checkpoint_s: float,
    restart_s: float,
    interval_minutes: float,
) -> CalculatorResult:
    """The expected bill of a job on spot GPUs by the interval between its checkpoints."""
    checks.positive("interval_minutes", interval_minutes)
    job = (work_hours, spot_usd_per_hour, on_demand_usd_per_hour, mtbf_hours, checkpoint_s, restart_s)
    best = spot_job(*job)
    yours = spot_job(*job, interval_s=interval_minutes * SECONDS_PER_MINUTE)
    daly = checkpoint_interval_s(checkpoint_s, mtbf_hours * SECONDS_PER_HOUR) / SECONDS_PER_MINUTE
    minutes = by_ratio(1, 1000)
    bills = [(m, spot_job(*job, interval_s=m * SECONDS_PER_MINUTE).expected_usd) for m in minutes]
    saving = percent(abs(yours.saving_fraction))
    does = f"saves {saving}" if yours.saving_fraction >= 0 else f"costs {saving} more than on demand"
    return CalculatorResult(
        answer=(
            "With your interval the job does not end in a century."
            if yours.expected_hours > CENTURY_HOURS
            else f"With your interval spot {does}; a checkpoint every {daly:,.0f} minutes is best."
        ),
        rows=(
            share_row("Saved with your interval", yours.saving_fraction),
            share_row("Saved with the best interval", best.saving_fraction),
            number_row("Best interval between checkpoints", daly, "minutes", 1),
            money_row("Expected bill with your interval", yours.expected_usd),
            money_row("Bill on demand", yours.on_demand_usd),
            number_row("Expected hours with your interval", yours.expected_hours, "hours", 1),
            number_row("Interruptions to expect", yours.expected_interruptions, "", 1),
            number_row("Spot pays where interruptions are further apart than", best.break_even_mtbf_hours, "hours", 2),
        ),
        chart=Chart(
            title="The valley is broad: near the best interval the bill hardly changes",
            x_label="minutes between checkpoints",
            y_label="expected bill, USD",
            x_log=True,
            lines=(
                ChartLine(name="spot", points=bills),
                ChartLine(
                    name="on demand",
                    points=[(minutes[0], best.on_demand_usd), (minutes[-1], best.on_demand_usd)],
                    kind="second",
                ),
            ),
            point=(interval_minutes, yours.expected_usd),
            point_name=f"you: {usd(yours.expected_usd)}",
            y_most=1.5 * max(best.on_demand_usd, best.expected_usd if math.isfinite(best.expected_usd) else 0.0),
        ),
        sources=(
            ("Daly (2006), the complete model", "https://doi.org/10.1016/j.future.2004.11.016"),
            ("the prices are inputs; at first the source lesson's H100", ""),
        ),
    )


SPOT_INTERVAL = Calculator(
    name="spot_interval",
    title="How often should a spot job save its work?",
    question="An interruption costs the restart and the work since the last checkpoint; each checkpoint costs time.",
    lesson=LESSON,
    answer=spot_interval,
    inputs=(
        NumberInput(
            name="work_hours", label="Work without interruptions", unit="hours", default=100, stops=by_ratio(1, 5000)
        ),
        NumberInput(
            name="spot_usd_per_hour",
            label="Spot price of all machines",
            unit="USD an hour",
            default=2.64,
            stops=by_ratio(0.1, 100, 2.64),
        ),
        NumberInput(
            name="on_demand_usd_per_hour",
            label="On-demand price of all machines",
            unit="USD an hour",
            default=8.8,
            stops=by_ratio(0.1, 300, 8.8),
        ),
        NumberInput(
            name="mtbf_hours",
            label="Mean time between interruptions",
            unit="hours",
            default=5,
            stops=by_ratio(0.1, 500),
        ),
        NumberInput(
            name="checkpoint_s", label="A checkpoint takes", unit="seconds", default=120, stops=by_ratio(1, 3600)
        ),
        NumberInput(name="restart_s", label="A restart takes", unit="seconds", default=600, stops=by_ratio(10, 7200)),
        NumberInput(
            name="interval_minutes",
            label="Your interval between checkpoints",
            unit="minutes",
            default=180,
            stops=by_ratio(1, 1000),
        ),
    ),
)
