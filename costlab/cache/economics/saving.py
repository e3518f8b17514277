"""What a response cache saves, net of what it costs; how big it should be, and whether it pays at all.

An argument outside its domain is an :class:`costlab.errors.InvalidValueError`.
"""

import math
from dataclasses import dataclass

from costlab._internal import checks
from costlab._internal.root import bisect
from costlab.cache.economics.lru import LruCache, ZipfTraffic, lru_cache
from costlab.catalog import StorePrice
from costlab.units import BYTES_PER_GB


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCosts:
    """What a call costs, and what a cache in front of it costs beside the store.

    Attributes
    ----------
    call_usd : float
        Price of one call of the model in USD, > 0: what a right hit saves.
    lookup_usd, write_usd : float
        Price of one look-up and of storing one answer in USD, >= 0. Every request pays the one, every miss the other.
    embedding_usd : float
        Price of one embedding in USD, >= 0, averaged over all requests: an exact hit needs none.
    false_hit_fraction : float
        Share of the *hits* that give an answer to another question.
    wrong_answer_usd : float
        What a wrong answer costs in USD, >= 0: a second call, a ticket, a refund. The call it avoided is counted as
        saved, so a wrong answer that is asked again costs that call at least.
    """

    call_usd: float
    lookup_usd: float = 0.0
    write_usd: float = 0.0
    embedding_usd: float = 0.0
    false_hit_fraction: float = 0.0
    wrong_answer_usd: float = 0.0

    def __post_init__(self) -> None:
        checks.positive("call_usd", self.call_usd)
        for name in ("lookup_usd", "write_usd", "embedding_usd", "wrong_answer_usd"):
            checks.non_negative(name, getattr(self, name))
        checks.fraction("false_hit_fraction", self.false_hit_fraction)

    @property
    def hit_usd(self) -> float:
        """What a request saves by being a hit and not a miss, in USD; negative where wrong answers cost more."""
        return self.call_usd + self.write_usd - self.false_hit_fraction * self.wrong_answer_usd

    @property
    def request_usd(self) -> float:
        """What every request costs as if it were a miss, beside the call and the store, in USD."""
        return self.lookup_usd + self.embedding_usd + self.write_usd


@dataclass(frozen=True, slots=True)
class NetSaving:
    """The saving of a cache over a period, with every term.

    Attributes
    ----------
    requests, hits : float
        Requests of the period, and those that the cache answers.
    without_cache_usd, calls_avoided_usd : float
        Bill of the model if every request were a call, the baseline; calls that hits avoid, at the price of a call.
    embeddings_usd, store_usd, lookups_usd, writes_usd, wrong_answers_usd : float
        What the cache itself costs, wrong answers included.
    net_usd : float
        ``calls_avoided_usd`` less the five costs; negative when the cache is more expensive than none.
    hit_rate_fraction, saving_fraction : float
        ``hits / requests``, and ``net_usd / without_cache_usd``: below the hit rate as soon as anything costs anything.
    """

    requests: float
    hits: float
    without_cache_usd: float
    calls_avoided_usd: float
    embeddings_usd: float
    store_usd: float
    lookups_usd: float
    writes_usd: float
    wrong_answers_usd: float
    net_usd: float
    hit_rate_fraction: float
    saving_fraction: float


def net_saving(costs: CacheCosts, *, requests: float, hit_rate_fraction: float, store_usd: float) -> NetSaving:
    r"""What a cache saves over a period, net of what it costs.

    With R requests, hit rate h and share f of false hits among the hits,

    .. math::
        \text{net} = h R\, c_\text{call} - R\, c_\text{embed} - c_\text{store} - R\, c_\text{look-up}
                     - (1 - h) R\, c_\text{write} - f h R\, c_\text{wrong}

    Parameters
    ----------
    costs : CacheCosts
        Prices of a call, a look-up, a write, an embedding, a wrong answer.
    requests, hit_rate_fraction : float
        Requests in the period, > 0, and the share of them that the cache answers.
    store_usd : float
        What the store costs over the same period in USD, >= 0.

    Notes
    -----
    Ignored: the time that hits save, which may be worth more than the money, and the engineer who runs the cache.

    Examples
    --------
    A million requests a day at 3 cents; a semantic cache answers 30 % of them, one in ten wrongly, which costs a
    dollar each time. The hit rate says "30 % saved". What is saved?

    >>> costs = CacheCosts(call_usd=0.03, embedding_usd=0.00002, false_hit_fraction=0.10, wrong_answer_usd=1.00)
    >>> day = net_saving(costs, requests=1_000_000, hit_rate_fraction=0.30, store_usd=30.42)
    >>> round(day.calls_avoided_usd), round(day.net_usd)
    (9000, -21050)
    """
    checks.positive("requests", requests)
    checks.fraction("hit_rate_fraction", hit_rate_fraction)
    checks.non_negative("store_usd", store_usd)
    hits = requests * hit_rate_fraction
    avoided = hits * costs.call_usd
    embeddings = requests * costs.embedding_usd
    lookups = requests * costs.lookup_usd
    writes = (requests - hits) * costs.write_usd
    wrong = hits * costs.false_hit_fraction * costs.wrong_answer_usd
    baseline = requests * costs.call_usd
    net = avoided - math.fsum((embeddings, store_usd, lookups, writes, wrong))
    return NetSaving(
        requests=requests,
        hits=hits,
        without_cache_usd=baseline,
        calls_avoided_usd=avoided,
        embeddings_usd=embeddings,
        store_usd=store_usd,
        lookups_usd=lookups,
        writes_usd=writes,
        wrong_answers_usd=wrong,
        net_usd=net,
        hit_rate_fraction=hit_rate_fraction,
        saving_fraction=net / baseline,
    )


def break_even_hit_rate(costs: CacheCosts, *, requests: float, store_usd: float) -> float:
    r"""The hit rate above which a cache pays.

    .. math::
        h^* = \frac{c_\text{embed} + c_\text{look-up} + c_\text{write} + c_\text{store} / R}
                   {c_\text{call} + c_\text{write} - f\, c_\text{wrong}}

    The parameters are those of :func:`net_saving`. Above 1 no hit rate is enough; ``inf`` when a hit costs more than it
    saves, so that every further hit loses money.

    Examples
    --------
    A small bot: 1,000 requests a day at a fifth of a cent. Which hit rate pays for ElastiCache Serverless, which bills
    a GB at least?

    >>> from costlab.catalog import store_price
    >>> day_usd = 24 * store_price("elasticache-serverless-redis").usd_per_hour(0.01)
    >>> break_even_hit_rate(CacheCosts(call_usd=0.002), requests=1000, store_usd=day_usd)
    1.5
    """
    checks.positive("requests", requests)
    checks.non_negative("store_usd", store_usd)
    paid = costs.request_usd + store_usd / requests
    return paid / costs.hit_usd if costs.hit_usd > 0 else math.inf


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The size of cache that saves most, and what it saves.

    Attributes
    ----------
    entries, gb, billed_gb : int, float
        Answers to hold, the same in GB, and what the store bills for them: a minimum, or whole nodes.
    cache, saving : LruCache, NetSaving
        Hit rate and characteristic time at this size, and the saving over the period.
    break_even_hit_rate, pays : float, bool
        The hit rate at which this size would pay for itself; above 1 none does. Whether ``saving.net_usd`` is above 0;
        if not, the best cache is none.
    """

    entries: int
    gb: float
    billed_gb: float
    cache: LruCache
    saving: NetSaving
    break_even_hit_rate: float
    pays: bool


def best_cache_size(
    traffic: ZipfTraffic,
    costs: CacheCosts,
    price: StorePrice,
    *,
    requests: float,
    hours: float,
    entry_bytes: float,
    lifetime_requests: float | None = None,
) -> CacheSize:
    r"""The size of an LRU cache that maximises the net saving under Zipf traffic, and whether it pays at all.

    The hit rate is concave in the size C, so the saving is greatest where the next entry costs what it brings. In
    Che's approximation an entry more raises the hit rate by the mean popularity of what is about to be dropped,

    .. math:: \frac{dh}{dC} = \frac{\sum_k p_k^2 e^{-p_k T}}{\sum_k p_k e^{-p_k T}}

    which falls as T rises: T is found by bisection, and C from it. Where all answers go out of date after R requests,
    an entry brings this times :math:`1 - T/R`, and the hit rate is that of R requests from an empty cache.

    Parameters
    ----------
    traffic : ZipfTraffic
        What is asked, and how often.
    costs : CacheCosts
        Prices of a call, a look-up, a write, an embedding, a wrong answer.
    price : StorePrice
        What the store costs. A minimum or a node that is paid anyway is filled.
    requests, hours : float
        Requests in the period, and its length in hours, > 0.
    entry_bytes : float
        Memory of an entry in bytes, > 0: key, answer, vector, and the store's own overhead.
    lifetime_requests : float, optional
        Requests after which every answer is dropped, > 0, because prompt, documents or model change. By default never.

    Notes
    -----
    Requests are independent; see :func:`lru_cache` for what that leaves out. Costs do not depend on the size,
    false hits included: a larger semantic cache finds more that is nearly right.

    Examples
    --------
    How many answers of 4 kB to keep, for 100,000 requests a day at 3 cents?

    >>> from costlab.catalog import store_price
    >>> traffic, price = ZipfTraffic(50_000, 0.9), store_price("elasticache-serverless-valkey")
    >>> costs, day = CacheCosts(call_usd=0.03), {"requests": 1e5, "hours": 24}
    >>> best = best_cache_size(traffic, costs, price, **day, entry_bytes=4000)
    >>> best.entries, round(best.saving.net_usd), best.pays
    (50000, 3000, True)

    All of them. But the documents behind the answers change every day:

    >>> best = best_cache_size(traffic, costs, price, **day, entry_bytes=4000, lifetime_requests=1e5)
    >>> round(best.saving.net_usd), round(best.saving.hit_rate_fraction, 3)
    (2246, 0.749)
    """
    checks.positive("requests", requests)
    checks.positive("hours", hours)
    if lifetime_requests is not None:
        checks.positive("lifetime_requests", lifetime_requests)
    entry_gb = checks.positive("entry_bytes", entry_bytes) / BYTES_PER_GB

    def at(entries: int) -> CacheSize:
        gb, cache = entries * entry_gb, lru_cache(traffic, entries, lifetime_requests)
        hit_rate = cache.hit_rate_fraction if cache.first_hit_rate_fraction is None else cache.first_hit_rate_fraction
        store_usd = price.usd_per_hour(gb) * hours
        saving = net_saving(costs, requests=requests, hit_rate_fraction=hit_rate, store_usd=store_usd)
        needed = break_even_hit_rate(costs, requests=requests, store_usd=store_usd)
        return CacheSize(entries, gb, price.billed_gb(gb), cache, saving, needed, saving.net_usd > 0)

    entry_usd, lifetime = price.usd_per_gb_hour * entry_gb * hours, lifetime_requests or math.inf
    wanted = _entries_worth(traffic, entry_usd, costs.hit_usd * requests, lifetime)
    # A minimum or a node is paid whether it is full or not, so the best size fills it or needs more.
    if price.node_gb:
        nodes = wanted * entry_gb / price.node_gb
        filled_gb = [math.floor(nodes) * price.node_gb, math.ceil(nodes) * price.node_gb]
    else:
        filled_gb = [price.minimum_gb]
    fitting = {wanted, *(math.floor(gb / entry_gb) for gb in filled_gb)}
    sizes = {min(max(entries, 1), traffic.unique) for entries in fitting}
    return max((at(entries) for entries in sorted(sizes)), key=lambda size: size.saving.net_usd)


def _entries_worth(traffic: ZipfTraffic, entry_usd: float, hit_usd: float, lifetime_requests: float) -> int:
    """How many entries bring what they cost, when an entry costs `entry_usd` and a hit rate of 1 brings `hit_usd`."""

    def enough(time: float) -> bool:
        nearly_dropped = traffic.sum(lambda p: p * math.exp(-p * time))
        brought = traffic.sum(lambda p: p * p * math.exp(-p * time)) / nearly_dropped if nearly_dropped else 0.0
        return brought * max(0.0, 1.0 - time / lifetime_requests) * hit_usd <= entry_usd

    low, high = 1e-3, 1e18
    if not enough(high):
        return traffic.unique
    time = bisect(enough, low, high, steps=46, geometric=True)  # to a part in 10^12
    held = traffic.sum(lambda p: -math.expm1(-p * time))
    return max(1, round(held))
