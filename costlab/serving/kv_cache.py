"""Memory of the KV cache: what a way of handing it out wastes, and what requests find in it that others left."""

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from costlab._internal import checks
from costlab.errors import InvalidValueError

Route = Literal["round robin", "by prefix"]


def reserved_waste_fraction(lengths: Sequence[int], reserved_tokens: int) -> float:
    r"""Share of the KV cache that stays empty when every sequence is given room for `reserved_tokens`.

    .. math:: 1 - \frac{\sum_i T_i}{n\,T_\text{reserved}}

    Parameters
    ----------
    lengths : sequence of int
        Tokens that each sequence has in the end, prompt and answer, 1 to `reserved_tokens`; at least one sequence.
    reserved_tokens : int
        Tokens for which room is kept, such as the longest that the server allows.

    Examples
    --------
    Chats of 400, 900 and 2,300 tokens on a server that keeps room for 4,096 each. How much of the room is empty?

    >>> round(reserved_waste_fraction([400, 900, 2300], 4096), 2)
    0.71
    """
    room = checks.integer("reserved_tokens", reserved_tokens, at_least=1)
    used = _total(lengths, room)
    return 1.0 - used / (len(lengths) * room)


def paged_waste_fraction(lengths: Sequence[int], block_tokens: int = 16) -> float:
    r"""Share of the KV cache that stays empty when a sequence is given blocks as it grows: the end of its last block.

    .. math:: 1 - \frac{\sum_i T_i}{\sum_i b\,\lceil T_i / b \rceil}

    Parameters
    ----------
    lengths : sequence of int
        Tokens that each sequence has, >= 1; at least one sequence.
    block_tokens : int
        Tokens of a block, >= 1; vLLM's default is 16.

    References
    ----------
    Kwon et al. (2023), Efficient memory management for large language model serving with PagedAttention,
    https://arxiv.org/abs/2309.06180

    Examples
    --------
    The same chats in blocks of 16 tokens:

    >>> round(paged_waste_fraction([400, 900, 2300]), 4)
    0.0044
    """
    block = checks.integer("block_tokens", block_tokens, at_least=1)
    used = _total(lengths)
    return 1.0 - used / (block * sum(math.ceil(length / block) for length in lengths))


def _total(lengths: Sequence[int], at_most: int | None = None) -> int:
    if not len(lengths):
        raise InvalidValueError("lengths", "at least one", lengths)
    return sum(checks.integer("length", int(length), 1, at_most) for length in lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixHits:
    """What requests found in the prefix caches of a fleet.

    Attributes
    ----------
    hits, requests : int
        Requests whose prefix was there, and all.
    by_replica : tuple of int
        Requests that each replica served.
    """

    hits: int
    requests: int
    by_replica: tuple[int, ...]

    @property
    def hit_rate_fraction(self) -> float:
        """Share of the requests that found their prefix; 0 where there were none."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def busiest_fraction(self) -> float:
        """Share of the requests that went to the busiest replica; 0 where there were none."""
        return max(self.by_replica) / self.requests if self.requests else 0.0


def prefix_hits(prefixes: Sequence[Hashable], places: int, replicas: int, route: Route) -> PrefixHits:
    """How often a request finds its prefix, when each replica keeps the `places` prefixes that it used last.

    ``round robin`` sends requests to the replicas in turn. ``by prefix`` sends all requests of a prefix to one replica:
    a prefix that is new to the one that has the fewest prefixes so far.

    Parameters
    ----------
    prefixes : sequence
        The prefix of each request, in order: a system prompt, a document, a conversation.
    places : int
        Prefixes that have room in the cache of a replica, >= 0.
    replicas : int
        Replicas, >= 1.
    route : {"round robin", "by prefix"}
        Which replica a request goes to.

    Notes
    -----
    All prefixes are taken as equally long, and the router knows every prefix for ever. Queues are not looked at: a
    router that follows prefixes alone overloads the replica of a popular one, see `busiest_fraction`.

    Examples
    --------
    Three documents are asked about in turn. Each of two replicas has room for two of them. Who finds what?

    >>> turns = ["a", "b", "c"] * 10
    >>> [prefix_hits(turns, 2, 2, route).hits for route in ("round robin", "by prefix")]
    [0, 27]
    """
    checks.integer("places", places)
    checks.integer("replicas", replicas, at_least=1)
    checks.one_of("route", route, get_args(Route))
    kept: list[OrderedDict[Hashable, None]] = [OrderedDict() for _ in range(replicas)]
    home: dict[Hashable, int] = {}
    served, hits = [0] * replicas, 0
    for turn, prefix in enumerate(prefixes):
        here = turn % replicas if route == "round robin" else home.setdefault(prefix, len(home) % replicas)
        served[here] += 1
        cache = kept[here]
        hits += prefix in cache
        cache[prefix] = None
        cache.move_to_end(prefix)
        if len(cache) > places:
            cache.popitem(last=False)
    return PrefixHits(hits=hits, requests=len(prefixes), by_replica=tuple(served))
