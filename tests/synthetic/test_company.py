"""The company's day: what is in it, and that it is the same for everybody."""

import hashlib

import numpy as np
import pytest

from costlab.errors import InvalidValueError
from costlab.synthetic import ENDPOINTS, REQUESTS, RUNAWAY_CLIENT, RequestLog, request_log


@pytest.fixture(scope="module")
def log() -> RequestLog:
    return request_log()


def test_an_ordinary_day_has_a_million_requests_and_every_endpoint_its_own(log: RequestLog) -> None:
    assert sum(about.requests for about in ENDPOINTS) == REQUESTS == int((~log.runaway).sum())
    for about in ENDPOINTS:
        assert int((~log.runaway[log.of(about.name)]).sum()) == about.requests
        assert sum(about.clients.values()) == pytest.approx(1.0)
        assert np.median(log.input_tokens[log.of(about.name)][~log.runaway[log.of(about.name)]]) == pytest.approx(
            about.input_tokens + about.prefix_tokens, rel=0.02
        )


def test_requests_come_in_the_order_of_time_within_the_day(log: RequestLog) -> None:
    assert (np.diff(log.time_s) >= 0).all()
    assert 0 <= log.time_s[0] < log.time_s[-1] < 86_400


def test_the_runaway_client_begins_at_two_in_the_afternoon_and_drags_its_history_along(log: RequestLog) -> None:
    assert {log.clients[code] for code in np.unique(log.client[log.runaway])} == {RUNAWAY_CLIENT}
    assert log.time_s[log.runaway].min() >= 14 * 3600
    assert log.input_tokens[log.runaway].min() > 40_000
    hourly = np.bincount((log.time_s[log.runaway] // 3600).astype(int), minlength=24)[14:]
    assert hourly == pytest.approx([7200] * 10, rel=0.05)


def test_a_busy_hour_has_twice_the_mean_and_texts_are_written_by_night(log: RequestLog) -> None:
    tags = np.bincount((log.time_s[log.of("tags")] // 3600).astype(int), minlength=24)
    assert tags.max() / tags.mean() == pytest.approx(2.0, rel=0.02)
    assert log.time_s[log.of("texts")].max() < 6 * 3600


def test_what_nobody_else_may_be_told_has_no_text(log: RequestLog) -> None:
    for about in ENDPOINTS:
        shared = (log.text[log.of(about.name)] >= 0)[~log.runaway[log.of(about.name)]].mean()
        assert shared == pytest.approx(about.repeated_fraction, abs=0.01)
    support = log.of("support")
    shared = log.text[support] >= 0
    assert (log.text[support][shared] == log.question[support][shared]).all()


def test_popular_texts_follow_zipfs_law(log: RequestLog) -> None:
    search = log.text[log.of("search")]
    counts = np.bincount(search[search >= 0])
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.1)


def test_the_same_seed_gives_the_same_day_and_another_a_different_one() -> None:
    def digest(seed: int) -> str:
        log = request_log(seed, requests=5000)
        return hashlib.sha256(log.time_s.tobytes() + log.input_tokens.tobytes() + log.text.tobytes()).hexdigest()

    assert digest(10) == digest(10) != digest(11)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1.5}, {"requests": 999}, {"requests": 1e6}])
def test_a_seed_or_a_size_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidValueError, match="must be a whole number"):
        request_log(**wrong)
