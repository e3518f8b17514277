"""What people use and what it costs, from a data frame of any engine: one definition, the same integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add, and_
from typing import TYPE_CHECKING, Any, Final, overload

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.text import counted, shortened
from costlab.errors import LogError, near_names
from costlab.events import COLUMNS, OUTCOMES, PARTS, YEAR_10000_S, Column, RequestEvent, arrow_schema
from costlab.units import MICRO_USD_PER_USD, PICO_USD_PER_MICRO_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import pyarrow
    from narwhals.typing import IntoFrame, IntoLazyFrame
    from numpy.typing import NDArray

#: The columns of a log: the fields of an event, and how many requests a row is the sum of, as in a provider's usage. In
#: a log it may be unknown for how long tokens were written to the prompt cache.
LOG_COLUMNS: Final = {
    **COLUMNS,
    "cache_write_1h_tokens": Column(int, nullable=True, required=False, default=None),
    "requests": Column(int, nullable=False, required=False, default=1),
}

#: The columns of a log that no figure can do without.
REQUIRED: Final = tuple(name for name, column in LOG_COLUMNS.items() if column.required)

#: The columns that may be absent, and what is then assumed of every request.
DEFAULTS: Final = {name: column.default for name, column in LOG_COLUMNS.items() if not column.required}

#: Outcomes of requests that were perhaps paid for and brought nothing.
FAILED: Final = ("error", "timeout", "cancelled")

#: Lengths of the groups of time, in seconds; their keys are the second at which each begins.
SPANS: Final = {"minute": 60, "hour": SECONDS_PER_HOUR, "day": SECONDS_PER_DAY}

#: What requests may be grouped by. Days and hours are those of UTC.
GROUPS: Final = ("tier", "model", "tenant", "outcome", "priority", "provider", "service_tier", *SPANS)

VALUE: Final = "conversion_value_micro_usd"

#: By how much a row's cost is too high because it was rounded up to a micro-dollar, in pico-dollars; may be absent.
ROUNDED_UP: Final = "cost_rounded_up_pico_usd"

#: Whole numbers up to here are exact in every engine, also where a column with gaps holds floating-point numbers.
MAX_EXACT: Final = 2**53 - 1

#: What is nearer to a whole number was one before it was a decimal.
NOISE: Final = 1e-6

#: This many of a log's columns are named in a message.
MAX_LISTED: Final = 40

#: What a group has in common: names, or the seconds at which times begin.
Key = tuple[Any, ...]


def require_columns(what: str, present: Sequence[str], needed: Sequence[str], hint: str = "") -> None:
    """Raise unless every needed column is present, naming the absent ones and what they may be called instead."""
    missing = [name for name in needed if name not in present]
    if not missing:
        return
    near = {name: near_names(name, {other: other for other in present if other not in needed}) for name in missing}
    guesses = [f"--column {name}={names[0] if names else 'NAME'}" for name, names in near.items()]
    words = f"{what} has no column {', '.join(repr(name) for name in missing)}; it has {_listed(present)}"
    if hint:
        words += f"; {' '.join([hint, *guesses])}"
    raise LogError(words)


def _listed(names: Sequence[str]) -> str:
    """Names of columns, as many as a line of a message bears."""
    shown = ", ".join(shortened(name, 60) for name in names[:MAX_LISTED])
    return (shown or "none") + (f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else "")


class LogFrame:
    """A log as a lazy frame of ``narwhals``, whichever engine it belongs to."""

    def __init__(self, what: str, frame: IntoFrame, needed: Sequence[str]) -> None:
        """Raise :class:`LogError` if it is no data frame or lacks a needed column; `what` names it then."""
        with extra("usage"):
            import narwhals as nw
        try:
            self.lazy: nw.LazyFrame[IntoLazyFrame] = nw.from_native(frame).lazy()
        except TypeError:
            raise LogError(f"a log is a data frame that narwhals knows, not {type(frame).__qualname__}") from None
        self.schema = self.lazy.collect_schema()
        self._what = what
        require_columns(what, list(self.schema), needed)

    def is_number(self, name: str) -> bool:
        """Whether a column that is there may hold numbers: Python's own, as decimals in pandas, are objects to it."""
        import narwhals as nw

        return self.schema[name].is_numeric() or self.schema[name] in (nw.Object, nw.Unknown)

    def is_float(self, name: str) -> bool:
        """Whether a column is read as floating-point numbers, which may be NaN or have a fraction."""
        return name in self.schema and not self.schema[name].is_integer()

    def value(self, name: str) -> nw.Expr:
        """A column, or its default where it is absent; what is not a number is null.

        Narrow numbers are made wide: some engines wrap round where a sum outgrows 32 bits.
        """
        import narwhals as nw

        if self.is_float(name):
            # Floating-point columns are used for integers with gaps; there NaN is a gap too.
            return nw.when(~self.gap(name)).then(self.number(name))
        return self.number(name)

    def number(self, name: str) -> nw.Expr:
        """As :meth:`value`, but what is not a number may be NaN: no engine takes it for less than a number is."""
        import narwhals as nw

        if name not in self.schema:
            return nw.lit(DEFAULTS[name], dtype=nw.Float64 if DEFAULTS[name] is None else None)
        column, kind = nw.col(name), self.schema[name]
        if kind.is_integer():
            return column if kind in (nw.Int64, nw.UInt64, nw.Int128, nw.UInt128) else column.cast(nw.Int64)
        if not self.is_number(name):
            # Nothing that is in the column is a number. As long as the column, since a filter takes no literal alone.
            return nw.when(column.is_null()).then(nw.lit(None, dtype=nw.Float64))
        if kind == nw.Object:
            self._require_numbers(name)
        wide = column if kind == nw.Float64 else column.cast(nw.Float64)
        if not kind.is_decimal():
            return wide
        # Sums and products of decimals would outgrow their own type; some engines turn 120 into 120.00000000000001.
        return nw.when((wide - wide.round()).abs() < NOISE).then(wide.round()).otherwise(wide)

    def _require_numbers(self, name: str) -> None:
        import narwhals as nw

        try:
            self.lazy.select(nw.col(name).cast(nw.Float64)).collect()
        except (TypeError, ValueError):
            raise LogError(f"{self._what} has what is no number in the column {name!r}") from None

    def gap(self, name: str) -> nw.Expr:
        """Whether a column has no number; as a condition of its own, an engine knows at once of most columns."""
        number = self.number(name)
        return number.is_null() | number.is_nan() if self.is_float(name) else number.is_null()

    def key(self, name: str) -> nw.Expr:
        """What rows are grouped by: the name in a column, or the place of a span of time."""
        import narwhals as nw

        if name in SPANS:
            return (self.number("time_s") / SPANS[name]).floor().cast(nw.Int64)
        return nw.col(name).cast(nw.String).fill_null("") if name in self.schema else nw.lit(DEFAULTS[name])


def key_of(by: Sequence[str], parts: Iterable[Any]) -> Key:
    """The key of a group, times as the second at which each begins."""
    return tuple(int(part) * SPANS[name] if name in SPANS else part for name, part in zip(by, parts, strict=True))


def unmet(demand: nw.Expr) -> nw.Expr:
    """1 where a row does not meet the demand, else 0; null is no."""
    import narwhals as nw

    return nw.when(demand).then(nw.lit(0, dtype=nw.Int64)).otherwise(nw.lit(1, dtype=nw.Int64))


def event_frame(events: Iterable[RequestEvent]) -> pyarrow.Table:
    """Events as a data frame with the fields as columns: what :func:`aggregate` and the alerts' figures are made from.

    Parameters
    ----------
    events : iterable of RequestEvent
        For example ``Ledger.events()``; they are held in memory. A large ledger is better written with
        ``Ledger.to_parquet`` and read with :func:`costlab.monitoring.open_log`.

    Returns
    -------
    pyarrow.Table
        With the right types also where all costs are unknown, or where there are no events.

    Examples
    --------
    What did two requests cost, of which one has no price?

    >>> plain = dict(
    ...     time_s=0.0, tier="large", model="gpt-4o", input_tokens=400, output_tokens=200, latency_s=0.6, outcome="ok",
    ... )
    >>> events = [
    ...     RequestEvent(request_id="a", cost_micro_usd=3000, **plain),
    ...     RequestEvent(request_id="b", cost_micro_usd=None, **plain),
    ... ]
    >>> (total,) = aggregate(event_frame(events))
    >>> total.cost_usd, total.unpriced_requests
    (0.003, 1)
    """
    with extra("usage"):
        import pyarrow
    columns = list(zip(*(event.as_row() for event in events), strict=True)) or [()] * len(COLUMNS)
    return pyarrow.table(dict(zip(COLUMNS, columns, strict=True)), schema=arrow_schema())


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What a group of requests adds up to.

    Attributes
    ----------
    key : tuple
        What the group has in common, in the order of `by`: names, or the second at which an hour begins.
    requests : int
        All requests. A row with a negative cost is none, but a credit.
    unpriced_requests : int
        Those without a known cost. They are in no figure in dollars.
    cached_requests, failed_requests, refused_requests : int
        Those answered from a response cache, those that ended in an error, a timeout or a cancellation, and those that
        were not admitted.
    input_tokens, cached_input_tokens, output_tokens : int
        Tokens of all requests. Cached input tokens are a part of the input tokens.
    priced_tokens : int
        Input and output tokens of the requests with a known cost.
    cost_micro_usd, failed_cost_micro_usd : int
        Cost of the priced requests less the credits, and of those of them that failed, in micro-dollars.
    conversions, conversion_value_micro_usd : int
        Requests that led to a conversion, and what they earned, in micro-dollars.
    latency_us : int
        Sum of the latencies that are known, in microseconds.
    timed_requests : int
        Requests with a known latency.
    first_s, last_s : float
        Times of the first and of the last request, in seconds since 1970-01-01 UTC.
    cache_write_tokens, reasoning_tokens : int
        Parts of the input tokens, written to the provider's prompt cache, and of the output tokens.
    searches, priced_searches : int
        Searches billed beside the tokens, and those of them that requests with a known cost made.
    credits, credit_micro_usd : int
        Rows with a negative cost, such as refunds, and what they gave back, in micro-dollars >= 0.
    cost_rest_pico_usd, failed_cost_rest_pico_usd : int
        What the two costs leave out because they are rounded to whole micro-dollars, in pico-dollars (1e-12 USD):
        negative where they were rounded up. Groups are added up with it, so that a sum is rounded once.
    """

    key: Key
    requests: int
    unpriced_requests: int
    cached_requests: int
    failed_requests: int
    refused_requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    priced_tokens: int
    cost_micro_usd: int
    failed_cost_micro_usd: int
    conversions: int
    conversion_value_micro_usd: int
    latency_us: int
    timed_requests: int
    first_s: float
    last_s: float
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    searches: int = 0
    credits: int = 0
    credit_micro_usd: int = 0
    cost_rest_pico_usd: int = 0
    failed_cost_rest_pico_usd: int = 0
    priced_searches: int = 0

    @property
    def cost_usd(self) -> float:
        """Cost of the priced requests less the credits, in USD."""
        return self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def priced_requests(self) -> int:
        """Requests with a known cost."""
        return self.requests - self.unpriced_requests

    @property
    def has_cost(self) -> bool:
        """Whether anything is known of the cost, whether of requests or of charges and credits that are none."""
        return self.priced_requests > 0 or self.cost_micro_usd != 0

    @property
    def unpriced_fraction(self) -> float:
        """Share of the requests without a known cost; 0 of none."""
        return self.unpriced_requests / self.requests if self.requests else 0.0

    @property
    def usd_per_request(self) -> float | None:
        """Mean cost of a priced request in USD; None where there is none."""
        return self.cost_usd / self.priced_requests if self.priced_requests else None

    @property
    def usd_per_1k_tokens(self) -> float | None:
        """USD per thousand tokens of priced requests, input and output together; None where there are none."""
        return 1000 * self.cost_usd / self.priced_tokens if self.priced_tokens else None

    @property
    def usd_per_conversion(self) -> float | None:
        """Cost of *all* priced requests over the conversions, in USD; None without conversions or without prices."""
        return self.cost_usd / self.conversions if self.conversions and self.priced_requests else None

    @property
    def revenue_usd(self) -> float:
        """What the conversions earned, in USD."""
        return self.conversion_value_micro_usd / MICRO_USD_PER_USD

    @property
    def revenue_usd_per_conversion(self) -> float | None:
        """USD earned by a conversion, on average; None where there is none."""
        return self.revenue_usd / self.conversions if self.conversions else None

    @property
    def cost_of_revenue_fraction(self) -> float | None:
        """Cost as a share of what the conversions earned, above 1 where it exceeds it; None if nothing was earned."""
        priced = self.conversion_value_micro_usd and self.priced_requests
        return self.cost_micro_usd / self.conversion_value_micro_usd if priced else None

    @property
    def cached_input_fraction(self) -> float:
        """Share of the input tokens that were read from the provider's prompt cache; 0 of none."""
        return self.cached_input_tokens / self.input_tokens if self.input_tokens else 0.0

    @property
    def mean_latency_s(self) -> float | None:
        """Mean of the known latencies in seconds; None where none is known."""
        return self.latency_us / 1e6 / self.timed_requests if self.timed_requests else None


def aggregate(frame: IntoFrame, by: Sequence[str] = ()) -> tuple[UsageTotals, ...]:
    """What the requests of a log add up to, in all or by group.

    Parameters
    ----------
    frame : data frame
        A row a request, with the columns of :class:`costlab.events.RequestEvent`; the optional ones may be absent
        (``costlab.monitoring.DEFAULTS``). A column `requests` says of how many requests a row is the sum. It may be of
        pandas, Polars, PyArrow, DuckDB, PySpark, or what else ``narwhals`` takes. The engine does the counting; only
        the groups come back.
    by : sequence of str
        Some of `tier`, `model`, `tenant`, `outcome`, `priority`, `provider`, `service_tier`, `minute`, `hour`, `day`;
        empty for a single total.

    Returns
    -------
    tuple of UsageTotals
        A group each, in the order of their keys. The same integers whichever the engine.

    Raises
    ------
    LogError
        If a column is missing, or rows hold what no request can have: more cached than input tokens, negative numbers,
        an unknown outcome. All such rows are counted, none is dropped or mended.
    UnknownNameError
        If `by` names no group.

    Notes
    -----
    Costs are summed as whole numbers, so no order of summation changes the result. Where costs were rounded up to a
    micro-dollar each, by :func:`fill_costs` or because a log tells them in USD, the sum is that of the exact costs,
    rounded once to the nearest micro-dollar; what cost anything costs at least one. A null cost is a request
    without a known price: it is counted in `unpriced_requests`, and no figure in dollars contains it. A negative cost
    is a credit: the dollars are net of it, and neither its tokens nor the row itself count as use.

    Examples
    --------
    Two requests of one tier, of which one has no price. What does a request cost?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 60.0], "tier": ["large", "large"], "model": ["gpt-4o", "in-house"],
    ...     "input_tokens": [400, 400], "output_tokens": [200, 200], "cost_micro_usd": [3000, None],
    ... })
    >>> (large,) = aggregate(log, by=["tier"])
    >>> large.key, large.usd_per_request, large.unpriced_requests, large.unpriced_fraction
    (('large',), 0.003, 1, 0.5)
    """
    return count_groups(frame, by).totals(by)


#: What is summed of the rows of a group. The amounts and the latencies of rows without one are in sums of nothing.
SUMMED: Final = (
    "requests", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "searches", "cost_micro_usd", VALUE,
)  # fmt: skip

#: Costs that are rounded once they are added up, and what is left of each.
RESTS: Final = {"cost_micro_usd": "cost_rest_pico_usd", "failed_cost_micro_usd": "failed_cost_rest_pico_usd"}

#: What sets rows apart whose sums mean something else, as the bits of a number.
UNPRICED, CREDIT, NO_VALUE, NO_LATENCY, UNMET = (2**bit for bit in range(5))


@dataclass(frozen=True, slots=True)
class CountedGroups:
    """Groups of the rows of a log as its engine has counted them, each of one outcome and one kind.

    Attributes
    ----------
    by : tuple of str
        What else they are grouped by.
    values : tuple of tuple
        For each of `by` the values that occur, sorted.
    places : tuple of numpy.ndarray
        For each of `by` the place among `values` of that of each group.
    sums : mapping of str to numpy.ndarray
        The sums of :class:`UsageTotals`, group by group: whole numbers.
    first_s, last_s : numpy.ndarray
        Times of the first and of the last row of each group.
    """

    by: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    places: tuple[NDArray[np.intp], ...]
    sums: Mapping[str, NDArray[Any]]
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]

    def totals(self, by: Sequence[str]) -> tuple[UsageTotals, ...]:
        """What they add up to by some of what they are grouped by, in the order of the keys."""
        import numpy as np

        chosen = [self.by.index(name) for name in by]
        group, first = np.zeros(len(self.first_s), np.intp), np.arange(min(1, len(self.first_s)))
        for one in chosen:
            # Numbered without gaps after each, so that the numbers cannot outgrow 64 bits.
            both = group * len(self.values[one]) + self.places[one]
            _, first, group = np.unique(both, return_index=True, return_inverse=True)
        columns = [[self.values[one][place] for place in self.places[one][first]] for one in chosen]
        keys = list(zip(*columns, strict=True)) if chosen else [()] * len(first)
        added = {}
        for name, values in self.sums.items():
            added[name] = np.zeros(len(keys), values.dtype)
            np.add.at(added[name], group, values)
        _round_once(added)
        first_s, last_s = np.full(len(keys), np.inf), np.full(len(keys), -np.inf)
        np.minimum.at(first_s, group, self.first_s)
        np.maximum.at(last_s, group, self.last_s)
        rows = zip(*(column.tolist() for column in (*added.values(), first_s, last_s)), strict=True)
        names = (*added, "first_s", "last_s")
        return tuple(
            UsageTotals(key=key_of(by, key), **dict(zip(names, row, strict=True)))
            for key, row in zip(keys, rows, strict=True)
        )


@overload
def count_groups(frame: IntoFrame, by: Sequence[str], max_groups: None = None) -> CountedGroups: ...
@overload
def count_groups(frame: IntoFrame, by: Sequence[str], max_groups: int) -> CountedGroups | None: ...
def count_groups(frame: IntoFrame, by: Sequence[str], max_groups: int | None = None) -> CountedGroups | None:
    """The rows of a log counted by group, outcome and kind: one reading, for totals by whatever is in `by`.

    Parameters and errors are those of :func:`aggregate`. None if there are more than `max_groups`.
    """
    for name in by:
        checks.one_of("group", name, GROUPS)
    log = LogFrame("the log", frame, REQUIRED)
    import narwhals as nw

    demands = demands_of(log)
    columns = {name: log.number(name) for name in (*SUMMED, ROUNDED_UP) if name in log.schema}
    for name in _outgrowing(log, columns):
        columns |= {f"{name}_high": columns[name] // HALF, name: columns[name] - columns[name] // HALF * HALF}
    if "latency_s" in log.schema:
        # Microseconds as whole numbers, since a sum of fractions depends on the order.
        columns["latency_us"] = (log.number("latency_s") * 1e6 + 0.5).floor()
    # Grouping by what changes the meaning of every sum is cheaper than a condition on it in each of them.
    kinds = [
        _bit(UNPRICED, log.gap("cost_micro_usd")),
        _bit(CREDIT, _is_credit(log)),
        _bit(NO_VALUE, log.gap(VALUE)),
        _bit(NO_LATENCY, log.gap("latency_s")),
        nw.when(reduce(and_, demands.values())).then(nw.lit(0)).otherwise(nw.lit(UNMET)),
    ]
    keys = {f"key_{place}": log.key(name) for place, name in enumerate(by)} | {
        "outcome_key": log.key("outcome"),
        "kind": reduce(add, kinds),
    }
    groups = log.lazy.select(time=log.number("time_s"), **columns, **keys).group_by(*keys)
    sums = [nw.col(name).sum().alias(f"sum_{name}") for name in columns]
    ends = [nw.col("time").min().alias("first_s"), nw.col("time").max().alias("last_s")]
    counts = groups.agg(nw.len().alias("rows"), *sums, *ends)
    found = counts.collect() if max_groups is None else counts.head(max_groups + 1).collect()
    if max_groups is not None and len(found) > max_groups:
        return None
    if (_whole(found, "kind") & UNMET).any():
        raise LogError(_complaint(log, demands))
    for outcome in found["outcome_key"].unique().to_list():
        checks.one_of("outcome", outcome, OUTCOMES)
    return _counted(tuple(by), found)


def _is_credit(log: LogFrame) -> nw.Expr:
    """Whether the cost of a row is less than nothing, be it by less than a micro-dollar."""
    cost = log.number("cost_micro_usd")
    return (cost < 0) | (cost == 0) & (log.number(ROUNDED_UP) > 0) if ROUNDED_UP in log.schema else cost < 0


#: Sums that 64 bits do not hold are made of two: of how often this is in each number, and of what is left.
HALF: Final = 2**32


def _outgrowing(log: LogFrame, names: Iterable[str]) -> list[str]:
    """Columns of whole numbers whose sums may outgrow 64 bits, in an engine that would wrap round."""
    import narwhals as nw

    whole = [name for name in names if log.schema[name].is_integer()]
    if not whole or log.lazy.implementation.is_duckdb() or log.lazy.implementation.is_spark_like():
        return []  # the former's sums have 128 bits, and the latter raises
    numbers = {name: log.number(name).fill_null(0) for name in whole}
    ends = [getattr(number, end)().alias(f"{end}_{name}") for name, number in numbers.items() for end in ("min", "max")]
    (row,) = log.lazy.select(nw.len().alias("rows"), *ends).collect().iter_rows(named=True)
    rows = int(row["rows"])
    if not rows:
        return []
    return [name for name in whole if max(abs(int(row[f"{end}_{name}"])) for end in ("min", "max")) * rows >= 2**63]


def _bit(bit: int, holds: nw.Expr) -> nw.Expr:
    import narwhals as nw

    return nw.when(holds).then(nw.lit(bit)).otherwise(nw.lit(0))


def _counted(by: tuple[str, ...], found: nw.DataFrame[Any]) -> CountedGroups:
    """What the engine has counted, as the sums of :class:`UsageTotals`."""
    import numpy as np

    rows, kind = _whole(found, "rows"), _whole(found, "kind")
    outcome = np.array(found["outcome_key"].to_list(), dtype=object)
    summed = (*SUMMED, ROUNDED_UP, "latency_us")
    told = {name: _whole(found, f"sum_{name}") for name in summed if f"sum_{name}" in found.columns}
    for name in SUMMED:
        if f"sum_{name}_high" in found.columns:
            told[name] = _whole(found, f"sum_{name}_high").astype(object) * HALF + told[name]
    credit, priced = kind & CREDIT > 0, kind & UNPRICED == 0
    requests = told.pop("requests", rows)
    failed = np.isin(outcome, FAILED)
    cost, rest = told["cost_micro_usd"], -told.pop(ROUNDED_UP, rows * 0)
    use = told | {
        "requests": requests,
        "unpriced_requests": requests * ~priced,
        "cached_requests": requests * (outcome == "cached"),
        "failed_requests": requests * failed,
        "refused_requests": requests * (outcome == "refused"),
        "priced_tokens": (told["input_tokens"] + told["output_tokens"]) * priced,
        "priced_searches": told.get("searches", rows * 0) * priced,
        "failed_cost_micro_usd": cost * failed,
        "failed_cost_rest_pico_usd": rest * failed,
        "conversions": rows * (kind & NO_VALUE == 0),
        "timed_requests": rows * (kind & NO_LATENCY == 0),
    }
    # A credit is money and nothing else.
    sums = {name: use[name] * ~credit if name in use else rows * 0 for name in SUMS}
    sums |= {"cost_micro_usd": cost, "cost_rest_pico_usd": rest}
    sums |= {"credits": rows * credit, "credit_micro_usd": -cost * credit}
    values, places = [], []
    for number in range(len(by)):
        column = found[f"key_{number}"].to_list()
        values.append(tuple(sorted(set(column))))
        place_of = {value: place for place, value in enumerate(values[-1])}
        places.append(np.fromiter((place_of[value] for value in column), np.intp, len(column)))
    ends = (np.array(found[name].to_list(), dtype=np.float64) for name in ("first_s", "last_s"))
    return CountedGroups(by, tuple(values), tuple(places), sums, *ends)


def _whole(found: nw.DataFrame[Any], name: str) -> NDArray[Any]:
    """Counted whole numbers, of as many digits as they need; of gaps the sum is 0."""
    import narwhals as nw
    import numpy as np

    column = found[name]
    if column.null_count():
        column = column.fill_null(0)
    if column.dtype in (nw.Int64, nw.UInt64):
        about = _numbers(column).astype(np.float64)  # to Arrow, a whole number beyond 2^53 is no float
    else:
        about = np.nan_to_num(_numbers(column.cast(nw.Float64)))
    if np.abs(about).sum() > 2.0**62:  # 64 bits would not hold their sum
        return np.array([int(value) if value == value else 0 for value in column], dtype=object)
    numbers = about if column.dtype.is_float() else _numbers(column.cast(nw.Int64))
    return numbers.astype(np.int64, copy=False)


def _numbers(column: nw.Series[Any]) -> NDArray[Any]:
    """Numbers without gaps; of Arrow not by its own way, which loads pandas: 40 MB, and a quarter of a second."""
    import numpy as np

    if not column.implementation.is_pyarrow():
        return np.array(column.to_numpy())
    chunks = column.to_native().chunks
    return np.concatenate([np.from_dlpack(chunk) for chunk in chunks]) if chunks else np.zeros(0)


def demands_of(log: LogFrame) -> dict[str, nw.Expr]:
    """What each row must meet, in words and as an expression; null is no."""
    import narwhals as nw

    demands = {}
    parts_of = {part for _, parts in PARTS for part in parts}
    for name, column in LOG_COLUMNS.items():
        if column.type is str or name not in log.schema:
            continue
        if not log.is_number(name):
            value = nw.col(name)
            none = value.is_null() if column.nullable or not column.required else value.is_null() & ~value.is_null()
            demands[f"{name} a number, but {log.schema[name]}"] = none
            continue
        value = log.number(name)
        # A part is no more than its whole, and a credit less than nothing.
        least = -MAX_EXACT if name == "cost_micro_usd" else 0
        met = value >= least if name in parts_of else (value >= least) & (value <= MAX_EXACT)
        whole = column.type is int
        if whole and log.is_float(name):
            met = met & (value == value.floor())
        gaps = column.nullable or (not column.required and column.default is None)
        words = f"{name} a {'whole ' * whole}number{' >= 0' * (least == 0)}{', or none' * gaps}"
        if name == "time_s":
            met, words = (value >= least) & (value < YEAR_10000_S), "time_s in seconds, from 1970 to the year 9999"
        demands[words] = met | log.gap(name) if gaps else met
    for total, parts in PARTS:
        present = [part for part in parts if part in log.schema]
        if present:
            words = f"{' and '.join(present)} between 0 and {total}, of which they are a part"
            met = reduce(add, map(log.number, present)) <= log.number(total)
            for part in present:
                met = met | log.gap(part) if LOG_COLUMNS[part].nullable else met
            demands[words] = met
    return demands


def _complaint(log: LogFrame, demands: Mapping[str, nw.Expr]) -> str:
    """How many rows break which demand."""
    import narwhals as nw

    flags = {f"d{place}": unmet(demand) for place, demand in enumerate(demands.values())}
    counts = log.lazy.select(**flags).select(*(nw.col(name).sum() for name in flags)).collect()
    (row,) = counts.iter_rows(named=True)
    broken = [
        f"{counted(int(row[flag]), 'row')} without {words}"
        for flag, words in zip(flags, demands, strict=True)
        if row[flag]
    ]
    return f"the log has {'; '.join(broken)}"


#: The fields that are sums.
SUMS: Final = tuple(field.name for field in fields(UsageTotals) if field.name not in ("key", "first_s", "last_s"))


def roll_up(cells: Iterable[UsageTotals], *positions: int) -> tuple[UsageTotals, ...]:
    """Groups added up to fewer: those that agree in the parts of the key at `positions`.

    Examples
    --------
    From tier and model to the tier alone?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 60.0], "tier": ["large", "large"], "model": ["gpt-4o", "gpt-4.1"],
    ...     "input_tokens": [400, 400], "output_tokens": [200, 200], "cost_micro_usd": [3000, 2400],
    ... })
    >>> [(group.key, group.cost_micro_usd) for group in roll_up(aggregate(log, by=["tier", "model"]), 0)]
    [(('large',), 5400)]
    """
    groups: dict[Key, list[UsageTotals]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell.key[position] for position in positions), []).append(cell)
    return tuple(_added(key, groups[key]) for key in sorted(groups))


def _added(key: Key, cells: Sequence[UsageTotals]) -> UsageTotals:
    added: dict[str, Any] = {name: sum(getattr(cell, name) for cell in cells) for name in SUMS}
    _round_once(added)
    first_s, last_s = min(cell.first_s for cell in cells), max(cell.last_s for cell in cells)
    return UsageTotals(key=key, first_s=first_s, last_s=last_s, **added)


def _round_once(added: dict[str, Any]) -> None:
    """Round costs that were added up, numbers or arrays, to the nearest micro-dollar; what is above 0 is at least 1."""
    for name, rest in RESTS.items():
        more = (added[rest] + PICO_USD_PER_MICRO_USD // 2) // PICO_USD_PER_MICRO_USD
        added[name], added[rest] = added[name] + more, added[rest] - more * PICO_USD_PER_MICRO_USD
        least = (added[name] == 0) & (added[rest] > 0)
        added[name], added[rest] = added[name] + least, added[rest] - least * PICO_USD_PER_MICRO_USD
