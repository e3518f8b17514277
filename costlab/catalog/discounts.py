"""What a customer has negotiated: a share off a provider's list prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from costlab._internal import checks
from costlab.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Discounts:
    """Shares off the list prices.

    Attributes
    ----------
    everywhere : float
        The share off every provider's prices that `by_provider` does not name, in 0..1 (1 excluded).
    by_provider : mapping of str to float
        The share off by the catalogue's provider; 0 where a provider gives none.

    Examples
    --------
    What is left of 100 dollars at Azure, which gives 12 % off, and at another provider?

    >>> ours = Discounts(by_provider={"azure": 0.12})
    >>> 100 * ours.factor("azure"), 100 * ours.factor("openai")
    (88.0, 100.0)
    """

    everywhere: float = 0.0
    by_provider: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = {"discount": self.everywhere} | {f"discount of {name}": off for name, off in self.by_provider.items()}
        for name, off in shares.items():
            if checks.fraction(name, off) == 1:
                raise InvalidValueError(name, "below 1", off)
        object.__setattr__(self, "by_provider", MappingProxyType(dict(self.by_provider)))

    def __bool__(self) -> bool:
        return bool(self.everywhere or any(self.by_provider.values()))

    def __str__(self) -> str:
        """The discounts as a report shows them: ``12 % off the list prices of azure``; empty where there are none."""
        shares = [(name, off) for name, off in self.by_provider.items() if off]
        if self.everywhere:
            spared = [name for name, off in self.by_provider.items() if not off]
            others = "all others" if shares else "all providers"
            shares.append((others + (f" but {' and '.join(spared)}" if spared else ""), self.everywhere))
        first = [f"{_percent(off)} off {'those' if place else 'the list prices'} of {name}"
                 for place, (name, off) in enumerate(shares)]  # fmt: skip
        return ", ".join(first)

    def factor(self, provider: str) -> float:
        """What is left of a dollar at list price, by the catalogue's provider."""
        return 1 - self.by_provider.get(provider, self.everywhere)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.6g} %"
