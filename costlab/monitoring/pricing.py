"""Costs for requests that came without one: from the catalogue where it knows the model, otherwise none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from difflib import SequenceMatcher
from functools import partial, reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from costlab._internal import checks
from costlab._internal.text import counted, dollars, shortened
from costlab.catalog import (
    ApiPrice,
    Discounts,
    PricePeriod,
    api_models,
    api_snapshot,
    is_own_server,
    parse_day,
    price_periods,
    provider_id,
    resolve_model,
)
from costlab.catalog.api_prices import RequestParts
from costlab.catalog.model_ids import deployed_model
from costlab.catalog.provider_ids import CLOSED, is_gateway, one_provider
from costlab.catalog.service_tiers import USUAL_TIERS
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.events import SERVICE_TIERS, micro_usd_column, rounded_up_pico_usd_column
from costlab.monitoring.usage import REQUIRED, ROUNDED_UP, LogFrame
from costlab.units import MICRO_USD_PER_USD, SECONDS_PER_DAY

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.typing import IntoFrame

#: Answers from one's own cache and requests that were not admitted are no business of the model's price list.
NOT_BILLED = ("cached", "refused")


#: From this similarity on (`difflib`) a known name is worth a word.
LIKE: Final = 0.7

#: Why a model has no price of which nothing is known.
NO_SUCH_MODEL: Final = "the catalogue has no model of that name, nor one with a name like it"


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model of requests without a cost that could not be priced.

    Attributes
    ----------
    model, provider, service_tier : str
        As the log calls them; empty where it does not say.
    requests : int
        Its requests.
    reason : str
        Why there is no price.
    nearest : tuple of str
        Known names that are like it.
    """

    model: str
    provider: str
    service_tier: str
    requests: int
    reason: str
    nearest: tuple[str, ...] = ()

    @property
    def is_deployment(self) -> bool:
        """Whether its user may have chosen the name, as of a deployment at Azure or an inference profile at Amazon."""
        return self.requests > 0 and (
            (self.reason == NO_SUCH_MODEL and provider_id(self.provider) == "azure")
            or ":application-inference-profile/" in self.model
        )


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that was assumed, and the dollars that rest on it.

    Attributes
    ----------
    text : str
        What was assumed.
    requests : int
        Requests whose cost rests on it.
    usd : float
        That part of their cost.
    """

    text: str
    requests: int
    usd: float


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that changed within the time of a log: the model, the provider, and the day (UTC)."""

    model: str
    provider: str
    day: date


@dataclass(frozen=True, slots=True)
class Pricing:
    """What was priced, and how.

    Attributes
    ----------
    snapshot : str
        The collection of prices: ``genai-prices 0.2.3``.
    as_of : datetime.date or None
        The day whose prices were taken; None where each request has the price of its own time.
    requests_priced, requests_repriced : int
        Requests that had no cost and have one now, and those that had one which the catalogue's has replaced.
    requests_own_server : int
        Requests without a cost to servers of one's own, for which no API sends a bill: they cost 0.
    models : tuple of str
        The models priced, as the catalogue calls them.
    changes : tuple of PriceChange
        Prices that changed within the log.
    unpriced : tuple of UnpricedModel
        What could not be priced, most requests first.
    assumptions : tuple of Assumption
        What the prices rest on that the log does not say.
    discount : str
        The negotiated discount in words; empty where there is none.
    unknown_tiers : mapping of str to int
        Tiers of service that the log tells and the catalogue does not know, and how many requests they served that were
        priced as standard.
    unused_deployments : tuple of str
        Deployments that no request without a cost names.
    """

    snapshot: str
    as_of: date | None
    requests_priced: int
    requests_repriced: int
    requests_own_server: int
    models: tuple[str, ...]
    changes: tuple[PriceChange, ...] = ()
    unpriced: tuple[UnpricedModel, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    discount: str = ""
    unknown_tiers: Mapping[str, int] = field(default_factory=dict)
    unused_deployments: tuple[str, ...] = ()

    @property
    def unknown(self) -> dict[str, str]:
        """Models that could not be priced, and why."""
        return {one.model: one.reason for one in self.unpriced}

    @property
    def notes(self) -> tuple[str, ...]:
        """The same in sentences."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        together = self.requests_priced + self.requests_repriced
        if together or (self.models and not any(one.requests for one in self.unpriced)):
            when = "each at its own time" if self.as_of is None else f"as on {self.as_of}"
            what = [f"{counted(self.requests_repriced, 'request')} with a cost, which is replaced,"]
            what = what if self.requests_repriced else []
            if self.requests_priced:
                what.append(f"{counted(self.requests_priced, 'request')} without a cost")
            said = " and ".join(what) or "sums that count no requests"
            names = ", ".join(self.models[:5]) + (f" and {len(self.models) - 5} more" if len(self.models) > 5 else "")
            verb = "was" if together == 1 else "were"
            yield f"{said} {verb} priced from the catalogue ({self.snapshot}, {when}): {names}"
        if self.changes:
            listed = ", ".join(f"{change.model} on {change.day}" for change in self.changes[:5])
            more = f" and {len(self.changes) - 5} more" if len(self.changes) > 5 else ""
            yield f"{counted(len(self.changes), 'price')} changed within the log: {listed}{more}"
        if self.discount:
            yield f"negotiated: {self.discount}; it is taken off what was priced here, not off costs that the log tells"
        if self.requests_own_server:
            yield (
                f"{counted(self.requests_own_server, 'request')} went to servers of one's own: no API sends a bill for "
                "that, and what it costs are the GPU hours"
            )
        # That a name is unlike any other is no news where it is called unpriced.
        explained = [one for one in self.unpriced if one.reason != NO_SUCH_MODEL]
        for one in explained[:3]:
            why = one.reason.removeprefix(f"no price of {one.model!r}: ")
            yield f"no price for {_of_requests(one.requests)}{shortened(one.model)}: {shortened(why, 300)}"
        if len(explained) > 3:
            yield f"and none for {_of_requests(sum(one.requests for one in explained[3:]))}{len(explained) - 3} more"
        own = [one.model for one in self.unpriced if one.is_deployment]
        if own:
            yield f"where a name is one's own, say which model stands behind it: --deployment {shortened(own[0])}=MODEL"
        if self.unused_deployments:
            names = ", ".join(map(repr, self.unused_deployments))
            yield f"no request that wants a price is of {names}, given as --deployment: is it the name in the log?"
        for assumption in self.assumptions:
            of_requests = f" of {counted(assumption.requests, 'request')}" if assumption.requests else ""
            yield f"assumed, for {dollars(assumption.usd)}{of_requests}: {assumption.text}"


def _of_requests(number: int) -> str:
    """How many requests something is said of; nothing of sums that count none."""
    return f"{counted(number, 'request')} of " if number else "sums of "


@dataclass(frozen=True, slots=True)
class PricedLog:
    """A log whose gaps were filled.

    Attributes
    ----------
    frame : data frame
        The log, of the engine it came from; lazy where the engine is.
    prices : tuple of ApiPrice
        The prices used.
    pricing : Pricing
        What was priced, what could not be, and what was assumed.
    """

    frame: IntoFrame
    prices: tuple[ApiPrice, ...]
    pricing: Pricing

    @property
    def requests_priced(self) -> int:
        """Requests that had no cost and whose model has a price here."""
        return self.pricing.requests_priced

    @property
    def unknown(self) -> dict[str, str]:
        """Models of requests without a cost that could not be priced, and why."""
        return self.pricing.unknown

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures should know of it."""
        return self.pricing.notes


@dataclass(frozen=True, slots=True)
class _Served:
    """Requests of one model, provider and tier of service, as the log calls them, and what is known of their price."""

    model: str
    provider: str
    service_tier: str
    requests: int
    repriced: int
    first_s: float
    last_s: float
    searching: int
    unknown_writes: int
    own_server: bool = False
    periods: tuple[PricePeriod, ...] = ()
    assumptions: tuple[str, ...] = ()
    error: Exception | None = None

    @property
    def unknown_tier(self) -> str:
        """What the log calls its tier of service where the catalogue has none of that name; otherwise empty."""
        tier = self.service_tier.casefold()
        return "" if tier in (*SERVICE_TIERS, *USUAL_TIERS) else tier

    def known_from(self, day: date | None) -> date | None:
        """Since when its price is known, where some of its requests, or the day whose prices count, are before that."""
        if not self.periods:
            return None
        known = self.periods[0].known_from
        early = day < known if day is not None else self.first_s < _second(known)
        return known if early else None

    @property
    def without_search_price(self) -> int:
        """Its requests with searches, where these have no price."""
        return self.searching if any(price.usd_per_search is None for price in _prices([self])) else 0

    @property
    def changes(self) -> Iterator[PriceChange]:
        """When its price changed."""
        for start_s in sorted({period.from_s for period in self.periods} - {-math.inf}):
            price = next(period.price for period in self.periods if period.from_s == start_s)
            if self.first_s < start_s <= self.last_s:
                yield PriceChange(price.model, price.provider, datetime.fromtimestamp(start_s, UTC).date())


def fill_costs(
    frame: IntoFrame,
    as_of: date | str | None = None,
    *,
    provider: str | None = None,
    service_tier: str | None = None,
    discount: Discounts | float | None = None,
    deployments: Mapping[str, str] | None = None,
    reprice: bool = False,
) -> PricedLog:
    """A log with costs where the catalogue can give them.

    Parameters
    ----------
    frame : data frame
        A log of requests, as for :func:`aggregate`.
    as_of : datetime.date or ISO date string, optional
        The day whose prices count for all requests; by default each request has the price of its own time.
    provider : str, optional
        Who served the requests, whatever the log says; by default what it says in `provider` or in the model's name.
        Requests to one's own servers stay there.
    service_tier : {'standard', 'batch', 'flex', 'priority'}, optional
        The tier that served them, whatever the log says.
    discount : Discounts or float, optional
        Negotiated shares off the list prices; a number is the share off all of them, in 0..1.
    deployments : mapping of str to str, optional
        The model behind a name that its user chose, such as an Azure deployment's.
    reprice : bool
        Whether costs that are there are replaced where the catalogue has a price.

    Raises
    ------
    LogError
        If a column is missing.
    InvalidValueError
        If `as_of` is no date, or a discount no share.
    UnknownNameError
        If `provider`, `service_tier` or the model of a deployment is none of the catalogue's.
    PriceNotFoundError
        If `as_of` is after the catalogue's snapshot.

    Notes
    -----
    Only gaps are filled, never a cost that is there, unless `reprice` asks for it; a credit is never replaced. Cached
    input tokens are a part of the input tokens: they are billed once, at their own rate. Rates of long requests count
    where a request is long; a row that is the sum of many is as long as their mean, and short where it counts none.
    Costs are rounded up to whole micro-dollars, as :func:`costlab.events.micro_usd` does. By how much, in pico-dollars
    (1e-12 USD), is in a column `cost_rounded_up_pico_usd`, which :func:`aggregate` takes off its sums: 100,000
    requests of six tenths of a micro-dollar are 60,000 micro-dollars.

    Tokens written to a prompt cache for an unknown time count as written for the shorter one. Unknown is the time where
    the log has no column `cache_write_1h_tokens`, or null in it; 0 says that none was for an hour.

    Examples
    --------
    1,000 of 1,200 input tokens were read from the prompt cache. What did the request cost?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [1_790_000_000.0], "tier": ["medium"], "model": ["gpt-4o-mini"], "input_tokens": [1200],
    ...     "cached_input_tokens": [1000], "output_tokens": [80], "cost_micro_usd": [None],
    ... })
    >>> int(fill_costs(log).frame["cost_micro_usd"][0])
    153
    """
    day = parse_day("as_of", as_of)
    snapshot = api_snapshot()
    if day is not None and day > snapshot.date and snapshot.dated:
        raise PriceNotFoundError(f"no API prices after {snapshot.date}, the day of genai-prices {snapshot.version}")
    if provider is not None and not is_own_server(provider):
        one_provider(provider)
    if service_tier is not None:
        checks.one_of("service tier", service_tier, SERVICE_TIERS)
    discounts = discount if isinstance(discount, Discounts) else Discounts(discount or 0.0)
    log = LogFrame("the log", frame, REQUIRED)
    gap = _gap(log, reprice=reprice)
    served = _served(log, gap, reprice=reprice)
    _check_deployments(deployments or {}, {provider, *(one.provider or None for one in served)})
    found = [_priced(one, day, provider, service_tier, discounts, deployments or {}) for one in served]
    known = [one for one in found if one.periods]
    own = [one for one in found if one.own_server]
    pricing = Pricing(
        snapshot=f"genai-prices {snapshot.version}",
        as_of=day,
        requests_priced=sum(one.requests - one.repriced - one.without_search_price for one in known),
        requests_repriced=sum(one.repriced for one in known),
        requests_own_server=sum(one.requests - one.repriced for one in own),
        models=tuple(dict.fromkeys(price.model for price in _prices(known))),
        changes=tuple(sorted({change for one in known for change in one.changes}, key=lambda c: (c.day, c.model))),
        unpriced=tuple(sorted(map(_unpriced, _without_price(found)), key=lambda one: (-one.requests, one.model))),
        discount=str(discounts) if discounts and known else "",
        unknown_tiers=_unknown_tiers(known) if service_tier is None else {},
        unused_deployments=_unused(deployments or {}, served),
    )
    if not known and not own:
        return PricedLog(frame, (), pricing)
    import narwhals as nw

    # A column of its own first, so that its rounding, which needs it several times, does not compute it several times.
    costs = log.lazy.with_columns(**{_USD: nw.when(gap).then(_usd_of(log, found))})
    assumptions = tuple(_assumptions(log, costs, found, snapshot.date, day))
    cost = log.value("cost_micro_usd").cast(nw.Float64)
    told_up = nw.col(ROUNDED_UP).cast(nw.Float64).fill_null(0.0) if ROUNDED_UP in log.schema else nw.lit(0.0)
    usd = nw.col(_USD)
    filled_columns = {
        name: nw.when(~usd.is_null()).then(of_catalogue).otherwise(told)
        for name, of_catalogue, told in (
            ("cost_micro_usd", micro_usd_column(usd), cost),
            (ROUNDED_UP, rounded_up_pico_usd_column(usd), told_up),
        )
    }
    lazy = costs.with_columns(**filled_columns).drop(_USD)
    eager = isinstance(nw.from_native(frame), nw.DataFrame)
    filled: IntoFrame = lazy.collect().to_native() if eager else lazy.to_native()
    return PricedLog(filled, tuple(dict.fromkeys(_prices(known))), replace(pricing, assumptions=assumptions))


_USD: Final = "catalogue_usd"


def _unknown_tiers(known: Iterable[_Served]) -> dict[str, int]:
    """Tiers of service that are priced as standard, and their requests, most first."""
    tiers: dict[str, int] = {}
    for served in known:
        if served.unknown_tier:
            tiers[served.unknown_tier] = tiers.get(served.unknown_tier, 0) + served.requests
    return dict(sorted(tiers.items(), key=lambda one: (-one[1], one[0])))


def _unused(deployments: Mapping[str, str], served: Iterable[_Served]) -> tuple[str, ...]:
    """The deployments that none of the models served is."""
    models = [one.model.casefold() for one in served]
    named = {*models, *(model.removeprefix("azure/") for model in models)}
    return tuple(name for name in deployments if name.casefold() not in named)


def _gap(log: LogFrame, *, reprice: bool) -> nw.Expr:
    """Whether a row needs a price. With nothing to multiply one with it stays unpriced rather than free."""
    import narwhals as nw

    cost = log.value("cost_micro_usd")
    gap = (cost.is_null() | (cost >= 0) if reprice else cost.is_null()) & (log.value("input_tokens") > 0)
    return gap & ~nw.col("outcome").is_in(list(NOT_BILLED)) if "outcome" in log.schema else gap


def _names(log: LogFrame) -> dict[str, nw.Expr]:
    """What a price depends on, as the log has it."""
    import narwhals as nw

    names = [name for name in ("model", "provider", "service_tier") if name in log.schema]
    return {name: nw.col(name).cast(nw.String).fill_null("") for name in names}


def _served(log: LogFrame, gap: nw.Expr, *, reprice: bool) -> list[_Served]:
    """The rows that need a price, by what it depends on: all that is read of the log before it is priced."""
    import narwhals as nw

    names = _names(log)
    columns = {"time": log.number("time_s")}
    requests = log.value("requests") if "requests" in log.schema else nw.lit(1, dtype=nw.Int64)
    if reprice:
        columns["told"] = nw.when(~log.value("cost_micro_usd").is_null()).then(requests).otherwise(nw.lit(0))
    if "searches" in log.schema:
        columns["searching"] = nw.when(log.value("searches") > 0).then(requests).otherwise(nw.lit(0))
    if "cache_write_tokens" in log.schema:
        columns["writes"] = _unknown_writes(log)
    if "requests" in log.schema:
        columns["requests"] = requests
    sums = [nw.col(name).sum() for name in columns if name != "time"]
    ends = [nw.col("time").min().alias("first"), nw.col("time").max().alias("last")]
    keys = {f"key_{name}": key for name, key in names.items()}
    groups = log.lazy.filter(gap).select(**keys, **columns).group_by(*keys).agg(nw.len().alias("rows"), *sums, *ends)
    return [
        _Served(
            model=row["key_model"],
            provider=row.get("key_provider", ""),
            service_tier=row.get("key_service_tier", ""),
            requests=int(row.get("requests", row["rows"]) or 0),
            repriced=int(row.get("told") or 0),
            first_s=float(row["first"]),
            last_s=float(row["last"]),
            searching=int(row.get("searching") or 0),
            unknown_writes=int(row.get("writes") or 0),
        )
        for row in sorted(groups.collect().iter_rows(named=True), key=lambda row: tuple(row[key] for key in keys))
    ]


def _unknown_writes(log: LogFrame) -> nw.Expr:
    """Tokens written to a prompt cache of which no one says for how long."""
    import narwhals as nw

    writes = log.value("cache_write_tokens")
    if "cache_write_1h_tokens" not in log.schema:
        return writes
    return nw.when(log.value("cache_write_1h_tokens").is_null()).then(writes).otherwise(nw.lit(0))


def _check_deployments(deployments: Mapping[str, str], named: Iterable[str | None]) -> None:
    """Raise where none of the providers named, and no other, has the model of a deployment."""
    providers = (None, *sorted(one for one in named if one is not None))
    for deployment, model in deployments.items():
        unknown = [error for error in (_unknown_at(model, provider) for provider in providers) if error is not None]
        if len(unknown) == len(providers):
            kind = f"model behind the deployment {deployment!r}:"
            raise UnknownNameError(kind, model, unknown[0].suggestions or api_models())


def _unknown_at(model: str, provider: str | None) -> UnknownNameError | None:
    """Why a provider has no model of that name; None where it has, be it without a price, which its requests say."""
    try:
        resolve_model(model, provider)
    except UnknownNameError as error:
        return error
    except (PriceNotFoundError, AmbiguousPriceError):
        pass
    return None


def _priced(
    served: _Served,
    day: date | None,
    provider: str | None,
    service_tier: str | None,
    discounts: Discounts,
    deployments: Mapping[str, str],
) -> _Served:
    """With the prices that held meanwhile, or why there are none."""
    if is_own_server(served.provider, model=served.model) or (provider and is_own_server(provider)):
        return replace(served, own_server=True)
    asked, by_name, by_tier = provider or served.provider or None, "", ""
    if asked is not None and provider_id(asked) is None:
        if not is_gateway(asked) and not CLOSED.search(served.model.casefold()):
            # An open model has another price at every host, and its name tells none of them.
            error = PriceNotFoundError(f"the catalogue has no prices of the provider {asked!r}")
            return replace(served, error=error)
        by_name = f"the catalogue has no provider {asked!r}: its requests are priced by the model's name"
        asked = None
    told = served.service_tier.casefold()
    tier = service_tier or (told if told in SERVICE_TIERS else "standard")
    if service_tier is None and served.unknown_tier:
        by_tier = f"the catalogue has no tier of service {served.unknown_tier!r}: its requests are priced as standard"
    try:
        name = deployed_model(served.model, deployments)
        found = resolve_model(name, asked)
        if found.own_server:
            return replace(served, own_server=True)
        # By the log's own name, which may say where: a region has its price.
        periods = price_periods(name, asked, tier)
        if day is not None:
            chosen = [period for period in periods if period.from_s <= _second(day) < period.until_s]
            periods = tuple(replace(period, from_s=-math.inf, until_s=math.inf) for period in chosen)
        else:
            periods = tuple(p for p in periods if p.from_s <= served.last_s and served.first_s < p.until_s)
        if not periods:
            raise PriceNotFoundError(f"no price of {served.model!r} for that time")
    except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError) as error:
        return replace(served, error=error)
    off = 1.0 - discounts.factor(periods[0].price.provider)
    discounted = tuple(replace(period, price=period.price.discounted(off)) for period in periods)
    assumptions = tuple(text for text in (by_name or found.assumption, by_tier) if text)
    return replace(served, periods=discounted, assumptions=assumptions)


def _prices(known: Iterable[_Served]) -> Iterator[ApiPrice]:
    return (period.price for served in known for period in served.periods)


def _without_price(found: Iterable[_Served]) -> Iterator[_Served]:
    for served in found:
        if served.error is not None:
            yield served
        elif served.without_search_price:
            error = PriceNotFoundError("no price per search; its requests with searches stay unpriced")
            yield replace(served, requests=served.without_search_price, error=error)


def _unpriced(served: _Served) -> UnpricedModel:
    reason = str(served.error)
    suggested = served.error.suggestions if isinstance(served.error, UnknownNameError) else ()
    # Of two thousand names some are half like any other.
    nearest = tuple(name for name in suggested if _is_like(served.model.casefold(), name.casefold()))
    if isinstance(served.error, UnknownNameError):
        # Where no name is like it, the error lists some of the two thousand that there are.
        reason = reason if nearest else NO_SUCH_MODEL
    return UnpricedModel(served.model, served.provider, served.service_tier, served.requests, reason, nearest)


def _is_like(name: str, other: str) -> bool:
    return name in other or other in name or SequenceMatcher(None, name, other).ratio() >= LIKE


#: What is to be known of a row under a price, or under none, on a server of one's own, as an expression.
Leaf = Callable[["ApiPrice | None"], "nw.Expr"]


def _usd_of(log: LogFrame, found: Sequence[_Served]) -> nw.Expr:
    """What each row costs, in USD; null where it has no price."""
    import narwhals as nw

    plain = ("input_tokens", "output_tokens", "cached_input_tokens")
    tokens_in, tokens_out, cached = (log.value(name).cast(nw.Float64) for name in plain)
    parts = {name: log.value(name).cast(nw.Float64) for name in RequestParts.__annotations__ if name in log.schema}
    if "cache_write_1h_tokens" in parts:  # null is unknown, and counts as written for the shorter time
        parts["cache_write_1h_tokens"] = parts["cache_write_1h_tokens"].fill_null(0.0)
    fee = log.value("request_fee_micro_usd") / MICRO_USD_PER_USD if "request_fee_micro_usd" in log.schema else None
    without_cost = log.value("cost_micro_usd").is_null()
    counted = parts.get("requests")
    if counted is not None:
        # Of a sum that counts no requests no one knows how long they were: they have the price of short ones.
        parts["requests"] = _where(counted > 0, counted, nw.lit(math.inf))

    def cost(price: ApiPrice | None) -> nw.Expr:
        if price is None:
            return nw.when(without_cost).then(nw.lit(0.0))
        beside = parts
        if fee is not None or counted is not None:
            catalogue = nw.lit(price.usd_per_request) * (1.0 if counted is None else counted)
            told = catalogue if fee is None else _where(fee.is_null(), catalogue, fee)
            beside = parts | {"request_fee_usd": told}
        return price.usd_of_columns(tokens_in, tokens_out, cached, _where, **beside)

    return _by_price(log, found, cost)


def _where(condition: nw.Expr, value: nw.Expr | None, other: nw.Expr) -> nw.Expr:
    import narwhals as nw

    return nw.when(~condition).then(other) if value is None else nw.when(condition).then(value).otherwise(other)


def _by_price(
    log: LogFrame, found: Sequence[_Served], leaf: Leaf, chosen: Callable[[_Served], object] = lambda _: True
) -> nw.Expr:
    """What `leaf` makes of each row's price, by model, provider, tier of service and time; null where it has none.

    Models are found by halving, as in a tree: a gateway's log has hundreds of them, and comparing every row with each
    would take longer than all the rest.
    """
    import narwhals as nw

    names = _names(log)
    models: dict[str, list[_Served]] = {}
    for served in found:
        models.setdefault(served.model, []).append(served)
    wanted = {
        model: some
        for model, rows in models.items()
        if (some := [one for one in rows if (one.periods or one.own_server) and chosen(one)])
    }

    def of_model(model: str) -> nw.Expr:
        expr: nw.Expr = nw.lit(None, dtype=nw.Float64)
        for served in wanted[model]:
            usd = leaf(None) if served.own_server else _at_time(log, served.periods, leaf)
            conditions = [names[key] == getattr(served, key) for key in ("provider", "service_tier") if key in names]
            if len(models[model]) == 1 or not conditions:  # all rows of this model are alike
                return usd
            expr = nw.when(reduce(and_, conditions)).then(usd).otherwise(expr)
        return expr

    def tree(some: Sequence[str]) -> nw.Expr:
        if len(some) == 1:
            return nw.when(names["model"] == some[0]).then(of_model(some[0]))
        middle = len(some) // 2
        return nw.when(names["model"] < some[middle]).then(tree(some[:middle])).otherwise(tree(some[middle:]))

    return tree(sorted(wanted))


def _at_time(log: LogFrame, periods: Sequence[PricePeriod], leaf: Leaf) -> nw.Expr:
    """The price of a row's own time."""
    import narwhals as nw

    time_s = log.number("time_s")
    second = time_s - (time_s / SECONDS_PER_DAY).floor() * SECONDS_PER_DAY

    def of_day(start_s: float) -> nw.Expr:
        first, *later = sorted((p for p in periods if p.from_s == start_s), key=lambda period: period.of_day_from_s)
        usd = leaf(first.price)
        for period in later:
            usd = nw.when(second >= period.of_day_from_s).then(leaf(period.price)).otherwise(usd)
        return usd

    first_s, *later_s = sorted({period.from_s for period in periods})
    usd = of_day(first_s)
    for start_s in later_s:
        usd = nw.when(time_s >= start_s).then(of_day(start_s)).otherwise(usd)
    return usd


def _assumptions(
    log: LogFrame, costs: nw.LazyFrame[Any], found: Sequence[_Served], snapshot: date, day: date | None
) -> Iterator[Assumption]:
    """What the prices rest on that the log does not say, with its dollars; the log is read only where there is any."""
    import narwhals as nw

    requests = log.value("requests") if "requests" in log.schema else nw.lit(1, dtype=nw.Int64)

    def sums(condition: nw.Expr, **usd: nw.Expr) -> dict[str, float]:
        rows = costs.filter(condition & ~nw.col(_USD).is_null()).select(requests=requests, **usd)
        (row,) = rows.select(*(nw.col(name).sum() for name in ("requests", *usd))).collect().iter_rows(named=True)
        return {name: float(value or 0) for name, value in row.items()}

    def among(chosen: Callable[[_Served], object]) -> nw.Expr:
        return _by_price(log, found, lambda _: nw.lit(1.0), chosen) == 1.0

    for text in dict.fromkeys(text for one in found if one.periods for text in one.assumptions):
        row = sums(among(lambda one: text in one.assumptions), usd=nw.col(_USD))  # noqa: B023 - used at once
        yield Assumption(text, int(row["requests"]), row["usd"])

    def unsure(one: _Served) -> bool:
        return one.unknown_writes > 0 and any(map(_has_hour, _prices([one])))

    if any(map(unsure, found)):
        writes = _unknown_writes(log).cast(nw.Float64)
        kinds = ("cache_write", "cache_write_1h")
        usd = {kind: _by_price(log, found, partial(_usd_of_kind, log, kind, writes), unsure) for kind in kinds}
        row = sums(writes > 0, **usd)
        text = (
            "tokens written to the prompt cache stay there for five minutes, since the log does not say for how long; "
            f"for an hour they would cost {dollars(row['cache_write_1h'])}"
        )
        yield Assumption(text, int(row["requests"]), row["cache_write"])
    if "requests" in log.schema and any(price.tiers for price in _prices(found)):
        of_length = among(lambda one: any(price.tiers for price in _prices([one])))
        row = sums((requests != 1) & of_length, usd=nw.col(_USD))
        if row["usd"]:
            text = (
                "sums of requests are priced as requests of their mean length, and as short ones where they are not "
                "counted; their models have another price for long ones"
            )
            yield Assumption(text, int(row["requests"]), row["usd"])
    early: dict[date, list[_Served]] = {}
    for one in found:
        if (known := one.known_from(day)) is not None:
            early.setdefault(known, []).append(one)
    if early:
        counted_usd, names = [], []
        for known, some in sorted(early.items()):
            before = nw.col("time_s") < _second(known) if day is None else nw.lit(value=True)
            counted_usd.append(sums(before & among(some.__contains__), usd=nw.col(_USD)))
            names += [f"{name} (known since {known})" for name in dict.fromkeys(map(_name_of, some))]
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        text = f"the first known price holds for the time before it, too: {listed}"
        requests_of, usd_of = (sum(row[name] for row in counted_usd) for name in ("requests", "usd"))
        yield Assumption(text, int(requests_of), usd_of)
    if day is None:
        end_s = _second(snapshot) + SECONDS_PER_DAY
        if any(one.periods and one.last_s >= end_s for one in found):
            late = (log.number("time_s") >= end_s) & among(lambda one: one.periods)
            row = sums(late, usd=nw.col(_USD))
            text = f"prices have not changed since {snapshot}, the day of the catalogue, but where that was announced"
            yield Assumption(text, int(row["requests"]), row["usd"])


def _name_of(served: _Served) -> str:
    """A model as the catalogue calls it, with its tier of service."""
    price = served.periods[0].price
    return price.model if price.service_tier == "standard" else f"{price.model} at {price.service_tier}"


def _second(day: date) -> float:
    """The second at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _has_hour(price: ApiPrice) -> bool:
    """Whether it matters for how long a token is written to the prompt cache."""
    return price.usd_per_token("cache_write_1h") != price.usd_per_token("cache_write")


def _usd_of_kind(log: LogFrame, kind: str, tokens: nw.Expr, price: ApiPrice | None) -> nw.Expr:
    """What tokens of a kind cost in each row, whose length decides on the rate."""
    import narwhals as nw

    if price is None:
        return tokens * 0.0
    usd, length = tokens * price.usd_per_token(kind), log.value("input_tokens")
    requests = log.value("requests") if "requests" in log.schema else nw.lit(1, dtype=nw.Int64)
    for tier in price.tiers:
        long = (length > requests * tier.above_tokens) & (requests > 0)
        usd = _where(long, tokens * price.usd_per_token(kind, tier.above_tokens + 1), usd)
    return usd
