"""Amounts and times as people read them."""

import math

import pytest

from costlab._internal.text import counted, dollars, moment


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


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert [counted(number, "reply tells", "replies tell") for number in (1, 2)] == ["1 reply tells", "2 replies tell"]
