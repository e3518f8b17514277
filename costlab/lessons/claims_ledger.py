"""The claims ledger: every figure of the source lesson, put on trial.

A row states what was claimed, the verdict, and what we found. Where we computed or measured it, the lesson that did so
calls :func:`claim` with its own result, and a figure that no longer agrees stops the notebook and with it the build.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import CostlabError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from pandas import DataFrame

VERDICTS: Final = ("holds", "too narrow", "wrong", "depends")
OBTAINED: Final = ("computed", "simulated", "measured", "read")


class ClaimContradictedError(CostlabError, AssertionError):
    """A lesson computed something else than the ledger says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One figure of the source lesson and what became of it.

    Attributes
    ----------
    id : str
        Section of the source lesson and a short name: ``S2.on_demand``; S0 is what it says of its purpose. From ``S12``
        on, figures that others published.
    lesson : str
        Number of the lesson that tries it: ``01``.
    text : str
        What was claimed, in our words.
    claimed : str
        The figure as claimed.
    verdict : {'holds', 'too narrow', 'wrong', 'depends'}
        How it came out.
    why : str
        The reason for the verdict, in a sentence.
    found : str
        The figure to use instead, with its unit. Where `values` are given, ``{0}``, ``{1}``, ... stand for them.
    values : tuple of Decimal
        The numbers that the lesson computes or measures, to the digits that matter.
    source_url : str
        Where a figure that we did not compute was read.
    obtained : {'computed', 'simulated', 'measured', 'read'}
        How we came by what was found; left out, computed where there are `values` and read where there are none.
    """

    id: str
    lesson: str
    text: str
    claimed: str
    verdict: str
    why: str
    found: str
    values: tuple[Decimal, ...] = ()
    source_url: str = ""
    obtained: str = ""

    def __post_init__(self) -> None:
        checks.one_of("verdict", self.verdict, VERDICTS)
        if not self.values and not self.source_url.startswith("https://"):
            raise InvalidValueError(f"{self.id}: source_url", "given where no value is computed", self.source_url)
        if not self.obtained:
            object.__setattr__(self, "obtained", "computed" if self.values else "read")
        checks.one_of("obtained", self.obtained, OBTAINED)

    @property
    def section(self) -> str:
        """Section of the source lesson, such as ``S2``."""
        return self.id.split(".")[0]

    @property
    def anchor(self) -> str:
        """Name by which the lesson's page marks the cell that recomputes it, such as ``claim-s2-on-demand``."""
        return "claim-" + self.id.lower().replace(".", "-").replace("_", "-")

    @property
    def found_text(self) -> str:
        """The figure to use instead, with its numbers filled in."""
        return self.found.format(*(f"{value:,}" for value in self.values))


@cache
def _claims() -> dict[str, Claim]:
    text = (files("costlab.lessons") / "claims.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text, parse_float=Decimal)["claim"]
    ledger: dict[str, Claim] = {}
    for row in rows:
        entry = Claim(**{**row, "values": tuple(Decimal(value) for value in row.get("values", ()))})
        if entry.id in ledger:
            raise InvalidValueError("id", "used once in claims.toml", entry.id)
        ledger[entry.id] = entry
    return ledger


def claims(lesson: str | None = None) -> tuple[Claim, ...]:
    """The rows of the ledger, of one lesson or all, in the order of the source lesson."""
    return tuple(entry for entry in _claims().values() if lesson in (None, entry.lesson))


def claim(name: str, *values: float) -> None:
    """Hold computed values against the ledger, and print the verdict.

    Parameters
    ----------
    name : str
        Id of the claim.
    *values : float
        What was computed or measured, in the order and units of the row's `values`.

    Raises
    ------
    UnknownNameError
        If the ledger has no such claim.
    ClaimContradictedError
        If a value, rounded to the ledger's digits, is not what the ledger says.
    """
    if name not in _claims():
        raise UnknownNameError("claim", name, tuple(_claims()))
    entry = _claims()[name]
    if len(values) != len(entry.values):
        raise InvalidValueError(f"{name}: values", f"{len(entry.values)} numbers", values)
    for computed, stated in zip(values, entry.values, strict=True):
        rounded = Decimal(repr(float(computed))).quantize(stated)
        if rounded != stated:
            raise ClaimContradictedError(f"claim {name}: the ledger says {stated}, the lesson computes {computed!r}")
    print(f"{entry.id}: {entry.text}")
    print(f"  claimed {entry.claimed} | {entry.verdict.upper()} | found {entry.found_text}")


def claims_table(lesson: str | None = None) -> DataFrame:
    """The ledger as a pandas DataFrame with columns claim, claimed, verdict, found, indexed by id."""
    with extra("plots"):
        from pandas import DataFrame

    rows = [
        {"id": c.id, "claim": c.text, "claimed": c.claimed, "verdict": c.verdict, "found": c.found_text}
        for c in claims(lesson)
    ]
    return DataFrame(rows, columns=["id", "claim", "claimed", "verdict", "found"]).set_index("id")
