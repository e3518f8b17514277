"""A fleet that grows and shrinks: against queueing theory, against simpy, and days worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.serving import Scaling, simulate_fleet
from tests import needs


def static(replicas: int) -> Scaling:
    return Scaling(min_replicas=replicas, max_replicas=replicas)


def erlang_c_wait_s(rate: float, service_s: float, servers: int) -> float:
    """Mean wait of M/M/c (Erlang 1917): the chance to wait, over the rate at which the queue shrinks."""
    load = rate * service_s
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last) * service_s / (servers - load)


@pytest.mark.parametrize(("replicas", "slots", "load"), [(1, 1, 0.5), (2, 2, 0.8), (3, 4, 0.7)])
def test_a_static_fleet_waits_as_erlang_says(replicas: int, slots: int, load: float) -> None:
    """Places of all replicas are one M/M/c queue. Mean of eight streams, within four of its standard errors."""
    servers, service = replicas * slots, 2.0
    rate = load * servers / service
    means = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1 / rate, 6000)).tolist()
        services = rng.exponential(service, 6000).tolist()
        run = simulate_fleet(arrivals, services, slots, static(replicas), arrivals[-1])
        means.append(float(np.mean(run.waits_s[500:])))
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    assert abs(np.mean(means) - erlang_c_wait_s(rate, service, servers)) < 4 * error


def test_every_wait_is_that_of_simpy() -> None:
    needs.extra("simpy", "test")
    import simpy

    rng = np.random.default_rng(5)
    arrivals, services = np.cumsum(rng.gamma(0.3, 3.0, 2000)).tolist(), rng.lognormal(0.5, 0.8, 2000).tolist()
    waits = [math.nan] * 2000
    env = simpy.Environment()
    places = simpy.Resource(env, capacity=6)

    def request(number: int):  # type: ignore[no-untyped-def]
        yield env.timeout(arrivals[number])
        with places.request() as place:
            yield place
            waits[number] = env.now - arrivals[number]
            yield env.timeout(services[number])

    for number in range(2000):
        env.process(request(number))
    env.run()
    run = simulate_fleet(arrivals, services, 3, static(2), arrivals[-1])
    assert max(waits) > 1
    np.testing.assert_allclose(run.waits_s, waits, atol=1e-9)


def test_scale_to_zero_by_hand() -> None:
    """One request: a replica is ordered at 100 s, ready at 160, done at 170, and stopped after 60 without a wish."""
    rule = Scaling(min_replicas=0, max_replicas=3, start_s=60, target_fraction=1.0, interval_s=10, stabilization_s=60)
    run = simulate_fleet([100.0], [10.0], 1, rule, 1000.0)
    assert run.waits_s == (60.0,)
    # The request ends at 170, before the look of that second: 160 was the last that saw it, and 230 the first with no
    # such look in the 60 s before.
    assert run.on_demand_s == 130.0
    assert run.starts == 1
    assert run.replicas[0] == (100.0, 1)
    assert run.replicas[-1][1] == 0
    assert run.usd(3.6) == pytest.approx(run.on_demand_s / 1000)


def test_a_burst_starts_what_it_needs_and_no_more_than_is_allowed() -> None:
    rule = Scaling(min_replicas=1, max_replicas=4, start_s=30, target_fraction=1.0, interval_s=10)
    run = simulate_fleet([5.0] * 12, [100.0] * 12, 2, rule, 400.0)
    assert max(count for _, count in run.replicas) == 4  # six would be wanted
    # Two at once; at the look of 10 s three more replicas are ordered, ready at 40; the last four wait for an end.
    assert sorted(run.waits_s) == [0.0] * 2 + [35.0] * 6 + [100.0] * 2 + [135.0] * 2


def test_a_warm_replica_is_there_sooner_and_paid_all_day() -> None:
    cold = Scaling(min_replicas=0, max_replicas=1, start_s=60, interval_s=10)
    warm = Scaling(min_replicas=0, max_replicas=1, start_s=60, interval_s=10, warm_replicas=1, warm_start_s=2)
    runs = [simulate_fleet([100.0], [10.0], 1, rule, 1000.0) for rule in (cold, warm)]
    assert [run.waits_s for run in runs] == [(60.0,), (2.0,)]
    assert [run.warm_s for run in runs] == [0.0, 1000.0]
    assert runs[1].usd(3.6, warm_fraction=0.25) == pytest.approx((runs[1].on_demand_s + 250) / 1000)


def test_a_warm_place_is_filled_again_only_after_a_start() -> None:
    rule = Scaling(
        min_replicas=0, max_replicas=2, start_s=60, target_fraction=1.0, interval_s=10, warm_replicas=1, warm_start_s=2
    )
    run = simulate_fleet([100.0, 101.0], [500.0, 500.0], 1, rule, 1000.0)
    # The first takes the warm one; the second finds it gone, and its replica, ordered at 110, starts cold.
    assert run.waits_s == (2.0, 69.0)


def test_spot_replicas_are_taken_and_their_requests_begin_again() -> None:
    rule = Scaling(min_replicas=1, max_replicas=1, start_s=20, interval_s=10, on_demand_replicas=0)
    run = simulate_fleet([0.0], [100.0], 1, rule, 300.0, spot_lifetimes_s=[55.0, 1e6])
    # Taken at 55; the look at 60 orders another, ready at 80: the service that completed began then.
    assert run.waits_s == (80.0,)
    assert (run.interruptions, run.restarts, run.starts) == (1, 1, 1)
    assert (run.on_demand_s, run.spot_s) == (0.0, 55.0 + 240.0)
    assert run.usd(3.6, spot_usd_per_hour=1.8) == pytest.approx(295.0 / 2000)


def test_firm_replicas_are_on_demand_and_the_rest_spot() -> None:
    rule = Scaling(min_replicas=3, max_replicas=3, on_demand_replicas=1)
    run = simulate_fleet([], [], 1, rule, 100.0)
    assert (run.on_demand_s, run.spot_s) == (100.0, 200.0)
    assert run.violations_fraction(0) == 0.0


@given(
    st.lists(st.floats(0, 500), min_size=1, max_size=40),
    st.floats(0.1, 60),
    st.integers(1, 4),
    st.integers(0, 2),
    st.floats(0, 90),
)
def test_everything_is_served_and_paid_for(
    arrivals: list[float], service: float, slots: int, least: int, start_s: float
) -> None:
    """Each request is served; what is paid holds at least the work done; more replicas never make a wait longer."""
    arrivals = sorted(arrivals)
    end = arrivals[-1] + 1000.0
    rule = Scaling(min_replicas=least, max_replicas=3, start_s=start_s, stabilization_s=60)
    run = simulate_fleet(arrivals, [service] * len(arrivals), slots, rule, end)
    assert all(0 <= wait < math.inf for wait in run.waits_s)
    assert run.on_demand_s <= 3 * end + 1e-6
    assert run.on_demand_s + 1e-6 >= least * end
    few, many = (simulate_fleet(arrivals, [service] * len(arrivals), slots, static(n), end) for n in (1, 3))
    assert all(b <= a + 1e-9 for a, b in zip(few.waits_s, many.waits_s, strict=True))


def test_a_share_of_waits_and_wrong_arguments() -> None:
    run = simulate_fleet([0, 0, 0, 0], [10, 10, 10, 10], 1, static(1), 60)
    assert run.violations_fraction(10.0) == 0.5
    with pytest.raises(InvalidValueError, match="one for each arrival"):
        simulate_fleet([0.0], [], 1, static(1), 10)
    with pytest.raises(InvalidValueError, match="ascending"):
        simulate_fleet([2.0, 1.0], [1.0, 1.0], 1, static(1), 10)
    with pytest.raises(InvalidValueError, match="finite numbers > 0"):
        simulate_fleet([2.0], [0.0], 1, static(1), 10)
    with pytest.raises(InvalidValueError, match="last arrival"):
        simulate_fleet([2.0], [1.0], 1, static(1), 1)
    with pytest.raises(InvalidValueError, match="warm_start_s must be at most start_s, 5"):
        Scaling(min_replicas=0, max_replicas=1, start_s=5, warm_start_s=6)
