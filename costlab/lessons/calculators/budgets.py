"""The calculator of lesson 8: a client runs away, and what a budget stops, of whom."""

from __future__ import annotations

from typing import Final

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.events import micro_usd
from costlab.lessons.calculators.definition import (
    Calculator,
    CalculatorResult,
    Chart,
    ChartLine,
    NumberInput,
    ResultRow,
    by_ratio,
    evenly,
    money_row,
    percent,
    usd,
)
from costlab.monitoring.budget import Account, BudgetPolicy, Limits, decide
from costlab.units import HOURS_PER_DAY, MICRO_USD_PER_USD, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MINUTES_PER_HOUR: Final = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
DAYS: Final = 30


def _limits(daily_usd: float) -> Limits:
    """A budget with one daily limit, up to which everything runs; the month never binds."""
    return BudgetPolicy(daily_soft_usd=daily_usd, daily_hard_usd=daily_usd, monthly_usd=DAYS * daily_usd).limits


class _Day:
    """A day minute by minute: who spends what, through which budgets."""

    def __init__(self) -> None:
        self.spent = self.refused_others = self.refused_client = 0
        self.refuses_from: float | None = None
        self.curve: list[tuple[float, float]] = [(0.0, 0.0)]

    def play(self, others: int, client: list[int], common: Limits | None, own: Limits | None) -> _Day:
        """Others spend the same each minute, the client what its list says, all in micro-dollars."""
        house, mine, month = Account(), Account(), Account()
        for minute, wanted in enumerate(client):
            if common is None or decide(common, "standard", others, house, month).limit is None:
                self.spent += others
                house.spent_micro_usd += others
            else:
                self.refused_others += others
            fits = own is None or decide(own, "standard", wanted, mine, month).limit is None
            if fits and (common is None or decide(common, "standard", wanted, house, month).limit is None):
                self.spent += wanted
                house.spent_micro_usd += wanted
                mine.spent_micro_usd += wanted
            else:
                self.refused_client += wanted
                if self.refuses_from is None:
                    self.refuses_from = minute / MINUTES_PER_HOUR
            if (minute + 1) % 15 == 0:
                self.curve.append(((minute + 1) / MINUTES_PER_HOUR, self.spent / MICRO_USD_PER_USD))
        return self


def runaway(
    others_usd_per_hour: float,
    client_usd_per_hour: float,
    runaway_factor: float,
    starts_hour: float,
    daily_hard_usd: float,
    own_daily_usd: float,
) -> CalculatorResult:
    """A day on which one client runs away: without a budget, with one for all, and with one for the client as well."""
    checks.non_negative("others_usd_per_hour", others_usd_per_hour)
    checks.non_negative("client_usd_per_hour", client_usd_per_hour)
    if checks.finite("runaway_factor", runaway_factor, "a number >= 1") < 1:
        raise InvalidValueError("runaway_factor", "a number >= 1", runaway_factor)
    if not 0 <= checks.finite("starts_hour", starts_hour, "an hour from 0 to 24") <= HOURS_PER_DAY:
        raise InvalidValueError("starts_hour", "an hour from 0 to 24", starts_hour)
    checks.positive("daily_hard_usd", daily_hard_usd)
    checks.positive("own_daily_usd", own_daily_usd)
    common, own = _limits(daily_hard_usd), _limits(own_daily_usd)
    others = micro_usd("others_usd_per_hour", others_usd_per_hour / MINUTES_PER_HOUR)
    usual = client_usd_per_hour / MINUTES_PER_HOUR
    client = [
        micro_usd("client_usd_per_hour", usual * (runaway_factor if minute >= starts_hour * MINUTES_PER_HOUR else 1))
        for minute in range(HOURS_PER_DAY * MINUTES_PER_HOUR)
    ]
    free = _Day().play(others, client, None, None)
    guarded = _Day().play(others, client, common, None)
    both = _Day().play(others, client, common, own)
    dollars = [day.spent / MICRO_USD_PER_USD for day in (free, guarded, both)]
    wanted = others * len(client)
    lost = [day.refused_others / wanted if wanted else 0.0 for day in (guarded, both)]
    when = [
        ResultRow(label, float("inf") if hour is None else hour, "never" if hour is None else _clock(hour))
        for label, hour in (
            ("One budget for all refuses the client from", guarded.refuses_from),
            ("A budget of its own refuses it from", both.refuses_from),
        )
    ]
    return CalculatorResult(
        answer=(
            f"Without a budget the day costs {usd(dollars[0])}. With one for all it costs {usd(dollars[1])}, and "
            f"{percent(lost[0])} of the others' work is refused; with one for the client as well, "
            f"{usd(dollars[2])} and {percent(lost[1])}."
        ),
        rows=(
            money_row("The day without a budget", dollars[0]),
            money_row("With one budget for all", dollars[1]),
            money_row("With a budget for the client as well", dollars[2]),
            money_row("Refused to others, one budget for all", guarded.refused_others / MICRO_USD_PER_USD),
            money_row("Refused to others, a budget for the client as well", both.refused_others / MICRO_USD_PER_USD),
            *when,
            money_row("An ordinary day", HOURS_PER_DAY * (others_usd_per_hour + client_usd_per_hour)),
        ),
        chart=Chart(
            title="One budget for all stops everyone; one for the client stops the client",
            x_label="hour of the day",
            y_label="USD spent so far",
            lines=(
                ChartLine(name="no budget", points=free.curve, kind="second"),
                ChartLine(name="one for all", points=guarded.curve, kind="first"),
                ChartLine(name="plus the client's", points=both.curve, kind="third"),
            ),
        ),
        sources=(("the amounts are inputs, at first those of the lesson's Tuesday; played minute by minute", ""),),
    )


def _clock(hour: float) -> str:
    minutes = round(hour * MINUTES_PER_HOUR)
    return f"{minutes // MINUTES_PER_HOUR:02}:{minutes % MINUTES_PER_HOUR:02}"


RUNAWAY = Calculator(
    name="runaway",
    title="A client runs away: what does a budget stop?",
    question="At some hour a client begins to loop. Set the budgets, and see what they save and whom they refuse.",
    lesson="08_monitoring_and_budgets",
    answer=runaway,
    inputs=(
        NumberInput(
            name="others_usd_per_hour", label="All other clients", unit="USD an hour", default=15,
            stops=(0.0, *by_ratio(0.1, 1000, 15)),
        ),
        NumberInput(
            name="client_usd_per_hour", label="The client, on an ordinary day", unit="USD an hour", default=0.8,
            stops=(0.0, *by_ratio(0.01, 100)),
        ),
        NumberInput(
            name="runaway_factor", label="Looping, it spends", unit="times as much", default=200,
            stops=by_ratio(1, 10_000),
        ),
        NumberInput(
            name="starts_hour", label="The loop begins at", unit="hour of the day", default=14,
            stops=evenly(0, 24, 0.25),
        ),
        NumberInput(
            name="daily_hard_usd", label="Budget for all", unit="USD a day", default=500, stops=by_ratio(1, 100_000)
        ),
        NumberInput(
            name="own_daily_usd", label="Budget for the client", unit="USD a day", default=40,
            stops=by_ratio(1, 100_000),
        ),
    ),
)  # fmt: skip
