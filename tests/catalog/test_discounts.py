"""A negotiated share off the list prices."""

import math

import pytest
from hypothesis import given, strategies as st

from costlab.catalog import Discounts
from costlab.errors import InvalidValueError


def test_a_share_of_a_provider_comes_before_the_one_for_all() -> None:
    ours = Discounts(0.05, {"azure": 0.12, "groq": 0.0})
    assert [ours.factor(provider) for provider in ("azure", "groq", "openai", "")] == [0.88, 1.0, 0.95, 0.95]


@pytest.mark.parametrize(
    ("discounts", "text"),
    [
        (Discounts(), ""),
        (Discounts(0.12), "12 % off the list prices of all providers"),
        (Discounts(0.075), "7.5 % off the list prices of all providers"),
        (Discounts(by_provider={"azure": 0.12}), "12 % off the list prices of azure"),
        (Discounts(0.05, {"azure": 0.12}), "12 % off the list prices of azure, 5 % off those of all others"),
        (Discounts(0.05, {"groq": 0}), "5 % off the list prices of all providers but groq"),
    ],
)
def test_discounts_are_shown(discounts: Discounts, text: str) -> None:
    assert str(discounts) == text
    assert bool(discounts) == bool(text)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_discount_never_makes_a_bill_negative_or_nothing(everywhere: float, azure: float) -> None:
    ours = Discounts(everywhere, {"azure": azure})
    assert 0 < ours.factor("azure") <= 1
    assert 0 < ours.factor("openai") <= 1


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, math.nan, math.inf, "0.1"])
def test_a_discount_is_a_share(share: float) -> None:
    with pytest.raises(InvalidValueError, match="discount must be"):
        Discounts(share)
    with pytest.raises(InvalidValueError, match="discount of azure must be"):
        Discounts(by_provider={"azure": share})


def test_discounts_cannot_be_changed() -> None:
    given_ = {"azure": 0.12}
    ours = Discounts(by_provider=given_)
    given_["azure"] = 0.5
    assert ours.factor("azure") == 0.88
    with pytest.raises(TypeError):
        ours.by_provider["azure"] = 0.5  # type: ignore[index]
