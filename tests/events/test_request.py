import copy
import math
import pickle
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.events import COLUMNS, RequestEvent, arrow_schema
from tests import needs

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

#: A request with tokens of every kind.
DETAILS: dict[str, Any] = {
    "provider": "openai",
    "cache_write_tokens": 200,
    "cache_write_1h_tokens": 150,
    "audio_input_tokens": 300,
    "cached_audio_input_tokens": 100,
    "image_input_tokens": 900,
    "reasoning_tokens": 80,
    "audio_output_tokens": 30,
    "image_output_tokens": 50,
    "searches": 2,
    "service_tier": "flex",
    "request_fee_micro_usd": 14_000,
}


def test_parts_may_make_up_the_whole() -> None:
    event = RequestEvent(**GOOD | DETAILS)
    assert {name: getattr(event, name) for name in DETAILS} == DETAILS
    assert event.uncached_input_tokens == 200  # written tokens are billed, and more than in full


def test_what_is_plainly_right_is_not_looked_at_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    # For each request there is an event; the way that names what is wrong takes ten times as long.
    monkeypatch.setattr(RequestEvent, "_check", lambda _: pytest.fail("looked at"))
    RequestEvent(**GOOD)
    RequestEvent(**GOOD | DETAILS | {"request_fee_micro_usd": None})


def test_cached_tokens_are_a_part_of_the_input() -> None:
    event = RequestEvent(**GOOD)
    assert event.uncached_input_tokens == 200
    assert event.total_tokens == 1280  # not 2,280


def test_names_are_of_any_script_and_counts_as_great_as_can_be_held() -> None:
    most = 2**53 - 1
    event = RequestEvent(**GOOD | {"tenant": "Žluťoučký \U0001f40e", "input_tokens": most, "output_tokens": most})
    assert (event.tenant[-1], event.input_tokens) == ("\U0001f40e", most)


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
        ({"time_s": 1.8e12}, "time_s must be seconds since 1970, before the year 10000, got 1800000000000.0"),
        ({"time_s": 253_402_300_800}, "time_s must be seconds since 1970, before the year 10000, got 253402300800"),
        ({"latency_s": -0.1}, "latency_s must be a number >= 0, got -0.1"),
        (
            {"cache_write_tokens": 201},
            r"cached_input_tokens and cache_write_tokens must be at most input_tokens.*got 1201",
        ),
        ({"cache_write_1h_tokens": 1}, r"cache_write_1h_tokens must be at most cache_write_tokens \(0\)"),
        (
            {"audio_input_tokens": 900, "image_input_tokens": 301},
            "audio_input_tokens and image_input_tokens must be at",
        ),
        ({"cached_audio_input_tokens": 1}, r"cached_audio_input_tokens must be at most audio_input_tokens \(0\)"),
        (
            {"cached_input_tokens": 5, "audio_input_tokens": 9, "cached_audio_input_tokens": 6},
            r"cached_audio_input_tokens must be at most cached_input_tokens \(5\)",
        ),
        ({"reasoning_tokens": 81}, r"reasoning_tokens must be at most output_tokens \(80\)"),
        ({"audio_output_tokens": 41, "image_output_tokens": 40}, "audio_output_tokens and image_output_tokens must be"),
        ({"searches": -1}, "searches must be a whole number >= 0, got -1"),
        ({"cache_write_tokens": False}, "cache_write_tokens must be a whole number >= 0, got False"),
        ({"request_fee_micro_usd": -1}, "request_fee_micro_usd must be a whole number >= 0, got -1"),
        ({"provider": None}, "provider must be a text, got None"),
        ({"request_id": ""}, "request_id must be a text that is not empty, got ''"),
        ({"model": None}, "model must be a text that is not empty, got None"),
        ({"tenant": 7}, "tenant must be a text, got 7"),
        ({"input_tokens": 2**53}, "input_tokens must be at most 9007199254740991, got 9007199254740992"),
        ({"output_tokens": 2**70}, "output_tokens must be at most 9007199254740991"),
        ({"searches": 2**63}, "searches must be at most 9007199254740991"),
        *(
            # As JSON may carry it: json.loads('"\\ud800"'). No file and no scrape can hold it.
            ({name: "a\ud800z"}, rf"{name} must be a text that UTF-8 can hold.*got 'a\\ud800z'")
            for name in ("request_id", "tier", "model", "tenant", "provider")
        ),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RequestEvent(**GOOD | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "okay"}, "did you mean 'ok'"),
        ({"priority": "standart"}, "'standard'"),
        ({"service_tier": "batches"}, "did you mean 'batch'"),
    ],
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


@pytest.mark.parametrize("details", [{}, {"searches": 1}, DETAILS], ids=["plain", "one", "all"])
def test_a_row_makes_the_same_event_again(details: dict[str, Any]) -> None:
    event = RequestEvent(**GOOD | details, tenant="acme", conversion_value_micro_usd=5, priority="batch")
    row: dict[str, Any] = dict(zip(COLUMNS, event.as_row(), strict=True))
    assert RequestEvent(**row) == event
    assert {name: getattr(event, name) for name in COLUMNS} == row == asdict(event)
    assert copy.copy(event) == pickle.loads(pickle.dumps(event)) == event
    assert hash(replace(event)) == hash(event)
    assert replace(event, reasoning_tokens=7).reasoning_tokens == 7


def test_what_is_no_field_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'RequestEvent' object has no attribute 'searchs'"):
        RequestEvent(**GOOD).searchs  # type: ignore[attr-defined]  # noqa: B018


def test_each_field_says_what_ledgers_files_and_logs_need() -> None:
    # A new field must be decided on: what it is, whether it may be none, and what a log that lacks it means.
    assert {name: (column.sql_type, column.required, column.default) for name, column in COLUMNS.items()} == {
        "request_id": ("TEXT NOT NULL", False, None),
        "time_s": ("REAL NOT NULL", True, None),
        "tier": ("TEXT NOT NULL", True, None),
        "model": ("TEXT NOT NULL", True, None),
        "input_tokens": ("INTEGER NOT NULL", True, None),
        "cached_input_tokens": ("INTEGER NOT NULL", False, 0),
        "output_tokens": ("INTEGER NOT NULL", True, None),
        "cost_micro_usd": ("INTEGER", True, None),
        "latency_s": ("REAL NOT NULL", False, None),
        "outcome": ("TEXT NOT NULL", False, "ok"),
        "tenant": ("TEXT NOT NULL", False, ""),
        "conversion_value_micro_usd": ("INTEGER", False, None),
        "priority": ("TEXT NOT NULL", False, "standard"),
        "provider": ("TEXT NOT NULL", False, ""),
        "service_tier": ("TEXT NOT NULL", False, "standard"),
        **dict.fromkeys(
            (
                "cache_write_tokens",
                "cache_write_1h_tokens",
                "audio_input_tokens",
                "cached_audio_input_tokens",
                "image_input_tokens",
                "reasoning_tokens",
                "audio_output_tokens",
                "image_output_tokens",
                "searches",
            ),
            ("INTEGER NOT NULL", False, 0),
        ),
        "request_fee_micro_usd": ("INTEGER", False, None),
    }


def test_an_arrow_table_has_the_types_of_the_fields() -> None:
    needs.extra("pyarrow", "usage")
    schema = arrow_schema()
    assert tuple(schema.names) == tuple(COLUMNS)
    assert [str(schema.field(name).type) for name in ("request_id", "time_s", "input_tokens")] == [
        "string",
        "double",
        "int64",
    ]
    assert [field.name for field in schema if field.nullable] == [
        "cost_micro_usd",
        "conversion_value_micro_usd",
        "request_fee_micro_usd",
    ]
