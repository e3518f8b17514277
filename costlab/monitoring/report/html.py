"""The report as one page: no scripts, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from costlab.monitoring.report.build import Report
from costlab.monitoring.report.text import HEADINGS, facts, group_row, moment, usd
from costlab.monitoring.usage import SPANS, UsageTotals

__all__ = ["html_table", "report_html"]

#: Lines of a table; what is beyond is summed in a last one.
MAX_ROWS: Final = 12

STYLE: Final = """
:root { --ink: #1c1e21; --soft: #5a6069; --line: #d8dce1; --paper: #ffffff; --bar: #0072b2; --mark: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a4abb5; --line: #3a4048; --paper: #16181c; --bar: #56b4e9; --mark: #3a3216; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0 .75rem; } .soft { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .75rem;
  margin: 1rem 0; }
dl div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
dt { color: var(--soft); font-size: .875rem; } dd { margin: 0; }
div.unpriced { background: var(--mark); }
ol { padding-left: 1.4rem; } li { margin-bottom: .8rem; } li b { font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 600; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--paper); }
svg { width: 100%; height: 10rem; display: block; border-bottom: 1px solid var(--line); } svg rect { fill: var(--bar); }
.dates { display: flex; justify-content: space-between; color: var(--soft); font-size: .8rem; }
""".strip()


def report_html(report: Report, title: str, lead: str = "") -> str:
    """The report as the text of one HTML file that needs no other.

    Parameters
    ----------
    report : Report
        What to show.
    title : str
        Its heading: the name of the log.
    lead : str
        HTML of one's own under the heading, taken as it is.
    """
    total = report.total
    span = f"{moment(total.first_s)} to {moment(total.last_s)} UTC, {total.requests:,} requests"
    cards = "".join(
        f'<div class="{escape(name.replace(" ", "-"))}"><dt>{escape(name)}</dt><dd>{escape(words)}</dd></div>'
        for name, words in facts(report)
    )
    parts = [f"<h1>{escape(title)}</h1><p class='soft'>{span}</p>{lead}<dl>{cards}</dl>", _savings(report)]
    parts.append(f"<h2>Cost by {report.trend_unit}</h2>{_chart(report)}")
    for name, groups in (("tier", report.tiers), ("model", report.models), ("tenant", report.tenants)):
        if name == "model" and [one.key for one in groups] == [one.key for one in report.tiers]:
            continue  # the model stands for the tier
        if len(groups) > 1 or groups[0].key[0]:
            parts.append(f"<h2>By {name}</h2>{_groups(name, groups, total)}")
    if report.gpus:
        parts.append(f"<h2>GPUs</h2>{_gpus(report)}")
    if report.notes:
        parts.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _savings(report: Report) -> str:
    if not report.savings:
        return "<h2>Savings</h2><p>None found that is worth a line.</p>"
    items = "".join(
        f"<li><b>{usd(one.usd)}</b>{'' if one.usd_per_month is None else f' ({usd(one.usd_per_month)} a month)'}: "
        f"{escape(one.action)}<br><span class='soft'>{escape(one.how)}</span></li>"
        for one in report.savings
    )
    overlap = (
        "<p class='soft'>They overlap: the same dollar may be in two of them.</p>" if len(report.savings) > 1 else ""
    )
    return f"<h2>Largest savings</h2><ol>{items}</ol>{overlap}"


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in a box of its own, with everything escaped."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    # A table that is wider than the screen scrolls by itself, with the keyboard too.
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _groups(name: str, groups: Sequence[UsageTotals], total: UsageTotals) -> str:
    rows = [(one.key[0] or "(none)", *group_row(one, total)) for one in groups[:MAX_ROWS]]
    more = "" if len(groups) <= MAX_ROWS else f"<p class='soft'>and {len(groups) - MAX_ROWS:,} more, each cheaper</p>"
    return html_table((name, *HEADINGS), rows) + more


def _gpus(report: Report) -> str:
    rows = [
        (
            str(gpu.key[0]),
            f"{gpu.hours:,.1f}",
            usd(gpu.cost_usd),
            "unknown" if gpu.utilization_fraction is None else f"{gpu.utilization_fraction:.0%}",
            f"{gpu.idle_hours:,.1f}",
            usd(gpu.idle_cost_usd),
        )
        for gpu in report.gpus[:MAX_ROWS]
    ]
    return html_table(("GPU", "hours", "cost", "utilization", "idle hours", "idle cost"), rows)


def _chart(report: Report) -> str:
    """A bar for each hour or day, the dearest as high as the chart; the words beside it keep their size on a phone."""
    bars, dearest = report.trend, max(report.trend, key=lambda one: one.cost_usd)
    if not dearest.cost_micro_usd:
        return "<p>No cost to draw.</p>"
    first, step = bars[0].key[0], SPANS[report.trend_unit]
    slots = (bars[-1].key[0] - first) // step + 1
    drawn = []
    for one in bars:
        height = 100 * one.cost_micro_usd / dearest.cost_micro_usd
        tip = f"{moment(one.key[0], report.trend_unit)}: {usd(one.cost_usd)}, {one.requests:,} requests"
        place = (
            f'x="{(one.key[0] - first) // step + 0.08:.2f}" y="{100 - height:.2f}" width="0.84" height="{height:.2f}"'
        )
        drawn.append(f"<rect {place}><title>{escape(tip)}</title></rect>")
    ends = [first] if slots == 1 else [first, bars[-1].key[0]]
    if slots > 4:
        ends.insert(1, first + slots // 2 * step)
    dates = "".join(f"<span>{moment(end, report.trend_unit)}</span>" for end in ends)
    words = f"most in the {report.trend_unit} of {moment(dearest.key[0], report.trend_unit)}: {usd(dearest.cost_usd)}"
    return (
        f"<p class='soft'>{escape(words)}</p>"
        f'<svg viewBox="0 0 {slots} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Cost by {report.trend_unit}, {escape(words)}">{"".join(drawn)}</svg>'
        f'<div class="dates">{dates}</div>'
    )
