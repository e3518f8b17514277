"""The day as a page: what it saves, beside its baseline and its quality, and then the report of its ledger."""

from __future__ import annotations

from html import escape
from typing import Final

from costlab.demo.play import DemoBill, DemoResult, time_of_day
from costlab.monitoring.report import report_html
from costlab.monitoring.report.html import html_table
from costlab.monitoring.report.text import moment, usd
from costlab.synthetic import RUNAWAY_TENANT, SERVICE_TIERS
from costlab.units import SECONDS_PER_HOUR

__all__ = ["BASELINE", "HEADINGS", "HERE", "bill_rows", "demo_html", "story"]

BASELINE: Final = "all to large, no guard"
HERE: Final = "this service"

#: Over `bill_rows`.
HEADINGS: Final = ("", "ordinary requests", "runaway client", "cost", "right answers")

STYLE: Final = """<style>
.pair rect.all { fill: none; stroke: var(--soft); stroke-width: 1; vector-effect: non-scaling-stroke; }
.key { color: var(--soft); font-size: .875rem; } .key i { display: inline-block; width: .8em; height: .8em;
  margin: 0 .3em 0 .8em; vertical-align: -.05em; border: 1px solid var(--soft); }
.key i.here { background: var(--bar); border-color: var(--bar); margin-left: 0; }
.big { font-size: 1.15rem; }
</style>"""


def bill_rows(result: DemoResult) -> tuple[tuple[str, ...], ...]:
    """Both ways to serve the day, each with its cost, in parts and in all, and its share of right answers."""

    def row(name: str, bill: DemoBill) -> tuple[str, ...]:
        right = f"{bill.quality_fraction:.1%}"
        return (name, usd(bill.ordinary_usd), usd(bill.runaway_usd), usd(bill.usd), right)

    return (row(BASELINE, result.end.baseline), row(HERE, result.end.here))


def story(result: DemoResult) -> tuple[str, ...]:
    """The day in sentences: what was saved, by what, at which quality, and what the guard cost the client."""
    end, here, baseline = result.end, result.end.here, result.end.baseline
    loop = end.total - here.ordinary
    refused = here.ordinary - here.answered
    spared = f", {refused:,} refusals included" if refused else ""
    found = [
        f"The day costs {usd(here.usd)} instead of {usd(baseline.usd)}: {result.saving_fraction:.1%} less.",
        f"The {here.ordinary:,} ordinary requests cost {result.ordinary_saving_fraction:.1%} less, by cache and "
        f"cascade{spared}; {end.outcomes['cache'] / here.ordinary:.1%} of them are answered from the cache.",
    ]
    if result.refused_from_s is not None:
        budget = usd(result.hard_usd[RUNAWAY_TENANT])
        found.append(
            f"The client {RUNAWAY_TENANT} runs away at 14:00 with {loop:,} requests. "
            f"From {time_of_day(result.refused_from_s)} on its budget of {budget} a day refuses them: "
            f"they cost {usd(here.runaway_usd)} instead of {usd(baseline.runaway_usd)}."
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
    return (*found, f"{quality}.")


def demo_html(result: DemoResult) -> str:
    """The page as the text of one HTML file that needs no other.

    Parameters
    ----------
    result : DemoResult
        What to show.
    """
    first, *rest = (escape(line) for line in story(result))
    alerts = "".join(f"<li>{escape(line)}</li>" for line in result.end.alerts)
    parts = [
        STYLE,
        f"<p class='big'><b>{first}</b></p>",
        *(f"<p>{line}</p>" for line in rest),
        html_table(HEADINGS, bill_rows(result)),
        _chart(result),
        "<h2>What the budget guards said</h2>" + (f"<ul>{alerts}</ul>" if alerts else "<p>Nothing.</p>"),
        "<h2>The report of the ledger</h2>",
    ]
    return report_html(result.report, f"A service's day, seed {result.seed}", "\n".join(parts))


def _chart(result: DemoResult) -> str:
    """For each hour what it cost, inside of what it would have cost."""
    hours, call_usd = result.report.trend, SERVICE_TIERS[-1].usd_per_request
    most = max(one.requests for one in hours) * call_usd
    first = hours[0].key[0]
    drawn = []
    for one in hours:
        place = (one.key[0] - first) // SECONDS_PER_HOUR
        whole_usd = one.requests * call_usd
        tip = f"{moment(one.key[0])}: {usd(one.cost_usd)} instead of {usd(whole_usd)}"
        bars = "".join(
            f'<rect class="{kind}" x="{place + 0.1:.2f}" width="0.8" y="{100 - height:.2f}" height="{height:.2f}"/>'
            for kind, height in (("all", 100 * whole_usd / most), ("here", 100 * one.cost_usd / most))
        )
        drawn.append(f"<g><title>{escape(tip)}</title>{bars}</g>")
    slots = (hours[-1].key[0] - first) // SECONDS_PER_HOUR + 1
    words = f"Cost of each hour: at most {usd(max(one.cost_usd for one in hours))}, {BASELINE} at most {usd(most)}"
    return (
        f"<h2>Hour by hour</h2><p class='key'><i class='here'></i>{HERE}<i></i>{BASELINE}</p>"
        f'<svg class="pair" viewBox="0 0 {slots} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}">{"".join(drawn)}</svg>'
        f'<div class="dates"><span>{moment(first)}</span><span>{moment(hours[-1].key[0])}</span></div>'
    )
