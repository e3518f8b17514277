"""Response caching: the same question asked twice is paid for once.

Keys, stores and the cache itself. What a cache saves net of its costs is calculated in :mod:`costlab.cache.economics`.
"""

from costlab.cache.answers import Answer, CachedAnswer, not_empty
from costlab.cache.breaker import CircuitBreaker
from costlab.cache.keys import IGNORED_PARAMETERS, Request, as_request, canonical, is_sampled, request_key
from costlab.cache.protocols import CacheStore, SemanticHit, SemanticLayer
from costlab.cache.response import ResponseCache
from costlab.cache.server import EmbeddedServer
from costlab.cache.statistics import CacheStatistics, LatencySummary
from costlab.cache.stores import DiskStore, MemoryStore, RedisStore

__all__ = [
    "IGNORED_PARAMETERS",
    "Answer",
    "CacheStatistics",
    "CacheStore",
    "CachedAnswer",
    "CircuitBreaker",
    "DiskStore",
    "EmbeddedServer",
    "LatencySummary",
    "MemoryStore",
    "RedisStore",
    "Request",
    "ResponseCache",
    "SemanticHit",
    "SemanticLayer",
    "as_request",
    "canonical",
    "is_sampled",
    "not_empty",
    "request_key",
]
