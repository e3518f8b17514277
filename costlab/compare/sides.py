"""The entries of a workload file, each with the price and the rate behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from costlab.build_vs_buy import ApiOption, SelfHostOption
from costlab.catalog import ApiCost, GpuPrice, api_cost, gpu, gpu_price
from costlab.compare.files import ApiEntry, OwnEntry, WorkloadFile, WorkloadFileError
from costlab.serving import BYTES_PER_WEIGHT, Capacity, Efficiency, capacity, model_spec, roofline
from costlab.workload import Workload

__all__ = ["ApiSide", "OwnSide", "api_sides", "own_sides"]


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
    efficiency : Efficiency or None
        What the estimate assumes.
    """

    name: str
    option: SelfHostOption | None
    gpu_usd_per_hour: float
    price: GpuPrice | None
    capacity: Capacity | None
    efficiency: Efficiency | None


def api_sides(
    file: WorkloadFile, work: Workload, models: Sequence[str], as_of: date | str | None
) -> tuple[ApiSide, ...]:
    """The file's API entries, or these models instead, each with its bill."""
    sides = [_api_side(entry, work, as_of) for entry in _apis(file, models)]
    names = _numbered([side.option.name for side in sides])
    return tuple(replace(side, option=replace(side.option, name=name)) for side, name in zip(sides, names, strict=True))


def own_sides(
    file: WorkloadFile, work: Workload, gpu_names: Sequence[str], as_of: date | str | None
) -> tuple[OwnSide, ...]:
    """The file's self-hosted entries, or these GPUs instead, each with its price and rate."""
    sides = [_own_side(entry, work, as_of) for entry in _owns(file, gpu_names)]
    names = _numbered([side.name for side in sides])
    return tuple(
        replace(side, name=name, option=None if side.option is None else replace(side.option, name=name))
        for side, name in zip(sides, names, strict=True)
    )


def _apis(file: WorkloadFile, models: Sequence[str]) -> tuple[ApiEntry, ...]:
    if not models:
        return file.api
    base = file.api[0] if file.api else ApiEntry(model="")
    return tuple(base.model_copy(update={"model": model, "provider": None}) for model in dict.fromkeys(models))


def _owns(file: WorkloadFile, names: Sequence[str]) -> tuple[OwnEntry, ...]:
    if not names:
        return file.self_hosted
    if not file.self_hosted:
        raise WorkloadFileError("the file has no [[self_hosted]] entry that another GPU could take over")
    # What the file says of price and speed belongs to its own GPU.
    cleared = dict.fromkeys(("usd_per_gpu_hour", "requests_per_s", "mbu_fraction", "mfu_fraction"))
    chosen = dict.fromkeys(gpu(name).name for name in names)
    return tuple(file.self_hosted[0].model_copy(update={"gpu": name, **cleared}) for name in chosen)


def _api_side(entry: ApiEntry, work: Workload, as_of: date | str | None) -> ApiSide:
    cost = api_cost(work, entry.model, entry.provider, entry.as_of or as_of, entry.quality)
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
    served, efficiency, rate = None, None, entry.requests_per_s
    board = entry.gpu
    if rate is None:
        shape = replace(model_spec(entry.model), bytes_per_weight=BYTES_PER_WEIGHT[entry.weights])
        standard = Efficiency()
        efficiency = Efficiency(
            entry.mbu_fraction or standard.mbu_fraction, entry.mfu_fraction or standard.mfu_fraction
        )
        on = roofline(shape, entry.gpu, entry.gpus_per_replica, efficiency)
        board = on.gpu.name
        cached = entry.prefix_cached_fraction
        served = capacity(
            on,
            work.input_tokens,
            work.output_tokens,
            entry.max_ttft_s,
            entry.max_inter_token_s,
            work.cached_input_fraction if cached is None else cached,
            entry.max_sequences,
        )
        rate = served.requests_per_s
    count = f"{entry.gpus_per_replica} x " if entry.gpus_per_replica > 1 else ""
    how = "" if entry.pricing == "on_demand" else f" ({entry.pricing})"
    name = f"{entry.model} {entry.weights} on {count}{board}{how}"
    if rate is None:
        return OwnSide(name, None, usd_per_hour, price, served, efficiency)
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
    return OwnSide(name, option, usd_per_hour, price, served, efficiency)


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind those that come again: two entries may differ in their service level alone."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return tuple(numbered)
