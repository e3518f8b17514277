"""Every option of a workload file, priced, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from costlab.build_vs_buy import (
    ApiOption,
    BreakEven,
    Recommendation,
    SelfHostOption,
    break_even,
    option_cost,
    recommend,
)
from costlab.catalog import ApiCost, GpuPrice, api_cost, gpu, gpu_price
from costlab.compare.files import WEIGHTS, ApiEntry, OwnEntry, Scenario, ScenarioError
from costlab.sensitivity import MonteCarlo, Range, Tornado, monte_carlo, tornado
from costlab.serving import Capacity, Efficiency, capacity, model_spec, roofline
from costlab.vectorized import break_even_per_day, monthly_saving_usd
from costlab.workload import Workload

__all__ = ["ApiSide", "Comparison", "OwnSide", "compare"]

SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class ApiSide:
    """An API option with the price behind it.

    Attributes
    ----------
    option : ApiOption
        What is compared.
    cost : ApiCost
        Its bill for tokens or images, with rates, date and source.
    """

    option: ApiOption
    cost: ApiCost


@dataclass(frozen=True, slots=True)
class OwnSide:
    """A self-hosted option with what stands behind it.

    Attributes
    ----------
    name : str
        What is compared.
    option : SelfHostOption or None
        None where the model cannot be served on these GPUs within its limits; `capacity` says why.
    gpu_usd_per_hour : float
        Price of one GPU.
    price : GpuPrice or None
        Its row in the catalogue; None where the file gave the price.
    capacity : Capacity or None
        The roofline's estimate; None where the file gave a measured rate.
    """

    name: str
    option: SelfHostOption | None
    gpu_usd_per_hour: float
    price: GpuPrice | None
    capacity: Capacity | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides of a workload, and the decision.

    Attributes
    ----------
    workload : Workload
        The traffic.
    apis : tuple of ApiSide
        API options.
    owns : tuple of OwnSide
        Self-hosted options.
    recommendation : Recommendation
        What to do, with every option's cost.
    pair : tuple of str
        The cheapest API and the cheapest self-hosted option by running costs: what the figures below compare. Empty
        where there is only one side, and then they are None.
    break_even : BreakEven or None
        Where the two cross, as the volume grows; people and spare replicas counted, upfront spending not.
    saving : MonteCarlo or None
        What self-hosting saves a month, in running costs, when every input is uncertain.
    break_even_range : MonteCarlo or None
        The break-even in requests a day, likewise.
    matters : Tornado or None
        The same saving with one input moved at a time.
    """

    workload: Workload
    apis: tuple[ApiSide, ...]
    owns: tuple[OwnSide, ...]
    recommendation: Recommendation
    pair: tuple[str, ...]
    break_even: BreakEven | None
    saving: MonteCarlo | None
    break_even_range: MonteCarlo | None
    matters: Tornado | None


def compare(
    scenario: Scenario,
    api: Sequence[str] = (),
    gpu_names: Sequence[str] = (),
    as_of: date | str | None = None,
    seed: int = 0,
) -> Comparison:
    """Price every option of a workload file and decide.

    Parameters
    ----------
    scenario : Scenario
        The file, as :func:`costlab.compare.load` reads it.
    api : sequence of str
        Models to compare instead of the file's; its first API entry gives everything but model and provider.
    gpu_names : sequence of str
        GPUs to compare instead of the file's; its first self-hosted entry gives everything else.
    as_of : datetime.date or ISO date string, optional
        Prices as they were on that day, where an entry names no day of its own.
    seed : int
        Seed of the random draws behind the ranges.

    Returns
    -------
    Comparison

    Raises
    ------
    ScenarioError
        If there is nothing to compare, or a GPU is asked for and the file has no self-hosted entry to take over.
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError, InvalidValueError
        As the catalogue and the models raise them.

    Examples
    --------
    What does the example that the package ships come to?

    >>> from costlab.compare import example
    >>> from costlab.compare.files import parse
    >>> compare(parse(example())).recommendation.choice
    'api'
    """
    work, limits = scenario.work(), scenario.limits()
    apis = tuple(_api_side(entry, work, as_of) for entry in _apis(scenario, api))
    owns = tuple(_own_side(entry, work, as_of) for entry in _owns(scenario, gpu_names))
    options: list[ApiOption | SelfHostOption] = [side.option for side in apis]
    options += [side.option for side in owns if side.option is not None]
    if not options:
        words = [f"{side.name}: {'; '.join(side.capacity.reasons)}" for side in owns if side.capacity]
        raise ScenarioError("; ".join(["nothing to compare", *words]))
    recommendation = recommend(work, options, limits)

    def running(option: ApiOption | SelfHostOption) -> float:
        return option_cost(work, option, limits).running_usd_per_month

    possible = [side.option for side in owns if side.option is not None]
    if not apis or not possible:
        return Comparison(work, apis, owns, recommendation, (), None, None, None, None)
    cheap = min((side.option for side in apis), key=running)
    own = min(possible, key=running)
    ranges, fixed = _ranges(scenario, work, cheap, own)
    # The fleet is sized for the peak, so per mean request a replica serves less than its capacity.
    served = own.max_utilization_fraction / work.peak_to_mean
    spare = own.spare_replicas

    def saving(requests_per_day: Any, api_price: Any, gpu_price: Any, throughput: Any, people: Any) -> Any:
        sizes = (work.peak_to_mean, own.max_utilization_fraction, spare)
        return monthly_saving_usd(
            requests_per_day, api_price - own.marginal_usd_per_request, gpu_price, throughput, people, *sizes
        )

    def crossing(requests_per_day: Any, api_price: Any, gpu_price: Any, throughput: Any, people: Any) -> Any:
        spares = people + spare * gpu_price * work.hours_per_month
        return break_even_per_day(api_price, gpu_price, throughput * served, spares, own.marginal_usd_per_request)

    return Comparison(
        workload=work,
        apis=apis,
        owns=owns,
        recommendation=recommendation,
        pair=(cheap.name, own.name),
        break_even=None
        if cheap.usd_per_request == 0.0
        else break_even(
            cheap.usd_per_request,
            own.replica_usd_per_hour,
            own.capacity_requests_per_s * served,
            fixed + spare * own.replica_usd_per_hour * work.hours_per_month,
            own.marginal_usd_per_request,
        ),
        saving=monte_carlo(saving, ranges, SAMPLES, seed),
        break_even_range=monte_carlo(crossing, ranges, SAMPLES, seed),
        matters=tornado(saving, ranges),
    )


def _ranges(
    scenario: Scenario, work: Workload, cheap: ApiOption, own: SelfHostOption
) -> tuple[dict[str, Range], float]:
    times = scenario.uncertainty
    likely = {
        "requests_per_day": work.requests_per_day,
        "api_price": cheap.usd_per_request,
        "gpu_price": own.replica_usd_per_hour,
        "throughput": own.capacity_requests_per_s,
        "people": own.fixed_usd_per_month,
    }
    # An input of zero stays zero: there is no ratio to vary.
    ranges = {
        name: Range.factor(value, getattr(times, name)) if value else Range(0.0, 0.0, 0.0)
        for name, value in likely.items()
    }
    return ranges, own.fixed_usd_per_month


def _apis(scenario: Scenario, models: Sequence[str]) -> tuple[ApiEntry, ...]:
    if not models:
        return scenario.api
    base = scenario.api[0] if scenario.api else ApiEntry(model="")
    return tuple(base.model_copy(update={"model": model, "provider": None}) for model in models)


def _owns(scenario: Scenario, names: Sequence[str]) -> tuple[OwnEntry, ...]:
    if not names:
        return scenario.self_hosted
    if not scenario.self_hosted:
        raise ScenarioError("the file has no [[self_hosted]] entry that another GPU could take over")
    # A price or a rate that the file gives belongs to its own GPU.
    cleared = {"usd_per_gpu_hour": None, "requests_per_s": None}
    return tuple(scenario.self_hosted[0].model_copy(update={"gpu": gpu(name).name, **cleared}) for name in names)


def _api_side(entry: ApiEntry, work: Workload, as_of: date | str | None) -> ApiSide:
    cost = api_cost(work, entry.model, entry.provider, entry.as_of or as_of)
    option = ApiOption(
        f"{cost.price.model} at {cost.price.provider}",
        cost.usd_per_request,
        entry.upfront_usd,
        entry.fixed_usd_per_month,
        entry.weeks_to_production,
        entry.data_leaves,
        entry.customizable,
    )
    return ApiSide(option, cost)


def _own_side(entry: OwnEntry, work: Workload, as_of: date | str | None) -> OwnSide:
    price = None
    usd_per_hour = entry.usd_per_gpu_hour
    if usd_per_hour is None:
        price = gpu_price(entry.gpu, entry.pricing, entry.snapshot, entry.provider, entry.region, as_of, entry.zone)
        usd_per_hour = price.usd_per_hour
    served, rate = None, entry.requests_per_s
    if rate is None:
        shape = replace(model_spec(entry.model), bytes_per_weight=WEIGHTS[entry.weights])
        standard = Efficiency()
        efficiency = Efficiency(
            entry.mbu_fraction or standard.mbu_fraction, entry.mfu_fraction or standard.mfu_fraction
        )
        on = roofline(shape, entry.gpu, entry.gpus_per_replica, efficiency)
        served = capacity(on, work.input_tokens, work.output_tokens, entry.max_ttft_s, entry.max_inter_token_s)
        rate = served.requests_per_s
    count = f"{entry.gpus_per_replica} x " if entry.gpus_per_replica > 1 else ""
    name = f"{entry.model} {entry.weights} on {count}{gpu(entry.gpu).name}"
    if rate is None:
        return OwnSide(name, None, usd_per_hour, price, served)
    option = SelfHostOption(
        name,
        usd_per_hour * entry.gpus_per_replica,
        rate,
        entry.upfront_usd,
        entry.fixed_usd_per_month,
        entry.marginal_usd_per_request,
        entry.weeks_to_production,
        entry.max_utilization_fraction,
        entry.spare_replicas,
    )
    return OwnSide(name, option, usd_per_hour, price, served)
