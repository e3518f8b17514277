"""Amounts and times as people read them."""

import math

import pytest

from costlab._internal.text import dollars, moment


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "$0"),
        (-0.0875, "-$0.0875"),
        (1234.5, "$1,234.50"),
        (0.3, "$0.30"),
        (0.0095, "$0.0095"),
        (7.24e-6, "$0.00000724"),
        (0.99999, "$1.00"),
        (1e-15, "$0.00"),
        (math.pi, "$3.14"),
    ],
)
def test_dollars_are_written_as_people_read_them(value: float | None, text: str) -> None:
    assert dollars(value) == text


def test_small_amounts_can_be_written_in_whole_cents() -> None:
    assert [dollars(usd, cents=True) for usd in (0.0412, 12.345, 0.0)] == ["$0.04", "$12.35", "$0.00"]


def test_times_are_written_in_utc() -> None:
    assert (moment(7 * 3600.0), moment(7 * 3600.0, "day")) == ("1970-01-01 07:00", "1970-01-01")
