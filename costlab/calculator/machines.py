"""Machines are sold whole: which of them to rent for a number of GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass

from costlab._internal import checks
from costlab.catalog import GpuPrice
from costlab.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class MachineSize:
    """A machine as it is sold, whole: its GPUs, and its price per hour in USD.

    Attributes
    ----------
    gpus : int
        GPUs of the machine, >= 1.
    usd_per_hour : float
        Price of the whole machine per hour in USD, > 0.
    name : str
        The provider's name for it; empty where it has none, and the number of its GPUs is then an assumption.
    """

    gpus: int
    usd_per_hour: float
    name: str = ""

    def __post_init__(self) -> None:
        checks.integer("gpus", self.gpus, at_least=1)
        checks.positive("usd_per_hour", self.usd_per_hour)

    @classmethod
    def from_price(cls, price: GpuPrice, assumed_gpus: int = 1) -> "MachineSize":
        """The machine of a row of the catalogue; where that names none, one with `assumed_gpus` is assumed."""
        if price.machine_usd_per_hour is None or price.instance_gpus is None:
            return cls(assumed_gpus, assumed_gpus * price.usd_per_hour)
        return cls(price.instance_gpus, price.machine_usd_per_hour, price.instance)

    def replicas(self, gpus_per_replica: int) -> tuple[int, int]:
        """How many replicas fit into how many of these machines; a replica may need several, and has them alone."""
        return replicas_fitting(self.gpus, gpus_per_replica)


def replicas_fitting(gpus_per_machine: int, gpus_per_replica: int) -> tuple[int, int]:
    """How many replicas fit into how many machines; a replica may need several, and has them alone.

    Examples
    --------
    How many replicas of three GPUs fit into a machine of eight, and how many machines need one of sixteen?

    >>> replicas_fitting(8, 3), replicas_fitting(8, 16)
    ((2, 1), (1, 2))
    """
    return max(1, gpus_per_machine // gpus_per_replica), -(-gpus_per_replica // gpus_per_machine)


@dataclass(frozen=True, slots=True)
class Machines:
    """A number of machines of one size."""

    size: MachineSize
    count: int


def cheapest_machines(sizes: Sequence[MachineSize], gpus: int, gpus_per_replica: int = 1) -> tuple[Machines, ...]:
    r"""The cheapest combination of machines for a number of GPUs, each machine rented whole.

    With prices :math:`c_i` and room for :math:`r_i` replicas, for the :math:`n` replicas that the GPUs make up, in
    whole numbers :math:`k_i` of machines:

    .. math:: \min \sum_i c_i k_i \quad\text{such that}\quad \sum_i r_i k_i \ge n

    Parameters
    ----------
    sizes : sequence of MachineSize
        What is on sale; at least one.
    gpus : int
        GPUs wanted, >= 1.
    gpus_per_replica : int
        GPUs that work together and therefore sit in one machine, >= 1; the last replica is counted whole. A replica
        that no machine can hold takes several machines of one size for itself.

    Returns
    -------
    tuple of Machines
        The largest size first; of equally cheap combinations one with the fewest machines.

    Notes
    -----
    Solved exactly, by dynamic programming. Machines other than those that are cheapest per replica need no more than a
    few: as soon as there are as many of them as that one holds replicas, some can be exchanged for it.

    Examples
    --------
    Eleven GPUs, sold one by one at 3 dollars an hour or by eight at 20: what should be rented?

    >>> single, eight = MachineSize(1, 3.0), MachineSize(8, 20.0)
    >>> [(some.count, some.size.gpus) for some in cheapest_machines([single, eight], 11)]
    [(1, 8), (3, 1)]

    And fifteen?

    >>> [(some.count, some.size.gpus) for some in cheapest_machines([single, eight], 15)]
    [(2, 8)]
    """
    if not sizes:
        raise InvalidValueError("sizes", "at least one", sizes)
    checks.integer("gpus", gpus, at_least=1)
    checks.integer("gpus_per_replica", gpus_per_replica, at_least=1)
    wanted = -(-gpus // gpus_per_replica)
    sizes = [size for size in sizes if size.gpus >= gpus_per_replica] or sizes
    lots = [(*size.replicas(gpus_per_replica), size) for size in sizes]  # replicas in a lot, machines of a lot
    room, machines, best = min(lots, key=lambda lot: (lot[1] * lot[2].usd_per_hour / lot[0], -lot[0]))
    if len(sizes) == 1:
        return (Machines(best, -(-wanted // room) * machines),)
    # Up to here the lot that is cheapest per replica is surely right; what is left is tried out.
    bulk = max(0, wanted // room - max(lot[0] for lot in lots))
    tried: list[tuple[float, int, int]] = [(0.0, 0, -1)]  # USD, machines, and the lot that was added last
    for replicas in range(1, wanted - bulk * room + 1):
        options = []
        for index, (held, count, size) in enumerate(lots):
            usd, taken, _ = tried[max(0, replicas - held)]
            options.append((round(usd + count * size.usd_per_hour, 9), taken + count, index))
        tried.append(min(options))
    counts = [0] * len(lots)
    counts[lots.index((room, machines, best))] = bulk * machines
    left = wanted - bulk * room
    while left > 0:
        index = tried[left][2]
        counts[index] += lots[index][1]
        left -= lots[index][0]
    found = [Machines(size, count) for size, count in zip(sizes, counts, strict=True) if count]
    return tuple(sorted(found, key=lambda some: some.size.gpus, reverse=True))
