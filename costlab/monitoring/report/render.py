"""A report for people: its words and tables, on the terminal and as a page of HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costlab._internal.text import counted, dollars, moment, printable, shortened
from costlab.monitoring.importers.protocol import ReadCounts
from costlab.monitoring.pricing import NO_SUCH_MODEL
from costlab.monitoring.report.build import Report
from costlab.monitoring.report.savings import Saving
from costlab.monitoring.report.token_kinds import usd_by_kind
from costlab.monitoring.usage import SPANS, UsageTotals
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    from rich.table import Table

#: Lines of a table on the terminal and on the page, and of the trend on the terminal.
MAX_ROWS: Final = 10
MAX_PAGE_ROWS: Final = 12
MAX_TREND: Final = 31

GROUP_HEADINGS: Final = ("requests", "share", "cost", "share of cost", "per request", "per 1K tokens", "unpriced")
GPU_HEADINGS: Final = ("GPU", "hours", "cost", "utilization", "idle hours", "idle cost")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    title : str
        What it shows.
    headings : tuple of str
        Over the columns; the first names what a line is about.
    rows : tuple of tuple of str
        The cells.
    more : str
        How much was left out; empty where nothing was.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = ""


def group_tables(report: Report, max_rows: int = MAX_ROWS) -> tuple[ReportTable, ...]:
    """The costs by tier, model and tenant, as far as each says something of its own."""
    chosen = []
    for name, groups in (("tier", report.tiers), ("model", report.models), ("tenant", report.tenants)):
        if len(groups) == 1 and not groups[0].key[0]:
            continue  # a log of one nameless tenant
        if name == "tier" and [group.key for group in groups] == [model.key for model in report.models]:
            continue  # the log tells no tiers, so the models are taken for them
        rows = tuple(
            (shortened(group.key[0]) or "(none)", *_group_row(group, report.total)) for group in groups[:max_rows]
        )
        more = f"and {len(groups) - max_rows:,} more, each cheaper" if len(groups) > max_rows else ""
        chosen.append(ReportTable(f"by {name}", (name, *GROUP_HEADINGS), rows, more))
    return tuple(chosen)


def gpu_tables(report: Report, max_rows: int = MAX_ROWS) -> tuple[ReportTable, ...]:
    """The costs of the GPUs; none without a log of them."""
    rows = tuple(
        (
            shortened(str(gpu.key[0])),
            f"{gpu.hours:,.1f}",
            dollars(gpu.cost_usd),
            "unknown" if gpu.utilization_fraction is None else f"{gpu.utilization_fraction:.0%}",
            f"{gpu.idle_hours:,.1f}",
            dollars(gpu.idle_cost_usd),
        )
        for gpu in report.gpus[:max_rows]
    )
    return (ReportTable("GPUs", GPU_HEADINGS, rows),) if rows else ()


def _cost(group: UsageTotals) -> str:
    """A group's cost as text; "-" where none of it is known, which is not nothing."""
    return dollars(group.cost_usd if group.has_cost else None)


def _group_row(group: UsageTotals, total: UsageTotals) -> tuple[str, ...]:
    """A group's line under :data:`GROUP_HEADINGS`."""
    share = group.cost_micro_usd / total.cost_micro_usd if total.cost_micro_usd and group.has_cost else None
    return (
        f"{group.requests:,}",
        f"{group.requests / total.requests:.1%}" if total.requests else "-",
        _cost(group),
        "-" if share is None else f"{share:.1%}",
        dollars(group.usd_per_request),
        dollars(group.usd_per_1k_tokens),
        f"{group.unpriced_requests:,}" if group.unpriced_requests else "",
    )


def reading(report: Report) -> tuple[tuple[str, str], ...]:
    """What was read and what became of it, each with its name: the first thing that a reader of the figures asks."""
    lines = [("read", words_of_read(report.read))] if report.read else []
    total, pricing = report.total, report.pricing
    ended = {"failed": total.failed_requests, "from a cache": total.cached_requests, "refused": total.refused_requests}
    if any(ended.values()):
        words = ", ".join(f"{count:,} {how}" for how, count in ended.items() if count)
        lines.append(("outcomes", f"{words}, of {counted(total.requests, 'request')}"))
    if total.credits:
        credited = "a credit" if total.credits == 1 else f"{total.credits:,} credits"
        lines.append(("credits", f"{credited} of {dollars(total.credit_micro_usd / MICRO_USD_PER_USD)}, taken off"))
    if pricing:
        told = total.priced_requests - pricing.requests_priced - pricing.requests_repriced - pricing.requests_own_server
        # What failed without tokens cost nothing, which the log need not say.
        nothing = min(told, total.failed_requests) if not total.failed_cost_micro_usd else 0
        counts = {
            "by the log": told - nothing,
            "from the catalogue": pricing.requests_priced,
            "from the catalogue in place of the log's cost": pricing.requests_repriced,
            "at nothing, for want of an answer": nothing,
            "at nothing, on servers of one's own": pricing.requests_own_server,
        }
        where = [f"{count:,} {how}" for how, count in counts.items() if count]
        if where:
            lines.append(("priced", f"{', '.join(where)}, of {counted(total.requests, 'request')}"))
        if pricing.unknown_tiers:
            seen = [f"{counted(number, 'request')} of {tier}" for tier, number in pricing.unknown_tiers.items()]
            shown = ", ".join(seen[:3]) + (f" and {len(seen) - 3} more" if len(seen) > 3 else "")
            lines.append(("tiers of service", f"{shown}, which the catalogue does not know: priced as standard"))
    if total.unpriced_requests:
        nearest = {one.model: one.nearest for one in pricing.unpriced} if pricing else {}
        models = [model.key[0] or "(none)" for model in report.models if model.unpriced_requests]
        named = [
            shortened(model) + (f" (near {nearest[model][0]})" if nearest.get(model) else "") for model in models[:3]
        ]
        names = ", ".join(named) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
        lines.append(
            (
                "unpriced",
                f"{counted(total.unpriced_requests, 'request')} ({total.unpriced_fraction:.1%}) of {names}"
                f"{_why_unpriced(report, models)}: in no figure in dollars, so the true cost is higher",
            )
        )
    elif uncounted := [one.model for one in (pricing.unpriced if pricing else ()) if not one.requests]:
        names = ", ".join(uncounted[:3]) + (f" and {len(uncounted) - 3} more" if len(uncounted) > 3 else "")
        words = f"sums of {names}, which count no requests: in no figure in dollars, so the true cost is higher"
        lines.append(("unpriced", words))
    return tuple(lines)


def _why_unpriced(report: Report, models: Sequence[str]) -> str:
    """The reason that no note tells, where it is the same for all; the notes tell all others."""
    reasons = {one.model: one.reason for one in (report.pricing.unpriced if report.pricing else ())}
    return ", not in the catalogue" if {reasons.get(model) for model in models} == {NO_SUCH_MODEL} else ""


def words_of_read(read: ReadCounts) -> str:
    """What became of the rows of the files."""
    files = "" if read.files == 1 else f" in {read.files:,} files"
    parts = [f"{counted(read.rows, 'row')}{files}"]
    if read.repeated:
        parts.append(
            counted(read.repeated, "tells a request again and is left out", "tell a request again and are left out")
        )
    parts += [f"{number:,} left out: {reason}" for reason, number in read.dropped.items() if number]
    if read.bad_rows:
        first = read.bad[0]
        parts.append(f"{read.bad_rows:,} left out that cannot be read, as {first.where}: {first.why}")
    return "; ".join(parts)


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """The headline figures, each with its name."""
    total, metrics = report.total, report.metrics
    priced = total.has_cost
    monthly = f", {dollars(report.usd_per_month)} a month (730 h) at this rate" if report.usd_per_month else ""
    assumed = f"; up to {dollars(report.assumed_usd)} of it rests on what was assumed" if report.assumed_usd else ""
    cost = dollars(total.cost_usd) + monthly + assumed if priced else "unknown: no request has a price"
    lines = [*reading(report), ("cost of the requests", cost)]
    if total.priced_requests:
        lines.append(("per request", dollars(metrics.cost_per_request_usd)))
    if priced and total.usd_per_1k_tokens is not None:  # requests that were counted without tokens have none
        lines.append(("per 1K tokens", dollars(total.usd_per_1k_tokens)))
    lines += _of_kinds(report)
    if total.conversions and priced:
        words = f"{dollars(metrics.cost_per_conversion_usd)} for each of {total.conversions:,}"
        if metrics.cost_of_revenue_fraction is not None:
            target = "within" if metrics.cost_of_revenue_fraction < 0.05 else "above"
            words += (
                f", {metrics.cost_of_revenue_fraction:.1%} of the {dollars(total.revenue_usd_per_conversion)} it earns "
                f"({target} the target of 5 %)"
            )
        lines.append(("per conversion", words))
    if report.gpus:
        hours = sum(gpu.hours for gpu in report.gpus)
        bill, served = sum(gpu.cost_usd for gpu in report.gpus), dollars(metrics.gpu_cost_per_request_usd)
        busy = metrics.gpu_utilization_fraction
        lines += [
            ("GPU bill", f"{dollars(bill)} for {hours:,.1f} GPU-hours, {served} per request served"),
            ("GPU utilization", "unknown" if busy is None else f"{busy:.0%} (target 65 to 80 %)"),
            ("idle GPUs", f"{dollars(report.idle_usd)} for {metrics.idle_gpu_hours or 0:,.1f} GPU-hours below 10 %"),
        ]
    return tuple(lines)


def _of_kinds(report: Report) -> Iterator[tuple[str, str]]:
    """Where the money goes if prompts are written to the provider's cache, which costs more than reading them."""
    total = report.total
    usd = usd_by_kind(report.models) if total.cache_write_tokens else None
    if usd is None:
        return
    written, read = (count / total.input_tokens for count in (total.cache_write_tokens, total.cached_input_tokens))
    searches = (
        f", {dollars(usd['searches'])} for {counted(total.priced_searches, 'search', 'searches')}"
        if total.priced_searches
        else ""
    )
    yield (
        "by kind of token",
        f"about {dollars(usd['cache_write'])} to write {written:.1%} of the input to the prompt cache, "
        f"{dollars(usd['cached_input'])} to read {read:.1%} from it, {dollars(usd['input'])} for the rest of the "
        f"input, {dollars(usd['output'])} for output{searches}",
    )


def _amount(saving: Saving) -> tuple[str, str]:
    """What is saved, and the rest of the line."""
    monthly = "" if saving.usd_per_month is None else f" ({dollars(saving.usd_per_month)} a month)"
    return dollars(saving.usd), f"{monthly}: {saving.action}"


def report_lines(report: Report, name: str, width: int) -> Iterator[str | Table]:
    """The report for a terminal: lines, those of words broken at `width`, and tables of ``rich`` among them.

    Parameters
    ----------
    report : Report
        What to show.
    name : str
        The log's name.
    width : int
        Most characters of a line.
    """

    def wrapped(line: str, indent: int) -> str:
        return textwrap.fill(
            printable(line), width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )

    total = report.total
    when = f"{moment(total.first_s)} to {moment(total.last_s)} UTC"
    yield f"{printable(name)}: {counted(total.requests, 'request')}, {when}"
    for what, words in facts(report):
        yield wrapped(f"  {what}: {words}", 4)
    for table in group_tables(report):
        yield _for_terminal(table)
        if table.more:
            yield f"  {table.more}"
    yield from _trend(report)
    yield from map(_for_terminal, gpu_tables(report))
    yield "largest savings:" if report.savings else "no saving found that is worth a line"
    for number, saving in enumerate(report.savings, 1):
        yield wrapped(f"  {number}. {''.join(_amount(saving))}", 5)
        yield wrapped(f"     {saving.how}", 5)
    if len(report.savings) > 1:
        yield "  they overlap: the same dollar may be in two of them"
    for note in report.notes:
        yield wrapped(f"note: {note}", 6)


def _for_terminal(table: ReportTable) -> Table:
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=table.title, title_justify="left")
    for place, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if place else "left", overflow="fold")
    for first, *cells in table.rows:
        shown.add_row(*(escape(printable(cell)) for cell in (first, *cells)))
    return shown


def _trend(report: Report) -> Iterator[str]:
    most = max(group.cost_usd for group in report.trend)
    shown = report.trend[-MAX_TREND:]
    older = "" if len(shown) == len(report.trend) else f", the last {len(shown)} of {len(report.trend)}"
    yield f"by {report.trend_unit} (UTC){older}"
    for group in shown:
        bar = "#" * round(30 * group.cost_usd / most) if most else ""
        when = moment(group.key[0], report.trend_unit)
        requests = "request " if group.requests == 1 else "requests"
        yield f"  {when}  {group.requests:>10,} {requests}  {_cost(group):>12}  {bar}"


def report_html(report: Report, title: str, lead: str = "") -> str:
    """The report as the text of one HTML file that needs no other: no scripts, readable on a phone and in the dark.

    Parameters
    ----------
    report : Report
        What to show.
    title : str
        Its heading: the name of the log.
    lead : str
        HTML of one's own under the heading, taken as it is.
    """
    from markupsafe import Markup

    from costlab._internal.html import render

    total, trend, unit = report.total, report.trend, report.trend_unit
    highest = max(trend, key=lambda group: group.cost_usd)
    first, last, step = trend[0].key[0], trend[-1].key[0], SPANS[unit]
    slots = (last - first) // step + 1
    bars = [
        {
            "x": (group.key[0] - first) // step + 0.08,
            "height": 100 * group.cost_micro_usd / highest.cost_micro_usd,
            "title": f"{moment(group.key[0], unit)}: {_cost(group)}, {counted(group.requests, 'request')}",
        }
        for group in (trend if highest.cost_micro_usd else ())
    ]
    ends: Sequence[int] = [first] if slots == 1 else [first, last]
    if slots > 4:
        ends = [first, first + slots // 2 * step, last]
    return render(
        "monitoring/report/page.html",
        title=title,
        span=f"{moment(total.first_s)} to {moment(total.last_s)} UTC, {counted(total.requests, 'request')}",
        lead=Markup(lead),  # noqa: S704 - HTML by contract
        facts=facts(report),
        savings=[(_amount(saving), saving.how) for saving in report.savings],
        unit=unit,
        highest=f"most in the {unit} of {moment(highest.key[0], unit)}: {_cost(highest)}",
        bars=bars,
        slots=slots,
        dates=[moment(end, unit) for end in ends],
        tables=group_tables(report, MAX_PAGE_ROWS) + gpu_tables(report, MAX_PAGE_ROWS),
        notes=report.notes,
    )
