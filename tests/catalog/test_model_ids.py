"""Who serves a model: names as logs have them, and nothing is taken for what it is not."""

import pytest

from costlab.catalog import api_price, is_own_server, provider_id, resolve_model

#: The values of `gen_ai.provider.name` and, before it, `gen_ai.system` (OpenTelemetry's semantic conventions), of
#: LiteLLM's `custom_llm_provider`, OpenInference's `llm.provider`, the Vercel AI SDK and pydantic-ai.
NAMES = {
    "openai": "openai text-completion-openai openai.chat openai.responses OpenAI",
    "anthropic": "anthropic anthropic.messages Anthropic",
    "aws": "aws.bedrock aws_bedrock bedrock bedrock_converse amazon-bedrock aws AWS",
    "azure": "azure.ai.openai azure.ai.inference az.ai.openai az.ai.inference azure azure_ai azure_text "
    "azure.responses azure-openai.chat",
    "google": "gcp.gemini gcp.gen_ai gcp.vertex_ai vertex_ai vertex_ai_beta gemini vertex_ai-anthropic_models google "
    "google.generative-ai google-gla google-vertex google.vertex.chat Google VertexAI",
    "x-ai": "x_ai xai xai.chat x-ai",
    "mistral": "mistral_ai mistral mistralai codestral mistral.chat MistralAI",
    "deepseek": "deepseek deepseek.chat",
    "groq": "groq groq.chat Groq",
    "perplexity": "perplexity",
    "cohere": "cohere cohere_chat cohere.chat",
    "moonshotai": "moonshot_ai moonshot moonshotai",
    "fireworks": "fireworks_ai fireworks fireworks.chat",
    "together": "together_ai togetherai togetherai.chat TogetherAI together",
    "voyageai": "voyage voyageai",
    "github-copilot": "github_copilot",
    "openrouter": "openrouter OpenRouter",
}


@pytest.mark.parametrize(("provider", "name"), [(one, name) for one, names in NAMES.items() for name in names.split()])
def test_a_provider_goes_by_many_names(provider: str, name: str) -> None:
    assert provider_id(name) == provider


@pytest.mark.parametrize("name", ["somebody", "", "/", "ollama", "hosted_vllm", "openaiish", "my-azure"])
def test_nobody_elses_name_is_a_providers(name: str) -> None:
    assert provider_id(name) is None


def test_providers_that_agree_on_the_price_make_no_ambiguity() -> None:
    assert api_price("text-embedding-3-small").input_usd_per_mtok == 0.02
    assert api_price("text-embedding-3-small").provider == "openai"


@pytest.mark.parametrize("provider", ["hosted_vllm", "ollama", "ollama_chat", "llamafile", "lm_studio", "xinference"])
def test_a_server_of_ones_own_sends_no_bill_whatever_the_model_is_called(provider: str) -> None:
    assert is_own_server(provider, model="gpt-4o")
    assert resolve_model(f"{provider}/gpt-4o").own_server
    assert resolve_model("gpt-4o", provider).own_server


@pytest.mark.parametrize(
    ("provider", "api_base", "model", "own"),
    [
        ("openai", "http://localhost:8000/v1", "Qwen/Qwen3-32B", True),
        ("openai", "http://10.1.2.3/v1", "llama-3.3-70b", True),
        ("openai", "http://[::1]:8000", "llama-3.3-70b", True),
        ("openai", "http://vllm.models.svc:8000", "gpt-oss-120b", True),
        ("openai", "http://vllm:8000/v1", "gpt-oss-120b", True),
        # A gateway in front of an API has a private address, and a bill.
        ("openai", "http://localhost:4000", "gpt-4o", False),
        ("openai", "http://litellm:4000", "anthropic/claude-sonnet-4-5", False),
        ("openai", "https://api.openai.com/v1", "gpt-4o", False),
        ("openai", "", "llama-3.3-70b", False),
        # Ollama's own cloud is nobody's own server.
        ("ollama", "https://ollama.com", "gpt-oss:120b-cloud", False),
    ],
)
def test_an_address_in_ones_own_network_is_a_server_of_ones_own(
    provider: str, api_base: str, model: str, own: bool
) -> None:
    assert is_own_server(provider, api_base, model) is own
