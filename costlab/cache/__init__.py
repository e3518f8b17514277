"""Response caching: the same question asked twice is paid for once.

Keys, stores and the cache itself. Requests that mean the same are found by :mod:`costlab.cache.semantic`; what a cache
saves net of its costs is calculated in :mod:`costlab.cache.economics`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.cache.answers import (
        Answer as Answer,
        CachedAnswer as CachedAnswer,
        CacheStatistics as CacheStatistics,
        LatencySummary as LatencySummary,
        is_complete as is_complete,
        not_empty as not_empty,
    )
    from costlab.cache.keys import (
        IGNORED_PARAMETERS as IGNORED_PARAMETERS,
        Request as Request,
        as_request as as_request,
        canonical as canonical,
        is_sampled as is_sampled,
        request_key as request_key,
    )
    from costlab.cache.resilient_store import CircuitBreaker as CircuitBreaker
    from costlab.cache.response import ResponseCache as ResponseCache
    from costlab.cache.server import EmbeddedServer as EmbeddedServer
    from costlab.cache.stores import (
        CacheStore as CacheStore,
        DiskStore as DiskStore,
        MemoryStore as MemoryStore,
        RedisStore as RedisStore,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
