"""Costs for requests that came without one: from the catalogue where it knows the model, otherwise none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from costlab._internal.extras import require
from costlab.catalog import ApiPrice, api_price, parse_day
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.monitoring.usage.columns import REQUIRED, require_columns
from costlab.monitoring.usage.count import lazy_frame, value_or_null
from costlab.units import MICRO_USD_PER_USD

__all__ = ["PricedLog", "fill_costs"]

#: Answers from one's own cache and requests that were not admitted are no business of the model's price list.
NOT_BILLED = ("cached", "refused")


@dataclass(frozen=True, slots=True)
class PricedLog:
    """A log whose gaps were filled.

    Attributes
    ----------
    frame : data frame
        The log, of the engine it came from; lazy where the engine is.
    prices : tuple of ApiPrice
        The prices used.
    requests_priced : int
        Requests that had no cost and whose model has a price here.
    unknown : mapping of str to str
        Models of requests without a cost that could not be priced, and why.
    """

    frame: Any
    prices: tuple[ApiPrice, ...]
    requests_priced: int
    unknown: dict[str, str]


def fill_costs(frame: Any, as_of: date | str | None = None) -> PricedLog:
    """A log with costs where the catalogue can give them.

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`usage`.
    as_of : datetime.date or ISO date string, optional
        The day whose prices count; by default the day of the catalogue's snapshot.

    Returns
    -------
    PricedLog

    Raises
    ------
    UsageError
        If a column is missing.
    InvalidValueError
        If `as_of` is no date.
    MissingExtraError
        If ``narwhals`` is not installed.

    Notes
    -----
    Only gaps are filled, never a cost that is there. Cached input tokens are a part of the input tokens: they are
    billed once, at their own rate. Rates of long requests count where a request is long. Costs are rounded up to whole
    micro-dollars, as :func:`costlab.events.micro_usd` does.

    Examples
    --------
    1,000 of 1,200 input tokens were read from the prompt cache. What did the request cost?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0], "tier": ["medium"], "model": ["gpt-4o-mini"], "input_tokens": [1200],
    ...     "cached_input_tokens": [1000], "output_tokens": [80], "cost_micro_usd": [None],
    ... })
    >>> int(fill_costs(log).frame["cost_micro_usd"][0])
    153
    """
    day = parse_day("as_of", as_of)
    nw, lazy = require("narwhals", "usage"), lazy_frame(frame)
    schema = lazy.collect_schema()
    require_columns("the log", list(schema), REQUIRED)
    gap = value_or_null(nw, schema, "cost_micro_usd").is_null()
    # Nothing asked, nothing to multiply a price with: such a request stays unpriced rather than free.
    gap = gap & (value_or_null(nw, schema, "input_tokens") > 0)
    if "outcome" in schema:
        gap = gap & ~nw.col("outcome").is_in(list(NOT_BILLED))
    rows = lazy.filter(gap).group_by("model").agg(nw.len().alias("rows")).collect()
    counts = {row["model"]: int(row["rows"]) for row in rows.iter_rows(named=True) if row["model"] is not None}
    prices: dict[str, ApiPrice] = {}
    unknown: dict[str, str] = {}
    for model in sorted(counts):
        try:
            prices[model] = api_price(model, as_of=day)
        except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError) as error:
            unknown[model] = str(error)
    if prices:
        cost = value_or_null(nw, schema, "cost_micro_usd").cast(nw.Float64)
        for model, price in prices.items():
            here = gap & (nw.col("model") == model)
            cost = nw.when(here).then(_micro_usd(nw, schema, price)).otherwise(cost)
        lazy = lazy.with_columns(cost_micro_usd=cost)
        frame = lazy.collect().to_native() if _was_eager(nw, frame) else lazy.to_native()
    return PricedLog(frame, tuple(prices.values()), sum(counts[model] for model in prices), unknown)


def _was_eager(nw: Any, frame: Any) -> bool:
    return isinstance(nw.from_native(frame), nw.DataFrame)


def _micro_usd(nw: Any, schema: Any, price: ApiPrice) -> Any:
    """The cost of each row at one model's rates, in whole micro-dollars; null where it has no price for the output."""
    tokens_in, tokens_out, cached = (
        value_or_null(nw, schema, name).cast(nw.Float64)
        for name in ("input_tokens", "output_tokens", "cached_input_tokens")
    )

    def at(length: float) -> Any:
        plain, output, reread = price.rates_per_token(length)
        usd = (tokens_in - cached) * plain + cached * reread
        if output != output:  # NaN marks the price that does not exist
            return nw.when(tokens_out == 0).then(usd)
        return usd + tokens_out * output

    usd = at(0)
    for tier in price.tiers:
        usd = nw.when(tokens_in > tier.above_tokens).then(at(tier.above_tokens + 1)).otherwise(usd)
    exact = usd * MICRO_USD_PER_USD
    # Rounding up forgives what floating point adds by itself, but never down to nothing.
    up = (exact - 1e-6).ceil()
    return nw.when((exact > 0) & (up < 1)).then(nw.lit(1.0)).otherwise(up)
