"""The words and numbers of a report, which the terminal and the page share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from costlab.monitoring.report.build import Report
from costlab.monitoring.usage import UsageTotals

__all__ = ["HEADINGS", "facts", "group_row", "moment", "usd"]

HEADINGS: Final = ("requests", "share", "cost", "share of cost", "per request", "per 1K tokens", "unpriced")


def usd(value: float | None) -> str:
    """Dollars as people read them: cents, or below a dollar three digits that tell something; "-" for none."""
    if value is None:
        return "-"
    if value == 0:
        return "$0"
    if abs(value) >= 1:
        return f"${value:,.2f}"
    cents, rest = f"{float(f'{value:.3g}'):.12f}"[:4], f"{float(f'{value:.3g}'):.12f}"[4:].rstrip("0")
    return f"${cents}{rest}"


def moment(second: float, unit: str = "minute") -> str:
    """A time as text, in UTC: the day, or with hours and minutes."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d" if unit == "day" else "%Y-%m-%d %H:%M")


def group_row(one: UsageTotals, total: UsageTotals) -> tuple[str, ...]:
    """A group's line under :data:`HEADINGS`."""
    share = one.cost_micro_usd / total.cost_micro_usd if total.cost_micro_usd and one.priced_requests else None
    return (
        f"{one.requests:,}",
        f"{one.requests / total.requests:.1%}",
        usd(one.cost_usd if one.priced_requests else None),
        "-" if share is None else f"{share:.1%}",
        usd(one.usd_per_request),
        usd(one.usd_per_1k_tokens),
        f"{one.unpriced_requests:,}" if one.unpriced_requests else "",
    )


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """The headline figures, each with its name."""
    total, metrics = report.total, report.metrics
    priced = total.priced_requests > 0
    monthly = f", {usd(report.usd_per_month)} a month (730 h) at this rate" if report.usd_per_month else ""
    found = [("cost of the requests", usd(total.cost_usd) + monthly if priced else "unknown: no request has a price")]
    if priced:
        found.append(("per request", usd(metrics.cost_per_request_usd)))
        if total.usd_per_1k_tokens is not None:  # requests that were counted without tokens have none
            found.append(("per 1K tokens", usd(total.usd_per_1k_tokens)))
    if total.conversions and priced:
        words = f"{usd(metrics.cost_per_conversion_usd)} for each of {total.conversions:,}"
        if metrics.cost_of_revenue_fraction is not None:
            target = "within" if metrics.cost_of_revenue_fraction < 0.05 else "above"
            words += (
                f", {metrics.cost_of_revenue_fraction:.1%} of the {usd(total.revenue_usd_per_conversion)} it earns "
                f"({target} the target of 5 %)"
            )
        found.append(("per conversion", words))
    if total.unpriced_requests:
        models = [one.key[0] for one in report.models if one.unpriced_requests]
        names = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
        found.append(
            (
                "unpriced",
                f"{total.unpriced_requests:,} requests ({total.unpriced_fraction:.1%}) of {names}: "
                "in no figure in dollars, so the true cost is higher",
            )
        )
    if report.gpus:
        hours = sum(gpu.hours for gpu in report.gpus)
        bill = sum(gpu.cost_usd for gpu in report.gpus)
        busy = metrics.gpu_utilization_fraction
        found += [
            (
                "GPU bill",
                f"{usd(bill)} for {hours:,.1f} GPU-hours, {usd(metrics.gpu_cost_per_request_usd)} per request served",
            ),
            ("GPU utilization", "unknown" if busy is None else f"{busy:.0%} (target 65 to 80 %)"),
            ("idle GPUs", f"{usd(report.idle_usd)} for {metrics.idle_gpu_hours or 0:,.1f} GPU-hours below 10 %"),
        ]
    return tuple(found)
