import itertools

import pytest
from hypothesis import given, strategies as st

from costlab.calculator import Machines, MachineSize, cheapest_machines
from costlab.catalog import gpu_machines, gpu_price
from costlab.errors import InvalidValueError

sizes_on_sale = st.lists(
    st.builds(MachineSize, gpus=st.integers(1, 8), usd_per_hour=st.integers(1, 40).map(float)), min_size=1, max_size=3
)


def usd_per_hour(rented: tuple[Machines, ...]) -> float:
    return sum(some.count * some.size.usd_per_hour for some in rented)


@given(sizes_on_sale, st.integers(1, 24), st.integers(1, 4))
def test_no_other_combination_is_cheaper(sizes: list[MachineSize], gpus: int, gpus_per_replica: int) -> None:
    rented = cheapest_machines(sizes, gpus, gpus_per_replica)
    replicas = -(-gpus // gpus_per_replica)
    fit = [size for size in sizes if size.gpus >= gpus_per_replica]
    if not fit:  # a replica takes several machines for itself
        alone = min(-(-gpus_per_replica // size.gpus) * size.usd_per_hour for size in sizes)
        assert usd_per_hour(rented) == pytest.approx(replicas * alone)
        return
    assert sum(some.count * (some.size.gpus // gpus_per_replica) for some in rented) >= replicas
    every = [
        sum(n * size.usd_per_hour for n, size in zip(counts, fit, strict=True))
        for counts in itertools.product(range(replicas + 1), repeat=len(fit))
        if sum(n * (size.gpus // gpus_per_replica) for n, size in zip(counts, fit, strict=True)) >= replicas
    ]
    assert usd_per_hour(rented) == min(every)


@given(sizes_on_sale, st.integers(1, 2000))
def test_large_numbers_are_as_exact_as_small_ones(sizes: list[MachineSize], gpus: int) -> None:
    # One by one, without the short cut for the bulk.
    least = [0.0]
    for wanted in range(1, gpus + 1):
        least.append(min(least[max(0, wanted - size.gpus)] + size.usd_per_hour for size in sizes))
    assert usd_per_hour(cheapest_machines(sizes, gpus)) == least[gpus]


def test_a_number_beyond_all_bounds_is_answered() -> None:
    (eights, ones) = cheapest_machines([MachineSize(1, 3.0), MachineSize(8, 20.0)], 10**20 + 1)
    assert (eights.count, ones.count) == (10**20 // 8, 1)


def test_of_equal_prices_per_gpu_the_largest_machines_in_large_numbers_too() -> None:
    sizes = [MachineSize(1, 3.0), MachineSize(8, 24.0), MachineSize(2, 6.0)]
    assert cheapest_machines(sizes, 80_003) == (
        Machines(MachineSize(8, 24.0), 10_000),
        Machines(MachineSize(2, 6.0), 1),
        Machines(MachineSize(1, 3.0), 1),
    )


def test_one_dear_machine_that_just_fits_beats_cheap_ones_with_room_left() -> None:
    # Seven GPUs by twos at 2.0 are four machines and 8.0; the machine of seven is dearer per GPU, and cheaper.
    sizes = [MachineSize(2, 2.0), MachineSize(7, 7.5)]
    assert cheapest_machines(sizes, 7) == (Machines(MachineSize(7, 7.5), 1),)
    assert cheapest_machines(sizes, 2007) == (Machines(MachineSize(7, 7.5), 1), Machines(MachineSize(2, 2.0), 1000))


def test_a_replica_of_many_machines_is_counted_in_them() -> None:
    # A replica of six takes three twos (12.0) or six ones (9.0): eighteen ones hold three of them.
    sizes = [MachineSize(2, 4.0), MachineSize(1, 1.5)]
    assert cheapest_machines(sizes, 18, 6) == (Machines(MachineSize(1, 1.5), 18),)
    assert cheapest_machines(sizes[:1], 13, 6) == (Machines(MachineSize(2, 4.0), 9),)


def aws(gpu: str) -> list[MachineSize]:
    return [MachineSize.from_price(row) for row in gpu_machines(gpu, snapshot="list", provider="aws")]


# AWS's g5 come with 1, 4 or 8 A10G, at 1.006, 5.672 and 16.288 USD an hour in us-east-1.
@pytest.mark.parametrize(
    ("gpus", "together", "rented"),
    [
        (1, 1, [("g5.xlarge", 1)]),
        (8, 1, [("g5.xlarge", 8)]),
        (4, 4, [("g5.12xlarge", 1)]),
        (5, 4, [("g5.12xlarge", 2)]),
        (6, 3, [("g5.12xlarge", 2)]),
        (8, 8, [("g5.48xlarge", 1)]),
        (16, 16, [("g5.xlarge", 16)]),  # no machine holds sixteen
    ],
)
def test_gpus_that_work_together_sit_in_one_machine(gpus: int, together: int, rented: list[tuple[str, int]]) -> None:
    assert [(some.size.name, some.count) for some in cheapest_machines(aws("A10G"), gpus, together)] == rented


def test_of_equal_bills_the_one_with_fewer_machines() -> None:
    # 55.04 USD an hour for p5.48xlarge with eight H100, and 6.88 for p5.4xlarge with one.
    assert [(some.size.name, some.count) for some in cheapest_machines(aws("H100"), 9)] == (
        [("p5.48xlarge", 1), ("p5.4xlarge", 1)]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1), "sizes must be at least one, got []"),
        (([MachineSize(1, 1.0)], 0), "gpus must be a whole number >= 1, got 0"),
        (([MachineSize(1, 1.0)], 1, 0), "gpus_per_replica must be a whole number >= 1, got 0"),
    ],
)
def test_bad_numbers_are_named(arguments: tuple[list[MachineSize], int], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        cheapest_machines(*arguments)
    assert str(caught.value) == message


def test_a_machine_has_gpus_and_a_price() -> None:
    with pytest.raises(InvalidValueError, match="gpus must be a whole number >= 1, got 0"):
        MachineSize(0, 1.0)
    with pytest.raises(InvalidValueError, match="usd_per_hour must be a number > 0, got 0"):
        MachineSize(1, 0)


def test_a_row_without_a_whole_machine_is_one_of_as_many_gpus_as_are_assumed() -> None:
    price = gpu_price("A10G", "on_demand")
    assert price.machine_usd_per_hour is None
    assert MachineSize.from_price(price) == MachineSize(1, price.usd_per_hour)
    assert MachineSize.from_price(price, 4) == MachineSize(4, 4 * price.usd_per_hour)
