"""Published runs at several efforts, beside the catalogue's price of their tokens."""

from dataclasses import replace

import pytest

from costlab.catalog import api_price
from costlab.errors import InvalidValueError
from costlab.token_economics import effort_runs


def test_published_bills_are_those_of_their_tokens() -> None:
    """At gpt-5's list price, less what came from the cache, which is not told: a tenth at most of each bill."""
    price = api_price("gpt-5")
    for run in effort_runs():
        listed = price.usd(run.input_tokens, run.output_tokens)
        assert 0.9 * listed < run.usd <= listed, run.effort
        assert 100 * run.right_fraction == pytest.approx(100 * round(run.right) / run.tasks, abs=0.06)


def test_each_further_answer_costs_more_than_the_mean_one() -> None:
    low, medium, high = effort_runs()
    assert (low.effort, medium.effort, high.effort) == ("low", "medium", "high")
    assert medium.further_usd(low) == pytest.approx((17.6930 - 10.3713) / (195 - 183))
    assert high.further_usd(medium) == pytest.approx((29.0829 - 17.6930) / 3)
    assert high.further_usd(medium) > medium.further_usd(low) > medium.usd_per_right_answer
    assert low.further_usd(high) == float("inf")
    one_more = replace(low, tasks=2, right_fraction=1, usd=5)
    assert one_more.further_usd(replace(low, tasks=2, right_fraction=0.5, usd=3)) == 2


def test_a_run_that_solves_nothing_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="right_fraction must be a fraction > 0 and <= 1, got 0"):
        replace(effort_runs()[0], right_fraction=0)
