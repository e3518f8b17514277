"""Which model a log means: from the names that logs have to the ones that the catalogue has."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from costlab.catalog.model_names import Reading, read_name
from costlab.catalog.model_prices import in_region
from costlab.catalog.provider_ids import (
    CLOSED,
    is_gateway,
    is_own_server,
    one_provider,
    passed_on,
    provider_id,
    providers,
)
from costlab.errors import AmbiguousPriceError, CostlabError, PriceNotFoundError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genai_prices.types import MatchLogic, ModelInfo, Provider

#: Providers whose client libraries call others as well, so that a log may name them for requests that went elsewhere.
_CLIENTS: Final = ("openai", "anthropic")

#: Models that are their maker's own, or are called so at their maker alone.
_MAKERS_OWN: Final = re.compile(CLOSED.pattern + r"|^(deepseek-(chat|reasoner)|mistral-(large|medium|small)-latest)$")

#: What may follow a model's name: the date or the version of a release.
_RELEASE: Final = re.compile(
    r"([-@](\d{4}-\d{2}-\d{2}|\d{6,8}|\d{3,4}|latest|default)|-preview|-beta|-exp(erimental)?|-\d{2}-\d{2}(-\d{4})?"
    r"|-\d{2}-\d{4}|-v\d+(:\d+)?|:\d+)$"
)

#: Whose models a provider sells at a price of its own, although the snapshot has the maker's for it. Azure asks 1.35
#: USD for a million input tokens of DeepSeek R1, DeepSeek itself 0.55 (LiteLLM 1.110.2, of prices.azure.com).
_OTHER_PRICES: Final = defaultdict[str, tuple[str, ...]](tuple, azure=("deepseek",))

#: Open models that their maker publishes but does not serve; the snapshot has another seller's price there.
_NOT_SERVED: Final[Mapping[str, re.Pattern[str]]] = {"openai": re.compile(r"gpt-oss")}


@dataclass(frozen=True, slots=True)
class ModelId:
    """A model's name in a log, as the catalogue reads it.

    Attributes
    ----------
    name : str
        The name that was given.
    provider : str or None
        Who serves it, as the catalogue calls it; None for a server of one's own.
    model : str
        The model, as the catalogue calls it; for a server of one's own, the name without the prefix.
    region : str
        Where it is served, as the name says: ``us``, ``eu``, ``global``, ``eu-central-1``; empty where it does not.
    fine_tuned : bool
        Whether it was trained further by its user.
    own_server : bool
        Whether it runs on a server of one's own, so that there is no bill of an API.
    assumption : str
        What the price rests on where the name leaves it open; empty where it does not.
    """

    name: str
    provider: str | None
    model: str
    region: str = ""
    fine_tuned: bool = False
    own_server: bool = False
    assumption: str = ""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of the snapshot: who serves it, the model, the provider whose price it is, and how it was found."""

    provider: Provider
    model: ModelInfo
    owner: Provider
    id: ModelId

    @property
    def source_url(self) -> str:
        """The page with the price: that of our own row, or the owner's as the snapshot names it."""
        own = self.model.price_comments or ""
        return own if own.startswith("https://") and " " not in own else (self.owner.pricing_urls or [""])[0]


def resolve_model(name: str, provider: str | None = None, *, deployments: Mapping[str, str] | None = None) -> ModelId:
    """The model that a log means, as the catalogue finds it.

    Parameters
    ----------
    name : str
        The model's name as the log has it: with or without a gateway's prefix (``azure/gpt-4o``,
        ``bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0``), an ARN, a path of Vertex AI, ...
    provider : str, optional
        Who served it, as the log or the catalogue calls it.
    deployments : mapping of str to str, optional
        The model behind a name that its user chose, such as an Azure deployment's or that of an application inference
        profile: ``{"chat-prod": "gpt-4o"}``.

    Raises
    ------
    UnknownNameError
        If the catalogue knows no such model or provider; the message suggests the nearest.
    PriceNotFoundError
        If it is known why there is no price: a deployment paid by the hour, a fine-tuned model without its own price.
    AmbiguousPriceError
        If several providers serve it at different prices, none of which is known to be its maker.

    Examples
    --------
    >>> resolve_model("azure/gpt-4o-2024-08-06").provider
    'azure'
    >>> resolve_model("chat-prod", "azure", deployments={"chat-prod": "gpt-4o"}).model
    'gpt-4o'
    """
    wanted = deployed_model(name, deployments or {})
    prefix, _, rest = wanted.partition("/")
    if is_own_server(provider or "", model=wanted):
        return ModelId(name, None, rest if rest and is_own_server(prefix) else wanted, own_server=True)
    found = find_model(wanted, provider).id
    return ModelId(name, found.provider, found.model, found.region, found.fine_tuned, False, found.assumption)


def deployed_model(name: str, deployments: Mapping[str, str]) -> str:
    """The model behind a name that its user chose; the name itself where it is none of these."""
    behind = {deployment.casefold(): model for deployment, model in deployments.items()}
    chosen = name.casefold()
    return behind.get(chosen) or behind.get(chosen.removeprefix("azure/")) or name


def find_model(name: str, provider_name: str | None = None) -> FoundModel:
    """The model of the snapshot that a name means; raises as :func:`resolve_model`."""
    found = _found(name, provider_name)
    if isinstance(found, CostlabError):
        raise found.with_traceback(None)
    return found


@lru_cache(maxsize=65536)
def _found(name: str, provider_name: str | None) -> FoundModel | CostlabError:
    """As :func:`find_model`; what is not found is kept as well, since looking for near names takes long."""
    try:
        return _find(name, provider_name)
    except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError) as error:
        return error


def _find(name: str, provider_name: str | None) -> FoundModel:
    reading, told = read_name(name), _told(name, provider_name)
    if reading.unpriced and told in (None, reading.provider):
        raise PriceNotFoundError(f"no price of {name!r}: {reading.unpriced}")
    found = _at_told(told, name, reading) if told else _untold(name, reading)
    if found and not found.id.assumption and passed_on(name, provider_name):
        why = f"a gateway passed it on; the price is that of {found.provider.id} itself"
        found = replace(found, id=replace(found.id, assumption=why))
    if found is None and told in _CLIENTS and (reading.provider or _MAKERS_OWN.search(name.casefold())):
        found = _untold(name, reading)
        if found and found.provider.id != told:
            why = f"the log says {told}, which does not serve it: the price is that of {found.provider.id}"
            found = replace(found, id=replace(found.id, assumption=why))
    if found is None and told is not None and told in _NOT_SERVED and _NOT_SERVED[told].match(reading.model):
        raise PriceNotFoundError(
            f"no price of {name!r} at {told}, which publishes it and does not serve it; name who does"
        )
    if found is None and reading.tuned:
        raise PriceNotFoundError(f"no price of {name!r}: it is fine-tuned, and the price of its base is another one")
    if found is None:
        sellers = providers().values()
        if told or reading.provider:
            seller = providers()[told or reading.provider or ""]
            sellers = [seller, *_fallbacks(seller)]  # type: ignore[assignment]
        where = f"model at {provider_name or reading.provider}" if told or reading.provider else "model"
        raise UnknownNameError(where, name, tuple(model.id for seller in sellers for model in seller.models))
    return found


def _told(name: str, provider_name: str | None) -> str | None:
    """The provider that the log tells, if it is one that serves rather than passes on."""
    if provider_name is None or is_gateway(provider_name):
        return None
    if provider_name == "huggingface":
        host = name.rpartition(":")[2] if ":" in name else name.removeprefix("huggingface/").partition("/")[0]
        return one_provider(f"huggingface_{host}").id
    return one_provider(provider_name).id


def _at_told(told: str, name: str, reading: Reading) -> FoundModel | None:
    """The model at the provider that the log tells."""
    seller = providers()[told]
    names = [name]
    if reading.provider in (None, told):
        names += (
            [reading.model, reading.model.rpartition(":")[0]] if told.startswith("huggingface") else [reading.model]
        )
    elif reading.provider in (seller.fallback_model_providers or ()) or told in (
        "aws",
        "google",
        "azure",
        "databricks",
    ):
        # The maker's name before the model's: "anthropic/claude-sonnet-4-5" at Vertex AI.
        names.append(reading.model)
    if told == "aws" and reading.region not in ("", "global"):
        # A group of regions that the snapshot does not list asks what the others do.
        names.append(reading.model.removeprefix(f"{reading.region}."))
    for spelling in names:
        if found := _at(seller, spelling, name, reading):
            return found
    return None


def _untold(name: str, reading: Reading) -> FoundModel | None:
    """The model where only its name can tell who serves it."""
    if reading.provider is not None:
        seller = providers()[reading.provider]
        found = _at(seller, reading.model, name, reading) or _at_told(seller.id, name, reading)
        # OpenRouter writes the maker before the model's name, as LiteLLM does the provider.
        listed = _at(providers()["openrouter"], name, name, reading) if seller.id != "openrouter" else None
        if found and listed and not _same_price(found.model, listed.model):
            raise AmbiguousPriceError(
                f"{name!r} costs one thing at {seller.id}, another at openrouter; name the provider"
            )
        if found:
            return found
    # A name with a provider's prefix is not looked for at others, unless the prefix is a part of the name there.
    for provider in providers().values() if reading.provider is None else ():
        maker = provider.model_match is not None and provider.model_match.is_match(reading.model.casefold())
        if maker and (found := _at(provider, reading.model, name, reading, fallbacks=False)):
            return found
    wanted = reading.model if reading.provider is None else name
    offering = [providers()[one] for one in _offers().get(wanted.casefold(), ())]
    offers = [one for seller in offering if (one := _at(seller, wanted, name, reading, fallbacks=False))]
    if not offers:
        return None
    if not all(_same_price(offer.model, offers[0].model) for offer in offers):
        sellers = ", ".join(offer.provider.id for offer in offers)
        raise AmbiguousPriceError(f"{len(offers)} providers serve {name!r}: {sellers}; name one")
    found = min(offers, key=lambda offer: offer.provider.model_match is None)
    if len(offers) == 1:
        others = {
            seller
            for seller, model in _namesakes()[_last(found.model.id)]
            # "perplexity/sonar" at OpenRouter is Perplexity's.
            if found.provider.id not in (seller, provider_id(model.partition("/")[0]))
        }
        if others:
            raise AmbiguousPriceError(f"{len(others) + 1} providers sell a model of the name {name!r}; name one")
    if found.provider.model_match is None:
        sold_by = f"{found.provider.id} alone is" if len(offers) == 1 else "those who are"
        why = f"nothing says who served it, and {sold_by} known to sell a model of that name"
        why += "" if len(offers) == 1 else " ask the same"
        return replace(found, id=replace(found.id, assumption=found.id.assumption or why))
    return found


def _same_price(one: ModelInfo, other: ModelInfo) -> bool:
    """Whether two providers ask the same for a model's tokens, on every day."""

    def tokens(model: ModelInfo) -> object:
        prices = model.prices if isinstance(model.prices, list) else [model.prices]
        return [
            (
                getattr(price, "constraint", None),
                [(key, getattr(getattr(price, "prices", price), key)) for key in _TOKEN_KEYS],
            )
            for price in prices
        ]

    return tokens(one) == tokens(other)


#: The snapshot's names of the prices that make most bills.
_TOKEN_KEYS: Final = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "requests_kcount")


def _at(provider: Provider, name: str, given: str, reading: Reading, *, fallbacks: bool = True) -> FoundModel | None:
    for owner in (provider, *(_fallbacks(provider) if fallbacks else ())):
        if owner.id in _NOT_SERVED and _NOT_SERVED[owner.id].match(name):
            continue
        model = _model(owner, name)
        assumption = ""
        if model is None and (model := _undated(owner, name)):
            assumption = f"the price is that of {model.id}, of which the name says a release that no list has"
        if model is None or (reading.tuned and "ft" not in re.split(r"[:.-]", model.id)):
            continue
        region = reading.region
        if model.id.startswith("regional.") and not region and f"global.{model.id[9:]}" in _ids(owner.id):
            assumption = "the id does not say whether the global endpoint was called; the price is the regional one's"
        if region:
            model, known = in_region(provider.id, model, region)
            if not known and provider.id == "aws" and _is_elsewhere(model.id, region):
                assumption = f"the price is that of us-east-1; {region} may ask another"
            elif not known and provider.id == "azure":
                assumption = f"the price is that of a global deployment; the data zone {region} may ask another"
        found = ModelId(given, provider.id, model.id, region, reading.tuned, assumption=assumption)
        return FoundModel(provider, model, owner, found)
    return None


def _is_elsewhere(model: str, region: str) -> bool:
    """Whether a model of Bedrock's may cost something else there: Anthropic's and OpenAI's price is that of its id."""
    return (
        not region.startswith(("us-e", "us-w"))
        and region not in ("us", "global")
        and (region.startswith("us-gov") or not re.match(r"(global|regional)\.|openai\.gpt-[5-9]", model))
    )


@cache
def _ids(provider: str) -> frozenset[str]:
    return frozenset(model.id for model in providers()[provider].models)


def _fallbacks(provider: Provider) -> list[Provider]:
    others = provider.fallback_model_providers or ()
    return [providers()[other] for other in others if other in providers() and other not in _OTHER_PRICES[provider.id]]


@cache
def _offers() -> Mapping[str, tuple[str, ...]]:
    """The providers of each model, by the model's name in lower case."""
    offers: dict[str, tuple[str, ...]] = {}
    for provider in providers().values():
        for model in provider.models:
            offers[model.id.casefold()] = (*offers.get(model.id.casefold(), ()), provider.id)
    return offers


@cache
def _namesakes() -> Mapping[str, list[tuple[str, str]]]:
    """The provider and name of each model, by the name without any maker or folder before it."""
    sellers: dict[str, list[tuple[str, str]]] = {}
    for provider in providers().values():
        for model in provider.models:
            sellers.setdefault(_last(model.id), []).append((provider.id, model.id))
    return sellers


def _last(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _model(provider: Provider, name: str) -> ModelInfo | None:
    """The model with that very name, or one whose rule for aliases and release dates fits.

    The rules are generous (``claude-haiku-4-5-foo`` is a claude-haiku-4-5 to them). A name that they accept must be a
    model's own, one that they list, or either of these between a region and a date or version.
    """
    wanted = name.casefold()
    for model in provider.models:
        if model.id.casefold() == wanted:
            return model
    match = provider.find_model(name)
    return match if match is not None and _is_release(wanted, match, provider.id) else None


def _undated(provider: Provider, name: str) -> ModelInfo | None:
    """The model that has the name without its date, where it ends in a date."""
    match = re.fullmatch(r"(.+)-(\d{4}-\d{2}-\d{2}|20\d{6})", name)
    try:
        _ = match and date.fromisoformat(match[2])
    except ValueError:
        return None
    wanted = match[1].casefold() if match else ""
    for model in provider.models if wanted else ():
        if wanted == model.id.casefold() or ("equals", wanted) in _listed(model.match):
            return model
    return None


def _is_release(name: str, model: ModelInfo, provider: str) -> bool:
    """Whether there is nothing beside a name that the rule lists but a region, a date and a version."""
    for kind, text in _listed(model.match):
        literal = text.casefold()
        if kind == "regex":
            if text.startswith("^") and text.endswith("$") and re.fullmatch(text, name):
                return True
            continue
        place = name.find(literal)
        before, after = name[: max(place, 0)], name[place + len(literal) :]
        if place < 0 or (before and (kind in ("equals", "starts_with") or not _may_precede(provider, before))):
            continue
        # A rule may end within a date: "claude-sonnet-4-2025".
        within = len(literal.rstrip("0123456789").rstrip("-@")) if literal[-1].isdigit() else len(literal)
        if _only_release(after) or _only_release(literal[within:] + after):
            return True
    return False


def _may_precede(provider: str, text: str) -> bool:
    if provider == "aws":
        return re.fullmatch(r"([a-z-]{2,6}\.)?([a-z0-9]+\.)?", text) is not None
    return re.fullmatch(r"([a-z0-9_-]+/)?(minimax-)?", text) is not None


def _only_release(text: str) -> bool:
    while text and (shorter := _RELEASE.sub("", text)) != text:
        text = shorter
    return not text


def _listed(rule: MatchLogic) -> Iterator[tuple[str, str]]:
    """The texts that a rule for aliases looks for, and how it compares them."""
    for kind in ("equals", "starts_with", "ends_with", "contains", "regex"):
        if hasattr(rule, kind):
            yield kind, getattr(rule, kind)
    for part in (*getattr(rule, "or_", ()), *getattr(rule, "and_", ())):
        yield from _listed(part)
