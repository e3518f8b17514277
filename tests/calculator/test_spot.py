import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.calculator import SpotVerdict, checkpoint_interval_s, may_use_spot, spot_job
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.synthetic import simulate_spot_job


def exact_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """The minimum of (exp((tau + delta) / M) - 1) / tau, found by ternary search."""
    low, high = 1e-9 * mtbf_s, 20 * mtbf_s
    for _ in range(300):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        if math.expm1((a + checkpoint_s) / mtbf_s) / a < math.expm1((b + checkpoint_s) / mtbf_s) / b:
            high = b
        else:
            low = a
    return low


def test_young_is_the_square_root_rule() -> None:
    assert checkpoint_interval_s(60, 5 * 3600, method="young") == pytest.approx(math.sqrt(2 * 60 * 18000))


# By hand, where the roots are whole: delta/2M is 1/9 and 1/4 in Daly's (2006) equation 37, whose last term is a ninth.
@pytest.mark.parametrize(
    ("checkpoint_s", "mtbf_s", "interval_s"),
    [
        (1, 4.5, 3 * (1 + 1 / 9 + 1 / 81) - 1),  # young: sqrt(2 * 1 * 4.5) = 3
        (1, 2, 2 * (1 + 1 / 6 + 1 / 36) - 1),  # young: sqrt(2 * 1 * 2) = 2
        (2, 1, 1),  # from delta = 2M on, M
        (1.99, 1, math.sqrt(3.98) * (1 + math.sqrt(0.995) / 3 + 0.995 / 9) - 1.99),  # just before
    ],
)
def test_daly_has_the_terms_of_the_paper(checkpoint_s: float, mtbf_s: float, interval_s: float) -> None:
    assert checkpoint_interval_s(checkpoint_s, mtbf_s) == pytest.approx(interval_s, rel=1e-12)


# Daly (2006) derives the higher-order formula for delta < M/2 and reports it close to the exact optimum there.
@pytest.mark.parametrize("ratio", [1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.4])
def test_daly_is_near_the_exact_optimum(ratio: float) -> None:
    exact = exact_interval_s(ratio * 3600, 3600)
    assert checkpoint_interval_s(ratio * 3600, 3600) == pytest.approx(exact, rel=0.005)


def test_daly_beats_young_when_interruptions_are_frequent() -> None:
    exact = exact_interval_s(360, 3600)
    young, daly = (checkpoint_interval_s(360, 3600, method=m) for m in ("young", "daly"))
    assert abs(daly - exact) < 0.05 * abs(young - exact)


def test_checkpoints_longer_than_twice_the_mtbf() -> None:
    assert checkpoint_interval_s(7200, 3600) == 3600


def test_unknown_method() -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'Dayly'; did you mean 'daly'"):
        checkpoint_interval_s(60, 3600, method="Dayly")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "mtbf", "checkpoint", "restart", "interval"),
    [
        (20, 5, 120, 600, None),  # the ordinary case
        (20, 1, 120, 600, None),  # interrupted every hour
        (20, 0.5, 300, 600, 600),  # the restart itself is often interrupted
        (3, 2, 60, 0, 3 * 3600),  # no checkpoint before the end
    ],
)
def test_formula_agrees_with_the_simulation(
    work: float, mtbf: float, checkpoint: float, restart: float, interval: float | None
) -> None:
    job = spot_job(work, 1.0, 3.0, mtbf, checkpoint, restart, interval)
    simulated = simulate_spot_job(
        np.random.default_rng(7), jobs=20_000, work_hours=work, mtbf_hours=mtbf, checkpoint_s=checkpoint,
        restart_s=restart, interval_s=job.checkpoint_interval_s,
    )  # fmt: skip
    standard_error = simulated.std() / math.sqrt(len(simulated))
    assert standard_error < 0.01 * simulated.mean()  # otherwise 2 % would prove nothing
    assert simulated.mean() == pytest.approx(job.expected_hours, rel=0.02)


def test_simulation_is_reproducible_and_never_faster_than_the_work() -> None:
    arguments = {"work_hours": 5, "mtbf_hours": 2, "checkpoint_s": 60, "restart_s": 300, "interval_s": 900}
    one, two = (simulate_spot_job(np.random.default_rng(3), jobs=50, **arguments) for _ in range(2))
    assert (one == two).all()
    assert (one >= 5 + 20 * 60 / 3600 - 1e-9).all()


def test_a_job_of_one_part_worked_out_by_hand() -> None:
    """Work and checkpoint of ln 3 mean times between interruptions take 2 of them, and 4 with a restart of ln 2."""
    work = math.log(3) - 1 / 60
    arguments = {"work_hours": work, "mtbf_hours": 1, "checkpoint_s": 60, "interval_s": 3600 * work}
    at_once = spot_job(spot_usd_per_hour=3, on_demand_usd_per_hour=9 / work, restart_s=0, **arguments)
    assert at_once.expected_hours == pytest.approx(2)
    assert (at_once.expected_usd, at_once.on_demand_usd) == pytest.approx((6, 9))
    assert (at_once.saving_usd, at_once.saving_fraction) == pytest.approx((3, 1 / 3))
    slow = spot_job(spot_usd_per_hour=3, on_demand_usd_per_hour=9 / work, restart_s=3600 * math.log(2), **arguments)
    assert slow.expected_hours == pytest.approx(4)
    twice = {**arguments, "work_hours": 2 * work, "mtbf_hours": 2, "checkpoint_s": 120, "interval_s": 7200 * work}
    job = spot_job(spot_usd_per_hour=3, on_demand_usd_per_hour=9 / work, restart_s=0, **twice)
    assert (job.expected_hours, job.expected_interruptions) == pytest.approx((4, 2))


def test_the_break_even_worked_out_by_hand() -> None:
    """At a mean time of an hour the job takes two hours, as above; they are paid for by twice the price on demand."""
    work = math.log(3) - 1 / 60
    job = spot_job(work, 1.0, 2 / work, mtbf_hours=20, checkpoint_s=60, restart_s=0, interval_s=3600 * work)
    assert job.break_even_mtbf_hours == pytest.approx(1, rel=1e-8)


def test_parts_are_equal_and_none_is_longer_than_the_interval() -> None:
    job = spot_job(10, 1.0, 3.0, mtbf_hours=1e9, checkpoint_s=360, restart_s=0, interval_s=3 * 3600)
    assert job.checkpoint_interval_s == 2.5 * 3600
    assert job.expected_hours == pytest.approx(10 + 4 * 0.1, rel=1e-6)


def test_without_an_interval_it_is_dalys() -> None:
    interval = checkpoint_interval_s(120, 5 * 3600)
    job = spot_job(1000, 1.0, 3.0, mtbf_hours=5, checkpoint_s=120, restart_s=600)
    assert job.checkpoint_interval_s == pytest.approx(interval, rel=1e-3)


def test_without_interruptions_only_checkpoints_are_paid() -> None:
    job = spot_job(10, 1.0, 3.0, mtbf_hours=1e9, checkpoint_s=60, restart_s=600, interval_s=3600)
    assert job.expected_hours == pytest.approx(10 + 10 * 60 / 3600, rel=1e-6)
    assert job.expected_interruptions == pytest.approx(0, abs=1e-6)


jobs = st.fixed_dictionaries(
    {
        "work_hours": st.floats(0.5, 500),
        "spot_usd_per_hour": st.floats(0.5, 2.5),
        "on_demand_usd_per_hour": st.floats(3, 10),
        "checkpoint_s": st.floats(1, 600),
        "restart_s": st.floats(0, 1200),
    }
)


@given(jobs, st.floats(0.2, 1000), st.floats(1.05, 100))
def test_rarer_interruptions_are_never_more_expensive(job: dict[str, float], mtbf: float, factor: float) -> None:
    interval = 600.0
    often = spot_job(mtbf_hours=mtbf, interval_s=interval, **job)
    rare = spot_job(mtbf_hours=mtbf * factor, interval_s=interval, **job)
    assert rare.expected_usd <= often.expected_usd * (1 + 1e-12)


@given(jobs)
def test_break_even_separates_saving_from_loss(job: dict[str, float]) -> None:
    limit = spot_job(mtbf_hours=10, **job).break_even_mtbf_hours
    if limit == math.inf:
        return
    assert spot_job(mtbf_hours=1.01 * limit, **job).saving_fraction > -0.002
    assert spot_job(mtbf_hours=0.9 * limit, **job).saving_fraction < 0
    # The number of parts is whole, so the bill may jump at the limit; the sign changes there all the same.
    assert spot_job(mtbf_hours=limit, **job).saving_fraction >= -1e-9
    assert spot_job(mtbf_hours=limit * (1 - 1e-6), **job).saving_fraction < 0


def test_spot_at_the_on_demand_price_never_pays() -> None:
    job = spot_job(10, 3.0, 3.0, mtbf_hours=100, checkpoint_s=60, restart_s=60)
    assert job.saving_fraction < 0
    assert job.break_even_mtbf_hours == math.inf


def test_a_job_that_cannot_end_costs_infinitely_much() -> None:
    job = spot_job(10, 1.0, 3.0, mtbf_hours=1e-4, checkpoint_s=3600, restart_s=0)
    assert (job.expected_hours, job.saving_fraction) == (math.inf, -math.inf)


TIMES = ("work_hours", "spot_usd_per_hour", "on_demand_usd_per_hour", "mtbf_hours", "checkpoint_s", "interval_s")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "5"])
def test_bad_times_are_named(name: str, value: object) -> None:
    good: dict[str, object] = {
        "work_hours": 10, "spot_usd_per_hour": 1, "on_demand_usd_per_hour": 3, "mtbf_hours": 5, "checkpoint_s": 60,
        "restart_s": 60,
    }  # fmt: skip
    with pytest.raises(InvalidValueError, match=f"{name} must be a number > 0, got"):
        spot_job(**{**good, name: value})  # type: ignore[arg-type]


def test_a_restart_takes_no_negative_time() -> None:
    with pytest.raises(InvalidValueError, match="restart_s must be a number >= 0, got -1"):
        spot_job(10, 1, 3, 5, 60, restart_s=-1)


# The four workloads of the source lesson (S3).
@pytest.mark.parametrize(
    ("workload", "allowed"),
    [
        ({"max_pause_s": math.inf, "restart_s": 600, "recoverable": True, "save_s": 90}, True),  # training, checkpoints
        ({"max_pause_s": 8 * 3600, "restart_s": 300, "recoverable": True}, True),  # batch inference over night
        ({"max_pause_s": 900, "restart_s": 300, "recoverable": True}, True),  # workers on a queue
        ({"max_pause_s": 2, "restart_s": 240, "recoverable": True}, False),  # chat
    ],
)
def test_lesson_workloads(workload: dict[str, float], allowed: bool) -> None:
    assert may_use_spot(**workload).allowed is allowed  # type: ignore[arg-type]


def test_every_broken_rule_is_named() -> None:
    verdict = may_use_spot(max_pause_s=1, restart_s=60, recoverable=False)
    assert not verdict.allowed
    assert len(verdict.reasons) == 2


def test_a_pause_as_long_as_agreed_is_no_longer_than_agreed() -> None:
    verdict = may_use_spot(max_pause_s=60, restart_s=60, recoverable=True, save_s=120)  # and a notice just long enough
    assert verdict == SpotVerdict(True, ("no pause is longer than agreed, and unfinished work is done again",))
    lost = may_use_spot(max_pause_s=60, restart_s=60, recoverable=False)
    assert not lost.allowed
    assert [reason.split(":")[0] for reason in lost.reasons] == ["work in flight is lost for good"]


def test_notice_too_short_to_save_is_a_warning_not_a_ban() -> None:
    verdict = may_use_spot(max_pause_s=math.inf, restart_s=600, recoverable=True, save_s=200, notice_s=120)
    assert verdict.allowed
    assert "200 s do not fit into a notice of 120 s" in verdict.reasons[0]


def test_spot_rule_domain() -> None:
    with pytest.raises(InvalidValueError, match="restart_s must be a number >= 0, got -1"):
        may_use_spot(max_pause_s=1, restart_s=-1, recoverable=True)
    with pytest.raises(InvalidValueError, match="max_pause_s must be a number >= 0, got nan"):
        may_use_spot(max_pause_s=math.nan, restart_s=1, recoverable=True)
    with pytest.raises(InvalidValueError, match="save_s must be a number >= 0, got -2"):
        may_use_spot(max_pause_s=1, restart_s=1, recoverable=True, save_s=-2)
    with pytest.raises(InvalidValueError, match="notice_s must be a number >= 0, got -3"):
        may_use_spot(max_pause_s=1, restart_s=1, recoverable=True, notice_s=-3)
