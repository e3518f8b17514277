"""Every option of a workload file, priced, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from costlab.build_vs_buy import (
    ApiOption,
    BreakEven,
    Recommendation,
    SelfHostOption,
    break_even,
    break_even_requests_per_day,
    monthly_saving_usd,
    option_cost,
    recommend,
)
from costlab.compare.files import WorkloadFile, WorkloadFileError
from costlab.compare.sensitivity import MonteCarlo, Range, Tornado, monte_carlo, tornado
from costlab.compare.sides import ApiSide, OwnSide, api_sides, own_sides
from costlab.units import HOURS_PER_MONTH
from costlab.workload import Workload

__all__ = ["Comparison", "compare"]

SAMPLES = 100_000


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
    WorkloadFileError
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
    work, limits = file.work(), file.limits()
    apis, owns = api_sides(file, work, api, as_of), own_sides(file, work, gpu_names, as_of)
    options: list[ApiOption | SelfHostOption] = [side.option for side in apis]
    options += [side.option for side in owns if side.option is not None]
    if not options:
        words = [f"{side.name}: {'; '.join(side.capacity.reasons)}" for side in owns if side.capacity]
        raise WorkloadFileError("; ".join(["nothing to compare", *words]))
    recommendation = recommend(work, options, limits)

    def running(option: ApiOption | SelfHostOption) -> float:
        return option_cost(work, option, limits).running_usd_per_month

    possible = [side.option for side in owns if side.option is not None]
    if not apis or not possible:
        return Comparison(work, apis, owns, recommendation, (), None, None, None, None)
    cheap = min((side.option for side in apis), key=running)
    own = min(possible, key=running)
    ranges = _ranges(file, work, cheap, own)
    load, spare = own.max_utilization_fraction, own.spare_replicas

    def saving(requests_per_day: Any, tokens: Any, peak: Any, api_price: Any, gpu_price: Any, throughput: Any,
               people: Any) -> Any:  # fmt: skip
        api_usd = api_price * tokens - own.marginal_usd_per_request
        sizes = (peak, load, spare, cheap.fixed_usd_per_month)
        return monthly_saving_usd(requests_per_day, api_usd, gpu_price, throughput / tokens, people, *sizes)

    def crossing(requests_per_day: Any, tokens: Any, peak: Any, api_price: Any, gpu_price: Any, throughput: Any,
                 people: Any) -> Any:  # fmt: skip
        fixed = people + spare * gpu_price * HOURS_PER_MONTH
        served = throughput / tokens * load / peak  # a replica's capacity, per mean request of the day
        sides = (own.marginal_usd_per_request, cheap.fixed_usd_per_month)
        return break_even_requests_per_day(api_price * tokens, gpu_price, served, fixed, *sides)

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
            own.capacity_requests_per_s * load / work.peak_to_mean,
            own.fixed_usd_per_month + spare * own.replica_usd_per_hour * HOURS_PER_MONTH,
            own.marginal_usd_per_request,
            cheap.fixed_usd_per_month,
        ),
        saving=monte_carlo(saving, ranges, SAMPLES, seed),
        break_even_range=monte_carlo(crossing, ranges, SAMPLES, seed),
        matters=tornado(saving, ranges),
    )


def _ranges(file: WorkloadFile, work: Workload, cheap: ApiOption, own: SelfHostOption) -> dict[str, Range]:
    times = file.uncertainty
    likely = {
        "requests_per_day": work.requests_per_day,
        "tokens": 1.0,  # of a request, as a factor: it makes a call dearer and a replica slower
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
    peak = work.peak_to_mean
    ranges["peak"] = Range(max(1.0, peak / times.peak), peak, peak * times.peak, log=True)
    return ranges
