"""Who serves a model: the catalogue's name for what logs call a provider, and servers of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from costlab.catalog.model_prices import added_models
from costlab.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genai_prices.types import Provider

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
    "gcpvertexagent": "google",
    "gcpvertexai": "google",
    "gemini": "google",
    "googleaistudio": "google",
    "googlecloud": "google",
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
    "llamafile", "lmstudio", "localai", "mlx", "ollama", "ollamachat", "oobabooga", "openllm", "ownserver",
    "petals", "sglang", "textgenerationinference", "tgi", "triton", "tritonserver", "vllm", "xinference",
})  # fmt: skip

#: Models that no one runs at home. An address inside one's own network that serves them is a gateway to their maker.
CLOSED: Final = re.compile(
    r"(^|[/.:])(gpt-(?!oss)|chatgpt|o[1-9](-|$)|text-embedding-(3|ada)|claude|gemini|grok-[3-9]|sonar|voyage-|nova-)"
)

#: Gateways that pass a request on to whom the model's name says, at that provider's own price.
_GATEWAYS: Final = frozenset({"gateway", "helicone", "litellm", "litellmproxy", "portkey", "vercel",
                              "vercelaigateway"})  # fmt: skip


def provider_id(name: str, api_base: str = "") -> str | None:
    """The catalogue's provider for the name that a log has for it; None where it is not one of the catalogue's.

    Parameters
    ----------
    name : str
        ``aws.bedrock``, ``azure_ai``, ``gcp.vertex_ai``, ``az.ai.openai``, ``openai.chat``, ``together_ai``, ...
    api_base : str
        The address that was called, with or without its scheme; may be empty. That of a provider's API counts more than
        the name: instrumentations of a client library give its maker's name whoever is called.

    Examples
    --------
    >>> provider_id("aws.bedrock"), provider_id("vertex_ai"), provider_id("somebody")
    ('aws', 'google', None)
    >>> provider_id("openai", "https://api.deepseek.com/v1")
    'deepseek'
    """
    return (api_base and _provider_at(api_base.strip())) or _provider_named(name)


@lru_cache(maxsize=4096)
def _provider_named(name: str) -> str | None:
    key = _compact(name)
    if key in _OWN_SERVERS:
        return None
    ids = {_compact(provider): provider for provider in providers()}
    for spelling in (key, *(key.removesuffix(part) for part in _API_PARTS if key.endswith(part))):
        if found := ids.get(spelling) or _PROVIDER_NAMES.get(spelling):
            return found
    return "google" if key.startswith("vertexai") else None


@lru_cache(maxsize=4096)
def _provider_at(address: str) -> str | None:
    full = address.casefold() if "://" in address else f"https://{address.casefold()}"
    return next((one.id for one in providers().values() if re.match(one.api_pattern, full)), None)


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
        no one can run oneself is one behind a gateway, which does have a bill; and it may have a prefix of its own. An
        open model behind a gateway cannot be told from one that runs there.

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
    return _is_private(_host(api_base)) and not CLOSED.search(model.casefold())


@cache
def providers() -> Mapping[str, Provider]:
    """The providers of the snapshot and, before their models, those that our own rows add, by id."""
    # Imported here, since it takes a third of a second. These are the bundled prices, whatever newer ones a program in
    # the same interpreter may have fetched: a lesson's figures must not change under it.
    from genai_prices.data import providers as bundled

    return {one.id: replace(one, models=[*added_models(one.id), *one.models]) for one in bundled}


def one_provider(name: str) -> Provider:
    """The provider of that name, the catalogue's or a log's; otherwise the error suggests the nearest."""
    found = provider_id(name) if isinstance(name, str) else None
    if found is None:
        raise UnknownNameError("provider", name, tuple(providers()))
    return providers()[found]


def is_gateway(name: str) -> bool:
    """Whether a name is that of a gateway, which does not say who served a request."""
    return _compact(name) in _GATEWAYS


def passed_on(name: str, provider_name: str | None) -> bool:
    """Whether a gateway that chooses among providers served it; LiteLLM's name says which it called."""
    through = {_compact(provider_name or ""), _compact(name.partition("/")[0]) if "/" in name else ""}
    return bool(through & (_GATEWAYS - {"litellm", "litellmproxy"}))


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
