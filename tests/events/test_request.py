import math
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.events import RequestEvent, micro_usd

GOOD: dict[str, Any] = {
    "request_id": "r-1",
    "time_s": 1.8e9,
    "tier": "small",
    "model": "gpt-4o-mini",
    "input_tokens": 1200,
    "cached_input_tokens": 1000,
    "output_tokens": 80,
    "cost_micro_usd": 153,
    "latency_s": 0.4,
    "outcome": "ok",
}


def test_cached_tokens_are_a_part_of_the_input() -> None:
    event = RequestEvent(**GOOD)
    assert event.uncached_input_tokens == 200
    assert event.total_tokens == 1280  # not 2,280


def test_unpriced_is_not_free() -> None:
    assert RequestEvent(**GOOD | {"cost_micro_usd": None}).cost_usd is None
    assert RequestEvent(**GOOD | {"cost_micro_usd": 0}).cost_usd == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cached_input_tokens": 1201}, r"cached_input_tokens must be at most input_tokens \(1200\).*got 1201"),
        ({"input_tokens": -1}, "input_tokens must be a whole number >= 0, got -1"),
        ({"output_tokens": 1.5}, "output_tokens must be a whole number >= 0, got 1.5"),
        ({"cost_micro_usd": -1}, "cost_micro_usd must be a whole number >= 0, got -1"),
        ({"cost_micro_usd": 0.000153}, "cost_micro_usd must be a whole number >= 0"),
        ({"cost_micro_usd": 2**53}, "cost_micro_usd must be at most"),
        ({"conversion_value_micro_usd": True}, "conversion_value_micro_usd must be a whole number"),
        ({"time_s": math.nan}, "time_s must be a number >= 0, got nan"),
        ({"latency_s": -0.1}, "latency_s must be a number >= 0, got -0.1"),
        ({"request_id": ""}, "request_id must be a text that is not empty, got ''"),
        ({"model": None}, "model must be a text that is not empty, got None"),
        ({"tenant": 7}, "tenant must be a text, got 7"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RequestEvent(**GOOD | change)


@pytest.mark.parametrize(
    ("change", "message"), [({"outcome": "okay"}, "did you mean 'ok'"), ({"priority": "standart"}, "'standard'")]
)
def test_wrong_names_are_suggested(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        RequestEvent(**GOOD | change)


def test_whole_seconds_and_numbers_of_numpy_are_taken_as_plain_ones() -> None:
    numpy = pytest.importorskip("numpy")
    event = RequestEvent(**GOOD | {"time_s": 5, "input_tokens": numpy.int64(1300), "cost_micro_usd": numpy.int32(7)})
    assert [type(value) for value in (event.time_s, event.input_tokens, event.cost_micro_usd)] == [float, int, int]


def test_events_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RequestEvent(**GOOD).cost_micro_usd = 0  # type: ignore[misc]


def test_a_row_makes_the_same_event_again() -> None:
    event = RequestEvent(**GOOD, tenant="acme", conversion_value_micro_usd=5, priority="batch")
    row: dict[str, Any] = dict(zip(RequestEvent.field_names(), event.as_row(), strict=True))
    assert RequestEvent(**row) == event


@given(st.decimals(0, 10_000, places=6))
def test_amounts_of_whole_micro_dollars_are_exact(usd: Decimal) -> None:
    assert micro_usd("x_usd", float(usd)) == usd * 10**6


@given(st.floats(1e-30, 1e8))
def test_amounts_are_never_rounded_down_to_less_than_noise_and_never_to_zero(usd: float) -> None:
    amount = micro_usd("x_usd", usd)
    assert amount >= 1
    assert usd * 1e6 * (1 - 1e-14) - 1e-6 <= amount <= usd * 1e6 + 1


def test_amounts_that_cannot_be_kept_exactly_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="x_usd must be at most 9007199255 USD"):
        micro_usd("x_usd", 1e10)
    with pytest.raises(InvalidValueError, match="x_usd must be a number >= 0, got -1"):
        micro_usd("x_usd", -1)
