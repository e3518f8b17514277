"""Costs for requests that came without one: from the catalogue where it knows the model, otherwise none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from costlab.catalog import ApiPrice, api_price, parse_day
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.events import micro_usd_column
from costlab.monitoring.usage import REQUIRED, LogFrame

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.typing import IntoFrame

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

    frame: IntoFrame
    prices: tuple[ApiPrice, ...]
    requests_priced: int
    unknown: dict[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures should know of it."""
        if not self.prices:
            return ()
        price, models = self.prices[0], ", ".join(price.model for price in self.prices)
        return (
            f"{self.requests_priced:,} requests without a cost were priced from the catalogue "
            f"(genai-prices {price.snapshot.version}, {price.as_of}): {models}",
        )


def fill_costs(frame: IntoFrame, as_of: date | str | None = None) -> PricedLog:
    """A log with costs where the catalogue can give them.

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`aggregate`.
    as_of : datetime.date or ISO date string, optional
        The day whose prices count; by default the day of the catalogue's snapshot.

    Raises
    ------
    LogError
        If a column is missing.
    InvalidValueError
        If `as_of` is no date.

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
    log = LogFrame("the log", frame, REQUIRED)
    import narwhals as nw

    # Nothing asked, nothing to multiply a price with: such a request stays unpriced rather than free.
    gap = log.value("cost_micro_usd").is_null() & (log.value("input_tokens") > 0)
    if "outcome" in log.schema:
        gap = gap & ~nw.col("outcome").is_in(list(NOT_BILLED))
    rows = log.lazy.filter(gap).group_by("model").agg(nw.len().alias("rows")).collect()
    counts = {row["model"]: int(row["rows"]) for row in rows.iter_rows(named=True) if row["model"] is not None}
    prices: dict[str, ApiPrice] = {}
    unknown: dict[str, str] = {}
    for model in sorted(counts):
        try:
            prices[model] = api_price(model, as_of=day)
        except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError) as error:
            unknown[model] = str(error)
    if prices:

        def where(condition: nw.Expr, value: nw.Expr | None, other: nw.Expr) -> nw.Expr:
            return nw.when(~condition).then(other) if value is None else nw.when(condition).then(value).otherwise(other)

        cost = log.value("cost_micro_usd").cast(nw.Float64)
        tokens_in, tokens_out, cached = (
            log.value(name).cast(nw.Float64) for name in ("input_tokens", "output_tokens", "cached_input_tokens")
        )
        for model, price in prices.items():
            here = gap & (nw.col("model") == model)
            cost = (
                nw.when(here)
                .then(micro_usd_column(price.usd_of_columns(tokens_in, tokens_out, cached, where)))
                .otherwise(cost)
            )
        lazy = log.lazy.with_columns(cost_micro_usd=cost)
        eager = isinstance(nw.from_native(frame), nw.DataFrame)
        frame = lazy.collect().to_native() if eager else lazy.to_native()
    return PricedLog(frame, tuple(prices.values()), sum(counts[model] for model in prices), unknown)
