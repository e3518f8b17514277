"""Results as pandas DataFrames; without pandas, a :class:`~costlab.errors.MissingExtraError`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.catalog import PRECISIONS, PRICINGS, current_gpu_prices, gpu, gpus
from costlab.monitoring import Incident
from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["gpu_price_table", "gpu_spec_table", "incidents_table", "unit_price_table"]


def gpu_price_table(
    snapshot: str | None = None, gpu_names: list[str] | None = None, as_of: date | str | None = None
) -> DataFrame:
    """Current prices in USD per GPU-hour, a row per GPU and place, a column per way to buy.

    Parameters
    ----------
    snapshot : {'lesson', 'list'}, optional
        Only this table's rows.
    gpu_names : list of str, optional
        Only these GPUs, by name or alias.
    as_of : datetime.date or ISO date string, optional
        See the catalogue as it was on that day.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``gpu``, ``place`` and ``instance``; columns ``gpus``, those of the machine, which is sold whole
        (left out where no row names one), ``on_demand``, ``spot``, ``reserved_1y`` and
        ``reserved_3y`` as far as there are such prices (NaN where this place has none), then ``kind`` and
        ``checked``, the day of the oldest price in the row.

    Raises
    ------
    UnknownNameError
        If a name is unknown.
    """
    with extra("plots"):
        from pandas import DataFrame

    wanted = None if gpu_names is None else {gpu(name).name for name in gpu_names}
    prices = [p for p in current_gpu_prices(snapshot, as_of) if wanted is None or p.gpu in wanted]
    rows: dict[tuple[str, str, str, str], dict[str, object]] = {}
    for price in prices:
        key = (price.gpu, price.place, price.instance, price.kind)
        row = rows.setdefault(key, {"gpu": price.gpu, "place": price.place, "instance": price.instance})
        row[price.pricing] = price.usd_per_hour
        if price.instance_gpus is not None:
            row["gpus"] = price.instance_gpus
        row["kind"] = price.kind
        row["checked"] = min(str(price.checked), str(row.get("checked", price.checked)))
    columns = [p for p in ("gpus", *PRICINGS) if any(p in row for row in rows.values())]
    order = {spec.name: position for position, spec in enumerate(gpus())}
    listed = sorted(rows.values(), key=lambda row: order[str(row["gpu"])])
    return DataFrame(listed, columns=["gpu", "place", "instance", *columns, "kind", "checked"]).set_index(
        ["gpu", "place", "instance"]
    )


def gpu_spec_table() -> DataFrame:
    """Data-sheet figures, a row per GPU: GB of memory, GB/s, watts, dense peak rates in TFLOP/s or TOP/s."""
    with extra("plots"):
        from pandas import DataFrame

    rows = []
    for spec in gpus():
        row: dict[str, object] = {"gpu": spec.name, "memory_gb": spec.memory_gb}
        row |= {"bandwidth_gb_per_s": spec.bandwidth_gb_per_s, "board_power_w": spec.board_power_w}
        row |= {p: getattr(spec, f"{p}_{'tops' if p.startswith('int') else 'tflops'}") for p in PRECISIONS}
        rows.append(row)
    return DataFrame(rows).set_index("gpu")


def unit_price_table(usd_per_hour: dict[str, float], precision: str = "fp16") -> DataFrame:
    """What a unit of memory, bandwidth and arithmetic costs per hour, from data-sheet figures.

    Parameters
    ----------
    usd_per_hour : dict of str to float
        Price of a GPU-hour in USD for each GPU, by name or alias.
    precision : str
        Number format of the arithmetic; see ``costlab.catalog.PRECISIONS``.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``gpu``: ``usd_per_hour``; ``usd_per_gb_hour`` of memory; ``usd_per_pb_read``, the price of reading
        1e15 bytes at peak bandwidth; ``usd_per_eflop``, the price of 1e18 operations at the dense peak rate.

    Raises
    ------
    UnknownNameError, InvalidValueError
        If a GPU or precision is unknown, a price is not > 0, or a data sheet states no such rate.
    """
    with extra("plots"):
        from pandas import DataFrame

    rows = []
    for name, price in usd_per_hour.items():
        spec = gpu(name)
        usd_per_s = checks.positive(f"usd_per_hour[{name!r}]", price) / SECONDS_PER_HOUR
        rows.append(
            {
                "gpu": spec.name,
                "usd_per_hour": price,
                "usd_per_gb_hour": price / spec.memory_gb,
                "usd_per_pb_read": usd_per_s / spec.bandwidth_gb_per_s * 1e6,
                "usd_per_eflop": usd_per_s / spec.dense_tflops(precision) * 1e6,
            }
        )
    return DataFrame(rows).set_index("gpu")


def incidents_table(found: Iterable[Incident]) -> DataFrame:
    """Alarms that were raised, a row each, in the order given.

    Parameters
    ----------
    found : iterable of Incident
        As :func:`costlab.monitoring.incidents` gives them.

    Returns
    -------
    pandas.DataFrame
        Columns ``fired`` and ``until`` (the time in UTC as ``14:04``; empty where the alarm still lasts), ``rule``,
        ``of`` (the tier or GPU, where the figure is split), ``worst`` and ``severity``.

    Examples
    --------
    >>> from costlab.monitoring import Timeline, alert_rules, incidents
    >>> times_s = (0.0, 300.0, 600.0, 900.0, 1200.0)
    >>> busy = Timeline("costlab:gpu_utilization:now", "", times_s, (0.95, 0.95, 0.99, 0.97, 0.5))
    >>> print(incidents_table(incidents(alert_rules(), [busy])).to_string(index=False))
    fired until           rule of  worst severity
    00:10 00:20 GpusOverloaded      0.99     page
    """
    with extra("plots"):
        from pandas import DataFrame

    def moment(second: float | None) -> str:
        return "" if second is None else f"{datetime.fromtimestamp(second, UTC):%H:%M}"

    rows = [
        (moment(one.fired_s), moment(one.until_s), one.rule.name, one.label, one.worst, one.rule.severity)
        for one in found
    ]
    return DataFrame(rows, columns=["fired", "until", "rule", "of", "worst", "severity"])
