"""The service's day: the source lesson's bill, a client that runs away at two, and a clock that is set."""

import numpy as np
import pytest

from costlab.errors import InvalidValueError
from costlab.events import RequestEvent
from costlab.synthetic import (
    RUNAWAY_TENANT,
    SAMPLE_START_S,
    SERVICE_TENANTS,
    SERVICE_TIERS,
    ManualClock,
    PlannedRequest,
    demo_day,
    replay_requests,
    service_day,
)

DAY_S, HOUR_S = 86_400, 3_600


def ordinary(requests: float = 20_000) -> tuple[PlannedRequest, ...]:
    return service_day(np.random.default_rng(1), requests)


def test_a_million_requests_cost_what_the_source_lesson_says() -> None:
    """S7: 3 + 200 + 600 + 3,000 dollars a day."""
    usd = [1e6 * tier.share_fraction * tier.usd_per_request for tier in SERVICE_TIERS]
    assert usd == pytest.approx([3, 200, 600, 3_000])
    assert sum(tier.share_fraction for tier in SERVICE_TIERS) == pytest.approx(1.0)
    assert sum(share for share, _ in SERVICE_TENANTS.values()) == pytest.approx(1.0)


def test_the_day_has_the_shares_and_the_curve_that_it_promises() -> None:
    day = ordinary()
    assert len(day) == pytest.approx(20_000, rel=0.05)
    for tier in SERVICE_TIERS:
        share = sum(request.tier is tier for request in day) / len(day)
        assert share == pytest.approx(tier.share_fraction, abs=0.015)
    times = [request.time_s - SAMPLE_START_S for request in day]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < DAY_S
    at_two = [sum(hour * HOUR_S <= time_s < (hour + 1) * HOUR_S for time_s in times) for hour in (2, 13)]
    assert 3 < at_two[1] / at_two[0] < 5


def test_the_same_seed_gives_the_same_day() -> None:
    assert ordinary(500) == ordinary(500)
    assert ordinary(500) != service_day(np.random.default_rng(2), 500)


def test_the_client_runs_away_at_two_and_until_midnight_on_the_most_expensive_tier() -> None:
    day = service_day(np.random.default_rng(1), 5_000, day=3, runaway_requests_per_s=1.0)
    midnight = SAMPLE_START_S + 3 * DAY_S
    loud = [request for request in day if request.tenant == RUNAWAY_TENANT and request.tier.name == "large"]
    before = [request for request in loud if request.time_s < midnight + 14 * HOUR_S]
    assert len(before) < 40  # a twentieth of the requests, a tenth of them large
    assert len(loud) - len(before) == pytest.approx(10 * HOUR_S, rel=0.02)
    assert {request.request_id for request in day} == {f"d3-{number}" for number in range(len(day))}
    earning = sum(request.value_usd is not None for request in loud[len(before) :])
    assert earning < 10  # the ordinary ones among them; 2 % of the loop's would be 720


def test_the_model_on_trial_has_no_price_from_nine_to_eleven() -> None:
    day = service_day(np.random.default_rng(1), 20_000, trial=True)
    unpriced = [request for request in day if request.event().cost_micro_usd is None]
    hours = {int((request.time_s - SAMPLE_START_S) // HOUR_S) for request in unpriced}
    assert hours == {9, 10}
    assert {request.tier.name for request in unpriced} == {"medium"}
    assert not any(
        request.event().cost_micro_usd is not None
        for request in day
        if request.tier.name == "medium" and 9 <= (request.time_s - SAMPLE_START_S) / HOUR_S < 11
    )
    assert all(request.event().cost_micro_usd is not None for request in ordinary(5_000))


def test_a_refused_request_costs_and_earns_nothing() -> None:
    earning = next(request for request in ordinary() if request.value_usd is not None)
    served, refused = earning.event(), earning.event("refused")
    assert served.outcome == ("cached" if earning.tier.name == "cache" else "ok")
    assert served.cost_usd == earning.tier.usd_per_request
    assert served.conversion_value_micro_usd == round(1e6 * (earning.value_usd or 0))
    assert (refused.cost_micro_usd, refused.output_tokens, refused.conversion_value_micro_usd) == (0, 0, None)
    assert refused.priority == SERVICE_TENANTS[refused.tenant][1]


def test_a_refused_request_is_free_also_where_its_price_is_unknown() -> None:
    day = service_day(np.random.default_rng(1), 20_000, trial=True)
    unpriced = next(request for request in day if request.event().cost_micro_usd is None)
    assert unpriced.event("refused").cost_micro_usd == 0


def test_the_clock_shows_each_request_s_time() -> None:
    day, clock, seen = ordinary(200), ManualClock(), []

    def serve(request: PlannedRequest) -> RequestEvent:
        seen.append(clock())
        return request.event()

    assert replay_requests(day, serve, clock=clock).failures == 0
    assert seen == [request.time_s for request in day]


def test_a_hook_that_fails_does_not_end_the_day() -> None:
    events: list[RequestEvent] = []

    def broken(event: RequestEvent) -> None:
        raise RuntimeError(event.request_id)

    day = ordinary(200)
    assert replay_requests(day, PlannedRequest.event, broken, events.append, clock=ManualClock()).failures == len(day)
    assert [event.request_id for event in events] == [request.request_id for request in day]


@pytest.mark.parametrize(
    ("name", "value"), [("requests", 0), ("day", -1), ("runaway_requests_per_s", -0.5), ("conversion_fraction", 1.5)]
)
def test_a_day_that_cannot_be_is_refused(name: str, value: float) -> None:
    arguments = {"requests": 100, name: value}
    with pytest.raises(InvalidValueError, match=f"{name} must be"):
        service_day(np.random.default_rng(1), **arguments)  # type: ignore[arg-type]


def test_the_day_has_its_swing_and_a_loop_that_repeats_nothing() -> None:
    day = demo_day(np.random.default_rng(1), 20_000)
    times = [request.time_s for request in day]
    assert times == sorted(times)
    hours = [0] * 24
    for request in day:
        if not request.runaway:
            hours[int((request.time_s - 1_767_571_200) // HOUR_S)] += 1
    assert sum(hours) == 20_000
    assert 3 < hours[13] / hours[2] < 5  # as in the service day
    loop = [request for request in day if request.runaway]
    assert len({request.text for request in loop}) == len(loop) == 10_000
    assert {request.tenant for request in loop} == {RUNAWAY_TENANT}
