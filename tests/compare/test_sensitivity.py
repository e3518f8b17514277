import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.compare import Range, monte_carlo, tornado
from costlab.errors import InvalidValueError
from costlab.events import micro_usd


def test_the_longest_bar_comes_first() -> None:
    found = tornado(lambda a, b: a + 10 * b, {"a": Range(0, 1, 2), "b": Range(0, 1, 2)})
    assert found.likely == 11
    assert [(bar.name, bar.at_low, bar.at_high, bar.swing) for bar in found.bars] == [
        ("b", 1, 21, 20),
        ("a", 10, 12, 2),
    ]


def test_an_infinite_end_outweighs_every_finite_one() -> None:
    found = tornado(lambda a, b: a if b > 1 else math.inf, {"a": Range(0, 1, 1e9), "b": Range(1, 2, 3)})
    assert found.bars[0].name == "b"


def test_draws_follow_the_triangle() -> None:
    """Mean (a + b + c) / 3 and variance (a2 + b2 + c2 - ab - ac - bc) / 18 of the triangular distribution."""
    found = monte_carlo(lambda x: x, {"x": Range(0, 1, 5)}, samples=200_000, seed=3)
    assert found.mean is not None
    assert math.isclose(found.mean, 2, rel_tol=0.01)
    spread = np.std(Range(0, 1, 5).draw(np.random.default_rng(3), 200_000))
    assert math.isclose(spread, math.sqrt((1 + 25 - 5) / 18), rel_tol=0.01)


def test_factors_are_even_in_ratios() -> None:
    drawn = Range.factor(100, 4).draw(np.random.default_rng(0), 100_000)
    assert drawn.min() >= 25
    assert drawn.max() <= 400
    assert math.isclose(np.median(drawn), 100, rel_tol=0.02)


def test_the_same_seed_gives_the_same_result_and_says_which() -> None:
    def run(seed: int) -> Any:
        return monte_carlo(lambda x: x, {"x": Range(0, 1, 5)}, samples=100, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert (run(7).seed, run(7).samples) == (7, 100)


def test_no_break_even_is_counted_not_averaged() -> None:
    found = monte_carlo(lambda x: np.where(x > 0.5, np.inf, x), {"x": Range(0, 0.5, 1)}, samples=10_000)
    assert math.isclose(found.finite_fraction, 0.5, abs_tol=0.02)
    assert found.quantiles[0.95] == math.inf
    assert found.mean is not None
    assert found.mean < 0.5


def test_a_certain_input_stays_what_it_is() -> None:
    found = monte_carlo(lambda x, y: x + y, {"x": Range(3, 3, 3), "y": Range(0, 0, 0)}, samples=10)
    assert set(found.quantiles.values()) == {3.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Range(2, 1, 3), "likely must be between 2 and 3, got 1"),
        (lambda: Range(0, 1, 2, log=True), "low must be a number > 0, got 0"),
        (lambda: Range(0, math.nan, 2), "likely must be a finite number, got nan"),
        (lambda: Range.factor(1, 0.5), "times must be a number >= 1, got 0.5"),
        (lambda: tornado(lambda: 1, {}), "ranges must be at least one input"),
        (lambda: monte_carlo(lambda: 1, {}), "ranges must be at least one input"),
        (lambda: monte_carlo(lambda x: x, {"x": Range(0, 1, 2)}, samples=0), "samples must be a whole number >= 1"),
        (lambda: monte_carlo(lambda x: x, {"x": Range(0, 1, 2)}, seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: monte_carlo(lambda x: 1, {"x": Range(0, 1, 2)}, 5), "function must be one that returns shape (5,)"),
        (lambda: monte_carlo(lambda x: x * np.nan, {"x": Range(0, 1, 2)}, 5), "function must be one that returns"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        call()
    assert message in str(caught.value)


@given(st.lists(st.integers(0, 10**6), min_size=1), st.sampled_from([2.5e-6, 1.5e-7, 1e-8, 0.00001, 0.03]))
def test_micro_dollars_of_rows_agree(tokens: list[int], usd_per_token: float) -> None:
    usd = usd_per_token * np.array(tokens)
    assert micro_usd("usd", usd).tolist() == [micro_usd("usd", amount) for amount in usd.tolist()]
