import math
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from costlab._internal import checks
from costlab.errors import CostlabError, InvalidValueError, UnknownNameError, near_names

NOT_NUMBERS: list[object] = ["1", None, True, [], 1j, math.nan, math.inf, -math.inf]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite_numbers_pass_unchanged(value: float) -> None:
    assert checks.finite("x", value) == value


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_everything_else_is_refused_by_every_check(value: object) -> None:
    for check in (checks.finite, checks.positive, checks.non_negative, checks.fraction):
        with pytest.raises(InvalidValueError, match="x must be"):
            check("x", value)


def test_other_kinds_of_numbers_are_numbers() -> None:
    assert checks.positive("x", Fraction(1, 4)) == 0.25


@given(st.floats(0, 1))
def test_fractions(value: float) -> None:
    assert checks.fraction("x", value) == value


@pytest.mark.parametrize(("value", "options"), [(0, {"zero": False}), (1, {"one": False}), (-0.01, {}), (1.01, {})])
def test_ends_of_fractions(value: float, options: dict[str, bool]) -> None:
    with pytest.raises(InvalidValueError):
        checks.fraction("x", value, **options)


@pytest.mark.parametrize("value", [1.0, "1", None, True, -1])
def test_counts_are_whole(value: object) -> None:
    with pytest.raises(InvalidValueError, match="x must be a whole number >= 0"):
        checks.integer("x", value)


def test_a_count_may_have_a_most() -> None:
    assert checks.integer("gpus", 8, 1, 8) == 8
    with pytest.raises(InvalidValueError, match="gpus must be at most 8, got 9"):
        checks.integer("gpus", 9, 1, 8)


def test_an_instance_is_of_a_kind_that_the_error_names() -> None:
    assert checks.instance("x", None, int, type(None)) is None
    with pytest.raises(InvalidValueError, match="x must be int or None, got 'a'"):
        checks.instance("x", "a", int, type(None))


def test_error_carries_name_and_value() -> None:
    with pytest.raises(ValueError, match="gpus must be a whole number >= 1, got 0") as caught:
        checks.integer("gpus", 0, at_least=1)
    assert isinstance(caught.value, CostlabError)
    assert (caught.value.name, caught.value.value) == ("gpus", 0)  # type: ignore[attr-defined]


@given(st.text(max_size=12))
def test_suggestions_never_fail_and_are_known(text: str) -> None:
    known = {"spot": "spot", "on_demand": "on_demand"}
    assert set(near_names(text, known)) <= set(known.values())


def test_nothing_near_lists_what_is_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown pricing 'zzz'; known: spot, on_demand"):
        checks.one_of("pricing", "zzz", ("spot", "on_demand"))
