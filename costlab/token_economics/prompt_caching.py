"""When a provider's prompt cache pays: what a write adds, what a read saves, and how often a prefix is still there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError

#: Lifetimes that a price list tells apart, in seconds, with the kind of tokens that a write of it is billed as.
_WRITES: Final = {300: "cache_write", 3600: "cache_write_1h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCacheTerms:
    """What a provider says of its prompt cache, beside the prices.

    Attributes
    ----------
    provider, models : str
        Whose cache, and for which models.
    minimum_tokens : int or None
        The shortest prefix that is cached; None where the provider names none.
    block_tokens : int
        Hits come in multiples of this; 1 where the provider names no steps.
    lifetime_s : float or None
        Seconds for which an unused entry is kept at least; None where the provider promises none.
    renewed : bool or None
        Whether a hit starts the lifetime again; None where the provider does not say.
    checked : datetime.date
        The day for which the source says so.
    source_url, note : str
        Where it was read, and how.
    """

    provider: str
    models: str
    checked: date
    source_url: str
    minimum_tokens: int | None = None
    block_tokens: int = 1
    lifetime_s: float | None = None
    renewed: bool | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.minimum_tokens is not None:
            checks.integer("minimum_tokens", self.minimum_tokens, at_least=1)
        checks.integer("block_tokens", self.block_tokens, at_least=1)
        if self.lifetime_s is not None:
            checks.positive("lifetime_s", self.lifetime_s)
        if not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", "the address of a page", self.source_url)


@cache
def _rows() -> tuple[PromptCacheTerms, ...]:
    rows = shipped_rows("costlab.token_economics", "prompt_caches.toml", "cache")
    return tuple(PromptCacheTerms(**row) for row in rows)


def prompt_cache_terms(provider: str | None = None) -> tuple[PromptCacheTerms, ...]:
    """What providers say of their prompt caches, with the day and the source.

    Parameters
    ----------
    provider : str, optional
        Only of this one: ``anthropic``.

    Raises
    ------
    UnknownNameError
        If there is no row of that provider.

    Examples
    --------
    How long is a prefix kept at Anthropic?

    >>> [row.lifetime_s for row in prompt_cache_terms("anthropic")]
    [300, 3600, 300]
    """
    rows = _rows()
    if provider is None:
        return rows
    found = tuple(row for row in rows if row.provider == provider)
    if not found:
        raise UnknownNameError("provider", provider, tuple(dict.fromkeys(row.provider for row in rows)))
    return found


def cached_prefix_tokens(shared_tokens: int, minimum_tokens: int = 1, block_tokens: int = 1) -> int:
    """How many of the tokens that a request shares with an earlier one, from its first token on, can be read.

    Parameters
    ----------
    shared_tokens : int
        Length of the common beginning of both requests, >= 0. A changed first token makes it 0.
    minimum_tokens, block_tokens : int
        As in :class:`PromptCacheTerms`.

    Examples
    --------
    A prompt of 1,500 tokens is asked again, at a provider that reads from 1,024 tokens on, in steps of 128?

    >>> cached_prefix_tokens(1_500, 1_024, 128)
    1408
    """
    shared = checks.integer("shared_tokens", shared_tokens)
    least = checks.integer("minimum_tokens", minimum_tokens, at_least=1)
    block = checks.integer("block_tokens", block_tokens, at_least=1)
    return 0 if shared < least else shared // block * block


@dataclass(frozen=True, slots=True)
class CacheRates:
    r"""What writing and reading a prefix cost, as multiples of sending it plain.

    Attributes
    ----------
    write, read : float
        Price of a token written to the cache and of one read from it, over that of a fresh one: ``read < 1 <= write``.

    Notes
    -----
    The price of a call's prefix at a share :math:`h` of hits is, in multiples of sending it plain,

    .. math:: c(h) = h\,r + (1 - h)\,w

    Anthropic names 1.25 and 2 for writes and 0.1 for reads
    (https://platform.claude.com/docs/en/build-with-claude/prompt-caching).
    """

    write: float
    read: float

    def __post_init__(self) -> None:
        checks.finite("write", self.write)
        if self.write < 1:
            raise InvalidValueError("write", ">= 1", self.write)
        if checks.fraction("read", self.read) == 1:
            raise InvalidValueError("read", "below 1", self.read)

    @classmethod
    def of(cls, price: ApiPrice, lifetime_s: float = 300) -> CacheRates:
        """The multiples in a price list, for writes that live `lifetime_s` seconds where the list tells them apart.

        Raises
        ------
        PriceNotFoundError
            If the model has no price for reads from a cache.

        Examples
        --------
        What do writes for five minutes and for an hour cost at Claude Sonnet 4.5, and what reads?

        >>> from costlab.catalog import api_price
        >>> price = api_price("claude-sonnet-4-5")
        >>> CacheRates.of(price), CacheRates.of(price, 3600).write
        (CacheRates(write=1.25, read=0.1), 2.0)
        """
        if price.cached_input_usd_per_mtok is None:
            raise PriceNotFoundError(f"{price.model!r} has no price for input that is read from a prompt cache")
        plain = price.usd_per_token("input")
        write = price.usd_per_token(_WRITES.get(int(lifetime_s), "cache_write"))
        return cls(round(write / plain, 9), round(price.usd_per_token("cached_input") / plain, 9))

    @property
    def break_even_reads(self) -> float:
        """Reads per write from which caching is cheaper than not, ``(w - 1) / (1 - r)``; 0 where writing is free.

        Examples
        --------
        How often must a prefix be read that was written for an hour, at twice the price?

        >>> round(CacheRates(write=2, read=0.1).break_even_reads, 2)
        1.11
        """
        return (self.write - 1) / (1 - self.read)

    @property
    def break_even_hit_fraction(self) -> float:
        """Share of calls that must hit for caching to pay, ``(w - 1) / (w - r)``."""
        return (self.write - 1) / (self.write - self.read)

    def relative_cost(self, hit_fraction: float) -> float:
        """The price of a call's prefix over that of sending it plain, at a share of hits in 0..1."""
        hits = checks.fraction("hit_fraction", hit_fraction)
        return hits * self.read + (1 - hits) * self.write

    def break_even_calls_per_s(self, lifetime_s: float, *, renewed: bool = True) -> float:
        r"""Calls per second of one prefix, arriving as a Poisson process, from which its cache pays.

        .. math:: \lambda^* = \frac{1}{T} \ln\frac{w - r}{1 - r} \qquad\text{or}\qquad \frac{1}{T}\,\frac{w - 1}{1 - r}

        where a hit renews the lifetime :math:`T` or does not: what :func:`expected_hit_fraction` needs to reach
        :attr:`break_even_hit_fraction`.

        Examples
        --------
        One call in how many minutes is enough for Anthropic's five-minute cache?

        >>> round(1 / CacheRates(1.25, 0.1).break_even_calls_per_s(300) / 60, 1)
        20.4
        """
        checks.positive("lifetime_s", lifetime_s)
        if renewed:
            return math.log((self.write - self.read) / (1 - self.read)) / lifetime_s
        return self.break_even_reads / lifetime_s


def expected_hit_fraction(calls_per_s: float, lifetime_s: float, *, renewed: bool = True, replicas: int = 1) -> float:
    r"""The share of calls that find their prefix in the cache, where calls arrive as a Poisson process.

    .. math:: h = 1 - e^{-\lambda T / k} \qquad\text{or}\qquad h = \frac{\lambda T / k}{1 + \lambda T / k}

    where a hit renews the lifetime :math:`T`: a call hits if the one before came less than :math:`T` ago; and where it
    does not: each write is followed by :math:`\lambda T` reads on average, and then by the next write. :math:`k`
    replicas with a cache each, among which calls are spread at random, see :math:`\lambda / k` each.

    Parameters
    ----------
    calls_per_s : float
        Calls of one prefix per second, >= 0.
    lifetime_s : float
        Seconds for which the cache keeps it, > 0.
    renewed : bool
        Whether a hit starts the lifetime again.
    replicas : int
        Caches among which calls are spread without regard to their prefix; 1 where calls of a prefix stay together.

    Notes
    -----
    Calls that come in bursts hit more often at the same rate: :func:`replayed_hit_fraction` counts them. A renewal
    process with independent gaps hits with the probability that a gap is shorter than :math:`T`.

    References
    ----------
    Choungmo Fofack et al. (2014), Performance evaluation of hierarchical TTL-based cache networks, Computer Networks 65

    Examples
    --------
    A prefix is called every five minutes on average, and kept for five minutes after each call. How many calls hit?

    >>> round(expected_hit_fraction(1 / 300, 300), 3)
    0.632
    """
    rate = checks.non_negative("calls_per_s", calls_per_s) / checks.integer("replicas", replicas, at_least=1)
    load = rate * checks.positive("lifetime_s", lifetime_s)
    return -math.expm1(-load) if renewed else load / (1 + load)


def replayed_hit_fraction(
    times_s: Iterable[float], lifetime_s: float, *, renewed: bool = True, keys: Iterable[object] | None = None
) -> float:
    """The share of calls that find their prefix in a cache, counted on times of arrival.

    Parameters
    ----------
    times_s : iterable of float
        When the calls came, in seconds, ascending.
    lifetime_s : float
        Seconds for which the cache keeps a prefix, > 0.
    renewed : bool
        Whether a hit starts the lifetime again.
    keys : iterable, optional
        What tells the calls of different prefixes (or of different replicas' caches) apart; by default all share one.

    Raises
    ------
    InvalidValueError
        If there is no call, or the times do not ascend.

    Examples
    --------
    Calls after 0, 4 and 8 minutes, and a cache of five minutes: with renewal the third finds it, without it does not.

    >>> calls = (0, 240, 480)
    >>> round(replayed_hit_fraction(calls, 300), 2), round(replayed_hit_fraction(calls, 300, renewed=False), 2)
    (0.67, 0.33)
    """
    checks.positive("lifetime_s", lifetime_s)
    kept_until: dict[object, float] = {}
    calls, hits, latest = 0, 0, -math.inf
    names = iter(keys) if keys is not None else None
    for time_s in times_s:
        if not time_s >= latest:
            raise InvalidValueError("times_s", "ascending", time_s)
        key, latest, calls = next(names) if names is not None else None, time_s, calls + 1
        hit = time_s < kept_until.get(key, -math.inf)
        hits += hit
        if renewed or not hit:
            kept_until[key] = time_s + lifetime_s
    if not calls:
        raise InvalidValueError("times_s", "not empty", ())
    return hits / calls


def keep_alive_calls(gap_s: float, lifetime_s: float) -> int:
    r"""Calls that keep a prefix in a cache through a gap, each sent just before it would expire.

    .. math:: n = \left\lceil \frac{g}{T} \right\rceil - 1

    Each costs a read of the prefix, :math:`r`, and spares the call after the gap a write instead of a read,
    :math:`w - r`: waiting pays from :math:`n > (w - r) / r` on.

    Parameters
    ----------
    gap_s, lifetime_s : float
        Seconds between two calls, >= 0, and for which the cache keeps the prefix, > 0. Renewed by each hit.

    Examples
    --------
    How many calls keep a five-minute cache warm through a lunch of 50 minutes?

    >>> keep_alive_calls(3000, 300)
    9
    """
    gap = checks.non_negative("gap_s", gap_s)
    return max(0, math.ceil(gap / checks.positive("lifetime_s", lifetime_s)) - 1)
