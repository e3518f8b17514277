"""The economics of a response cache: what it saves net of its costs, its hit rate against its size, the best size.

Pure functions: the standard library only, no clock, no files beyond the catalogue's own rows, no random numbers.
"""

from costlab.cache.economics.lru import LruCache, ZipfTraffic, lru_cache
from costlab.cache.economics.saving import CacheCosts, NetSaving, break_even_hit_rate, net_saving
from costlab.cache.economics.sizing import CacheSize, best_cache_size

__all__ = [
    "CacheCosts",
    "CacheSize",
    "LruCache",
    "NetSaving",
    "ZipfTraffic",
    "best_cache_size",
    "break_even_hit_rate",
    "lru_cache",
    "net_saving",
]
