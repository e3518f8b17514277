"""How sure an answer is: one input at a time (tornado), or all at once (Monte Carlo)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from costlab._internal import checks
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from costlab._internal.arrays import FloatArray, NumberOrArray

#: The quantiles that a result carries.
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Range:
    """What an input may be.

    Parameters
    ----------
    low, likely, high : float
        Least, most likely and greatest value, finite, in this order.
    log : bool
        Whether ratios matter rather than differences: a volume that may be half or twice as large. Then all three are >
        0, and the logarithm is drawn.
    """

    low: float
    likely: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "likely", "high"):
            (checks.positive if self.log else checks.finite)(name, getattr(self, name))
        if not self.low <= self.likely <= self.high:
            raise InvalidValueError("likely", f"between {self.low:g} and {self.high:g}", self.likely)

    @classmethod
    def factor(cls, likely: float, times: float) -> Range:
        """From `likely` over `times` to `likely` times `times`, in ratios; `times` >= 1."""
        if checks.finite("times", times, "a number >= 1") < 1:
            raise InvalidValueError("times", "a number >= 1", times)
        return cls(likely / times, likely, likely * times, log=True)

    def draw(self, rng: np.random.Generator, samples: int) -> FloatArray:
        """Values from the triangular distribution with these corners, of the logarithm where `log` says so."""
        low, likely, high = self.low, self.likely, self.high
        if self.log:
            low, likely, high = (math.log(value) for value in (low, likely, high))
        if low == high:  # also where only their logarithms are
            return np.full(samples, float(self.likely))
        drawn: FloatArray = rng.triangular(low, likely, high, size=samples)
        return np.exp(drawn) if self.log else drawn


@dataclass(frozen=True, slots=True)
class TornadoBar:
    """The result at both ends of one input's range, all others at their likely values."""

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """Distance between the results at both ends."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Tornado:
    """The result with every input at its likely value, and a bar for each input, the one that matters most first."""

    likely: float
    bars: tuple[TornadoBar, ...]


def tornado(function: Callable[..., NumberOrArray], ranges: Mapping[str, Range]) -> Tornado:
    """The result at both ends of each input's range, the others at their likely values.

    Parameters
    ----------
    function : callable
        Takes every input by name and returns a number.
    ranges : mapping of str to Range
        The inputs; at least one.

    Notes
    -----
    Inputs that matter only together stay unseen; :func:`monte_carlo` moves them all.

    Examples
    --------
    Which matters more for the time of a trip: the distance, or the speed?

    >>> trip = tornado(lambda km, kmh: km / kmh, {"km": Range(90, 100, 110), "kmh": Range(50, 100, 120)})
    >>> [(bar.name, round(bar.swing, 2)) for bar in trip.bars]
    [('kmh', 1.17), ('km', 0.2)]
    """
    if not ranges:
        raise InvalidValueError("ranges", "at least one input", ranges)
    likely = {name: span.likely for name, span in ranges.items()}
    bars = [
        TornadoBar(
            name,
            span.low,
            span.high,
            float(function(**{**likely, name: span.low})),
            float(function(**{**likely, name: span.high})),
        )
        for name, span in ranges.items()
    ]
    # An infinite end outweighs every finite one, and two infinite ones have no swing.
    bars.sort(key=lambda bar: np.nan_to_num(bar.swing, nan=0.0, posinf=np.inf), reverse=True)
    return Tornado(float(function(**likely)), tuple(bars))


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """All inputs at once.

    Attributes
    ----------
    samples, seed : int
        How many were drawn, and from which seed: the same two give the same result.
    quantiles : dict of float to float
        The result's quantiles at 5, 25, 50, 75 and 95 %.
    mean : float or None
        The mean of the finite results; None where there are none.
    positive_fraction, finite_fraction : float
        Share of the results that are > 0: the chance that a saving is one; and that are finite: the chance that there
        is a break-even at all.
    """

    samples: int
    seed: int
    quantiles: dict[float, float]
    mean: float | None
    positive_fraction: float
    finite_fraction: float


def monte_carlo(
    function: Callable[..., NumberOrArray], ranges: Mapping[str, Range], samples: int = 100_000, seed: int = 0
) -> MonteCarlo:
    """The distribution of a result when every input is drawn from its range, independently.

    Parameters
    ----------
    function : callable
        Takes every input by name as an array of shape (samples,) and returns an array of that shape, without NaN.
    ranges : mapping of str to Range
        The inputs; at least one.
    samples, seed : int
        How many to draw, >= 1, and the seed of the random numbers, >= 0.

    Notes
    -----
    Each input is drawn from a triangle: most often near its likely value, never beyond its ends; where `Range.log` says
    so, its logarithm is. The choice matters as much as the ends: a triangle of the values from half to twice has a mean
    of 7/6 of the likely value, one of the logarithm has its median there. Independent draws
    ignore that inputs move together (long prompts and long answers, say); the quantiles are then too narrow or too
    wide, but still say more than one number.

    Examples
    --------
    What is the chance that a saving of 100 +- 200 less a cost of 50 +- 50 is one?

    >>> result = monte_carlo(lambda saving, cost: saving - cost,
    ...                      {"saving": Range(-100, 100, 300), "cost": Range(0, 50, 100)})
    >>> round(result.positive_fraction, 2)
    0.71
    """
    if not ranges:
        raise InvalidValueError("ranges", "at least one input", ranges)
    checks.integer("samples", samples, at_least=1)
    rng = np.random.default_rng(checks.integer("seed", seed))
    drawn = {name: span.draw(rng, samples) for name, span in ranges.items()}
    results = np.asarray(function(**drawn), dtype=np.float64)
    if results.shape != (samples,):
        raise InvalidValueError("function", f"one that returns shape ({samples},)", results.shape)
    if np.isnan(results).any():
        raise InvalidValueError("function", "one that returns no NaN", "NaN")
    finite = results[np.isfinite(results)]
    # The nearest drawn value: between a number and infinity there is nothing to interpolate.
    values = np.quantile(results, QUANTILES, method="nearest")
    return MonteCarlo(
        samples=samples,
        seed=seed,
        quantiles={q: float(value) for q, value in zip(QUANTILES, values, strict=True)},
        mean=float(finite.mean()) if finite.size else None,
        positive_fraction=float((results > 0).mean()),
        finite_fraction=finite.size / samples,
    )
