"""The company whose bill is to be cut: what it serves, for whom, within which limits. All of it is made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from costlab._internal import checks

__all__ = [
    "API_LATENCY_S",
    "BATCH_LATENCY_S",
    "BATCH_PRICE_FRACTION",
    "BUDGET_USD_PER_MONTH",
    "CACHE_LATENCY_S",
    "CACHE_STORE",
    "DAYS_PER_MONTH",
    "ENDPOINTS",
    "ENTRY_BYTES",
    "LIMIT_USD_PER_DAY",
    "MAX_UTILIZATION_FRACTION",
    "PEOPLE_USD_PER_MONTH",
    "REFUSED_FRACTION",
    "REQUESTS",
    "RESERVED_FRACTION",
    "RUNAWAY_CLIENT",
    "SPARE_REPLICAS",
    "SPOT_MTBF_HOURS",
    "SPOT_RESTART_S",
    "SUPPORT_LATENCY_S",
    "SUPPORT_USD_PER_REQUEST",
    "Endpoint",
    "endpoint",
]

#: Requests of an ordinary day. A month has 30 of them, and in one of them a client runs away.
REQUESTS: Final = 1_000_000
DAYS_PER_MONTH: Final = 30

#: What the controller allows, in USD: a third of today's bill in a month, and the source lesson's hard limit in a day
#: (S9).
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
SUPPORT_USD_PER_REQUEST: Final[Mapping[str, float]] = MappingProxyType(
    {"words": 0.0005, "vectors": 0.003, "ensemble": 0.03}
)
SUPPORT_LATENCY_S: Final[Mapping[str, float]] = MappingProxyType({"words": 0.010, "vectors": 0.050, "ensemble": 0.500})
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

#: Whose agent repeats itself from 14:00 to midnight, each time with its whole history.
RUNAWAY_CLIENT: Final = "nightly-agent"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the company serves under one name.

    Attributes
    ----------
    name, what : str
        Name, and what it does.
    requests : int
        On an ordinary day of a million requests.
    input_tokens, output_tokens : float
        Median tokens of a request, without the prefix, and of its answer.
    clients : mapping of str to float
        Who asks, with the share of the requests.
    quality_floor : float
        Least quality, in 0..1: share of right answers for ``support``, MMLU of the model for the others. For support
        it is today's on the same questions, less this many.
    latency_limit_s : float
        Limit of the 95th percentile from request to answer, in seconds.
    repeated_fraction : float
        Share of the requests whose answer may serve somebody else; the others carry a name or an order number.
    texts : int
        How many different texts the repeated ones are drawn from, the k-th in proportion to 1/k; for ``support``, the
        recorded questions, each as likely as the others.
    prefix_tokens : int
        How many tokens at the beginning of every request are the same.
    private : bool
        Whether the requests may not leave the company.
    max_ttft_s, max_inter_token_s : float
        What a model of one's own must keep to stay within the latency limit.
    """

    name: str
    what: str
    requests: int
    input_tokens: float
    output_tokens: float
    clients: Mapping[str, float] = field(hash=False)
    quality_floor: float
    latency_limit_s: float
    repeated_fraction: float = 0.0
    texts: int = 1
    prefix_tokens: int = 0
    private: bool = False
    max_ttft_s: float = 1.0
    max_inter_token_s: float = 0.05


#: In the order of today's bill.
ENDPOINTS: Final = (
    Endpoint(
        name="support",
        what="says what a customer's question is about",
        requests=50_000,
        input_tokens=400,
        output_tokens=20,
        clients={"web": 0.5, "app": 0.3, "mail": 0.2},
        quality_floor=0.01,
        latency_limit_s=0.6,
        repeated_fraction=0.4,
    ),
    Endpoint(
        name="texts",
        what="writes product texts, overnight",
        requests=80_000,
        input_tokens=1_000,
        output_tokens=550,
        clients={"catalogue": 0.7, "partners": 0.3},
        quality_floor=0.65,
        latency_limit_s=86_400.0,
        max_ttft_s=10.0,
        max_inter_token_s=0.2,
    ),
    Endpoint(
        name="search",
        what="rewrites the words that people search for; may not leave the company",
        requests=350_000,
        input_tokens=200,
        output_tokens=30,
        clients={"shop": 0.8, "market": 0.2},
        quality_floor=0.67,
        latency_limit_s=4.0,
        repeated_fraction=0.6,
        texts=200_000,
        private=True,
        max_ttft_s=0.5,
        max_inter_token_s=0.04,
    ),
    Endpoint(
        name="agents",
        what="agents that write and review code",
        requests=20_000,
        input_tokens=3_500,
        output_tokens=500,
        clients={"platform": 0.4, "payments": 0.3, "data": 0.25, RUNAWAY_CLIENT: 0.05},
        quality_floor=0.88,
        latency_limit_s=20.0,
        prefix_tokens=5_000,
    ),
    Endpoint(
        name="tags",
        what="tags tickets and reviews",
        requests=500_000,
        input_tokens=350,
        output_tokens=8,
        clients={"tickets": 0.6, "reviews": 0.4},
        quality_floor=0.80,
        latency_limit_s=5.0,
        repeated_fraction=0.3,
        texts=50_000,
    ),
)


def endpoint(name: str) -> Endpoint:
    """The endpoint of that name.

    Raises
    ------
    UnknownNameError
        If there is none; the message suggests the nearest.
    """
    known = {one.name: one for one in ENDPOINTS}
    return known[checks.one_of("endpoint", name, known)]
