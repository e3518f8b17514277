"""What each tier would have answered to each query: the table on which routers are compared."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from costlab._internal.extras import require
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Outcomes", "Played", "play", "play_routed"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Every query answered by every tier, cheapest tier first.

    Parameters
    ----------
    tiers : tuple of str
        Names, in the order in which a cascade would try them.
    correct : numpy.ndarray of bool, shape (queries, tiers)
        Whether the tier's answer is right. A share between 0 and 1 may stand for a graded answer.
    confidence : numpy.ndarray of float, shape (queries, tiers)
        How sure the tier says it is, in 0..1.
    usd : numpy.ndarray of float, shape (queries, tiers)
        What trying the tier costs, in USD, >= 0.

    Raises
    ------
    InvalidValueError
        If the shapes differ, the table is empty, or a value is outside its domain.
    """

    tiers: tuple[str, ...]
    correct: NDArray[np.float64]
    confidence: NDArray[np.float64]
    usd: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.correct), len(self.tiers))
        if 0 in shape or len(set(self.tiers)) < len(self.tiers):
            raise InvalidValueError("tiers", "names used once, for at least one query", self.tiers)
        for name, most in (("correct", 1.0), ("confidence", 1.0), ("usd", np.inf)):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != shape:
                raise InvalidValueError(name, f"an array of shape {shape}", values.shape)
            if not ((values >= 0) & (values <= most)).all() or np.isinf(values).any():
                raise InvalidValueError(name, f"numbers from 0 to {most:g}", "a value that is not")
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        """Queries in the table."""
        return len(self.correct)

    @classmethod
    def of_prices(
        cls, tiers: Sequence[str], correct: Any, confidence: Any, usd_per_request: Sequence[float]
    ) -> Outcomes:
        """A table in which every query costs the same at a tier."""
        usd = np.broadcast_to(np.asarray(usd_per_request, dtype=np.float64), np.shape(correct))
        return cls(tuple(tiers), np.asarray(correct), np.asarray(confidence), usd)

    @classmethod
    def from_csv(cls, path: Path, tiers: Sequence[str] | None = None) -> Outcomes:
        """A table from a file with a row per query and tier, as published router benchmarks have them.

        Parameters
        ----------
        path : pathlib.Path
            CSV with the columns ``query``, ``tier``, ``correct``, ``confidence`` and ``usd``.
        tiers : sequence of str, optional
            Which tiers, cheapest first; by default all, by rising mean cost.

        Raises
        ------
        InvalidValueError
            If a column is missing, or a query lacks a tier or has it twice.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValueError(path.name, "a CSV in UTF-8", str(error)) from error
        return cls._of_rows(rows, path.name, "a CSV", tiers)

    @classmethod
    def from_parquet(cls, path: Path, tiers: Sequence[str] | None = None) -> Outcomes:
        """The same as :meth:`from_csv` from a Parquet file with those columns.

        Raises
        ------
        MissingExtraError
            If pyarrow is not installed.
        InvalidValueError
            As for a CSV, or if the file is no Parquet.
        """
        arrow, parquet = require("pyarrow", "usage"), require("pyarrow.parquet", "usage")
        with path.open("rb") as file:
            try:
                rows = parquet.read_table(file).to_pylist()
            except arrow.ArrowException as error:
                raise InvalidValueError(path.name, "a Parquet file", " ".join(str(error).split())) from error
        return cls._of_rows(rows, path.name, "a Parquet file", tiers)

    @classmethod
    def _of_rows(cls, rows: Sequence[dict[str, Any]], file: str, kind: str, tiers: Sequence[str] | None) -> Outcomes:
        columns = {"query", "tier", "correct", "confidence", "usd"}
        missing = columns - set(rows[0] if rows else ())
        if missing:
            raise InvalidValueError(file, f"{kind} with the columns {', '.join(sorted(columns))}", sorted(missing))
        cells: dict[tuple[str, str], tuple[float, float, float]] = {}
        for row in rows:
            key = (row["query"], row["tier"])
            if key in cells:
                raise InvalidValueError(file, "a table with each query once per tier", key)
            try:
                cells[key] = (float(row["correct"]), float(row["confidence"]), float(row["usd"]))
            except (TypeError, ValueError):
                found = (row["correct"], row["confidence"], row["usd"])
                raise InvalidValueError(file, "a table of numbers", found) from None
        queries = list(dict.fromkeys(query for query, _ in cells))
        names = list(tiers or dict.fromkeys(tier for _, tier in cells))
        absent = [(query, name) for query in queries for name in names if (query, name) not in cells]
        if absent:
            raise InvalidValueError(file, "a table with every query at every tier", absent[0])
        table = np.array([[cells[query, name] for name in names] for query in queries])
        if tiers is None:
            order = np.argsort(table[:, :, 2].mean(axis=0), kind="stable")
            table, names = table[:, order], [names[i] for i in order]
        return cls(tuple(names), table[:, :, 0], table[:, :, 1], table[:, :, 2])

    def rows(self, chosen: Any) -> Outcomes:
        """The table with these queries alone, by index or mask."""
        return Outcomes(self.tiers, self.correct[chosen], self.confidence[chosen], self.usd[chosen])

    def joined(self, other: Outcomes) -> Outcomes:
        """Both tables as one; the tiers must be the same."""
        if other.tiers != self.tiers:
            raise InvalidValueError("other", f"a table of the tiers {', '.join(self.tiers)}", other.tiers)
        columns = ((getattr(self, name), getattr(other, name)) for name in ("correct", "confidence", "usd"))
        return Outcomes(self.tiers, *(np.concatenate(pair) for pair in columns))

    def at_prices(self, usd_per_request: Sequence[float]) -> Outcomes:
        """The same answers at other prices, one per tier."""
        return Outcomes.of_prices(self.tiers, self.correct, self.confidence, usd_per_request)

    def only(self, tiers: Sequence[str]) -> Outcomes:
        """The table with these tiers alone, in this order."""
        unknown = [name for name in tiers if name not in self.tiers]
        if unknown or not tiers:
            raise InvalidValueError("tiers", f"some of {', '.join(self.tiers)}", tuple(tiers))
        columns = [self.tiers.index(name) for name in tiers]
        return Outcomes(tuple(tiers), self.correct[:, columns], self.confidence[:, columns], self.usd[:, columns])


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A policy played on a table.

    Attributes
    ----------
    tier : numpy.ndarray of int, shape (queries,)
        Which tier answered.
    correct : numpy.ndarray of float, shape (queries,)
        Whether the answer was right.
    usd : numpy.ndarray of float, shape (queries,)
        What was paid: every tier tried.
    """

    tier: NDArray[np.intp]
    correct: NDArray[np.float64]
    usd: NDArray[np.float64]

    @property
    def quality_fraction(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def usd_per_request(self) -> float:
        """Mean cost of a query."""
        return float(self.usd.mean())


def play(outcomes: Outcomes, thresholds: Sequence[float]) -> Played:
    """The cascade: try the tiers in order, keep an answer whose confidence is above the tier's threshold.

    Parameters
    ----------
    outcomes : Outcomes
        The table.
    thresholds : sequence of float, length tiers - 1
        An answer is kept when its confidence is *greater*. The last tier always answers.

    Returns
    -------
    Played

    Raises
    ------
    InvalidValueError
        If there is not one threshold for every tier but the last.
    """
    count = len(outcomes.tiers)
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.shape != (count - 1,) or np.isnan(limits).any():
        raise InvalidValueError("thresholds", f"{count - 1} numbers, one per tier but the last", tuple(thresholds))
    kept = np.ones((len(outcomes), count), dtype=bool)
    kept[:, :-1] = outcomes.confidence[:, :-1] > limits
    tier = kept.argmax(axis=1)
    return _answered(outcomes, tier, np.cumsum(outcomes.usd, axis=1))


def play_routed(outcomes: Outcomes, scores: Any, cuts: Sequence[float]) -> Played:
    """Routing up front: one tier is chosen from a score of the query, and only that one is paid for.

    Parameters
    ----------
    outcomes : Outcomes
        The table.
    scores : array-like of float, shape (queries,)
        How easy the query is thought to be; higher goes to a cheaper tier.
    cuts : sequence of float, length tiers - 1
        Falling: a score above the first cut goes to the first tier, above the second to the second, and so on.

    Returns
    -------
    Played

    Raises
    ------
    InvalidValueError
        If the shapes do not fit or the cuts rise.
    """
    values, limits = np.asarray(scores, dtype=np.float64), np.asarray(cuts, dtype=np.float64)
    if values.shape != (len(outcomes),):
        raise InvalidValueError("scores", f"an array of shape ({len(outcomes)},)", values.shape)
    if limits.shape != (len(outcomes.tiers) - 1,) or (np.diff(limits) > 0).any():
        raise InvalidValueError("cuts", "falling numbers, one per tier but the last", tuple(cuts))
    tier = (values[:, None] <= limits).sum(axis=1)
    return _answered(outcomes, tier, outcomes.usd)


def _answered(outcomes: Outcomes, tier: NDArray[np.intp], paid: NDArray[np.float64]) -> Played:
    rows = np.arange(len(outcomes))
    return Played(tier, outcomes.correct[rows, tier], paid[rows, tier])
