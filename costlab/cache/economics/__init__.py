"""The economics of a response cache: what it saves net of its costs, its hit rate against its size, the best size.

The formulas need the standard library only; :func:`lru_replay`, which tries them on a stream of requests, needs numpy.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.cache.economics.lru import LruCache as LruCache, ZipfTraffic as ZipfTraffic, lru_cache as lru_cache
    from costlab.cache.economics.replay import ReplayResult as ReplayResult, lru_replay as lru_replay
    from costlab.cache.economics.saving import (
        CacheCosts as CacheCosts,
        CacheSize as CacheSize,
        NetSaving as NetSaving,
        best_cache_size as best_cache_size,
        break_even_hit_rate as break_even_hit_rate,
        net_saving as net_saving,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
