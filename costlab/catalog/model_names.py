"""What a model's name says of itself: who serves it, where, and which model it is without its prefixes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costlab.catalog.provider_ids import is_gateway, provider_id, providers

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Vendors before whose models Bedrock puts their name: ``anthropic.claude-...``, ``us.amazon.nova-...``.
_BEDROCK_ID: Final = re.compile(
    r"((?P<region>[a-z]{2,6}(-gov)?)\.)?(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai"
    r"|moonshot|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.[a-z].*"
)
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:(?P<service>bedrock|sagemaker):(?P<region>[a-z0-9-]*):\d*:(?P<kind>[a-z-]+)/(?P<model>.+)", re.I
)
_VERTEX_PATH: Final = re.compile(
    r"/*(projects/[^/]+/)?(locations/(?P<region>[^/]+)/)?(publishers/[^/]+/)?models/(?P<model>[^/]+)"
)
_AWS_REGION: Final = re.compile(r"[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-\d")

#: Parts of a path that choose a route of LiteLLM's, or a kind of deployment at the same price, and no model.
_ROUTES: Final[Mapping[str, frozenset[str]]] = {
    "aws": frozenset({"converse", "converse_like", "invoke", "mantle", "nova", "llama", "deepseek_r1", "qwen3"}),
    "azure": frozenset({"o_series", "gpt5_series", "responses", "global", "global-standard", "standard"}),
}
_AZURE_ZONES: Final = frozenset({"us", "eu", "us-gov", "apac"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a name says of itself: who serves it, the model without prefixes, where, and why it can have no price."""

    provider: str | None
    model: str
    region: str = ""
    unpriced: str = ""

    @property
    def tuned(self) -> bool:
        """Whether it is a model that its user trained further."""
        return self.model.startswith("ft:") or ".ft-" in self.model or ":ft-" in self.model


def read_name(name: str) -> Reading:
    """A name without its prefixes."""
    text = name.strip()
    head, separator, rest = text.partition("/")
    while separator and is_gateway(head):
        text = rest
        head, separator, rest = text.partition("/")
    if arn := _ARN.fullmatch(text):
        return _read_arn(arn)
    if path := _VERTEX_PATH.fullmatch(text):
        return Reading("google", path["model"], path["region"] or "")
    if head in ("projects", "tunedModels", "endpoints") and separator:
        return Reading("google", text, "", "it is an endpoint of one's own, which does not say what runs there")
    if head == "accounts" and separator:
        return _read_fireworks(text)
    if head == "huggingface" and separator:
        host, _, model = rest.partition("/")
        named = f"huggingface_{host}"
        return Reading(named, model) if named in providers() else Reading(None, rest)
    if separator and (by := provider_id(head)):
        return _read_at(by, rest)
    before, colon, after = text.partition(":")
    if colon and (by := provider_id(before)):
        return _read_at(by, after)
    if bedrock := _BEDROCK_ID.fullmatch(text.casefold()):
        return Reading("aws", text, bedrock["region"] or "")
    if re.fullmatch(r"claude-[a-z0-9.-]+@\w+", text):
        return Reading("google", text)
    if re.match(r"ft:(gpt-|o\d|babbage-|davinci-)", text):
        return Reading("openai", _tuned_base(text))
    return Reading(None, _tuned_base(text))


def _read_arn(arn: re.Match[str]) -> Reading:
    if arn["service"] == "bedrock" and arn["kind"] in ("foundation-model", "inference-profile"):
        inner = _BEDROCK_ID.fullmatch(arn["model"].casefold())
        return Reading("aws", arn["model"], (inner and inner["region"]) or arn["region"])
    why = {
        "application-inference-profile": "an application inference profile does not say which model it stands for",
        "default-prompt-router": "a prompt router does not say which model answered",
        "prompt-router": "a prompt router does not say which model answered",
    }.get(arn["kind"], "it is paid by the hour, not by the token")
    return Reading("aws", arn[0], arn["region"], why)


def _read_fireworks(text: str) -> Reading:
    model, dedicated, _ = text.partition("#")
    if dedicated or "/deployments/" in text:
        return Reading("fireworks", model, "", "a deployment of one's own is paid by the hour, not by the token")
    if not text.startswith("accounts/fireworks/"):
        return Reading("fireworks", model, "", "it is a model of one's own, of which there is no list price")
    return Reading("fireworks", model)


def _read_at(provider: str, rest: str) -> Reading:
    """What follows a provider's prefix."""
    region = ""
    while "/" in rest:
        head, _, after = rest.partition("/")
        if head in _ROUTES.get(provider, ()):
            pass
        elif head in _AZURE_ZONES if provider == "azure" else provider == "aws" and _AWS_REGION.fullmatch(head):
            region = head
        elif provider == "aws" and head.endswith("-month-commitment"):
            return Reading(provider, after, region, "it is paid by the hour, not by the token")
        else:
            break
        rest = after
    inner = read_name(rest) if re.match(r"arn:|accounts/|/*projects/|publishers/|models/", rest) else None
    if inner and inner.provider == provider:
        return Reading(provider, inner.model, inner.region or region, inner.unpriced)
    if provider == "aws" and not region and (bedrock := _BEDROCK_ID.fullmatch(rest.casefold())):
        region = bedrock["region"] or ""
    if provider == "google" and (rest.isdigit() or re.fullmatch(r"(gemini|openai)/\d+", rest)):
        return Reading(provider, rest, "", "it is an endpoint of one's own, which does not say what runs there")
    return Reading(provider, _tuned_base(rest), region)


def _tuned_base(name: str) -> str:
    """A fine-tuned model's name without what its owner added: ``ft:gpt-4o-2024-08-06:acme::9xyz``."""
    return ":".join(name.split(":")[:2]) if name.startswith("ft:") else name
