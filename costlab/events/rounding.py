"""Amounts in whole micro-dollars: one rule, for a number, an array and a column of a data frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar, overload

from costlab._internal import checks
from costlab._internal.arrays import numpy_of
from costlab.errors import InvalidValueError
from costlab.units import MICRO_USD_PER_USD, PICO_USD_PER_MICRO_USD

if TYPE_CHECKING:
    import narwhals as nw

    from costlab._internal.arrays import FloatArray, IntArray

#: The largest amount that SQLite, Parquet and a Redis script hold exactly, in micro-dollars: 9 billion dollars.
MAX_MICRO_USD: Final = 2**53 - 1

Amount = TypeVar("Amount", float, "FloatArray", "nw.Expr")


def _parts(exact: Amount) -> tuple[Amount, Amount]:
    """Whole micro-dollars, and whether the rest makes one more."""
    whole = exact // 1
    rest = exact - whole
    # Doubles are spaced 2e-16 of their value apart; a few spacings, or a millionth of the unit, are noise.
    up = (rest > 0) & ((whole == 0) | ((rest > 1e-6) & (rest > 1e-15 * exact)))
    return whole, up


@overload
def micro_usd(name: str, usd: FloatArray) -> IntArray: ...


@overload
def micro_usd(name: str, usd: float) -> int: ...


def micro_usd(name: str, usd: object) -> int | IntArray:
    r"""An amount in whole micro-dollars, rounded up so that no cost becomes zero.

    .. math:: n = \lceil 10^6 x \rceil

    Parameters
    ----------
    name : str
        What the amount is, for the error message.
    usd : float or numpy.ndarray
        Amount in USD, >= 0.

    Returns
    -------
    int or numpy.ndarray
        Micro-dollars, 1e-6 USD.

    Raises
    ------
    InvalidValueError
        If an amount is negative, not finite, or above 9 billion dollars.

    Notes
    -----
    What a product in floating point adds by itself is not rounded up: 0.1 + 0.2 dollars are 300,000 micro-dollars.

    Examples
    --------
    An embedding of ten tokens at 0.02 dollars a million costs a fifth of a micro-dollar. What is counted?

    >>> micro_usd("cost_usd", 10 * 0.02e-6)
    1
    """
    # An amount is turned twice a request, so what is plainly right is not checked further.
    if not (type(usd) is float and 0.0 <= usd < math.inf):
        if numpy_of(usd):
            return _of_array(name, usd)  # type: ignore[arg-type]
        usd = checks.non_negative(name, usd)
    exact = usd * MICRO_USD_PER_USD
    if exact > MAX_MICRO_USD:
        raise InvalidValueError(name, f"at most {MAX_MICRO_USD / MICRO_USD_PER_USD:.0f} USD", usd)
    whole = int(exact)
    return whole if whole == exact else int(sum(_parts(exact)))


def _of_array(name: str, usd: FloatArray) -> IntArray:
    exact = usd * MICRO_USD_PER_USD
    if not ((exact >= 0) & (exact <= MAX_MICRO_USD)).all():
        most = MAX_MICRO_USD / MICRO_USD_PER_USD
        raise InvalidValueError(name, f"numbers >= 0 and at most {most:.0f} USD", "a row that is not")
    whole, up = _parts(exact)
    return (whole + up).astype("int64")


def micro_usd_column(usd: nw.Expr) -> nw.Expr:
    """As :func:`micro_usd`, on an expression of ``narwhals``, whatever engine counts; null stays null.

    The result holds whole numbers as floating point. What is below zero is left so, for whoever checks the log.
    """
    import narwhals as nw

    whole, up = _parts(usd * MICRO_USD_PER_USD)
    return whole + up.cast(nw.Float64)


def rounded_up_pico_usd_column(usd: nw.Expr) -> nw.Expr:
    """How much :func:`micro_usd_column` rounds up, in pico-dollars (1e-12 USD); null stays null.

    Taken off a sum of rounded amounts, it leaves what the amounts themselves add up to. The result holds whole numbers
    as floating point, so that no order of summation changes it.
    """
    return ((micro_usd_column(usd) - usd * MICRO_USD_PER_USD) * PICO_USD_PER_MICRO_USD + 0.5).floor()
