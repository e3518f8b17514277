"""An engine's curve: what was measured, and what lies between two points."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from costlab.catalog import gpus
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.serving import EngineCurve, engine_curve, modelled, published_measurements

CURVE = EngineCurve((2, 4, 10), (1.0, 1.2, 1.5))


@pytest.mark.parametrize(
    ("in_flight", "slowdown"), [(1, 1.0), (2, 1.0), (3, 1.1), (4, 1.2), (7, 1.35), (10, 1.5), (99, 1.5)]
)
def test_between_two_points_the_curve_is_straight_and_outside_it_is_flat(in_flight: int, slowdown: float) -> None:
    assert CURVE.slowdown(in_flight) == pytest.approx(slowdown)


@given(st.floats(0.01, 1e6))
def test_no_slowdown_is_outside_what_was_measured(in_flight: float) -> None:
    assert 1.0 <= CURVE.slowdown(in_flight) <= 1.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EngineCurve((), ()), "slowdowns must be one for each number in flight"),
        (lambda: EngineCurve((1, 2), (1.0,)), "slowdowns must be one for each number in flight"),
        (lambda: EngineCurve((2, 2), (1.0, 1.0)), "in_flight must be ascending"),
        (lambda: EngineCurve((0, 2), (1.0, 1.0)), "in_flight must be a whole number >= 1, got 0"),
        (lambda: EngineCurve((1, 2), (1.0, 0.0)), "slowdowns must be"),
        (lambda: EngineCurve([1, 2], (1.0, 1.0)), "in_flight must be tuple"),  # type: ignore[arg-type]
        (lambda: EngineCurve((1, 2), [1.0, 1.0]), "slowdowns must be tuple"),  # type: ignore[arg-type]
        (lambda: CURVE.slowdown(0), "in_flight must be"),
    ],
)
def test_a_curve_is_checked(make: Any, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        make()


def test_the_curve_of_an_a10g_is_what_was_published_over_the_roofline() -> None:
    curve = engine_curve("A10G")
    rows = [row for row in published_measurements("text-generation-inference-tests") if row.bytes_per_weight >= 1]
    assert curve is not None
    assert curve.in_flight == (1, 5, 10)
    assert curve.slowdowns == pytest.approx([row.measured / modelled(row) for row in rows])
    assert "Text Generation Inference, Llama-2-7B, fp16 (https://github.com/philschmid/" in curve.source


def test_a_gpu_without_a_published_run_has_no_curve_and_an_unknown_one_is_an_error() -> None:
    assert engine_curve("A100 80GB") is None
    with pytest.raises(UnknownNameError, match="unknown GPU 'A10'; did you mean 'A10G'"):
        engine_curve("A10")


def test_every_published_curve_ascends_and_stays_near_the_roofline() -> None:
    curves = [found for board in gpus() if (found := engine_curve(board.name)) is not None]
    assert len(curves) >= 4
    for curve in curves:
        assert all(earlier < later for earlier, later in pairwise(curve.in_flight))
        assert all(0.7 < ratio < 1.3 for ratio in curve.slowdowns)
