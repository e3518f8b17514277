"""The figures of the alerts from logs, minute by minute: what Prometheus would have computed from the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final

from costlab._internal import checks
from costlab.monitoring.alerts.evaluate import Timeline
from costlab.monitoring.alerts.rules import recordings
from costlab.monitoring.usage import GpuUsage, Usage, gpu_usage, usage
from costlab.units import MICRO_USD_PER_USD

__all__ = ["gpu_timelines", "request_timelines"]

#: Rules are evaluated, and metrics scraped, once a minute.
STEP: Final = 60

WINDOWS: Final = {one.name: int(one.window_s) for one in recordings()}


def request_timelines(frame: Any) -> tuple[Timeline, ...]:
    """The figures of requests from a log, at the end of each minute.

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`costlab.monitoring.usage.usage`; of a ledger,
        ``event_frame(ledger.events())``.

    Returns
    -------
    tuple of Timeline
        Cost per request, unpriced fraction, cost of revenue, and for each tier its share and its cost. A window that
        begins before the log holds what there is. A minute whose window holds no request has no value.

    Raises
    ------
    UsageError, MissingExtraError
        As :func:`costlab.monitoring.usage.usage`.
    """
    cells = usage(frame, by=["minute", "tier"])
    if not cells:
        return ()
    minutes = list(range(cells[0].key[0], max(cell.key[0] for cell in cells) + STEP, STEP))
    ends = tuple(float(minute + STEP) for minute in minutes)
    tiers = sorted({cell.key[1] for cell in cells})

    def sums(value: Callable[[Usage], int], name: str, tier: str | None = None) -> list[int]:
        """Sums over the window that ends with each minute."""
        per_minute = dict.fromkeys(minutes, 0)
        for cell in cells:
            if tier in (None, cell.key[1]):
                per_minute[cell.key[0]] += value(cell)
        return _windows(list(per_minute.values()), WINDOWS[name] // STEP)

    def ratio(name: str, above: list[int], below: list[int], factor: float = 1.0, label: str = "") -> Timeline:
        values = tuple(a * factor / b if b else None for a, b in zip(above, below, strict=True))
        return Timeline(name, label, ends, values)

    per_request, unpriced = "costlab:cost_usd_per_request:5m", "costlab:unpriced_fraction:1h"
    revenue, share, spent = (
        "costlab:cost_of_revenue_fraction:1d",
        "costlab:tier_requests_fraction:1h",
        "costlab:tier_cost_usd:1h",
    )
    requests_1h = sums(_requests, share)
    found = [
        ratio(per_request, sums(_cost, per_request), sums(_priced, per_request), 1 / MICRO_USD_PER_USD),
        ratio(unpriced, sums(_unpriced, unpriced), requests_1h),
        ratio(revenue, sums(_cost, revenue), sums(_value, revenue)),
    ]
    for tier in tiers:
        found.append(ratio(share, sums(_requests, share, tier), requests_1h, label=tier))
        cost = tuple(micro / MICRO_USD_PER_USD for micro in sums(_cost, spent, tier))
        found.append(Timeline(spent, tier, ends, cost))
    return tuple(found)


def _requests(cell: Usage) -> int:
    return cell.requests


def _unpriced(cell: Usage) -> int:
    return cell.unpriced_requests


def _priced(cell: Usage) -> int:
    return cell.priced_requests


def _cost(cell: Usage) -> int:
    return cell.cost_micro_usd


def _value(cell: Usage) -> int:
    return cell.conversion_value_micro_usd


def _windows(values: Sequence[int], length: int) -> list[int]:
    """The sum of the last `length` values, at each of them."""
    total = [0, *accumulate(values)]
    return [total[end] - total[max(0, end - length)] for end in range(1, len(total))]


def gpu_timelines(frame: Any, budget_usd_per_day: float | None = None) -> tuple[Timeline, ...]:
    """The figures of GPUs from a log of GPU hours, at the end of each minute.

    Parameters
    ----------
    frame : data frame
        A log of GPU hours, as for :func:`costlab.monitoring.usage.gpu_usage`. Rows of up to an hour are spread evenly
        over their minutes; a utilization is then the mean of its row.
    budget_usd_per_day : float, optional
        What the GPUs may cost a day; without it there is no figure of spending.

    Returns
    -------
    tuple of Timeline
        The mean utilization, each GPU's, and spending over budget.

    Raises
    ------
    UsageError, MissingExtraError
        As :func:`costlab.monitoring.usage.gpu_usage`.
    InvalidValueError
        If `budget_usd_per_day` is not above zero.
    """
    rows = gpu_usage(frame, by=["minute", "gpu"])
    if not rows:
        return ()
    lasts = [row.key[0] + max(STEP, round(row.hours * 3600 / STEP) * STEP) for row in rows]
    minutes = range(rows[0].key[0], max(lasts), STEP)
    ends = tuple(float(minute + STEP) for minute in minutes)
    gpus = sorted({row.key[1] for row in rows})
    share: dict[str, list[float | None]] = {gpu: [None] * len(minutes) for gpu in gpus}
    cost = [0.0] * len(minutes)
    for row, last in zip(rows, lasts, strict=True):
        first, count = (row.key[0] - minutes[0]) // STEP, (last - row.key[0]) // STEP
        for place in range(first, first + count):
            share[row.key[1]][place] = _share(row)
            cost[place] += row.cost_usd / count
    found = [Timeline("costlab:gpu_utilization_each:now", gpu, ends, tuple(share[gpu])) for gpu in gpus]
    together = [[value for value in moment if value is not None] for moment in zip(*share.values(), strict=True)]
    mean = tuple(sum(values) / len(values) if values else None for values in together)
    found.insert(0, Timeline("costlab:gpu_utilization:now", "", ends, mean))
    if budget_usd_per_day is not None:
        budget = checks.positive("budget_usd_per_day", budget_usd_per_day)
        name = "costlab:gpu_spend_of_budget:1d"
        total = [0.0, *accumulate(cost)]
        length = WINDOWS[name] // STEP
        spent = tuple((total[end] - total[max(0, end - length)]) / budget for end in range(1, len(total)))
        found.append(Timeline(name, "", ends, spent))
    return tuple(found)


def _share(row: GpuUsage) -> float | None:
    return row.utilization_fraction
