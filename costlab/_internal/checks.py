"""Checks of arguments: each returns the value it was given, or raises naming the parameter and the value."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TypeVar

from costlab.errors import InvalidValueError, UnknownNameError

Value = TypeVar("Value")


def finite(name: str, value: object, requirement: str = "a finite number") -> float:
    """`value` as a float, if it is a finite real number (a bool is not a number here)."""
    # The built-in types come first because an instance check on an abstract class costs ten times as much.
    if isinstance(value, bool) or not isinstance(value, float | int | Real):
        raise InvalidValueError(name, requirement, value)
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValueError(name, requirement, value) from None
    if not math.isfinite(number):
        raise InvalidValueError(name, requirement, value)
    return number


def positive(name: str, value: object, at_most: float = math.inf) -> float:
    """`value` as a float, if 0 < value <= `at_most`."""
    requirement = "a number > 0" if at_most == math.inf else f"a number > 0 and <= {at_most:g}"
    number = finite(name, value, requirement)
    if not 0.0 < number <= at_most:
        raise InvalidValueError(name, requirement, value)
    return number


def non_negative(name: str, value: object) -> float:
    """`value` as a float, if value >= 0."""
    number = finite(name, value, "a number >= 0")
    if number < 0.0:
        raise InvalidValueError(name, "a number >= 0", value)
    return number


def fraction(name: str, value: object, *, zero: bool = True, one: bool = True) -> float:
    """`value` as a float, if it lies in 0..1; `zero` and `one` say whether the ends belong."""
    requirement = f"a fraction {'>=' if zero else '>'} 0 and {'<=' if one else '<'} 1"
    number = finite(name, value, requirement)
    if not 0.0 <= number <= 1.0 or (number == 0.0 and not zero) or (number == 1.0 and not one):
        raise InvalidValueError(name, requirement, value)
    return number


def integer(name: str, value: object, at_least: int = 0, at_most: int | None = None) -> int:
    """`value` as an int, if it is a whole number from `at_least` to `at_most` (8.0 is not: a count is not measured)."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise InvalidValueError(name, f"a whole number >= {at_least}", value)
    count = int(value)
    if at_most is not None and count > at_most:
        raise InvalidValueError(name, f"at most {at_most}", value)
    return count


def instance(name: str, value: Value, *kinds: type) -> Value:
    """`value`, if it is an instance of one of `kinds`."""
    if not isinstance(value, kinds):
        names = ["None" if kind is type(None) else kind.__name__ for kind in kinds]
        raise InvalidValueError(name, " or ".join(names), value)
    return value


def utf8(text: str) -> bool:
    """Whether UTF-8 can hold `text`; half of a surrogate pair, which JSON may carry, it cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_of(kind: str, value: str, known: Iterable[str]) -> str:
    """`value`, if it is among `known`; otherwise the error suggests the nearest."""
    names = tuple(known)
    if value not in names:
        raise UnknownNameError(kind, value, names)
    return value
