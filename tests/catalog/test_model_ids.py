"""Who serves a model: names as logs have them, and nothing is taken for what it is not."""

import csv
import math
import time
import tomllib
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from costlab.catalog import api_models, api_price, is_own_server, provider_id, resolve_model
from costlab.catalog.model_ids import find_model
from costlab.catalog.provider_ids import providers
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError

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


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("https://api.deepseek.com/v1", "deepseek"),
        ("api.x.ai", "x-ai"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "aws"),
        ("https://us-east5-aiplatform.googleapis.com/v1", "google"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.openai.com/v1", "openai"),
        # A gateway of one's own says nothing.
        ("http://localhost:4000", "openai"),
        ("https://llm.acme.example", "openai"),
        ("", "openai"),
    ],
)
def test_the_address_of_an_api_counts_more_than_the_name_of_its_client(address: str, provider: str) -> None:
    assert provider_id("openai", address) == provider


def test_a_prefix_is_not_looked_for_at_another_provider() -> None:
    # DeepSeek has the model too; the log says Fireworks.
    with pytest.raises(UnknownNameError, match="unknown model at fireworks 'fireworks_ai/deepseek-v4-pro-0813'"):
        resolve_model("fireworks_ai/deepseek-v4-pro-0813")


def test_what_a_gateway_chose_is_an_assumption() -> None:
    found = resolve_model("openai/gpt-5-mini", "vercel_ai_gateway")
    assert found.assumption == "a gateway passed it on; the price is that of openai itself"
    assert not resolve_model("litellm_proxy/azure/gpt-4o").assumption


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


def table() -> list[dict[str, str]]:
    """Ids as logs and documentation have them, with what a log tells of the provider, and where each is from."""
    with (Path(__file__).parent / "model_ids.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "row", [row for row in table() if row["provider"]], ids=lambda row: f"{row['id']} {row['told']}"
)
def test_an_id_is_the_model_and_has_the_price(row: dict[str, str]) -> None:
    """Where `source` names litellm, its table has the same price but for rounding; others have the snapshot's."""
    found, price = resolve_model(row["id"], row["told"] or None), api_price(row["id"], row["told"] or None)
    assert (found.provider, found.model) == (row["provider"], row["model"]) == (price.provider, price.model)
    assert math.isclose(price.input_usd_per_mtok, float(row["input_usd_per_mtok"]), rel_tol=1e-5)
    assert math.isclose(price.output_usd_per_mtok or 0, float(row["output_usd_per_mtok"]), rel_tol=1e-5)
    assert bool(found.assumption) == (row["basis"] == "assumed"), found.assumption


#: Why an id has no price, as the table calls it, and words of the message.
REASONS = {
    "ambiguous": "name",
    "fine-tuned": "it is fine-tuned, and the price of its base is another one",
    "hourly": "paid by the hour",
    "no token price": "no price per input token",
    "not served": "publishes it and does not serve it",
    "opaque": "does not say|of one's own",
    "unknown": "unknown model",
    "unknown provider": "unknown provider",
}


@pytest.mark.parametrize(
    "row", [row for row in table() if not row["provider"]], ids=lambda row: f"{row['id']} {row['told']}"
)
def test_an_id_without_a_price_says_why(row: dict[str, str]) -> None:
    with pytest.raises(
        (UnknownNameError, PriceNotFoundError, AmbiguousPriceError), match=REASONS[row["output_usd_per_mtok"]]
    ):
        api_price(row["id"], row["told"] or None)


def test_the_table_has_ids_of_all_kinds() -> None:
    rows = table()
    assert len(rows) >= 200
    assert len({row["provider"] for row in rows}) >= 20
    assert all(row["source"] for row in rows)


#: What people put around the names of models that they host or train, and what other models are called.
WORDS = st.sampled_from(
    ["mine", "custom", "foo", "turbo2", "v", "prod", "eu1", "distill", "instruct", "lora", "q4", "awq"]
)


@given(
    st.sampled_from(sorted(api_models("openai") + api_models("anthropic") + api_models("google"))), WORDS, st.booleans()
)
def test_a_name_with_a_word_more_is_another_model(model: str, word: str, behind: bool) -> None:
    name = f"{model}-{word}" if behind else f"{word}-{model}"
    for provider in (None, "openai", "anthropic", "google", "azure", "aws"):
        try:
            found = resolve_model(name, provider)
        except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
            continue
        # Some models are called so: "gpt-4-32k", "gpt-3.5-turbo-instruct".
        assert _compact(name) in _compact(found.model) or found.model in name, (name, found)
        assert name.casefold() in {known.casefold() for known in api_models()}


def _compact(name: str) -> str:
    return name.casefold().replace(".", "-")


@given(st.text(max_size=60), st.sampled_from([None, "openai", "aws", "azure", "google", "fireworks", "huggingface"]))
def test_any_text_is_a_model_or_says_that_it_is_none(name: str, provider: str | None) -> None:
    with suppress(UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
        resolve_model(name, provider)


@pytest.mark.parametrize(
    ("model", "provider", "global_usd", "regional_usd"),
    [("anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", 3.0, 3.3), ("openai.gpt-6-sol", "aws", 2.0, 2.2)],
)
def test_bedrock_asks_a_tenth_more_where_the_region_is_chosen(
    model: str, provider: str, global_usd: float, regional_usd: float
) -> None:
    # Anthropic's documentation of Bedrock: regional endpoints have a premium of 10 % over the global one.
    assert api_price(f"global.{model}", provider).input_usd_per_mtok == global_usd
    assert api_price(f"us.{model}", provider).input_usd_per_mtok == regional_usd
    bare = resolve_model(model, provider)
    assert api_price(model, provider).input_usd_per_mtok == regional_usd
    assert "does not say whether the global endpoint was called" in bare.assumption


def test_a_region_with_a_price_of_its_own_has_it_for_all_kinds_of_tokens() -> None:
    # AWS price list of Nova Lite in Europe: 0.078 and 0.312 USD, read from the cache 0.0195.
    europe, home = api_price("eu.amazon.nova-lite-v1:0", "aws"), api_price("us.amazon.nova-lite-v1:0", "aws")
    assert (europe.input_usd_per_mtok, europe.output_usd_per_mtok) == (0.078, 0.312)
    assert (europe.cached_input_usd_per_mtok, home.cached_input_usd_per_mtok) == (0.0195, 0.015)
    assert "us-east-1" in resolve_model("eu.meta.llama3-1-8b-instruct-v1:0", "aws").assumption


def test_a_deployment_is_what_its_user_says() -> None:
    ours = {
        "chat-prod": "gpt-4o",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/ab": "us.amazon.nova-lite-v1:0",
    }
    for name in ("chat-prod", "azure/chat-prod", "Chat-Prod"):
        found = resolve_model(name, "azure", deployments=ours)
        assert (found.name, found.provider, found.model) == (name, "azure", "gpt-4o")
    assert resolve_model(list(ours)[1], "aws", deployments=ours).model == "amazon.nova-lite-v1:0"


def test_a_fine_tuned_model_never_costs_what_its_base_does() -> None:
    # OpenAI's price list: gpt-4.1 2 and 8 USD, fine-tuned 3 and 12.
    assert api_price("ft:gpt-4.1-2025-04-14:acme::9xyz").input_usd_per_mtok == 3.0
    assert resolve_model("ft:gpt-4.1-2025-04-14:acme::9xyz").fine_tuned
    for base in api_models("openai"):
        if not base.startswith("ft:") and ".ft-" not in base:
            try:
                own = api_price(f"ft:{base}:acme::9xyz")
            except PriceNotFoundError:
                continue
            assert own.model.startswith("ft:")


def test_what_azure_sells_at_its_own_price_has_not_the_makers() -> None:
    # prices.azure.com: DeepSeek R1 1.35 and 5.40 USD; DeepSeek itself asks 0.55 by day.
    assert api_price("DeepSeek-R1", "azure").input_usd_per_mtok == 1.35


def test_a_name_is_looked_up_once() -> None:
    names = [f"unknown-{number}" for number in range(20)] + ["gpt-4o"] * 20

    def all_of_them() -> float:
        start = time.process_time()
        for name in names:
            with suppress(UnknownNameError):
                find_model(name)
        return time.process_time() - start

    first = all_of_them()
    assert all_of_them() < first / 20


def test_the_rows_of_our_own_prices_are_what_they_should_be() -> None:
    rows = tomllib.loads((files("costlab.catalog") / "model_prices.toml").read_text(encoding="utf-8"))
    for row in (*rows["price"], *rows["regional_price"], *rows["uplift"]):
        assert row["provider"] in providers()
        assert row["source_url"].startswith("https://")
        assert row["checked"].year == 2026
    for row in rows["price"]:
        assert row["input_usd_per_mtok"] > 0
        # Nothing is added that the snapshot has, but for names whose price there is another's.
        assert api_price(row["model"], row["provider"]).model == row["model"]
    for row in rows["uplift"]:
        sellers = [providers()[name] for name in (row["provider"], "openai", "anthropic")]
        assert set(row["models"]) <= {model.id for seller in sellers for model in seller.models}
