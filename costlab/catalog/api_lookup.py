"""Prices of model APIs, from the snapshot that the library ``genai-prices`` brings."""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from costlab.catalog.api_prices import ApiPrice, ApiSnapshot, ApiTier
from costlab.catalog.dated import parse_day
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.units import HOURS_PER_DAY

__all__ = ["api_models", "api_price", "api_snapshot"]

#: What may follow a model's name: the date or the version of a release.
_RELEASE: Final = re.compile(r"[-@:](\d{4}-\d{2}-\d{2}|\d{6,8}|\d{3,4}|latest|v\d+(:\d+)?)$")


@cache
def api_snapshot() -> ApiSnapshot:
    """The collection of API prices that is installed, and the day for which it holds.

    Notes
    -----
    The library does not say when a release was made. For the releases we know, the day is the newest price change in
    it that was not announced for later (``api_snapshots.toml``); for another, that of the newest release we know, which
    is on the safe side: its prices are at least so new.
    """
    from importlib.metadata import version  # here, since it takes a fifth of the time of importing the calculator

    installed = version("genai-prices")
    text = (files("costlab.catalog") / "api_snapshots.toml").read_text(encoding="utf-8")
    days: dict[str, date] = {row["version"]: row["date"] for row in tomllib.loads(text)["snapshot"]}
    return ApiSnapshot(installed, days.get(installed, max(days.values())), installed in days)


@cache
def _providers() -> Mapping[str, Any]:
    # Imported here, since it takes a third of a second. These are the bundled prices, whatever newer ones a program in
    # the same interpreter may have fetched: a lesson's figures must not change under it.
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


@cache
def _offers() -> Mapping[str, tuple[str, ...]]:
    """The providers of each model, by the model's name in lower case."""
    offers: dict[str, tuple[str, ...]] = {}
    for provider in _providers().values():
        for model in provider.models:
            offers[model.id.casefold()] = (*offers.get(model.id.casefold(), ()), provider.id)
    return offers


def api_models(provider: str | None = None) -> tuple[str, ...]:
    """Names of all models in the snapshot, of one provider or of all, in alphabetical order."""
    chosen = _providers().values() if provider is None else (_provider(provider),)
    return tuple(sorted({model.id for one in chosen for model in one.models}))


def _provider(name: str) -> Any:
    if name not in _providers():
        raise UnknownNameError("provider", name, tuple(_providers()))
    return _providers()[name]


def api_price(model: str, provider: str | None = None, as_of: date | str | None = None) -> ApiPrice:
    """What an API asks for a model's tokens.

    Parameters
    ----------
    model : str
        Name of the model as in the API, with or without the date of its release: ``gpt-4o-2024-08-06``.
    provider : str, optional
        Who serves it: ``openai``, ``azure``, ... Without it, the model's maker where the name tells who that is.
    as_of : datetime.date or ISO date string, optional
        The price as it was on that day; by default on the snapshot's own day.

    Returns
    -------
    ApiPrice

    Raises
    ------
    UnknownNameError
        If no such model or provider is known; the message suggests the nearest.
    PriceNotFoundError
        If the snapshot knows the model but has no price for its tokens, or the day is after the snapshot's.
    AmbiguousPriceError
        If several providers serve it, none of which is known to be its maker.

    Notes
    -----
    A price that depends on the time of day is the mean of its 24 hours, and says so in its note. Prices per search,
    per page, per second of audio and for writing to a prompt cache are left out; the note names those a model has.
    Before the first change of a price that the snapshot knows, the price before that change is taken.

    Examples
    --------
    How many times as much as a fresh input token does an output token of gpt-4o cost, and a cached input token?

    >>> price = api_price("gpt-4o")
    >>> price.output_usd_per_mtok / price.input_usd_per_mtok
    4.0
    >>> price.cached_input_usd_per_mtok / price.input_usd_per_mtok
    0.5
    """
    snapshot, day = api_snapshot(), parse_day("as_of", as_of)
    if day is not None and day > snapshot.date and snapshot.dated:
        raise PriceNotFoundError(f"no API prices after {snapshot.date}, the day of genai-prices {snapshot.version}")
    if not isinstance(model, str) or not model:
        raise UnknownNameError("model", model, ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"))
    return _api_price(model, provider, day or snapshot.date)


@cache
def _api_price(name: str, provider_name: str | None, day: date) -> ApiPrice:
    provider, model, owner = _find(name, provider_name)
    prices, changes = _prices_on(model, day)
    plain, output, cached = (prices.pop(f"{kind}_mtok", None) for kind in ("input", "output", "cache_read"))
    if plain is None:
        what = f"only {', '.join(prices)}" if prices else "no price at all"
        raise PriceNotFoundError(f"no price per input token for {model.id!r} at {provider.id}; there is {what}")
    per_request = float(prices.pop("requests_kcount", 0)) / 1000
    starts = sorted({tier.start for price in (plain, output, cached) for tier in getattr(price, "tiers", ())})
    notes = [f"not counted: {', '.join(sorted(prices))}"] if prices else []
    notes += ["the price changes with the hour; this is the mean over a day"] if changes else []
    notes += [f"price as at {owner.id}"] if owner is not provider else []
    notes += ["listed as free"] if plain == 0 else []
    return ApiPrice(
        model=model.id,
        provider=provider.id,
        input_usd_per_mtok=_at(plain, 0) or 0.0,
        output_usd_per_mtok=_at(output, 0),
        cached_input_usd_per_mtok=_at(cached, 0),
        usd_per_request=per_request,
        tiers=tuple(ApiTier(s, _at(plain, s + 1) or 0.0, _at(output, s + 1), _at(cached, s + 1)) for s in starts),
        as_of=day,
        snapshot=api_snapshot(),
        source_url=((owner if owner is not provider else provider).pricing_urls or [""])[0],
        note="; ".join(notes),
    )


def _prices_on(model: Any, day: date) -> tuple[dict[str, Any], bool]:
    """A model's prices on a day, and whether they change with the hour; then each is the mean of the 24 hours."""
    hours = [
        {k: v for k, v in model.get_prices(moment).__dict__.items() if v is not None}
        for moment in (datetime(day.year, day.month, day.day, hour, 45, tzinfo=UTC) for hour in range(HOURS_PER_DAY))
    ]
    if all(hour == hours[0] for hour in hours):
        return hours[0], False
    means = {key: sum(getattr(hour[key], "base", hour[key]) for hour in hours) / HOURS_PER_DAY for key in hours[0]}
    return means, True


def _find(name: str, provider_name: str | None) -> tuple[Any, Any, Any]:
    """The provider who serves the model, the model, and the provider whose price it is."""
    everyone = list(_providers().values())
    if provider_name is not None:
        provider = _provider(provider_name)
        others = [_providers()[one] for one in provider.fallback_model_providers or () if one in _providers()]
        for owner in (provider, *others):
            model = _model(owner, name, strict=False)
            if model is not None:
                return provider, model, owner
        known = tuple(model.id for one in (provider, *others) for model in one.models)
        raise UnknownNameError(f"model at {provider_name}", name, known)
    for provider in everyone:
        if provider.model_match is not None and provider.model_match.is_match(name.lower()):
            model = _model(provider, name, strict=True)
            if model is not None:
                return provider, model, provider
    offering = _offers().get(name.casefold(), ())
    if not offering:
        raise UnknownNameError("model", name, tuple(model.id for one in everyone for model in one.models))
    if len(offering) > 1:
        raise AmbiguousPriceError(f"{len(offering)} providers serve {name!r}: {', '.join(offering)}; name one")
    provider = _provider(offering[0])
    return provider, _model(provider, name, strict=True), provider


def _model(provider: Any, name: str, *, strict: bool) -> Any:
    """The model with that very name, or one whose rule for aliases and release dates fits.

    The rules are generous (``claude-haiku-4-5-foo`` is a claude-haiku-4-5 to them). With `strict` a name that they
    accept must be a model's own, one that they list, or either of these followed by a date or version.
    """
    for model in provider.models:
        if model.id.casefold() == name.casefold():
            return model
    model = provider.find_model(name)
    if model is None or not strict or name.casefold() in _listed(model.match):
        return model
    known = {one.id.casefold() for one in provider.models} | _listed(model.match)
    return model if _RELEASE.sub("", name.casefold()) in known else None


def _listed(rule: Any) -> frozenset[str]:
    """The names that a rule for aliases lists one by one."""
    if hasattr(rule, "equals"):
        return frozenset({rule.equals.casefold()})
    parts = getattr(rule, "or_", ())
    return frozenset().union(*(_listed(part) for part in parts))


def _at(price: Any, input_tokens: int) -> float | None:
    """A price, or the rate of a tiered one for a request of this length."""
    if price is None:
        return None
    rate = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        rate = tier.price if input_tokens > tier.start else rate
    return float(rate)
