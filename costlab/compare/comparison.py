"""Every option of a workload file, priced; what follows; and how it is told."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from costlab._internal.arrays import Amount
from costlab.build_vs_buy import (
    ApiOption,
    BreakEven,
    OptionCost,
    Recommendation,
    SelfHostOption,
    break_even,
    break_even_requests_per_day,
    monthly_saving_usd,
    option_cost,
    recommend,
)
from costlab.build_vs_buy.crossover import in_whole_machines
from costlab.calculator import MachineSize
from costlab.catalog import ApiCost, ApiPrice, GpuPrice, api_cost, gpu, gpu_machines
from costlab.compare.sensitivity import MonteCarlo, Range, Tornado, monte_carlo, tornado
from costlab.compare.workload_file import ApiEntry, SelfHostedEntry, WorkloadFile, WorkloadFileError
from costlab.serving import (
    BYTES_PER_WEIGHT,
    Capacity,
    EfficiencyRange,
    capacity,
    measured_efficiency,
    model_spec,
    roofline,
)
from costlab.workload import Workload

SAMPLES: Final = 100_000


@dataclass(frozen=True, slots=True)
class ApiQuote:
    """An API option, and its bill for tokens or images, with rates, date and source."""

    option: ApiOption
    cost: ApiCost


@dataclass(frozen=True, slots=True)
class SelfHostedQuote:
    """A self-hosted option, with what its figures rest on.

    Attributes
    ----------
    option : SelfHostOption or None
        None where the model cannot be served on these GPUs within its limits; `capacity` says why.
    gpu_usd_per_hour, price : float, GpuPrice or None
        Price of one GPU, and its row in the catalogue; None where the file gave the price.
    machine : MachineSize
        What is rented, whole. Of several sizes that the provider sells it is the one that is cheapest for this fleet,
        alone. Without a name it is an assumption: GPUs are taken to be sold replica by replica.
    capacity, efficiency : Capacity or None, EfficiencyRange or None
        The roofline's estimate, and what it assumes; None where the file gave a measured rate.
    slow_requests_per_s, fast_requests_per_s : float or None
        The rate at both ends of the efficiency's range: the same as the estimate's where this GPU's own was measured.
    """

    name: str
    option: SelfHostOption | None
    gpu_usd_per_hour: float
    price: GpuPrice | None
    machine: MachineSize
    capacity: Capacity | None
    efficiency: EfficiencyRange | None
    slow_requests_per_s: float | None = None
    fast_requests_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides of a workload, and the decision.

    Attributes
    ----------
    workload : Workload
        The traffic.
    apis, owns : tuple of ApiQuote, tuple of SelfHostedQuote
        The options.
    recommendation : Recommendation
        What to do, with every option's cost.
    pair : tuple of str
        The cheapest API and the cheapest self-hosted option by running costs: what the figures below compare. Empty
        where there is only one side, and then they are None.
    break_even : BreakEven or None
        Where the two cross, as the volume grows; people and spare replicas counted, upfront spending not. None where
        the API is free.
    saving, break_even_range : MonteCarlo or None
        What self-hosting saves a month in running costs, and the break-even in requests a day, when every input is
        uncertain.
    matters : Tornado or None
        The same saving with one input moved at a time.
    """

    workload: Workload
    apis: tuple[ApiQuote, ...]
    owns: tuple[SelfHostedQuote, ...]
    recommendation: Recommendation
    pair: tuple[str, ...]
    break_even: BreakEven | None
    saving: MonteCarlo | None
    break_even_range: MonteCarlo | None
    matters: Tornado | None


def compare(
    file: WorkloadFile,
    api: Sequence[str] = (),
    gpu_names: Sequence[str] = (),
    as_of: date | str | None = None,
    seed: int = 0,
) -> Comparison:
    """Price every option of a workload file and decide.

    Parameters
    ----------
    file : WorkloadFile
        The file, as :func:`load_workload` reads it.
    api : sequence of str
        Models to compare instead of the file's; its first API entry gives everything but model and provider.
    gpu_names : sequence of str
        GPUs to compare instead of the file's; its first self-hosted entry gives everything else.
    as_of : datetime.date or ISO date string, optional
        Prices as they were on that day, where an entry names no day of its own.
    seed : int
        Seed of the random draws behind the ranges.

    Raises
    ------
    WorkloadFileError
        If there is nothing to compare, or a GPU is asked for and the file has no self-hosted entry to take over.
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError, InvalidValueError
        As the catalogue and the models raise them.

    Examples
    --------
    What does the comparison say of the example that the package ships?

    >>> from costlab.compare import example_workload, parse_workload
    >>> compare(parse_workload(example_workload())).recommendation.choice
    'api'
    """
    workload, constraints = file.workload(), file.constraints()
    unique = _unique_names()
    apis = tuple(_api_quote(entry, workload, as_of, unique) for entry in _api_entries(file, api))
    owns = tuple(_self_hosted_quote(entry, workload, as_of, unique) for entry in _self_hosted_entries(file, gpu_names))
    served = [quote.option for quote in owns if quote.option is not None]
    options: list[ApiOption | SelfHostOption] = [*(quote.option for quote in apis), *served]
    if not options:
        reasons = [f"{quote.name}: {'; '.join(quote.capacity.reasons)}" for quote in owns if quote.capacity]
        raise WorkloadFileError("; ".join(["nothing to compare", *reasons]))
    recommendation = recommend(workload, options, constraints)
    if not apis or not served:
        return Comparison(workload, apis, owns, recommendation, (), None, None, None, None)

    def running(option: ApiOption | SelfHostOption) -> float:
        return option_cost(workload, option, constraints).running_usd_per_month

    cheapest, own = min((quote.option for quote in apis), key=running), min(served, key=running)
    ranges = _ranges(file, workload, cheapest, own)
    (quote,) = (quote for quote in owns if quote.option is own)
    ranges["throughput"] = _with_ends(ranges["throughput"], quote)
    load, spare, marginal = own.max_utilization_fraction, own.spare_replicas, own.marginal_usd_per_request
    room = own.replicas_per_machine

    def saving(tokens: Amount, api_price: Amount, throughput: Amount, **sizes: Amount) -> Amount:
        return monthly_saving_usd(
            sizes["requests_per_day"],
            api_price * tokens - marginal,
            sizes["gpu_price"],
            throughput / tokens,
            sizes["people"],
            sizes["peak"],
            load,
            spare,
            cheapest.fixed_usd_per_month,
            room,
        )

    def crossing(
        tokens: Amount, api_price: Amount, throughput: Amount, **sizes: Amount
    ) -> tuple[Amount, Amount, Amount, Amount, float, float, int, int]:
        served = throughput / tokens * load / sizes["peak"]  # a replica's capacity, per mean request of the day
        fixed, at_the_api = sizes["people"], cheapest.fixed_usd_per_month
        return api_price * tokens, sizes["gpu_price"], served, fixed, marginal, at_the_api, room, spare

    likely = {name: span.likely for name, span in ranges.items()}
    return Comparison(
        workload=workload,
        apis=apis,
        owns=owns,
        recommendation=recommendation,
        pair=(cheapest.name, own.name),
        break_even=break_even(*crossing(**likely)) if cheapest.usd_per_request > 0.0 else None,
        saving=monte_carlo(saving, ranges, SAMPLES, seed),
        break_even_range=monte_carlo(
            lambda **drawn: break_even_requests_per_day(*crossing(**drawn)), ranges, SAMPLES, seed
        ),
        matters=tornado(saving, ranges),
    )


def _ranges(file: WorkloadFile, workload: Workload, cheapest: ApiOption, own: SelfHostOption) -> dict[str, Range]:
    times = file.uncertainty
    likely = {
        "requests_per_day": workload.requests_per_day,
        "tokens": 1.0,  # of a request, as a factor: it makes a call more expensive and a replica slower
        "api_price": cheapest.usd_per_request,
        "gpu_price": own.place_usd_per_hour,  # of a replica, in a full machine
        "throughput": own.capacity_requests_per_s,
        "people": own.fixed_usd_per_month,
    }
    # An input of zero stays zero: there is no ratio to vary.
    ranges = {
        name: Range.factor(value, getattr(times, name)) if value else Range(0.0, 0.0, 0.0)
        for name, value in likely.items()
    }
    peak = workload.peak_to_mean
    ranges["peak"] = Range(max(1.0, peak / times.peak), peak, peak * times.peak, log=True)
    return ranges


def _with_ends(rate: Range, quote: SelfHostedQuote) -> Range:
    """A range that holds the ends of the efficiency's, too."""
    slow, fast = (rate.likely if end is None else end for end in (quote.slow_requests_per_s, quote.fast_requests_per_s))
    return replace(rate, low=min(rate.low, slow), high=max(rate.high, fast))


def _api_entries(file: WorkloadFile, models: Sequence[str]) -> tuple[ApiEntry, ...]:
    """The file's, or these models instead."""
    if not models:
        return file.api
    base = file.api[0] if file.api else ApiEntry(model="")
    return tuple(base.model_copy(update={"model": model, "provider": None}) for model in dict.fromkeys(models))


def _self_hosted_entries(file: WorkloadFile, names: Sequence[str]) -> tuple[SelfHostedEntry, ...]:
    """The file's, or these GPUs instead."""
    if not names:
        return file.self_hosted
    if not file.self_hosted:
        raise WorkloadFileError("the file has no [[self_hosted]] entry that another GPU could take over")
    # What the file says of price and speed belongs to its own GPU.
    cleared = dict.fromkeys(("usd_per_gpu_hour", "gpus_per_machine", "requests_per_s", "mbu_fraction", "mfu_fraction"))
    boards = dict.fromkeys(gpu(name).name for name in names)
    return tuple(file.self_hosted[0].model_copy(update={"gpu": board, **cleared}) for board in boards)


def _unique_names() -> Callable[[str], str]:
    """Puts a number behind a name that comes again: two entries may differ in their service level alone."""
    seen: Counter[str] = Counter()

    def unique(name: str) -> str:
        seen[name] += 1
        return name if seen[name] == 1 else f"{name} #{seen[name]}"

    return unique


def _api_quote(entry: ApiEntry, workload: Workload, as_of: date | str | None, unique: Callable[[str], str]) -> ApiQuote:
    day, tier, off = entry.as_of or as_of, entry.service_tier, entry.discount_fraction
    cost = api_cost(workload, entry.model, entry.provider, day, entry.quality, tier, off)
    terms = [f"{tier} tier"] if tier != "standard" else []
    terms += [f"less {off:.6g} of the list price"] if off else []
    name = unique(f"{cost.price.model} at {cost.price.provider}" + (f" ({', '.join(terms)})" if terms else ""))
    return ApiQuote(ApiOption(name, cost.usd_per_request, **entry.option_keys(ApiOption)), cost)


def _self_hosted_quote(
    entry: SelfHostedEntry, workload: Workload, as_of: date | str | None, unique: Callable[[str], str]
) -> SelfHostedQuote:
    offers = _offers(entry, as_of)
    estimate, efficiency = None, None
    ends: tuple[float | None, float | None] = (None, None)
    rate, board = entry.requests_per_s, entry.gpu
    if rate is None:
        shape = replace(model_spec(entry.model), bytes_per_weight=BYTES_PER_WEIGHT[entry.weights])
        known = measured_efficiency(entry.gpu, shape.bytes_per_weight)
        efficiency = known.given(entry.mbu_fraction, entry.mfu_fraction)
        cached = entry.prefix_cached_fraction
        rooflines = [
            roofline(shape, entry.gpu, entry.gpus_per_replica, end)
            for end in (efficiency.slow, efficiency.likely, efficiency.fast)
        ]
        slow, estimate, fast = (
            capacity(
                on,
                workload.input_tokens,
                workload.output_tokens,
                entry.max_ttft_s,
                entry.max_inter_token_s,
                workload.cached_input_fraction if cached is None else cached,
                entry.max_sequences,
            )
            for on in rooflines
        )
        ends = slow.requests_per_s, fast.requests_per_s
        rate, board = estimate.requests_per_s, rooflines[0].gpu.name
    count = f"{entry.gpus_per_replica} x " if entry.gpus_per_replica > 1 else ""
    bought = "" if entry.pricing == "on_demand" else f" ({entry.pricing})"
    name = unique(f"{entry.model} {entry.weights} on {count}{board}{bought}")
    keys = entry.option_keys(SelfHostOption)

    def quote(price: GpuPrice | None, machine: MachineSize) -> SelfHostedQuote:
        gpu_usd, option = machine.usd_per_hour / machine.gpus if price is None else price.usd_per_hour, None
        if rate is not None:
            option = SelfHostOption(
                name, gpu_usd * entry.gpus_per_replica, rate, **{**keys, "gpus_per_machine": machine.gpus}
            )
        return SelfHostedQuote(name, option, gpu_usd, price, machine, estimate, efficiency, *ends)

    def running(quote: SelfHostedQuote) -> tuple[float, int]:
        usd = option_cost(workload, quote.option).running_usd_per_month if quote.option else quote.machine.usd_per_hour
        return usd, -quote.machine.gpus

    return min((quote(price, machine) for price, machine in offers), key=running)


def _offers(entry: SelfHostedEntry, as_of: date | str | None) -> list[tuple[GpuPrice | None, MachineSize]]:
    """The machines in which an entry's GPU is sold, and their rows of the catalogue."""
    unit = entry.gpus_per_machine or entry.gpus_per_replica  # what is assumed where no one says
    if entry.usd_per_gpu_hour is not None:
        named = f"{unit}-GPU machine" if entry.gpus_per_machine else ""
        return [(None, MachineSize(unit, unit * entry.usd_per_gpu_hour, named))]
    rows = gpu_machines(entry.gpu, entry.pricing, entry.snapshot, entry.provider, entry.region, as_of, entry.zone)
    if entry.gpus_per_machine is not None and rows[0].instance_gpus is not None:
        known = (
            f"{rows[0].place} sells machines with {' or '.join(str(row.instance_gpus) for row in rows)} {rows[0].gpu}"
        )
        raise WorkloadFileError(f"gpus_per_machine belongs to usd_per_gpu_hour; {known}")
    offers: list[tuple[GpuPrice | None, MachineSize]] = [(row, MachineSize.from_price(row, unit)) for row in rows]
    # A replica sits in one machine, where there is one that holds it.
    return [offer for offer in offers if offer[1].gpus >= entry.gpus_per_replica] or offers


def heading(comparison: Comparison) -> str:
    """The traffic in a line."""
    work = comparison.workload
    parts = ((work.cached_input_fraction, "cached"), (work.cache_write_fraction, "written to the cache"))
    words = ", ".join(f"{share:.0%} of them {what}" for share, what in parts if share)
    cached = f" ({words})" if words else ""
    tokens = f"{work.input_tokens:,.6g} tokens in{cached} and {work.output_tokens:,.6g} out"
    request = f"{work.images:g} images" if work.images else tokens
    return f"{work.requests_per_day:,.10g} requests a day of {request}, peak {work.peak_to_mean:g} x mean"


def option_rows(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    """A table of the options and their costs; the first row has the headings."""
    options = comparison.recommendation.options
    wasted = any(cost.unused_usd_per_month for cost in options)
    unused = ("of it unused",) if wasted else ()
    rows = [("option", "usd per request", "running usd/month", *unused, "upfront usd", "all-in usd/month", "replicas")]
    for cost in options:
        name = cost.name + (" (ruled out)" if cost.ruled_out else "")
        per_request = "" if math.isinf(cost.usd_per_request) else f"{cost.usd_per_request:.4g}"
        figures = (cost.running_usd_per_month, cost.upfront_usd, cost.all_in_usd_per_month)
        running, upfront, all_in = (f"{usd:,.0f}" for usd in figures)
        if wasted:
            unused = (f"{cost.unused_usd_per_month:,.0f}" if cost.unused_usd_per_month else "",)
        rows.append((name, per_request, running, *unused, upfront, all_in, str(cost.replicas or "")))
    return tuple(rows)


def explanation(comparison: Comparison) -> str:
    """The lines under the table: the crossing, how sure it is, the recommendation, and where each price is from."""
    lines = [
        "A month has 730 hours. Upfront spending, over the file's horizon, is part of all-in and of usd per request."
    ]
    for own in comparison.owns:
        if own.option is None and own.capacity is not None:
            lines.append(f"not served: {own.name}: {'; '.join(own.capacity.reasons)}")
    if comparison.pair:
        lines += ["", f"{comparison.pair[1]} against {comparison.pair[0]}, running costs:"]
        lines += [f"  {line}" for line in _crossing(comparison)]
    lines += ["", f"recommendation: {comparison.recommendation.choice}"]
    lines += [f"  {reason}" for reason in comparison.recommendation.reasons]
    lines += ["", "prices and rates:"]
    lines += [f"  {line}" for quote in comparison.apis for line in _api_sources(quote)]
    costs = {cost.name: cost for cost in comparison.recommendation.options}
    lines += [f"  {line}" for quote in comparison.owns for line in _self_hosted_sources(quote, costs.get(quote.name))]
    return "\n".join(lines)


def _crossing(comparison: Comparison) -> list[str]:
    even, saving = comparison.break_even, comparison.saving
    crossing, matters = comparison.break_even_range, comparison.matters
    if saving is None or crossing is None or matters is None:
        return []
    if even is None:
        lines = ["break-even: none, the API is free"]
    elif even.reachable:
        busy = f"{even.replicas} serving replicas {even.utilization_fraction:.0%} as busy as the peak allows"
        lines = [f"break-even: {even.requests_per_day:,.0f} requests a day ({busy})"]
    else:
        full = "a replica as full as the peak allows costs more than the requests it serves"
        lines = [f"break-even: none at any volume; {full}"]
    low, middle, high = (saving.quantiles[q] for q in (0.05, 0.5, 0.95))
    verb, more = ("saves", "") if middle > 0 else ("costs", " more")
    spread = f"saving in 90 % of the draws: {low:,.0f} to {high:,.0f}"
    lines.append(f"self-hosting {verb} {abs(middle):,.0f} USD a month{more} ({spread})")
    lines.append(f"it saves something in {saving.positive_fraction:.1%} of the draws")
    if crossing.finite_fraction > 0.5:
        least, most = (
            "none" if math.isinf(volume) else f"{volume:,.0f}"
            for volume in (crossing.quantiles[0.05], crossing.quantiles[0.95])
        )
        lines.append(f"break-even, 90 % of the draws: {least} to {most} requests a day")
    else:
        lines.append(f"there is a break-even in {crossing.finite_fraction:.1%} of the draws")
    first = matters.bars[0]
    lines.append(
        f"what matters most: {first.name} from {first.low:,.5g} to {first.high:,.5g} "
        f"moves the saving from {first.at_low:,.0f} to {first.at_high:,.0f}"
    )
    lines.append(f"{saving.samples:,} draws, seed {saving.seed}; the ranges stand under [uncertainty] in the file")
    return lines


def _api_sources(quote: ApiQuote) -> list[str]:
    price, name = quote.cost.price, quote.option.name
    if not isinstance(price, ApiPrice):
        return [f"{name}: {price.usd_per_image:g} USD an image, {price.kind}, {price.checked} ({price.source_url})"]
    output = "" if price.output_usd_per_mtok is None else f", {price.output_usd_per_mtok:g} out"
    fee = f", {price.usd_per_request:g} a request" if price.usd_per_request else ""
    fee += f", {price.usd_per_search:g} a search" if quote.cost.searches_usd else ""
    rates = f"{price.input_usd_per_mtok:g} USD/Mtok in{output}, on {price.as_of}{fee}"
    lines = [f"{name}: {rates} (genai-prices {price.snapshot.version}; {price.source_url})"]
    return lines + ([f"{name}: {price.note}"] if price.note else [])


def _self_hosted_sources(quote: SelfHostedQuote, cost: OptionCost | None) -> list[str]:
    lines, row, estimate = [], quote.price, quote.capacity
    if estimate is not None and " x " in quote.name:
        lines.append("several GPUs are taken to share the work without loss, which they do not")
    if row is None:
        lines.append(f"{quote.gpu_usd_per_hour:g} USD per GPU-hour, given in the file")
    else:
        machine = f", as {row.instance} with {row.instance_gpus}" if (row.instance_gpus or 1) > 1 else ""
        place = f"{row.place}{machine}, {row.kind}, {row.checked}"
        lines.append(f"{row.usd_per_hour:g} USD per GPU-hour ({place}; {row.source_url or row.note})")
    if not quote.machine.name:
        who = "the file does not say" if row is None else "the table does not say"
        lines.append(f"{who} in which numbers its GPUs are sold: each replica's are taken to be (gpus_per_machine)")
    elif quote.option is not None and quote.machine.gpus < quote.option.gpus_per_replica:
        few = f"{quote.machine.name} has {quote.machine.gpus} of the {quote.option.gpus_per_replica} GPUs of a replica"
        lines.append(f"{few}, and no larger machine is known there: each replica takes several")
    if cost is not None and quote.option is not None and cost.unused_usd_per_month:
        paid = in_whole_machines(cost.replicas, quote.option.replicas_per_machine)
        machines = round(paid * quote.option.place_usd_per_hour / quote.machine.usd_per_hour)
        gpus = f"{machines * quote.machine.gpus} GPUs for the {cost.replicas * quote.option.gpus_per_replica} that work"
        lines.append(
            f"machines are sold whole: {machines} x {quote.machine.name}, {gpus}, "
            f"{cost.unused_usd_per_month:,.0f} USD a month of it for nothing"
        )
    if quote.option is not None:
        origin = "given in the file"
        if estimate is not None and quote.efficiency is not None:
            origin = f"estimated by the roofline, batch {estimate.batch}, limited by {estimate.limited_by}, "
            likely = quote.efficiency.likely
            origin += f"MBU {likely.mbu_fraction:.2f}, MFU {likely.mfu_fraction:.2f}, "
            origin += f"{1e6 * likely.layer_overhead_s:.0f} us a layer; measure it"
        lines.append(f"{quote.option.capacity_requests_per_s:.3g} requests/s and replica, {origin}")
        if quote.efficiency is not None and not quote.efficiency.measured:
            slow, fast = (
                "none" if rate is None else f"{rate:.3g}"
                for rate in (quote.slow_requests_per_s, quote.fast_requests_per_s)
            )
            lines.append(f"what this GPU reaches was not measured; with what others reach, {slow} to {fast} requests/s")
    return [f"{quote.name}: {line}" for line in lines]
