"""The queries of an invented cloud-storage service's support desk, written for this book."""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from costlab._internal import checks

#: The intent of queries that the desk cannot answer: other companies, the weather, half sentences, features it lacks.
OUT_OF_SCOPE: Final = "out_of_scope"

#: To fit on, to choose thresholds on, to report on.
SPLITS: Final = ("train", "calibration", "test")


@dataclass(frozen=True, slots=True)
class SupportQuery:
    """One customer's query.

    Attributes
    ----------
    id : str
        ``q0001`` ...; it never changes.
    text : str
        What the customer typed.
    intent : str
        What is wanted; queries of one intent get one answer. ``out_of_scope`` where there is none.
    group : str
        The situation within the intent: queries of one group are paraphrases of each other.
    difficulty : {'easy', 'medium', 'hard'}
        As a labeller judged from the text alone: said plainly, to be inferred, or hidden among other things.
    split : {'train', 'calibration', 'test'}
        The part of the set that it belongs to. A group lies within one part.
    """

    id: str
    text: str
    intent: str
    group: str
    difficulty: str
    split: str

    @property
    def meaning(self) -> str:
        """What it asks for, its intent; out of scope it means itself only, as no one else has its answer."""
        return self.id if self.intent == OUT_OF_SCOPE else self.intent


@dataclass(frozen=True, slots=True)
class QueryPair:
    """Two queries that are worded almost alike and must not share an answer.

    Attributes
    ----------
    a, b : SupportQuery
        The queries, of different intents of one family and of one split.
    kind : str
        What tells them apart: ``opposite``, ``negation``, ``order``, ``number``, ``plan``, ``entity``, ``direction``,
        ``state``.
    """

    a: SupportQuery
    b: SupportQuery
    kind: str


@dataclass(frozen=True, slots=True)
class SupportIntent:
    """What customers may want, and what they are told.

    Attributes
    ----------
    name, title : str
        The same as the ``intent`` of its queries, and a line for people.
    family : str
        Intents of one family share their vocabulary and are easily confused.
    answer : str
        What the desk sends.
    """

    name: str
    title: str
    family: str
    answer: str


@dataclass(frozen=True, slots=True)
class SupportQueries:
    """The whole set.

    Attributes
    ----------
    queries : tuple of SupportQuery
        All queries, in the order of their ids: up to ``q2162`` those that are hard on purpose, then ordinary ones.
    pairs : tuple of QueryPair
        The contrast pairs; their queries are among `queries`.
    intents : mapping of str to SupportIntent
        By name; without ``out_of_scope``.
    licence, citation : str
        Terms of use, and how to name it.
    """

    queries: tuple[SupportQuery, ...]
    pairs: tuple[QueryPair, ...]
    intents: Mapping[str, SupportIntent]
    licence: str
    citation: str

    @property
    def answers(self) -> Mapping[str, str]:
        """The answer to each intent."""
        return {name: intent.answer for name, intent in self.intents.items()}

    def split(self, name: str, *, in_scope: bool = False) -> tuple[SupportQuery, ...]:
        """The queries of one split, with or without those out of scope.

        Parameters
        ----------
        name : {'train', 'calibration', 'test'}
            Which part.
        in_scope : bool
            Leave out the queries that no intent answers.
        """
        checks.one_of("split", name, SPLITS)
        return tuple(q for q in self.queries if q.split == name and not (in_scope and q.intent == OUT_OF_SCOPE))

    def split_pairs(self, name: str) -> tuple[QueryPair, ...]:
        """The contrast pairs of one split."""
        checks.one_of("split", name, SPLITS)
        return tuple(pair for pair in self.pairs if pair.a.split == name)


@cache
def support_queries() -> SupportQueries:
    """The support desk's queries, with their intents, contrast pairs and answers.

    Notes
    -----
    The data card beside the files, ``costlab/datasets/support/CARD.md``, says how the set was made, what it is not
    good for, and its statistics.

    Examples
    --------
    What do two customers mean who use nearly the same words?

    >>> pair = next(pair for pair in support_queries().pairs if pair.kind == "opposite")
    >>> print(pair.a.text, pair.b.text, sep=chr(10))
    How do I turn on two-step sign-in?
    How do I turn off two-step sign-in?
    >>> pair.a.intent, pair.b.intent
    ('enable_two_step', 'disable_two_step')
    """
    folder = files("costlab.datasets") / "support"

    def rows_of(name: str) -> Iterable[dict[str, str]]:
        return csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines())

    queries = tuple(SupportQuery(**row) for row in rows_of("queries.csv"))
    by_id = {query.id: query for query in queries}
    pairs = tuple(QueryPair(by_id[row["a"]], by_id[row["b"]], row["kind"]) for row in rows_of("pairs.csv"))
    rows = tomllib.loads((folder / "intents.toml").read_text(encoding="utf-8"))
    intents = {name: SupportIntent(name, row["title"], row["family"], row["answer"]) for name, row in rows.items()}
    return SupportQueries(
        queries=queries,
        pairs=pairs,
        intents=MappingProxyType(intents),
        licence="CC BY 4.0",
        citation="The costlab authors (2026), Larkbox support queries, part of the book Cost-Aware AI Architecture",
    )
