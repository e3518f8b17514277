"""What a plan is measured by: the company's limits, what it pays, and how good the models are, as sources say."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab.catalog import current_gpu_prices, gpu, gpu_price
from costlab.errors import InvalidValueError
from costlab.experiments import recorded_tiers

if TYPE_CHECKING:
    from costlab.router import Outcomes

#: Days of a month; in one of them a client runs away.
DAYS_PER_MONTH: Final = 30

#: What the controller allows, in USD: a third of today's bill in a month; in a day the source lesson's hard limit (S9).
BUDGET_USD_PER_MONTH: Final = 40_000.0
LIMIT_USD_PER_DAY: Final = 5_000.0

#: People who keep a model of one's own running, per model, in USD: a quarter of an engineer.
PEOPLE_USD_PER_MONTH: Final = 4_000.0

#: What the company pays for an hour that it has reserved for a year, over the price on demand: the source lesson's
#: ratio (S1), as its provider offers it.
RESERVED_FRACTION: Final = 0.625

#: How many ordinary requests a budget guard may refuse before clients complain.
REFUSED_FRACTION: Final = 0.001

#: The three tiers of the support questions, at the source lesson's prices (S7), in USD per request, and their latencies
#: in seconds, with the cache's.
SUPPORT_USD_PER_REQUEST: Final = MappingProxyType({"words": 0.0005, "vectors": 0.003, "ensemble": 0.03})
SUPPORT_LATENCY_S: Final = MappingProxyType({"words": 0.010, "vectors": 0.050, "ensemble": 0.500})
CACHE_LATENCY_S: Final = 0.002

#: An API's seconds to the first token and between two tokens: the source lesson's large tier (S7), then 125 a second.
API_LATENCY_S: Final = (0.5, 0.008)

#: The provider's batches: within a day, at half the price (https://platform.openai.com/docs/guides/batch).
BATCH_LATENCY_S: Final = 86_400.0
BATCH_PRICE_FRACTION: Final = 0.5

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
    return table["mmlu"]["fraction"], {(row["model"], row["weights"]): row["fraction"] for row in table["kept"]}


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


def gpu_rates_usd_per_hour(name: str) -> dict[str, float]:
    """What a GPU costs the company: ``on_demand``, ``reserved`` and ``spot``, where there is a list price, in USD.

    On demand is AWS's list price, spot the median over its zones, reserved the provider's offer on the price on demand.

    Raises
    ------
    PriceNotFoundError
        If there is no list price at AWS.

    Examples
    --------
    What does an L4 cost in the three ways?

    >>> {kind: round(usd, 3) for kind, usd in gpu_rates_usd_per_hour("L4").items()}
    {'on_demand': 0.805, 'reserved': 0.503, 'spot': 0.382}
    """
    board = gpu(name).name
    on_demand = gpu_price(board, "on_demand", "list", provider="aws").usd_per_hour
    rates = {"on_demand": on_demand, "reserved": on_demand * RESERVED_FRACTION}
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
