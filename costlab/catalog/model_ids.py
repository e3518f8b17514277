"""Who serves a model, and which model it is: from the names that logs have to the ones that the catalogue has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from costlab.errors import AmbiguousPriceError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genai_prices.types import MatchLogic, ModelInfo, Provider

#: The catalogue's provider for the names that logs have for it, without their separators and in lower case: the values
#: of `gen_ai.provider.name` and, before it, `gen_ai.system` (OpenTelemetry's semantic conventions for generative AI),
#: LiteLLM's `custom_llm_provider`, OpenInference's `llm.provider`, and the providers of the Vercel AI SDK and of
#: pydantic-ai. The catalogue's own ids need no entry.
_PROVIDER_NAMES: Final[Mapping[str, str]] = {
    "anthropictext": "anthropic",
    "claude": "anthropic",
    "amazon": "aws",
    "amazonbedrock": "aws",
    "awsbedrock": "aws",
    "bedrock": "aws",
    "bedrockconverse": "aws",
    "bedrockmantle": "aws",
    "azai": "azure",
    "azaiinference": "azure",
    "azaiopenai": "azure",
    "azureai": "azure",
    "azureaiinference": "azure",
    "azureaiopenai": "azure",
    "azureopenai": "azure",
    "azuretext": "azure",
    "workersai": "cloudflare",
    "coherechat": "cohere",
    "fireworksai": "fireworks",
    "githubcopilot": "github-copilot",
    "gcp": "google",
    "gcpgemini": "google",
    "gcpgenai": "google",
    "gcpvertexai": "google",
    "gemini": "google",
    "googleaistudio": "google",
    "googlegenai": "google",
    "googlegenerativeai": "google",
    "googlegla": "google",
    "googlevertex": "google",
    "googlevertexai": "google",
    "vertex": "google",
    "vertexai": "google",
    "vertexaibeta": "google",
    "codestral": "mistral",
    "mistralai": "mistral",
    "textcompletioncodestral": "mistral",
    "moonshot": "moonshotai",
    "chatgpt": "openai",
    "openaichat": "openai",
    "openairesponses": "openai",
    "textcompletionopenai": "openai",
    "pplx": "perplexity",
    "togetherai": "together",
    "voyage": "voyageai",
    "zhipu": "zhipuai",
    "bigmodel": "zhipuai",
}

#: Parts of an API that instrumentations put behind the provider's name: ``openai.chat``, ``anthropic.messages``.
_API_PARTS: Final = ("chat", "responses", "messages", "completion", "completions", "embedding", "embeddings")

#: Servers that run on one's own machines: LiteLLM's names and those of instrumentations.
_OWN_SERVERS: Final = frozenset({
    "dockermodelrunner", "gpt4all", "hostedvllm", "infinity", "koboldcpp", "lemonade", "llamacpp", "llamacppserver",
    "llamafile", "lmstudio", "localai", "mlx", "ollama", "ollamachat", "oobabooga", "openllm", "petals", "sglang",
    "textgenerationinference", "tgi", "triton", "tritonserver", "vllm", "xinference",
})  # fmt: skip

#: Models that nobody runs at home. An address inside one's own network that serves them is a gateway to their maker.
_CLOSED: Final = re.compile(
    r"(^|[/.:])(gpt-(?!oss)|chatgpt|o[1-9](-|$)|text-embedding-(3|ada)|claude|gemini|grok-[3-9]|sonar|voyage-|nova-|command-a)"
)

#: What may follow a model's name: the date or the version of a release.
_RELEASE: Final = re.compile(
    r"([-@](\d{4}-\d{2}-\d{2}|\d{6,8}|\d{3,4}|latest|default)|-preview|-beta|-exp(erimental)?|-\d{2}-\d{2}(-\d{4})?"
    r"|-\d{2}-\d{4}|-v\d+(:\d+)?|:\d+)$"
)


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


def provider_id(name: str) -> str | None:
    """The catalogue's provider for the name that a log has for it; None where it is not one of the catalogue's.

    Parameters
    ----------
    name : str
        ``aws.bedrock``, ``azure_ai``, ``gcp.vertex_ai``, ``az.ai.openai``, ``openai.chat``, ``together_ai``, ...

    Examples
    --------
    >>> provider_id("aws.bedrock"), provider_id("vertex_ai"), provider_id("somebody")
    ('aws', 'google', None)
    """
    key = _compact(name)
    if key in _OWN_SERVERS:
        return None
    ids = {_compact(provider): provider for provider in providers()}
    for spelling in (key, *(key.removesuffix(part) for part in _API_PARTS if key.endswith(part))):
        if found := ids.get(spelling) or _PROVIDER_NAMES.get(spelling):
            return found
    return "google" if key.startswith("vertexai") else None


def is_own_server(provider: str, api_base: str = "", model: str = "") -> bool:
    """Whether requests went to a server of one's own, for which no API sends a bill.

    Parameters
    ----------
    provider : str
        As the log calls it: ``hosted_vllm``, ``ollama``, ``llamafile``, ...; may be empty.
    api_base : str
        The address that was called; may be empty.
    model : str
        The model's name as the log has it. It matters where only the address tells: at a private one, a model that
        nobody can run oneself is one behind a gateway, which does have a bill; and it may have a prefix of its own.

    Examples
    --------
    >>> is_own_server("ollama"), is_own_server("openai", "http://10.0.0.7:8000/v1", "qwen3-32b")
    (True, True)
    >>> is_own_server("openai", "http://localhost:4000", "gpt-4o")
    False
    """
    prefix, _, rest = model.partition("/")
    if _compact(provider) in _OWN_SERVERS or (rest and _compact(prefix) in _OWN_SERVERS):
        return not (_compact(provider).startswith("ollama") and _host(api_base).endswith("ollama.com"))
    return _is_private(_host(api_base)) and not _CLOSED.search(model.casefold())


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
    wanted = name
    for deployment, model in (deployments or {}).items():
        if deployment.casefold() in (name.casefold(), name.casefold().removeprefix("azure/")):
            wanted = model
    prefix, _, rest = wanted.partition("/")
    if (provider and is_own_server(provider)) or (rest and _compact(prefix) in _OWN_SERVERS):
        return ModelId(name, None, rest if rest and _compact(prefix) in _OWN_SERVERS else wanted, own_server=True)
    found = find_model(wanted, provider).id
    return ModelId(name, found.provider, found.model, found.region, found.fine_tuned, False, found.assumption)


@cache
def providers() -> Mapping[str, Provider]:
    """The providers of the snapshot, by id."""
    # Imported here, since it takes a third of a second. These are the bundled prices, whatever newer ones a program in
    # the same interpreter may have fetched: a lesson's figures must not change under it.
    from genai_prices.data import providers as bundled

    return {provider.id: provider for provider in bundled}


def one_provider(name: str) -> Provider:
    """The provider of that name, the catalogue's or a log's; otherwise the error suggests the nearest."""
    found = provider_id(name) if isinstance(name, str) else None
    if found is None:
        raise UnknownNameError("provider", name, tuple(providers()))
    return providers()[found]


@cache
def find_model(name: str, provider_name: str | None = None) -> FoundModel:
    """The model of the snapshot that a name means; raises as :func:`resolve_model`."""
    told = None if provider_name is None else one_provider(provider_name)
    prefix, separator, rest = name.partition("/")
    by_prefix = provider_id(prefix) if separator else None
    if told is None and by_prefix is not None and (found := _at(providers()[by_prefix], rest, name)):
        return found
    if told is not None:
        found = _at(told, name, name) or (_at(told, rest, name) if by_prefix == told.id else None)
        if found:
            return found
        owners = [told, *_fallbacks(told)]
        raise UnknownNameError(f"model at {provider_name}", name, tuple(m.id for owner in owners for m in owner.models))
    for provider in providers().values():
        maker = provider.model_match is not None and provider.model_match.is_match(name.lower())
        if maker and (model := _model(provider, name)):
            return _found(provider, model, provider, name)
    offering = _offers().get(name.casefold(), ())
    if not offering:
        raise UnknownNameError("model", name, tuple(m.id for seller in providers().values() for m in seller.models))
    models = [next(m for m in providers()[s].models if m.id.casefold() == name.casefold()) for s in offering]
    if any(model.prices != models[0].prices for model in models):
        raise AmbiguousPriceError(f"{len(offering)} providers serve {name!r}: {', '.join(offering)}; name one")
    seller, model = min(zip(offering, models, strict=True), key=lambda offer: providers()[offer[0]].model_match is None)
    return _found(providers()[seller], model, providers()[seller], name)


def _at(provider: Provider, name: str, given: str) -> FoundModel | None:
    for owner in (provider, *_fallbacks(provider)):
        if model := _model(owner, name):
            return _found(provider, model, owner, given)
    return None


def _found(provider: Provider, model: ModelInfo, owner: Provider, name: str) -> FoundModel:
    tuned = name.startswith("ft:") or ":ft:" in name or ".ft-" in name
    return FoundModel(provider, model, owner, ModelId(name, provider.id, model.id, fine_tuned=tuned))


def _fallbacks(provider: Provider) -> list[Provider]:
    return [providers()[owner] for owner in provider.fallback_model_providers or () if owner in providers()]


@cache
def _offers() -> Mapping[str, tuple[str, ...]]:
    """The providers of each model, by the model's name in lower case."""
    offers: dict[str, tuple[str, ...]] = {}
    for provider in providers().values():
        for model in provider.models:
            offers[model.id.casefold()] = (*offers.get(model.id.casefold(), ()), provider.id)
    return offers


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


def _is_release(name: str, model: ModelInfo, provider: str) -> bool:
    """Whether nothing stands beside a name that the rule lists but a region, a date and a version."""
    for kind, text in _listed(model.match):
        literal = text.casefold()
        if kind == "regex":
            if re.fullmatch(text.removeprefix("^").removesuffix("$"), name):
                return True
            continue
        place = name.find(literal)
        if place < 0 or (place and not _may_precede(provider, name[:place])):
            continue
        # A rule may end within a date: "claude-sonnet-4-2025".
        start = place + len(literal.rstrip("0123456789").rstrip("-@"))
        if _only_release(name[place + len(literal) :]) or (literal[-1].isdigit() and _only_release(name[start:])):
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


def _compact(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _host(address: str) -> str:
    rest = re.sub(r"^[a-z][a-z0-9+.-]*://", "", address.strip().casefold())
    host = rest.split("/")[0].rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_private(host: str) -> bool:
    """Whether a host is inside one's own network: by its address, or by a name that no public one has."""
    if not host:
        return False
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost", ".svc", ".home.arpa"))
