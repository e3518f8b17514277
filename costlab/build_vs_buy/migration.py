"""Which endpoints to move from an API to one's own GPUs first, and what each step saves."""

from collections.abc import Sequence
from dataclasses import dataclass

from costlab._internal import checks
from costlab.build_vs_buy.crossover import in_whole_machines
from costlab.errors import InvalidValueError
from costlab.serving import MAX_REPLICAS
from costlab.serving.economics import whole_replicas
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class MigrationEndpoint:
    """One use of a model, called `name`, that could be moved.

    Parameters
    ----------
    requests_per_day : float
        Requests on an average day, >= 0.
    api_usd_per_request : float
        What the API asks per request, in USD, >= 0.
    gpu_s_per_request : float
        Seconds of a GPU that a request takes when self-hosted and batched: 1 / capacity in requests per second; > 0.
    peak_to_mean : float
        Peak over mean of its requests per second, >= 1.
    movable : bool
        False for what must stay at the API, such as a task that needs a model one cannot run.
    move_usd : float
        What moving it costs once, in USD, >= 0.
    """

    name: str
    requests_per_day: float
    api_usd_per_request: float
    gpu_s_per_request: float
    peak_to_mean: float = 1.0
    movable: bool = True
    move_usd: float = 0.0

    def __post_init__(self) -> None:
        checks.non_negative("requests_per_day", self.requests_per_day)
        checks.non_negative("api_usd_per_request", self.api_usd_per_request)
        checks.positive("gpu_s_per_request", self.gpu_s_per_request)
        checks.non_negative("move_usd", self.move_usd)
        if checks.finite("peak_to_mean", self.peak_to_mean, "a number >= 1") < 1.0:
            raise InvalidValueError("peak_to_mean", "a number >= 1", self.peak_to_mean)

    @property
    def api_usd_per_month(self) -> float:
        """The API's bill for a month of 730 hours."""
        return self.api_usd_per_request * self.requests_per_day * HOURS_PER_MONTH / HOURS_PER_DAY

    @property
    def peak_gpus(self) -> float:
        """GPUs that its peak keeps busy."""
        per_s = self.requests_per_day / SECONDS_PER_DAY
        return per_s * self.peak_to_mean * self.gpu_s_per_request


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """The state after one more endpoint, `endpoint`, has been moved.

    Attributes
    ----------
    gpus : int
        GPUs of the shared pool after it, in whole machines, spare ones included.
    usd_per_month : float
        The whole bill after it: pool, fixed costs and what is left at the API.
    saving_usd_per_month : float
        Against everything at the API; negative while the pool is too empty.
    moved_usd : float
        Spent on moving so far.
    utilization_fraction : float
        Share of the pool that the mean traffic uses.
    """

    endpoint: str
    gpus: int
    usd_per_month: float
    saving_usd_per_month: float
    moved_usd: float
    utilization_fraction: float


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """Endpoints in the order in which to move them.

    Attributes
    ----------
    api_usd_per_month : float
        The bill with everything at the API: the baseline of every saving.
    steps : tuple of MigrationStep
        One per movable endpoint with traffic, best first.
    stop_after : int
        Steps to take: the number with the lowest bill; 0 when nothing should be moved.
    stays : tuple of str
        Endpoints that are left at the API when the plan stops there.
    """

    api_usd_per_month: float
    steps: tuple[MigrationStep, ...]
    stop_after: int
    stays: tuple[str, ...]


def migration_plan(
    endpoints: Sequence[MigrationEndpoint],
    gpu_usd_per_hour: float,
    fixed_usd_per_month: float = 0.0,
    max_utilization_fraction: float = 0.8,
    spare_gpus: int = 0,
    gpus_per_machine: int = 1,
) -> MigrationPlan:
    r"""Which endpoints to move to a shared pool of GPUs, in which order, and what is saved after each step.

    An endpoint is worth what the API asks for the work of a GPU-second at the peak, for which the pool is built:

    .. math:: v = \frac{\text{API usd per request}}{\text{peak to mean} \cdot \text{GPU seconds per request}}

    The endpoints are moved in falling order of :math:`v`. The pool has whole GPUs and serves the sum of the peaks, so a
    later endpoint can come for nothing where the last GPU has room, and a first one may only pay together with others.

    Parameters
    ----------
    endpoints : sequence of MigrationEndpoint
        What runs at the API today; at least one, names used once.
    gpu_usd_per_hour : float
        Price of a GPU of the pool per hour in USD, > 0.
    fixed_usd_per_month : float
        What running a pool costs whatever its size, in USD, >= 0.
    max_utilization_fraction : float
        Share of the pool to which the peak may load it, in (0, 1].
    spare_gpus : int
        GPUs beyond those that the peak needs, >= 0.
    gpus_per_machine : int
        GPUs of a machine, >= 1, which is rented whole.

    Notes
    -----
    The peaks are added as if they came at the same hour, which overstates the pool when they do not. The order is the
    best one for GPUs that can be divided; with whole machines another subset can be cheaper by up to the price of one.

    Examples
    --------
    Two busy endpoints and a rare one: which should leave the API?

    >>> plan = migration_plan(
    ...     [
    ...         MigrationEndpoint("search", 2_000_000, 0.0002, 0.02),
    ...         MigrationEndpoint("chat", 300_000, 0.003, 0.3, peak_to_mean=3),
    ...         MigrationEndpoint("legal review", 9000, 0.002, 30),
    ...     ],
    ...     gpu_usd_per_hour=1.01,
    ... )
    >>> [step.endpoint for step in plan.steps], plan.stays
    (['search', 'chat', 'legal review'], ('legal review',))
    """
    names = [endpoint.name for endpoint in endpoints]
    if not names or len(set(names)) < len(names):
        raise InvalidValueError("endpoints", "at least one, each name used once", names)
    checks.positive("gpu_usd_per_hour", gpu_usd_per_hour)
    checks.non_negative("fixed_usd_per_month", fixed_usd_per_month)
    checks.fraction("max_utilization_fraction", max_utilization_fraction, zero=False)
    checks.integer("spare_gpus", spare_gpus)
    checks.integer("gpus_per_machine", gpus_per_machine, at_least=1)

    def worth(endpoint: MigrationEndpoint) -> float:
        return endpoint.api_usd_per_request / (endpoint.peak_to_mean * endpoint.gpu_s_per_request)

    baseline = sum(endpoint.api_usd_per_month for endpoint in endpoints)
    left, peak, mean, moved = baseline, 0.0, 0.0, 0.0
    steps: list[MigrationStep] = []
    movable = [endpoint for endpoint in endpoints if endpoint.movable and endpoint.requests_per_day > 0]
    for endpoint in sorted(movable, key=worth, reverse=True):
        left -= endpoint.api_usd_per_month
        peak += endpoint.peak_gpus
        mean += endpoint.peak_gpus / endpoint.peak_to_mean
        moved += endpoint.move_usd
        wanted = peak / max_utilization_fraction
        if wanted > MAX_REPLICAS:
            raise InvalidValueError("endpoints", f"what {MAX_REPLICAS:g} GPUs can serve", endpoint)
        gpus = int(in_whole_machines(max(1, int(whole_replicas(wanted))) + spare_gpus, gpus_per_machine))
        bill = max(0.0, left) + gpus * gpu_usd_per_hour * HOURS_PER_MONTH + fixed_usd_per_month
        steps.append(MigrationStep(endpoint.name, gpus, bill, baseline - bill, moved, mean / gpus))
    bills = [baseline, *(step.usd_per_month for step in steps)]
    stop = bills.index(min(bills))
    taken = {step.endpoint for step in steps[:stop]}
    return MigrationPlan(baseline, tuple(steps), stop, tuple(name for name in names if name not in taken))
