"""What GPUs cost, how busy they are, and what they cost while idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from costlab._internal import checks
from costlab.errors import LogError
from costlab.monitoring.usage import SPANS, Key, LogFrame, key_of, unmet
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

#: A row is one GPU over one stretch of time: when it began (seconds since 1970 UTC), the GPU's name, its length in
#: hours, the price of an hour, and the mean share of the time in which the GPU computed, in 0..1, null where unknown.
GPU_COLUMNS: Final = ("time_s", "gpu", "hours", "usd_per_hour", "utilization_fraction")

#: A GPU that computes less of the time than this is idle (S8), and less than that calls for fewer GPUs.
IDLE_BELOW_FRACTION: Final = 0.10
UNDERUSED_BELOW_FRACTION: Final = 0.40

#: Hours are summed as whole milliseconds, since a sum of fractions depends on the order.
MS_PER_HOUR: Final = SECONDS_PER_HOUR * 1000


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """What a group of GPU hours adds up to.

    Attributes
    ----------
    key : tuple
        What the group has in common: a GPU's name, or the second at which a day begins.
    hours, known_hours, idle_hours, underused_hours : float
        GPU-hours in all, those with a known utilization, those below 10 %, and those from 10 % to below 40 %.
    busy_hours : float
        Utilization times hours, of those where it is known.
    underused_busy_hours : float
        The same of the underused hours.
    cost_micro_usd, idle_cost_micro_usd, underused_cost_micro_usd : int
        What the hours cost, in micro-dollars.
    """

    key: Key
    hours: float
    known_hours: float
    idle_hours: float
    underused_hours: float
    busy_hours: float
    underused_busy_hours: float
    cost_micro_usd: int
    idle_cost_micro_usd: int
    underused_cost_micro_usd: int

    @property
    def cost_usd(self) -> float:
        """Cost in USD."""
        return self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def idle_cost_usd(self) -> float:
        """Cost of the idle hours in USD."""
        return self.idle_cost_micro_usd / MICRO_USD_PER_USD

    @property
    def utilization_fraction(self) -> float | None:
        """Share of the known GPU-hours in which GPUs computed; None where none is known."""
        return self.busy_hours / self.known_hours if self.known_hours else None


def gpu_usage(frame: IntoFrame, by: Sequence[str] = ()) -> tuple[GpuUsage, ...]:
    """What GPU hours add up to, in all or by group.

    Parameters
    ----------
    frame : data frame
        The columns of ``costlab.monitoring.GPU_COLUMNS``: a row is one GPU over one stretch of time. Of any
        engine that ``narwhals`` takes.
    by : sequence of str
        Some of `gpu`, `minute`, `hour`, `day`, a row counting where it begins; empty for a single total.

    Returns
    -------
    tuple of GpuUsage
        A group each, in the order of their keys.

    Raises
    ------
    LogError
        If a column is missing, or rows have a length or a price below zero or unknown, or a utilization outside 0..1.
    UnknownNameError
        If `by` names no group.

    Notes
    -----
    The utilization of a row is a mean: an hour that is half at 100 % and half at 0 counts as half busy, and as not
    idle. Short rows find more idle time than long ones. Unknown utilization is neither idle nor busy.

    The bill is that of the rows: GPUs of a machine that no one uses, and hours of a reservation in which the machine is
    switched off, are paid too and belong in the log.

    Examples
    --------
    A GPU at 1 dollar an hour works three hours at 80 % and waits one. What did the waiting cost?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 3600.0 * 3], "gpu": ["a", "a"], "hours": [3.0, 1.0], "usd_per_hour": [1.0, 1.0],
    ...     "utilization_fraction": [0.8, 0.0],
    ... })
    >>> (total,) = gpu_usage(log)
    >>> total.idle_hours, total.idle_cost_usd, round(total.utilization_fraction, 3)
    (1.0, 1.0, 0.6)
    """
    for name in by:
        checks.one_of("group", name, ("gpu", *SPANS))
    log = LogFrame("the log of GPU hours", frame, GPU_COLUMNS)
    import narwhals as nw

    infinite = float("inf")
    for name in ("time_s", *GPU_COLUMNS[2:]):
        if not log.is_number(name) and name != "utilization_fraction":  # of which none may be known
            raise LogError(f"the log of GPU hours has {log.schema[name]} in the column {name!r}, and must have numbers")
    hours, price, share = (log.value(name).cast(nw.Float64) for name in GPU_COLUMNS[2:])
    cost_usd = hours * price
    demands = [(value >= 0) & (value < infinite) for value in (log.number("time_s"), hours, price, cost_usd)]
    demands.append(((share >= 0) & (share <= 1)) | share.is_null())
    # The sum of many rows is rounded to the nearest, not up: a bill of GPU hours is no price of a request.
    ms, cost = (hours * MS_PER_HOUR + 0.5).floor(), (cost_usd * MICRO_USD_PER_USD + 0.5).floor()
    busy = (hours * share * MS_PER_HOUR + 0.5).floor()
    idle, underused = share < IDLE_BELOW_FRACTION, (share >= IDLE_BELOW_FRACTION) & (share < UNDERUSED_BELOW_FRACTION)
    parts = {
        "unmet": unmet(reduce(and_, demands)),
        "hours": ms,
        "known_hours": nw.when(~share.is_null()).then(ms),
        "idle_hours": nw.when(idle).then(ms),
        "underused_hours": nw.when(underused).then(ms),
        "busy_hours": busy,
        "underused_busy_hours": nw.when(underused).then(busy),
        "cost_micro_usd": cost,
        "idle_cost_micro_usd": nw.when(idle).then(cost),
        "underused_cost_micro_usd": nw.when(underused).then(cost),
    }
    keys = {f"key_{name}": log.key(name) if name in SPANS else nw.col("gpu") for name in by}
    sums = [nw.len().alias("rows"), *(nw.col(name).sum() for name in parts)]
    rows = log.lazy.select(**parts, **keys)
    totals = rows.group_by(*keys).agg(*sums) if by else rows.select(*sums)
    groups = []
    for row in totals.collect().iter_rows(named=True):
        if row["unmet"]:
            raise LogError(
                f"the log of GPU hours has {int(row['unmet'])} or more rows without time, hours and usd_per_hour >= 0 "
                "and utilization_fraction in 0..1 or none"
            )
        if row["rows"]:
            values: dict[str, Any] = {name: int(row[name] or 0) for name in parts if name != "unmet"}
            values |= {name: value / MS_PER_HOUR for name, value in values.items() if name.endswith("hours")}
            groups.append(GpuUsage(key_of(by, (row[name] for name in keys)), **values))
    return tuple(sorted(groups, key=lambda group: group.key))
