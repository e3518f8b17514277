"""The day as a page: what it saves, beside its baseline and its quality, and then the report of its ledger."""

from __future__ import annotations

from typing import Final

from costlab._internal.html import render
from costlab._internal.text import dollars, moment
from costlab.demo.play import DemoBill, DemoProgress, DemoResult, time_of_day
from costlab.monitoring import report_html
from costlab.synthetic import RUNAWAY_TENANT, SERVICE_TIERS
from costlab.units import SECONDS_PER_HOUR

BASELINE: Final = "all to large, no guard"
HERE: Final = "this service"

#: Over `bill_rows`.
BILL_HEADINGS: Final = ("", "ordinary requests", "runaway client", "cost", "right answers")


def bill_rows(result: DemoResult) -> tuple[tuple[str, ...], ...]:
    """Both ways to serve the day, each with its cost, in parts and in all, and its share of right answers."""

    def row(name: str, bill: DemoBill) -> tuple[str, ...]:
        right = f"{bill.quality_fraction:.1%}"
        return (name, dollars(bill.ordinary_usd), dollars(bill.runaway_usd), dollars(bill.usd), right)

    return (row(BASELINE, result.end.baseline), row(HERE, result.end.here))


def progress_line(now: DemoProgress) -> str:
    """How the day is going, in a line."""
    refused = f", {now.outcomes['refused']:,} refused" if now.outcomes["refused"] else ""
    return (
        f"{time_of_day(now.time_s)}  {now.done:>9,} requests  {dollars(now.here.usd, cents=True)} "
        f"(all to large: {dollars(now.baseline.usd, cents=True)}), {now.hit_rate_fraction:.0%} from the cache{refused}"
    )


def story(result: DemoResult) -> tuple[str, ...]:
    """The day in sentences: what was saved, by what, at which quality, and what the guard cost the client."""
    end, here, baseline = result.end, result.end.here, result.end.baseline
    loop = end.total - here.ordinary
    refused = here.ordinary - here.answered
    spared = f", {refused:,} refusals included" if refused else ""
    sentences = [
        f"The day costs {dollars(here.usd)} instead of {dollars(baseline.usd)}: {result.saving_fraction:.1%} less.",
        f"The {here.ordinary:,} ordinary requests cost {result.ordinary_saving_fraction:.1%} less, by cache and "
        f"cascade{spared}; {end.outcomes['cache'] / here.ordinary:.1%} of them are answered from the cache.",
    ]
    if result.refused_from_s is not None:
        budget = dollars(result.hard_usd[RUNAWAY_TENANT])
        sentences.append(
            f"The client {RUNAWAY_TENANT} runs away at 14:00 with {loop:,} requests. "
            f"From {time_of_day(result.refused_from_s)} on its budget of {budget} a day refuses them: "
            f"they cost {dollars(here.runaway_usd)} instead of {dollars(baseline.runaway_usd)}."
        )
    quality = (
        f"{here.quality_fraction:.1%} of the ordinary requests get the right answer, "
        f"{baseline.quality_fraction:.1%} at the large model alone"
    )
    if refused:
        quality += (
            f". {refused:,} were refused by a budget and count as wrong; of those answered, "
            f"{here.answered_quality_fraction:.1%} are right"
        )
    return (*sentences, f"{quality}.")


def demo_html(result: DemoResult) -> str:
    """The page as the text of one HTML file that needs no other."""
    hours, call_usd = result.report.trend, SERVICE_TIERS[-1].usd_per_request
    first, last = hours[0].key[0], hours[-1].key[0]
    most_usd = max(hour.requests for hour in hours) * call_usd
    bars = [
        {
            "x": (hour.key[0] - first) // SECONDS_PER_HOUR + 0.1,
            "whole": 100 * hour.requests * call_usd / most_usd,
            "spent": 100 * hour.cost_usd / most_usd,
            "title": f"{moment(hour.key[0])}: {dollars(hour.cost_usd)} instead of {dollars(hour.requests * call_usd)}",
        }
        for hour in hours
    ]
    highest = dollars(max(hour.cost_usd for hour in hours))
    lead = render(
        "demo/lead.html",
        story=story(result),
        headings=BILL_HEADINGS,
        bills=bill_rows(result),
        here=HERE,
        baseline=BASELINE,
        slots=(last - first) // SECONDS_PER_HOUR + 1,
        bars=bars,
        chart_label=f"Cost of each hour: at most {highest}, {BASELINE} at most {dollars(most_usd)}",
        first=moment(first),
        last=moment(last),
        alerts=result.end.alerts,
    )
    return report_html(result.report, f"A service's day, seed {result.seed}", lead)
