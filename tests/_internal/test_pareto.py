import math

import pytest
from hypothesis import given, strategies as st

from costlab._internal.pareto import pareto_front
from costlab.errors import InvalidValueError

values = st.floats(0, 10).map(lambda value: round(value, 1))
clouds = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.tuples(values, values), min_size=1)


@given(clouds)
def test_whatever_is_off_the_front_is_beaten_by_one_on_it(dots: dict[str, tuple[float, float]]) -> None:
    front = pareto_front(dots)
    assert front
    for name, (cost, quality) in dots.items():
        beaten = any(dots[f] != (cost, quality) and dots[f][0] <= cost and dots[f][1] >= quality for f in front)
        assert beaten == (name not in front)


@given(clouds)
def test_along_the_front_quality_costs_more(dots: dict[str, tuple[float, float]]) -> None:
    front = [dots[name] for name in pareto_front(dots)]
    assert front == sorted(front)
    assert [quality for _, quality in front] == sorted(quality for _, quality in front)


@given(clouds)
def test_less_is_better_mirrors_it(dots: dict[str, tuple[float, float]]) -> None:
    mirrored = {name: (cost, -quality) for name, (cost, quality) in dots.items()}
    assert set(pareto_front(mirrored, less_is_better=True)) == set(pareto_front(dots))


def test_equals_stand_side_by_side_and_nothing_is_unknown() -> None:
    assert pareto_front({"a": (1, 1), "b": (1, 1), "c": (2, 1)}) == ("a", "b")
    assert pareto_front({}) == ()
    with pytest.raises(InvalidValueError, match="quality must be a finite number, got nan"):
        pareto_front({"a": (1, math.nan)})
