"""How big a cache should be, and whether it pays at all."""

import math
from dataclasses import dataclass

from costlab._internal import checks
from costlab.cache.economics.lru import LruCache, ZipfTraffic, bisect_log, lru_cache
from costlab.cache.economics.saving import CacheCosts, NetSaving, break_even_hit_rate, net_saving
from costlab.catalog import StorePrice
from costlab.units import BYTES_PER_GB

__all__ = ["CacheSize", "best_cache_size"]


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The size of cache that saves most, and what it saves.

    Attributes
    ----------
    entries : int
        Answers to hold.
    gb : float
        The same in GB.
    billed_gb : float
        What the store bills: a minimum, or whole nodes.
    cache : LruCache
        Hit rate and characteristic time at this size.
    saving : NetSaving
        The saving over the period at this size.
    break_even_hit_rate : float
        The hit rate at which this size would pay for itself; above 1 none does.
    pays : bool
        Whether ``saving.net_usd`` is above 0. If not, the best cache is none.
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
    requests : float
        Requests in the period, > 0.
    hours : float
        Length of the period in hours, > 0.
    entry_bytes : float
        Memory of an entry in bytes, > 0: key, answer, vector, and the store's own overhead.
    lifetime_requests : float, optional
        Requests after which every answer is dropped, > 0, because prompt, documents or model change. By default never.

    Returns
    -------
    CacheSize

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    Requests are independent; see :func:`lru_cache` for what that leaves out. Costs do not depend on the size,
    false hits included: a larger semantic cache finds more that is nearly right.

    Examples
    --------
    How many answers of 4 kB to keep, for 100,000 requests a day at 3 cents?

    >>> from costlab.catalog import store_price
    >>> traffic, price = ZipfTraffic.of(50_000, 0.9), store_price("elasticache-serverless-valkey")
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
    fitting = {wanted, 1, *(math.floor(gb / entry_gb) for gb in filled_gb)}
    sizes = {min(max(entries, 1), traffic.unique) for entries in fitting}
    return max((at(entries) for entries in sorted(sizes)), key=lambda size: size.saving.net_usd)


def _entries_worth(traffic: ZipfTraffic, entry_usd: float, hit_usd: float, lifetime_requests: float) -> int:
    """How many entries bring what they cost, when an entry costs `entry_usd` and a hit rate of 1 brings `hit_usd`."""
    if hit_usd <= 0:
        return 1

    def enough(time: float) -> bool:
        nearly_dropped = traffic.sum(lambda p: p * math.exp(-p * time))
        brought = traffic.sum(lambda p: p * p * math.exp(-p * time)) / nearly_dropped if nearly_dropped else 0.0
        return brought * max(0.0, 1.0 - time / lifetime_requests) * hit_usd <= entry_usd

    time = bisect_log(enough, 1e-3, 1e18)
    held = traffic.unique if time == math.inf else traffic.sum(lambda p: -math.expm1(-p * time))
    return max(1, round(held))
