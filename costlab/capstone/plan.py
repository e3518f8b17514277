"""A plan: for each endpoint who answers and what is cached, which GPUs are rented, and who stops a runaway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from costlab._internal import checks
from costlab.capstone.terms import SUPPORT_USD_PER_REQUEST, model_quality, prompt_cache
from costlab.catalog import api_price, gpu
from costlab.errors import InvalidValueError
from costlab.serving import EngineCurve, model_spec
from costlab.synthetic import ENDPOINTS, endpoint

#: More GPUs or cached answers than anyone has; beyond it a bill is no longer a number.
MAX_COUNT: Final = 10**9


@dataclass(frozen=True, slots=True)
class Api:
    """Served by a model that is paid per token, named as in the catalogue.

    Attributes
    ----------
    batch : bool
        All requests through the provider's batch interface: at its batch price, within 24 hours.
    stable_prefix : bool
        What requests share comes first in each, and the provider's prompt cache keeps it: the first request writes it,
        at the price of a write, and those that come in time read it.
    batch_clients : tuple of str
        Whose requests alone go through the batch interface. They find nothing in the prompt cache.
    prefix_lifetime_s : int
        For how many seconds a prefix is written: 300, or 3600 where the provider sells it.
    """

    model: str
    batch: bool = False
    stable_prefix: bool = False
    batch_clients: tuple[str, ...] = ()
    prefix_lifetime_s: int = 300

    def __post_init__(self) -> None:
        api_price(self.model)
        model_quality(self.model)
        checks.instance("batch", self.batch, bool)
        checks.instance("stable_prefix", self.stable_prefix, bool)
        if self.batch and self.stable_prefix:
            raise InvalidValueError("stable_prefix", "False for a batch: discounts do not add up here", True)
        checks.instance("batch_clients", self.batch_clients, tuple)
        if self.batch and self.batch_clients:
            raise InvalidValueError("batch_clients", "empty where all requests go in batches", self.batch_clients)
        prompt_cache(self.model, checks.integer("prefix_lifetime_s", self.prefix_lifetime_s, at_least=1))


@dataclass(frozen=True, slots=True)
class CascadeServing:
    """Support questions through tiers, cheapest first.

    Attributes
    ----------
    tiers : tuple of str
        Some of ``words``, ``vectors`` and ``ensemble``, in the order in which they are tried.
    thresholds : tuple of float, length tiers - 1
        An answer is kept when its confidence is greater; the last tier always answers.
    """

    tiers: tuple[str, ...] = tuple(SUPPORT_USD_PER_REQUEST)
    thresholds: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("tiers", "thresholds"):
            checks.instance(name, getattr(self, name), tuple)
        if not self.tiers or len(set(self.tiers)) < len(self.tiers):
            raise InvalidValueError("tiers", "at least one, each once", self.tiers)
        for tier in self.tiers:
            checks.one_of("tier", tier, SUPPORT_USD_PER_REQUEST)
        if len(self.thresholds) != len(self.tiers) - 1:
            raise InvalidValueError("thresholds", f"{len(self.tiers) - 1} numbers", self.thresholds)
        for threshold in self.thresholds:
            checks.finite("thresholds", threshold)


@dataclass(frozen=True, slots=True)
class FleetServing:
    """Served by a model on GPUs of one's own: `fleet` is the name of one of the plan's."""

    fleet: str


@dataclass(frozen=True, slots=True)
class ExactCache:
    """Answers kept for the very same text: up to `entries`, >= 1; the least recently used is dropped first."""

    entries: int

    def __post_init__(self) -> None:
        checks.integer("entries", self.entries, at_least=1, at_most=MAX_COUNT)


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """How an endpoint is served: by whom, and from which cache first."""

    serve: Api | CascadeServing | FleetServing
    cache: ExactCache | None = None

    def __post_init__(self) -> None:
        checks.instance("serve", self.serve, Api, CascadeServing, FleetServing)
        checks.instance("cache", self.cache, ExactCache, type(None))


@dataclass(frozen=True, slots=True)
class Fleet:
    """GPUs with one model on them, as many in each hour as its requests need.

    Attributes
    ----------
    model, gpu : str
        ``Llama-3.1-8B`` or ``Llama-3.1-70B``; and as in the catalogue.
    weights : str
        ``bf16``, ``fp8``, ``int8`` or ``int4``, where a source says what it costs in quality.
    gpus_per_replica : int
        Over how many GPUs the model is spread, >= 1.
    reserved, always_on : int
        GPUs reserved for a year: paid in every hour, used or not, at a lower price; and GPUs that are not given back,
        whatever is asked, reserved ones among them.
    spot : bool
        Whether those beyond `reserved` are spot machines, which may be taken away at two minutes' notice, instead of
        on demand by the hour.
    in_flight : int or None
        Requests that the engine of a replica answers at a time, as far as its memory allows; None for as many as each
        endpoint's limits allow.
    curve : EngineCurve or None
        What was measured of your engine on this GPU; None for what :func:`costlab.serving.engine_curve` has of it, and
        for the roofline where there is nothing.
    """

    model: str
    gpu: str
    weights: str = "bf16"
    gpus_per_replica: int = 1
    reserved: int = 0
    always_on: int = 0
    spot: bool = False
    in_flight: int | None = None
    curve: EngineCurve | None = None

    def __post_init__(self) -> None:
        model_spec(self.model)
        model_quality(self.model, self.weights)
        gpu(self.gpu)
        checks.integer("gpus_per_replica", self.gpus_per_replica, at_least=1, at_most=MAX_COUNT)
        checks.integer("reserved", self.reserved, at_most=MAX_COUNT)
        checks.integer("always_on", self.always_on, at_most=MAX_COUNT)
        checks.instance("spot", self.spot, bool)
        if self.in_flight is not None:
            checks.integer("in_flight", self.in_flight, at_least=1, at_most=MAX_COUNT)
        checks.instance("curve", self.curve, EngineCurve, type(None))


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """Limits on what may be spent on API calls and tiers in a day.

    Attributes
    ----------
    client_usd_per_day, total_usd_per_day : float or None
        Of any one client, and of all together; what is asked beyond is refused until midnight.
    """

    client_usd_per_day: float | None = None
    total_usd_per_day: float | None = None

    def __post_init__(self) -> None:
        for name in ("client_usd_per_day", "total_usd_per_day"):
            if (limit := getattr(self, name)) is not None:
                checks.non_negative(name, limit)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the company is to do.

    Attributes
    ----------
    endpoints : mapping of str to EndpointPlan
        By endpoint; all of them.
    fleets : mapping of str to Fleet
        By a name of your choice. A fleet that no endpoint uses is still paid for where it never gives GPUs back.
    limits : SpendLimits
        By default no one is stopped.
    """

    endpoints: Mapping[str, EndpointPlan] = field(hash=False)
    fleets: Mapping[str, Fleet] = field(default_factory=dict, hash=False)
    limits: SpendLimits = SpendLimits()

    def __post_init__(self) -> None:
        for name, kind in (("endpoints", EndpointPlan), ("fleets", Fleet)):
            held = getattr(self, name)
            checks.instance(name, held, Mapping)
            for key, value in held.items():
                checks.instance(f"{name}[{key!r}]", value, kind)
            # A copy that no one changes afterwards: what was checked is what is scored.
            object.__setattr__(self, name, MappingProxyType(dict(held)))
        checks.instance("limits", self.limits, SpendLimits)
        names = [about.name for about in ENDPOINTS]
        for name in self.endpoints:
            checks.one_of("endpoint", name, names)
        if missing := [name for name in names if name not in self.endpoints]:
            raise InvalidValueError("endpoints", "one plan for each", f"none for {', '.join(missing)}")
        for name, chosen in self.endpoints.items():
            if isinstance(chosen.serve, CascadeServing) != (name == "support"):
                support = "a CascadeServing, whose answers were measured"
                wanted = support if name == "support" else "an Api or FleetServing"
                raise InvalidValueError(f"endpoints[{name!r}].serve", wanted, chosen.serve)
            if isinstance(chosen.serve, FleetServing):
                checks.one_of("fleet", chosen.serve.fleet, self.fleets)
            if isinstance(chosen.serve, Api):
                for client in chosen.serve.batch_clients:
                    checks.one_of(f"client of {name}", client, endpoint(name).clients)


#: What the company does: the largest model for questions, gpt-4o where no one thought about it, eight large GPUs.
TODAY = Plan(
    endpoints={
        "support": EndpointPlan(CascadeServing(("ensemble",), ())),
        "texts": EndpointPlan(Api("gpt-4o")),
        "search": EndpointPlan(FleetServing("a100s")),
        "agents": EndpointPlan(Api("gpt-4o")),
        "tags": EndpointPlan(Api("gpt-4o-mini")),
    },
    fleets={"a100s": Fleet("Llama-3.1-8B", "A100 80GB", always_on=8)},
)
