"""What goes into a response cache and what comes out of it."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, Final, Literal

from costlab._internal import checks

__all__ = ["Answer", "CachedAnswer", "not_empty"]

#: Where an answer came from.
Source = Literal["exact", "semantic", "model"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer with what it cost: what a call returns that knows its price.

    Attributes
    ----------
    value : Any
        The answer: made of texts, bytes, numbers, lists and dicts, if it is to be kept.
    cost_usd : float
        What the call was billed, in USD, >= 0.
    """

    value: Any
    cost_usd: float

    def __post_init__(self) -> None:
        checks.non_negative("cost_usd", self.cost_usd)


@dataclass(frozen=True, slots=True, init=False)
class CachedAnswer:
    """An answer, and how the cache came by it.

    Attributes
    ----------
    value : Any
        The answer.
    source : {'exact', 'semantic', 'model'}
        The same request's earlier answer, that of a request which means the same, or a call made for this request.
    key : str
        The request's key.
    entry_key : str
        The key of the request that was answered first: `key`, unless the source is ``semantic``.
    similarity : float or None
        Of both requests: 1 for an exact hit; None where the model was called.
    cost_usd : float or None
        What this request is billed, in USD: 0 for a hit, and what the call said for a call; None where it said nothing.
    saved_usd : float or None
        What the model's call cost that was not made again, in USD: 0 for a call; None where nobody stated it.
    shared : bool
        Whether it waited for the same request under way, instead of finding the answer in the store.
    latency_s : float
        Seconds from the request to this answer.
    """

    value: Any
    source: Source
    key: str
    entry_key: str
    similarity: float | None
    cost_usd: float | None
    saved_usd: float | None
    shared: bool
    latency_s: float

    def __init__(
        self,
        value: Any,
        source: Source,
        key: str,
        entry_key: str,
        similarity: float | None,
        cost_usd: float | None,
        saved_usd: float | None,
        shared: bool,
        latency_s: float,
    ) -> None:
        # The constructor of a frozen dataclass looks every field up by name, which is an eighth of a hit in memory.
        set_value, set_source, set_key, set_entry, set_similarity, set_cost, set_saved, set_shared, set_latency = _SLOTS
        set_value(self, value)
        set_source(self, source)
        set_key(self, key)
        set_entry(self, entry_key)
        set_similarity(self, similarity)
        set_cost(self, cost_usd)
        set_saved(self, saved_usd)
        set_shared(self, shared)
        set_latency(self, latency_s)


_SLOTS: Final = tuple(getattr(CachedAnswer, name).__set__ for name in CachedAnswer.__slots__)


def not_empty(value: Any) -> bool:
    """Whether an answer says anything: None, blanks and empty containers do not; 0 and False do.

    Examples
    --------
    >>> [not_empty(value) for value in ("yes", " ", None, [], 0, False)]
    [True, False, False, False, True, True]
    """
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and not (isinstance(value, Sized) and len(value) == 0)
