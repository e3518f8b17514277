"""What a plan is measured by: the company's limits, what it pays, and how good the models are, as sources say."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from functools import cache
from importlib.resources import files
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab.catalog import api_price, current_gpu_prices, gpu, gpu_price
from costlab.errors import InvalidValueError, PriceNotFoundError
from costlab.experiments import recorded_tiers
from costlab.token_economics import PromptCacheTerms, prompt_cache_terms

if TYPE_CHECKING:
    from costlab.router import Outcomes

#: Days of a month; in one of them a client runs away.
DAYS_PER_MONTH: Final = 30

#: What the controller allows, in USD: a third of today's bill in a month; in a day the source lesson's hard limit (S9).
BUDGET_USD_PER_MONTH: Final = 40_000.0
LIMIT_USD_PER_DAY: Final = 5_000.0

#: People who keep a model of one's own running, per model, in USD: a quarter of an engineer.
PEOPLE_USD_PER_MONTH: Final = 4_000.0

#: How many ordinary requests a budget guard may refuse before clients complain.
REFUSED_FRACTION: Final = 0.001

#: The three tiers of the support questions, at the source lesson's prices (S7), in USD per request, and their latencies
#: in seconds, with the cache's.
SUPPORT_USD_PER_REQUEST: Final = MappingProxyType({"words": 0.0005, "vectors": 0.003, "ensemble": 0.03})
SUPPORT_LATENCY_S: Final = MappingProxyType({"words": 0.010, "vectors": 0.050, "ensemble": 0.500})
CACHE_LATENCY_S: Final = 0.002

#: An API's seconds to the first token and between two tokens: the source lesson's large tier (S7), then 125 a second.
API_LATENCY_S: Final = (0.5, 0.008)

#: A provider's batch answers within a day (https://platform.openai.com/docs/guides/batch).
BATCH_LATENCY_S: Final = 86_400.0

#: Which of a provider's rows of prompt cache terms the models with a quality go by.
_PROMPT_CACHES: Final = MappingProxyType({"openai": "gpt-4o to gpt-5.5", "anthropic": "Claude Sonnet 4, "})

#: Where answers are kept, and how large one is with its key, in bytes.
CACHE_STORE: Final = "elasticache-serverless-valkey"
ENTRY_BYTES: Final = 2_000

#: How a fleet is run: most load of a replica, as the mean of an hour; spare replicas; hours between two interruptions
#: of a spot machine, and seconds until it serves again.
MAX_UTILIZATION_FRACTION: Final = 0.7
SPARE_REPLICAS: Final = 1
SPOT_MTBF_HOURS: Final = 5.0
SPOT_RESTART_S: Final = 600.0


@cache
def _measured() -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """MMLU by model, and what is left of it by model and weights."""
    table = tomllib.loads((files("costlab.capstone") / "quality.toml").read_text(encoding="utf-8"))
    rows = {name: fraction for source in table["mmlu"] for name, fraction in source["fraction"].items()}
    best_first = dict(sorted(rows.items(), key=lambda row: -row[1]))
    return best_first, {(row["model"], row["weights"]): row["fraction"] for row in table["kept"]}


def model_qualities() -> dict[str, float]:
    """MMLU of every model, unquantized, best first: share of right answers, in 0..1; sources: ``quality.toml``."""
    return dict(_measured()[0])


def model_quality(model: str, weights: str = "bf16") -> float:
    """MMLU of a model, in 0..1, with what quantization leaves of it.

    MMLU is not the company's task, and a floor on it is a crutch. Measure your own.

    Parameters
    ----------
    model, weights : str
        Name of the model; ``bf16``, as it is published, or what it was quantized to.

    Raises
    ------
    InvalidValueError
        If no source says what these weights cost in quality.

    Examples
    --------
    What does Llama-3.1-8B lose to 4-bit weights?

    >>> round(model_quality("Llama-3.1-8B") - model_quality("Llama-3.1-8B", "int4"), 4)
    0.0164
    """
    known, kept = _measured()
    quality = known[checks.one_of("model", model, known)]
    if weights == "bf16":
        return quality
    if (model, weights) not in kept:
        quantized = [name for measured, name in kept if measured == model]
        raise InvalidValueError("weights", f"one of {', '.join(['bf16', *quantized])} for {model}", weights)
    return quality * kept[model, weights]


def prompt_cache(model: str, lifetime_s: float = 300) -> PromptCacheTerms:
    """What a model's provider says of its prompt cache: shortest prefix, blocks, lifetime.

    Parameters
    ----------
    model : str
        A model that is paid per token and has a quality.
    lifetime_s : float
        For which time a prefix is written, in seconds.

    Raises
    ------
    InvalidValueError
        If the provider sells no such lifetime for the model.

    Examples
    --------
    From how many tokens on does the provider of gpt-4.1 cache a prefix?

    >>> prompt_cache("gpt-4.1").minimum_tokens
    1024
    """
    provider = api_price(model).provider
    rows = [row for row in prompt_cache_terms(provider) if row.models.startswith(_PROMPT_CACHES[provider])]
    for row in rows:
        if row.lifetime_s == lifetime_s:
            return row
    sold = " or ".join(f"{row.lifetime_s:g}" for row in rows)
    raise InvalidValueError("prefix_lifetime_s", f"{sold} for {model}", lifetime_s)


def gpu_rates_usd_per_hour(name: str) -> dict[str, float]:
    """What a GPU costs the company: ``on_demand``, ``reserved`` and ``spot``, where there is a list price, in USD.

    On demand and reserved for a year are AWS's list prices, spot is the median over its zones.

    Raises
    ------
    PriceNotFoundError
        If there is no list price at AWS.

    Examples
    --------
    What does an L4 cost in the three ways?

    >>> {kind: round(usd, 3) for kind, usd in gpu_rates_usd_per_hour("L4").items()}
    {'on_demand': 0.805, 'reserved': 0.524, 'spot': 0.382}
    """
    board = gpu(name).name
    rates = {"on_demand": gpu_price(board, "on_demand", "list", provider="aws").usd_per_hour}
    with suppress(PriceNotFoundError):
        rates["reserved"] = gpu_price(board, "reserved_1y", "list", provider="aws").usd_per_hour
    spot = [row for row in current_gpu_prices("list") if (row.gpu, row.provider, row.pricing) == (board, "aws", "spot")]
    return rates | ({"spot": median(row.usd_per_hour for row in spot)} if spot else {})


@cache
def support_outcomes(part: str = "calibration") -> Outcomes:
    """The table of a part of the support queries, at the company's prices.

    Choose thresholds on ``calibration``; the company's log is made of ``test``.

    Examples
    --------
    How often is the largest tier right on the questions of the log?

    >>> test = support_outcomes("test")
    >>> round(float(test.correct[:, -1].mean()), 3)
    0.652
    """
    return recorded_tiers(part).outcomes(SUPPORT_USD_PER_REQUEST)
